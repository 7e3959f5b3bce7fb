"""Every method and solver: what it may touch, what stays zero, and that a run goes on where it stopped."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from core import checkpoint, checkpoint_file, lasso, training
from core.config import checked
from core.errors import BadInput
from core.methods import all_sites, start
from core.methods.freezing import frozen_masks
from core.methods.ssl import penalised
from core.methods.survival import survival
from core.networks import build
from core.networks.remaining import macs_left
from core.networks.roles import roles
from core.phases import Phase
from core.proximal import ista_step_, look_ahead, standard_apg_step_, subgradient_step_
from core.runs.folder import Recorder, RunFolder
from core.schedules import lr_at, strength_factor

torch.set_num_threads(1)


def config(*phases, network="lenet", **settings):
    plain = {"network": network, "dataset": "digits", "measure_every": 0, "threads": 1, "batch_size": 256}
    return checked(plain | {"phases": list(phases)} | settings)


def phase(method="dense", **settings):
    settings.setdefault("kinds", [])
    return {"method": method, "epochs": 1, "lr": 0.03, "lr_schedule": "constant", **settings}


def lenet(seed=0):
    return build("lenet", num_classes=10, in_channels=1, image_size=8, generator=torch.Generator().manual_seed(seed))


def resnet(name="resnet20-projection"):
    return build(name, num_classes=10, in_channels=3, image_size=8)


def finished(config, **how):
    events = list(training.run(config, **how))
    return events[-1].result


# ---- which groups are penalised ----------------------------------------------------------------------------------------


def sites_of(network, **settings):
    return {g.site for g in penalised(Phase(method="ssl", **settings), network)}


def test_roles_name_the_first_layer_the_class_scores_the_shortcuts_and_the_branches():
    found = roles(resnet())
    assert found["conv"].first and found["fc"].scores and not found["conv"].branch
    assert {path for path, role in found.items() if role.shortcut} == {"stage2.0.shortcut.0", "stage3.0.shortcut.0"}
    assert {path for path, role in found.items() if role.branch} == {
        f"stage{s}.{b}.conv{c}" for s in (1, 2, 3) for b in range(3) for c in (1, 2)
    }


def test_layers_are_those_between_shortcut_endpoints_as_in_the_paper():
    found = sites_of(resnet(), kinds=("layer",))
    assert len(found) == 18 and "conv/layer" not in found and not any("shortcut" in site for site in found)
    assert sites_of(lenet(), kinds=("layer",)) == set()


def test_the_class_scores_keep_their_outputs_and_the_image_its_channels():
    assert sites_of(lenet(), kinds=("filter", "channel")) == {
        *("conv1/filter", "conv2/filter", "fc1/neuron", "conv2/channel", "fc1/channel", "fc2/channel")
    }
    assert sites_of(lenet(), kinds=("shape", "channel")) == {
        *("conv1/shape", "conv2/shape", "conv2/channel", "fc1/channel", "fc2/channel")
    }
    assert {"fc1/shape", "fc2/shape"} <= sites_of(lenet(), kinds=("shape",))


def test_multipliers_are_patterns_and_the_last_that_fits_holds():
    chosen = Phase(method="ssl", kinds=("filter", "shape"), multipliers={"conv*": 2.0, "conv2/shape": 0.5, "fc1": 0.0})
    found = {g.site: g.multiplier for g in penalised(chosen, lenet())}
    assert found["conv1/filter"] == found["conv1/shape"] == found["conv2/filter"] == 2.0
    assert found["conv2/shape"] == 0.5 and "fc1/neuron" not in found and found["fc2/shape"] == 1.0


def test_sizes_weigh_only_where_asked():
    plain, weighed = (
        {g.site: g.multiplier for g in penalised(Phase(method="ssl", kinds=("filter",), size_weights=w), lenet())}
        for w in (False, True)
    )
    assert set(plain.values()) == {1.0}
    assert weighed["conv1/filter"] == 5.0 and weighed["conv2/filter"] == pytest.approx(math.sqrt(500))


def test_a_run_watches_one_list_of_sites_through_all_its_phases():
    phases = [Phase(), Phase(method="ssl", kinds=("shape",)), Phase(method="ssl", kinds=("filter", "layer"))]
    found = [site.site for site in all_sites(phases, resnet())]
    assert len(found) == len(set(found)) and found[:2] == ["stage1.0.conv1/filter", "stage1.0/block"]
    assert {"stage2.1.conv2/shape", "stage2.1.conv2/filter", "stage2.1.conv2/layer"} <= set(found)


# ---- what lives --------------------------------------------------------------------------------------------------------


def test_values_effective_norms_and_lives_of_units():
    network = resnet().eval()
    block = network.stage2[1]
    with torch.no_grad():
        block.bn1.weight.uniform_(0.5, 2)
        block.bn1.running_var.uniform_(0.5, 2)
        block.conv1.weight[3] = 0
        block.bn1.weight[5] = block.bn1.bias[5] = 0
        block.bn1.weight[7] = 0
        block.bn1.bias[7] = 1.0
    found = survival(network, network.structures(), {})
    sites = [s.site for s in network.structures()]
    start = sum(s.total for s in network.structures()[: sites.index("stage2.1.conv1/filter")])
    at = slice(start, start + 32)
    norms = np.array([np.sqrt((w**2).sum()) for w in block.conv1.weight.detach().numpy()])
    sigma = np.sqrt(block.bn1.running_var.numpy() + block.bn1.eps)
    assert np.allclose(found.values[at], norms, rtol=1e-6)
    assert np.allclose(found.effective[at], norms * np.abs(block.bn1.weight.detach().numpy()) / sigma, rtol=1e-6)
    assert [i for i in range(32) if not found.alive[at][i]] == [3, 5]


def test_a_layer_without_weights_takes_its_block_along():
    network = resnet().eval()
    with torch.no_grad():
        network.stage2[1].conv2.weight.zero_()
    phases = [Phase(method="ssl", kinds=("layer",))]
    sites = all_sites(phases, network)
    method = start(phases[0], network, 0.9, 0.0, sites)
    counts = method.counts(method.survival())
    assert {site for site, alive in counts.items() if not alive} == {
        *("stage2.1/block", "stage2.1.conv1/filter", "stage2.1.conv1/layer", "stage2.1.conv2/layer")
    }


def test_the_running_estimate_of_macs_counts_dead_channels_and_shapes():
    from core.networks import layout

    plan = layout("lenet", num_classes=10, in_channels=1, image_size=28).as_json()
    convs = {c["path"]: c["macs"] for s in plan["stages"] for b in s["blocks"] for c in b["convs"]}
    dense = macs_left(plan, {})
    assert macs_left(plan, {"conv2/shape": 50}) == pytest.approx(dense - 0.9 * convs["conv2"])
    assert macs_left(plan, {"conv2/channel": 5, "conv2/shape": 400}) == pytest.approx(dense - 0.75 * convs["conv2"])


# ---- what stays zero ---------------------------------------------------------------------------------------------------


def test_frozen_are_zero_weights_or_whole_zero_structures():
    network = lenet()
    with torch.no_grad():
        network.conv2.weight[4] = 0
        network.conv2.weight[:, 3, 1, 2] = 0
        network.conv2.weight[0, 0, 0, 0] = 0
    weights, structures = (frozen_masks(network, what)["conv2.weight"] for what in ("weights", "structures"))
    assert torch.equal(weights, network.conv2.weight == 0)
    assert int(weights.sum()) - int(structures.sum()) == 1 and not structures[0, 0, 0, 0]
    assert frozen_masks(network, "nothing") == {}


def test_filter_shapes_that_died_in_one_conv_group_are_frozen_in_it():
    conv = torch.nn.Conv2d(8, 6, 3, groups=2)
    with torch.no_grad():
        conv.weight[:3, 1, 2, 0] = 0
        conv.weight[4, 2, 1, 1] = 0
    frozen = frozen_masks(torch.nn.Sequential(conv), "structures")["0.weight"]
    expected = torch.zeros_like(conv.weight, dtype=torch.bool)
    expected[:3, 1, 2, 0] = True
    assert torch.equal(frozen, expected)


def test_fine_tuning_keeps_zero_what_it_was_told_to(monkeypatch):
    zeros = {}

    def look(self):
        zeros[self.phase.freeze] = {n: w.detach() == 0 for n, w in self.network.named_parameters()}
        return iter(())

    monkeypatch.setattr(training, "finish", look)
    pruned = phase("prune", kinds=["weight", "filter"], keep=0.3)
    for freeze in ("nothing", "structures", "weights"):
        list(training.run(config(pruned, phase(starts_from="previous", freeze=freeze))))
    list(training.run(config(pruned)))  # what there was to freeze
    names = [name for name in zeros["nothing"] if name.endswith("weight")]
    before, weights, structures = (zeros[freeze] for freeze in ("nothing", "weights", "structures"))
    assert all((weights[name] >= before[name]).all() for name in names)
    rows = {name: before[name].flatten(1).all(1) for name in names}
    assert all(structures[name].flatten(1).all(1)[rows[name]].all() for name in names) and rows["conv2.weight"].any()
    assert structures["conv2.weight"].sum() < weights["conv2.weight"].sum()


# ---- pruning -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ranking", ["l1", "l2", "random"])
def test_pruning_keeps_the_fraction_of_each_layers_filters_with_the_largest_norms(ranking):
    network = lenet()
    norms = {
        p: network.get_submodule(p).weight.detach().flatten(1).norm(p=1 if ranking == "l1" else 2, dim=1)
        for p in ("conv1", "conv2", "fc1")
    }
    method = start(Phase(method="prune", kinds=("filter",), keep=0.4, ranking=ranking), network, 0.9, 0.0)
    for path, left in (("conv1", 8), ("conv2", 20), ("fc1", 200)):
        layer = network.get_submodule(path)
        alive = layer.weight.detach().flatten(1).norm(dim=1) > 0
        assert int(alive.sum()) == left
        assert torch.equal(alive, layer.bias.detach() != 0) or not layer.bias.any()
        if ranking != "random":
            assert norms[path][alive].min() >= norms[path][~alive].max()
    with torch.no_grad():
        network.conv1.weight.add_(1.0)
    method.after_step_(0.1, 1.0)
    assert int((network.conv1.weight.flatten(1).norm(dim=1) > 0).sum()) == 8
    assert not any((network.fc2.weight == 0).all(1))


def test_what_random_pruning_takes_is_decided_by_the_runs_seed():
    phase = Phase(method="prune", kinds=("filter", "weight"), keep=0.4, ranking="random")
    left = [lenet() for _ in range(3)]
    for network, seed in zip(left, (3, 3, 4), strict=True):
        start(phase, network, 0.9, 0.0, seed=seed)
    alive = [torch.cat([(p != 0).flatten() for p in network.parameters()]) for network in left]
    assert torch.equal(alive[0], alive[1]) and not torch.equal(alive[0], alive[2])


def test_gradual_pruning_follows_the_cubic_curve_and_takes_nothing_back():
    network = lenet()
    method = start(Phase(method="prune", kinds=("weight",), keep=0.1, gradual=0.5), network, 0.9, 0.0)
    weights = [m.weight for m in network.modules() if hasattr(m, "weight")]
    total, gone = sum(w.numel() for w in weights), torch.zeros(0)
    for progress in (0.0, 0.1, 0.25, 0.4, 0.5, 0.9):
        method.at_(progress)
        t = min(1.0, progress / 0.5)
        now = torch.cat([(w == 0).flatten() for w in weights])
        assert abs(int(now.sum()) - 0.9 * (1 - (1 - t) ** 3) * total) <= 1
        assert not len(gone) or bool((now >= gone).all())
        gone = now
        with torch.no_grad():
            for w in weights:
                w.add_(0.01 * torch.randn(w.shape))
        method.after_step_(0.1, 1.0)


# ---- solvers of factors ------------------------------------------------------------------------------------------------


def quadratic(seed=1):
    """0.5 |A f - b|^2 with a nonnegative l1 optimum, found by projected coordinate descent."""
    g = np.random.default_rng(seed)
    a, b, gamma = g.normal(size=(30, 8)), g.normal(size=30), 3.0
    f = np.zeros(8)
    for _ in range(4000):
        for i in range(8):
            rest = b - a @ f + a[:, i] * f[i]
            f[i] = max(0.0, (a[:, i] @ rest - gamma) / (a[:, i] @ a[:, i]))
    return torch.from_numpy(a), torch.from_numpy(b), gamma, torch.from_numpy(f)


@pytest.mark.parametrize("solver", ["apg", "ista"])
def test_standard_apg_and_ista_reach_the_optimum_with_its_zeros(solver):
    a, b, gamma, optimum = quadratic()
    lr = 0.9 / float(torch.linalg.matrix_norm(a.T @ a, 2))
    f = [torch.ones(8, dtype=torch.float64)]
    before = [f[0].clone()]
    for step in range(1, 3000):
        at = look_ahead(f, before, step)[0] if solver == "apg" else f[0]
        gradient = a.T @ (a @ at - b)
        if solver == "apg":
            standard_apg_step_(f, before, [at], [gradient], lr, gamma)
        else:
            f[0].grad = gradient
            ista_step_(f, lr, gamma)
    assert torch.allclose(f[0], optimum, atol=1e-9) and 0 < int((optimum == 0).sum()) < 8
    assert torch.equal(f[0] == 0, optimum == 0)


@pytest.mark.parametrize("solver", ["modified-apg", "apg", "ista"])
def test_every_solver_gives_the_weights_the_gradient_of_one_pass(solver, monkeypatch):
    """At the first step the point ahead is where the factors are, so that every solver sees one and the same gradient."""
    asked = config(phase("sss", solver=solver, kinds=["filter"], strength_filter=0.05))
    run = training.Training(asked, None, None, training.Controls(()))
    run.begin_phase(0)
    learned = [p for group in run.optimizer.param_groups for p in group["params"]]
    images, labels = run.dataset.train.images[:32].float(), run.dataset.train.labels[:32]
    expected = torch.autograd.grad(run.objective(run.network, images, labels)[1], learned)
    given = []
    monkeypatch.setattr(run.optimizer, "step", lambda: given.extend(p.grad.clone() for p in learned))
    run._step_(images, labels)
    assert len(given) == len(learned) > 0
    for gradient, right in zip(given, expected, strict=True):
        assert torch.allclose(gradient, right, rtol=1e-4, atol=1e-7)


def test_the_subgradient_hovers_around_zero_and_never_stays_there():
    a, b, gamma, optimum = quadratic()
    f, v = [torch.ones(8, dtype=torch.float64)], [torch.zeros(8, dtype=torch.float64)]
    for _ in range(3000):
        f[0].grad = a.T @ (a @ f[0] - b)
        subgradient_step_(f, v, 1e-4, gamma, 0.9)
    dead = optimum == 0
    assert not (f[0] == 0).any() and f[0][dead & (f[0] > -0.01)].abs().max() < 0.01


# ---- whole runs --------------------------------------------------------------------------------------------------------

FIRST = phase()
RUNS = {
    "ssl paper": [FIRST, phase("ssl", solver="paper", kinds=["filter", "channel"], strength_filter=0.1, strength_channel=0.05, epochs=2, starts_from="previous")],
    "ssl shapes and 2-D filters": [phase("ssl", kinds=["shape", "kernel2d"], strength_shape=0.05, strength_kernel2d=0.01, splitting="dykstra", epochs=2)],
    "l1 then frozen": [phase("l1", kinds=["weight"], strength_weight=1e-3), phase(freeze="weights", starts_from="previous", epochs=2)],
    "gradual pruning": [FIRST, phase("prune", kinds=["weight", "filter"], gradual=0.9, starts_from="previous", epochs=2)],
    "random pruning": [phase("prune", kinds=["weight"], gradual=0.9, ranking="random", epochs=3)],
    "averaged": [phase(ema=0.9, epochs=3)],
    "standard apg": [phase("sss", solver="apg", kinds=["filter"], strength_filter=0.05, epochs=3)],
    "ista": [phase("sss", solver="ista", kinds=["filter"], strength_filter=0.05, epochs=3)],
    "subgradient": [phase("sss", solver="subgradient", kinds=["filter"], strength_filter=0.05, slim_below=0.3, epochs=3)],
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_a_run_of_every_method_is_cut_exactly_and_goes_on_where_it_stopped(name, tmp_path):
    chosen = config(*RUNS[name])
    whole = finished(chosen, folder=tmp_path / "whole")
    assert whole["certificate"]["verdict"] in ("exact", "nothing-removed"), whole["certificate"]
    recorder = Recorder(RunFolder(tmp_path / "cut"))
    for event in training.run(chosen, folder=tmp_path / "cut"):
        recorder.record(event)
        if event.type == "structure" and event.epoch == chosen.epochs - 1:
            break
    facts = checkpoint.load(checkpoint_file.latest(tmp_path / "cut" / "checkpoints"))[1]
    assert facts["epoch"] == chosen.epochs - 2
    recorder.roll_back(facts["step"], facts["epoch"])
    units = sum(site["total"] for site in recorder.folder.sites())
    assert recorder.folder.effectives().shape == (facts["epoch"] + 1, units)
    again = list(training.run(chosen, folder=tmp_path / "cut", resume=True))[-1].result
    assert again["weights_sha256"] == whole["weights_sha256"]


def test_slimming_cuts_small_scales_at_the_end_of_its_phase():
    chosen = phase("slimming", kinds=["filter"], strength_filter=0.05, slim_below=0.97, lr=0.05)
    result = finished(config(chosen, network="resnet20"))
    assert result["removed"]["filter"] > 20 and result["certificate"]["verdict"] == "exact"


@pytest.mark.parametrize("solver", ["paper", "proximal"])
def test_ssl_ends_with_whole_groups_at_zero(solver):
    learning = phase("ssl", solver=solver, kinds=["filter"], strength_filter=0.03, epochs=14, lr=0.02)
    learning |= {"lr_schedule": "step", "lr_drops": [0.7]}
    result = finished(config(learning, batch_size=64))
    alive = {row["site"]: row["alive"] / row["total"] for row in result["survival"]}
    assert alive["fc1/neuron"] < 0.9 and result["removed"]["neuron"] > 50
    assert result["certificate"]["verdict"] == "exact" and result["accuracy"]["test"] > 0.5


def test_label_smoothing_changes_what_is_learned_and_the_average_of_weights_is_kept_at_the_end():
    plain = finished(config(phase()))["weights_sha256"]
    assert finished(config(phase(), label_smoothing=0.1))["weights_sha256"] != plain
    assert finished(config(phase(ema=0.99)))["weights_sha256"] != plain


# ---- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"method": "ssl", "kinds": ["block"]},
            "kinds must be of filter, channel, shape, kernel2d or layer for ssl; got 'block'",
        ),
        ({"method": "l1", "kinds": ["filter"]}, "kinds must be of weight for l1; got 'filter'"),
        (
            {"method": "ssl", "kinds": ["filter"], "solver": "apg"},
            "solver must be default, proximal, paper for ssl; got 'apg'",
        ),
        ({"method": "sss", "ema": 0.9}, "ema must be 0 where structure is learned"),
        (
            {"strength_schedule": "geometric"},
            "ramp_from must be above 0 for a geometric schedule; got 0; for example 0.1",
        ),
        ({"multipliers": {"conv1": -1}}, "multipliers must be numbers from 0 to 1000 by layer"),
        ({"weight_decay": 2}, "weight_decay must be from 0 to 1, or nothing; got 2"),
    ],
)
def test_settings_that_do_not_fit_their_method_are_one_sentence(settings, says):
    with pytest.raises(BadInput, match=says):
        config({"epochs": 1, **settings})


def test_schedules_rise_and_fall_as_they_say():
    warm = Phase(lr=1.0, lr_schedule="constant", warmup=0.1)
    assert [round(lr_at(warm, p), 3) for p in (0, 0.05, 0.1, 0.9)] == [0.1, 0.55, 1.0, 1.0]
    cycle = Phase(lr=1.0, lr_schedule="one-cycle")
    assert [round(lr_at(cycle, p), 3) for p in (0, 0.15, 0.3, 0.65, 1)] == [0.04, 0.52, 1.0, 0.5, 0.0]
    growing = Phase(strength_schedule="geometric", ramp_from=0.01, ramp=0.5)
    assert [round(strength_factor(growing, p), 3) for p in (0, 0.25, 0.5, 1)] == [0.01, 0.1, 1.0, 1.0]


def test_one_strength_means_the_same_penalty_for_every_kind():
    network = lenet()
    groups = list(penalised(Phase(method="ssl", kinds=("filter", "shape")), network))
    by_hand = sum(0.3 * g.norms().double().sum() for g in groups if g.kind == "filter")
    by_hand += sum(0.1 * g.norms().double().sum() for g in groups if g.kind == "shape")
    assert float(lasso.penalty(groups, {"filter": 0.3, "shape": 0.1})) == pytest.approx(float(by_hand), rel=1e-6)
    assert isinstance(network.conv1, nn.Conv2d)


def test_a_network_with_dropout_is_repeated_to_the_bit_and_goes_on_where_it_stopped(tmp_path):
    chosen = checked({
        "network": "convnet", "dataset": "digits", "measure_every": 0, "threads": 1, "batch_size": 256,
        "phases": [phase(epochs=2)],
    })  # fmt: skip
    whole = finished(chosen, folder=tmp_path / "whole")["weights_sha256"]
    for event in training.run(chosen, folder=tmp_path / "cut"):
        if event.type == "checkpointed" and event.epoch == 1:
            break
    assert list(training.run(chosen, folder=tmp_path / "cut", resume=True))[-1].result["weights_sha256"] == whole


def test_of_a_norms_zero_scales_only_the_shifts_that_are_zero_too_are_frozen():
    norm = torch.nn.BatchNorm2d(4)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.0, 0.0, 1.0, 1.0]))
        norm.bias.copy_(torch.tensor([0.0, 0.3, 0.0, 0.3]))
    for what in ("weights", "structures"):
        masks = frozen_masks(torch.nn.Sequential(norm), what)
        assert masks["0.weight"].tolist() == [True, True, False, False]
        assert masks["0.bias"].tolist() == [True, False, False, False]
