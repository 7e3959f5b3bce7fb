"""A speaker in a browser: a trade-off for a slide, a deck, and a story that opens from disk without a network."""

import io
import json
import re

from conftest import DEMO
from on_screen import settled
from playwright.sync_api import expect
from pptx import Presentation

from core.presets import preset
from core.runs import home
from core.runs.control import new_run
from core.runs.store import Store


def finished_on_cifar(store):
    """A finished run on a network and a data set on which a paper has points."""
    run = new_run(store, preset("digits-sss").config.model_copy(update={"dataset": "cifar10"}))
    store.claim(run, *home.identity())
    store.set_state(run, "finished", result=json.loads((DEMO / "run.json").read_text())["result"])
    return run


def saved(tab, label):
    """The file behind a button that first has it made."""
    tab.get_by_role("button", name=label, exact=True).click()
    save = tab.get_by_role("button", name=f"Save {label}", exact=True)
    expect(save).to_be_visible()
    settled(tab)
    with tab.expect_download() as getting:
        save.click()
    return getting.value.path().read_bytes()


def test_a_speaker_takes_a_trade_off_with_the_papers_points_a_deck_and_a_story_that_needs_no_network(
    tab, dashboard, browser, tmp_path
):
    store = Store(dashboard[1])
    run = finished_on_cifar(store)
    tab.goto("/trade-offs?set=cifar10&net=resnet20")
    svg = saved(tab, "SVG for a slide").decode()
    assert "Hollow diamonds: Huang &amp; Wang, ECCV 2018" in svg and "SSS (paper)" not in svg and 'width="1280"' in svg
    store.set_deleted(run, True)

    tab.goto("/present?run=demo")
    tab.get_by_role("button", name="Present", exact=True).click()
    stage = tab.locator("dialog[open]")
    expect(stage.get_by_role("heading", name="resnet20 on digits, before training")).to_be_visible()
    tab.keyboard.press("ArrowRight")
    expect(stage.get_by_role("heading", name="What died, and when")).to_be_visible()
    tab.wait_for_url("**slide=2*")
    tab.keyboard.press("Escape")
    expect(stage).to_have_count(0)
    settled(tab)

    tab.locator("section.slide.now h2").click()  # keys work in place too
    tab.keyboard.press("ArrowLeft")
    tab.wait_for_url("**slide=1*")
    tab.keyboard.press("f")
    expect(stage.get_by_role("heading", name="resnet20 on digits, before training")).to_be_visible()
    tab.wait_for_url("**present=1*")
    tab.keyboard.press("ArrowRight")
    expect(stage.get_by_role("heading", name="What died, and when")).to_be_visible()
    tab.wait_for_url("**slide=2*")
    expect(stage).to_have_count(1)
    tab.keyboard.press("Escape")
    expect(stage).to_have_count(0)
    settled(tab)

    tab.get_by_role("textbox", name="Slide 2").fill("Who fell, and when")
    tab.get_by_role("textbox", name="Slide 2").press("Enter")
    tab.wait_for_url("**titles=*")
    settled(tab)
    show = Presentation(io.BytesIO(saved(tab, "PowerPoint")))
    assert [slide.shapes.title.text for slide in show.slides][:2] == [
        "resnet20 on digits, before training",
        "Who fell, and when",
    ]

    story = tmp_path / "story.html"
    story.write_bytes(saved(tab, "HTML story"))
    offline = browser.new_context(offline=True, viewport={"width": 1280, "height": 720})
    page, asked = offline.new_page(), []
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else asked.append(r.url))
    page.goto(story.as_uri())
    shown = page.locator(".slide.now")
    expect(shown.locator("svg.tree .bar").first).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(shown.get_by_role("heading", name="Who fell, and when")).to_be_visible()
    expect(shown.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    page.keyboard.press("End")
    expect(page.get_by_text("6 of 6")).to_be_visible()
    page.wait_for_function("document.querySelectorAll('.slide .tree, .slide .js-plotly-plot').length === 6")
    assert len(re.findall(rb"/Type /Page\n", page.pdf(prefer_css_page_size=True))) == 6, "a slide a page"
    assert not asked
    offline.close()


def test_no_browser_on_the_server_is_said_on_the_page(runs, monkeypatch):
    from test_pages import page

    from app import jobs

    monkeypatch.setattr(
        jobs, "failure", lambda key: "no browser was found here; HTML works without" if key == "talk-pptx" else None
    )
    at = page("present", "demo")
    assert [error.value for error in at.error] == ["No browser was found here; HTML works without"]
