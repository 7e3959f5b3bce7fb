"""Slides as PNG, SVG and PDF, drawn by a browser without a window: the page is the talk's own HTML.

The driver is choreographer (Plotly's, 2024-2026); the browser is Chromium or Chrome as the machine has it.
"""

from __future__ import annotations

import asyncio
import base64
import html
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import choreographer
from choreographer.browsers import Chromium

from app.components.talk import talk_html
from app.talk.slide import Slide
from core.errors import BadInput, WrongMoment

NO_BROWSER = (
    "pictures (PNG, SVG, PDF) and slide decks are drawn by a browser, and none was found here; install Chromium or Chrome "
    "(`apt-get install -y chromium`), or set BROWSER_PATH to its program; HTML and CSV work without one"
)
SIZES = {"slide": (1280, 720), "column": (720, 0)}
"""Width and height that text is set for; without a height the text decides. A column is 89 mm wide on paper."""
INCHES = {"slide": 1280 / 96, "column": 89 / 25.4}
DENSITY = {"slide": 2.0, "column": 3.0}  # pixels of a PNG for each of its units: 2560 wide, and 616 an inch
KINDS = ("svg", "png", "pdf")
LIMIT_S = 60.0  # to start a browser; and a tenth of it for each picture


@dataclass(frozen=True)
class How:
    """How a slide is drawn: for a slide or a paper's column, light or dark; `bare`: the figure alone, of so many units."""

    size: str = "slide"
    look: str = "light"
    bare: tuple[int, int] | None = None


def browser() -> str:
    """The program of a browser: BROWSER_PATH, CHROMIUM, or what has one of the usual names and places. WrongMoment where there is none."""
    for name in ("BROWSER_PATH", "CHROMIUM"):
        if path := os.environ.get(name):
            if Path(path).is_file():
                return path
            raise BadInput(
                f"{name} must name the program of a browser; got {path!r}, which is no file; HTML and CSV work without a browser"
            )
    found = Chromium.find_browser(skip_local=False)
    if found is None or not Path(found).is_file():
        raise WrongMoment(NO_BROWSER)
    return found


def pictures(slides: Sequence[Slide], wanted: Sequence[tuple[int, str, How]]) -> list[bytes]:
    """A file for each of `wanted`: (number of the slide, kind, how)."""
    limit = LIMIT_S * (1 + 0.1 * len(wanted))
    try:
        return asyncio.run(asyncio.wait_for(_drawn(slides, wanted, browser()), limit))
    except TimeoutError:
        raise WrongMoment(
            f"the browser did not finish within {limit:.0f} s; close what keeps the machine busy and try again"
        ) from None


def paged(slides: Sequence[Slide], how: How) -> bytes:
    """All slides as one PDF, a slide a page."""
    return pictures(slides, [(-1, "pdf", how)])[0]


async def _drawn(slides: Sequence[Slide], wanted: Sequence[tuple[int, str, How]], program: str) -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        async with choreographer.Browser(path=program) as window:
            tabs: dict[str, Any] = {}
            done = []
            for number, kind, how in wanted:
                if how.look not in tabs:
                    page = Path(folder) / f"{how.look}.html"
                    page.write_text(talk_html(slides, "Espalier", how.look, pictures=True), encoding="utf-8")
                    tabs[how.look] = await _opened(window, page, "Boolean(window.drawSlide)")
                numbers = range(len(slides)) if number < 0 else [number]
                sheets = [await _sheet(tabs[how.look], one, how) for one in numbers]
                done.append(
                    await _as(kind, sheets, slides[max(0, number)].title, how, tabs[how.look], window, Path(folder))
                )
            return done


async def _opened(window: Any, page: Path, ready: str) -> Any:
    tab = await window.create_tab(page.as_uri())
    there = f"location.protocol === 'file:' && document.readyState === 'complete' && ({ready})"  # a new tab is complete, and empty
    while not await _value(tab, there):
        await asyncio.sleep(0.05)
    return tab


async def _sheet(tab: Any, number: int, how: How) -> str:
    """The SVG of a slide."""
    wide, tall = how.bare or SIZES[how.size]
    about = {"wide": wide, "tall": tall, "look": how.look, "bare": how.bare is not None}
    return await _value(tab, f"window.drawSlide({number}, {json.dumps(about)})")


async def _as(kind: str, sheets: list[str], title: str, how: How, tab: Any, window: Any, folder: Path) -> bytes:
    if kind == "svg":
        return _sized(sheets[0], how).encode()
    if kind == "png":
        return base64.b64decode(await _value(tab, f"({RASTER})({json.dumps(sheets[0])}, {DENSITY[how.size]})"))
    page = folder / "print.html"
    page.write_text(_printed(sheets, title, how), encoding="utf-8")
    printing = await _opened(window, page, "true")
    answer = await printing.send_command("Page.printToPDF", {"printBackground": True, "preferCSSPageSize": True})
    await window.close_tab(printing.target_id)
    return base64.b64decode(answer["result"]["data"])


RASTER = """async (text, density) => {
  const image = new Image();
  image.src = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  await image.decode();
  const sheet = Object.assign(document.createElement("canvas"), { width: image.width * density, height: image.height * density });
  sheet.getContext("2d").drawImage(image, 0, 0, sheet.width, sheet.height);
  return sheet.toDataURL("image/png").split(",")[1];
}"""


def _shape(sheet: str) -> tuple[float, float]:
    """Width and height of an SVG in its own units."""
    _, _, wide, tall = sheet.split('viewBox="', 1)[1].split('"', 1)[0].split()
    return float(wide), float(tall)


def _sized(sheet: str, how: How) -> str:
    """A column's SVG with its size on paper."""
    if how.size == "slide" or how.bare:
        return sheet
    wide, tall = _shape(sheet)
    head, rest = sheet.split(">", 1)
    head = head.replace(f'width="{wide:g}"', 'width="89mm"').replace(
        f'height="{tall:g}"', f'height="{89 * tall / wide:.2f}mm"'
    )
    return f"{head}>{rest}"


def _printed(sheets: list[str], title: str, how: How) -> str:
    """A page that prints each SVG on a sheet of its own size."""
    wide, tall = _shape(sheets[0])
    inches = INCHES[how.size]
    style = f"@page {{ size: {inches:.4f}in {inches * tall / wide:.4f}in; margin: 0 }} body {{ margin: 0 }} body > svg {{ display: block; width: 100vw; height: auto; break-after: page }} body > svg:last-child {{ break-after: auto }}"
    return f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title><style>{style}</style></head><body>{"".join(sheets)}</body></html>'


async def _value(tab: Any, expression: str) -> Any:
    """What an expression gives on a page."""
    answer = await tab.send_command(
        "Runtime.evaluate", {"expression": expression, "awaitPromise": True, "returnByValue": True}
    )
    result = answer.get("result", {})
    if "exceptionDetails" in result or "error" in answer:
        told = result.get("exceptionDetails", {}).get("exception", {}).get("description") or str(answer.get("error"))
        raise RuntimeError(f"the page could not draw it: {told.splitlines()[0]}")
    return result["result"].get("value")
