"""The run as a generator: what must hold whatever the numbers."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from core import checkpoint, checkpoint_file, training
from core.config import Steer, with_settings
from core.controls import Controls, Request
from core.cut import accuracy, cut, prove, reasons
from core.data import load
from core.events import Notice
from core.presets import dense_control, preset
from core.runs.folder import Recorder, RunFolder
from core.watching import evaluate

torch.set_num_threads(1)
LENET = with_settings(preset("digits-lenet").config, {"epochs": 3, "measure_every": 0, "threads": 1})
RESNET = with_settings(preset("digits-sss").config, {"epochs": 2, "measure_every": 0, "threads": 1, "lr": 0.02})


def finished(config, **how):
    events = list(training.run(config, **how))
    return events, next(e for e in events if e.type == "finished").result


def test_one_seed_gives_one_set_of_weights_and_another_seed_another():
    first, again, other = (
        finished(c)[1]["weights_sha256"] for c in (LENET, LENET, LENET.model_copy(update={"seed": 1}))
    )
    assert first == again != other


def test_events_come_in_order_with_one_epoch_each():
    events, result = finished(RESNET)
    assert events[0].type == "started" and events[-1].type == "finished"
    assert [e.epoch for e in events if e.type == "epoch_done"] == [0, 1, 2]
    structures = [e for e in events if e.type == "structure"]
    assert [len(e.values) for e in structures] == [345] * 3  # 336 filters and 9 blocks
    assert all(e.values.flags.owndata for e in structures)
    assert np.all(structures[0].values == 1) and not np.all(structures[-1].values == 1)
    assert result["certificate"]["verdict"] in ("exact", "nothing-removed")


def test_measuring_speed_changes_no_weight():
    with_speed = RESNET.model_copy(update={"measure_every": 1})
    events, result = finished(with_speed)
    assert any(e.type == "speed" for e in events)
    assert result["weights_sha256"] == finished(RESNET)[1]["weights_sha256"]


def test_an_interrupted_run_ends_with_the_weights_of_one_never_interrupted(tmp_path):
    whole = finished(LENET, folder=tmp_path / "whole")[1]["weights_sha256"]
    recorder = Recorder(RunFolder(tmp_path / "cut"))
    for event in training.run(LENET, folder=tmp_path / "cut"):
        recorder.record(event)
        if event.type == "structure" and event.epoch == 2:  # the checkpoint after epoch 2 is not written
            break
    facts = checkpoint.load(checkpoint_file.latest(tmp_path / "cut" / "checkpoints"))[1]
    assert facts["epoch"] == 1
    recorder.roll_back(facts["step"], facts["epoch"])
    for event in training.run(LENET, folder=tmp_path / "cut", resume=True):
        recorder.record(event)
    events = recorder.folder.events()[0]
    assert [e["epoch"] for e in events if e["type"] == "epoch_done"] == [0, 1, 2, 3]
    assert len(recorder.folder.history()[0]) == 4
    assert events[-1]["result"]["weights_sha256"] == whole


def without_times(events):
    timed = {"seconds", "processor_seconds", "seconds_left", "images_per_s", "result", "resumed", "version"}
    kept = ("epoch_done", "collapsed", "revived", "checkpointed", "phase_started")
    return [{k: v for k, v in e.to_json().items() if k not in timed} for e in events if e.type in kept]


def test_a_resumed_run_says_what_one_never_interrupted_says_and_counts_all_its_time(tmp_path):
    """Also what has collapsed before the stop: it is not announced again."""
    wanted = with_settings(
        RESNET,
        {"epochs": 5, "strength_filter": 0.5, "strength_block": 0.5, "lr": 0.05, "strength_schedule": "constant"},
    )
    whole = list(training.run(wanted, folder=tmp_path / "whole"))
    first = []
    for event in training.run(wanted, folder=tmp_path / "cut"):
        first.append(event)
        if event.type == "checkpointed" and event.epoch == 4:
            break
    assert any(e.type == "collapsed" for e in first)
    stood = checkpoint.load(checkpoint_file.latest(tmp_path / "cut" / "checkpoints"))[1]
    rest = list(training.run(wanted, folder=tmp_path / "cut", resume=True))
    assert without_times(first + rest) == without_times(whole)
    ended, straight = (
        checkpoint.load(checkpoint_file.latest(tmp_path / name / "checkpoints"))[1] for name in ("cut", "whole")
    )
    times = ("seconds", "processor_seconds")
    assert {k: v for k, v in ended.items() if k not in times} == {k: v for k, v in straight.items() if k not in times}
    assert ended["collapsed"] and all(ended[name] > stood[name] > ended[name] / 2 for name in times)


class Hand(Controls):
    """A person who changes a strength at one step."""

    def __init__(self, at, kind, value):
        super().__init__()
        self.at, self.kind, self.value, self.took = at, kind, value, []

    def due(self, step):
        return [Request("strength", self.kind, self.value)] if step == self.at else []

    def applied(self, request, step):
        self.took.append(step)


def test_a_run_steered_by_hand_is_replayed_to_the_same_weights():
    hand = Hand(20, "filter", 0.3)
    events, steered = finished(LENET, controls=hand)
    mark = next(e for e in events if e.type == "steered")
    assert hand.took == [20] and (mark.step, mark.value) == (20, 0.3)
    replay = LENET.model_copy(update={"steering": (Steer(step=20, kind="filter", value=0.3),)})
    assert finished(replay)[1]["weights_sha256"] == steered["weights_sha256"] != finished(LENET)[1]["weights_sha256"]


def test_a_strength_of_a_kind_the_network_lacks_is_said_not_swallowed():
    events, _ = finished(LENET, controls=Hand(3, "block", 0.1))
    assert any(e.type == "notice" and "has no effect" in e.text for e in events)


def test_a_loss_that_is_no_number_ends_the_run_with_the_remedy():
    wild = with_settings(LENET, {"lr": 10})
    with pytest.raises(training.Diverged, match=r"the loss must stay finite; got .*; lower lr"):
        list(training.run(wild))


def test_the_dense_control_keeps_everything_and_says_so():
    events, result = finished(dense_control(RESNET))
    assert result["certificate"]["verdict"] == "nothing-removed"
    assert all(e.alive.all() for e in events if e.type == "structure")


def test_phases_hand_their_weights_on_and_count_epochs_through():
    first = RESNET.phases[0].model_copy(update={"epochs": 1})
    second = first.model_copy(update={"method": "dense", "starts_from": "previous", "name": "fine-tune"})
    two = RESNET.model_copy(update={"phases": (first, second)})
    events, _ = finished(two)
    assert [(e.phase, e.epoch) for e in events if e.type == "epoch_done"] == [(0, 0), (0, 1), (1, 2)]
    assert {len(e.values) for e in events if e.type == "structure"} == {345}


def test_what_a_phase_does_not_learn_is_watched_all_the_same():
    only_blocks = with_settings(RESNET, {"kinds": ["block"], "strength_block": 5, "epochs": 1})
    learned = only_blocks.phases[0]
    then = learned.model_copy(update={"method": "dense", "starts_from": "previous", "lr": 1e-9})
    events, result = finished(only_blocks.model_copy(update={"phases": (learned, then)}))
    counts = [e.alive for e in events if e.type == "epoch_done"]
    assert len(counts[0]) == 18 and sum(counts[0].values()) == 345
    dead = [s for s, n in counts[1].items() if n == 0 and s.endswith("/block")]
    assert dead and result["removed"]["block"] == 0, "the second phase revived them a little: not exactly zero, not cut"


def killed_network():
    """A ResNet-20 a few steps into training, with one dead block, one layer without filters, and dead filters."""
    run = training.Training(RESNET, None, None, Controls())
    for event in run.run(False):
        if event.type == "epoch_done" and event.epoch == 1:
            break
    factors = {s.site: f for s, f in zip(run.method.sites, run.method.factors, strict=True)}
    with torch.no_grad():
        factors["stage1.0/block"].zero_()
        factors["stage2.1.conv1/filter"].zero_()
        factors["stage3.0.conv1/filter"][3:40] = 0
    return run


def test_a_product_too_small_for_float32_is_proved_and_not_cut():
    """Factor times scale is zero in float32 and not in float64, where the proof multiplies: such a unit stays."""
    run = killed_network()
    factors = {s.site: f for s, f in zip(run.method.sites, run.method.factors, strict=True)}
    with torch.no_grad():
        factors["stage3.1.conv1/filter"][7] = 1e-30
        norm = run.network.get_submodule("stage3.1.bn1")
        norm.weight[7] = norm.bias[7] = 1e-20
    done = cut(run.network, run.dataset, "resnet20")
    assert "stage3.1.conv1/filter" not in done.plan.removed and done.plan.removed["stage3.0.conv1/filter"]
    assert prove(run.network, done, run.dataset).verdict == "exact"


def test_dead_blocks_and_filters_leave_exactly_and_the_network_is_untouched():
    run = killed_network()
    before = checkpoint.weights_sha256(run.network.state_dict())
    done = cut(run.network, run.dataset, "resnet20")
    proof = prove(run.network, done, run.dataset)
    assert proof.verdict == "exact" and proof.max_rel < 1e-12 and proof.reference == "unmodified"
    assert len(proof.sizes) == 2 and done.plan.removed_blocks == ["stage1.0", "stage2.1"]
    why = reasons(done, run.dataset)
    assert sum(why["units"].values()) == sum(row["total"] for row in why["sites"])
    assert {row["site"]: row["removed"] for row in why["sites"]}["stage1.0.conv1/filter"] == 16
    assert {"stage1.0.conv1/layer", "stage1.0.conv2/layer"} <= {
        p if "/" in p else f"{p}/layer" for p in done.plan.removed_layers
    }
    paths = {name for name, _ in done.compact.named_modules()}
    assert not any(p.startswith("stage1.0.conv") for p in paths) and not any(
        p.startswith("stage2.1.conv1") for p in paths
    )
    assert done.compact.get_submodule("stage3.0.conv1").out_channels == 64 - 37
    assert done.compact_cost.macs < done.dense_cost.macs
    assert checkpoint.weights_sha256(run.network.state_dict()) == before


def test_survival_counts_a_block_without_filters_as_dead():
    run = killed_network()
    survival = run.method.survival()
    start = {}
    at = 0
    for site in run.method.sites:
        start[site.site] = slice(at, at + site.total)
        at += site.total
    assert survival.alive[start["stage2.1/block"]].sum() == 0  # its only learned layer has no filter left
    assert survival.alive[start["stage1.0.conv1/filter"]].sum() == 0  # it hangs in a dead block
    assert survival.alive[start["stage3.0.conv1/filter"]].sum() == 27
    assert survival.alive[start["stage3.1/block"]].sum() == 1


def test_a_checkpoint_is_read_back_to_the_last_bit_without_pickle(tmp_path):
    list(
        training.run(
            LENET.model_copy(update={"phases": (LENET.phases[0].model_copy(update={"epochs": 1}),)}), folder=tmp_path
        )
    )
    file = checkpoint_file.latest(tmp_path / "checkpoints")
    tensors, facts = checkpoint.load(file)
    assert file.name == "00001.safetensors" and facts["epoch"] == 1
    checkpoint.save(tmp_path / "again.safetensors", tensors, {k: v for k, v in facts.items() if k != "version"})
    again, _ = checkpoint.load(tmp_path / "again.safetensors")
    assert all(torch.equal(tensors[k], again[k]) for k in tensors) and tensors.keys() == again.keys()
    assert b"pickle" not in file.read_bytes()[:4096]


def test_a_checkpoint_cut_short_is_passed_over_for_the_one_before(tmp_path):
    for n in (1, 2):
        checkpoint.save(tmp_path / f"0000{n}.safetensors", {"a": torch.ones(1000)}, {"epoch": n})
    damaged = tmp_path / "00002.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:500])
    assert checkpoint_file.latest(tmp_path).name == "00001.safetensors"
    with pytest.raises(ValueError, match="must be a whole checkpoint of Espalier; got SafetensorError"):
        checkpoint.load(damaged)


def test_subnormal_numbers_are_flushed_in_every_computing_thread():
    torch.set_flush_denormal(True)
    tiny = torch.full((1 << 20,), 1e-30)
    assert float((tiny * 1e-12).abs().max()) == 0.0
    assert not math.isnan(float(tiny.sum()))


@pytest.mark.slow
def test_the_lenet_preset_removes_filters_and_keeps_its_accuracy():
    _, result = finished(with_settings(preset("digits-lenet").config, {"measure_every": 0, "threads": 1}))
    assert result["certificate"]["verdict"] == "exact"
    assert result["macs_per_image"]["compact"] < 0.5 * result["macs_per_image"]["dense"]
    assert result["accuracy"]["compact"] > 0.9


def test_validation_accuracy_is_that_of_the_validation_images():
    """A data set whose splits have different right answers, and a network that always says 0."""
    whole = load("digits", None)
    split = {
        name: replace(getattr(whole, name), labels=torch.full_like(getattr(whole, name).labels, label))
        for name, label in (("train", 1), ("val", 0), ("test", 2))
    }
    dataset = replace(whole, **split)

    class Zero(torch.nn.Module):
        def forward(self, x):
            return torch.eye(10)[torch.zeros(len(x), dtype=torch.long)]

    assert evaluate(Zero(), dataset, RESNET)[1] == 1.0
    assert [accuracy(Zero(), dataset, name) for name in ("train", "val", "test")] == [0.0, 1.0, 0.0]


def test_a_strength_changed_before_a_checkpoint_holds_after_it(tmp_path):
    """Its request is older than the checkpoint, so that no replay brings it back."""
    config, folder = with_settings(LENET, {"epochs": 3}), tmp_path / "run"
    for event in training.run(config, folder=folder, controls=Hand(3, "filter", 0.3)):
        if event.type == "checkpointed" and event.epoch == 2:
            break
    again = training.Training(config, folder, None, Controls())
    next(again.run(resume=True))
    assert again.epoch == 2 and again.method.strengths == {"filter": 0.3}


def test_a_checkpoint_whose_event_was_lost_to_a_kill_is_told_after_rolling_back(tmp_path):
    folder = RunFolder(tmp_path)
    recorder = Recorder(folder)
    told = [Notice(step=n, epoch=n // 10, text="") for n in (0, 10, 20, 25)]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(event.to_json()) + "\n" for event in told))
    recorder.roll_back(20, 2)
    kept = folder.events()[0]
    assert [event["step"] for event in kept] == [0, 10, 20, 20]
    assert (kept[-1]["type"], kept[-1]["file"]) == ("checkpointed", "00002.safetensors")
    recorder.roll_back(20, 2)
    assert folder.events()[0] == kept
