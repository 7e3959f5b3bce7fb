"""`python -m app.talk RUN -o talk.html`: the slides of a run, of a comparison or of a file, as the form that the suffix names."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from app.talk.slide import Slide, read
from core.errors import BadInput, WrongMoment, one_of

FORMS = (".html", ".pptx", ".pdf", ".svg", ".png")


def make(
    what: Annotated[
        str, typer.Argument(help="A run's id, `demo`, NETWORK,DATASET for a comparison, or a JSON file of slides.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The file; its suffix names the form: .html .pptx .pdf .svg .png")
    ],
    slide: Annotated[
        str, typer.Option(help="One slide by its name (dense, died, cut, macs, ms, layers, …); pictures need one.")
    ] = "",
    size: Annotated[
        str, typer.Option(help="slide: 16:9, text of 24 pixels and more at 1280 x 720; column: 89 mm of paper.")
    ] = "slide",
    dark: Annotated[bool, typer.Option("--dark", help="Light on dark; the usual look is fit for print.")] = False,
    runs: Annotated[Path | None, typer.Option(help="Folder of runs (or ESPALIER_RUNS).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")] = False,
) -> None:
    """Write a talk, or one slide of it."""
    if runs is not None:
        os.environ["ESPALIER_RUNS"] = str(runs)
    try:
        slides = slides_of(what)
        if slide:
            slides = [one for one in slides if one.key == slide] or _no_slide(slide, slides)
        write(slides, output, size=size, look="dark" if dark else "light")
    except (BadInput, WrongMoment) as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"the file must be one that can be written; got {output} ({error.strerror}); name another folder")
    names, size_bytes = [one.key for one in slides], output.stat().st_size
    told = json.dumps({"file": str(output), "slides": names, "bytes": size_bytes})
    print(told if as_json else f"{output}: {', '.join(names)}, {size_bytes:,} bytes")


def slides_of(what: str) -> list[Slide]:
    """The slides that a person asks for in a word."""
    if what.endswith(".json"):
        return read(Path(what))
    from app.talk import (
        sources,
    )  # runs, evidence and figures: a job, which has its slides in a file, starts without them

    network, comma, dataset = what.partition(",")
    return sources.of_comparison(network, dataset) if comma else sources.of_run(what)


def write(slides: list[Slide], file: Path, *, size: str = "slide", look: Literal["light", "dark"] = "light") -> None:
    """The file in the form that its suffix names. BadInput where there is no such form, or a picture of several slides is asked for."""
    suffix = file.suffix.lower()
    if suffix not in FORMS:
        raise one_of("the file's suffix", suffix, FORMS)
    if suffix == ".html":
        from app.components.talk import talk_html

        file.write_text(talk_html(slides, slides[0].title, look), encoding="utf-8")
    elif suffix == ".pptx":
        from app.talk import deck

        deck.write(slides, slides[0].title, file)
    else:
        from app.talk import picture

        if size not in picture.SIZES:
            raise one_of("size", size, picture.SIZES)
        how = picture.How(size, look)
        if suffix == ".pdf":
            file.write_bytes(picture.paged(slides, how))
        elif len(slides) > 1:
            raise BadInput(
                f"a picture is of one slide; got {len(slides)}; choose one with --slide: {', '.join(one.key for one in slides)}"
            )
        else:
            file.write_bytes(picture.pictures(slides, [(0, suffix[1:], how)])[0])


def _no_slide(name: str, slides: list[Slide]) -> list[Slide]:
    raise one_of("--slide", name, [one.key for one in slides])


if __name__ == "__main__":
    logging.disable(logging.WARNING)  # streamlit is not served here, and says so
    typer.run(make)
