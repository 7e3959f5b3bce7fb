"""Units crossed out by hand: what is left, what it costs, and fine-tuning from there."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core.cli import app
from core.config import Phase, RunConfig, checked
from core.crossed import beneath, checked_against, parsed, together, without, written
from core.crossing import cross_out_, crossable
from core.data import load
from core.errors import BadInput, WrongMoment
from core.intervals import Z, paired_difference, wilson
from core.methods import start
from core.networks import build
from core.presets import hand_tuned, hand_tuning, preset
from core.runs import by_hand
from core.runs.control import new_run
from core.runs.folder import Recorder, RunFolder
from core.runs.lane import _which
from core.runs.lane_stands import Stands
from core.runs.lane_whatif import WhatIfQuestions
from core.runs.store import Store
from core.structure import plan_chosen
from core.trained import trained_network
from core.training import run
from core.whatif import SAMPLE, WhatIf, compared, right_answers, sample_of

DIGITS = load("digits")
TOTALS = {"conv1/filter": 20, "fc1/neuron": 500, "stage2.1/block": 1}


def random_network(name: str) -> nn.Module:
    """A network of that name whose norms are as odd as trained ones, so that silencing a unit is not what zeroing its filter is."""
    draw = torch.Generator().manual_seed(3)
    network = build(name, num_classes=10, in_channels=1, image_size=8, generator=draw)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight.data, module.running_var):
                values.copy_(0.5 + torch.rand(len(values), generator=draw))
            for values in (module.bias.data, module.running_mean):
                values.copy_(torch.randn(len(values), generator=draw) * 0.3)
    return network.eval()


# intervals


@pytest.mark.parametrize(("right", "total"), [(250, 256), (256, 256), (0, 256), (1, 3), (128, 256)])
def test_the_wilson_interval_holds_the_shares_that_a_score_test_does_not_reject(right, total):
    def distance(p):
        return abs(right / total - p) - Z * math.sqrt(p * (1 - p) / total)

    low, high = wilson(right, total)
    assert low <= right / total <= high
    for end, beyond in ((low, low - 1e-6), (high, high + 1e-6)):
        assert end in (0.0, 1.0) or abs(distance(end)) < 1e-12
        assert not 0 < beyond < 1 or distance(beyond) > 0


@pytest.mark.parametrize(("lost", "won", "total"), [(11, 3, 256), (0, 0, 256), (5, 0, 40), (0, 9, 10)])
def test_the_paired_interval_is_that_of_a_mean_with_one_more_image_lost_and_one_more_won(lost, won, total):
    each = torch.tensor([-1.0] * (lost + 1) + [1.0] * (won + 1) + [0.0] * (total - lost - won), dtype=torch.float64)
    value, low, high = paired_difference(lost, won, total)
    half = Z * float(each.var(correction=0) / len(each)) ** 0.5
    assert value == pytest.approx((won - lost) / total)
    assert (low, high) == pytest.approx((max(-1, float(each.mean()) - half), min(1, float(each.mean()) + half)))


# words


def test_units_written_from_the_higher_to_the_lower_are_refused():
    with pytest.raises(BadInput, match="got '3-1'; write 1-3"):
        parsed("conv1/filter=3-1", TOTALS)


def test_crossed_units_are_written_short_and_read_back():
    crossed = {"conv1/filter": [0, 3, 4, 5, 9], "stage2.1/block": [0]}
    text = written(crossed, TOTALS)
    assert text == "conv1/filter=0,3-5,9;stage2.1/block"
    assert parsed(text, TOTALS) == crossed and parsed("", TOTALS) == {}
    assert parsed("conv1/filter=2;conv1/filter=2,1", TOTALS) == {"conv1/filter": [1, 2]}


@pytest.mark.parametrize(("text", "said"), [
    ("conv1/filter=20", "units of conv1/filter must be from 0 to 19; got 20"), ("conv1/filter=a", "whole numbers with commas or ranges"),
    ("conv2/filter=1", "a crossed site must be one of conv1/filter"), ("conv1/shape=1", "must end in filter, neuron, group, block"),
])  # fmt: skip
def test_what_cannot_be_crossed_out_is_said_in_a_sentence(text, said):
    with pytest.raises(BadInput, match=said):
        parsed(text, TOTALS)


def test_a_threshold_means_living_units_at_or_below_it_and_no_blocks():
    sites = [
        {"site": "a/filter", "importance": [0.2, 0.5, 0.0, 0.5001], "alive": [True, True, True, True]},
        {"site": "b/filter", "importance": [0.1, 0.1], "alive": [False, True]},
        {"site": "c/block", "importance": None, "alive": [True]},
    ]
    assert beneath(sites, 0.5) == {"a/filter": [0, 1], "b/filter": [1]} and beneath(sites, 0.0) == {}
    with pytest.raises(BadInput, match="threshold must be a number of at least 0; got -1"):
        beneath(sites, -1)
    assert together({"a": [2]}, {"a": [1], "b": []}) == {"a": [1, 2]} and without({"a": [1, 2]}, {"a": [2, 1]}) == {}
    assert checked_against({"conv1/filter": [3, 3]}, TOTALS) == {"conv1/filter": [3]}


# the network


CASES = {
    "resnet20": ({"stage1.0.conv1/filter": [0, 7], "stage2.1/block": [0]}, {"stage1.0.bn1": [0, 7]}, ["stage2.1"]),
    "resnext20": ({"stage1.0.conv2/group": [0, 5], "stage3.1/block": [0]}, {"stage1.0.bn2": [0, 1, 10, 11]}, ["stage3.1"]),
    "lenet": ({"conv1/filter": [1], "fc1/neuron": [0, 499]}, {"conv1": [1], "fc1": [0, 499]}, []),
}  # fmt: skip


@pytest.mark.parametrize("name", ["resnet20", "resnext20", "lenet"])
def test_what_is_left_answers_as_the_network_with_the_units_silenced_by_hooks_in_float64(name):
    crossed, silent, blocks = CASES[name]
    network = random_network(name)
    if name == "resnext20":
        per = network.get_submodule("stage1.0.conv2").out_channels // 32
        silent = {"stage1.0.bn2": [g * per + i for g in (0, 5) for i in range(per)]}
    asked = WhatIf(network, DIGITS, name)
    done = asked.cut(crossed)
    images = DIGITS.normalise(asked.sample.images).double()
    judge = random_network(name).double()
    for path, units in silent.items():
        judge.get_submodule(path).register_forward_hook(
            lambda m, x, y, units=units: y.index_fill(1, torch.tensor(units), 0.0)
        )
    for path in blocks:
        block = judge.get_submodule(path)
        block.forward = lambda x, block=block: F.relu(block.shortcut(x))
    with torch.inference_mode():
        wanted = judge(images)
        got = copy.deepcopy(done.compact).double()(images)
    assert float((wanted - got).abs().max()) < 1e-6 * float(wanted.abs().max())  # constants were carried in float32
    right = (wanted.argmax(1) == asked.sample.labels).double().mean()
    assert asked.on_sample(done)["compact"]["accuracy"] == float(right)
    proof = asked.prove(done)
    assert proof.verdict == "exact" and proof.reference == "masked"
    assert set(blocks) <= set(done.plan.removed_blocks)


def test_macs_and_what_leaves_are_the_knifes():
    asked = WhatIf(random_network("resnet20"), DIGITS, "resnet20")
    done = asked.cut({"stage2.1.conv1/filter": [1, 2, 30]})
    plan = plan_chosen(asked.model, asked.example, {"stage2.1.bn1/norm": [1, 2, 30]}, source="resnet20")
    assert done.plan == plan and plan.removed == {"stage2.1.conv1/filter": [1, 2, 30]}
    assert (
        done.dense_cost.macs - done.compact_cost.macs == 3 * 2 * 32 * 9 * 4 * 4
    )  # three filters of 3x3 x 32 in, and 32 out, at 4x4
    assert asked.cut({}).plan.nothing_removed


def test_crossing_a_whole_layer_out_leaves_a_network_that_says_one_thing_to_all():
    asked = WhatIf(random_network("lenet"), DIGITS, "lenet")
    done = asked.cut({"conv2/filter": list(range(50))})
    assert asked.prove(done).verdict == "inconclusive" and done.compact_cost.macs_per_image == 0
    whole = asked.cut({"conv1/filter": list(range(20)), "fc1/neuron": [3]})
    assert len(set(right_answers(whole.compact, asked.sample, DIGITS).tolist())) == 2


def test_a_site_that_runs_at_full_width_is_refused_with_its_reason(monkeypatch):
    asked = WhatIf(random_network("lenet"), DIGITS, "lenet")
    monkeypatch.setattr(WhatIf, "_closed", lambda self, layer, module: "conv1 is kept at full width: no rule for it")
    with pytest.raises(BadInput, match="conv1/filter must be a site that the knife can narrow; conv1 is kept"):
        asked.cut({"conv1/filter": [0]})


def test_the_sites_say_importance_over_the_layers_mean_and_what_lives():
    network = random_network("resnext20")
    network.get_submodule("stage1.0.conv2").weight.data[0].zero_()
    rows = {row.site: row for row in WhatIf(network, DIGITS, "x").sites("l1")}
    assert list(rows) == [site.site for site in crossable(network)]
    weight = network.get_submodule("stage1.0.conv2").weight.double().abs().flatten(1).sum(1)
    wanted = (weight / weight.mean()).view(32, -1).mean(1)
    row = rows["stage1.0.conv2/group"]
    assert torch.allclose(torch.tensor(row.importance, dtype=torch.float64), wanted.detach())
    assert row.alive == [False] + [True] * 31  # 32 conv groups of one filter
    assert rows["stage2.1/block"].importance is None and rows["stage2.1/block"].alive == [True] and row.closed == ""


def test_the_sample_is_drawn_from_validation_images_once_for_ever():
    drawn, again = sample_of(DIGITS.val), sample_of(DIGITS.val)
    assert len(drawn) == SAMPLE and torch.equal(drawn.images, again.images)
    assert drawn.labels[:12].tolist() == [int(n) for n in sample_of(DIGITS.val).labels[:12]]
    rows = {image.numpy().tobytes() for image in DIGITS.val.images}
    assert len({image.numpy().tobytes() for image in drawn.images} & rows) >= SAMPLE - 2
    few = type(DIGITS.val)(DIGITS.val.images[:30], DIGITS.val.labels[:30])
    assert len(sample_of(few)) == 30


def test_two_networks_are_compared_image_by_image():
    told = compared(torch.tensor([True, True, True, False]), torch.tensor([True, False, False, True]))
    assert told["dense"]["accuracy"] == 0.75 and told["compact"]["accuracy"] == 0.5 and told["images"] == 4
    assert told["difference"]["value"] == -0.25 and (told["difference"]["lost"], told["difference"]["won"]) == (2, 1)


# zeros that stay


@pytest.mark.parametrize("name", ["resnet20", "resnext20", "lenet"])
def test_zeros_in_place_of_crossed_units_say_what_their_silence_says(name):
    crossed = CASES[name][0]
    network = random_network(name)
    asked = WhatIf(network, DIGITS, name)
    with torch.inference_mode():
        wanted = asked.cut(crossed).compact.double()(DIGITS.normalise(asked.sample.images).double())
        masks = cross_out_(network, crossed)
        got = network.double()(DIGITS.normalise(asked.sample.images).double())
    assert float((wanted - got).abs().max()) < 1e-9 * float(wanted.abs().max())
    assert all(bool((network.get_parameter(name)[mask] == 0).all()) and mask.any() for name, mask in masks.items())


def test_fine_tuning_keeps_crossed_blocks_and_conv_groups_zero():
    network = random_network("resnext20").train()
    masks = cross_out_(network, CASES["resnext20"][0])
    method = start(Phase(method="dense", freeze="structures"), network, 0.9, 1e-4)
    assert all(
        bool(method.frozen[name][mask].all()) for name, mask in masks.items()
    )  # the existing freezing sees them all
    optimizer = torch.optim.SGD(method.parameter_groups(), lr=0.1, momentum=0.9)
    images, labels = DIGITS.normalise(DIGITS.train.images[:16]), DIGITS.train.labels[:16]
    before = network.get_submodule("stage1.0.conv1").weight.clone()
    for _ in range(2):
        method.backward_(lambda net, x, y: (net(x), F.cross_entropy(net(x), y)), images, labels)
        optimizer.step()
        method.after_step_(0.1, 1.0)
        optimizer.zero_grad()
    assert all(bool((network.get_parameter(name)[mask] == 0).all()) for name, mask in masks.items())
    assert not torch.equal(before, network.get_submodule("stage1.0.conv1").weight)


@pytest.mark.parametrize(("changes", "said"), [
    ({"crossed": {"conv1/filter": [0]}}, "crossed must be empty unless the first phase starts from the weights of a source; got starts_from 'scratch'"),
    ({"crossed": {"conv1/shape": [0]}}, "crossed must name sites of filters, neurons, conv groups or blocks"),
    ({"crossed": {"conv1/filter": [-1]}}, "crossed must list units of conv1/filter, each at least 0; got"),
    ({"crossed": {"conv1/filter": []}}, "leave out a site without any"),
])  # fmt: skip
def test_settings_with_crossed_units_that_cannot_be_are_refused(changes, said):
    with pytest.raises(BadInput, match=said.replace("[", r"\[")):
        checked(RunConfig().model_dump(mode="json") | changes)


def test_fine_tuning_by_hand_goes_on_from_the_run_with_all_that_was_crossed_out_on_the_way():
    config = preset("digits-ssl").config
    assert hand_tuning(config) == (12, config.phases[-1].lr / 10)
    tuned = hand_tuned(config, "a-run", {"conv1/filter": [3, 1]}, 4, 0.01)
    (phase,) = tuned.phases
    assert (phase.method, phase.starts_from, phase.freeze, phase.epochs, phase.lr) == (
        "dense",
        "source",
        "structures",
        4,
        0.01,
    )
    assert tuned.crossed == {"conv1/filter": (1, 3)} and tuned.source == "a-run"
    assert hand_tuned(tuned, "b-run", {"conv1/filter": [2]}, 4, 0.01).crossed == {"conv1/filter": (1, 2, 3)}
    nested = preset("digits-nested").config
    assert hand_tuned(nested, "n-run", {"stage2.1/block": [0]}, 4, 0.01).phases[0].method == "dense"


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """(runs folder, a run of one epoch, one fine-tuned from it by hand): LeNet on digits."""
    root = tmp_path_factory.mktemp("whatif")
    store = Store(root)
    settings = {
        "network": "lenet",
        "measure_every": 0,
        "threads": 1,
        "batch_size": 128,
        "phases": [{"method": "dense", "epochs": 1, "lr": 0.05}],
    }
    config = checked(RunConfig().model_dump(mode="json") | settings)
    names = []
    for _ in range(2):
        name = new_run(
            store, config, **({"family": names[0], "parent": names[0], "role": by_hand.ROLE} if names else {})
        )
        result = None
        recorder = Recorder(RunFolder(root / name))
        for event in run(config, folder=root / name):
            recorder.record(event)
            if event.type == "finished":
                result = event.result
        store.claim(name, 1, 1.0)
        store.set_state(name, "finished", result=result)
        names.append(name)
        config = hand_tuned(config, names[0], {"conv1/filter": [0, 1], "fc1/neuron": [7]}, 2, 0.02)
    return root, *names


def test_a_run_fine_tuned_by_hand_keeps_crossed_units_zero_and_leaves_exactly(family):
    root, first, tuned = family
    network = trained_network(root / tuned / "checkpoints" / "00002.safetensors")[0]
    for path, units in (("conv1", [0, 1]), ("fc1", [7])):
        layer = network.get_submodule(path)
        assert not layer.weight[units].any() and not layer.bias[units].any()
        assert layer.bias[8:].any()
    before = trained_network(root / first / "checkpoints" / "00001.safetensors")[0]
    assert not torch.equal(before.get_submodule("conv2").weight, network.get_submodule("conv2").weight)
    result = Store(root).get(tuned).result
    assert result["certificate"]["verdict"] == "exact" and result["removed"] == {
        "filter": 2,
        "neuron": 1,
        "shape": 0,
        "block": 0,
        "layer": 0,
    }


def test_a_fine_tuned_run_that_goes_on_after_a_kill_ends_with_the_same_weights(family, tmp_path):
    root, _, tuned = family
    config = checked(Store(root).get(tuned).config)
    folder = root / "killed"
    for event in run(config, folder=folder):
        if event.type == "checkpointed" and event.epoch == 1:
            break
    for _ in run(config, folder=folder, resume=True):
        pass
    one, other = (
        trained_network(root / name / "checkpoints" / "00002.safetensors")[0].state_dict() for name in (tuned, "killed")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_unit_that_the_source_has_not_fails_in_a_sentence_before_training(family):
    root, first, _ = family
    config = hand_tuned(checked(Store(root).get(first).config), first, {"conv1/filter": [20]}, 1, 0.02)
    with pytest.raises(BadInput, match="units of conv1/filter must be from 0 to 19; got 20"):
        next(run(config, folder=root / "wrong"))


def test_fine_tuning_is_queued_in_the_family_and_refused_while_the_run_lives(family, monkeypatch):
    root, first, _ = family
    store = Store(root)
    monkeypatch.setattr(by_hand, "submit", new_run)
    name = by_hand.fine_tune(store, first, {"conv1/filter": [5]})
    row = store.get(name)
    assert (row.family, row.parent, row.role, row.state) == (first, first, "fine-tuned by hand", "queued")
    assert row.config["crossed"] == {"conv1/filter": [5]} and row.config["phases"][0]["lr"] == pytest.approx(0.005)
    with pytest.raises(WrongMoment, match="must be over to be fine-tuned from; it is queued"):
        by_hand.fine_tune(store, name, {"conv1/filter": [5]})
    with pytest.raises(BadInput, match="at least one unit"):
        by_hand.fine_tune(store, first, {})
    store.set_state(name, "stopped")
    store.set_deleted(name, True)


# asking


def test_the_lane_answers_what_would_be_left_and_proves_it(family):
    root, first, _ = family
    made = []

    def network_of(file):
        made.append(file)
        network, config, _, epoch = trained_network(file, DIGITS)
        return network, config, epoch

    lane = WhatIfQuestions(
        Stands(lambda folder, epoch: _which(folder, epoch), lambda file: network_of(Path(file)), lambda name: DIGITS)
    )
    folder = str(root / first)
    units = lane.units(folder)
    assert [row["site"] for row in units["sites"]] == ["conv1/filter", "conv2/filter", "fc1/neuron"] and units[
        "epoch"
    ] == 1
    told = lane.whatif(folder, {"conv1/filter": [0, 3]})
    assert (
        told["removed"]["filter"] == 2
        and told["sample"]["images"] == SAMPLE
        and told["split"] == {"images": len(DIGITS.val), "seed": 2018}
    )
    assert lane.proof(folder, {"conv1/filter": [0, 3]})["verdict"] == "exact"
    lane.whatif(folder, {"conv1/filter": [0, 3]})
    assert len(made) == 1 and lane.cut.cache_info().misses == 1
    json.dumps([units, told])
    with pytest.raises(BadInput, match="a crossed site must be one of"):
        lane.whatif(folder, {"conv9/filter": [0]})


def test_the_command_prices_proves_measures_and_writes(family, capsys, tmp_path):
    root, first, _ = family
    file = tmp_path / "small.safetensors"
    app(
        [
            "whatif",
            first,
            "--cross",
            "conv1/filter=0,2-3",
            "--threshold",
            "0.9",
            "-o",
            str(file),
            "--json",
            "--runs",
            str(root),
        ],
        standalone_mode=False,
    )
    told = json.loads(capsys.readouterr().out)
    assert file.exists() and {0, 2, 3} <= set(told["crossed"]["conv1/filter"])
    assert told["removed"]["filter"] == len(told["crossed"]["conv1/filter"]) + len(
        told["crossed"].get("conv2/filter", [])
    )
    assert (
        told["macs"]["compact"] < told["macs"]["dense"]
        and told["certificate"]["verdict"] == "exact"
        and told["certificate"]["reference"] == "masked"
    )
    assert (
        told["test"]["images"] == len(DIGITS.test)
        and told["accuracy"]["compact"] == told["test"]["compact"]["accuracy"]
    )
    for wrong, said in (
        ([], "must be told what to cross out"),
        (["--cross", "conv1", "--importance", "l2"], "--importance must come with"),
    ):
        with pytest.raises(BadInput, match=said):
            app(["whatif", first, *wrong, "--runs", str(root)], standalone_mode=False)


def test_a_run_that_has_not_begun_has_no_sites_to_cross(tmp_path):
    with pytest.raises(WrongMoment, match="must have a record of its sites; it has none yet"):
        by_hand.totals_of(RunFolder(tmp_path))


def test_the_price_while_crossing_out_is_asked_of_validation_images():
    """Test images are for the last word alone."""
    asked = WhatIf(random_network("lenet"), DIGITS, "lenet")
    assert torch.equal(asked.sample.images, sample_of(DIGITS.val).images)
    assert not torch.equal(asked.sample.images, sample_of(DIGITS.test).images)
