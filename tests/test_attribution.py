"""Attributions: what a filter carries, where a network looks, whether what mattered was kept."""

import dataclasses
import itertools
import json
import math
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from captum.attr import LayerConductance, LayerGradientXActivation
from sklearn.metrics import roc_auc_score
from torch import nn

from core import checkpoint, cli
from core.attribution import (
    Asked,
    asked_networks,
    auc,
    grad_cam,
    integrated_gradients,
    last_convolution,
    measure,
    ranks,
    spearman,
)
from core.attribution.asked import class_asked
from core.attribution.filters import IMAGE, by_unit, conductance, label_score, taylor
from core.attribution.kept import Layer, across, agreement, deaths, life, repeatable, within
from core.config import with_settings
from core.data import load
from core.errors import BadInput
from core.nested.knowledge import View
from core.networks import build
from core.networks.describe import Structure, structures_of
from core.networks.factors import install
from core.presets import dense_control, preset
from core.runs import attributing
from core.runs.attributed import arrays_of, attributed
from core.runs.attributing import attribute
from core.runs.control import new_run
from core.runs.folder import RunFolder
from core.runs.lane import Lane, _which
from core.runs.lane_attribution import alike
from core.runs.store import Store
from core.runs.worker import drive

DOUBLE = {"dtype": torch.float64}


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), **DOUBLE)


class Smooth(nn.Module):
    """Convolution, softplus, convolution, softplus, linear: everything flows through every layer."""

    def __init__(self, rectify=nn.Softplus):
        super().__init__()
        self.one, self.act, self.two, self.act2 = (
            nn.Conv2d(2, 5, 3, padding=1),
            rectify(),
            nn.Conv2d(5, 3, 3),
            rectify(),
        )
        self.head = nn.Linear(3 * 3 * 4, 4)
        with torch.no_grad():
            for i, parameter in enumerate(self.parameters()):
                parameter.copy_(0.4 * draw(*parameter.shape, seed=i))

    def forward(self, x):
        return self.head(self.act2(self.two(self.act(self.one(x)))).flatten(1))


def smooth(rectify=nn.Softplus):
    network = Smooth(rectify).double().eval()
    return network, draw(6, 2, 5, 6, seed=9), torch.tensor([0, 1, 2, 3, 1, 2])


# what a filter carries


def test_conductance_of_a_linear_network_is_weight_times_weight_times_input():
    first, second = nn.Linear(4, 3).double(), nn.Linear(3, 2).double()
    x, labels = draw(5, 4), torch.tensor([0, 1, 1, 0, 1])
    network = nn.Sequential(first, second)
    found = conductance(network, ["0"], x, labels, steps=1)["0"]
    w, v = (layer.weight.detach().numpy() for layer in (first, second))
    wanted = [
        [v[c, j] * sum(w[j, i] * row[i] for i in range(4)) for j in range(3)]
        for row, c in zip(x.numpy(), labels.tolist(), strict=True)
    ]
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-12)


def test_conductance_is_captums_layer_by_layer_and_sums_to_the_scores_difference():
    network, x, labels = smooth()
    found = conductance(network, [IMAGE, "one", "two"], x, labels, steps=256)
    gained = label_score(network(x), labels) - label_score(network(torch.zeros_like(x)), labels)
    for path in ("one", "two"):
        captum = (
            LayerConductance(network, network.get_submodule(path)).attribute(x, target=labels, n_steps=800).detach()
        )
        np.testing.assert_allclose(found[path], captum.sum((2, 3)), atol=2e-3 * float(captum.sum((2, 3)).abs().max()))
        np.testing.assert_allclose(found[path].sum(1), gained.detach(), atol=1e-4)
    np.testing.assert_allclose(found[IMAGE].sum(1), gained.detach(), atol=1e-4)


def test_the_reported_error_of_the_steps_shrinks_with_them_and_is_what_a_whole_layer_lacks():
    network, x, labels = smooth()
    site = Structure("one/filter", "filter", "one", 5, "one")
    errors = []
    for steps in (4, 16, 64):
        found = measure(network, [site], x, labels, steps=steps, batch=4)
        assert found.conductance.shape == found.taylor.shape == (6, 5) and not any(
            p.grad is not None for p in network.parameters()
        )
        errors.append(float(found.delta.abs().max() / found.gained.abs().mean()))
    assert errors[0] > 4 * errors[1] > 16 * errors[2] > 0


def test_taylor_is_captums_activation_times_gradient_of_the_loss():
    network, x, labels = smooth()
    found = taylor(network, ["one", "two"], x, labels)

    def loss(images):
        return F.cross_entropy(network(images), labels, reduction="none")

    for path in ("one", "two"):
        captum = LayerGradientXActivation(loss, network.get_submodule(path)).attribute(x)
        np.testing.assert_allclose(found[path], captum.detach().sum((2, 3)), atol=1e-12)


def test_an_activation_that_works_in_place_changes_nothing():
    (plain, x, labels), (inplace, _, _) = smooth(nn.ReLU), smooth(lambda: nn.ReLU(inplace=True))
    for of in (conductance, taylor):
        a, b = (of(network, ["one", "two"], x, labels) for network in (plain, inplace))
        assert all(torch.equal(a[path], b[path]) for path in a)
    assert grad_cam(plain, x[:1], 1)[0].equal(grad_cam(inplace, x[:1], 1)[0])


def test_several_channels_of_a_unit_count_together_before_the_sign_goes():
    assert by_unit(torch.tensor([[1.0, -3.0, 2.0, 2.0]]), 2).tolist() == [[2.0, 4.0]]
    assert by_unit(torch.tensor([[1.0, -3.0, 2.0, 2.0]]), 1).tolist() == [[2.0]]


@pytest.fixture(scope="module")
def thinned():
    """A ResNet-20 with scaling factors in double, some filters and a whole block at zero."""
    network = build("resnet20", num_classes=10, in_channels=1, image_size=8, generator=torch.Generator().manual_seed(3))
    factors = install(network, {"filter", "block"})
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.copy_(0.2 * draw(module.num_features).float())
                module.bias.copy_(0.2 * draw(module.num_features, seed=1).float())
        for site, factor in factors.items():
            factor[::3] = 0.0 if site == "stage3.2/block" or site.endswith("filter") else 0.7
    return network.eval()


def test_dead_units_carry_nothing_and_the_compact_network_carries_it_in_the_same_filters(thinned):
    dataset = load("digits")
    networks, note = asked_networks(thinned, dataset, [])
    assert [asked.name for asked in networks] == ["trained", "compact"] and not note
    x, labels = dataset.normalise(dataset.test.images[:4]).double(), dataset.test.labels[:4]
    full, compact = thinned.double(), networks[1].network.double()
    sites = [site for site in structures_of(full) if site.kind == "filter" and not site.site.startswith("stage3.2")]
    found = measure(full, sites, x, labels, steps=6)
    left = conductance(compact, [site.module for site in sites], x, labels, steps=6)
    start = 0
    for site in sites:
        mine = found.conductance[:, start : start + site.total]
        start += site.total
        alive = full.get_submodule(site.module).factor != 0
        assert not mine[:, ~alive].any() and mine[:, alive].any()
        np.testing.assert_allclose(mine[:, alive], left[site.module].abs(), atol=1e-9)


def test_a_norm_behind_a_layer_carries_what_the_layer_does(thinned):
    network = thinned.double()
    x, labels = draw(3, 1, 8, 8), torch.tensor([1, 2, 3])
    found = conductance(network, ["stage1.0.conv1", "stage1.0.bn1"], x, labels, steps=5)
    np.testing.assert_allclose(found["stage1.0.conv1"], found["stage1.0.bn1"], atol=1e-10)


# where a network looks


def test_integrated_gradients_sum_to_the_scores_difference_within_the_delta_that_they_report():
    network, x, _ = smooth()
    coarse = None
    for steps in (2, 40):
        found, delta = integrated_gradients(network, x[:1], 2, steps=steps)
        gained = (network(x[:1])[0, 2] - network(torch.zeros(1, 2, 5, 6, **DOUBLE))[0, 2]).detach()
        assert found.shape == (5, 6) and float(found.sum() - gained) == pytest.approx(delta, abs=1e-9)
        coarse = coarse or abs(delta)
    assert abs(delta) < 1e-6 < coarse


def test_grad_cam_is_maps_weighted_by_their_mean_gradient():
    network, x, _ = smooth()
    found, path = grad_cam(network, x[:1], 3, "two")
    assert path == "two"
    maps = network.two(network.act(network.one(x[:1]))).detach().requires_grad_()
    network.head(network.act2(maps).flatten(1))[0, 3].backward()
    weights = maps.grad.numpy()[0].mean(axis=(1, 2))
    wanted = sum(weight * map_ for weight, map_ in zip(weights, maps.detach().numpy()[0], strict=True))
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-12)


def test_grad_cam_is_taken_where_the_map_tells_places_apart():
    layers = [nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 2, 2), nn.Conv2d(2, 2, 2, 2), nn.Flatten()]
    for side, last in ((16, "2"), (8, "1"), (4, "0")):  # maps of 16, 16 and 16 positions; the next ones have 4
        network = nn.Sequential(*layers, nn.Linear(2 * (side // 4) ** 2, 3)).double()
        assert grad_cam(network, draw(1, 1, side, side), 0)[1] == last
        assert grad_cam(network, draw(1, 1, side, side), 0, "gone")[1] == last
    small = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1), nn.Flatten(), nn.Linear(18, 3)).double()
    assert grad_cam(small, draw(1, 1, 3, 3), 0)[1] == "1"  # no map has so many: the last
    assert grad_cam(small, draw(1, 1, 3, 3), 0, "0")[1] == "0"


def test_a_dead_block_is_passed_over_and_a_network_without_maps_is_refused_in_a_sentence(thinned):
    assert last_convolution(thinned.double(), draw(1, 1, 16, 16), 0) == "stage3.1.conv2"
    with pytest.raises(BadInput, match=r"Grad-CAM needs a convolution that gives a map .* take integrated gradients"):
        grad_cam(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).double(), draw(1, 1, 3, 4), 0)


def test_maps_are_compared_only_where_they_have_enough_positions_of_one_size():
    a, b = draw(4, 4), draw(4, 4, seed=1)
    assert (
        alike(a, 3 * a + 1) == 1
        and alike(a, -a) == -1
        and alike(a, b) == round(spearman(a.numpy().ravel(), b.numpy().ravel()), 3)
    )
    assert (
        alike(a[:3], a[:3]) is None
        and alike(a, draw(5, 4)) is None
        and alike(None, a) is None
        and alike(a, torch.zeros(4, 4)) is None
    )


# how far orders agree


def test_spearman_is_the_plain_rank_formula_and_ties_share_their_ranks():
    order = np.random.default_rng(0).permutation(9).astype(float)
    n, squares = 9, sum((i - r) ** 2 for i, r in enumerate(order))
    assert spearman(np.arange(9.0), order) == pytest.approx(1 - 6 * squares / (n * (n * n - 1)), abs=1e-12)
    values = np.array([2.0, 1.0, 2.0, 5.0, 1.0, 1.0])
    wanted = [sum(v < x for v in values) + (sum(v == x for v in values) + 1) / 2 for x in values]
    assert ranks(values).tolist() == wanted
    assert math.isnan(spearman(np.ones(5), np.arange(5.0))) and math.isnan(spearman(np.arange(2.0), np.arange(2.0)))
    assert ranks(np.array([np.inf, 3.0, np.inf])).tolist() == [2.5, 1, 2.5]


def test_auc_is_scikit_learns_and_the_share_of_pairs():
    random = np.random.default_rng(1)
    values, kept = random.integers(0, 6, 40).astype(float), random.random(40) < 0.4
    pairs = [(a > b) + 0.5 * (a == b) for a, b in itertools.product(values[kept], values[~kept])]
    assert auc(values, kept) == pytest.approx(np.mean(pairs)) == pytest.approx(roc_auc_score(kept, values))
    assert math.isnan(auc(values, np.ones(40, bool)))


def test_deaths_are_for_good():
    alive = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 0], [1, 1, 0, 0]])
    assert deaths(alive).tolist() == [np.inf, np.inf, 2, 0]


def test_layers_are_compared_within_themselves_and_intervals_hold_the_value():
    random = np.random.default_rng(2)
    layers = []
    for scale in (1, 1000, 30, 0.1, 5):
        value = random.random(24) * scale
        death = np.where(value > np.median(value), np.inf, value.argsort().argsort())
        layers.append(Layer(value, death))
    found = agreement(layers)
    assert found["auc"]["value"] == 1 and 0.9 < found["within"]["value"] == pytest.approx(within(layers, life))
    assert (
        found["across"]["value"] == pytest.approx(across(layers, life))
        and found["across"]["value"] < found["within"]["value"]
    )
    assert all(one["low"] - 0.05 <= one["value"] <= one["high"] + 0.05 for one in found.values())
    shuffled = agreement([Layer(random.permutation(layer.value), layer.death) for layer in layers])["within"]
    assert shuffled["low"] < 0.2 and abs(shuffled["value"]) < 0.35
    one_fate = agreement([Layer(layer.value, np.full(24, np.inf)) for layer in layers])
    assert math.isnan(one_fate["within"]["value"]) and math.isnan(one_fate["within"]["low"])
    assert math.isnan(agreement(layers[:3])["across"]["low"])  # three layers are too few to draw anew


def test_what_every_image_says_alike_is_repeatable_and_noise_is_not():
    random = np.random.default_rng(3)
    assert repeatable(np.tile(random.random(20), (6, 1)), [12, 8]) == pytest.approx(1)
    assert abs(repeatable(random.random((6, 2000)), [1000, 1000])) < 0.1


# a run


@pytest.fixture(scope="module")
def runs_of_two(tmp_path_factory):
    """(store, nested run, its dense control), two short epochs of LeNet each."""
    store = Store(tmp_path_factory.mktemp("attributed"))
    config = with_settings(
        preset("digits-nested").config, {"epochs": 2, "network": "lenet", "measure_every": 0, "threads": 1}
    )
    run = new_run(store, config, foreground=True)
    control = new_run(store, dense_control(config), foreground=True, role="dense control", family=run, parent=run)
    for name in (run, control):
        assert drive(store, name, None) == "finished"
    return store, run, control


def with_deaths(store, run, target, epoch, units):
    """A copy of a run whose `units` died after `epoch`, as its record says."""
    folder = RunFolder(shutil.copytree(store.root / run, target / run))
    alive = folder.history()[1].copy()
    alive[epoch:, units] = 0
    (folder.path / "alive.u8").write_bytes(alive.tobytes())
    return folder


def test_a_run_is_measured_before_the_first_death_and_compared_with_it(runs_of_two, tmp_path):
    store, _, control = runs_of_two
    plain = attribute(RunFolder(shutil.copytree(store.root / control, tmp_path / "plain")), 24, None)
    assert (
        plain["epoch"] == 2
        and plain["first_death"] is None
        and plain["kinds"][0]["conductance"]["within"]["value"] is None
    )
    first = next(site for site in RunFolder(store.root / control).sites() if site["kind"] == "filter")
    folder = with_deaths(store, control, tmp_path, 2, range(first["total"] // 2))
    said = []
    told = attribute(folder, 24, None, say=said.append)
    assert (
        told["epoch"] == 1 and told["first_death"] == 2 and told["images"] == 24 and "0 of 24 images measured" in said
    )
    assert told["kinds"][0]["lost"] == first["total"] // 2 and told["layers"][0]["compared"] == first["total"]
    arrays = arrays_of(folder, told)
    value, death = (arrays[name][: first["total"]] for name in ("conductance", "death"))
    assert np.isfinite(death).sum() == first["total"] // 2 and (value > 0).any()
    kept = np.isinf(death)
    wanted = np.mean([(a > b) + 0.5 * (a == b) for a, b in itertools.product(value[kept], value[~kept])])
    assert told["layers"][0]["auc"] == pytest.approx(wanted) and attributed(folder) == [told]
    assert "NaN" not in (folder.path / "attribution" / "00001.json").read_text()


def test_later_only_units_that_were_alive_then_are_compared(runs_of_two, tmp_path):
    store, _, control = runs_of_two
    folder = with_deaths(store, control, tmp_path, 1, range(3))
    told = attribute(folder, 8, None, epoch=2)
    total = told["layers"][0]["total"]
    assert told["layers"][0]["compared"] == total - 3 and told["kinds"][0]["lost"] == 0
    assert not arrays_of(folder, told)["then"][:3].any()


def test_what_cannot_be_measured_honestly_is_refused_in_a_sentence(runs_of_two, tmp_path):
    store, _, control = runs_of_two
    folder = with_deaths(store, control, tmp_path, 1, range(3))
    for name in ("00000", "00001"):
        (folder.checkpoints / f"{name}.safetensors").unlink()
    with pytest.raises(
        BadInput,
        match=r"must keep a checkpoint from before its first unit died \(after epoch 1\); kept: 2 to 2, 1 in all",
    ):
        attribute(folder, 8, None)
    with pytest.raises(BadInput, match=r"--epoch must be one whose checkpoint is kept \(2 to 2, 1 in all\); got 1"):
        attribute(folder, 8, None, epoch=1)


def test_the_dense_control_is_measured_instead_where_both_began_alike(runs_of_two, tmp_path):
    store, run, control = runs_of_two
    folder = with_deaths(store, run, tmp_path, 0, range(3))
    other = RunFolder(store.root / control)
    told = attribute(folder, 8, None, control=other)
    assert not told["own"] and told["measured_in"] == control and told["epoch"] == 2 and told["kinds"][0]["lost"] == 3
    assert arrays_of(folder, told)["then"].all() and told["file"] == f"in-{control}-00002.npz"
    config = dense_control(with_settings(preset("digits-nested").config, {"network": "lenet", "seed": 1}))
    strange = RunFolder(shutil.copytree(store.root / control, tmp_path / "strange"))
    other_start = build(
        "lenet", num_classes=10, in_channels=1, image_size=8, generator=torch.Generator().manual_seed(config.seed)
    )
    tensors, facts = checkpoint.load(strange.checkpoints / "00000.safetensors")
    facts.pop("version")
    changed = tensors | {f"weights/{name}": t for name, t in other_start.state_dict().items()}
    checkpoint.save(strange.checkpoints / "00000.safetensors", changed, facts)
    with pytest.raises(BadInput, match=r"strange must have begun with the same weights .* they differ"):
        attribute(folder, 8, None, control=strange)


def test_the_lane_asks_every_level_about_the_class_that_the_full_one_names(runs_of_two):
    store, run, control = runs_of_two
    with Lane(None) as lane:
        asked = {
            "token": lane.token,
            "question": "attributions",
            "folder": str(store.root / run),
            "control": str(store.root / control),
        }
        told = lane.answer({**asked, "indices": [3, 363]})
        assert [row["name"] for row in told["shown"][0]["networks"]] == ["level 1", "dense control", "level 0"]
        rows = told["shown"][0]["networks"]
        assert {row["target"] for row in rows} == {rows[0]["said"]} and rows[0]["integrated_like"] is None
        assert all(-1 <= row["integrated_like"] <= 1 and row["cam_layer"] == rows[0]["cam_layer"] for row in rows[1:])
        for row in rows:
            total = np.array(row["integrated"]).sum()
            assert total - row["gained"] == pytest.approx(row["delta"], abs=2e-3) and np.array(row["cam"]).shape == (
                8,
                8,
            )
        network = lane.network(_which(RunFolder(store.root / run), None))[0]
        dataset = load("digits")
        x = dataset.normalise(dataset.test.images[3:4])
        mine = integrated_gradients(network, x, rows[0]["said"])[0]
        np.testing.assert_allclose(rows[0]["integrated"], mine, rtol=2e-3, atol=1e-5)
        assert "must have" in lane.answer({**asked, "indices": [0], "folder": str(store.root / "none")})["error"]
        one = lane.answer({**asked, "control": "", "folder": str(store.root / control), "indices": [0]})
        assert len(one["shown"][0]["networks"]) == 1 and "nothing" in one["note"].lower()


def test_a_level_of_other_images_explains_its_own_answer():
    dataset = load("digits")
    of = torch.arange(10) // 2
    assert class_asked(Asked("a", nn.Identity(), View(dataset)), 7) == 7
    assert class_asked(Asked("a", nn.Identity(), View(dataset, of)), 7) == 3
    assert class_asked(Asked("a", nn.Identity(), View(dataset, own=True)), 7) is None


def test_the_command_prints_one_document(runs_of_two, tmp_path, capsys, monkeypatch):
    store, _, control = runs_of_two
    monkeypatch.setattr(
        "sys.argv", ["espalier", "attribute", control, "--images", "8", "--json", "--runs", str(store.root)]
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out = capsys.readouterr()
    assert ended.value.code == 0 and json.loads(out.out)["run"] == control and "images measured" in out.err


def test_where_the_scores_do_not_depend_on_the_image_no_pixel_has_a_part():
    class Constant(torch.nn.Module):
        def forward(self, x):
            return torch.zeros(len(x), 10)

    found, delta = integrated_gradients(Constant(), torch.randn(1, 3, 8, 8), 4)
    assert found.shape == (8, 8) and not found.any() and delta == 0.0


def test_units_are_measured_on_validation_images(runs_of_two, tmp_path, monkeypatch):
    """Whatever the training and the test images are."""
    store, _, control = runs_of_two
    known = attributing.trained_network

    def told(folder):
        document = attribute(folder, 24, None)
        return document, arrays_of(folder, document)["conductance"]

    def hidden(file, dataset, data):
        network, config, own, done = known(file, dataset, data)
        return network, config, dataclasses.replace(own, train=None, test=None), done

    plain = told(RunFolder(shutil.copytree(store.root / control, tmp_path / "plain")))
    monkeypatch.setattr(attributing, "trained_network", hidden)
    document, values = told(RunFolder(shutil.copytree(store.root / control, tmp_path / "hidden")))
    assert np.array_equal(values, plain[1]) and document["split"] == "val" and np.ptp(values) > 0
