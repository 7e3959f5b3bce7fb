"""Nested networks: what a level has, that it is the full network without the rest, its gradients, and that it leaves whole."""

import json
import sys

import pytest
import torch
import torch.nn.functional as F

from core import training
from core.cli import main
from core.config import checked
from core.controls import Controls
from core.errors import BadInput
from core.nested import Schedule, extract, nest
from core.nested.proving import verify_level
from core.nested.scheduling import leading
from core.networks import build
from core.networks.describe import LEVELS
from core.networks.factors import fold
from core.structure import cost

SIDE = {
    "lenet": (1, 16),
    "resnext20": (3, 8),
    "vgg11": (3, 8),
    "resnet20": (3, 8),
    "resnet20-preact": (3, 8),
    "wrn-14-4": (3, 8),
}
HALF = Schedule(width=0.5)


def network(name, seed=0):
    channels, side = SIDE[name]
    made = build(
        name, num_classes=10, in_channels=channels, image_size=side, generator=torch.Generator().manual_seed(seed)
    )
    return made, torch.zeros(1, channels, side, side)


@torch.no_grad()
def disturbed(model, seed=1):
    """Norms that have seen something, every level its own."""
    g = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for name, low, high in (
                ("weight", 0.5, 1.5),
                ("bias", -1, 1),
                ("running_mean", -1, 1),
                ("running_var", 0.5, 2),
            ):
                getattr(module, name).uniform_(low, high, generator=g)
    return model


@pytest.mark.parametrize("name", SIDE)
def test_a_level_is_the_full_network_without_the_rest_and_leaves_as_it_is(name):
    """Against the full-width network silenced by forward hooks: another formulation, in float64."""
    full, example = network(name)
    nested = nest(full, example, [HALF])
    disturbed(full)
    images = torch.randn(8, *example.shape[1:], generator=torch.Generator().manual_seed(2))
    certificate = verify_level(nested, 0, [images.double()])
    assert certificate.verdict == "exact" and certificate.reference == "masked" and certificate.max_rel < 1e-12
    left = extract(nested, 0).eval()
    assert torch.equal(nested.at(0).eval()(images), left(images)), (
        "a slice and the network that leaves give the same bits"
    )
    assert cost(left, example).params < 0.3 * cost(full, example).params
    with torch.no_grad():
        for p in full.parameters():
            p.mul_(1.1)
    assert not torch.equal(nested.at(0)(images), left(images)), "it shares no memory"


def test_the_papers_four_levels_have_the_papers_sizes():
    """PAPERS: WRN-32-4 inside out, parameters and MACs of table 2 as derived there (100 classes, convolutions and head)."""
    full = build("wrn-32-4", num_classes=100, in_channels=3, image_size=32)
    one, two, three = (Schedule(w, d, ("conv",)) for w, d in ((0.25, 0.4), (0.25, 1.0), (1.0, 0.4)))
    nested = nest(full, torch.zeros(1, 3, 32, 32), [one, two, three])
    macs = [cost(extract(nested, level), torch.zeros(1, 3, 32, 32)).macs_per_image / 1e6 for level in range(4)]
    assert [round(m, 1) for m in macs] == [26.4, 68.9, 387.4, 1066.9]
    assert nested.subset_holds() == {
        (0, 1): True,
        (0, 2): True,
        (1, 2): False,
        (0, 3): True,
        (1, 3): True,
        (2, 3): True,
    }


def test_leading_units_are_kept_and_conv_groups_stay_whole():
    full, example = network("lenet")
    nested = nest(full, example, [HALF])
    ties = {tie.source: tie for tie in nested.inner[0].ties.values()}
    assert torch.equal(ties["conv2.weight"].of(full.conv2.weight), full.conv2.weight[:25, :10])
    columns = full.fc1.weight.shape[1] // 50 * 25
    assert torch.equal(ties["fc1.weight"].of(full.fc1.weight), full.fc1.weight[:250, :columns])
    assert ties["fc2.weight"].of(full.fc2.weight).shape == (10, 250), "the class scores are nobody's to split"
    grouped, example = network("resnext20")
    left = extract(nest(grouped, example, [HALF]), 0)
    conv = left.get_submodule("stage3.0.conv2")
    assert (conv.groups, conv.out_channels) == (16, 64)


def test_gradients_of_all_levels_meet_and_are_those_of_an_explicit_sum():
    """Level by level, against autograd on the mean of the losses of networks made by hand from slices, in float64."""
    full, example = network("lenet")
    full, example = full.double(), example.double()
    nested = nest(full, example, [HALF])
    images = torch.randn(4, *example.shape[1:], dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    labels = torch.arange(4)
    for level in range(2):
        (F.cross_entropy(nested.at(level)(images), labels) / 2).backward()
    found = {name: p.grad.clone() for name, p in nested.shared().items()}
    p = {name: tensor.detach().clone().requires_grad_() for name, tensor in nested.shared().items()}

    def lenet(f1, f2, n):
        x = F.max_pool2d(F.conv2d(images, p["conv1.weight"][:f1], p["conv1.bias"][:f1], padding=full.conv1.padding), 2)
        x = F.max_pool2d(
            F.conv2d(x, p["conv2.weight"][:f2, :f1], p["conv2.bias"][:f2], padding=full.conv2.padding), 2
        ).flatten(1)
        x = F.relu(F.linear(x, p["fc1.weight"][:n, : x.shape[1]], p["fc1.bias"][:n]))
        return F.linear(x, p["fc2.weight"][:, :n], p["fc2.bias"])

    ((F.cross_entropy(lenet(10, 25, 250), labels) + F.cross_entropy(lenet(20, 50, 500), labels)) / 2).backward()
    for name, gradient in found.items():
        assert torch.allclose(gradient, p[name].grad, rtol=1e-10, atol=1e-14), name


def test_a_step_takes_the_mean_of_the_levels_losses():
    """The weights after one step without momentum or decay, against the gradient of the mean."""
    settings = NESTED | {"momentum": 0, "weight_decay": 0}
    settings["phases"] = [settings["phases"][0] | {"lr_schedule": "constant"}]
    run = training.Training(checked(settings), None, None, Controls(()))
    run.begin_phase(0)
    before = {name: p.detach().clone() for name, p in run.network.named_parameters()}
    images, labels = run.dataset.normalise(run.dataset.train.images[:32]), run.dataset.train.labels[:32]
    losses = [F.cross_entropy(level(images), labels) for level in run.method.levels()]
    gradient = dict(zip(before, torch.autograd.grad(sum(losses) / 2, list(run.network.parameters())), strict=True))
    run._step_(images, labels)
    for name, p in run.network.named_parameters():
        assert torch.allclose(p.detach(), before[name] - 0.05 * gradient[name], atol=1e-6), name


def test_blocks_at_the_end_of_a_stage_go_first_and_every_stage_keeps_one():
    full, example = network("resnet20")
    left = extract(nest(full, example, [Schedule(depth=1 / 3)]), 0)
    paths = {path for path, _ in left.named_modules()}
    assert {f"stage{s}.0.conv1" for s in (1, 2, 3)} <= paths and not any(
        ".1.conv" in p or ".2.conv" in p for p in paths
    )


def test_norms_are_each_levels_own_and_the_full_network_stays_what_it_was():
    full, example = network("resnet20")
    images = torch.randn(4, *example.shape[1:], generator=torch.Generator().manual_seed(4))
    before = full.eval()(images)
    nested = nest(full, example, [HALF])
    assert torch.equal(full.eval()(images), before) and hasattr(full, LEVELS) and not hasattr(fold(full), LEVELS)
    for norm in (m for m in nested.inner[0].modules() if isinstance(m, torch.nn.BatchNorm2d)):
        assert (
            (norm.weight == 1).all()
            and not norm.bias.any()
            and not norm.running_mean.any()
            and (norm.running_var == 1).all()
        )
    nested.at(0).train()(images)
    assert full.bn.num_batches_tracked == 0 and nested.inner[0].network.get_submodule("bn").num_batches_tracked == 1
    own = [name for name, _ in nested.inner[0].named_parameters()]
    assert own and all(".bn" in name or "shortcut" in name for name in own), (
        "convolutions and head are tied, norms its own"
    )


def test_what_is_zero_by_chance_does_not_shape_a_level():
    full, example = network("resnet20")
    with torch.no_grad():
        full.stage1[0].conv1.weight[:4] = 0.0
        full.stage2[1].bn2.weight.zero_()
    nested = nest(full, example, [HALF])
    fresh = nest(network("resnet20")[0], example, [HALF])
    assert cost(extract(nested, 0), example).macs == cost(extract(fresh, 0), example).macs


def test_levels_are_refused_in_a_sentence():
    full, example = network("lenet")
    nested = nest(full, example, [HALF])
    for call in (lambda: nested.at(2), lambda: extract(nested, -1)):
        with pytest.raises(BadInput, match="level must be 0"):
            call()
    with pytest.raises(BadInput, match="width of a level must be above 0 and at most 1; got 0"):
        Schedule(width=0)
    for levels, says in (
        ([{"width": 0.5}], "levels must be two or more"),
        ([{"width": 0.5}, {"width": 0.7}], "end with the full network"),
    ):
        with pytest.raises(BadInput, match=says):
            checked({"phases": [{"method": "nested", "kinds": [], "levels": levels}]})
    with pytest.raises(BadInput, match="levels must be empty unless the method is nested"):
        checked({"phases": [{"levels": [{"width": 0.5}, {}]}]})
    nest_phase = {"method": "nested", "kinds": [], "levels": [{"width": 0.5}, {}]}
    with pytest.raises(BadInput, match="a phase of the method nested must be the last one"):
        checked({"phases": [nest_phase, {"method": "dense", "kinds": [], "starts_from": "previous"}]})


NESTED = {
    "preset": "digits-nested", "network": "lenet", "dataset": "digits", "measure_every": 0, "threads": 1, "batch_size": 128,
    "phases": [{"method": "nested", "kinds": [], "epochs": 4, "lr": 0.05, "lr_schedule": "one-cycle", "levels": [{"width": 0.5}, {}]}],
}  # fmt: skip


def test_a_run_teaches_every_level_and_goes_on_where_it_stopped(tmp_path):
    events = list(training.run(checked(NESTED), folder=tmp_path / "whole"))
    result = events[-1].result
    watched = [event.levels for event in events if event.type == "epoch_done"]
    assert len(watched) == 5 and all(len(levels) == 2 for levels in watched) and min(watched[-1]) > 0.5
    assert [row["level"] for row in result["levels"]] == [0, 1] and result["subset_holds"] == {"0 in 1": True}
    assert [row["certificate"]["verdict"] for row in result["levels"]] == ["exact", "nothing-removed"]
    assert (
        result["levels"][1]["accuracy"]["test"] == result["accuracy"]["test"] and result["levels"][0]["speed"]["n"] >= 7
    )
    assert result["bytes"]["nested"] < result["bytes"]["separate"] and 0 < result["consensus"]["average"] <= 1
    again = tmp_path / "again"
    (again / "checkpoints").mkdir(parents=True)
    kept = "00002.safetensors"
    (again / "checkpoints" / kept).write_bytes((tmp_path / "whole" / "checkpoints" / kept).read_bytes())
    resumed = list(training.run(checked(NESTED), folder=again, resume=True))[-1].result
    assert resumed["weights_sha256"] == result["weights_sha256"]


def test_the_commands_show_levels_and_take_one_away(tmp_path, monkeypatch, capsys):
    def core(*arguments):
        """A command in this process: (exit status, document or None, standard error)."""
        monkeypatch.setattr(sys, "argv", ["core", *arguments, "--runs", str(tmp_path / "runs"), "--json"])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, json.loads(out) if out else None, err

    short = ("--set", "epochs=2", "--set", "network=lenet", "--set", "measure_every=0", "--set", "threads=1")
    run = core("run", "digits-nested", *short)[1]["run"]
    monkeypatch.setattr(sys, "argv", ["core", "show", run, "--runs", str(tmp_path / "runs")])
    with pytest.raises(SystemExit):
        main()
    told = " ".join(capsys.readouterr().out.split())
    assert (
        "level 0: " in told
        and "leaves exact" in told
        and "leaves in full shape" in told
        and "NOTHING WAS REMOVED" not in told
    )
    document = core("levels", run)[1]
    assert {"level", "params", "macs", "bytes", "density", "accuracy", "speed", "certificate"} <= set(
        document["levels"][0]
    )
    assert document["consensus"]["learned"] is None and document["subset_holds"] == {"0 in 1": True}
    for level in (0, 1):
        code, taken, _ = core("extract", run, "--level", str(level), "-o", str(tmp_path / f"{level}.safetensors"))
        assert code == 0 and taken["macs"]["compact"] == document["levels"][level]["macs"]
    code, _, err = core("extract", run, "--level", "2", "-o", str(tmp_path / "2.safetensors"))
    assert code == 2 and "level must be 0 (core) to 1 (full); got 2" in err
    code, halved, _ = core("cut", run, "--target", "macs=0.5", "-o", str(tmp_path / "half.safetensors"))
    assert code == 0 and halved["certificate"]["verdict"] == "exact", "the full level is cut like any network"
    dense = core("run", "digits-lenet", "--set", "epochs=1", "--set", "measure_every=0", "--set", "threads=1")[1]["run"]
    code, _, err = core("levels", dense)
    assert code == 2 and "must be a run of the method nested" in err


def test_a_share_that_is_whole_units_but_for_rounding_keeps_no_unit_more():
    assert 0.55 * 100 > 55  # in floating point
    assert [leading(100, 0.55, None), leading(100, 0.551, None), leading(3, 0.01, None)] == [55, 56, 1]
