"""The search for a strength: what it tries, what it writes down, and how it goes on where something ended early."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT

from core.config import with_settings
from core.errors import BadInput
from core.presets import preset
from core.runs import searching
from core.runs.control import new_run
from core.runs.families import strengths_of
from core.runs.home import identity
from core.runs.store import Store
from core.runs.tables import OVER

LENET = with_settings(preset("digits-lenet").config, {"epochs": 2, "measure_every": 0, "threads": 1, "batch_size": 256})
FULL = LENET.phases[0].strength_filter


@pytest.fixture
def quiet(tmp_path, monkeypatch):
    """A store whose queue nobody works on."""
    monkeypatch.setenv("ESPALIER_RUNS", str(tmp_path))
    return Store(tmp_path)


def ends(store, name, macs=1.0, *, state="finished", verdict="exact", val=0.9):
    """The run comes to its end and leaves that much."""
    accuracy = {
        "val": val,
        "test": 1 - val,
        "compact": 1 - val,
        "finetuned": None,
    }  # who chooses by test images takes the worst
    macs = {"dense": 1000, "compact": round(1000 * macs)}
    result = {"macs_per_image": macs, "accuracy": accuracy, "certificate": {"verdict": verdict}}
    store.claim(name, *identity())
    store.set_state(name, state, result=result if state == "finished" else None, error=None)
    return store.get(name)


def left_by(store, name):
    """A network that leaves 1 / (1 + factor) of its MACs, and answers worse the less it has."""
    factor = strengths_of(store.get(name).config)["filter"] / FULL
    return ends(store, name, 1 / (1 + factor), val=0.9 - 0.01 * factor)


def begun(store, macs=0.3, **more):
    return searching.begin(store, LENET, macs, queue=new_run, **more)


def test_a_search_ends_at_the_target_and_chooses_the_most_accurate_that_fits(quiet):
    family = begun(quiet, 0.3, most=9)
    searching.lead(quiet, family, lambda name: left_by(quiet, name), queue=new_run)
    told = searching.told(quiet, family)
    assert told["state"] == "over" and told["error"] is None
    shares = [t["macs"] for t in told["tried"]]
    assert shares[0] == 0.5 and 0.28 <= shares[-1] <= 0.3 and told["runs"] == [t["run"] for t in told["tried"]]
    fitting = [t for t in told["tried"] if t["macs"] <= 0.3]
    assert told["chosen"] == max(fitting, key=lambda t: t["accuracy"]["val"])
    assert {row.family for row in quiet.family(family)} == {family}
    assert "Looked for a strength that leaves at most 30 %" in searching.words(told) and "Chosen: " in searching.words(
        told
    )


def test_a_network_that_says_nothing_fits_no_target(quiet):
    family = begun(quiet, most=2)
    searching.lead(quiet, family, lambda name: ends(quiet, name, 0.1, verdict="inconclusive"), queue=new_run)
    told = searching.told(quiet, family)
    assert told["chosen"] is None and "None leaves so little and still tells images apart" in searching.words(told)


def test_the_controls_are_those_of_the_chosen_run_and_come_last(quiet):
    family = begun(quiet, most=9, controls=True)
    trained = []

    def train(name):
        trained.append(name)
        return left_by(quiet, name) if quiet.get(name).role == "method" else ends(quiet, name)

    searching.lead(quiet, family, train, queue=new_run)
    chosen = searching.told(quiet, family)["chosen"]["run"]
    rows = quiet.family(family)
    assert [row.role for row in rows[-2:]] == ["dense control", "scratch control"]
    assert {row.parent for row in rows[-2:]} == {chosen} and rows[-1].config["source"] == chosen
    assert trained == [row.id for row in rows]


def test_a_run_that_fails_ends_the_search_early_and_going_on_repeats_nothing(quiet):
    family = begun(quiet, 0.1, most=9)
    trained = []

    def train(name, fails_at=3):
        trained.append(name)
        return ends(quiet, name, state="failed") if len(trained) == fails_at else left_by(quiet, name)

    with pytest.raises(BadInput, match="must finish to be part of a search; it is failed"):
        searching.lead(quiet, family, train, queue=new_run)
    assert [t["run"] for t in searching.told(quiet, family)["tried"]] == trained[:2]
    before = list(trained)
    quiet.requeue(before[2])
    searching.lead(
        quiet,
        family,
        lambda name: left_by(quiet, name) if quiet.get(name).state == "queued" else quiet.get(name),
        queue=new_run,
    )
    told = searching.told(quiet, family)
    assert told["runs"][:3] == before and told["state"] == "over"


def test_a_deleted_run_is_trained_again_at_the_same_strength(quiet):
    family = begun(quiet, most=9)
    searching.lead(quiet, family, lambda name: left_by(quiet, name), queue=new_run)
    before = searching.told(quiet, family)
    quiet.set_deleted(before["runs"][1], True)
    searching.lead(
        quiet,
        family,
        lambda name: left_by(quiet, name) if quiet.get(name).state == "queued" else quiet.get(name),
        queue=new_run,
    )
    after = searching.told(quiet, family)
    assert after["runs"][0] == before["runs"][0] and after["runs"][1] != before["runs"][1]
    assert [t["factor"] for t in after["tried"]][:2] == [t["factor"] for t in before["tried"]][:2]


@pytest.mark.parametrize("macs", [0.0, 1.0, -1, float("nan")])
def test_a_target_that_is_no_fraction_is_one_sentence(quiet, macs):
    with pytest.raises(BadInput, match="the target must be a fraction of the MACs between 0 and 1; got"):
        begun(quiet, macs)
    assert quiet.all() == []


def test_settings_that_learn_nothing_and_families_without_a_search_are_refused(quiet):
    with pytest.raises(BadInput, match="must have a phase that learns structure"):
        searching.begin(quiet, preset("digits-dense").config, 0.5, queue=new_run)
    assert not searching.is_search(quiet, "nobody")
    with pytest.raises(BadInput, match="family must be that of a search; got 'nobody'"):
        searching.told(quiet, "nobody")


def test_a_search_whose_process_is_gone_says_so_and_a_stopped_one_too(quiet):
    family = begun(quiet)
    told = searching.told(quiet, family)
    assert told["state"] == "ended early" and told["error"] == "the process that led it ended without a word"
    assert "ended early, after 0 of at most 6 runs" in searching.words(told)
    searching.stop(quiet, family)
    assert searching.told(quiet, family)["state"] == "stopped" and quiet.get(family).state == "stopped"


def wait_for(what, timeout_s=180):
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.2)
    raise AssertionError("it did not come about in time")


@pytest.mark.slow
def test_a_search_in_the_background_survives_the_death_of_its_leader(quiet):
    family = searching.begin(quiet, LENET, 0.9, most=2)
    searching.in_background(quiet, family)
    record = quiet.root / family / "search.json"
    pid, _ = wait_for(lambda: json.loads(record.read_text()).get("leader"))
    assert searching.told(quiet, family)["state"] == "searching"
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: quiet.get(family).state in OVER)
    assert quiet.get(family).state == "finished", "the run goes on without the search"
    searching.in_background(quiet, family)
    told = wait_for(lambda: (t := searching.told(quiet, family))["state"] == "over" and t)
    assert told["runs"][0] == family and len(told["tried"]) == len(quiet.family(family)) <= 2


@pytest.mark.slow
def test_the_search_starts_in_the_background_from_the_command_line_and_show_tells_of_it(tmp_path):
    def core(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "core", *arguments, "--runs", str(tmp_path), "--json"], cwd=ROOT, capture_output=True, text=True, check=False
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    short = ("--set", "epochs=1", "--set", "batch_size=512", "--set", "measure_every=0")
    family = core("sweep", "digits-lenet", *short, "--target", "macs=0.9", "--most", "1", "--background")["family"]
    search = wait_for(lambda: (s := core("show", family)["search"])["state"] == "over" and s)
    assert search["runs"] == [family] and len(search["tried"]) == 1


def test_of_equally_accurate_runs_the_smallest_is_chosen(quiet):
    family = begun(quiet, 0.9, most=3)
    shares = iter((0.5, 0.7, 0.6))
    searching.lead(quiet, family, lambda name: ends(quiet, name, next(shares)), queue=new_run)
    assert searching.told(quiet, family)["chosen"]["macs"] == 0.5
