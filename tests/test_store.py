"""The store: states, slots, readers beside a writer."""

import subprocess
import sys
import threading
import time

import pytest

from core.errors import BadInput, WrongMoment
from core.presets import preset
from core.runs import home
from core.runs.control import adopt, new_run, steer
from core.runs.store import Store, TakenOver

CONFIG = preset("digits-sss").config


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_a_strength_that_the_run_does_not_learn_is_refused(tmp_path):
    store = Store(tmp_path)
    run = new_run(store, preset("digits-lenet").config)
    with pytest.raises(BadInput, match=r"must be of a kind that .* learns \(filter\); got 'weight'"):
        steer(store, run, "strength", "weight=0.01")


def test_a_slot_is_given_once_and_returned_at_the_end(store, monkeypatch):
    monkeypatch.setattr("core.runs.store.slots", lambda: 1)
    a, b = new_run(store, CONFIG), new_run(store, CONFIG)
    assert store.claim(a, *home.identity())
    assert not store.claim(b, *home.identity())
    store.set_state(a, "finished")
    assert store.claim(b, *home.identity())


def test_a_paused_run_gives_its_slot_back(store, monkeypatch):
    monkeypatch.setattr("core.runs.store.slots", lambda: 1)
    a, b = new_run(store, CONFIG), new_run(store, CONFIG)
    store.claim(a, *home.identity())
    store.set_state(a, "paused")
    assert store.claim(b, *home.identity())
    assert not store.reclaim_slot(a)
    store.set_state(b, "finished")
    assert store.reclaim_slot(a) and store.get(a).state == "running"


def test_two_processes_never_claim_one_run(store):
    run = new_run(store, CONFIG)
    store.claim(run, *home.identity())
    with pytest.raises(WrongMoment, match="must be queued to start; it is starting"):
        store.claim(run, *home.identity())


def test_a_run_whose_process_is_gone_is_lost_at_once(store):
    run = new_run(store, CONFIG)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    store.claim(run, *home.identity(child.pid))
    assert store.mark_lost() == []
    child.kill()
    child.wait()
    assert store.mark_lost() == [run]
    assert store.get(run).state == "lost" and "last checkpoint" in store.get(run).error


def test_a_foreground_run_whose_process_dies_while_it_waits_is_lost(store):
    run = new_run(store, CONFIG, foreground=True)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    store.wait_for_slot(run, *home.identity(child.pid))
    assert store.mark_lost() == []
    child.kill()
    child.wait()
    assert store.mark_lost() == [run]


def test_a_reused_process_number_is_not_mistaken_for_the_worker(store):
    run = new_run(store, CONFIG)
    pid, created = home.identity()
    store.claim(run, pid, created - 1000)
    assert store.mark_lost() == [run]


def test_a_living_process_without_heartbeat_is_lost_after_a_while(store, monkeypatch):
    run = new_run(store, CONFIG)
    store.claim(run, *home.identity())
    now = time.time()
    monkeypatch.setattr("core.runs.store.time.time", lambda: now + 89)
    assert store.mark_lost() == []
    monkeypatch.setattr("core.runs.store.time.time", lambda: now + 91)
    assert store.mark_lost() == [run]


def test_two_readers_read_while_a_writer_writes(store):
    run = new_run(store, CONFIG)
    store.claim(run, *home.identity())
    over, reads, failures = threading.Event(), [0, 0], []

    def read(who):
        mine = Store(store.root)
        while not over.is_set():
            try:
                assert mine.get(run).id == run and mine.all()
            except Exception as error:
                failures.append(error)
            reads[who] += 1

    readers = [threading.Thread(target=read, args=(i,)) for i in range(2)]
    for reader in readers:
        reader.start()
    written, latest = 0, time.monotonic() + 60
    while written < 150 or (min(reads) < 10 and time.monotonic() < latest):
        written += 1
        store.beat(run, {"epoch": written})
    over.set()
    for reader in readers:
        reader.join()
    assert not failures and store.get(run).progress == {"epoch": written}
    assert min(reads) >= 10, "both readers must have read while the writer wrote"


@pytest.mark.parametrize(
    ("control", "argument", "sentence"),
    [
        ("halt", None, "control must be one of .*; got 'halt'"),
        ("strength", "filter=x", "strength filter must be a number between 0 and 10; got 'x'"),
        ("strength", "filter=11", "must be between 0 and 10; got 11; the nearest valid value is 10"),
        ("strength", "filter=nan", "must be between 0 and 10; got nan"),
        ("strength", "filters=0.1", "did you mean 'filter'"),
    ],
)
def test_a_bad_control_is_one_sentence(store, control, argument, sentence):
    run = new_run(store, CONFIG)
    with pytest.raises(BadInput, match=sentence):
        steer(store, run, control, argument)


def test_a_finished_run_cannot_be_steered(store):
    run = new_run(store, CONFIG)
    store.set_state(run, "finished")
    with pytest.raises(WrongMoment, match="must be living to pause; it is finished"):
        steer(store, run, "pause")


def test_an_unknown_run_is_named_with_the_folder(store):
    with pytest.raises(BadInput, match="got 'nobody'"):
        store.get("nobody")


def test_a_unique_beginning_names_a_run(store):
    run = new_run(store, CONFIG)
    assert store.get(run[:14]).id == run


def test_stopping_a_queued_run_takes_effect_without_a_worker(store):
    run = new_run(store, CONFIG)
    steer(store, run, "stop")
    assert store.get(run).state == "stopped" and store.next_queued() is None


def test_deleting_hides_and_undo_brings_back(store):
    run = new_run(store, CONFIG)
    store.set_state(run, "finished")
    store.set_deleted(run, True)
    assert store.all() == []
    store.set_deleted(run, False)
    assert [r.id for r in store.all()] == [run]


def test_a_living_run_cannot_be_deleted(store):
    run = new_run(store, CONFIG)
    store.claim(run, *home.identity())
    with pytest.raises(WrongMoment, match="stop it first"):
        store.set_deleted(run, True)


def test_a_store_of_a_newer_version_is_refused_with_the_remedy(tmp_path):
    import sqlite3

    with sqlite3.connect(tmp_path / "store.db") as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(BadInput, match="must be at most 3; got 99; update Espalier"):
        Store(tmp_path)


def test_rows_know_family_parent_role_and_seed(store):
    parent = new_run(store, CONFIG)
    child = store.get(new_run(store, CONFIG, role="dense control", family=parent, parent=parent))
    assert (child.family, child.parent, child.role, child.seed) == (parent, parent, "dense control", 0)


def test_an_older_attempt_can_write_nothing_more(store):
    run = new_run(store, CONFIG)
    store.claim(run, *home.identity())
    store.set_state(run, "lost")
    store.requeue(run)
    store.claim(run, *home.identity())
    for write in (lambda: store.beat(run, {}, attempt=1), lambda: store.set_state(run, "finished", attempt=1)):
        with pytest.raises(TakenOver, match="must be written by attempt 2"):
            write()
    store.set_state(run, "running", attempt=2)
    assert store.get(run).state == "running"


def test_a_silent_worker_that_wakes_up_is_living_again(store, monkeypatch):
    run = new_run(store, CONFIG)
    store.claim(run, *home.identity())
    now = time.time()
    with monkeypatch.context() as later:
        later.setattr("core.runs.store.time.time", lambda: now + 1000)
        assert store.mark_lost() == [run]
    assert "lives but has said nothing" in store.get(run).error
    store.beat(run, {"epoch": 3}, attempt=1)
    assert store.get(run).state == "running" and store.get(run).error is None


def test_resuming_a_silent_worker_ends_it_first(store, monkeypatch):
    run = new_run(store, CONFIG)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    who = home.identity(child.pid)
    store.claim(run, *who)
    now = time.time()
    monkeypatch.setattr("core.runs.store.time.time", lambda: now + 1000)
    store.mark_lost()
    assert home.is_alive(*who)
    store.requeue(run)
    assert not home.is_alive(*who)
    child.wait()


def test_setting_the_clock_makes_no_process_look_dead(monkeypatch):
    import psutil

    who = home.identity()
    monkeypatch.setattr(psutil, "boot_time", lambda: 5.0)
    assert home.is_alive(*who)


def test_folders_that_are_no_runs_are_left_alone(store, monkeypatch):
    monkeypatch.setattr("core.runs.control.SETTLING_S", 0.0)
    for name, content in (
        ("noise", b"\xff\xfe\x00"),
        ("list", b"[]"),
        ("odd", b'{"format": 1, "config": {"seed": 1}, "created": "x"}'),
    ):
        (store.root / name).mkdir()
        (store.root / name / "run.json").write_bytes(content)
    assert adopt(store) == []


def test_a_store_of_the_first_version_is_brought_up_to_this_one(store):
    import sqlite3

    run = new_run(store, CONFIG)
    with sqlite3.connect(store.root / "store.db") as db:
        db.execute("ALTER TABLE runs DROP COLUMN data")
        db.execute("ALTER TABLE runs DROP COLUMN tags")
        db.execute("PRAGMA user_version=1")
    db.close()
    again = Store(store.root)
    assert again.get(run).data is None and again.get(run).preset == "digits-sss" and again.get(run).tags == []


def test_tags_are_plain_words_each_once_and_not_too_many(store):
    run = new_run(store, CONFIG)
    store.tag(run, ["  for the  paper ", "for the paper", "", "x" * 99])
    assert store.get(run).tags == ["for the paper", "x" * 40]
    with pytest.raises(BadInput, match="at most 12; got 13"):
        store.tag(run, map(str, range(13)))


def test_asking_twice_before_it_takes_effect_asks_once(store):
    run = new_run(store, CONFIG)
    store.claim(run, *home.identity())
    first = steer(store, run, "pause")
    assert steer(store, run, "pause") == first
    store.mark_applied(first, 3)
    assert steer(store, run, "pause") != first
    assert steer(store, run, "strength", "filter=0.1") != steer(store, run, "strength", "filter=0.1")


def test_the_beginning_of_a_name_is_enough_where_one_living_run_has_it(tmp_path):
    store = Store(tmp_path)
    first, other = (new_run(store, preset("digits-lenet").config) for _ in range(2))
    with pytest.raises(
        BadInput, match="must begin the name of one run only; got 'digits-lenet', which begins digits-lenet-"
    ):
        store.get("digits-lenet")
    with pytest.raises(BadInput, match="must be one that exists"):
        store.get("digits-lenet-x")
    with pytest.raises(BadInput, match="must be one that exists"):
        store.get("")
    store.set_deleted(first, True)
    assert store.get("digits-lenet").id == other


def test_a_resumed_run_still_gets_the_strength_it_was_asked_but_no_old_pause(store):
    run = new_run(store, CONFIG)
    store.claim(run, *home.identity())
    steer(store, run, "strength", "filter=0.1")
    steer(store, run, "pause")
    assert [one.control for one in store.pending(run)] == ["strength", "pause"]
    store.set_state(run, "stopped")
    store.requeue(run)
    [left] = store.pending(run)
    assert (left.control, left.kind, left.value) == ("strength", "filter", 0.1)
