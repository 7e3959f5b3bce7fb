"""The Structure page: its figures as data, what the lane says of single units, and the page in its states."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import torch
from conftest import DEMO
from test_pages import page, words

from app import charts, stream_charts, structure_charts
from app.app_pages import parts, run_tiles
from app.app_pages.structure_layers import layer_table
from app.app_pages.structure_unit import company, kernel_pictures
from app.runs import RunView
from core.data import load
from core.errors import BadInput, WrongMoment
from core.runs.collapses import report_of
from core.runs.folder import RunFolder
from core.runs.lane import _which
from core.runs.lane_stands import Stands
from core.runs.lane_units import UnitQuestions
from core.trained import trained_network

SITE = "stage2.0.conv1/filter"


@pytest.fixture(scope="module")
def view():
    return RunView("demo", RunFolder(DEMO)).refresh()


@pytest.fixture(scope="module")
def network():
    """The demo's network, settings and epoch."""
    found, config, _, epoch = trained_network(next((DEMO / "checkpoints").iterdir()), load("digits"))
    return found, config, epoch


@pytest.fixture(scope="module")
def questions(network):
    return UnitQuestions(Stands(_which, lambda file: network, lambda name: load("digits")))


@pytest.fixture
def lane(questions, monkeypatch):
    """The lane's answers, given in this process; what was asked."""
    asked = []

    def ask(root, question, *, timeout_s=1.0, **details):
        asked.append((question, details))
        try:
            return getattr(questions, question)(**details)
        except BadInput as error:
            raise WrongMoment(str(error)) from None

    monkeypatch.setattr("app.asking.ask", ask)
    return asked


# ---- figures as data


def test_every_death_stays_visible_however_few_columns_are_drawn():
    share = pd.DataFrame(np.ones((40, 400)), index=[f"site{i}" for i in range(40)])
    share.iloc[3, 123:] = 0.0
    share.iloc[5, 77:79] = 0.0  # between two drawn columns
    spec = charts.survival_heatmap(share, picked=("site3", 200))
    assert len(spec["data"][0]["x"]) <= 100
    marks = {
        d["hovertemplate"]: list(zip(d["x"], d["y"], strict=True))
        for d in spec["data"]
        if "died" in d.get("hovertemplate", "")
    }
    assert list(marks.values()) == [[(77, "site5")], [(123, "site3")]]
    row, column = spec["layout"]["shapes"]
    assert (row["y0"], row["y1"]) == (2.5, 3.5) and column["x0"] < 200 < column["x1"]


def test_the_stream_of_the_selected_unit_is_drawn_strong_also_among_many():
    frame = pd.DataFrame(np.linspace(0.1, 2, 300)[None, :] * np.ones((5, 1)))
    lines = [
        d
        for d in stream_charts.factor_streams(frame, picked=117, threshold=0.3)["data"]
        if d.get("customdata") == ["117"]
    ]
    assert len(lines) == 1 and lines[0]["line"]["width"] > 3
    shapes = stream_charts.factor_streams(frame, threshold=0.3)["layout"]["shapes"]
    assert [s["y0"] for s in shapes if s.get("y0") == s.get("y1") == 0.3] == [0.3]


def test_the_mosaic_tells_alive_dying_and_dead_apart():
    values = np.array([[1.0, 1.0, 1.0, 1.0]] * 5 + [[1.0, 0.4, 0.0, 0.6]])
    states = structure_charts.unit_states(values, values > 0, 5)
    assert states == ["alive", "dying", "dead", "alive"]
    spec = structure_charts.mosaic(values[-1], states, [0, 1, 2, 3], picked=1)
    assert [(d.get("name"), [c[0] for c in d.get("customdata", [])]) for d in spec["data"]] == [
        ("alive", [0, 3]),
        ("dying", [1]),
        ("dead", [2]),
        (None, []),
    ]
    assert (
        spec["data"][0]["marker"]["opacity"] == [1.0, 0.66]
        and "3 of 4 filters alive, 1 falling fast (orange); 1 dead" in spec["alt"]
    )
    assert structure_charts.unit_states(values, values > 0, 0) == ["alive"] * 4
    go.Figure({"data": spec["data"], "layout": spec["layout"]})


def test_units_are_ordered_by_index_norm_or_death():
    norms, deaths = np.array([0.0, 3.0, 0.0, 5.0]), [7, None, 2, None]
    assert [structure_charts.unit_order(by, norms, deaths) for by in ("index", "norm", "death")] == [
        [0, 1, 2, 3],
        [3, 1, 0, 2],
        [2, 0, 1, 3],
    ]


def test_taps_stand_where_they_are_in_the_kernel():
    values = np.arange(18, dtype=float)  # 2 input channels, 3 x 3
    spec = structure_charts.tap_grid(values, 2, 3, picked=14)
    z, unit = np.array(spec["data"][0]["z"], float), np.array(spec["data"][0]["customdata"])
    assert z.shape == (3, 7) and np.isnan(z[:, 3]).all() and unit[1, 6] == 14
    assert z[1, 6] == round(14 / 17, 2) and "17 of 18 taps alive" in spec["alt"]
    assert spec["layout"]["shapes"][0]["x0"] == 5.5


def test_the_timeline_shows_every_death_and_return_of_the_demo(view):
    report = report_of(RunFolder(DEMO))
    spec = structure_charts.collapse_timeline(report, view.table(), picked="stage3.1/block")
    died, back = (
        next(d for d in spec["data"] if f" {w} at" in d.get("hovertemplate", "")) for w in ("died", "came back")
    )
    assert sorted(died["x"]) == [35, 39, 41, 43, 43, 45, 50, 50, 52] and sorted(back["x"]) == [
        36,
        40,
        42,
        44,
        44,
        47,
        51,
    ]
    assert spec["layout"]["shapes"][0]["y0"] == 0.5  # the second row is the selected one
    go.Figure({"data": spec["data"], "layout": spec["layout"]})


def test_layers_of_a_network_without_stages_in_front_have_the_drawings_names():
    assert (
        parts.short("features.stage1.0.conv/filter") == "1.1 conv"
        and parts.short("stage1.0.conv1/filter") == "1.1 conv1"
    )


def test_a_network_in_which_nothing_lives_is_told_plainly_and_has_no_speed(view, monkeypatch):
    empty = view.result | {"macs_per_image": view.result["macs_per_image"] | {"compact": 0}}
    assert ("measured speed", "—", "nothing is left to compute") not in run_tiles.tiles(view, None)
    monkeypatch.setattr(view, "result", empty)
    assert ("measured speed", "—", "nothing is left to compute") in run_tiles.tiles(view, None)


def test_the_layer_table_says_states_in_words_and_keeps_sparklines_short(view):
    table = layer_table(view, 120).set_index("path")
    assert table.loc["stage2.1.conv2", "state"] == "dead since epoch 50" and table.loc["conv", "state"] == "fixed"
    assert table.loc["stage2.0.conv1", "state"].startswith("lost ")
    assert (
        max(len(line) for line in table["alive over epochs"]) <= 41
        and table.loc["stage2.1.conv1", "alive over epochs"][-1] == 0
    )


def test_a_units_history_says_since_when_it_is_zero():
    assert (
        structure_charts.history_sentence([1, 0.5, 0, 0], 1, "factor")
        == "Its factor was 1 at the start and is 0.5 after epoch 1; exactly 0 since epoch 2."
    )
    assert "exactly 0 for 1 epoch and came back" in structure_charts.history_sentence([1, 0, 0.2], 2, "norm")


# ---- one unit, from the lane


def test_the_lane_gives_a_filters_weights_and_what_it_says(questions, network):
    found, _, _ = network
    told = questions.unit(str(DEMO), "stage2.0.conv1", 3, index=7, at=60)
    weight = found.get_submodule("stage2.0.conv1").weight.detach().double()[3]
    kernel, feature = told["kernel"], told["feature"]
    assert np.allclose(np.array(kernel["slices"]) * kernel["largest"], weight.numpy(), atol=1e-3) and kernel[
        "norm"
    ] == pytest.approx(float(weight.norm()))
    dataset = load("digits")
    x = dataset.normalise(dataset.test.images[7:8])
    with torch.no_grad():  # the layers one by one, without a hook
        y = found.bn(found.conv(x)).relu()
        for one in found.stage1:
            y = one(y)
        first = found.stage2[0]
        said = first.bn1(first.conv1(y))[0, 3]
    assert feature["largest"] == pytest.approx(float(said.abs().max()), rel=1e-4)
    assert np.allclose(np.array(feature["map"]) * feature["largest"], said.numpy(), atol=1e-3 * feature["largest"])
    assert told["kernel"]["epoch"] == 120  # the only checkpoint that the demo keeps


def test_the_lane_draws_first_layer_kernels_and_joins_filters_of_a_conv_group(questions):
    assert np.array(questions.layer(str(DEMO), "conv")["kernels"]).shape == (16, 1, 3, 3)
    assert questions.layer(str(DEMO), "stage1.0.conv1")["kernels"] is None
    halves = [questions.unit(str(DEMO), "stage1.0.conv1", half, units=2)["kernel"] for half in range(2)]
    assert halves[0]["of"] == 8 * 16 and halves[0]["norm"] != halves[1]["norm"]
    assert questions.unit(str(DEMO), "fc", 3)["feature"]["side"] == [1, 1]


@pytest.mark.parametrize(("path", "unit", "rule"), [("nowhere", 0, "a layer with weights must stand at 'nowhere'"), ("conv", 16, "unit must be 0 to 15 in conv; got 16")])  # fmt: skip
def test_a_unit_that_is_not_there_is_refused_in_a_sentence(questions, path, unit, rule):
    with pytest.raises(BadInput, match=rule):
        questions.unit(str(DEMO), path, unit)


def test_kernels_are_drawn_as_a_picture_as_slices_or_as_one_field():
    colour, look = kernel_pictures(np.zeros((3, 5, 5)), True)
    assert len(colour) == 1 and colour[0].shape == (3, 5, 5) and "colours" in look
    assert len(kernel_pictures(np.zeros((8, 3, 3)), False)[0]) == 8
    (field,), look = kernel_pictures(np.ones((7, 1, 1)), False)
    assert field.shape == (1, 3, 3) and np.isnan(field).sum() == 2 and "one weight an input" in look


# ---- the page


def test_the_page_opens_with_the_report_and_asks_the_lane_nothing_unasked(runs, lane):
    at = page("structure", "demo")
    assert not at.exception and lane == []
    said = words(at)
    assert (
        "Stage 2 block 2 went first, at epoch 35, and took conv1 and conv2 along" in said and "Choose a square" in said
    )
    assert said.index("went first") < said.index("Collapse report") < said.index("Survival, layer by epoch")


def test_a_selected_unit_has_its_kernel_its_map_and_its_company(runs, lane, view):
    at = page("structure", "demo", site=SITE, unit="3", epoch="60")
    assert not at.exception and [question for question, _ in lane] == ["unit"]
    said = words(at)
    assert (
        "Filter 3 of 2.1 conv1" in said
        and "a slice for every input channel" in said
        and "Its factor was 1 at the start" in said
    )
    assert at.get_by_key(f"unit-number-{SITE}-3").value == 3
    assert "lives or dies alone" in company(view, SITE, 3) and "9 units" in company(view, "conv/filter", 0)


def test_a_fixed_layer_shows_its_kernels_and_a_selected_block_the_filters_inside(runs, lane):
    at = page("structure", "demo", site="conv/filter")
    assert not at.exception and [question for question, _ in lane] == ["layer"]
    assert "so its channels stay" in words(at) and "All 16 filters alive" in words(at)
    assert "Units of 2.2 conv1" in words(page("structure", "demo", site="stage2.1/block"))


def test_a_unit_that_the_site_does_not_have_is_told(runs, lane):
    assert "has units 0 to 31; choose one of them" in words(page("structure", "demo", site=SITE, unit="99"))


def test_effective_norms_take_the_place_of_raw_ones(runs, lane):
    at = page("structure", "demo", site=SITE, norms="effective")
    assert not at.exception
    assert any('"effective norm, log scale"' in b.proto.json for b in at.get("bidi_component"))


def test_a_run_that_only_thinned_says_so(runs, run_state, lane):
    run = run_state("finished")
    folder = runs.root / run
    lines = [
        line
        for line in (folder / "events.jsonl").read_text().splitlines()
        if json.loads(line)["type"] not in ("collapsed", "revived")
    ]
    (folder / "events.jsonl").write_text("\n".join(lines) + "\n")
    units = sum(site["total"] for site in RunFolder(folder).sites())
    alive = np.frombuffer((Path(folder) / "alive.u8").read_bytes(), "u1").reshape(-1, units)[:34]
    (folder / "alive.u8").write_bytes(alive.tobytes())
    said = words(page("structure", run))
    assert "Nothing collapsed by epoch 33." in said and "that lost most" in said
