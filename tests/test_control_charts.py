"""The figure of recorded points against their controls."""

import plotly.graph_objects as go
import pytest

from app import control_charts
from core.evidence.glance import Standing
from core.evidence.wanted import DENSE, SCRATCH, SHUFFLED

ROWS = [
    Standing("t", "row 2", 3, "7 %", {DENSE: (-0.0006, 0.0005, 3), SCRATCH: (0.0001, 0.0006, 3)}),
    Standing("t", "row 3", 1, "5 %", {DENSE: (0.0012, None, 1)}),
]


def test_a_row_a_point_and_a_mark_a_control_beside_one_another():
    spec = control_charts.control_chart(ROWS)
    dense, scratch = go.Figure({"data": spec["data"], "layout": spec["layout"]}).data
    assert dense.x == (-0.06, 0.12) and dense.error_x.array == (0.12, None) and scratch.x == (0.01,)
    assert dense.y == pytest.approx((-0.11, 0.89)) and scratch.y == pytest.approx((0.11,)), (
        "marks of a point do not hide one another"
    )
    assert dense.marker.symbol == ("square", "square-open"), "one seed has no interval: hollow"
    assert scratch.marker.symbol == ("x",) and dense.marker.color != scratch.marker.color
    assert list(spec["layout"]["yaxis"]["ticktext"]) == ["row 2", "row 3"]
    long = Standing("t", "ISTA, three times the strength", 1, "", ROWS[1].against)
    assert control_charts.control_chart([long])["layout"]["margin"]["l"] > 200 > spec["layout"]["margin"]["l"], (
        "a name is not cut"
    )


def test_the_sentence_counts_what_is_beyond_the_spread_and_does_not_judge_one_seed():
    assert control_charts.controls_sentence(ROWS) == (
        "Against the dense network trained equally long: 1 not clear, 1 of one seed, not judged. "
        "Against its shape from scratch: 1 not clear."
    )
    better = [Standing("t", "row", 3, "", {SHUFFLED: (0.03, 0.01, 3)})]
    assert control_charts.controls_sentence(better) == "Against a random mask of its shape: 1 better."


def test_the_table_has_a_line_a_point_and_control():
    frame = control_charts.controls_frame(ROWS)
    assert list(frame["control"]) == [DENSE, SCRATCH, DENSE] and list(frame["pairs"]) == [3, 3, 1]
    assert frame["standard deviation"].isna().tolist() == [False, False, True]


def test_a_tables_own_controls_stand_behind_those_of_every_table_each_with_a_look_of_its_own():
    own = {
        "random masks": (0.03, 0.001, 3),
        DENSE: (-0.01, 0.001, 3),
        "baseline": (0.02, 0.001, 3),
        "ResNet-32": (0.0, 0.001, 3),
    }
    spec = control_charts.control_chart([Standing("t", "level 0", 3, "", own)])
    marks = go.Figure({"data": spec["data"], "layout": spec["layout"]}).data
    names = ["dense, trained equally long", "ResNet-32", "the baseline, trained shorter", "random masks"]
    assert [mark.name for mark in marks] == [f"against {name}" for name in names]
    assert len({(mark.marker.color, mark.marker.symbol) for mark in marks}) == 4
    heights = [mark.y[0] for mark in marks]
    assert heights == sorted(heights) and heights[0] > -0.5 and heights[-1] < 0.5, "none lies in a neighbour's row"
    assert control_charts.controls_sentence([Standing("t", "level 0", 3, "", own)]).endswith(
        "Against random masks: 1 better."
    )
