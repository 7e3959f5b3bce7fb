"""Components and theme: what is sent to the browser, and what a page of its own contains."""

import json
import re
import tomllib
from pathlib import Path

from streamlit.testing.v1 import AppTest

from app import theme
from app.components import espalier as tree
from app.components import live_chart

ROOT = Path(__file__).parent.parent
VIEW = {
    "network": "tiny", "input": "image", "classes": "10", "epoch_now": 4, "total_epochs": 9, "follow": True, "playing": False,
    "stages": [{"name": "Stage 1", "path": "s", "note": "16", "blocks": [{"path": "s.0", "label": "1.1", "skip": "identity", "block_site": "s.0/block",
                "convs": [{"path": "s.0.conv1", "site": "s.0.conv1/filter", "label": "conv1", "total": 16, "macs": 9, "params": 9}]}]}],
    "alive": {"s.0.conv1/filter": [16, 16, 16, 9, 0], "s.0/block": [1, 1, 1, 1, 0]},
    "factor": {"s.0/block": [1.0, 0.51239, 1e-9, 0.25, 0.0]}, "died": {"s.0/block": 4}, "markers": [], "selected": {"site": None, "epoch": None},
    "say": "A </script> sentence.",
}  # fmt: skip


def test_the_page_of_its_own_needs_nothing_else():
    page = tree.standalone_html(VIEW, "Tiny & small")
    assert "<title>Tiny &amp; small</title>" in page
    assert not re.search(r'(src|href)="http', page)
    inside = re.search(r'<script type="application/json" id="espalier-data">(.*?)</script>', page, re.S)
    assert json.loads(inside.group(1)) == tree.packed(VIEW)
    assert "sentence" not in inside.group(1)  # words travel as bytes too, where none can end the script


def test_the_scripts_know_nothing_of_streamlit_and_write_no_markup():
    for script in (ROOT / "app/components").glob("*.js"):
        text = script.read_text(encoding="utf-8")
        assert "innerHTML" not in text, script.name
        assert "streamlit" not in text.lower(), script.name
    for joined in (tree.SCRIPT, (ROOT / "app/components/live_chart.js").read_text(encoding="utf-8")):
        assert len(re.findall(r"^export default function", joined, re.M)) == 1


def _page():
    import streamlit as st
    from tests_view import VIEW

    from app import glossary, theme
    from app.components.espalier import espalier
    from app.components.live_chart import live_chart, plotly_loader

    theme.style()
    plotly_loader()
    theme.kpi_row([("a <b>", "1 ×", "note")])
    with theme.card("Title", "Sentence.", key="one"):
        espalier(VIEW, key="tree")
        live_chart({"data": [], "layout": {}, "alt": "Nothing."}, key="chart", height=200)
    glossary.glossary_popover("factor")
    st.write("end")


def test_a_page_mounts_every_part(monkeypatch):
    import sys
    import types

    module = types.ModuleType("tests_view")
    module.VIEW = VIEW
    monkeypatch.setitem(sys.modules, "tests_view", module)
    page = AppTest.from_function(_page, default_timeout=15).run()
    assert not page.exception
    sent = [json.loads(part.proto.json) for part in page.get("bidi_component") if part.proto.json]
    assert any(data == tree.packed(VIEW) for data in sent)
    assert any(data.get("whole", {}).get("spec", {}).get("alt") == "Nothing." for data in sent)
    assert page.markdown[-1].value == "end"


def test_a_figure_travels_whole_once_then_what_changed_and_whole_again_where_it_is_missed():
    def page():
        import streamlit as st

        from app.components.live_chart import SHOWN, live_chart

        points = st.number_input("points", 1, 9, 3)
        if st.button("missed"):
            st.session_state[SHOWN].pop("chart")
        live_chart({"data": [{"y": list(range(points))}], "layout": {"title": "t" * 999}, "alt": "A"}, key="chart")

    def told(at):
        (part,) = at.get("bidi_component")
        assert len(part.proto.js_content) < 900, "the script does not travel with the data"
        return json.loads(part.proto.json)

    at = AppTest.from_function(page).run()
    first = told(at)
    assert first["whole"]["spec"]["data"] == [{"y": [0, 1, 2]}]
    second = told(at.number_input[0].set_value(4).run())
    assert second["since"] == first["number"] and len(json.dumps(second)) < 200
    assert second["change"]["o"]["spec"] == {"o": {"data": {"n": 1, "i": {"0": {"o": {"y": {"k": 3, "a": [3]}}}}}}}
    assert told(at.run()) == second, "nothing changed, so the message is the same"
    third = told(at.button[0].click().run())
    assert third["whole"]["spec"]["data"] == [{"y": [0, 1, 2, 3]}] and third["number"] > second["number"]


def test_the_library_travels_compressed_and_is_built_once():
    library = live_chart._library()
    assert library is live_chart._library()
    assert len(library) < 2_000_000


def test_dark_and_light_define_the_same_colours():
    names = [set(re.findall(r"--tile-\w+", part)) for part in (theme.LIGHT, theme.DARK)]
    assert names[0] == names[1] == set(re.findall(r"--tile-\w+", theme.STYLE))


def test_the_settings_keep_the_dashboard_at_home():
    settings = tomllib.loads((ROOT / ".streamlit/config.toml").read_text(encoding="utf-8"))
    assert settings["browser"]["gatherUsageStats"] is False
    assert settings["server"]["address"] == "127.0.0.1"
    assert len(settings["theme"]["chartSequentialColors"]) == len(settings["theme"]["chartDivergingColors"]) == 10
