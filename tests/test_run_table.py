"""Runs: the table whatever their number, what is done with the chosen, and a run as one file, out and in."""

import io
import json
import shutil
import stat
import zipfile

import numpy as np
import pytest
from conftest import DEMO
from playwright.sync_api import expect
from safetensors import safe_open
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors
from sqlalchemy import event
from test_pages import page, words

from app import run_charts, run_rows
from app.app_pages import run_table
from core.checkpoint_file import fingerprint
from core.errors import BadInput, DamagedFile
from core.presets import PRESETS, preset
from core.runs import bundle, overview
from core.runs.bundle import pack, unpack
from core.runs.control import new_run
from core.runs.folder import RunFolder
from core.runs.overview import Filter
from core.runs.recorded import recorded
from core.runs.tables import Run

RESULT = json.loads((DEMO / "run.json").read_text())["result"]


@pytest.fixture
def sixty(runs):
    """Sixty finished runs, two presets, every tenth tagged, later ones a little less accurate."""
    names = [PRESETS[0].name, next(p.name for p in PRESETS if p.config.dataset == "cifar10")]
    for i in range(60):
        config = preset(names[i % 2]).config.model_copy(update={"seed": i})
        accuracy = RESULT["accuracy"] | {"test": 0.9 - i / 1000, "finetuned": None}
        runs.add(
            Run(id=f"run-{i:02}", created=1e9 + i, preset=config.preset, config=config.model_dump(mode="json"), family=f"run-{i:02}", seed=i,
                state="finished" if i % 3 else "lost", result=RESULT | {"accuracy": accuracy} if i % 3 else None, tags=["good", "for the paper"] if i % 10 == 0 else [])
        )  # fmt: skip
    return runs


def ids(rows):
    return [row.id for row in rows]


def test_filters_take_state_data_network_tag_and_words_together(sixty):
    rows, total = overview.page(sixty, Filter(), limit=3)
    assert ids(rows) == ["run-59", "run-58", "run-57"] and total == 60
    rows, total = overview.page(sixty, Filter(), "oldest", limit=2, offset=4)
    assert ids(rows) == ["run-04", "run-05"]
    own = [i for i in range(60) if i % 3 == 0 and i % 2 == 1 and i % 10 == 0]
    assert overview.page(sixty, Filter(("lost",), ("cifar10",), (), ("good",)))[1] == len(own)
    assert overview.page(sixty, Filter(tags=("good", "for the paper")))[1] == 6
    assert overview.page(sixty, Filter(words="paper cifar10"))[1] == 0 and overview.page(sixty, Filter(words="PAPER digits"))[1] == 6  # fmt: skip
    assert overview.page(sixty, Filter(words="100 %_'"))[1] == 0
    best, _ = overview.page(sixty, Filter(), "accuracy", limit=3)
    assert ids(best) == ["run-01", "run-02", "run-04"]
    sixty.set_deleted("run-59", True)
    assert overview.page(sixty, Filter())[1] == 59


def test_the_choices_are_those_that_runs_have(sixty):
    known = overview.choices(sixty)
    assert known.states == {"finished": 40, "lost": 20} and known.datasets == ["cifar10", "digits"]
    assert known.tags == ["for the paper", "good"] and len(known.networks) == 2


def test_a_page_of_the_table_reads_no_more_than_it_shows(sixty, monkeypatch):
    statements, read = [], []
    event.listen(sixty._engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    overview.page(sixty, Filter(), limit=25)
    overview.choices(sixty)
    assert len([s for s in statements if s.startswith(("SELECT", "select"))]) == 4
    monkeypatch.setattr(run_rows, "spark", lambda folder: read.append(folder) or [])
    at = page("run_table")
    assert not at.exception and len(at.dataframe[0].value) == len(read) == 25
    assert "60 runs" in words(at) and "25 a page, 60 in all" in words(at)


def test_the_sparkline_is_the_validation_accuracy_thinned_and_never_without_its_end(tmp_path):
    every = [{"type": "epoch_done", "step": i, "val_accuracy": i / 1000} for i in range(100)]
    lines = [json.dumps(e) + "\n" for e in (*every[:50], {"type": "speed", "step": 1}, *every[50:])]
    (tmp_path / "events.jsonl").write_text("".join(lines) + '{"type": "epoch_done", "val')
    values = run_rows.spark(tmp_path)
    assert len(values) <= run_rows.SPARK_POINTS and values[-1] == 0.099 and values == sorted(values)
    assert run_rows.spark(tmp_path / "none") == []


def test_only_settings_that_differ_are_listed(runs):
    config = preset("digits-sss").config
    rows = [
        runs.get(new_run(runs, config.model_copy(update={"seed": seed, "batch_size": 32 * seed}))) for seed in (1, 2)
    ]
    table = run_rows.differing(rows, ["a", "b"])
    assert table.to_dict("index") == {"seed": {"a": "1", "b": "2"}, "batch_size": {"a": "32", "b": "64"}}
    assert run_rows.labels_of([rows[0], rows[0]])[0].endswith(f"({rows[0].id[-6:]})")


def test_curves_name_the_most_accurate_and_the_smallest():
    import pandas as pd

    def table(accuracy, left):
        return pd.DataFrame({"epoch": [0, 1], "val_accuracy": [0.1, accuracy], "macs_left": [1.0, left]})

    spec = run_charts.curves({"a": table(0.9, 0.8), "b": table(0.8, 0.3)})
    assert spec["alt"].startswith("a is the most accurate, 90.0 %") and "b is the smallest, 30 %" in spec["alt"]
    assert [d["y"][-1] for d in spec["data"]] == [90.0, 80.0, 80.0, 30.0]
    many = run_charts.curves({str(i): table(0.5, 0.5) for i in range(9)})
    assert "the first 6 of 9" in many["alt"]


# what is done with the chosen


def chosen(monkeypatch, *numbers):
    monkeypatch.setattr(run_table, "_frame", lambda table: list(numbers))


def test_several_are_deleted_together_and_come_back_together(sixty, monkeypatch):
    chosen(monkeypatch, 0, 1)
    at = page("run_table")
    assert "Beside each other" not in words(at) and "Settings that differ" in words(at)
    at.button(key="runs-delete").click().run()
    assert overview.page(sixty, Filter())[1] == 58 and not at.exception
    at.button(key="runs-undo").click().run()
    assert overview.page(sixty, Filter())[1] == 60


def test_a_living_run_is_not_deleted_and_the_page_says_so(runs, run_state, monkeypatch):
    run = run_state("running")
    chosen(monkeypatch, 0)
    at = page("run_table")
    assert at.button(key="runs-delete").disabled and runs.get(run)


def test_tags_are_added_to_each_and_leave_its_own_alone(sixty, monkeypatch):
    chosen(monkeypatch, 8, 9)  # run-51 and run-50, which has tags
    at = page("run_table")
    box = next(m for m in at.multiselect if m.label == "Tags of 2 runs")
    assert box.value == []
    box.set_value(["good"]).run()
    assert sixty.get("run-51").tags == ["good"] and sixty.get("run-50").tags == ["for the paper", "good"]


def test_lost_ones_continue_and_a_name_is_given(sixty, monkeypatch):
    monkeypatch.setattr("core.runs.control.ensure_dispatcher", lambda root: None)
    chosen(monkeypatch, 2)  # run-57
    RunFolder(sixty.root / "run-57").path.mkdir()
    (sixty.root / "run-57" / "run.json").write_text("{}")
    at = page("run_table")
    at.text_input(key="runs-name-run-57").set_value("my run").run()
    assert sixty.get("run-57").name == "my run"
    at.button(key="runs-continue").click().run()
    assert sixty.get("run-57").state == "queued"


def test_the_log_and_the_error_of_a_failed_run_are_shown(runs, run_state, monkeypatch):
    run = run_state("failed")
    (runs.root / run / "worker.log").write_text("\n".join(f"line {i}" for i in range(500)))
    chosen(monkeypatch, 0)
    at = page("run_table")
    assert any("loss must stay finite" in e.value for e in at.error)
    log = next(c.value for c in at.code if "line 499" in c.value)
    assert "line 300" in log and "line 299" not in log


def test_one_is_opened_in_live(sixty, monkeypatch):
    chosen(monkeypatch, 3)
    at = page("run_table")
    monkeypatch.setattr("streamlit.switch_page", lambda to: None)
    at.button(key="runs-open").click().run()
    assert at.session_state["selection"]["run"] == "run-56"


# a run as one file


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """The recorded demo as one file."""
    folder = tmp_path_factory.mktemp("pack") / "my-run"
    shutil.copytree(DEMO, folder)
    pack(RunFolder(folder), folder.parent / "my-run.zip")
    return folder.parent / "my-run.zip"


def test_a_run_comes_back_from_its_file_and_opens_like_any_other(runs, packed):
    own = json.loads((DEMO / "run.json").read_text())["run"]
    with zipfile.ZipFile(packed) as archive:
        names = set(archive.namelist())
    assert {"my-run/run.json", "my-run/certificate.json", "my-run/compact.safetensors"} <= names
    name = unpack(runs, packed)
    again = unpack(runs, packed)
    assert name == own and again != name and again.startswith(f"{own}-from-")
    row = runs.get(again)
    assert row.state == "finished" and row.result["certificate"] == RESULT["certificate"] and row.family == again
    for part in ("events.jsonl", "values.f32"):
        assert (runs.root / again / part).read_bytes() == (DEMO / part).read_bytes()
    assert json.loads((runs.root / again / "run.json").read_text())["weights_only"] is True
    at = page("structure", again)
    assert not at.exception and again in words(at)


def test_an_existing_file_is_not_overwritten(packed):
    with pytest.raises(BadInput, match="must not exist yet"):
        pack(RunFolder(DEMO), packed)


def changed(packed, *, add=(), drop=(), replace=()):
    """The file with members added, dropped or replaced: (name or ZipInfo, bytes)."""
    out, swap = io.BytesIO(), dict(replace)
    with zipfile.ZipFile(packed) as old, zipfile.ZipFile(out, "w") as new:
        for member in old.infolist():
            if member.filename not in drop:
                new.writestr(member.filename, swap.get(member.filename, old.read(member)))
        for name, data in add:
            new.writestr(name, data)
    out.seek(0)
    return out


def link():
    member = zipfile.ZipInfo("my-run/measured.json")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


def about(**changes):
    return json.dumps(json.loads((DEMO / "run.json").read_text()) | changes).encode()


def own_network():
    config = json.loads((DEMO / "run.json").read_text())["config"]
    return about(config=config | {"network": "os:getcwd@/tmp"})


RUN, EVENTS, CUT = "my-run/run.json", "my-run/events.jsonl", "my-run/compact.safetensors"
HOSTILE = {
    "absolute": ({"add": [("/etc/run.json", b"{}")]}, "got '/etc/run.json', which no run has"),
    "leads out": ({"add": [("../my-run/run.json", b"{}")]}, "which no run has"),
    "leads out inside": ({"add": [("my-run/../../store.db", b"")]}, "which no run has"),
    "a pickle": ({"add": [("my-run/checkpoints/00001.pt", b"\x80\x04.")]}, "which no run has"),
    "a link": ({"add": [(link(), b"/etc/passwd")]}, "which is a link"),
    "another run": ({"add": [("other/measured.json", b"{}")]}, "got 2 folders"),
    "no description": ({"drop": [RUN]}, "must hold a run.json"),
    "no JSON": ({"replace": [(RUN, b"\xff{")]}, "must be JSON"),
    "a list": ({"replace": [(RUN, b"[1]")]}, "must hold JSON objects"),
    "deep JSON": ({"replace": [(RUN, b"[" * 100_000)]}, "must be JSON"),
    "odd settings": ({"replace": [(RUN, about(config={"network": "none"}))]}, "must describe a run"),
    "newer": ({"replace": [(RUN, about(format=99))]}, "update Espalier"),
    "own code": ({"replace": [(RUN, own_network())]}, "is not run for a stranger"),
    "odd events": ({"replace": [(EVENTS, b'{"type": 3}\n')]}, "with type and step"),
    "odd sites": ({"replace": [("my-run/history.json", b'{"sites": [{"site": "a", "kind": "b", "total": 3, "offset": 5}]}')]}, "one after the other"),
    "pickled weights": ({"replace": [(CUT, b"\x80\x04cos\nsystem\n.")]}, "must be a whole safetensors file"),
    "weights cut short": ({"replace": [(CUT, (DEMO / "compact.safetensors").read_bytes()[:-9])]}, "must be a whole safetensors file"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("what", HOSTILE)
def test_a_file_that_is_no_run_is_refused_in_a_sentence_and_leaves_nothing(what, runs, packed):
    changes, said = HOSTILE[what]
    before = sorted(runs.root.rglob("*"))
    with pytest.raises((BadInput, DamagedFile), match=said):
        unpack(runs, changed(packed, **changes), "it.zip")
    assert sorted(runs.root.rglob("*")) == before and runs.all() == []


CHECKPOINT = next((DEMO / "checkpoints").glob("*.safetensors"))


def with_checkpoint(packed, document=None, scale=None):
    """The file with its checkpoint's document or its weights changed."""
    tensors = load_tensors(CHECKPOINT.read_bytes())
    with safe_open(CHECKPOINT, "np") as opened:
        facts = json.loads(opened.metadata()["espalier"])
    if scale is not None:
        tensors = {
            name: np.asarray(t * np.float32(scale)) if t.dtype == np.float32 else t for name, t in tensors.items()
        }
    text = document if isinstance(document, str) else json.dumps(facts | (document or {}))
    return changed(
        packed, replace=[(f"my-run/checkpoints/{CHECKPOINT.name}", save_tensors(tensors, {"espalier": text}))]
    )


@pytest.mark.parametrize(("document", "said"), [
    ("[]", "must be a whole checkpoint"), ("[" * 100_000, "must be a whole checkpoint"),
    ('{"version": 1}', "must hold the settings of its run"), ({"version": 9}, "version 1 or older; got 9"),
    ({"phase": 99}, "must have phase in 0 to 0; got '99'"), ({"epoch": -1}, "must have epoch in 0 to 120; got '-1'"),
    ({"config": {"network": "lenet", "dataset": "digits"}}, "must be of the settings in run.json"),
    ({"config": {"network": "none", "dataset": "digits"}}, "must hold the settings of its run"),
])  # fmt: skip
def test_a_checkpoint_that_is_not_this_runs_is_refused(runs, packed, document, said):
    with pytest.raises((BadInput, DamagedFile), match=said):
        unpack(runs, with_checkpoint(packed, document))
    assert runs.all() == [] and not [p for p in runs.root.iterdir() if p.is_dir()]


def test_weights_that_are_not_those_of_the_certificate_are_refused(runs, packed):
    unpack(runs, with_checkpoint(packed))
    for scale in (1.001, float("nan")):
        with pytest.raises(DamagedFile, match="must hold the weights that the run ended with; got others"):
            unpack(runs, with_checkpoint(packed, scale=scale))
    assert len(runs.all()) == 1


def test_every_recorded_run_has_the_weights_that_its_result_names():
    for name, run in recorded().items():
        folder = run.folder
        result = json.loads((folder / "run.json").read_text())["result"]
        last = max((folder / "checkpoints").glob("*.safetensors"))
        assert fingerprint(last) == result["weights_sha256"], name


def test_a_file_too_large_twice_named_or_torn_is_refused(runs, packed, tmp_path, monkeypatch):
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = changed(packed, add=[(RUN, b"{}")])
    with pytest.raises(BadInput, match="twice"):
        unpack(runs, twice)
    (tmp_path / "torn.zip").write_bytes(packed.read_bytes()[:-3000])
    with pytest.raises(DamagedFile, match="must be a whole file"):
        unpack(runs, tmp_path / "torn.zip")
    flipped = bytearray(packed.read_bytes())
    flipped[len(flipped) // 2] ^= 0xFF
    (tmp_path / "flipped.zip").write_bytes(flipped)
    with pytest.raises((BadInput, DamagedFile)):
        unpack(runs, tmp_path / "flipped.zip")
    monkeypatch.setattr(bundle, "MAX_BYTES", 1000)
    with pytest.raises(BadInput, match="MiB unpacked"):
        unpack(runs, packed)
    assert runs.all() == [] and {p.name for p in runs.root.iterdir()} <= {"store.db", "store.db-wal", "store.db-shm", "torn.zip", "flipped.zip"}  # fmt: skip


def test_in_the_browser_a_run_comes_in_as_one_file_and_a_stranger_is_refused(tab, packed, tmp_path):
    tab.goto("/runs")
    upload = tab.locator("input[type=file]")
    (tmp_path / "evil.zip").write_bytes(changed(packed, **HOSTILE["leads out"][0]).getvalue())
    upload.set_input_files(str(tmp_path / "evil.zip"))
    expect(tab.get_by_text("Refused: evil.zip must hold the files of one run")).to_be_visible()
    upload.set_input_files(str(packed))
    expect(tab.get_by_text("Taken in as")).to_be_visible()
    tab.get_by_role("link", name="Structure").click()
    expect(tab.get_by_text("Certificate, number by number")).to_be_visible()
