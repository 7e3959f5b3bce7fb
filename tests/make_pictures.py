"""The three pictures of the README, taken from a dashboard without runs: `python tests/make_pictures.py` writes assets/picture*.png."""

import io
import tempfile
from pathlib import Path

from bench_minute import ROOT, browser_of, serve
from conftest import free_port
from PIL import Image
from playwright.sync_api import expect, sync_playwright

COLOURS, EDGE = 192, 8


def spread(page, *cards):
    """The place of some cards and what lies between them, with a little edge."""
    boxes = [page.locator(f".st-key-card-{card}").bounding_box() for card in cards]
    left, top = min(b["x"] for b in boxes) - EDGE, min(b["y"] for b in boxes) - EDGE
    right, bottom = max(b["x"] + b["width"] for b in boxes), max(b["y"] + b["height"] for b in boxes)
    return {"x": left, "y": top, "width": right + EDGE - left, "height": bottom + EDGE - top}


def keep(page, name, clip=None):
    """A picture with few colours: a third of the bytes, and nobody sees it."""
    taken = Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")
    taken.quantize(COLOURS, dither=Image.Dither.NONE).save(ROOT / "assets" / name, optimize=True)


def network(page):
    """The recorded run, its epochs half through."""
    page.goto("/structure?run=demo&epoch=40")
    expect(page.locator(".st-key-card-structure svg.tree")).to_be_visible()
    page.wait_for_timeout(4000)
    keep(page, "picture.png", spread(page, "structure"))


def collapses(page):
    """What collapsed when, and what lived of every layer."""
    page.goto("/structure?run=demo")
    for card in ("collapses", "survival", "deaths"):
        expect(page.locator(f".st-key-card-{card} .js-plotly-plot .main-svg")).not_to_have_count(0)
    page.wait_for_timeout(4000)
    keep(page, "picture-collapses.png", spread(page, "collapses", "survival", "deaths"))


def lesson(page):
    """A step of a lesson, after a wrong prediction."""
    page.set_viewport_size({"width": 1280, "height": 620})
    page.goto("/learn?lesson=constants&step=2")
    page.get_by_role("button", name="Not at all: the weights were zero").click()
    expect(page.get_by_text("Not this time.")).to_be_visible()
    page.wait_for_timeout(4000)
    keep(page, "picture-lesson.png")


def main():
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        port = free_port()
        server, browser = serve(Path(folder), port), browser_of(playwright)
        try:
            page = browser.new_page(
                viewport={"width": 1280, "height": 2000}, base_url=f"http://127.0.0.1:{port}", color_scheme="light"
            )
            page.set_default_timeout(60_000)
            expect.set_options(timeout=60_000)
            for take in (network, collapses, lesson):
                take(page)
        finally:
            browser.close()
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
