"""Families of runs: seeds, controls, sweeps, the search for a strength, and runs that start from another."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from conftest import ROOT

from core import training
from core.anew import draw_shape
from core.config import checked, with_settings
from core.errors import BadInput
from core.networks import build
from core.presets import PRESETS, dense_control, preset, scratch_control
from core.runs import families
from core.runs.folder import RunFolder
from core.runs.store import Store
from core.trained import trained_network

LENET = with_settings(preset("digits-lenet").config, {"epochs": 2, "measure_every": 0, "threads": 1, "batch_size": 256})


@pytest.fixture
def quiet(tmp_path, monkeypatch):
    """A store whose queue nobody works on."""
    monkeypatch.setattr("core.runs.control.ensure_dispatcher", lambda root: None)
    monkeypatch.setenv("ESPALIER_RUNS", str(tmp_path))
    return Store(tmp_path)


def test_an_experiment_is_a_run_for_each_seed_with_its_controls_in_one_family(quiet):
    names = list(families.experiment(quiet, LENET, (3, 4), controls=True))
    rows = [quiet.get(name) for name in names]
    assert [row.role for row in rows] == ["method", "dense control", "scratch control"] * 2
    assert [row.seed for row in rows] == [3, 3, 3, 4, 4, 4] and len({row.family for row in rows}) == 1
    assert rows[1].parent == rows[2].parent == names[0] and rows[5].config["source"] == names[3]


def test_controls_train_as_long_and_learn_nothing():
    config = checked({
        "network": "lenet",
        "phases": [
            {"method": "ssl", "kinds": ["filter"], "strength_filter": 0.1, "epochs": 3},
            {"method": "dense", "epochs": 2, "freeze": "structures", "starts_from": "previous"},
        ],
    })  # fmt: skip
    dense, scratch = dense_control(config), scratch_control(config, "some-run")
    assert dense.epochs == scratch.epochs == 5
    for control in (dense, scratch):
        assert {p.method for p in control.phases} == {"dense"} and not any(p.strength_filter for p in control.phases)
    assert scratch.phases[0].starts_from == "shape" and scratch.source == "some-run"
    assert {p.freeze for p in dense.phases} == {"nothing"} and scratch.phases[0].ema == 0.0
    averaged = config.model_copy(
        update={"phases": (config.phases[0], config.phases[1].model_copy(update={"ema": 0.99}))}
    )
    assert scratch_control(averaged, "some-run").phases[0].ema == 0.99, "weights are averaged in all or in none"
    checked(scratch.model_dump(mode="json"))


def test_a_sweep_goes_from_weak_to_strong_and_warm_runs_start_from_the_one_before(quiet):
    names = families.sweep(quiet, LENET, (2, 0.5, 1), warm=True)
    rows = [quiet.get(name).config for name in names]
    full = LENET.phases[0].strength_filter
    assert [row["phases"][0]["strength_filter"] for row in rows] == [0.5 * full, full, 2 * full]
    assert [row["source"] for row in rows] == ["", names[0], names[1]]
    assert [row["phases"][0]["starts_from"] for row in rows] == ["scratch", "source", "source"]
    with pytest.raises(BadInput, match="must have a phase that learns structure; digits-dense has none"):
        families.sweep(quiet, preset("digits-dense").config, (1,))


def test_a_sweep_with_controls_has_one_dense_control_a_seed_and_a_shape_from_scratch_for_every_run(quiet):
    names = families.sweep(quiet, LENET, (1, 2), seeds=(3, 4), controls=True)
    rows = [quiet.get(name) for name in names]
    assert [row.role for row in rows] == 2 * ["method", "dense control", "scratch control", "method", "scratch control"]
    assert [row.seed for row in rows] == 5 * [3] + 5 * [4] and {row.family for row in rows} == {names[0]}
    assert rows[4].config["source"] == rows[4].parent == names[3]


def test_the_runs_of_a_family_come_in_the_order_in_which_they_were_made_without_the_deleted(quiet):
    names = list(families.experiment(quiet, LENET, (1, 2), controls=True))
    next(iter(families.experiment(quiet, LENET, (1,), controls=False)))
    assert [row.id for row in quiet.family(names[0])] == names
    quiet.set_deleted(names[2], True)
    assert [row.id for row in quiet.family(names[0])] == [n for n in names if n != names[2]]


@pytest.mark.parametrize(("text", "says"), [("1,x", "1,x"), ("", ""), ("0", "0"), ("nan", "nan"), ("-1", "-1")])
def test_numbers_between_commas_are_positive_or_one_sentence(text, says):
    with pytest.raises(BadInput, match=f"Factors must be positive numbers with commas; got '{says}'; for example"):
        families.numbers(text, "Factors")
    assert families.numbers(" 0.5, 2,", "Factors") == [0.5, 2.0]


def test_seeds_are_whole_numbers_none_of_nothing_or_one_sentence():
    assert families.whole_numbers(None, "Seeds") == families.whole_numbers(" ", "Seeds") == []
    assert families.whole_numbers("0, 2", "Seeds") == [0, 2]
    with pytest.raises(BadInput, match=r"Seeds must be whole numbers with commas; got '1\.5'"):
        families.whole_numbers("1.5", "Seeds")
    for text, rule in (("²", "whole numbers"), ("0,0", "different numbers")):
        with pytest.raises(BadInput, match=rule):
            families.whole_numbers(text, "Seeds")


def test_the_strengths_of_settings_are_those_that_act():
    config = preset("digits-ssl").config.model_dump(mode="json")
    assert families.strengths_of(config) == {"filter": 0.035, "shape": 0.015}
    assert families.strengths_of(preset("digits-dense").config.model_dump(mode="json")) == {}


@pytest.mark.slow
def test_run_trains_a_seed_and_its_controls_one_after_another(tmp_path):
    command = [sys.executable, "-m", "core", "run", "digits-lenet", "--runs", str(tmp_path), "--json"]
    short = ["--set", "epochs=1", "--set", "batch_size=512", "--set", "measure_every=0"]
    done = subprocess.run([*command, *short, "--seeds", "4", "--controls"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [(r["role"], r["seed"]) for r in document["runs"]] == [
        (role, 4) for role in ("method", "dense control", "scratch control")
    ]
    assert {r["state"] for r in document["runs"]} == {"finished"}
    assert {r["family"] for r in document["runs"]} == {document["family"]} == {document["runs"][0]["run"]}
    nowhere = ["--set", "source=nobody", "--set", "starts_from=source"]
    failed = subprocess.run([*command, *short, *nowhere, "--controls"], cwd=ROOT, capture_output=True, text=True)
    rows = json.loads(failed.stdout)["runs"]
    assert failed.returncode == 1 and "source must name a run" in failed.stderr
    assert [r["state"] for r in rows] == ["failed"], "what comes after a run that failed is not begun"


def test_a_run_waits_for_the_run_it_starts_from(quiet):
    first, second = families.sweep(quiet, LENET, (1, 2), warm=True)
    (other,) = families.experiment(quiet, LENET, (0,), controls=False)
    assert quiet.next_queued() == first
    quiet.set_state(first, "running")
    assert quiet.next_queued() == other
    quiet.set_state(first, "finished")
    assert quiet.next_queued() == second


def test_a_run_does_not_wait_for_one_that_was_deleted(quiet):
    first, second = families.sweep(quiet, LENET, (1, 2), warm=True)
    quiet.set_deleted(first, True)
    assert quiet.next_queued() == second


@pytest.mark.parametrize("wanted", [0.5, 0.1, 0.9])
def test_the_search_bisects_until_what_is_left_is_just_below_the_target(wanted):
    tried = list(families.search(lambda f: SimpleNamespace(left=1 / (1 + f)), lambda run: run.left, wanted, most=30))
    assert wanted - 0.02 <= tried[-1][1].left <= wanted
    assert len(tried) < 15 and len({factor for factor, _ in tried}) == len(tried)


def test_the_search_stops_after_as_many_runs_as_it_may_train():
    assert len(list(families.search(lambda f: None, lambda run: 1.0, 0.5, most=4))) == 4


def trained(config, folder):
    return list(training.run(config, folder=folder))[-1].result


def test_a_shape_from_scratch_has_the_zeros_of_its_source_and_fresh_weights(tmp_path):
    pruned = checked(
        LENET.model_dump(mode="json") | {"phases": [{"method": "prune", "kinds": ["filter"], "keep": 0.4, "epochs": 1}]}
    )
    trained(pruned, tmp_path / "first")
    source, *_ = trained_network(tmp_path / "first" / "checkpoints" / "00001.safetensors")
    result = trained(scratch_control(pruned, "first").model_copy(update={"seed": 5}), tmp_path / "second")
    network, *_ = trained_network(tmp_path / "second" / "checkpoints" / "00001.safetensors")
    dead = (source.conv2.weight == 0).flatten(1).all(1)
    assert int(dead.sum()) == 30 and torch.equal((network.conv2.weight == 0).flatten(1).all(1), dead)
    assert not torch.equal(network.conv2.weight, source.conv2.weight)
    assert result["removed"]["filter"] >= 30 + 12 and result["certificate"]["verdict"] == "exact"


@pytest.mark.parametrize("name", [p.name for p in PRESETS])
def test_the_controls_of_every_preset_are_valid_settings(name):
    config = preset(name).config
    for control in (dense_control(config), scratch_control(config, "some-run")):
        assert checked(control.model_dump(mode="json")) == control
        assert {phase.method for phase in control.phases} == {"dense"}


def test_a_shape_from_scratch_is_drawn_for_the_inputs_that_are_left():
    """As the cut network would be drawn: uniform weights up to sqrt(3 / fan-in), dead filters upstream not counted."""
    network = build("lenet", num_classes=10, in_channels=1, image_size=28)
    with torch.no_grad():
        for part in (network.conv1.weight, network.conv1.bias):
            part[:12] = 0.0
        network.conv2.weight[:, :, 0, 0] = 0.0
    kept = draw_shape(network, seed=3)
    assert set(kept) == {"conv1.weight", "conv2.weight"}
    assert not network.conv1.weight[:12].any() and not network.conv2.weight[:, :, 0, 0].any()
    largest = {
        path: float(network.get_submodule(path).weight.detach().abs().max()) for path in ("conv1", "conv2", "fc1")
    }
    fan_in = {"conv1": 25, "conv2": 8 * 24, "fc1": 50 * 16}
    for path, bound in ((path, (3 / inputs) ** 0.5) for path, inputs in fan_in.items()):
        assert 0.97 * bound < largest[path] <= bound * (1 + 1e-6), path


def test_a_run_goes_on_from_its_sources_weights_and_says_where_there_are_none(tmp_path):
    trained(LENET, tmp_path / "first")
    phase = LENET.phases[0].model_copy(update={"starts_from": "source", "lr": 1e-9})
    later = LENET.model_copy(update={"source": "first", "phases": (phase,)})
    trained(later, tmp_path / "second")
    a, b = (trained_network(tmp_path / n / "checkpoints" / "00002.safetensors")[0] for n in ("first", "second"))
    assert torch.allclose(a.conv1.weight * a.conv1.factor.view(-1, 1, 1, 1), b.conv1.weight, atol=1e-5)
    for source, folder, says in (
        ("nobody", tmp_path / "third", "got 'nobody', which has none"),
        ("first", None, "got 'first'"),
    ):
        with pytest.raises(BadInput, match=f"source must name a run .*{says}"):
            list(training.run(later.model_copy(update={"source": source}), folder=folder))
    with pytest.raises(BadInput, match="source must be a run of the same dataset; first has digits"):
        list(training.run(later.model_copy(update={"dataset": "shapes"}), folder=tmp_path / "fourth"))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"source": "a/../b"}, "source must be the name of a run; got 'a/../b'"),
        ({"phases": [{"starts_from": "shape"}]}, "source must name a run where the first phase starts from its shape"),
        ({"phases": [{}, {"starts_from": "source"}]}, "starts_from can be 'source' in the first phase only"),
    ],
)
def test_a_source_that_cannot_be_is_one_sentence(settings, says):
    with pytest.raises(BadInput, match=says):
        checked(settings)


def test_after_fine_tuning_the_accuracies_before_and_after_stand_side_by_side(tmp_path):
    config = checked(LENET.model_dump(mode="json") | {
        "phases": [
            {"method": "prune", "kinds": ["filter"], "keep": 0.3, "epochs": 1},
            {"method": "dense", "freeze": "structures", "epochs": 3, "starts_from": "previous"},
        ]
    })  # fmt: skip
    accuracy = trained(config, tmp_path / "run")["accuracy"]
    assert accuracy["test"] == accuracy["compact"] != accuracy["finetuned"]
    network, _, dataset, _ = trained_network(tmp_path / "run" / "checkpoints" / "00001.safetensors")
    from core.cut import accuracy as measured

    assert accuracy["test"] == measured(network, dataset, "test")
    assert trained(LENET, tmp_path / "plain")["accuracy"]["finetuned"] is None


def test_the_command_searches_for_a_strength_and_tells_what_it_tried(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "core", "sweep", "digits-lenet", "--set", "epochs=2", "--set", "batch_size=512", "--target", "macs=0.9", "--most", "2", "--runs", str(tmp_path), "--json"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["target"] == {"macs": 0.9} and 1 <= len(document["tried"]) <= 2
    assert document["runs"] == [t["run"] for t in document["tried"]] and len(set(document["runs"])) == len(
        document["runs"]
    )
    assert RunFolder(tmp_path / document["runs"][0]).compact.exists()
    for wrong in ("ms=3", "macs=0.3,0.5"):
        refused = subprocess.run(
            [sys.executable, "-m", "core", "sweep", "digits-lenet", "--target", wrong, "--runs", str(tmp_path)],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert (
            refused.returncode == 2
            and f"--target must be macs=FRACTION between 0 and 1; got '{wrong}'" in refused.stderr
        )
