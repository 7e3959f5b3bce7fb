"""A talk as a PowerPoint file: titles and sentences to edit, conditions in the notes, figures as pictures or as PowerPoint's own charts.

The library is python-pptx (Canny, 2013-2024). Lengths are the slide's pixels, 1280 x 720 on 13.33 x 7.5 inches.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pptx import Presentation
from pptx.dml.color import RGBColor
from pptx.enum.text import MSO_ANCHOR
from pptx.util import Emu, Pt

from app.talk import deck_charts
from app.talk.picture import How, pictures
from app.talk.slide import Slide

PX = 9525  # a slide's pixel in PowerPoint's own unit
SIDE, WIDE, TALL = 48, 1280, 720
INK, SOFT = RGBColor(0x1B, 0x26, 0x22), RGBColor(0x4F, 0x5D, 0x56)
FONT, TITLE_ONLY = "Arial", 5  # the template's layout with a title and nothing else
SAY, SAY_MUCH, FOOT = 24, 20, 18  # points of a sentence, of a long one above a tree, and of conditions
LONG_TITLE = 54  # letters of a title that fit in a line
LETTERS = {SAY: 76, SAY_MUCH: 92, FOOT: 100}  # in a line of the slide, at so many points
Draw = Callable[[Sequence[Slide], Sequence[tuple[int, str, How]]], list[bytes]]


def deck(slides: Sequence[Slide], title: str, draw: Draw = pictures) -> bytes:
    """The file. `draw` makes the pictures of what PowerPoint cannot draw itself."""
    wanted = [
        (k, "png", How(bare=(WIDE - 2 * SIDE, _room(slide)[1])))
        for k, slide in enumerate(slides)
        if not deck_charts.fits(slide)
    ]
    drawn = dict(zip([k for k, _, _ in wanted], draw(slides, wanted) if wanted else [], strict=True))
    show = Presentation()
    show.slide_width, show.slide_height = Emu(WIDE * PX), Emu(TALL * PX)
    show.core_properties.title, show.core_properties.author = title, "Espalier"
    for k, slide in enumerate(slides):
        _page(show, slide, drawn.get(k))
    out = io.BytesIO()
    show.save(out)
    return out.getvalue()


def write(slides: Sequence[Slide], title: str, file: Path) -> None:
    """The file at its place."""
    file.write_bytes(deck(slides, title))


def _room(slide: Slide) -> tuple[int, int]:
    """Top and height of the figure between the words."""
    points = _points(slide)
    top = 96 + (40 if points == SAY else 36) * _lines(slide.sentence, points) + 8
    return top, TALL - top - 12 - 32 * _lines(slide.footer, FOOT) - 16


def _points(slide: Slide) -> int:
    """A sentence's letters: a tree below a third line would be drawn smaller than its names can be read."""
    return SAY_MUCH if slide.espalier and _lines(slide.sentence, SAY) > 2 else SAY


def _lines(text: str, points: int) -> int:
    return sum(max(1, math.ceil(len(line) / LETTERS[points])) for line in text.splitlines() if line)


def _page(show: Any, slide: Slide, picture: bytes | None) -> None:
    page = show.slides.add_slide(show.slide_layouts[TITLE_ONLY])
    top, tall = _room(slide)
    head = page.shapes.title
    head.left, head.top, head.width, head.height = (Emu(v * PX) for v in (SIDE, 24, WIDE - 2 * SIDE, 68))
    _say(head.text_frame, slide.title, 32 if len(slide.title) <= LONG_TITLE else 24, INK, bold=True)
    sentence = page.shapes.add_textbox(*(Emu(v * PX) for v in (SIDE, 92, WIDE - 2 * SIDE, top - 96)))
    sentence.name = "Sentence"
    _say(sentence.text_frame, slide.sentence, _points(slide), INK)
    if picture is None:
        frame = deck_charts.add(page, slide, *(Emu(v * PX) for v in (SIDE, top, WIDE - 2 * SIDE, tall)))
    else:
        frame = page.shapes.add_picture(io.BytesIO(picture), *(Emu(v * PX) for v in (SIDE, top, WIDE - 2 * SIDE, tall)))
    frame._element.xpath(".//p:cNvPr")[0].set("descr", (slide.figure or {}).get("alt") or slide.sentence)
    low = 32 * _lines(slide.footer, FOOT) + 8
    foot = page.shapes.add_textbox(*(Emu(v * PX) for v in (SIDE, TALL - low - 12, WIDE - 2 * SIDE, low)))
    foot.name = "Conditions"
    _say(foot.text_frame, slide.footer, FOOT, SOFT)
    page.notes_slide.notes_text_frame.text = slide.notes or f"{slide.sentence}\n{slide.footer}"


def _say(frame: Any, text: str, points: int, colour: RGBColor, *, bold: bool = False) -> None:
    """Text in a box without margins, from its top left."""
    frame.word_wrap, frame.vertical_anchor = True, MSO_ANCHOR.MIDDLE if bold else MSO_ANCHOR.TOP
    frame.margin_left = frame.margin_right = frame.margin_top = frame.margin_bottom = 0
    frame.text = text
    for paragraph in frame.paragraphs:
        paragraph.alignment = 1  # left
        for run in paragraph.runs:
            run.font.size, run.font.bold, run.font.name = Pt(points), bold, FONT
            run.font.color.rgb = colour
