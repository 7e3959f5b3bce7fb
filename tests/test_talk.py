"""Talks as data: what a run proposes, what a person makes of it, and the files that need no browser."""

import io
import json
import re
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from html.parser import HTMLParser

import pandas as pd
import pytest
from conftest import ROOT, chromium, run_in
from pptx import Presentation
from pptx.util import Pt
from test_pages import no_processes, page, words  # noqa: F401 (the fixture works by being here)

from app.app_pages.files import csv, named
from app.components.talk import talk_html
from app.labels import Box
from app.runs import view_of
from app.talk import conditions, deck, deck_charts, deck_names, picture, sources, story
from app.talk.__main__ import make, write
from app.talk.slide import Slide, arranged, brief, read
from app.talk.slide import write as written
from app.tradeoff_points import paper_points
from app.tradeoff_words import sentence
from core.errors import BadInput, WrongMoment

A, C = (f"http://schemas.openxmlformats.org/drawingml/2006/{name}" for name in ("main", "chart"))
NETWORK, DATASET = "resnet20-projection", "cifar10"  # the papers have points on it


@pytest.fixture(scope="module")
def demo():
    return story.of_run(view_of("demo"), sources.points("resnet20", "digits"))


def compared():
    """Two points of one's own, of two seeds, beside the papers'."""
    own = {
        "source": "ours",
        "network": NETWORK,
        "dataset": DATASET,
        "n": 2,
        "epochs": 6,
        "spread": "range of the seeds",
        "comparable": True,
        "seconds": 1.0,
    }
    rows = [
        {**own, "key": "a", "label": "dense", "method": "dense", "role": "dense control", "accuracy": 0.9, "accuracy_low": 0.89, "accuracy_high": 0.91, "macs": 1.0, "runs": ["a"]},
        {**own, "key": "b", "label": "cut", "method": "ssl", "role": "method", "accuracy": 0.895, "accuracy_low": 0.89, "accuracy_high": 0.9, "macs": 0.6, "runs": ["b"]},
    ]  # fmt: skip
    return pd.concat([pd.DataFrame(rows), paper_points(NETWORK, DATASET)]).reset_index(drop=True)


def test_a_run_proposes_the_network_what_died_the_cut_and_what_it_buys(demo):
    assert [slide.key for slide in demo] == ["dense", "died", "cut", "macs", "times", "layers"]
    by = {slide.key: slide for slide in demo}
    assert (
        by["cut"].title == "Cut out, and proved"
        and "Exact" in by["cut"].sentence
        and "MACs −66 %" in by["cut"].sentence
    )
    assert "went first, at epoch 35" in by["died"].sentence and by["dense"].espalier["selected"]["epoch"] == 0
    for slide in demo:
        assert (slide.figure is None) != (slide.espalier is None)
        assert re.search(r"n = \d", slide.footer) and len(slide.title) <= 56 and len(slide.sentence) <= 260
    assert "arXiv 1707.01213" in by["dense"].notes and "torch" in by["dense"].notes
    assert "AMD EPYC, 1 thread, batch 128, float32" in by["layers"].footer


def test_a_nested_run_is_told_as_networks_in_one_tinted_level_by_level():
    slides = story.of_run(view_of("shapes-families"), pd.DataFrame())
    assert [slide.key for slide in slides] == ["dense", "training", "levels-macs", "levels-speed"]
    first = slides[0]
    assert (
        "2 networks in one" in first.sentence
        and "may leave" not in first.sentence
        and first.espalier["levels"]["count"] == 2
    )
    assert first.footer.startswith("Bars: every layer; at the bottom what the core has of it")


def test_a_trade_off_says_whose_points_are_hollow_and_how_many_seeds_each_has():
    (slide,) = story.of_points(compared(), None, ("macs",))
    assert slide.footer.startswith("Test accuracy. n = 2 a point, bars: range of the seeds; 6 epochs a run.")
    assert "Hollow diamonds: Wen et al., NIPS 2016, arXiv 1608.03665." in slide.footer
    assert "Learning Structured Sparsity" in slide.notes and "SSL (paper)" in [
        t.get("name") for t in slide.figure["data"]
    ]
    plain = compared().iloc[1].to_dict() | {"key": "p", "method": "dense", "accuracy": 0.93, "macs": 1.0, "runs": ["p"]}
    assert story.cheapest_run(pd.concat([compared(), pd.DataFrame([plain])])) == "b", (
        "a network that lost nothing is no story of a cut"
    )
    assert story.of_points(compared().iloc[:1], None) == [], "one point is no trade-off"


def test_a_person_arranges_renames_and_leaves_out_and_nonsense_changes_nothing(demo):
    chosen = arranged(demo, ["cut", "nothing", "dense", "cut"], {"cut": " Gone ", "dense": ""})
    assert [(slide.key, slide.title) for slide in chosen] == [("cut", "Gone"), ("dense", demo[0].title)]
    assert arranged(demo, [], {}) == demo == arranged(demo, ["nothing"], {})


def test_a_sentence_on_a_slide_ends_where_a_sentence_ends():
    assert brief("One. Two is longer. Three.", 20) == "One. Two is longer."
    assert (
        brief("The first always stays whole, however long it is.", 5)
        == "The first always stays whole, however long it is."
    )


def test_slides_survive_the_way_to_another_process(demo, tmp_path):
    assert read(written(demo, tmp_path / "slides.json")) == demo
    (tmp_path / "none.json").write_text('{"a": 1}')
    with pytest.raises(BadInput, match="must be a JSON list of slides"):
        read(tmp_path / "none.json")


def test_the_numbers_carry_their_conditions_into_the_csv(demo):
    text = csv(demo[1], pd.DataFrame({"epoch": [1, 2], "alive": [1.0, 0.5]}))
    assert "# Recorded demo: resnet20 on digits, SSS, 120 epochs, seed 0, n = 1." in text and "arXiv 1707.01213" in text
    assert pd.read_csv(io.StringIO(text), comment="#")["alive"].tolist() == [1.0, 0.5]
    assert named("ResNet-20: 50 % of it!") == "resnet-20-50-of-it"


class Addresses(HTMLParser):
    """Everything that a page would fetch."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        self.found += [value for name, value in attributes if name in ("src", "href", "data", "srcset") and value]


def test_the_story_is_one_small_file_that_fetches_nothing_and_prints_a_slide_a_page(demo):
    text = talk_html(demo, "A <talk>")
    asked = Addresses()
    asked.feed(text)
    assert asked.found == [] and "@import" not in text and len(text) < 6_000_000
    assert text.count("plotly.js v") == 1, "plotly.js stands in it once"
    assert "<title>A &lt;talk&gt;</title>" in text and "break-after: page" in text and "size: 1280px 720px" in text
    told = json.loads(re.search(r'id="slides">(.*?)</script>', text, re.S)[1])
    assert [slide["title"] for slide in told["slides"]] == [slide.title for slide in demo]
    assert "plotly.js v" not in talk_html(demo[:1], "a tree alone")


def a_picture(slides, wanted):
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (20, 10)).save(out, "PNG")
    return [out.getvalue() for _ in wanted]


def test_powerpoint_gets_titles_notes_and_pictures_and_draws_what_it_can_itself(demo):
    show = Presentation(io.BytesIO(deck.deck(demo, "A talk", draw=a_picture)))
    assert show.slide_width / show.slide_height == pytest.approx(16 / 9)
    for slide, told in zip(show.slides, demo, strict=True):
        assert slide.shapes.title.text == told.title
        texts = {shape.name: shape.text_frame for shape in slide.shapes if shape.has_text_frame}
        assert texts["Sentence"].text == told.sentence and texts["Conditions"].text == told.footer
        sizes = [run.font.size for frame in texts.values() for p in frame.paragraphs for run in p.runs]
        assert min(sizes) >= Pt(18), "24 of the slide's 720 lines"
        assert slide.notes_slide.notes_text_frame.text == told.notes
        native = [shape for shape in slide.shapes if shape.has_chart]
        assert bool(native) == deck_charts.fits(told) != any(shape.shape_type == 13 for shape in slide.shapes)
        for shape in slide.shapes:
            assert shape.left >= 0 and shape.top >= 0 and shape.top + shape.height <= show.slide_height
    assert [deck_charts.fits(slide) for slide in demo] == [False, False, False, True, True, True]


def test_points_stay_points_in_powerpoint_hollow_named_and_with_their_bars():
    (slide,) = story.of_points(compared(), None, ("macs",))
    show = Presentation(io.BytesIO(deck.deck([slide], "A talk", draw=a_picture)))
    chart = next(shape.chart for shape in show.slides[0].shapes if shape.has_chart)
    by = {series.name: series for series in chart.plots[0].series}
    assert list(by["SSL"].values) == [89.5] and len(list(by["SSL (paper)"].values)) == 4
    xml = chart._chartSpace.xml
    assert xml.count("<c:errBars>") == 2 and ">1.0<" in xml.split("<c:plus>")[1], "a point of 90 % from 89 to 91"
    assert by["SSL (paper)"].marker.format.fill.type == 5, "hollow: no fill"
    axis = chart.category_axis
    assert axis.minimum_scale % axis.major_unit == 0 and axis.has_title
    assert not deck_charts.fits(story.of_tradeoff(compared(), "macs", None, log=True)), (
        "a log axis is left to a picture"
    )


def drawn(slide):
    """The one chart of a slide in PowerPoint."""
    show = Presentation(io.BytesIO(deck.deck([slide], "A talk", draw=a_picture)))
    return next(shape.chart for shape in show.slides[0].shapes if shape.has_chart)


def named_points(chart):
    """By series, the names beside its points and on which side they stand."""
    return {
        series.name: [
            (label.findall(f".//{{{A}}}t")[0].text, label.find(f"{{{C}}}dLblPos").get("val"))
            for label in series._element.iter(f"{{{C}}}dLbl")
        ]
        for series in chart.plots[0].series
    }


def test_a_name_in_powerpoint_belongs_to_its_own_point_even_where_two_lie_on_one_place():
    table = compared().iloc[:2].assign(accuracy=0.9, accuracy_low=0.9, accuracy_high=0.9, macs=[1.0, 1.0])
    slide = story.of_tradeoff(table, "macs", None, picked="b")
    names = {name: [text for text, _ in labels] for name, labels in named_points(drawn(slide)).items()}
    assert {text for texts in names.values() for text in texts} <= {"dense", "cut"}
    assert "dense" not in names["SSL"] and "cut" not in names["dense control" if "dense control" in names else "dense"]
    assert names["SSL"] == ["cut"], "the selected point's name comes first"


def test_names_in_powerpoint_keep_off_points_paths_and_each_other_where_they_can():
    def at(x, y):
        return [[(x, y)]]

    side = deck_names.PLACES.index
    assert deck_names.sides(at(100, 100), [["name"]], 400, 200, []) == {(0, 0): deck_names.PLACES[0]}
    assert deck_names.sides(at(350, 100), [["a long name"]], 400, 200, []) == {(0, 0): deck_names.PLACES[1]}
    right = [Box(110, 98, 200, 102)]  # a bar to the right, which a name covers only where nothing else is free
    assert side(deck_names.sides(at(100, 100), [["name"]], 400, 200, right)[0, 0]) == 1
    everywhere = [Box(0, 0, 400, 200)]
    assert side(deck_names.sides(at(100, 100), [["name"]], 400, 200, everywhere)[0, 0]) == 0
    crowd = [[(100.0, 100.0), (104.0, 100.0), (108.0, 100.0), (112.0, 100.0), (106.0, 100.0), (110.0, 100.0)]]
    placed = deck_names.sides(crowd, [["name"] * 6], 400, 200, [])
    assert 2 <= len(placed) < 6, "a name without room is left out"


def test_level_lines_in_powerpoint_say_what_they_are_and_bars_lie_in_the_sheet():
    trace = {
        "mode": "markers+text", "name": "levels", "x": [1.0, 2.0], "y": [90.0, 80.0], "text": ["full", "core"],
        "marker": {"symbol": "star", "color": ["#112233", "#445566"]}, "error_x": {"array": [0.0, 0.3], "arrayminus": [0.0, 0.2]},
    }  # fmt: skip
    rule = {"type": "line", "y0": 85.0, "y1": 85.0, "line": {"color": "#777777"}}
    note = {"xref": "paper", "x": 1, "y": 85.5, "text": "average<br>85 %"}
    figure = {"data": [trace], "layout": {"xaxis": {}, "yaxis": {}, "shapes": [rule], "annotations": [note]}, "alt": ""}
    chart = drawn(Slide("levels", "Levels", "Said.", "Footer", figure=figure, native="points"))
    names = named_points(chart)
    assert names["path 1"] == [("average 85 %", "t")] and [text for text, _ in names["levels"]] == ["full", "core"]
    assert not chart.has_legend, "one kind of point needs no legend"
    plus, minus = (chart._chartSpace.xpath(f".//c:errBars/c:{side}//c:v/text()") for side in ("plus", "minus"))
    assert (plus, minus) == (["0.0", "0.3"], ["0.0", "0.2"])
    assert chart._chartSpace.xpath(".//c:errBars/c:plus//c:f/text()") == ["Sheet1!$C$7:$C$8"]
    with zipfile.ZipFile(io.BytesIO(chart.part.chart_workbook.xlsx_part.blob)) as book:
        cells = dict(
            re.findall(r'<c r="([A-Z]+\d+)"[^>]*><v>([^<]*)</v>', book.read("xl/worksheets/sheet1.xml").decode())
        )
    assert (cells["C8"], cells["D8"], cells["A8"], cells["B8"]) == ("0.3", "0.2", "2", "80")


def test_without_a_browser_it_says_what_to_install_and_what_works_all_the_same(demo, monkeypatch, tmp_path):
    for name in ("BROWSER_PATH", "CHROMIUM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(picture.Chromium, "find_browser", lambda **how: None)
    with pytest.raises(WrongMoment, match=r"install Chromium or Chrome .* HTML and CSV work without one"):
        write(demo[:1], tmp_path / "a.svg")
    monkeypatch.setenv("BROWSER_PATH", "/nowhere")
    with pytest.raises(BadInput, match="BROWSER_PATH must name the program of a browser; got '/nowhere'"):
        write(demo, tmp_path / "a.pptx")
    write(demo[:1], tmp_path / "a.html")
    assert (tmp_path / "a.html").stat().st_size


def test_the_command_names_the_forms_and_the_slides(demo, tmp_path):
    with pytest.raises(BadInput, match=r"one of \.html, \.pdf, \.png, \.pptx, \.svg; got '.gif'"):
        write(demo, tmp_path / "a.gif")
    with pytest.raises(BadInput, match="a picture is of one slide; got 6; choose one with --slide: dense, died"):
        write(demo, tmp_path / "a.png")
    done = subprocess.run([sys.executable, "-m", "app.talk", "demo", "--slide", "macs", "-o", str(tmp_path / "a.html"), "--json"], cwd=ROOT, capture_output=True, text=True, check=False)  # fmt: skip
    assert json.loads(done.stdout)["slides"] == ["macs"], done.stderr


SVG_TEXT = re.compile(r"<text[^>]*?font-size[=:]\s*\"?([\d.]+)")


@pytest.mark.skipif(chromium() is None, reason="Chromium is not there: `apt-get install -y chromium`")
def test_pictures_are_of_their_kind_hold_the_words_and_are_legible_from_the_back(demo, monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", chromium())
    slides = [demo[2], demo[3]]
    column = picture.How("column", "dark")
    wanted = [
        (0, "svg", picture.How()),
        (1, "svg", picture.How()),
        (1, "svg", column),
        (1, "png", column),
        (-1, "pdf", picture.How()),
    ]
    with ThreadPoolExecutor(1) as beside:  # a loop of events may run here already: that of the other tests' browser
        tree, points, small, raster, page = beside.submit(picture.pictures, slides, wanted).result()
    for text, slide in ((tree.decode(), slides[0]), (points.decode(), slides[1])):
        assert text.startswith("<svg") and f"<title>{slide.title}</title>" in text and "arXiv" in text
        assert slide.footer.split()[-1] in text and 'viewBox="0 0 1280 720"' in text
        own, inner = text.split("<svg", 2)[1:]
        assert min(map(float, SVG_TEXT.findall(own))) >= 24
        scale = float(re.search(r'width="([\d.]+)"', inner)[1]) / float(re.search(r'viewBox="0 0 ([\d.]+)', inner)[1])
        assert scale * min(map(float, SVG_TEXT.findall(inner))) >= 23.9
        assert "http" not in text.replace("http://www.w3.org", ""), "nothing is fetched"
    assert "dense control" in points.decode() and "† 50" in tree.decode()
    assert 'width="89mm"' in small.decode()[:400] and "#14191a" in small.decode()
    assert raster[:8] == b"\x89PNG\r\n\x1a\n" and int.from_bytes(raster[16:20], "big") == 2160
    assert page[:5] == b"%PDF-" and page.count(b"/Type /Page\n") == 2 and b"MediaBox [0 0 960 540]" in page


def test_the_page_proposes_and_keeps_what_a_person_changed_in_the_address(runs):
    at = page("present", "demo")
    assert not at.exception and "6 slides" in words(at)
    assert [t.value for t in at.text_input][2] == "Cut out, and proved"
    at.button(key="drop-died").click().run()
    assert at.query_params["slides"] == "dense,cut,macs,times,layers" and "5 slides" in words(at)
    at.button(key="up-cut").click().run()
    assert at.query_params["slides"] == "cut,dense,macs,times,layers"
    at.text_input(key="title-run:demo-cut").set_value("Gone for good").run()
    assert json.loads(at.query_params["titles"]) == {"cut": "Gone for good"}
    at.button(key="back-died").click().run()
    assert at.query_params["slides"] == "cut,dense,macs,times,layers,died"
    again = page("present", "demo", slides="cut,dense", titles='{"cut": "Mine"}', slide="2")
    sent = next(json.loads(b.proto.json) for b in again.get("bidi_component") if '"slides"' in b.proto.json)
    assert [slide["title"] for slide in sent["slides"]] == ["Mine", "resnet20 on digits, before training"] and sent[
        "at"
    ] == 1


def test_behind_a_chart_are_its_files_and_nothing_while_it_is_closed(runs):
    at = page("structure", "demo")
    keys = {"table-deaths", "table-deaths-csv", "table-deaths-html", "files-table-deaths-svg-make"}

    def there():
        return keys & {element.key for kind in ("button", "download_button", "dataframe") for element in at.get(kind)}

    assert not there()
    at.session_state["table-deaths-behind"] = True
    at.run()
    assert not at.exception and {"table-deaths-csv", "table-deaths-html", "files-table-deaths-svg-make"} <= there()


def test_a_link_with_nonsense_still_opens_the_talk(runs):
    at = page("present", "demo", slides=",,x", titles="[oops", slide="99", talk="nobody")
    assert not at.exception and "6 slides" in words(at)


def test_the_comparison_of_a_run_is_a_talk_too(runs):
    run_in(runs, "finished")
    keys = [slide.key for slide in sources.of_comparison("resnet20", "digits")]
    assert keys[1:4] == ["macs", "params", "times"] and set(keys) >= {"dense", "died", "cut"}
    with pytest.raises(BadInput, match="a comparison needs two finished runs"):
        sources.of_comparison("vgg16", "digits")


def test_conditions_leave_out_what_was_not_recorded():
    assert conditions.speed_line(None) == "" and conditions.day(None) == ""
    assert asdict(Slide("a", "b", "c", "d"))["native"] == ""


def test_a_run_that_is_not_here_and_a_folder_that_is_not_are_said_plainly(runs, tmp_path, demo):
    with pytest.raises(BadInput, match="a run that is here"):
        sources.of_run("nosuch")
    with pytest.raises(SystemExit, match="name another folder"):
        make("demo", tmp_path / "none" / "talk.html")


def test_bars_of_one_runs_time_are_said_to_be_quartiles_and_a_dense_point_to_be_dense():
    row = {"key": "a", "label": "ssl-x 1", "method": "dense", "role": "method", "source": "ours", "accuracy": 0.9, "n": 1, "epochs": 6, "comparable": True}  # fmt: skip
    table = pd.DataFrame([row | {"ms": 2.0, "ms_low": 1.5, "ms_high": 2.5}])
    assert "quartiles of its pairs" in conditions.of_points(table, "ms", None)
    assert "quartiles" not in conditions.of_points(table.drop(columns=["ms_low", "ms_high"]), "ms", None)
    assert sentence(table, "ms") == "ssl-x 1: 90.0 % at 2 ms a batch. It stands alone: nothing to compare it with yet."
    slower = table.assign(key="b", label="other", role="dense control", accuracy=0.8, ms=3.0)
    assert "It is dense" in sentence(pd.concat([table, slower]), "ms")
