"""One slide as data: its words, its conditions, and a figure or a tree."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from core.errors import BadInput

LONGEST = 210  # letters of a sentence that still is read on a slide


@dataclass(frozen=True)
class Slide:
    """`sentence`: what to see; `footer`: under which conditions, in lines; `notes`: all that is said, with citations.

    Either `figure`, a Plotly spec of `app.charts` and others, or `espalier`, packed data of the tree; `still`: the tree cannot be scrubbed.
    `native`: how PowerPoint draws the figure itself ("points" or "bars"); empty: only as a picture.
    """

    key: str
    title: str
    sentence: str
    footer: str
    notes: str = ""
    figure: dict[str, Any] | None = None
    espalier: dict[str, Any] | None = None
    still: bool = False
    native: str = ""

    def titled(self, title: str) -> Slide:
        """The same slide with another title; an empty one changes nothing."""
        return replace(self, title=title.strip() or self.title)


def brief(sentence: str, at_most: int = LONGEST) -> str:
    """As many whole sentences from the beginning as fit, the first always."""
    kept = ""
    for part in sentence.replace(". ", ".\n").splitlines():
        if kept and len(kept) + 1 + len(part) > at_most:
            break
        kept = f"{kept} {part}".strip()
    return kept


def arranged(slides: Sequence[Slide], order: Sequence[str], titles: dict[str, str]) -> list[Slide]:
    """The slides of `order`, in that order, with a speaker's own titles; unknown names are left out, and no order means all."""
    known = {slide.key: slide for slide in slides}
    chosen = [known[key] for key in dict.fromkeys(order) if key in known] or list(slides)
    return [slide.titled(titles.get(slide.key, "")) for slide in chosen]


def write(slides: Sequence[Slide], file: Path) -> Path:
    """The slides as a JSON file, for a process of its own."""
    file.write_text(json.dumps([asdict(slide) for slide in slides], ensure_ascii=False), encoding="utf-8")
    return file


def read(file: Path) -> list[Slide]:
    """The slides of such a file. BadInput where it is none."""
    try:
        return [Slide(**slide) for slide in json.loads(file.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(f"the slides must be a JSON list of slides; {file} is not ({error})") from None
