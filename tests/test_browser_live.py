"""Journeys in a real browser: runs that train while one looks on."""

import re
import time

import pytest
from made_up import MadeUp
from on_screen import WATCH, plot, tree_epoch, wait_for_epoch
from playwright.sync_api import expect

from core.config import with_settings
from core.presets import preset
from core.runs.control import submit
from core.runs.store import Store
from core.runs.tables import OVER

SHORT = with_settings(preset("digits-sss").config, {"epochs": 400, "measure_every": 0})


@pytest.fixture
def living(dashboard):
    """A run that trains in the background while the test looks at it, stopped afterwards."""
    store = Store(dashboard[1])
    run = submit(store, SHORT)
    yield store, run
    if store.get(run).state not in OVER:
        store.ask(run, "stop")
        for _ in range(200):
            if store.get(run).state in OVER:
                break
            time.sleep(0.1)


GROWN = "(before) => document.querySelector('.st-key-card-survival .js-plotly-plot')?.data?.[0]?.x?.length > before"


def test_one_button_starts_a_run_and_the_first_live_point_comes_within_15_seconds(tab, dashboard):
    tab.goto("/")
    button = tab.get_by_role("button", name="Train this here")
    expect(button).to_be_visible()
    expect(tab.locator(".st-key-card-demo svg").first).to_be_visible()
    clicked = time.monotonic()
    button.click()
    tab.wait_for_url("**/live**")
    expect(tab.locator(".st-key-card-accuracy .js-plotly-plot")).to_be_visible()
    took = time.monotonic() - clicked
    wait_for_epoch(tab, 3)
    before = plot(tab, "survival", "data[0].x.length")
    wait_for_epoch(tab, tree_epoch(tab) + 3)
    tab.wait_for_function(GROWN, arg=before)  # the survival heatmap must grow
    assert took < 60  # the promise of 15 s is for an idle machine and is measured by the benchmark
    tab.get_by_role("button", name="Stop").click()
    store = Store(dashboard[1])
    run = store.all()[0].id
    for _ in range(900):
        if store.get(run).state == "stopped":
            break
        time.sleep(0.1)
    assert store.get(run).state == "stopped"
    expect(tab.get_by_role("button", name="Continue from the last checkpoint")).to_be_visible()


def test_pause_steer_continue_and_reload_find_everything_as_it_was(tab, living):
    store, run = living
    tab.goto(f"/live?run={run}")
    wait_for_epoch(tab, 2)
    tab.get_by_role("button", name="Pause").click()
    expect(tab.get_by_role("button", name="Continue")).to_be_visible()
    assert store.get(run).state == "paused"
    slider = tab.locator(f"[class*=st-key-strength-filter-{run}]").get_by_role("slider")
    expect(slider).to_have_attribute("aria-valuetext", "0.006")  # drawn anew for the paused run
    slider.focus()
    slider.press("ArrowRight")
    for _ in range(600):
        steered = [c for c in store.controls(run) if c.control == "strength"]
        if steered and steered[0].applied is not None:
            break
        time.sleep(0.1)
    assert steered and steered[0].value > 0.006 and steered[0].applied is not None, [
        (c.value, c.kind, c.control) for c in store.controls(run)
    ]
    tab.get_by_role("button", name="Continue").click()
    expect(tab.get_by_role("button", name="Pause")).to_be_visible()
    epoch = tree_epoch(tab)
    wait_for_epoch(tab, epoch + 2)
    tab.reload()
    wait_for_epoch(tab, epoch + 2)
    assert run in tab.url
    assert plot(tab, "accuracy", "layout.shapes.length") >= 1  # the change of strength is marked on the time axis


def test_the_live_view_keeps_its_nodes_zoom_and_selection_over_20_updates_without_a_blank_frame(tab, living):
    _, run = living
    tab.goto(f"/live?run={run}")
    wait_for_epoch(tab, 3)
    for card in ("survival", "accuracy"):
        assert plot(tab, card, "layout.xaxis.range")
    tab.get_by_role("button", name=re.compile(r"^Block 2\.2")).first.click()
    tab.wait_for_url("**site=stage2.1*")
    tab.wait_for_timeout(1500)
    tab.evaluate(
        "() => window.Plotly.relayout(document.querySelector('.st-key-card-accuracy .js-plotly-plot'), {'xaxis.range[0]': 1, 'xaxis.range[1]': 2.5})"
    )
    tab.evaluate(WATCH)
    seen = {tree_epoch(tab)}
    end = time.monotonic() + 200
    while len(seen) < 21 and time.monotonic() < end:
        seen.add(tree_epoch(tab))
        tab.wait_for_timeout(100)
    assert len(seen) >= 21
    assert tab.evaluate("() => window.same()"), "a live view was built anew"
    result = tab.evaluate("() => window.seen")
    assert result["frames"] > 100 and result["blank"] == 0, result
    assert [round(z, 1) for z in plot(tab, "accuracy", "layout.xaxis.range")] == [1, 2.5]
    assert "site=stage2.1" in tab.url


def test_figures_of_long_epochs_are_drawn_when_an_epoch_ends_and_not_before(tab, dashboard):
    store = Store(dashboard[1])
    made = MadeUp(store, network="resnet20", behind=5, seconds=20)
    tab.goto(f"/live?run={made.name}")
    wait_for_epoch(tab, 5)
    expect(tab.locator(".st-key-card-accuracy .js-plotly-plot")).to_be_visible()
    expect(tab.locator(".st-key-card-says")).to_contain_text("must have a checkpoint")
    tab.wait_for_timeout(4000)  # the lane is awake, and has said so: nothing else draws
    tab.evaluate("() => document.querySelector('.st-key-card-accuracy .takeaway').dataset.seen = 'yes'")
    store.beat(made.name, made.progress | {"images_per_s": 1234.0})
    expect(tab.get_by_text("1,234 images/s")).to_be_visible()
    assert tree_epoch(tab) == 5
    made.write()
    wait_for_epoch(tab, 6, timeout_s=40)  # not by being lost: that takes 90 s
    expect(tab.locator(".st-key-card-accuracy .takeaway")).to_contain_text("after epoch 6")
    expect(tab.locator(".st-key-card-accuracy .takeaway")).to_have_attribute("data-seen", "yes")
    store.set_state(made.name, "stopped")


@pytest.mark.slow
def test_a_search_for_a_strength_starts_from_the_form_goes_on_over_a_reload_and_says_what_it_found(tab, dashboard):
    store = Store(dashboard[1])
    tab.goto("/")
    tab.locator(".st-key-settings-digits-lenet").get_by_role("button").click()
    epochs = tab.get_by_role("spinbutton", name="Epochs (epochs)")
    expect(epochs).to_have_value("100")
    tab.get_by_role("radio", name="Find the strength").click()
    most = tab.get_by_role("spinbutton", name="Train at most (runs)")
    expect(most).to_be_visible()
    most.fill("2")
    most.press("Tab")
    epochs.fill("3")
    epochs.press("Tab")
    tab.get_by_role("button", name="Train with these settings").click()
    tab.wait_for_url("**/live**")
    card = tab.locator(".st-key-card-family")
    expect(
        card.get_by_text(re.compile("^Look(ing|ed) for a strength that leaves at most 50 % of the MACs"))
    ).to_be_visible()
    tab.reload()
    end = time.monotonic() + 240
    while time.monotonic() < end and "2 of at most 2 runs were needed" not in card.inner_text():
        tab.wait_for_timeout(500)
    expect(card.get_by_text(re.compile("2 of at most 2 runs were needed"))).to_be_visible()
    family = re.search(r"run=([\w-]+)", tab.url)[1]
    assert [row.state for row in store.family(family)] == ["finished", "finished"]
    tab.get_by_role("link", name="Trade-offs").click()
    assert plot(tab, "tradeoff", "data[0].mode") == "lines"
    for row in store.family(family):
        store.set_deleted(row.id, True)
