"""What comes recorded: the gallery's runs are rows of evidence, and the pages say what the tables show."""

import json
import subprocess
import sys

import make_gallery
import plotly.graph_objects as go
import pytest
from conftest import ROOT
from test_pages import no_processes, page, words  # noqa: F401  (pages start nothing in the background)

from app import gain_charts
from core.config import RunConfig
from core.evidence import gains
from core.evidence.findings import findings
from core.evidence.rows import FOLDER, alike
from core.evidence.tables import TABLES
from core.evidence.wanted import METHOD, Table, Wanted
from core.presets import preset
from core.runs.folder import RunFolder
from core.runs.recorded import DEMO, is_recorded, recorded
from core.structure import load

GALLERY = [name for name in recorded() if name != DEMO]


def test_the_demo_comes_first_and_nothing_else_counts_as_recorded():
    assert next(iter(recorded())) == DEMO and is_recorded(DEMO)
    assert not is_recorded("digits-sss-57cc88") and not is_recorded(None)


@pytest.mark.parametrize("name", GALLERY)
def test_a_run_of_the_gallery_is_the_run_of_its_row_or_preset_and_can_be_asked(name):
    table, row, title, say = make_gallery.GALLERY[name]
    folder = RunFolder(recorded()[name].folder)
    about = folder.about()
    assert (recorded()[name].title, recorded()[name].say) == (title, say)
    if table:
        told = json.loads((FOLDER / f"{row}.json").read_text())
        assert about["result"]["weights_sha256"] == told["weights_sha256"]
    else:
        assert alike(RunConfig.model_validate(about["config"]), preset(row).config)
    assert about["weights_only"] is True
    assert len(list(folder.checkpoints.iterdir())) == 1 and load(folder.compact) is not None
    size = sum(file.stat().st_size for file in folder.path.rglob("*") if file.is_file())
    assert size < 4e6, "small enough to come with the program"


def test_the_first_screen_plays_whichever_recorded_run_is_chosen(runs):
    at = page("start")
    if GALLERY:
        at.segmented_control(key="recorded").set_value(GALLERY[0]).run()
        assert recorded()[GALLERY[0]].say in words(at)
    at.button(key="open-recorded").click().run()
    assert at.session_state["selection"]["run"] == (GALLERY or [DEMO])[0]


def test_a_recorded_nested_run_fills_the_levels_and_is_offered_where_there_is_none(runs):
    name = "shapes-families"
    at = page("levels", name)
    said = words(at)
    assert "Two networks in one" in said and "The subset property holds" in said
    assert "With controls" in said and "Level 0 core and the full level name the same of 4 families" in said
    assert any(button.label == "Prepare level 0 core" for button in at.button)
    empty = page("levels")
    empty.button(key=f"open-{name}").click().run()
    assert empty.session_state["selection"]["run"] == name
    assert "Of the core against the full level" in words(page("live", name))
    fast = words(page("speed", name))
    assert (
        "Each level taken away, against the full one" in fast
        and "Nothing was removed: both are the same network" in fast
    )


def test_commands_read_a_recorded_run_by_its_name_and_write_nothing_to_it(tmp_path):
    def asked(*words):
        return subprocess.run(
            [sys.executable, "-m", "core", *words, "--runs", str(tmp_path / "runs")],
            capture_output=True,
            text=True,
            cwd=ROOT,
        )

    before = sorted((f, f.stat().st_mtime_ns) for f in (ROOT / "assets").rglob("*") if f.is_file())
    told = asked("compact", DEMO, "-o", str(tmp_path / "small.safetensors"), "--json")
    assert json.loads(told.stdout)["certificate"]["verdict"] == "exact", told.stderr
    told = asked("extract", "shapes-families", "--level", "0", "-o", str(tmp_path / "core.safetensors"), "--json")
    assert json.loads(told.stdout)["macs"]["compact"] == 6_709_376, told.stderr
    assert json.loads(asked("collapses", DEMO, "--json").stdout)["run"] == DEMO
    told = asked("measure", DEMO, "--json")
    assert json.loads(told.stdout)["speed"]["promised"] > 2, told.stderr
    told = asked("show", DEMO, "--json")
    assert json.loads(told.stdout)["certificate"]["verdict"] == "exact", told.stderr
    told = asked("inspect", DEMO, "--json")
    assert json.loads(told.stdout)["macs"] == 2_516_608, told.stderr
    assert sorted((f, f.stat().st_mtime_ns) for f in (ROOT / "assets").rglob("*") if f.is_file()) == before


def made(ours, paper=None, label="level 0", against="level alone"):
    return gains.Gain(label, against, ours, paper, "cited" if paper is not None else "")


def test_gains_are_a_row_each_with_the_papers_hollow_beside():
    found = [made((0.021, 0.004, 3), 0.003), made((-0.01, 0.02, 3), None, "level 1"), made((-0.03, None, 1), -0.01, "level 2")]  # fmt: skip
    spec = gain_charts.gain_chart(found)
    figure = go.Figure({"data": spec["data"], "layout": spec["layout"]})
    ours, theirs = figure.data
    assert (
        ours.x == (2.1, -1.0, -3.0)
        and ours.error_x.array == (0.99, 4.97, None)
        and ours.marker.symbol[-1] == "circle-open"
    )
    assert theirs.x == (0.3, -1.0) and theirs.y == (0, 2) and theirs.marker.symbol == "diamond-open"
    assert spec["alt"] == "Of 3 differences 1 are clear gains and 0 clear losses (95 % interval of the mean of the pairs). 1 of one seed."  # fmt: skip
    single = gain_charts.gain_chart([made((0.0057, None, 1)), made((-0.012, None, 1), label="level 1")])
    assert single["alt"] == "Level 0 − alone +0.57 points and Level 1 − alone −1.20 points; each of one seed."


def test_differences_of_a_table_stand_beside_the_papers_between_the_same_two(monkeypatch):
    table = TABLES["nested-four-levels"]
    line = {"label": "level 0", "role": "level alone", "difference": (0.01, 0.002, 3), "over_full": None}
    together = {"label": "consensus, learned", "role": METHOD, "difference": None, "over_full": (0.05, 0.01, 3)}
    student = {"label": "level 0", "role": "student", "difference": (-0.01, 0.002, 3), "over_full": None}
    monkeypatch.setattr(gains, "summary", lambda *_: [line, student, together])
    alone, taught, consensus = gains.gains(table)
    assert alone.paper == pytest.approx((36.0 - 35.7) / 100) and "table 2" in alone.cited
    assert taught.paper is None and consensus.paper == pytest.approx((24.5 - 21.9) / 100)
    assert (consensus.label, consensus.against) == ("consensus, learned", gains.FULL)


def test_levels_and_trade_offs_say_what_the_recorded_runs_show(runs):
    at = page("levels")
    assert not at.exception and findings(TABLES["nested-weights"])[0] in words(at)
    at = page("tradeoffs", set="digits", points="Recorded evidence")
    assert findings(TABLES["digits"])[0] in words(at)
    assert "All recorded points against their controls" in [one.label for one in at.expander]
    glance = next(frame.value for frame in at.dataframe if "random mask" in frame.value)
    assert list(glance.iloc[0][["table", "point", "n"]]) == ["ResNet-20 on digits: SSS in one pass", "SSS", "5"]


def test_a_table_without_a_row_shows_nothing():
    empty = Table("empty", "", "", (Wanted("no-such-row.0", "point", TABLES["digits"].wanted[0].config),))
    assert findings(empty) == [] and gains.gains(empty) == []
