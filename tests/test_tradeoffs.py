"""Trade-offs: the points and what they cost, the frontier, names beside points, what is drawn and said."""

import copy
import itertools
import json
import math
import random

import pandas as pd
import plotly.graph_objects as go
import pytest
from conftest import run_in
from test_pages import no_processes, page, words  # noqa: F401  (pages start nothing in the background)

from app import labels, proof_words, tradeoff_charts, tradeoff_points, tradeoff_words
from core.config import RunConfig
from core.presets import preset
from core.runs.tables import Run


def run(name, config, role="method", family=None, result=None, seed=0):
    return Run(
        id=name, created=0.0, preset=config["preset"], config=config | {"seed": seed}, family=family or name, seed=seed, role=role,
        state="finished", result=result,
    )  # fmt: skip


def config(name):
    return RunConfig.model_validate(preset(name).config).model_dump(mode="json")


def speed(measured, ms, **more):
    about = {"cpu": "a", "device": "cpu", "threads": 1, "batch": 128, "precision": "float32", "n": 30}
    return {
        "measured": measured,
        "low": 0.9 * measured,
        "high": 1.2 * measured,
        "dense_ms": measured * ms,
        "compact_ms": ms,
        **about,
        **more,
    }


def result(accuracy, macs, **more):
    return {
        "accuracy": {"test": accuracy, "compact": accuracy, "finetuned": None}, "macs_per_image": {"dense": 100, "compact": 100 * macs},
        "params": {"dense": 10, "compact": 10 * macs}, "certificate": {"verdict": "exact"}, "seconds": 5.0, "speed": speed(1 / macs, 4 * macs), **more,
    }  # fmt: skip


def level(k, accuracy, macs, density, timed=True, classes=10):
    return {
        "level": k, "accuracy": {"test": accuracy}, "macs": 100 * macs, "density": density, "classes": classes, "dataset": "digits",
        "speed": speed(1 / macs, 4 * macs) if timed else None, "certificate": {"verdict": "exact"},
    }  # fmt: skip


def nested_runs():
    nested = config("digits-nested")
    both = [level(0, 0.9, 0.25, 0.3), level(1, 0.96, 1.0, 1.0, timed=False)]
    alone = copy.deepcopy(nested)
    alone["phases"][-1]["alone"] = 0
    drawn = [level(0, 0.5, 0.25, 0.3), level(1, 0.95, 1.0, 1.0, timed=False)]
    return [
        run("n", nested, result=result(0.96, 1.0, levels=both)), run("a", alone, "level alone", "n", result(0.89, 0.25)),
        run("r", nested | {"batch_size": 7}, "random masks", "n", result(0.95, 1.0, levels=drawn)),
    ]  # fmt: skip


def test_a_nested_run_is_a_point_a_level_joined_core_first_and_its_controls_stand_apart():
    table = tradeoff_points.own_points(nested_runs())
    assert list(table["label"]) == ["level 0 (core)", "level 1 (full)", "level 0 alone", "random masks, level 0"]
    assert list(table["macs"]) == [0.25, 1.0, 0.25, 0.25] and list(table["params"]) == [0.3, 1.0, 0.25, 0.3]
    assert list(table["times"][:2]) == [4.0, 1.0] and list(table["ms"][:2]) == [1.0, 4.0]
    lines = [t for t in tradeoff_charts.tradeoff(table)["data"] if t["mode"] == "lines"]
    assert [(line["x"], line["y"]) for line in lines] == [([25, 100], [90, 96])]
    assert len({t["marker"]["symbol"] for t in tradeoff_charts.tradeoff(table)["data"] if t["mode"] == "markers"}) == 3


def test_levels_of_other_classes_are_on_no_frontier():
    nested = nested_runs()[0]
    nested.result["levels"][0] |= {"classes": 2, "accuracy": {"test": 0.99}}
    table = tradeoff_points.own_points([nested])
    assert table["label"].iloc[0].endswith("2 classes") and not table["comparable"].iloc[0]
    assert tradeoff_points.frontier(table, "macs") == ["n/1"]


def test_what_a_point_cost_counts_all_phases_and_every_setting_that_was_tried():
    one = config("digits-sss")
    two, three = ({**copy.deepcopy(one), "batch_size": size} for size in (16, 32))
    runs = [run("x", one, family="f", result=result(0.9, 0.5)), run("y", two, family="f", result=result(0.8, 0.4))]
    runs.append(run("z", three, family="f"))  # it never finished, and was tried all the same
    runs.append(run("d", one, "dense control", "f", result(0.92, 1.0)))
    table = tradeoff_points.own_points(runs)
    assert list(table["tried"]) == [3, 3, 1]
    assert set(table["epochs"]) == {sum(phase["epochs"] for phase in one["phases"])}


def test_runs_of_a_network_whose_paper_counts_convolutions_count_these_and_older_runs_keep_others_off_the_frontier():
    lenet = config("ssl-lenet-table1")
    counts = {"conv_macs": {"dense": 50, "compact": 5}}
    kept, old = run("k", lenet, result=result(0.99, 0.2, **counts)), run("o", lenet, result=result(0.98, 0.3))
    (new,) = tradeoff_points.own_points([kept]).to_dict("records")
    assert (new["macs"], new["counted"]) == (0.1, "conv_macs")
    recorded = tradeoff_points.evidence_points()
    recorded = recorded[(recorded["network"] == "lenet") & (recorded["dataset"] == "mnist")]
    alike = tradeoff_points.of_one_count(pd.concat([tradeoff_points.own_points([kept]), recorded]))
    assert alike["comparable"].all(), "the same is counted"
    mixed = tradeoff_points.of_one_count(pd.concat([tradeoff_points.own_points([old]), recorded]))
    assert list(mixed[mixed["comparable"]]["key"]) == ["o"]
    assert (
        tradeoff_points.own_points([run("d", config("digits-sss"), result=result(0.9, 0.5, **counts))])["counted"][0]
        == "macs"
    )


def test_seeds_are_one_point_with_its_range_and_a_single_run_has_the_quartiles_of_its_speed():
    settings = config("digits-sss")
    runs = [run(f"s{seed}", settings, seed=seed, result=result(0.9 + 0.01 * seed, 0.5)) for seed in range(3)]
    (point,) = tradeoff_points.own_points(runs).to_dict("records")
    assert (point["n"], point["accuracy_low"], point["accuracy_high"]) == (3, 0.9, 0.92)
    assert point["accuracy"] == pytest.approx(0.91) and point["runs"] == ["s0", "s1", "s2"]
    (alone,) = tradeoff_points.own_points(runs[:1]).to_dict("records")
    assert alone["accuracy_low"] is None and (alone["times_low"], alone["times_high"]) == pytest.approx((1.8, 2.4))
    assert alone["ms_low"] < alone["ms"] < alone["ms_high"]


def test_times_are_milliseconds_only_where_all_were_taken_alike():
    runs = nested_runs()
    table = tradeoff_points.own_points(runs)
    assert tradeoff_points.one_place(table) == ("a", "cpu", 1, 128, "float32")
    runs[1].result["speed"]["threads"] = 2
    assert tradeoff_points.one_place(tradeoff_points.own_points(runs)) is None
    recorded = tradeoff_points.evidence_points()
    assert tradeoff_points.one_place(pd.concat([table, recorded])) is None


def test_recorded_evidence_has_the_means_of_its_rows():
    table = tradeoff_points.evidence_points()
    digits = table[table["key"].str.startswith("digits/")].set_index("role")
    from core.evidence.rows import FOLDER

    rows = [json.loads(file.read_text()) for file in FOLDER.glob("digits-sss.[0-9].json")]
    accuracies = [row["accuracy"]["finetuned"] or row["accuracy"]["compact"] for row in rows]
    assert digits.loc["method", "accuracy"] == pytest.approx(sum(accuracies) / len(accuracies))
    assert digits.loc["method", "n"] == len(rows) == digits.loc["dense control", "n"]
    assert (
        digits.loc["method", "accuracy_low"] < digits.loc["method", "accuracy"] < digits.loc["method", "accuracy_high"]
    )


def test_recorded_levels_are_named_by_level_and_the_dense_network_by_itself(monkeypatch):
    roles = {
        ("level 0", "method"): "four levels, level 0",
        ("level 0", "level alone"): "four levels, level 0 alone",
        ("level 1", "dense control"): "dense control, 1 epochs",
    }
    roles |= {("level 0", "student"): "core, taught by the dense network"}
    lines = [
        {"point": "four levels", "label": label, "role": role, "n": 1, "accuracy": (0.5 + k / 10, None), "macs": (0.5, None), "params": (0.5, None),
         "speed": None, "epochs": 1, "seconds": None, "tried": 1, "verdicts": ["exact"]}
        for k, (label, role) in enumerate(roles)
    ]  # fmt: skip
    again = [lines[2] | {"point": "hierarchy"}]
    summary = {"nested-four-levels": lines, "nested-hierarchy": again}
    monkeypatch.setattr(tradeoff_points, "summary", lambda table, rows: summary.get(table.name, []))
    assert list(tradeoff_points.evidence_points()["label"]) == list(roles.values()), "the dense network of both once"


def test_points_that_share_a_control_show_it_once_and_name_their_own(monkeypatch):
    def line(point, role, accuracy, macs=1.0):
        return {
            "point": point, "label": "", "role": role, "n": 3, "accuracy": (accuracy, 0.001), "macs": (macs, 0.0), "params": (1.0, 0.0), "speed": None,
            "epochs": 1, "seconds": None, "tried": 1, "verdicts": ["exact"],
        }  # fmt: skip

    lines = [
        line("filters, row 2", "method", 0.993, 0.1), line("filters, row 2", "dense control", 0.994), line("filters, row 2", "scratch control", 0.99, 0.1),
        line("filters, row 3", "method", 0.992, 0.05), line("filters, row 3", "dense control", 0.994), line("filters, row 3", "random mask", 0.98, 0.05),
    ]  # fmt: skip
    monkeypatch.setattr(tradeoff_points, "summary", lambda table, rows: lines if table.name == "ssl-lenet" else [])
    table = tradeoff_points.evidence_points()
    assert list(table["label"]) == [
        "filters, row 2", "dense control", "filters, row 2: from scratch", "filters, row 3", "filters, row 3: random mask",
    ]  # fmt: skip
    assert set(table["counted"]) == {"conv_macs"} and list(table["method"]) == [
        "ssl",
        "dense",
        "scratch",
        "ssl",
        "random masks",
    ]


def test_a_control_of_one_seed_that_is_among_anothers_seeds_is_no_point_of_its_own():
    table = tradeoff_points.evidence_points()
    dense = table[table["key"].str.startswith("sss-resnet20/") & (table["role"] == "dense control")]
    assert list(dense["label"]) == ["SSS: dense control"] and list(dense["n"]) == [3]


def points(count, seed=0, source="ours"):
    draw = random.Random(seed)
    return pd.DataFrame([
        {"key": f"k{i}", "label": f"{draw.choice(('dense control', 'SSS', 'filters 0.003, blocks 0.02', 'level 1'))} {i}", "method": "sss", "role": "method",
         "source": source, "macs": draw.uniform(0.05, 1), "accuracy": draw.uniform(0.8, 0.99), "n": 1, "comparable": True, "spread": ""}
        for i in range(count)
    ])  # fmt: skip


@pytest.mark.parametrize("cost", ["macs", "times"])
def test_the_frontier_is_what_no_other_own_point_beats(cost):
    table = pd.concat([points(30), points(5, seed=1, source="paper").assign(accuracy=1.0)]).rename(
        columns={"macs": cost}
    )
    own = table[table["source"] == "ours"].to_dict("records")
    sign = -1 if cost == "times" else 1

    def beaten(p):
        return any(
            sign * q[cost] <= sign * p[cost] and q["accuracy"] >= p["accuracy"] and (q[cost] != p[cost] or q["accuracy"] != p["accuracy"]) for q in own
        )  # fmt: skip

    assert set(tradeoff_points.frontier(table, cost)) == {p["key"] for p in own if not beaten(p)}


def test_the_frontier_is_an_area_named_as_such_and_what_it_beats_fades():
    table = points(12)
    best = tradeoff_points.frontier(table, "macs")
    spec = tradeoff_charts.tradeoff(table, envelope=best, fade=True)
    go.Figure({"data": spec["data"], "layout": spec["layout"]})
    (step,) = (t for t in spec["data"] if t.get("fill"))
    assert "frontier" in step["name"] and step["line"]["shape"] == "hv" and len(step["x"]) == len(best) + 2
    (marks,) = (t for t in spec["data"] if t["mode"] == "markers")
    bright = [
        about[0] for about, shade in zip(marks["customdata"], marks["marker"]["opacity"], strict=True) if shade == 1
    ]
    assert set(bright) == set(best)
    assert {note["text"] for note in spec["layout"]["annotations"]} <= set(table.set_index("key").loc[best, "label"])
    assert all(trace["mode"] == "markers" for trace in tradeoff_charts.tradeoff(table)["data"])


@pytest.mark.parametrize("seed", range(6))
def test_no_two_names_overlap_and_none_leaves_the_plot(seed):
    draw = random.Random(seed)
    spots = [(draw.uniform(30, 770), draw.uniform(20, 380)) for _ in range(14)]
    spots[1:4] = [(spots[0][0] + 6 * k, spots[0][1] + 3) for k in (1, 2, 3)]
    names = [draw.choice(("dense control", "SSS", "core, taught by the dense network", "x" * 60)) for _ in spots]
    found = labels.placed(spots, names, 800, 396, range(14))
    assert len(found) >= 11
    for one, other in itertools.combinations(found, 2):
        assert not one.box.meets(other.box)
    for label in found:
        assert label.box.left >= 0 and label.box.top >= 0 and label.box.right <= 800 and label.box.bottom <= 396
        assert len(label.text) <= labels.LONGEST
        assert not any(label.box.meets(labels.Box(x - 7, y - 7, x + 7, y + 7)) for x, y in spots)
        if not label.leads:
            assert label.box.gap(spots[label.point]) == min(map(label.box.gap, spots)), (
                "a name belongs to the nearest point"
            )


def test_a_line_to_a_name_passes_no_other_point():
    """The free place straight above is behind another point: the name goes elsewhere."""
    spots = [(100.0, 200.0), (100.0, 183.0)]
    walls = [labels.Box(0, 190, 88, 400), labels.Box(112, 190, 400, 400), labels.Box(80, 210, 120, 400)]
    (label,) = labels.placed(spots, ["name", ""], 800, 396, [0], walls)
    assert label.leads and not label.box.left < 100 < label.box.right


def test_of_many_points_only_the_frontier_and_the_selected_one_are_named():
    table = points(40)
    best = tradeoff_points.frontier(table, "macs")
    dull = next(key for key in table["key"] if key not in best)
    spec = tradeoff_charts.tradeoff(table, envelope=best, picked=dull)
    named = {note["text"] for note in spec["layout"]["annotations"]}
    assert named <= set(table.set_index("key").loc[[*best, dull], "label"])
    assert table.set_index("key").loc[dull, "label"] in named


def test_a_log_axis_places_names_by_exponents():
    spec = tradeoff_charts.tradeoff(points(6), log=True)
    low, high = spec["layout"]["xaxis"]["range"]
    assert spec["layout"]["xaxis"]["type"] == "log" and low < math.log10(5) + 1 and high < 2.3
    assert all(low <= note["x"] <= high for note in spec["layout"]["annotations"])


@pytest.mark.parametrize(
    ("costs", "log"),
    [
        ([1.0, 0.02, 0.05, 0.08, 0.1], True),  # a dense network, and the small ones beside each other
        ([1.0, 0.3, 0.5, 0.6], False),
        ([1.0, 0.05], False),
        ([1.0, 0.0, 0.05, 0.08, 0.1], False),  # a log axis has no place for 0
    ],
)
def test_an_axis_is_logarithmic_where_most_points_would_stand_in_one_corner(costs, log):
    assert tradeoff_points.crowded(pd.DataFrame({"macs": costs}), "macs") is log
    assert not tradeoff_points.crowded(pd.DataFrame({"macs": costs}), "ms")


def three(accuracy, cost, role):
    rows = [("method", 0.95, 1.0), ("method", 0.945, 0.4), (role, accuracy, cost)]
    return pd.DataFrame([
        {"key": str(i), "label": label, "source": "ours", "role": r, "accuracy": a, "macs": m, "n": 2, "comparable": True}
        for i, (label, (r, a, m)) in enumerate(zip(("whole", "thin", "control"), rows, strict=True))
    ])  # fmt: skip


def test_the_sentence_says_what_keeps_accuracy_at_which_cost_and_whether_a_control_does_as_well():
    alike = tradeoff_words.sentence(three(0.944, 0.4, "scratch control"))
    assert alike.startswith("Thin (n = 2) keeps 94.5 % at 40 % of the MACs (−0.5 pp against whole (n = 2)).")
    assert "A control is as good: control (n = 2), 94.4 % at 40 % of the MACs" in alike
    assert "4.5 pp below it" in tradeoff_words.sentence(three(0.9, 0.3, "scratch control"))
    assert "whether the method was needed is not shown" in tradeoff_words.sentence(three(0.9, 0.9, "scratch control"))
    assert "That is a control" in tradeoff_words.sentence(three(0.946, 0.2, "scratch control"))
    single = three(0.9, 0.9, "dense control").assign(n=1)
    assert tradeoff_words.sentence(single).endswith("Every point is one run: another seed may order them otherwise.")


def test_a_method_that_removed_nothing_is_not_praised_for_its_speed():
    """Of two equal networks one is always a little faster by chance."""
    table = three(0.944, 0.4, "scratch control").assign(
        times=[1.0, 1.2, 1.2], method=["dense", "sss", "scratch"], certificate="exact"
    )
    idle = table.iloc[:1].assign(
        key="idle", label="ista", method="sss", times=1.3, macs=1.0, certificate="nothing-removed", accuracy=0.96
    )
    for cost in ("times", "macs"):
        assert tradeoff_words.sentence(pd.concat([table, idle]), cost) == tradeoff_words.sentence(table, cost)
    assert "ista" in tradeoff_words.sentence(pd.concat([table, idle.assign(certificate="exact")]), "times").lower()


def test_a_network_larger_than_the_dense_one_has_no_times_as_fast(runs):
    """It was timed against itself."""
    larger = tradeoff_points.evidence_points().query("macs > 1.01")
    assert len(larger) and larger["times"].isna().all()


def test_the_same_seed_again_is_no_other_sample(runs):
    row = runs.get(run_in(runs, "finished"))
    told = []
    for number, seed in enumerate((0, 0, 0, 3)):
        accuracy = row.result["accuracy"] | {"test": 0.5 + 0.1 * number, "finetuned": None}
        one = run(f"r{number}", row.config, result=row.result | {"accuracy": accuracy}, seed=seed)
        one.created = float(number)
        told.append(one)
    (point,) = tradeoff_points.own_points(told).to_dict("records")
    assert point["n"] == 2 and point["accuracy"] == pytest.approx((0.7 + 0.8) / 2)
    assert point["runs"] == ["r2", "r3", "r0", "r1"], "all of them find their point"


def test_a_network_that_computes_nothing_is_no_bargain(runs):
    row = runs.get(run_in(runs, "finished"))
    row.result = row.result | {"macs_per_image": row.result["macs_per_image"] | {"compact": 0}}
    table = tradeoff_points.own_points([row])
    assert not table["comparable"].any() and "times" not in table
    assert tradeoff_words.sentence(table).startswith("No run here removed something and still tells images apart")
    assert tradeoff_words.sentence(table.assign(source="paper")) == "No finished run to compare yet."
    assert proof_words.is_empty(row.result) and not proof_words.is_empty(None)


def test_trade_offs_open_on_the_network_of_the_selected_run(runs):
    at = page("tradeoffs", "mnist-filters")
    assert not at.exception and {c.label: c.value for c in at.segmented_control}["Network"] == "lenet"


def test_a_log_axis_is_written_out():
    table = tradeoff_points.evidence_points().query("network == 'lenet' and dataset == 'mnist'")
    told = tradeoff_charts.tradeoff(table, log=True)["layout"]["xaxis"]
    assert told["ticktext"] == ["2", "5", "10", "20", "50", "100"] and told["tickvals"] == [2, 5, 10, 20, 50, 100]


def test_a_fresh_install_shows_recorded_evidence_and_says_that_no_run_is_there(runs):
    at = page("tradeoffs")
    assert not at.exception and "No run yet" in words(at)
    assert "SSS (n = 5)" in words(at) and len(at.dataframe) == 2, "the points, and all tables at a glance"


def test_brushing_leaves_only_these_points_in_the_table_and_show_all_brings_the_rest_back(runs):
    at = page("tradeoffs", points="Recorded evidence")
    whole = at.dataframe[0].value
    assert (
        list(whole["point"]) == ["SSS", "same shape from scratch", "dense control"]
        and list(whole["tried"]) == [1, 1, 1]
        and whole["epochs"].notna().all()
    )
    at.session_state["tradeoff-brushed"] = list(tradeoff_points.evidence_points()["key"][:1])
    at.run()
    assert list(at.dataframe[0].value["point"]) == ["SSS"] and "1 of 3 points, brushed" in words(at)
    at.button(key="show-all").click().run()
    assert len(at.dataframe[0].value) == 3 and not at.exception


def test_the_selected_run_is_ringed_and_opens_on_structure(runs):
    name = run_in(runs, "finished")
    at = page("tradeoffs", name)
    assert not at.exception and at.button(key="open-structure").label == "Open on Structure"
    assert "open-levels" not in {button.key for button in at.button}
    table = tradeoff_points.own_points(runs.all())
    spec = tradeoff_charts.tradeoff(table, picked=name)
    assert spec["data"][-1]["marker"]["symbol"] == "circle-open" and spec["data"][-1]["x"] == [33.9]
