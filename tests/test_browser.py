"""Journeys in a real browser: what people see and do."""

import re
import time

import pytest
from playwright.sync_api import expect

from core.config import with_settings
from core.presets import preset
from core.runs.control import submit
from core.runs.lane_client import ask
from core.runs.store import OVER, Store

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


def tree_epoch(tab):
    """The epoch the espalier says it shows; -1 before it has drawn one."""
    return int(tab.locator(".st-key-card-tree .espalier .now b").inner_text() or -1)


def wait_for_epoch(tab, epoch, timeout_s=120):
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if tree_epoch(tab) >= epoch:
            return
        tab.wait_for_timeout(200)
    raise AssertionError(f"epoch {epoch} did not appear within {timeout_s} s")


def plot(tab, card, value):
    """A value of a card's Plotly figure, e.g. "layout.shapes.length", as soon as there is one (0 and null are none)."""
    found = "(card) => document.querySelector(`.st-key-card-${card} .js-plotly-plot`)?."
    return tab.wait_for_function(found + value.replace(".", "?.").replace("[", "?.["), arg=card).json_value()


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
    slider = tab.locator(f".st-key-strength-filter-{run}").get_by_role("slider")
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


def test_a_deep_link_opens_page_run_site_and_epoch(tab):
    tab.goto("/structure?run=demo&site=stage2.1.conv1/filter&epoch=9")
    expect(tab.get_by_text("The network after epoch 9")).to_be_visible()
    expect(tab.get_by_text(re.compile(r"^stage2\.1\.conv1/filter:.*after epoch 9"))).to_be_visible()
    tab.get_by_role("link", name="Speed").click()
    expect(tab.get_by_text("Layer by layer")).to_be_visible()
    tab.get_by_role("link", name="Structure").click()
    expect(tab.get_by_text("The network after epoch 9")).to_be_visible()
    assert "epoch=9" in tab.url and "run=demo" in tab.url


def test_clicking_and_pressing_enter_on_a_block_selects_it_everywhere(tab):
    tab.goto("/structure?run=demo")
    block = tab.get_by_role("button", name=re.compile(r"^Block 2\.2")).first
    expect(block).to_be_visible()
    block.click()
    tab.wait_for_url("**site=stage2.1*")
    other = tab.get_by_role("button", name=re.compile(r"^Block 3\.1")).first
    other.focus()
    other.press("Enter")
    tab.wait_for_url("**site=stage3.0*")


def test_from_the_layer_that_collapsed_first_to_the_kernel_of_a_filter(tab, dashboard):
    ask(Store(dashboard[1]).root, "ready")  # the lane wakes up meanwhile
    tab.goto("/structure?run=demo")
    expect(
        tab.locator(".st-key-card-structure").get_by_text(re.compile("^Stage 2 block 2 went first, at epoch 35"))
    ).to_be_visible()
    plot(tab, "collapses", "data.length")
    mark = tab.locator(".st-key-card-collapses .js-plotly-plot .scatterlayer .trace").nth(3).locator(".point").first
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.wait_for_timeout(300)
    tab.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.wait_for_url(re.compile(r"epoch=3\d"))  # the first death, or the return next to it
    assert "site=stage2.1" in tab.url
    expect(tab.get_by_text(re.compile(r"^The network after epoch 3\d"))).to_be_visible()
    units = tab.locator(".st-key-card-units")
    expect(units.get_by_text("Units of 2.2 conv1")).to_be_visible()
    number = units.get_by_role("spinbutton", name="Filter number")
    number.fill("5")
    number.press("Enter")
    tab.wait_for_url("**unit=5*")
    card = tab.locator(".st-key-card-unit")
    expect(card.get_by_text("Filter 5 of 2.2 conv1")).to_be_visible()
    expect(card.get_by_text(re.compile("^Kernel: a slice for every input channel"))).to_be_visible()
    expect(card.get_by_text(re.compile("^Its factor was 1 at the start"))).to_be_visible()
    square = units.locator(".scatterlayer .point").nth(7)
    square.scroll_into_view_if_needed()
    box = square.bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.wait_for_timeout(300)
    tab.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.wait_for_url(re.compile(r"unit=(?!5\b)\d+"))


def test_scrubbing_moves_title_table_and_address_together(tab):
    tab.goto("/structure?run=demo")
    slider = tab.get_by_role("slider", name="Epoch")
    expect(slider).to_be_visible()
    slider.focus()
    for _ in range(5):
        slider.press("ArrowLeft")
    expect(tab.get_by_text("The network after epoch 115")).to_be_visible()
    tab.wait_for_url("**epoch=115*")


def test_a_click_in_the_run_list_opens_that_run(tab, dashboard):
    from conftest import run_in

    store = Store(dashboard[1])
    first, second = run_in(store, "finished"), run_in(store, "finished")
    tab.goto(f"/live?run={first}")
    expect(tab.get_by_role("heading", name=first)).to_be_visible()
    tab.locator(f".st-key-run-{second}").get_by_role("button").click()
    expect(tab.get_by_role("heading", name=second)).to_be_visible()
    tab.get_by_role("button", name="Recorded demo").click()
    expect(tab.get_by_role("heading", name="Recorded demo")).to_be_visible()
    for run in (first, second):
        store.set_deleted(run, True)


GROWN = "(before) => document.querySelector('.st-key-card-survival .js-plotly-plot')?.data?.[0]?.x?.length > before"
WATCH = """() => {
  window.seen = {frames: 0, blank: 0};
  const nodes = () => [document.querySelector('.st-key-card-accuracy .js-plotly-plot'), document.querySelector('.st-key-card-survival .js-plotly-plot')];
  const tree = () => { for (const el of document.querySelectorAll('.st-key-card-tree *')) { const root = el.shadowRoot; if (root && root.querySelector('svg')) return root.querySelector('svg'); } return null; };
  window.first = [...nodes(), tree()];
  window.same = () => { const now = [...nodes(), tree()]; return now.every((n, i) => n && n === window.first[i] && n.isConnected); };
  const look = () => { window.seen.frames++; const now = [...nodes(), tree()]; if (now.some(n => !n || n.getBoundingClientRect().height < 50)) window.seen.blank++; requestAnimationFrame(look); };
  requestAnimationFrame(look);
}"""


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


@pytest.mark.parametrize(
    "name", ["", "live", "structure", "levels", "what-if", "speed", "trade-offs", "take-away", "glossary"]
)
def test_every_page_shows_the_demo_without_a_traceback_or_a_word_in_the_console(tab, name):
    complaints = []
    tab.on("console", lambda m: complaints.append(m.text) if m.type == "error" and "404" not in m.text else None)
    tab.goto(f"/{name}?run=demo")
    expect(tab.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_be_attached()
    tab.wait_for_timeout(1500)
    assert tab.get_by_test_id("stAlert").count() == 0
    assert not complaints


def test_the_compact_network_can_be_taken_away_as_onnx_checked_first(tab, tmp_path):
    tab.goto("/take-away?run=demo")
    tab.get_by_role("button", name="Make ONNX file").click()
    expect(tab.get_by_text(re.compile("^Compared on 2 images of 11 × 13.*same top-1 for 100 %"))).to_be_visible()
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


def test_brushing_the_trade_offs_fills_the_table_and_stays_while_the_page_goes_on(tab):
    tab.goto("/trade-offs?points=Recorded+evidence&set=digits&net=resnet20")
    card, costs = tab.locator(".st-key-card-tradeoff"), tab.locator(".st-key-card-costs")
    assert plot(tab, "tradeoff", "layout.dragmode") == "select"
    expect(costs.get_by_text(re.compile("^2 points"))).to_be_visible()
    point = card.locator(".scatterlayer .trace .points path").first
    box = point.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    tab.mouse.move(x - 30, y - 40)
    tab.mouse.down()
    tab.mouse.move(x, y, steps=4)
    tab.mouse.move(x + 30, y + 40, steps=4)
    tab.mouse.up()
    expect(costs.get_by_text(re.compile("^1 of 2 points, brushed"))).to_be_visible()
    card.get_by_text("Fade the points it beats").click()
    tab.wait_for_url("**fade=true*")
    expect(costs.get_by_text(re.compile("^1 of 2 points, brushed"))).to_be_visible()
    chosen = "() => [...document.querySelector('.st-key-card-tradeoff .js-plotly-plot').data].filter((t) => t.customdata).map((t) => t.selectedpoints?.length)"
    assert sorted(tab.evaluate(chosen)) == [0, 1]  # the brush is kept, and the other point stands back
    costs.get_by_role("button", name="Show all").click()
    expect(costs.get_by_text(re.compile("^2 points"))).to_be_visible()
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    tab.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(card.get_by_text(re.compile("^(SSS|dense control): test accuracy .* n = 5"))).to_be_visible()


def test_what_the_solvers_do_is_computed_beside_the_page_and_shown_on_two_figures(tab):
    tab.goto("/")
    tab.get_by_text("What the solvers do").click()
    assert plot(tab, "solvers-ssl", "data.length") == 4
    assert plot(tab, "solvers-sss", "data.length") == 8
    expect(tab.locator(".st-key-card-solvers-ssl")).to_contain_text("proximal ends within")
    expect(tab.locator(".st-key-card-solvers-sss")).to_contain_text("subgradient ends within")


def test_a_branch_whose_input_goes_on_beside_it_is_said_so_and_conv_groups_are_counted_as_such(browser, tmp_path):
    from test_components import VIEW

    from app.components.espalier import standalone_html

    block = VIEW["stages"][0]["blocks"][0]
    conv = block["convs"][0] | {"site": "s.0.conv1/group"}
    stage = VIEW["stages"][0] | {"blocks": [block | {"skip": "concat", "convs": [conv]}]}
    alive = {"s.0.conv1/group": VIEW["alive"]["s.0.conv1/filter"], "s.0/block": VIEW["alive"]["s.0/block"]}
    file = tmp_path / "view.html"
    file.write_text(standalone_html(VIEW | {"stages": [stage], "alive": alive}, "dense layers"))
    page = browser.new_page()
    page.goto(file.as_uri())
    box = page.get_by_role("button", name=re.compile("^Block 1.1"))
    box.hover()
    expect(page.get_by_text("its input goes on beside what it adds (concatenation)")).to_be_visible()
    expect(page.get_by_text(re.compile("died at epoch 4.*; its input goes on without it"))).to_be_visible()
    expect(page.get_by_text(re.compile("0 of 16 conv groups alive"))).to_be_visible()
    page.close()


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


def test_a_filter_is_crossed_out_by_hand_its_price_seen_and_the_network_fine_tuned_from_there(tab, dashboard):
    from conftest import DEMO, run_in

    store = Store(dashboard[1])
    run = run_in(store, "finished")
    (store.root / run / "checkpoints").mkdir()
    (store.root / run / "checkpoints" / "00120.safetensors").symlink_to(DEMO / "checkpoints" / "00120.safetensors")
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
    epochs = tab.get_by_role("spinbutton", name="Epochs")
    epochs.fill("1")
    epochs.press("Tab")
    tab.get_by_role("button", name="Fine-tune from here").click()
    expect(tab.get_by_text(re.compile("is queued; the tree below shows it"))).to_be_visible()
    tree = tab.locator(".st-key-card-family-tree")
    expect(tree.get_by_text(re.compile("2 runs in the family, 2 finished.* one seed each"))).to_be_visible()
    expect(tree.get_by_text("2 filters out, 1 epoch")).to_be_visible()
    (tuned,) = [row for row in store.family(run) if row.parent == run]
    assert tuned.result["certificate"]["verdict"] == "exact"
    tree.locator(".js-plotly-plot .points path").nth(1).click(force=True)
    tab.wait_for_url(f"**run={tuned.id}**")
    for row in store.family(run):
        store.set_deleted(row.id, True)
