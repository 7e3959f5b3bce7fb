"""Every page in every state, without a browser."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from streamlit.testing.v1 import AppTest
from test_espalier import opened

from core.config import RunConfig
from core.presets import PRESETS, preset
from core.runs.control import steer
from core.runs.tables import Run

ROOT = Path(__file__).resolve().parents[1]
STATES = ("queued", "running", "paused", "finished", "stopped", "failed", "lost")
PAGES = (
    "start",
    "live",
    "structure",
    "levels",
    "what_if",
    "attribution",
    "speed",
    "tradeoffs",
    "take_away",
    "present",
    "run_table",
    "learn",
    "learn_terms",
)


def page(name, run=None, **query):
    """The page drawn once."""
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "import streamlit as st\nfrom app import shell, theme\n"
        f"from app.app_pages import {name} as page\n"
        "theme.style(); st.session_state['pages'] = shell.pages(); page.page()\n"
    )
    at = AppTest.from_string(script, default_timeout=30)
    if run:
        at.query_params["run"] = run
    for key, value in query.items():
        at.query_params[key] = value
    return at.run()


def drawn(at):
    """What the espalier on the page is told, without its arrays."""
    sent = next(json.loads(b.proto.json) for b in at.get("bidi_component") if '"bytes"' in b.proto.json)
    return opened(sent["bytes"])[0]


def charts_of(at):
    """What the figures with a title are told in whole."""
    told = [json.loads(part.proto.json).get("whole", {}) for part in at.get("bidi_component") if part.proto.json]
    return [whole for whole in told if "title" in whole]


def words(at):
    return " ".join(
        [
            *(m.value for m in at.markdown),
            *(c.value for c in at.caption),
            *(s.value for s in at.subheader),
            *(e.value for e in at.error),
            *(h.proto.body for h in at.get("html")),
            *(text for chart in charts_of(at) for text in (chart["title"], chart["spec"]["alt"], chart["note"])),
        ]
    )


@pytest.fixture(autouse=True)
def no_processes(monkeypatch):
    """Pages are drawn without starting anything in the background."""
    monkeypatch.setattr("app.shell.wake_dispatcher", lambda store: None)
    monkeypatch.setattr("app.app_pages.prediction.ask", lambda *a, **k: None)
    monkeypatch.setattr("app.asking.ask", lambda *a, **k: None)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_without_any_run_says_what_would_fill_it(name, runs):
    at = page(name)
    assert not at.exception
    if name not in ("start", "learn", "learn_terms", "levels"):
        assert "No run yet" in words(at) and {"go-start", "go-demo"} <= {b.key for b in at.button}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", ("live", "structure", "speed", "attribution", "take_away", "present"))
def test_every_page_shows_a_run_in_every_state(name, state, run_state):
    run = run_state(state)
    at = page(name, run)
    assert not at.exception
    said = words(at)
    assert run in said
    if state in ("failed", "lost"):
        assert any("loss must stay finite" in e.value or "ended without a word" in e.value for e in at.error)


@pytest.mark.parametrize(("state", "offered"), [
    ("running", {"pause", "stop", "measure-now"}), ("paused", {"pause", "stop"}), ("lost", {"resume"}), ("stopped", {"resume"}),
    ("failed", {"resume"}), ("finished", set()),
])  # fmt: skip
def test_the_live_page_offers_what_the_state_allows(state, offered, run_state):
    at = page("live", run_state(state))
    keys = {b.key for b in at.button} & {"pause", "stop", "measure-now", "resume"}
    assert offered <= keys and (("resume" in keys) == (state in ("lost", "stopped", "failed")))


def test_pausing_and_steering_write_controls(runs, run_state):
    run = run_state("running")
    at = page("live", run)
    at.button(key="pause").click().run()
    slider = at.select_slider(key=f"strength-filter-{run}-0")
    slider.set_value(slider.options[-1] if not isinstance(slider.options[-1], str) else float(slider.options[-1])).run()
    asked = [(c.control, c.kind) for c in runs.controls(run)]
    assert ("pause", "") in asked and ("strength", "filter") in asked


def test_a_strength_asked_elsewhere_is_where_the_slider_stands_and_steers_nothing(runs, run_state):
    run = run_state("running")
    at = page("live", run)
    steer(runs, run, "strength", "filter=0.0077")
    for _ in range(2):
        at.run()
        assert [float(s.value) for s in at.select_slider if s.key.startswith(f"strength-filter-{run}")] == [0.0077]
    slider = next(s for s in at.select_slider if s.key.startswith(f"strength-filter-{run}"))
    slider.set_value(0.012).run()
    at.run()
    assert [c.value for c in runs.controls(run)] == [0.0077, 0.012]
    assert slider.key in {s.key for s in at.select_slider}, "its own move draws no new slider"


def test_a_lost_run_continues_with_one_click(runs, run_state, monkeypatch):
    started = []
    monkeypatch.setattr("core.runs.control.ensure_dispatcher", started.append)
    run = run_state("lost")
    page("live", run).button(key="resume").click().run()
    assert runs.get(run).state == "queued" and started


def test_train_this_queues_the_default_run(runs, monkeypatch):
    monkeypatch.setattr("core.runs.control.ensure_dispatcher", lambda root: None)
    at = page("start")
    at.button(key="train-this").click().run()
    assert [r.preset for r in runs.all()] == ["digits-sss"]


def test_the_form_is_made_from_the_settings_and_refuses_what_they_refuse(runs, monkeypatch):
    monkeypatch.setattr("core.runs.control.ensure_dispatcher", lambda root: None)
    at = page("start")
    assert "From 0 to 10" in at.number_input(key="digits-sss-0-strength_filter").help
    assert at.number_input(key="digits-sss-batch_size").min == 2
    at.number_input(key="digits-sss-seed").set_value(7)
    next(b for b in at.button if b.label == "Train with these settings").click().run()
    assert [r.seed for r in runs.all()] == [7]


def test_the_form_of_several_phases_sets_each_phase_by_itself_and_queues_both_controls(runs, monkeypatch):
    monkeypatch.setattr("core.runs.control.ensure_dispatcher", lambda root: None)
    at = page("start")
    at.selectbox(key="form-preset").set_value("digits-ssl").run()
    assert list(at.selectbox(key="digits-ssl-1-solver").options) == ["default", "proximal", "paper"]
    at.number_input(key="digits-ssl-1-strength_shape").set_value(0.5)
    at.number_input(key="digits-ssl-2-epochs").set_value(4)
    at.checkbox(key="digits-ssl-controls").set_value(True)
    next(b for b in at.button if b.label == "Train with these settings").click().run()
    assert not at.exception and not at.error
    rows = sorted(runs.all(), key=lambda row: row.created)
    assert [row.role for row in rows] == ["method", "dense control", "scratch control"]
    asked, whole = rows[0].config["phases"], preset("digits-ssl").config.model_dump(mode="json")["phases"]
    assert asked[1]["strength_shape"] == 0.5 and asked[2]["epochs"] == 4
    asked[1]["strength_shape"], asked[2]["epochs"] = whole[1]["strength_shape"], whole[2]["epochs"]
    assert [{k: pytest.approx(v) if isinstance(v, float) else v for k, v in p.items()} for p in whole] == asked
    assert rows[2].config["source"] == rows[0].id


def test_the_trade_offs_put_seeds_together_and_the_papers_points_beside(runs, run_state):
    first = run_state("finished")
    row = runs.get(first)
    other = RunConfig.model_validate(row.config | {"seed": 1})
    from app.tradeoff_points import own_points, paper_points

    second = Run(
        id="b",
        created=0.0,
        preset=row.preset,
        config=other.model_dump(mode="json"),
        family="b",
        seed=1,
        role="method",
        result=row.result,
    )
    third = Run(
        id="c",
        created=0.0,
        preset=row.preset,
        config=row.config | {"batch_size": 7},
        family="c",
        seed=0,
        role="method",
        result=row.result,
    )
    table = own_points([row, second, third])
    assert list(table["n"]) == [2, 1] and table["accuracy_low"].notna().tolist() == [True, False]
    points = paper_points("resnet20", "cifar10")
    assert set(points["label"]) == {"baseline", "SSS"} and points["citation"].str.contains("secondary").all()
    assert points["accuracy"].between(0.85, 0.95).all()
    at = page("tradeoffs")
    assert not at.exception and len(at.dataframe) >= 1


def test_a_preset_whose_data_is_not_there_says_how_to_get_it(runs, monkeypatch):
    monkeypatch.delenv("ESPALIER_DATA", raising=False)
    at = page("start")
    button = at.button(key="preset-sss-resnet20-c10")
    assert button.disabled and "download it from" in button.help


def test_a_run_that_does_not_exist_is_one_sentence_and_no_traceback(runs):
    at = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=30)
    at.query_params["run"] = "nobody"
    at.run()
    assert not at.exception
    shown = page_guarded("live", "nobody")
    assert any("This run is not here; choose one on the left" in e.value for e in shown.error)


@pytest.mark.parametrize("name", ["live", "structure", "take_away"])
def test_a_run_whose_folder_is_gone_is_told_on_its_pages(runs, run_state, name):
    run = run_state("finished")
    shutil.move(runs.root / run, runs.root.parent / "elsewhere")
    at = page_guarded(name, run)
    said = [e.value for e in at.error]
    assert not at.exception and len(said) == 1
    assert said[0].startswith(f"Run {run} must have its folder; ") and said[0].endswith(
        "or delete the run and train it again"
    )


def test_the_dashboard_draws_with_runs_in_the_sidebar(runs, run_state):
    for state in STATES:
        run_state(state)
    at = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=30).run()
    assert not at.exception and len([b for b in at.sidebar.button if b.key and b.key.startswith("run-digits")]) == len(
        STATES
    )


def test_deleting_a_run_can_be_undone(runs, run_state):
    run = run_state("finished")
    at = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=30).run()
    at.button(key=f"delete-{run}").click().run()
    assert runs.all() == []
    at.button(key="undo-delete").click().run()
    assert [r.id for r in runs.all()] == [run]


def test_the_selection_comes_from_the_address(runs, run_state):
    run = run_state("finished")
    at = page("structure", run, site="stage2.1.conv1/filter", epoch="5")
    assert "stage2.1.conv1/filter" in words(at) and "after epoch 5" in words(at)


def test_the_tree_gets_the_recorded_run(runs):
    tree = drawn(page("live", "demo"))
    assert tree["network"] == "resnet20" and len(tree["stages"]) == 3 and tree["say"].endswith(".")


def test_torch_stays_out_of_the_web_process_on_every_page(runs, run_state):
    run = run_state("finished")
    code = (
        "import sys; sys.path[:0] = [sys.argv[1], sys.argv[1] + '/tests']\n"
        "import test_pages as t\n"
        "import app.app_pages.prediction as p, app.asking as q; p.ask = q.ask = lambda *a, **k: None\n"
        "for name in t.PAGES:\n    at = t.page(name, sys.argv[2]); assert not at.exception, name\n    assert 'torch' not in sys.modules, name\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(ROOT), run], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_bad_setting_in_the_form_is_one_sentence(runs):
    at = page("start")
    at.text_input(key="digits-sss-0-lr_drops").set_value("0.9, 0.5")
    next(b for b in at.button if b.label == "Train with these settings").click().run()
    assert any("must be rising fractions between 0 and 1" in e.value for e in at.error) and runs.all() == []


def test_a_damaged_record_is_one_sentence(runs, run_state):
    run = run_state("finished")
    file = runs.root / run / "events.jsonl"
    file.write_text(file.read_text()[:4000] + "}{\n")
    at = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=30)
    at.query_params["run"] = run
    at.run()
    script_page = page_guarded("live", run)
    assert not script_page.exception and any("must hold one JSON event a line" in e.value for e in script_page.error)


def page_guarded(name, run):
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\nimport streamlit as st\nfrom app import shell\nfrom app.guard import guarded\n"
        f"from app.app_pages import {name} as page\nst.session_state['pages'] = shell.pages(); guarded(page.page)()\n"
    )
    at = AppTest.from_string(script, default_timeout=30)
    at.query_params["run"] = run
    return at.run()


def test_a_folder_copied_into_the_runs_folder_is_taken_in(runs, monkeypatch):
    import shutil

    from core.runs.control import adopt

    monkeypatch.setattr("core.runs.control.SETTLING_S", 0.0)
    shutil.copytree(ROOT / "assets" / "demo", runs.root / "from-elsewhere")
    assert adopt(runs) == ["from-elsewhere"] and adopt(runs) == []
    assert runs.get("from-elsewhere").state == "finished"
    assert not page("live", "from-elsewhere").exception


def test_a_look_between_the_epoch_and_its_structure_is_made_good_by_the_next(runs, run_state):
    from app.runs import RunView
    from core.runs.folder import RunFolder

    folder = runs.root / run_state("stopped")
    whole = (folder / "alive.u8").read_bytes()
    units = sum(site["total"] for site in RunFolder(folder).sites())
    (folder / "alive.u8").write_bytes(whole[:-units])
    view = RunView("x", RunFolder(folder)).refresh()
    early = view.counts().shape[1]
    (folder / "alive.u8").write_bytes(whole)
    assert view.refresh().counts().shape[1] == early + 1 == len(view.epochs)


def test_every_epoch_has_its_sentence_and_the_first_one_says_that_all_is_alive(runs):
    tree = drawn(page("structure", "demo"))
    assert len(tree["says"]) == tree["epoch_now"] + 1 and tree["says"][-1] == tree["say"]
    assert tree["says"][0].startswith("Before training everything is alive")


def test_the_browser_opens_when_the_dashboard_answers_and_a_taken_port_is_passed_over(monkeypatch):
    import socket

    from app import __main__ as launcher

    opened = []
    monkeypatch.setattr(launcher.webbrowser, "open", opened.append)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        launcher.open_when_up(port, timeout_s=5)
        assert launcher.first_free(port) > port
    launcher.open_when_up(1, timeout_s=0.3)
    assert opened == [f"http://127.0.0.1:{port}"]


def test_the_dashboard_is_served_without_advice_to_app_developers(monkeypatch):
    from app import __main__ as launcher

    monkeypatch.setattr(launcher.streamlit_cli, "main", lambda: None)
    monkeypatch.setattr(launcher, "open_when_up", lambda port: None)
    monkeypatch.setattr("sys.argv", [])
    for browser in (True, False):
        launcher.serve(port=8501, browser=browser)
        assert "--server.headless=true" in launcher.sys.argv


def test_the_structure_page_tells_what_the_units_of_a_site_pass_on(runs):
    at = page("structure", "demo", site="stage2.0.conv1/filter", epoch="60")
    assert any("Effective norms (weights × |scale| / σ" in c.value and "after epoch 60" in c.value for c in at.caption)


def form(runs, monkeypatch, name, way=None):
    """The Start page with the settings of a preset open, and the way of training chosen."""
    monkeypatch.setattr("core.runs.control.ensure_dispatcher", lambda root: None)
    at = page("start")
    at.selectbox(key="form-preset").set_value(name).run()
    if way:
        at.get_by_key("form-way").set_value(way).run()
    return at


def train(at):
    next(b for b in at.button if b.label == "Train with these settings").click().run()
    assert not at.exception
    return at


def test_the_form_starts_a_sweep_over_strengths_and_seeds_with_controls_as_one_family(runs, monkeypatch):
    at = form(runs, monkeypatch, "digits-lenet", "A sweep over strengths")
    at.text_input(key="digits-lenet-factors").set_value("1, 2")
    at.text_input(key="digits-lenet-seeds").set_value("0,1")
    at.checkbox(key="digits-lenet-warm").set_value(True)
    at.checkbox(key="digits-lenet-controls").set_value(True)
    assert not train(at).error
    (family,) = {row.family for row in runs.all()}
    rows = runs.family(family)
    assert [row.role for row in rows] == 2 * ["method", "dense control", "scratch control", "method", "scratch control"]
    first, second = rows[0].config, rows[3].config
    assert (
        second["phases"][0]["strength_filter"] == 2 * first["phases"][0]["strength_filter"]
        and second["source"] == rows[0].id
    )
    assert [row.seed for row in rows if row.role == "method"] == [0, 0, 1, 1]


def test_a_sweep_that_cannot_be_is_one_sentence_and_queues_nothing(runs, monkeypatch):
    at = form(runs, monkeypatch, "digits-lenet", "A sweep over strengths")
    at.text_input(key="digits-lenet-factors").set_value("1, zwei")
    assert any("Factors on the strengths must be positive numbers" in e.value for e in train(at).error)
    at = form(runs, monkeypatch, "digits-dense", "A sweep over strengths")
    assert any("must have a phase that learns structure" in e.value for e in train(at).error) and runs.all() == []


def test_the_form_starts_a_search_in_the_background(runs, monkeypatch):
    spawned = []
    monkeypatch.setattr("core.runs.home.spawn", lambda module, *more, log: spawned.append((module, *more)))
    at = form(runs, monkeypatch, "digits-lenet", "Find the strength")
    at.number_input(key="digits-lenet-percent").set_value(40)
    at.number_input(key="digits-lenet-most").set_value(3)
    assert not train(at).error
    (row,) = runs.all()
    assert ("core.runs.searching", str(runs.root), row.id) in spawned
    at = page("live", row.id)
    assert "Looking for a strength that leaves at most 40 % of the MACs: 0 of at most 3 runs done." in words(at)
    at.button(key="stop-search").click().run()
    assert "was stopped after 0 of at most 3 runs" in words(at) and runs.get(row.id).state == "stopped"
    at.button(key="resume-search").click().run()
    assert len([s for s in spawned if s[0] == "core.runs.searching"]) == 2 and "Looking for" in words(at)


def test_a_search_that_ended_early_says_why_and_keeps_what_it_found(runs, run_state):
    import json

    first, second = run_state("finished"), run_state("failed")
    with runs._write() as session:
        session.get_one(Run, second).family = first
    record = {
        "target": {"macs": 0.9}, "most": 6, "controls": False, "over": False, "config": {}, "error": f"run {second} must finish",
        "tried": [{"run": first, "factor": 1.0}, {"run": second, "factor": 0.4}],
    }  # fmt: skip
    (runs.root / first / "search.json").write_text(json.dumps(record))
    said = words(page("live", second))
    assert (
        f"ended early, after 1 of at most 6 runs: run {second} must finish" in said and f"Best so far: {first}" in said
    )


def test_a_family_stands_together_on_the_live_page_and_a_lone_run_has_no_such_card(runs, run_state):
    lone = run_state("finished")
    assert "each is finished" not in words(page("live", lone))
    other = run_state("finished")
    with runs._write() as session:
        session.get_one(Run, other).family = lone
    assert "2 runs; each is finished." in words(page("live", lone))


def test_overlaps_are_said_in_the_form_and_on_the_page_of_a_run(runs, monkeypatch):
    at = form(runs, monkeypatch, "digits-ssl")
    said = words(at)
    assert "Groups inside each other" in said and "Filters and filter shapes of one layer cross" in said
    train(at)
    (row,) = runs.all()
    assert "Phase SSL: Filters and filter shapes of one layer cross" in words(page("live", row.id))


def test_a_folder_of_pictures_can_be_named_in_the_form_and_is_looked_at(runs, monkeypatch, tmp_path):
    at = form(runs, monkeypatch, "digits-lenet")
    at.selectbox(key="digits-lenet-dataset").set_value("folder:").run()
    assert any("train/CLASS/*.jpg" in i.value for i in at.info)
    at.text_input(key="digits-lenet-folder").set_value(str(tmp_path / "gone")).run()
    assert any("must be a folder with pictures in train/CLASS/; got no such folder" in e.value for e in at.error)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / "train" / name).mkdir(parents=True)
        (tmp_path / "photos" / "train" / name / "1.jpg").touch()
    at.text_input(key="digits-lenet-folder").set_value(str(tmp_path / "photos")).run()
    assert not at.error and "2 classes in" in words(at)
    at.number_input(key="digits-lenet-side").set_value(32).run()
    assert not train(at).error
    (row,) = runs.all()
    assert row.config["dataset"] == f"folder:{tmp_path / 'photos'}@32" and row.config["augment"] is None


def test_augmentation_in_the_form_is_the_data_sets_own_until_it_is_changed(runs, monkeypatch):
    at = form(runs, monkeypatch, "shapes-sss")
    assert (
        at.number_input(key="shapes-sss-shapes-augment-crop").value == 2
        and at.checkbox(key="shapes-sss-shapes-augment-flip").value
    )
    train(at)
    at = form(runs, monkeypatch, "shapes-sss")
    at.number_input(key="shapes-sss-shapes-augment-crop").set_value(0)
    at.number_input(key="shapes-sss-shapes-augment-cutout").set_value(8)
    train(at)
    changed, own = (row.config["augment"] for row in runs.all())
    assert own is None and changed == {"crop": None, "flip": True, "cutout": 8, "area": None}


def test_a_finished_run_of_a_paper_stands_beside_its_rows(runs, run_state):
    from app.app_pages.beside_paper import counted_as, side_by_side
    from core.papers import published

    run = run_state("finished")
    with runs._write() as session:
        row = session.get_one(Run, run)
        row.preset = "sss-resnet20-c10"
        row.config = row.config | {"dataset": "cifar10", "preset": row.preset}
    row = runs.get(run)
    table = side_by_side(row.result, published(row.preset, "resnet20", "cifar10"))
    assert list(table["what"]) == ["this run", "SSS: baseline", "SSS: SSS"] and list(table["test error"])[1:] == [
        7.47,
        9.15,
    ]
    assert table["MACs left"][0] == row.result["macs_per_image"]["compact"] / row.result["macs_per_image"]["dense"]
    of_lenet = published("ssl-lenet-table1", "lenet", "mnist")
    assert counted_as(of_lenet, row.result | {"conv_macs": {"dense": 10, "compact": 2}}) == {"dense": 10, "compact": 2}
    old = {key: value for key, value in row.result.items() if key != "conv_macs"}
    assert counted_as(of_lenet, old) is None, "all layers are not what the paper counts"
    for name in ("live", "take_away"):
        said = words(page(name, run))
        assert (
            "nearest of the paper" in said
            and "This run errs on" in said
            and "strengths for CIFAR are not published" in said
        ), name
    with runs._write() as session:
        row = session.get_one(Run, run)
        row.config = row.config | {"preset": "sss-of-another-place"}
    said = words(page("live", run))
    assert "strengths for CIFAR are not published" in said and "its preset asks for" not in said, (
        "a preset that is none of ours is no error"
    )
    assert "nearest of the paper" not in words(page("live", run_state("finished")))


@pytest.mark.usefixtures("runs")
def test_a_recorded_run_of_a_paper_stands_beside_its_rows_and_says_what_was_measured_at_its_end():
    said = words(page("live", "mnist-filters"))
    assert re.search(r"This run errs on 0\.\d\d % with \d+ % of the MACs of convolutions", said)
    assert "Not measured yet" not in said and "Of the finished network" in said
    assert "Nothing yet" not in said and "No layer or block died as a whole" in said
    assert "This run errs on" in words(page("take_away", "mnist-shapes"))


@pytest.mark.usefixtures("runs")
def test_the_proof_names_what_went_with_what_died():
    from core.structure import load

    said = words(page("structure", "mnist-shapes"))
    assert (
        "**45 of 70 filters**. With that went 16 filter shapes, and what nothing reads any more: 1 filter and 186 neurons. MACs"
        in said
    )
    wide = [
        tuple(p.shape)
        for p in load(ROOT / "assets/gallery/mnist-shapes/compact.safetensors").parameters()
        if p.dim() > 1
    ]
    assert wide[0][0] == 20 - 19 and wide[-1][1] == 500 - 186, "18 died and one is unread; 186 neurons are"
    assert "With that went" not in words(page("structure", "demo"))


def test_a_sweep_is_a_path_on_the_trade_offs_and_its_controls_are_not(runs, run_state):
    from app.tradeoff_points import own_points

    row = runs.get(run_state("finished"))

    def made(name, factor, role="method", seed=0):
        phases = [
            p | {"strength_filter": factor * p["strength_filter"], "strength_block": factor * p["strength_block"]}
            for p in row.config["phases"]
        ]
        config = row.config | {"phases": phases, "seed": seed}
        return Run(
            id=name, created=0.0, preset=row.preset, config=config, family="f", seed=seed, role=role, result=row.result
        )

    table = own_points([made("a", 1), made("b", 2), made("c", 2, seed=1), made("d", 2, role="scratch control")])
    assert list(table["label"]) == [
        "filters 0.006, blocks 0.05",
        "filters 0.012, blocks 0.1",
        "same shape from scratch",
    ]
    assert list(table["path"][:2]) == ["f", "f"] and table["path"].isna().tolist() == [False, False, True]
    assert list(table["method"]) == ["sss", "sss", "scratch"] and list(table["n"]) == [1, 2, 1]
    assert own_points([made("a", 1)])["path"].isna().all()


@pytest.mark.parametrize("name", [p.name for p in PRESETS])
def test_the_form_opens_for_every_preset(runs, monkeypatch, name):
    at = form(runs, monkeypatch, name)
    assert not at.exception and not at.error


def test_the_form_takes_levels_as_shares_and_says_how_where_they_are_not(runs, monkeypatch):
    at = form(runs, monkeypatch, "digits-nested")
    field = at.text_input(key="digits-nested-0-levels")
    assert field.value == "0.5 x 1, 1 x 1"
    field.set_value("0.25 x 0.4, 1 x 0.4, 1 x 1")
    train(at)
    (row,) = runs.all()
    levels = row.config["phases"][0]["levels"]
    assert [(level["width"], level["depth"]) for level in levels] == [(0.25, 0.4), (1, 0.4), (1, 1)]
    for text, says in (
        ("half", "for example 0.5 x 1, 1 x 1"),
        ("0.5 x 1", "levels must be two or more"),
        ("7 x 1, 1 x 1", "7"),
    ):
        at = form(runs, monkeypatch, "digits-nested")
        at.text_input(key="digits-nested-0-levels").set_value(text)
        assert any(says in error.value for error in train(at).error), text


def test_the_run_in_the_address_stands_behind_and_one_of_another_network_does_not(run_state):
    first, second, third = (run_state("finished") for _ in range(3))
    at = page("structure", first, ghost=second)
    assert not at.exception
    sent = next(json.loads(b.proto.json) for b in at.get("bidi_component") if '"bytes"' in b.proto.json)
    assert sent["ghost"]["name"] == second and "As many live" in sent["ghost"]["say"]
    (choice,) = [box for box in at.selectbox if box.key.startswith("ghost-")]
    assert choice.value == second and len(choice.options) == 3
    choice.set_value(third).run()
    assert third in at.query_params["ghost"]
    next(box for box in at.selectbox if box.key.startswith("ghost-")).set_value("").run()
    assert "ghost" not in at.query_params
    alone = page("structure", first, ghost="another")
    assert not any('"ghost"' in b.proto.json for b in alone.get("bidi_component"))


def test_a_time_of_a_network_that_computes_nothing_is_not_shown():
    from app.app_pages import live_figures, run_tiles

    epochs = [{"epoch": 0, "macs": 5}, {"epoch": 1, "macs": 0}]
    view = SimpleNamespace(epochs=epochs, speeds=[{"epoch": 0, "measured": 1.0}, {"epoch": 1, "measured": 99.0}])
    assert live_figures._timed(view) == [{"epoch": 0, "measured": 1.0}]
    speed = {
        "measured": 99.0,
        "low": 98.0,
        "high": 100.0,
        "n": 9,
        "batch": 1,
        "threads": 1,
        "cpu": "c",
        "promised": 5.0,
    }
    assert run_tiles.speed_tile(speed, 0) == ("measured speed", "—", "nothing is left to compute")
    assert run_tiles.speed_tile(speed, 1)[1] == "99.00 ×"
