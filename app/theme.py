"""The look that every page shares: cards, tiles and spacing, light and dark.

Put ``style()`` once at the top of the page. Colours follow Streamlit's own theme.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import streamlit as st

STYLE = """
<style>
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(168px, 1fr)); gap: 12px; }
.tile { border: 1px solid var(--tile-line); background: var(--tile-card); border-radius: 10px; padding: 9px 15px 10px; min-width: 0; }
.tile span, .tile em { display: block; font-style: normal; font-size: 12.5px; line-height: 1.4; color: var(--tile-soft); text-wrap: pretty; }
.tile strong { display: block; font-size: 23px; line-height: 1.3; font-weight: 680; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.takeaway { color: var(--tile-soft); margin: -6px 0 2px; font-size: 14px; line-height: 1.45; }
div[class*="st-key-under-"] { flex-wrap: nowrap; } div[class*="st-key-under-"] > [data-testid="stElementContainer"] { flex: 1 1 0; min-width: 0; }
.card-title + .takeaway { margin-top: 2px; } [data-testid="stColumn"] .takeaway { margin-top: 0; }
.card-title { font-weight: 650; font-size: 15.5px; line-height: 1.4; margin: 0; color: var(--tile-ink); }
.figure-note { color: var(--tile-soft); margin: 6px 0 0; font-size: 13px; line-height: 1.45; text-wrap: pretty; }
div[class*="st-key-card-"] { position: relative; } div[class*="st-key-card-"]:has(> [class*="-behind"]) .card-title { padding-right: 132px; }
div[class*="st-key-card-"] > [class*="-behind"] { position: absolute; top: 9px; right: 10px; width: auto; } div[class*="st-key-card-"] > [class*="-behind"] button { min-height: 1.7rem; padding: 0 6px; font-size: 13px; }
div[class*="st-key-card-"] { background: var(--tile-card); border-color: var(--tile-line) !important; border-radius: 10px; gap: 0.55rem; }
div[class*="st-key-menu-"] button [data-testid="stMarkdownContainer"] { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
div[class*="st-key-menu-"] { flex-wrap: nowrap; align-items: flex-start; } div[class*="st-key-menu-"] [data-testid="stElementContainer"] { flex: 1 1 0; min-width: 0; }
div[class*="st-key-menu-"] [data-testid="stPopoverButton"] { min-height: 1.4rem; padding: 0 2px; } div[class*="st-key-menu-"] [data-testid="stPopoverButton"] > div > div:last-child { display: none; }
div[class*="st-key-run-card-"] { gap: 0.1rem; } div[class*="st-key-menu-"] [data-testid="stCaptionContainer"] p { font-size: 12px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.st-key-words { gap: 0.2rem 0.4rem; } .st-key-words button { padding: 0 4px; min-height: 1.6rem; font-size: 13px; } .st-key-words [data-testid="stCaptionContainer"] { width: auto; }
.stMainBlockContainer { max-width: 1480px; padding-top: 4.4rem; padding-left: 1.6rem; padding-right: 1.6rem; }
[data-testid="stLayoutWrapper"]:has(> div[class*="st-key-stays-"]) { position: sticky; top: 3.6rem; z-index: 90; background: var(--page); padding: 4px 0; }
[data-testid="stLayoutWrapper"]:has(> .st-key-scripts) { display: none; }
.stVerticalBlock { gap: 0.8rem; }
[data-testid="stCaptionContainer"], [data-testid="stCaptionContainer"] p { color: var(--tile-soft) !important; opacity: 1; }
</style>
"""
LIGHT = "<style>:root { --tile-line: #dfe4de; --tile-card: #ffffff; --tile-soft: #5f6e66; --tile-ink: #22302a; --page: #fbfaf7; }</style>"
DARK = "<style>:root { --tile-line: #2c3638; --tile-card: #1c2325; --tile-soft: #9aa9a2; --tile-ink: #e6ece8; --page: #14191a; } button[kind='primary']:not(:disabled) { color: #0d1a14; }</style>"


DRAWN = "drawn-dark"


def is_dark() -> bool:
    """Whether the person's page is dark now."""
    return st.context.theme.type == "dark"


def style() -> None:
    """Adds the shared style to the page; once per run, near the top."""
    st.session_state[DRAWN] = is_dark()
    st.html(STYLE + (DARK if is_dark() else LIGHT))


def turned() -> bool:
    """Whether the person's page has become dark, or light, since it was drawn."""
    return st.session_state.get(DRAWN, is_dark()) != is_dark()


def kpi_row(tiles: Sequence[tuple[str, str, str]]) -> None:
    """A row of tiles: (label, value, note)."""
    inside = "".join(
        f'<div class="tile"><span>{html.escape(label)}</span><strong>{html.escape(value)}</strong>'
        f'<em title="{html.escape(note)}">{html.escape(note) or "&nbsp;"}</em></div>'
        for label, value, note in tiles
    )
    st.html(f'<div class="tiles">{inside}</div>')


@contextmanager
def card(title: str, sentence: str = "", *, key: str) -> Iterator[Any]:
    """A bordered card that opens with its title and the sentence that says what to see."""
    with st.container(border=True, key=f"card-{key}", height="stretch") as box:
        opening = f'<p class="card-title" role="heading" aria-level="3">{html.escape(title)}</p>'
        st.html(opening + (f'<p class="takeaway">{html.escape(sentence)}</p>' if sentence else ""))
        yield box


def takeaway(sentence: str) -> None:
    """The sentence that says what to see."""
    st.html(f'<p class="takeaway">{html.escape(sentence)}</p>')
