"""The Attribution page: its sentences, its figures as data, the page itself without and with a browser."""

import json
import shutil

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from conftest import DEMO, run_in
from playwright.sync_api import expect
from test_pages import page, words

from app import attribution_charts as charts
from app import attribution_words as say
from app.app_pages.attribution_kept import frame_of, most_mixed
from app.app_pages.attribution_looks import limit_of, names_of, table_of
from app.components.figure_parts import PICKED
from app.glossary import definition
from core.runs.attributed import arrays_of, attributed
from core.runs.folder import RunFolder
from core.runs.store import Store


def found(value, low=None, high=None):
    return {"value": value, "low": low, "high": high}


def kind_of(value, low, high, lost=4, units=9, kind="filter", across=None):
    each = {"within": found(value, low, high), "across": across or found(0.3, 0.1, 0.5), "auc": found(0.8, 0.6, 0.9)}
    return {"kind": kind, "units": units, "lost": lost, "sites": 2, **dict.fromkeys(say.MEASURES, each)}


@pytest.mark.parametrize(("value", "low", "high", "wanted"), [
    (0.7, 0.5, 0.8, "Clearly yes: the filters that carried more of the score lived longer."),
    (0.4, 0.2, 0.6, "Mostly yes"), (0.2, 0.1, 0.3, "Only weakly yes"), (0.2, -0.1, 0.5, "cannot be told from this run"),
    (-0.5, -0.8, -0.2, "No, mostly the reverse: the filters that carried more of the score died sooner."),
])  # fmt: skip
def test_the_sentence_says_what_the_rank_correlation_means(value, low, high, wanted):
    told = say.answer({}, kind_of(value, low, high), "conductance")
    assert wanted in told and f"ρ = {value:.2f}".replace("-", "−") in told and "9 filters, 4 lost since" in told
    assert "Of 100 pairs of a kept and a lost one in the same layer, the kept one was ahead in 80." in told


def test_the_sentence_knows_runs_that_lost_nothing_everything_or_whole_layers():
    document = {"by_norm": found(0.5, 0.4, 0.6)}
    assert "None of the 9 filters died" in say.answer(document, kind_of(None, None, None, lost=0), "norm")
    assert "ranked units within layers alike to ρ = 0.50 (95 %: 0.40 to 0.60)" in say.answer(
        document, kind_of(None, None, None, lost=0), "norm"
    )
    assert say.answer({}, kind_of(0.5, 0.2, 0.7, lost=9), "norm").startswith("All 9 filters died")
    whole = say.answer({}, kind_of(None, None, None), "taylor")
    assert "across layers ρ = 0.30" in whole and "lived or died as wholes" in whole
    blocks = say.answer({}, kind_of(0.3, 0.1, 0.5, kind="block"), "taylor")
    assert "9 blocks, 4 lost since" in blocks and "layer" not in blocks


def test_what_is_compared_with_what_is_said_for_every_way_to_measure():
    base = {
        "epoch": 5,
        "survival_epoch": 20,
        "own": True,
        "first_death": 6,
        "from_trained": False,
        "measured_in": "x-1",
    }
    assert "the last kept checkpoint before the first unit died" in say.when(base) and "had been at work" in say.when(
        base
    )
    assert ", of units alive then" in say.when(base | {"first_death": 3})
    assert "first random weights" in say.when(base | {"epoch": 0, "first_death": 1})
    trained = say.when(base | {"epoch": 0, "first_death": 1, "from_trained": True})
    assert "in the trained network that this run started from" in trained and "random" not in trained
    assert "dense control x-1 after epoch 5: it began with the same weights" in say.when(base | {"own": False})


# the recorded demo


@pytest.fixture(scope="module")
def recorded():
    """The demo's document and arrays."""
    folder = RunFolder(DEMO)
    told = attributed(folder)[0]
    return told, arrays_of(folder, told)


def test_the_recorded_measurement_fits_the_recorded_run(recorded):
    told, arrays = recorded
    folder = RunFolder(DEMO)
    alive, sites = folder.history()[1], {site["site"]: site for site in folder.sites()}
    at = np.concatenate([sites[row["site"]]["offset"] + np.arange(row["total"]) for row in told["layers"]])
    assert (np.isinf(arrays["death"]) == (alive[-1, at] == 1)).all() and told["first_death"] == told["epoch"] + 1
    assert alive[: told["epoch"] + 1, at].all() and not alive[told["first_death"], at].all()


def test_figures_are_valid_plotly_small_and_mark_what_died_apart(recorded):
    told, arrays = recorded
    frame = frame_of(told, arrays, "filter", "conductance")
    lost = int(np.isfinite(frame["death"]).sum())
    assert lost == told["kinds"][0]["lost"] and len(frame) == told["kinds"][0]["units"]
    site = most_mixed(frame)
    mine = frame[frame["site"] == site].reset_index(drop=True)
    specs = [
        charts.by_layer(frame, site, "alt", "conductance"),
        charts.one_layer(mine, 2, "alt", "conductance", 120),
        charts.against_norm(mine, 2, "alt", "norm"),
    ]
    for spec in specs:
        go.Figure(data=spec["data"], layout=spec["layout"])
        assert len(json.dumps(spec, allow_nan=False)) < 80_000
    alive, died = specs[0]["data"]
    assert (len(alive["x"]), len(died["x"])) == (len(frame) - lost, lost) and alive["marker"]["symbol"] != died[
        "marker"
    ]["symbol"]
    assert (
        specs[0]["layout"]["shapes"][0]["line"]["color"] == PICKED and specs[1]["data"][-1]["marker"]["color"] == PICKED
    )
    best = mine["value"].idxmax()
    assert mine.loc[best, "share"] == 1 and mine["share"].min() == 0
    died_at = dict(
        zip([custom[1] for custom in specs[1]["data"][1]["customdata"]], specs[1]["data"][1]["y"], strict=True)
    )
    assert died_at == {int(row.unit): row.death for row in mine.itertuples() if np.isfinite(row.death)}
    assert all(y > 120 for y in specs[1]["data"][0]["y"])


def test_the_page_shows_the_recorded_measurement_and_its_glossary(runs, monkeypatch):
    monkeypatch.setattr("app.asking.ask", lambda *a, **k: None)
    at = page("attribution", "demo")
    said = words(at)
    assert not at.exception and not at.error
    for wanted in (
        "Did it keep what mattered?",
        "lived longer",
        "the last kept checkpoint before the first unit died",
        "64 validation images",
        "One run, one seed",
        "waking up",
    ):
        assert wanted in said, wanted
    choice = next(one for one in at.get("button_group") if one.key == "attribution-measure")
    assert choice.value == "conductance"
    for term in ("conductance", "first-order Taylor", "Grad-CAM", "integrated gradients", "rank correlation"):
        assert definition(term)


def test_a_run_that_was_not_measured_yet_starts_the_job(runs, run_state, monkeypatch):
    monkeypatch.setattr("app.asking.ask", lambda *a, **k: None)
    started = []
    monkeypatch.setattr("app.jobs.start", lambda key, *arguments: started.append((key, arguments)))
    run = run_state("finished")
    at = page("attribution", run)
    assert "tells whether the method kept what mattered" in words(at) and not at.exception
    at.button(key="attribute").click().run()
    assert started == [(f"attribute {run}", ("attribute", run, "--runs", str(runs.root)))] and not at.exception


def test_bad_numbers_of_images_are_one_sentence(runs, run_state, monkeypatch):
    monkeypatch.setattr("app.asking.ask", lambda *a, **k: None)
    at = page("attribution", run_state("finished"))
    at.text_input(key="attribution-images").set_value("7, x").run()
    assert "one to 4 whole numbers" in words(at) and not at.exception


def answer_of(levels):
    """What the lane answers about two images of a nested run."""
    random = np.random.default_rng(0)

    def row(level):
        full = level == levels - 1
        return {
            "name": f"level {level}", "full": full, "level": level, "other": False, "names": ["a", "b"], "said": 0, "target": 0, "probability": 0.7, "sure": 0.7,
            "score": 2.0, "gained": 1.5, "integrated": random.normal(size=(4, 4)).tolist(), "delta": 0.01, "integrated_like": None if full else 0.5,
            "cam": None if level == 0 else random.normal(size=(4, 4)).tolist(), "cam_layer": "" if level == 0 else "conv2",
            "cam_size": None if level == 0 else [4, 4], "cam_why": "no convolution" if level == 0 else "", "cam_like": None,
        }  # fmt: skip

    shown = [
        {
            "index": i,
            "label": 1,
            "pixels": np.zeros((4, 4, 1), int).tolist(),
            "networks": [row(k) for k in reversed(range(levels))],
        }
        for i in (3, 5)
    ]
    return {"epoch": 4, "note": "", "steps": 32, "images": 9, "class_names": ["a", "b"], "shown": shown}


def test_all_maps_share_one_scale_and_have_a_table_behind(runs, run_state, monkeypatch):
    told = answer_of(3)
    assert names_of(told) == ["level 2 full", "level 1", "level 0 core"]
    sizes = np.abs([row["integrated"] for image in told["shown"] for row in image["networks"]]).ravel()
    assert limit_of(told, "integrated") == pytest.approx(np.quantile(sizes, 0.995))
    table = table_of(told, names_of(told))
    assert len(table) == 6 and table["Grad-CAM, ρ with the first"].isna().all()
    assert "level 0 core: integrated gradients ρ = 0.50" in say.looks(told, names_of(told))
    monkeypatch.setattr("app.asking.ask", lambda *a, **k: told)
    at = page("attribution", run_state("finished"))
    said = words(at)
    assert not at.exception and said.count("<img") == 2 + 6 + 4 and said.count("no convolution") == 2
    assert "one scale for all images and networks" in said and not at.dataframe, "a table is made when it is opened"
    at.session_state["table-looks-behind"] = True
    assert isinstance(at.run().dataframe[-1].value, pd.DataFrame)


def test_a_person_is_told_what_cannot_be_measured_sees_where_a_network_looks_and_selects_a_filter(tab, dashboard):
    store = Store(dashboard[1])
    run = run_in(store, "finished")
    shutil.copytree(DEMO / "checkpoints", store.root / run / "checkpoints", dirs_exist_ok=True)
    tab.goto(f"/attribution?run={run}")
    tab.get_by_role("button", name="Measure its filters").click()
    refused = tab.get_by_text(
        "must keep a checkpoint from before its first unit died"
    )  # its record keeps the last weights alone
    expect(refused).to_be_visible()
    expect(tab.locator(".looks img").first).to_be_visible()
    expect(tab.get_by_role("columnheader", name="compact")).to_have_count(2)  # of each measure
    tab.goto("/attribution?run=demo&site=stage2.1.conv1/filter")
    figure = tab.locator(".st-key-card-kept .js-plotly-plot").first
    expect(figure).to_be_visible()
    figure.locator(".points path").first.click(force=True)
    tab.wait_for_url("**unit=*")
    tab.get_by_role("radio", name="norm", exact=True).click()
    tab.wait_for_url("**attribution-measure=norm*")
    expect(tab.locator(".st-key-card-kept").get_by_text("Rank correlation of norm with length of life")).to_be_visible()
