"""Journeys in a real browser: what people see, and how they find their way."""

import re

from on_screen import plot
from playwright.sync_api import expect

from core.runs.lane_client import ask
from core.runs.store import Store


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


def test_the_first_screen_plays_another_recorded_run_and_opens_it(tab):
    tab.goto("/")
    card = tab.locator(".st-key-card-demo")
    expect(card.get_by_text("9 of 9 blocks", exact=False)).to_be_visible()
    card.get_by_text("LeNet loses filters").click()
    expect(card.locator("svg.tree").get_by_text("fc1", exact=True)).to_be_visible()
    card.get_by_role("button", name="Open it").click()
    tab.wait_for_url(re.compile("/live.*run=mnist-filters"))
    expect(tab.get_by_text("A real run of this program, recorded.", exact=False)).to_be_visible()


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
    tab.wait_for_url("**site=stage2.1*")
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


def test_brushing_the_trade_offs_fills_the_table_and_stays_while_the_page_goes_on(tab):
    tab.goto("/trade-offs?points=Recorded+evidence&set=digits&net=resnet20")
    card, costs = tab.locator(".st-key-card-tradeoff"), tab.locator(".st-key-card-costs")
    assert plot(tab, "tradeoff", "layout.dragmode") == "select"
    expect(costs.get_by_text(re.compile("^3 points"))).to_be_visible()
    point = card.locator(".scatterlayer .trace .points path").first
    box = point.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    tab.mouse.move(x - 30, y - 20)
    tab.mouse.down()
    tab.mouse.move(x, y, steps=4)
    tab.mouse.move(x + 30, y + 20, steps=4)
    tab.mouse.up()
    expect(costs.get_by_text(re.compile("^1 of 3 points, brushed"))).to_be_visible()
    card.get_by_text("Fade the points it beats").click()
    tab.wait_for_url("**fade=true*")
    expect(costs.get_by_text(re.compile("^1 of 3 points, brushed"))).to_be_visible()
    chosen = "() => [...document.querySelector('.st-key-card-tradeoff .js-plotly-plot').data].filter((t) => t.customdata).map((t) => t.selectedpoints?.length)"
    assert sorted(tab.evaluate(chosen)) == [0, 0, 1]  # the brush is kept, and the other points stand back
    costs.get_by_role("button", name="Show all").click()
    expect(costs.get_by_text(re.compile("^3 points"))).to_be_visible()
    point.evaluate("point => point.scrollIntoView({block: 'center'})")  # not beneath the page's header
    box = point.bounding_box()
    tab.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(card.get_by_text(re.compile("^(SSS|dense control): test accuracy .* n = 5"))).to_be_visible()


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


def test_the_chart_library_travels_once_a_session_and_again_where_a_page_has_lost_it(tab):
    received, session = [], tab.context.new_cdp_session(tab)
    session.send("Network.enable")
    session.on("Network.webSocketFrameReceived", lambda e: received.append(len(e["response"]["payloadData"])))

    def opened(page, card):
        before = len(received)
        tab.get_by_role("link", name=page, exact=True).click()
        expect(tab.locator(f".st-key-card-{card} .js-plotly-plot")).to_be_visible()
        return sum(received[before:])

    tab.goto("/live?run=demo")
    expect(tab.locator(".st-key-card-accuracy .js-plotly-plot")).to_be_visible()
    assert sum(received) > 1_500_000 > opened("Structure", "survival")
    tab.evaluate("() => { delete window.Plotly; window.plotlyComing = false; }")
    opened(
        "Live", "accuracy"
    )  # it asks, and gets it anew: over the wire, or from what Streamlit still keeps in the page
    assert tab.evaluate("() => typeof window.Plotly") == "object"


def test_the_settings_of_a_preset_open_below_its_row(tab):
    tab.goto("/")
    card = tab.locator(".st-key-card-preset-digits-lenet")
    card.get_by_role("button", name="Settings").click()
    form = tab.get_by_role("button", name="Train with these settings")
    expect(form).to_be_visible()
    top, field = card.bounding_box(), tab.get_by_role("combobox", name="Preset").bounding_box()
    assert 0 < field["y"] - top["y"] - top["height"] < 300, "below the card, not at the end of the page"


def test_a_page_follows_when_the_system_turns_dark_and_light_again(tab):
    tab.emulate_media(color_scheme="light")
    tab.goto("/structure?run=demo")
    expect(tab.get_by_text(re.compile("^The network after epoch"))).to_be_visible()
    colour = "() => getComputedStyle(document.documentElement).getPropertyValue('--tile-card').trim()"
    assert tab.evaluate(colour) == "#ffffff"
    for scheme, card in (("dark", "#1c2325"), ("light", "#ffffff")):
        tab.emulate_media(color_scheme=scheme)
        tab.wait_for_function(f"({colour})() === '{card}'", timeout=15_000)
