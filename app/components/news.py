"""News: a part of a page that looks often and costs little tells another, which costs more, that it has something new to draw."""

from __future__ import annotations

from pathlib import Path

from app.components.scripts import component

_mount = component("news", js=Path(__file__).with_name("news.js").read_text(encoding="utf-8"))


def tell(name: str, news: str) -> None:
    """In the part that looks: what is known now."""
    _mount(key=f"tells-{name}", data={"name": name, "told": news}, height=1)


def hear(name: str, drawn: str) -> None:
    """In the part that draws: what is drawn now. It is drawn again as soon as something else is told."""
    _mount(key=f"hears-{name}", data={"name": name, "drawn": drawn}, height=1, on_new_change=lambda: None)
