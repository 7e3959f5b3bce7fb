"""Journeys in a real browser: what is asked of a network that has been trained."""

import re

import pytest
from conftest import finished_run
from on_screen import plot, settled
from playwright.sync_api import expect

from core.config import with_settings
from core.presets import preset
from core.runs.control import submit
from core.runs.lane_client import ask
from core.runs.store import Store


def test_the_compact_network_can_be_taken_away_as_onnx_checked_first(tab, tmp_path):
    tab.goto("/take-away?run=demo")
    tab.get_by_role("button", name="Make ONNX file").click()
    expect(tab.get_by_text(re.compile("^Compared on 2 images of 11 × 13.*same top-1 for 100 %"))).to_be_visible()
    settled(tab)
    with tab.expect_download() as download:
        tab.get_by_role("button", name="ONNX file").click()
    download.value.save_as(tmp_path / "demo.onnx")
    assert download.value.suggested_filename == "compact_demo.onnx"
    assert (tmp_path / "demo.onnx").stat().st_size > 100_000


@pytest.mark.slow
def test_the_papers_headline_is_recorded_first_and_measured_here_by_a_button(tab):
    tab.goto("/speed?run=demo")
    assert plot(tab, "headline", "layout.yaxis.type") == "log"
    expect(tab.get_by_text(re.compile("^Bars and lines, recorded: .* n = 200 pairs"))).to_be_visible()
    expect(tab.get_by_text("Dots, this machine")).not_to_be_visible()
    bars = plot(tab, "headline", "data.length")
    tab.get_by_role("button", name="Measure here").click()
    expect(tab.get_by_role("button", name=re.compile(r"^Measuring \d+ of 38"))).to_be_disabled()
    tab.get_by_test_id("stButtonGroup").get_by_text("conv3", exact=True).click()
    expect(tab.get_by_text(re.compile("conv3 faster than dense"))).to_be_visible()  # the page answers meanwhile
    expect(tab.get_by_text(re.compile("^Dots, this machine: .* n = 50 pairs"))).to_be_visible(timeout=240_000)
    assert plot(tab, "headline", "data.length") == bars + 2


def test_what_the_solvers_do_is_computed_beside_the_page_and_shown_on_two_figures(tab):
    tab.goto("/")
    tab.get_by_text("What the solvers do").click()
    assert plot(tab, "solvers-ssl", "data.length") == 4
    assert plot(tab, "solvers-sss", "data.length") == 8
    expect(tab.locator(".st-key-card-solvers-ssl")).to_contain_text("proximal ends within")
    expect(tab.locator(".st-key-card-solvers-sss")).to_contain_text("subgradient ends within")


def test_every_level_answers_at_once_about_a_test_image_a_drawing_and_an_upload(tab, dashboard):
    store = Store(dashboard[1])
    short = {"epochs": 1, "network": "lenet", "measure_every": 0, "threads": 1}
    run = submit(store, with_settings(preset("digits-nested").config, short))
    ask(store.root, "ready")  # the lane wakes up meanwhile
    tab.goto(f"/levels?run={run}")
    expect(tab.locator(".st-key-card-levels-cost .js-plotly-plot")).to_be_visible()
    assert plot(tab, "bands", "data.length") == 2
    card = tab.locator(".st-key-card-levels-predict")
    expect(card.get_by_text("Level 0 core says")).to_be_visible()
    card.get_by_role("slider").press("ArrowRight")
    expect(card.get_by_text("Level 1 full says")).to_be_visible()
    tab.wait_for_url("**level=1*")
    card.get_by_text("Draw", exact=True).click()
    pad = card.locator(".pad canvas")
    expect(pad).to_be_visible()
    box = pad.bounding_box()
    tab.mouse.move(box["x"] + 110, box["y"] + 20)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 110, box["y"] + 200, steps=5)
    tab.mouse.up()
    expect(card.get_by_text("as the network sees it")).to_be_visible()
    card.get_by_text("Upload", exact=True).click()
    card.locator("input[type=file]").set_input_files(
        {"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"}
    )
    expect(card.get_by_text("must be a picture that can be decoded")).to_be_visible()
    tab.reload()
    expect(card.get_by_text("Level 1 full says")).to_be_visible()
    expect(tab.locator(".st-key-card-bands").get_by_text("The subset property holds")).to_be_visible()


def test_filters_are_crossed_out_by_mouse_and_keyboard_and_their_price_seen_over_a_reload_too(tab, dashboard):
    store = Store(dashboard[1])
    run = finished_run(store)
    ask(store.root, "ready")  # the lane wakes up
    tab.goto(f"/what-if?run={run}&site=stage2.0.conv1/filter")
    card = tab.locator(".st-key-card-whatif-board")
    living = card.get_by_role("group", name=re.compile("filters of")).locator("[aria-disabled=false]")
    expect(living.first).not_to_be_checked()
    expect(tab.get_by_text(re.compile("^Nothing is crossed out: "))).to_be_visible()
    living.first.click()
    expect(tab.get_by_text(re.compile("^Without 1 filter, "))).to_be_visible()
    living.first.press("Home")
    living.nth(1).focus()
    tab.keyboard.press("Space")
    expect(tab.get_by_text(re.compile("^Without 2 filters, "))).to_be_visible()
    expect(
        tab.get_by_text(re.compile("^Removal exact: compared with the network with the crossed units masked"))
    ).to_be_visible()
    assert "cross=stage2.0.conv1%2Ffilter%3D" in tab.url
    tab.reload()
    expect(living.nth(1)).to_be_checked()
    store.set_deleted(run, True)
