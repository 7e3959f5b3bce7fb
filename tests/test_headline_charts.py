"""The figures of SSL's headline, tested as data, and the card that shows them."""

import json
import math

import plotly.graph_objects as go
import pytest
from test_pages import page, words

from app import headline_charts as charts
from app.app_pages import headline as card
from core import table4
from core.headline import cases


def document(speed=2.0, protocols=("product", "sweep")):
    """Every l1 row half as fast as dense, every SSL row `speed` times."""
    rows = {}
    for case in cases(protocols, table4.LAYERS, table4.ROWS):
        middle = speed if case.method == "ssl" else 0.5 if (case.sparsity or 0) < 0.95 else 1.5
        rows[case.key] = {
            "protocol": case.protocol, "layer": case.layer, "method": case.method, "row": case.row, "sparsity": case.sparsity,
            "measured": middle, "low": middle * 0.9, "high": middle * 1.2, "promised": 4.0, "n": 50, "threads": 1, "batch": 1,
            "dense_ms": 2.0, "compact_ms": 2.0 / middle, "precision": "float32",
        }  # fmt: skip
    return {"rows": rows, "cpu": "A processor", "date": "2026-01-02T03:04", "versions": {"torch": "2"}}


def both(found, pair=(1, 2)):
    return card._both(found, "product", pair)


def swept(found):
    return charts.table_of(found, protocol="sweep", layer="conv3")


def test_the_figures_are_valid_plotly_small_and_named():
    whole, none = document(), {"rows": {}}
    for spec in (
        charts.equal_error(both(whole), both(document(3.0))), charts.equal_error(both(whole), both(none)),
        charts.equal_error(both(none), both(none)), charts.equal_sparsity(swept(whole), swept(whole), "conv3"),
        charts.equal_sparsity(swept(none), swept(none), "conv3"),
    ):  # fmt: skip
        go.Figure({"data": spec["data"], "layout": spec["layout"]})
        assert len(json.dumps(spec, allow_nan=False)) < 50_000 and spec["alt"].endswith(".")
        assert spec["layout"]["yaxis"]["title"]["text"] and spec["layout"]["yaxis"]["type"] == "log"


def test_bars_stand_on_the_line_of_dense_and_hang_below_it_when_slower():
    spec = charts.equal_error(both(document()), both({"rows": {}}))
    l1, ssl = [trace for trace in spec["data"] if trace["type"] == "bar"]
    assert l1["base"] == ssl["base"] == 1 and l1["y"] == [-0.5] * 5 and ssl["y"] == [1.0] * 5
    assert ssl["error_y"]["array"] == [0.4] * 5 and ssl["error_y"]["arrayminus"] == [0.2] * 5
    low, high = spec["layout"]["yaxis"]["range"]
    assert 10**low < 0.45 and 10**high > 9.73
    (line,) = spec["layout"]["shapes"]
    assert line["y0"] == line["y1"] == 1


def test_the_papers_points_are_hollow_and_this_machines_are_not():
    spec = charts.equal_error(both(document()), both(document(3.0)))
    points = {
        symbol: [t for t in spec["data"] if t.get("marker", {}).get("symbol") == symbol]
        for symbol in ("diamond-open", "circle")
    }
    assert [t["y"] for t in points["diamond-open"]] == [list(table4.ROWS[n].cpu) for n in (1, 2)]
    assert [t["y"] for t in points["circle"]] == [[0.5] * 5, [3.0] * 5]
    assert [t["name"] for t in spec["data"] if t["showlegend"]] == [
        "l1, as CSR",
        "SSL, removed",
        "the paper",
        "here",
    ]


def test_the_sentences_say_the_means_and_where_csr_starts_to_win():
    said = charts.equal_error(both(document()), both({"rows": {}}))["alt"]
    assert "removed rows and columns run 2.0 × as fast as dense on average, scattered zeros 0.5 ×" in said
    assert (
        "the paper says 5.1 × and 3.0 ×" in said
        and "conv1, conv2, conv3, conv4 and conv5 got slower than dense" in said
    )
    said = charts.equal_sparsity(swept(document()), swept({"rows": {}}), "conv3")["alt"]
    assert "faster than dense from 95 % on" in said and "2.0 × at 97 %, where CSR reaches 1.5 ×" in said
    slow = document()
    for row in slow["rows"].values():
        row["measured"] = min(row["measured"], 0.9)
    assert "never make conv3 faster" in charts.equal_sparsity(swept(slow), swept(slow), "conv3")["alt"]


def test_labels_of_lines_that_end_together_do_not_cover_each_other():
    spec = charts.equal_sparsity(swept(document(4.0)), swept({"rows": {}}), "conv3")
    heights = [note["y"] for note in spec["layout"]["annotations"]]
    low, high = spec["layout"]["yaxis"]["range"]
    assert heights[0] == pytest.approx(math.log10(1.5), abs=0.01)
    assert heights[2] - heights[1] >= 0.069 * (high - low)


def test_the_card_stands_there_without_any_run_and_says_its_conditions(runs):
    at = page("speed")
    assert not at.exception and "No run yet" in words(at)
    recorded = table4.recorded()
    said = words(at)
    assert "Zeros alone do not speed anything up" in said and table4.NAME in said and "1608.03665" in said
    assert f"{recorded['cpu']}, 1 thread" in said and "n = 200 pairs" in said and recorded["date"][:10] in said
    assert "Dots, this machine" not in said and "measure-headline" in {b.key for b in at.button}


class Ended:
    """A measurement that is over."""

    def __init__(self, failed, words, answer):
        self.failed, self.words, self.answer = failed, words, answer

    def said(self):
        return self.words

    def document(self):
        return self.answer


def test_a_measurement_of_one_protocol_keeps_those_of_the_others(monkeypatch):
    state = {}
    monkeypatch.setattr(card.st, "session_state", state)
    card._take(document(protocols=("product",)))
    card._take(document(protocols=("sweep",)) | {"date": "2026-02-03"})
    assert (
        set(state["headline-here"]["rows"]) == set(document()["rows"])
        and state["headline-here"]["date"] == "2026-02-03"
    )


def test_a_measurement_that_failed_says_why_in_a_sentence(runs):
    script = (
        "import sys; sys.path[:0] = ['.', 'tests']\nimport streamlit as st\nfrom app.app_pages import headline\n"
        "from test_headline_charts import Ended\n"
        "if 'begun' not in st.session_state:\n"
        "    st.session_state['begun'] = True; st.session_state['jobs'] = {'headline': Ended(True, '--layer must be one of conv1', None)}\n"
        "headline.headline()\n"
    )
    from streamlit.testing.v1 import AppTest

    at = AppTest.from_string(script, default_timeout=30).run()
    assert not at.exception and [e.value for e in at.error] == ["--layer must be one of conv1"]
    assert not at.session_state["jobs"]


def test_a_link_opens_the_card_at_its_layer_its_rows_and_what_is_timed(runs):
    at = page("speed", layer="conv4", error="42.5 %", timed="128 images")
    said = words(at)
    assert not at.exception and "conv4 faster than dense" in said
    assert "the paper says 1.4 × and 0.9 ×" in said and "n = 20 pairs" in said
