"""The espalier in a real browser: levels of detail, scrubbing, play, keys, the close-up, the ghost; in a file of its own, and in the dashboard."""

import re

import numpy as np
import pytest
from conftest import run_in
from espalier_parts import resnet164
from playwright.sync_api import expect

from app.components.espalier import packed, standalone_html
from core.runs.store import Store

STATE = """() => {
  const view = document.querySelector(".espalier").view;
  return {epoch: view.epoch, detail: view.detail, boxes: view.slots.length, playing: view.playing, selected: view.data.selected};
}"""
AGAIN = "window.again = (data) => espalier({ data, parentElement: document.querySelector('main') }) && 0;"
SCRUBBED = """(epochs) => {
  const view = document.querySelector(".espalier").view, range = document.querySelector(".espalier input[type=range]");
  const before = [...view.svg.querySelectorAll("*")];
  const frames = [];
  for (const epoch of epochs) {
    range.value = epoch;
    range.dispatchEvent(new Event("input"));
    frames.push([...view.svg.querySelectorAll("rect.bar, path.unit")].map((n) => `${n.getAttribute("height")}${n.getAttribute("d")}`).join());
  }
  const after = [...view.svg.querySelectorAll("*")];
  return {changed: new Set(frames).size, same: after.length === before.length && after.every((n, i) => n === before[i])};
}"""


def small(**more):
    """Three blocks a stage over 30 epochs, as a page of its own."""
    return resnet164(blocks=3, epochs=30) | more


@pytest.fixture
def file_of(browser, tmp_path):
    """Opens the view as a file, offline; fails where it asked for anything or complained."""
    context = browser.new_context(viewport={"width": 1280, "height": 720}, offline=True)
    complaints = []

    def show(data, **options):
        page = context.new_page()
        for scheme in options:
            page.emulate_media(**{scheme: options[scheme]})
        page.on("pageerror", lambda e: complaints.append(str(e)))
        page.on("request", lambda r: complaints.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
        path = tmp_path / "tree.html"
        path.write_text(
            standalone_html(data, "tree").replace("\nespalier({", f"\n{AGAIN}\nespalier({{"), encoding="utf-8"
        )
        page.goto(path.as_uri())
        expect(page.locator(".espalier .block").first).to_be_visible()
        return page

    yield show
    context.close()
    assert not complaints


def test_every_epoch_of_resnet164_is_another_picture_in_the_same_nodes(file_of):
    page = file_of(resnet164(epochs=200))
    for detail in ("convolution", "filter"):
        page.locator(".zoom").get_by_text(detail, exact=True).click()
        seen = page.evaluate(SCRUBBED, list(range(0, 200, 5)))
        assert seen["same"] and seen["changed"] >= 38, detail
    assert page.locator(".espalier .block").count() == 54


def test_detail_goes_from_stages_to_filters_by_key_and_by_button(file_of):
    page = file_of(small())
    page.locator(".espalier .block").first.focus()
    found = []
    for key in ("-", "-", "-", "+", "+", "+", "+"):
        page.keyboard.press(key)
        found.append(page.evaluate(STATE)["detail"])
        page.locator(".espalier .block").first.focus()
    assert found == ["block", "stage", "stage", "block", "convolution", "filter", "filter"]
    squares = page.locator(".espalier path.unit.alive").first.get_attribute("d")
    assert squares.count("M") > 3
    page.locator(".zoom").get_by_text("stage", exact=True).click()
    assert page.evaluate(STATE)["boxes"] == 3
    expect(page.get_by_role("button", name=re.compile(r"^Stage 2: \d+ of 576 filters alive"))).to_be_visible()


def test_arrows_scrub_space_plays_and_tab_goes_in_forward_order(file_of):
    page = file_of(small())
    page.locator(".espalier .block").first.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(STATE)["epoch"] == 28
    page.keyboard.press("Home")
    assert page.evaluate(STATE)["epoch"] == 0
    page.keyboard.press(" ")
    page.wait_for_function("() => document.querySelector('.espalier').view.epoch >= 3")
    page.keyboard.press(" ")
    assert page.evaluate(STATE)["playing"] is False
    labels = []
    for _ in range(4):
        labels.append(page.evaluate("() => document.activeElement.getAttribute('aria-label')").split(":")[0])
        page.keyboard.press("Tab")
    assert labels == ["Block 1.1", "Block 1.2", "Block 1.3", "Block 2.1"]


def test_a_convolution_and_then_its_filters_are_chosen_by_keys_and_by_clicks(file_of):
    page = file_of(small())
    page.locator(".espalier .block").nth(1).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.evaluate(STATE)["selected"]["site"] == "stage1.1.conv2/filter"
    near = page.locator(".espalier .near")
    expect(near).to_contain_text(re.compile(r"1\.2 conv2.*\d+ of 16 filters alive"))
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    assert page.evaluate(STATE)["selected"]["unit"] == 1
    expect(near).to_contain_text(re.compile(r"Filter 1: (alive|▼ dying|† dead)"))
    box = page.locator(".closeup").bounding_box()
    page.mouse.click(box["x"] + 34 + 5 * 20 + 8, box["y"] + 10)
    assert page.evaluate(STATE)["selected"]["unit"] == 5


def test_the_close_up_says_of_every_filter_what_the_data_says(file_of):
    data = small(selected={"site": "stage2.0.conv2/filter", "unit": None, "epoch": 20})
    page = file_of(data)
    states = data["units"]["stage2.0.conv2/filter"][20]
    dead = page.locator(".closeup .dead-unit").get_attribute("d") or ""
    dying = page.locator(".closeup .dying-unit").get_attribute("d") or ""
    alive = page.locator(".closeup .alive").get_attribute("d") or ""
    found = (dead.count("M"), dying.count("z"), alive.count("z"))
    assert found == tuple(int(np.sum(states == s)) for s in (0, 1, 2))


def test_the_card_says_norm_cost_and_why_a_block_died(file_of):
    data = small()
    data["alive"]["stage1.1/block"] = np.where(np.arange(31) < 12, 1, 0)
    data["factor"]["stage1.1/block"] = np.where(np.arange(31) < 12, 1.0, 0.0)
    page = file_of(data)
    page.get_by_role("button", name="Block 1.2").hover()
    expect(
        page.get_by_text("† died at epoch 12: its factor reached exactly zero; the skip carries the signal")
    ).to_be_visible()
    expect(page.locator(".espalier .card th").last).to_have_text("factor")


def test_the_ghost_stands_behind_at_its_own_height(file_of):
    data, site = small(), "stage3.0.conv1/filter"
    data["alive"] = {s: np.full(31, 64) if s == site else v for s, v in data["alive"].items()}
    other = packed({"stages": [], "alive": {site: [16] * 31}})
    page = file_of(data | {"ghost": {"name": "twin", "data": other, "say": "Blue outlines: twin."}})
    expect(page.get_by_text("Blue outlines: twin.")).to_be_visible()
    ghosts = page.locator(".espalier rect.other[visibility=visible]")
    expect(ghosts).to_have_count(1)
    whole = page.locator(".espalier .block").nth(6).locator("rect.outline").first.get_attribute("height")
    assert float(ghosts.get_attribute("height")) == pytest.approx(float(whole) / 4, abs=0.1)


def test_levels_are_tints_taps_are_grids_and_conv_groups_are_strips(file_of):
    data = small()
    conv = data["stages"][0]["blocks"][0]["convs"]
    for old, new in (("stage1.0.conv2/filter", "stage1.0.conv2/group"),):
        for part in ("alive", "units", "norms"):
            data[part][new] = data[part].pop(old)
        conv[1]["site"] = new
    kept = {conv[0]["path"]: [0.25, 0.5, 1.0]}
    taps = {conv[2]["path"]: {"side": 3, "total": 4, "sites": [f"tap{i}" for i in range(9)]}}
    alive = data["alive"] | {f"tap{i}": [0 if i == 4 else 4] * 31 for i in range(9)}
    page = file_of(data | {"alive": alive, "taps": taps, "levels": {"count": 3, "kept": kept}})
    page.keyboard.press("Tab")
    first = page.locator(".espalier .block").first
    expect(first.locator("rect.tap")).to_have_count(9)
    expect(first.locator("rect.tap.gone")).to_have_count(1)
    assert [p.get_attribute("class") for p in first.locator("path.tint").all()] == [
        "tint level5",
        "tint level2",
        "tint level0",
    ]
    strips = sum(
        (first.locator(f"path.{name}").get_attribute("d") or "").count("M") for name in ("alive", "dying-unit")
    )
    assert strips == data["alive"]["stage1.0.conv2/group"][30]
    expect(page.locator(".legend")).to_contain_text(re.compile("core.*full level.*conv groups.*taps of the kernel"))


def test_reduced_motion_stands_still(file_of):
    page = file_of(small(), reduced_motion="reduce")
    assert (
        page.evaluate("() => getComputedStyle(document.querySelector('.espalier')).getPropertyValue('--move').trim()")
        == "0ms"
    )


def test_a_click_on_a_filter_selects_it_everywhere_and_another_run_stands_behind(tab, dashboard):
    store = Store(dashboard[1])
    first, second = run_in(store, "finished"), run_in(store, "finished")
    tab.goto(f"/structure?run={first}&site=stage2.1.conv1/filter&epoch=60&ghost={second}")
    card = tab.locator(".st-key-card-structure")
    expect(card.get_by_text(f"Blue outlines: {second}. As many live in every layer as here.")).to_be_visible()
    box = card.locator(".closeup").bounding_box()
    tab.mouse.click(box["x"] + 34 + 3 * 20 + 8, box["y"] + 10)
    tab.wait_for_url("**unit=3*")
    expect(card.get_by_text(re.compile("^Filter 3: "))).to_be_visible()
    assert f"ghost={second}" in tab.url and "site=stage2.1.conv1" in tab.url
    for run in (first, second):
        store.set_deleted(run, True)


def test_units_of_another_site_that_arrive_later_are_drawn_and_the_epoch_stays(file_of):
    data = small(detail="filter")
    units, thin = data["units"], {key: value for key, value in data.items() if key != "units"}
    page = file_of(thin)
    near = [
        packed({"stages": [], "units": {s: units[s]}})["bytes"]
        for s in ("stage1.0.conv1/filter", "stage1.1.conv1/filter")
    ]
    page.keyboard.press("Tab")
    sent = page.evaluate("() => document.querySelector('.espalier').view.data")
    boxes = page.locator(".espalier .block")
    for text, drawn in zip(near, ((1, 0), (0, 1)), strict=True):
        page.evaluate("(data) => again(data)", sent | {"near": text})
        for box, squares in enumerate(drawn):
            expect(boxes.nth(box).locator("path.unit.alive")).to_have_count(squares)
    assert page.evaluate(STATE)["epoch"] == 30
