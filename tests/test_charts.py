"""Chart builders, sentences and the glossary, tested as data."""

import base64
import io
import json
import math

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from PIL import Image

from app import (
    chart_words,
    charts,
    family_charts,
    glossary,
    network_words,
    proof_words,
    sentences,
    speed_charts,
    stream_charts,
    tradeoff_charts,
)
from app.components.figure_parts import figure_html, thinned
from app.picture_charts import pictures

NUM_EPOCHS, NUM_SITES = 61, 20
MARKERS = [{"epoch": 18, "label": "strength 0.01 → 0.02"}]


@pytest.fixture
def survival():
    share = np.clip(1 - np.outer(np.linspace(0.2, 1.3, NUM_SITES), np.linspace(0, 1, NUM_EPOCHS)), 0, 1)
    return pd.DataFrame(
        share, index=[f"stage{i // 7}.{i}.conv1/filter" for i in range(NUM_SITES)], columns=range(NUM_EPOCHS)
    )


@pytest.fixture
def factors():
    epochs = np.arange(NUM_EPOCHS)[:, None]
    values = np.maximum(0, 1 - epochs * np.linspace(0.002, 0.04, 9)[None, :])
    return pd.DataFrame(values, index=range(NUM_EPOCHS), columns=[f"block{i}" for i in range(9)])


@pytest.fixture
def epochs():
    e = np.arange(NUM_EPOCHS)
    return pd.DataFrame(
        {
            "epoch": e,
            "train_loss": np.exp(-e / 9),
            "train_accuracy": 1 - 0.9 * np.exp(-e / 5),
            "val_accuracy": 0.97 - 0.9 * np.exp(-e / 4),
        }
    )


@pytest.fixture
def specs(survival, factors, epochs):
    e = epochs["epoch"]
    speed = pd.DataFrame(
        {"epoch": e, "measured": 1 + e / 90, "low": 0.9 + e / 90, "high": 1.1 + e / 90, "promised": 1 + e / 60}
    )
    layers = pd.DataFrame(
        {
            "path": ["a", "b", "c"],
            "dense_ms": [2.0, 1.0, 3.0],
            "compact_ms": [1.5, 0.0, 1.0],
            "promised": [2.0, math.inf, 2.5],
            "measured": [1.33, math.inf, 3.0],
        }
    )
    stages = pd.DataFrame(
        {"Stage 1": np.linspace(1, 0.2, NUM_EPOCHS), "Stage 2": np.linspace(1, 0.6, NUM_EPOCHS)}, index=e
    )
    points = pd.DataFrame(
        [
            {
                "label": "dense",
                "method": "dense",
                "macs": 1.0,
                "accuracy": 0.92,
                "accuracy_low": 0.918,
                "accuracy_high": 0.921,
                "n": 3,
                "source": "ours",
            },
            {
                "label": "λ 0.01",
                "method": "sss",
                "macs": 0.5,
                "accuracy": 0.915,
                "accuracy_low": 0.91,
                "accuracy_high": 0.917,
                "n": 3,
                "source": "ours",
            },
            {
                "label": "SSS-18",
                "method": "sss",
                "macs": 0.45,
                "accuracy": 0.908,
                "source": "paper",
                "citation": "Huang & Wang 2018",
            },
        ]
    ).assign(key=["a", "b", "c"], role=["dense control", "method", ""], comparable=True, spread="range of the seeds")
    return {
        "accuracy": charts.accuracy_and_loss(epochs, MARKERS),
        "survival": charts.survival_heatmap(survival, [("Stage 1", 7), ("Stage 2", 7), ("Stage 3", 6)], MARKERS),
        "factors": stream_charts.factor_streams(factors, "stage1", MARKERS),
        "speed": speed_charts.speed_curve(speed, MARKERS),
        "layers": speed_charts.speed_layers(layers),
        "deaths": charts.death_timeline(stages, [{"label": "1.2", "epoch": 22, "stage": "Stage 1"}], MARKERS),
        "tradeoff": tradeoff_charts.tradeoff(points),
    }


def test_every_spec_is_valid_plotly_and_small_and_says_what_to_see(specs):
    for name, spec in specs.items():
        go.Figure({"data": spec["data"], "layout": spec["layout"]})
        assert len(json.dumps(spec, allow_nan=False)) < 50_000, name
        assert spec["alt"].endswith("."), name


def test_a_wrong_property_would_be_caught():
    with pytest.raises(ValueError, match="no_such"):
        go.Figure({"data": [{"type": "scatter", "no_such": 1}], "layout": {}})


def test_every_axis_with_numbers_is_named(specs):
    for name, spec in specs.items():
        axes = [
            axis
            for key, axis in spec["layout"].items()
            if key.startswith(("xaxis", "yaxis")) and axis.get("type") != "category"
        ]
        assert all(axis["title"]["text"] for axis in axes), name


def test_empty_tables_make_empty_figures():
    columns = ["epoch", "train_loss", "train_accuracy", "val_accuracy"]
    for spec in (
        charts.accuracy_and_loss(pd.DataFrame(columns=columns, dtype=float)),
        charts.survival_heatmap(pd.DataFrame()),
        stream_charts.factor_streams(pd.DataFrame()),
        charts.death_timeline(pd.DataFrame()),
        speed_charts.speed_curve(pd.DataFrame(columns=["epoch", "measured", "low", "high", "promised"], dtype=float)),
        speed_charts.speed_layers(
            pd.DataFrame(columns=["path", "dense_ms", "compact_ms", "promised", "measured"], dtype=float)
        ),
        tradeoff_charts.tradeoff(pd.DataFrame(columns=["label", "method", "macs", "accuracy"])),
    ):
        go.Figure({"data": spec["data"], "layout": spec["layout"]})
        assert spec["alt"]


def test_dead_cells_stand_apart_from_the_colour_scale(survival, specs):
    alive, dead, along, crosses = specs["survival"]["data"]
    assert (alive["zmin"], alive["zmax"]) == (0, 1)
    num_dead = int((survival.to_numpy() == 0).sum())
    assert num_dead > 0
    assert sum(cell is None for row in alive["z"] for cell in row) == num_dead
    assert sum(cell == 1 for row in dead["z"] for cell in row) == num_dead
    assert len(crosses["x"]) == int((survival.iloc[:, -1] == 0).sum())
    places = list(zip(along["x"], along["y"], strict=True))
    assert places and all(survival.loc[site, epoch] == 0 for epoch, site in places)


def test_a_long_run_is_thinned_and_keeps_its_newest_epoch():
    wide = pd.DataFrame(np.full((108, 400), 0.5), index=[f"site{i}" for i in range(108)])
    spec = charts.survival_heatmap(wide)
    assert spec["data"][0]["x"][-1] == 399
    assert len(json.dumps(spec)) < 50_000
    many = pd.DataFrame(np.full((400, 512), 0.25))
    spec = stream_charts.factor_streams(many)
    line = spec["data"][0]
    assert line["x"][0] == 0 and line["x"][-1] == 399 and len(line["x"]) == len(line["y"])
    assert len(json.dumps(spec)) < 50_000
    assert any("48 of 512" in note["text"] for note in spec["layout"]["annotations"])


def test_a_factor_that_came_back_is_dead_from_its_last_death_on_and_near_deaths_share_a_label():
    frame = pd.DataFrame({"a": [1, 0, 0.5, 0, 0.2, 0, 0, 0, 0, 0], "b": [1] * 6 + [0] * 4, "c": [1] * 10})
    spec = stream_charts.factor_streams(frame, "blocks")
    marks = next(trace for trace in spec["data"] if trace.get("hovertext"))
    assert marks["x"] == [5, 6] and marks["hovertext"] == ["a", "b"] and marks["text"] == ["", "a and b"]
    assert spec["alt"] == "2 of 3 factors of blocks are exactly zero at epoch 9, the first since epoch 5."
    assert stream_charts.together([(5, "a"), (50, "b")], 100) == ["a", "b"]


def test_a_log_axis_has_ticks_also_within_one_decade():
    def ticks(low, high):
        return stream_charts.log_ticks(np.array([low, high]))

    assert ticks(1.1, 1.7) == {"tickvals": [1.2, 1.4, 1.6]} and ticks(0.03, 0.14) == {"tickvals": [0.05, 0.1]}
    assert ticks(0.3, 4) == {"tickvals": [0.5, 1.0, 2.0], "ticktext": ["0.5", "1", "2"]}, (
        "written out: Plotly would say 5, 1, 2"
    )
    assert ticks(1e-4, 1) == ticks(1, 1) == {"dtick": 1, "nticks": 6}
    assert stream_charts.log_ticks(np.array([])) == {"dtick": 1, "nticks": 6}
    for low in (0.0123, 0.7, 3.3, 96):
        assert len(ticks(low, 1.3 * low)["tickvals"]) >= 2


def test_what_is_drawn_of_a_long_run_stays_where_it_is_as_the_run_grows():
    table = pd.DataFrame({"epoch": range(401)})
    longer, before = (set(thinned(table.iloc[:n], 70)["epoch"]) for n in (401, 400))
    assert before - longer <= {399} and longer - before <= {400}
    assert thinned(table.iloc[:0], 70).empty


def test_exact_zeros_leave_the_log_axis_for_their_own_strip(factors, specs):
    lines = [trace for trace in specs["factors"]["data"] if trace.get("yaxis", "y") == "y"]
    strip = next(trace for trace in specs["factors"]["data"] if trace.get("yaxis") == "y2")
    assert all(value is None or value > 0 for trace in lines for value in trace["y"])
    assert strip["y"] == (factors == 0).sum(axis=1).tolist()
    assert specs["factors"]["layout"]["yaxis"]["type"] == "log"
    assert specs["factors"]["layout"]["yaxis2"].get("type") != "log"


def test_layers_are_sorted_by_lost_time(specs):
    # a: 1.5 - 2/2 = 0.5 ms lost; c: 1 - 3/2.5 = -0.2; b: removed, 0 - 1/inf = 0
    assert specs["layers"]["data"][0]["y"] == ["a", "b", "c"]


def test_points_of_the_trade_off_are_never_joined_and_papers_are_hollow(specs):
    data = specs["tradeoff"]["data"]
    assert all("lines" not in trace["mode"] for trace in data)
    assert [trace["marker"]["symbol"] for trace in data if "paper" in trace["name"]] == ["diamond-open"]
    assert "error_y" in data[0]
    assert len({trace["marker"]["symbol"] for trace in data}) == len(data)


def test_an_exported_figure_carries_everything(specs):
    page = figure_html(specs["accuracy"], "A < B")
    assert "<title>A &lt; B</title>" in page
    assert page.count("plotly.js v") <= 2 and len(page) > 4_000_000
    assert 'src="http' not in page


@pytest.mark.parametrize(
    ("value", "text"),
    [(3.2e-15, "3·10⁻¹⁵"), (0, "0"), (9.7e-10, "1·10⁻⁹"), (2e3, "2·10³"), (math.nan, "not finite")],
)
def test_scientific_numbers(value, text):
    assert sentences.scientific(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(40_600_000, "40.6 M"), (1234, "1.23 k"), (999_950, "1 M"), (340, "340"), (0, "0"), (-2500, "−2.5 k")],
)
def test_amounts(value, text):
    assert sentences.amount(value) == text


def test_signs_and_plurals():
    assert sentences.points(-0.002) == "−0.2 pp"
    assert sentences.points(-0.0001) == "±0.0 pp"
    assert sentences.change(-0.38) == "−38 %"
    assert sentences.plural(1, "block") == "1 block"
    assert sentences.plural(2, "class") == "2 classes"
    assert sentences.listing(["a", "b", "c", "d"]) == "a, b and 2 more"


def _view(alive, skip="identity"):
    blocks = [
        {
            "path": f"s.{i}",
            "label": f"1.{i}",
            "skip": skip,
            "block_site": None,
            "convs": [{"path": f"s.{i}.c", "site": f"s{i}", "total": 16, "macs": 1, "params": 1}],
        }
        for i in range(len(alive))
    ]
    return {
        "epoch_now": 2,
        "stages": [{"name": "Stage 1", "path": "s", "blocks": blocks}],
        "alive": {f"s{i}": a for i, a in enumerate(alive)},
    }


def test_the_network_sentence_counts_dead_blocks_and_dates_the_last_death():
    view = _view([[16, 0, 0], [16, 9, 0], [16, 9, 8]])
    text = network_words.network(view, macs=62, macs_dense=100, accuracy=0.91, accuracy_before=0.912)
    assert text == "Stage 1 lost 2 of 3 blocks by epoch 2; MACs −38 %, validation accuracy −0.2 pp."
    assert network_words.network(view, 1) == "Stage 1 lost 1 of 3 blocks by epoch 1."
    assert network_words.network(view, 0) == "Before training everything is alive."
    assert network_words.network(_view([[16, 16, 15]], "none")) == "1 of 16 filters died by epoch 2."


def test_the_network_sentence_names_the_thinnest_stage_not_the_one_that_lost_most():
    view = _view([[16, 16, 8]], "none")
    wide = _view([[64, 64, 40]], "none")["stages"][0]["blocks"][0]
    wide["convs"] = [{"path": "t.c", "site": "t", "total": 64, "macs": 1, "params": 1}]
    view["stages"].append({"name": "Stage 2", "path": "t", "blocks": [wide]})
    view["alive"]["t"] = [64, 64, 40]  # 24 lost, of Stage 1 only 8
    assert network_words.network(view) == "32 of 80 filters died by epoch 2, Stage 1 is the thinnest with 50 % alive."


def test_the_speed_sentence_names_everything_a_claim_needs():
    result = {
        "measured": 1.62,
        "low": 1.53,
        "high": 1.71,
        "n": 30,
        "promised": 2.04,
        "threads": 2,
        "cpu": "AMD EPYC",
        "device": "cpu",
        "batch": 128,
    }
    assert (
        chart_words.speed(result)
        == "1.6 × measured (1.5–1.7, n = 30 pairs), 2.0 × promised by MACs, 2 threads on AMD EPYC, batch 128."
    )
    assert chart_words.speed({}) == "Not measured yet."


@pytest.mark.parametrize(
    ("verdict", "start"),
    [("exact", "Exact: largest difference 3·10⁻¹⁵ of the output's spread over 32 inputs at 2 sizes"), ("nothing-removed", "NOTHING WAS REMOVED"), ("inconclusive", "Inconclusive"), ("failed", "FAILED"), ("approximate", "Approximate")],
)  # fmt: skip
def test_every_verdict_has_its_sentence(verdict, start):
    result = {
        "verdict": verdict,
        "max_rel": 3e-15,
        "spread": 0.4,
        "inputs": 32,
        "sizes": [[1, 8, 8], [1, 16, 16]],
        "reference": "unmodified",
    }
    assert proof_words.certificate(result).startswith(start)


def test_a_masked_certificate_is_never_read_as_free():
    assert "may cost accuracy" in proof_words.certificate({"verdict": "exact", "max_rel": 1e-15, "reference": "masked"})


def test_the_glossary_finds_words_as_people_write_them():
    assert glossary.definition("macs") == glossary.TERMS["MAC"]
    assert glossary.definition("Filters") == glossary.TERMS["filter"]
    with pytest.raises(KeyError, match="no term 'frobnication'"):
        glossary.definition("frobnication")


def test_the_network_sentence_says_conv_groups_where_those_are_counted():
    view = _view([[16, 16, 15], [16, 16, 16]], "none")
    for block, kind in zip(view["stages"][0]["blocks"], ("group", "group"), strict=True):
        view["alive"][f"{block['path']}/{kind}"] = view["alive"][block["convs"][0]["site"]]
        block["convs"][0]["site"] = f"{block['path']}/{kind}"
    assert network_words.network(view) == "1 of 32 conv groups died by epoch 2."
    first = view["stages"][0]["blocks"][0]["convs"][0]
    view["alive"]["s.0/filter"] = view["alive"][first["site"]]
    first["site"] = "s.0/filter"
    assert network_words.network(view) == "1 of 32 filters and conv groups died by epoch 2."


def _settings(*rows):
    names = ("label", "method", "macs", "accuracy", "path", "strength", "source")
    table = pd.DataFrame([dict(zip(names, row, strict=True)) for row in rows])
    return table.assign(key=table["label"], role="method", comparable=True, n=1)


def test_a_line_joins_the_strengths_of_one_family_and_method_in_order_and_nothing_else():
    table = _settings(
        ("c", "sss", 0.2, 0.91, "f", 0.04, "ours"), ("a", "sss", 0.9, 0.95, "f", 0.01, "ours"), ("b", "sss", 0.5, 0.94, "f", 0.02, "ours"),
        ("alone", "sss", 0.6, 0.9, None, 0.02, "ours"), ("dense control", "dense", 1.0, 0.96, None, None, "ours"),
        ("x", "ssl", 0.3, 0.9, "g", 0.1, "ours"), ("y", "ssl", 0.4, 0.92, "g", 0.05, "ours"),
    )  # fmt: skip
    lines = [trace for trace in tradeoff_charts.tradeoff(table)["data"] if trace["mode"] == "lines"]
    assert [(line["x"], line["y"]) for line in lines] == [([90, 50, 20], [95, 94, 91]), ([40, 30], [92, 90])]
    assert len({line["line"]["color"] for line in lines}) == 2 and all(line["line"]["width"] == 1 for line in lines)


def test_the_path_over_strengths_shows_both_curves_and_the_target():
    path = pd.DataFrame({"strength": [0.01, 0.1], "accuracy": [0.97, 0.9], "macs": [0.8, 0.2], "n": [2, 2]})
    spec = family_charts.strength_path(path, 0.5)
    assert [trace["y"] for trace in spec["data"]] == [[97.0, 90.0], [80.0, 20.0]]
    assert spec["layout"]["shapes"][0]["y0"] == 50 and spec["layout"]["xaxis"]["type"] == "log"
    assert spec["alt"] == "From strength 0.01 to 0.1, MACs go from 80 % to 20 %, test accuracy from 97.0 % to 90.0 %."
    assert not family_charts.strength_path(path)["layout"]["shapes"]


def test_the_solvers_figure_shows_every_solver_above_and_below_and_says_what_each_reached():
    told = {
        "groups": 8, "zeros": 3, "strength": 0.25, "every": 2,
        "solvers": {
            "proximal": {"gap": [1.0, 1e-3, -1e-18], "zeros": [0, 3, 3], "distance": 6e-13, "same_zeros": True},
            "paper": {"gap": [1.0, 1e-2, 1e-3], "zeros": [0, 0, 0], "distance": 9e-4, "same_zeros": False},
        },
    }  # fmt: skip
    spec = family_charts.solver_paths(told, "row")
    assert [trace["name"] for trace in spec["data"]] == ["proximal", "proximal", "paper", "paper"]
    assert spec["data"][0]["y"] == [1.0, 1e-3, 1e-16] and spec["data"][1]["y"] == [0, 3, 3]
    assert spec["alt"] == (
        "The optimum has 3 of 8 rows at exactly zero: proximal ends within 6·10⁻¹³ of it with the same zeros; "
        "paper ends within 9·10⁻⁴ of it with none exactly zero."
    )


def test_pictures_stand_side_by_side_as_large_as_they_fit_with_their_captions_below():
    square, wide = np.zeros((8, 8, 3), "u1"), np.zeros((4, 16, 4), "u1")
    spec = pictures([("", [("one", square), ("a caption of several words", wide)]), ("below", [("", square)])], "told")
    images, notes = spec["layout"]["images"], spec["layout"]["annotations"]
    assert [image["sizex"] / image["sizey"] for image in images] == pytest.approx([1, 4, 1])
    assert images[0]["x"] == images[2]["x"] == 0 and images[1]["x"] > images[0]["x"] + images[0]["sizex"]
    assert all(image["x"] + image["sizex"] <= spec["layout"]["xaxis"]["range"][1] for image in images)
    words = {note["text"]: note for note in notes}
    assert words["one"]["y"] >= images[0]["y"] + images[0]["sizey"] and words["below"]["y"] < images[2]["y"]
    assert (
        images[2]["y"] > words["one"]["y"]
        and images[2]["y"] + images[2]["sizey"] <= spec["layout"]["yaxis"]["range"][0]
    )
    narrow = pictures([("", [("a caption of several words", square)] * 8)], "told")["layout"]["annotations"]
    assert narrow[0]["text"].count("<br>") >= 2, "a caption is no wider than its column"
    content = base64.b64decode(images[1]["source"].partition(",")[2])
    assert Image.open(io.BytesIO(content)).size == (16, 4), "pixels are kept, the figure enlarges"
