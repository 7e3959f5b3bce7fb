"""The background worker as a user meets it: processes, kills, queues."""

import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
from made_up import files_of_at_most

from core.config import with_settings
from core.errors import DamagedFile
from core.presets import preset
from core.runs import home, worker
from core.runs.control import resume_in_background, steer, submit, wait_applied
from core.runs.folder import RunFolder
from core.runs.store import Store
from core.runs.tables import OVER

ROOT = Path(__file__).resolve().parents[1]
CONFIG = with_settings(preset("digits-sss").config, {"epochs": 5, "measure_every": 0, "threads": 1, "lr": 0.05})


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.delenv("ESPALIER_DATA", raising=False)
    home_ = Store(tmp_path)
    yield home_
    for row in home_.all():
        if row.pid and home.is_alive(row.pid, row.pid_created):
            os.kill(row.pid, signal.SIGKILL)


def until(condition, timeout_s=90.0):
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def finished(store, run):
    until(lambda: store.get(run).state in OVER)
    row = store.get(run)
    assert row.state == "finished", row.error
    return row.result


def epochs_of(store, run):
    return [e["epoch"] for e in RunFolder(store.root / run).events()[0] if e["type"] == "epoch_done"]


def test_a_killed_run_is_lost_and_continues_to_the_same_weights_with_no_epoch_twice(store):
    undisturbed = submit(store, CONFIG)
    expected = finished(store, undisturbed)
    run = submit(store, CONFIG)
    until(lambda: len(epochs_of(store, run)) >= 3)
    steer_seq = steer(store, run, "strength", "filter=0.05")
    until(lambda: store.applied_step(steer_seq) is not None)
    os.kill(store.get(run).pid, signal.SIGKILL)
    until(lambda: store.mark_lost() or store.get(run).state == "lost")
    assert "last checkpoint" in store.get(run).error
    resume_in_background(store, run)
    result = finished(store, run)
    assert store.get(run).attempt == 2
    assert epochs_of(store, run) == [0, 1, 2, 3, 4, 5]
    assert len(RunFolder(store.root / run).history()[0]) == 6
    replayed = with_settings(
        CONFIG, {"steering": [{"step": store.applied_step(steer_seq), "kind": "filter", "value": 0.05}]}
    )
    same = finished(store, submit(store, replayed))
    assert result["weights_sha256"] == same["weights_sha256"] != expected["weights_sha256"]


def test_three_submitted_runs_finish_after_the_process_that_asked_is_killed(store):
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\nfrom core.config import with_settings\nfrom core.presets import preset\n"
        "from core.runs.control import submit\nfrom core.runs.store import Store\n"
        "store = Store(Path(sys.argv[2]))\n"
        "c = with_settings(preset('digits-lenet').config, {'epochs': 2, 'measure_every': 0})\n"
        "[submit(store, c) for _ in range(3)]\nprint('asked', flush=True)\ntime.sleep(600)\n"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", code, str(ROOT), str(store.root)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout.readline() == "asked\n"
    server.kill()
    server.wait()
    server.stdout.close()
    until(lambda: len(store.all()) == 3 and all(r.state == "finished" for r in store.all()))
    assert len({r.result["weights_sha256"] for r in store.all()}) == 1


def test_pause_frees_the_slot_continue_takes_it_back_and_stop_stops(store):
    run = submit(store, with_settings(CONFIG, {"epochs": 200}))
    until(lambda: len(epochs_of(store, run)) >= 2)
    assert wait_applied(store, run, steer(store, run, "pause")) is not None
    until(lambda: store.get(run).state == "paused")
    step = store.get(run).progress["step"]
    time.sleep(1.2)
    assert store.get(run).progress["step"] == step
    steer(store, run, "continue")
    until(lambda: store.get(run).state == "running" and store.get(run).progress["step"] > step)
    steer(store, run, "measure")
    until(lambda: any(e["type"] == "speed" and e["asked"] for e in RunFolder(store.root / run).events()[0]))
    steer(store, run, "stop")
    until(lambda: store.get(run).state == "stopped")
    kinds = [e["type"] for e in RunFolder(store.root / run).events()[0]]
    assert {"paused", "continued", "speed", "stopped"} <= set(kinds)


def test_a_run_that_cannot_go_on_fails_with_a_sentence_and_keeps_its_traceback_in_the_log(store):
    run = submit(store, with_settings(preset("digits-lenet").config, {"lr": 10, "epochs": 3}))
    until(lambda: store.get(run).state in OVER)
    row = store.get(run)
    assert row.state == "failed" and "the loss must stay finite" in row.error and "Traceback" not in row.error
    assert "Traceback" in (store.root / run / "worker.log").read_text()


def test_a_full_disk_ends_the_run_with_the_remedy_and_without_loss(store, monkeypatch):
    from core import checkpoint
    from core.runs.control import new_run
    from core.runs.worker import drive

    whole = checkpoint.save

    def full(file, tensors, facts):
        with files_of_at_most(100_000) if facts["epoch"] == 2 else nullcontext():
            whole(file, tensors, facts)

    monkeypatch.setattr(checkpoint, "save", full)
    run = new_run(store, with_settings(preset("digits-lenet").config, {"epochs": 3, "measure_every": 0}))
    store.claim(run, *home.identity())
    assert drive(store, run, None) == "failed"
    assert "is full; free some space, then resume" in store.get(run).error
    monkeypatch.setattr(checkpoint, "save", whole)
    store.requeue(run)
    store.claim(run, *home.identity())
    assert drive(store, run, None) == "finished"
    assert epochs_of(store, run) == [0, 1, 2, 3]


def test_a_run_whose_checkpoints_cannot_be_read_is_not_begun_anew_in_silence(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.checkpoints.mkdir(parents=True)
    (folder.checkpoints / "00002.safetensors").write_bytes(b"torn")
    assert worker._resume_point(folder) == (None, 0), "nothing is recorded yet: nothing is lost"
    (folder.path / "events.jsonl").write_text('{"type": "epoch_done", "step": 9, "epoch": 2}\n')
    with pytest.raises(DamagedFile, match="got none that can be read, though epochs are recorded"):
        worker._resume_point(folder)
