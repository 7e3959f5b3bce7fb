"""What if: the threshold, the layers, their units as squares to cross out, the blocks, undo and clear."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import streamlit as st

from app import sentences, theme, whatif_words
from app.app_pages import parts
from app.asking import answer
from app.components.unit_board import Cell, unit_board
from app.crossing_state import IMPORTANCES, MOST, Choice, can_undo, choice, choose, clear, undo, version
from app.runs import view_of
from app.selection import select, selected_number, selection
from core.crossed import KINDS, Crossed, beneath

TURN, CHANGED = "whatif-turn", "whatif-changed"
MOST_NAMED = 12  # sites in the line that says what is crossed out


def board(run: str) -> None:
    """The card; a change draws the whole page again, for the price stands elsewhere."""
    if st.session_state.pop(CHANGED, False):
        st.rerun()
    totals = {site["site"]: site["total"] for site in view_of(run).sites if site["kind"] in KINDS}
    now = choice(run, totals)
    with theme.card(
        "Cross out",
        "Squares are units: the stronger the colour, the more important in its layer. Click one, or use arrow keys and space.",
        key="whatif-board",
    ):
        told = answer(run, "whatif-units", "units", importance=now.by)
        fresh = f"whatif-sites-{run}-{now.by}"
        if told is not None and fresh not in st.session_state:
            st.session_state[fresh] = told
            if now != Choice(by=now.by):
                st.rerun()  # only now is it known what is crossed out
        if told is None:
            st.skeleton(height=220)
            return
        sites = told["sites"]
        crossed = now.crossed(sites)
        _threshold(run, totals, now, sites)
        _layer(run, totals, now, sites, crossed)
        _blocks(run, totals, now, sites, crossed)
        st.caption(crossed_words(crossed) or "Nothing is crossed out yet.")
        _back(run, totals, now, crossed)


def _threshold(run: str, totals: dict[str, int], now: Choice, sites: list[dict[str, Any]]) -> None:
    left, right = st.columns([2, 3], gap="medium", vertical_alignment="bottom")
    by, low = f"whatif-by-{run}-{version()}", f"whatif-threshold-{run}-{version()}"
    left.selectbox(
        "Importance", list(IMPORTANCES), list(IMPORTANCES).index(now.by), key=by, format_func=IMPORTANCES.__getitem__, on_change=_by, args=(run, totals, by),
        help="l1 and l2: of a unit's weights. Scale: of the norm behind it. Effect: l2 × |scale| / σ, what it lets through. Each over its layer's mean.",
    )  # fmt: skip
    right.slider(
        "Threshold: units go whose importance is at most so many times their layer's mean", 0.0, MOST, now.threshold, step=0.05, key=low,
        on_change=_low, args=(run, totals, low),
    )  # fmt: skip
    if now.threshold:
        below = beneath(sites, now.threshold)
        if not below:
            st.caption(f"The threshold crosses out nothing: {least_words(sites)}")
            return
        kept = sum(len(set(units) & set(below.get(site, []))) for site, units in now.keep.items())
        words = f"The threshold crosses out {whatif_words.counted(below)}" + (
            f"; {kept} of them you keep by hand." if kept else "."
        )
        st.caption(words)


def least_words(sites: list[dict[str, Any]]) -> str:
    """Where the least important living unit stands."""
    scores = [
        (score, row["site"])
        for row in sites
        for score, alive in zip(row["importance"] or [], row["alive"], strict=False)
        if alive
    ]
    if not scores:
        return "no living unit has an importance."
    score, site = min(scores)
    return f"the least important living unit, in {parts.short(site)}, has {score:.2f} × its layer's mean."


def _by(run: str, totals: dict[str, int], key: str) -> None:
    _change(run, totals, replace(choice(run, totals), by=st.session_state[key]))


def _low(run: str, totals: dict[str, int], key: str) -> None:
    _change(run, totals, replace(choice(run, totals), threshold=round(st.session_state[key], 2)))


def _layer(run: str, totals: dict[str, int], now: Choice, sites: list[dict[str, Any]], crossed: Crossed) -> None:
    """The chosen layer and its units."""
    rows = {row["site"]: row for row in sites if row["kind"] != "block"}
    if not rows:
        st.caption("No layer of this network has units that can be crossed out one by one.")
        return
    site = chosen_site(list(rows))
    key = f"whatif-layer-{run}-{site}"  # a new choice elsewhere shows here
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    left.selectbox(
        "Layer", list(rows), list(rows).index(site), key=key, format_func=lambda s: layer_words(rows[s]),
        on_change=lambda: select(site=st.session_state[key], unit=None),
    )  # fmt: skip
    row, out = rows[site], set(crossed.get(site, []))
    noun = whatif_words.NOUNS[row["kind"]]
    living = [unit for unit, alive in enumerate(row["alive"]) if alive]
    whole = bool(living) and out.issuperset(living)
    right.button(
        f"Take all {noun}s back" if whole else f"Cross out all {noun}s", key="whatif-whole", width="stretch", disabled=bool(row["closed"]) or not living,
        on_click=_change, args=(run, totals, now.with_site(sites, site, [] if whole else living)),
    )  # fmt: skip
    if row["closed"]:
        st.caption(f"These cannot be crossed out: {row['closed']}.")
        return
    unit_board(
        cells_of(row, out, selected_number("unit")), of=site, label=f"{sentences.plural(row['total'], noun)} of {parts.short(site)}", dark=theme.is_dark(),
        turn=st.session_state.get(TURN, 0), key="whatif-units-board", on_crossed=partial(_clicked, run, totals, now, sites),
    )  # fmt: skip
    dead = row["total"] - len(living)
    gone = f" {dead} dashed: dead since training, they leave in any case." if dead else ""
    st.caption(f"{site}: {len(out)} of {sentences.plural(len(living), f'living {noun}')} crossed out.{gone}")


def chosen_site(sites: list[str]) -> str:
    """The selected site where its units can be crossed out; of a selected block its first layer; else the first."""
    wanted = selection().get("site") or ""
    inside = (
        [site for site in sites if site.startswith(f"{wanted.rpartition('/')[0]}.")]
        if wanted.endswith("/block")
        else []
    )
    return wanted if wanted in sites else (inside or sites)[0]


def layer_words(row: dict[str, Any]) -> str:
    """`1.1 conv1, 16 filters`; the words of a choice must not change while it is open."""
    living = sum(row["alive"])
    noun = whatif_words.NOUNS[row["kind"]]
    return f"{parts.short(row['site'].partition('/')[0])}, {sentences.plural(living, f'living {noun}') if living else 'dead'}"


def crossed_words(crossed: Crossed) -> str:
    """`Crossed out so far: 1.1 conv1 (4), block 2.2.`; nothing where nothing is."""
    words = [
        f"block {parts.short(site).partition(' ')[0]}"
        if site.endswith("/block")
        else f"{parts.short(site)} ({len(units)})"
        for site, units in crossed.items()
    ]
    return (
        f"Crossed out so far: {', '.join(words[:MOST_NAMED])}{', …' if len(words) > MOST_NAMED else ''}."
        if words
        else ""
    )


def cells_of(row: dict[str, Any], out: set[int], picked: int | None) -> list[Cell]:
    """The squares of a site."""
    noun, scores = whatif_words.NOUNS[row["kind"]], row["importance"] or [1.0] * row["total"]
    most, cells = max(scores) or 1.0, []
    for unit, (score, alive) in enumerate(zip(scores, row["alive"], strict=True)):
        state = "dead since training" if not alive else "crossed out" if unit in out else "kept"
        label = f"{noun} {unit}: importance {score:.2f} × its layer's mean, {state}"
        share = 0.08 + 0.92 * score / most
        cells.append(
            Cell(label, crossed=unit in out and alive, dead=not alive, share=round(share, 3), picked=unit == picked)
        )
    return cells


def _clicked(run: str, totals: dict[str, int], now: Choice, sites: list[dict[str, Any]]) -> None:
    """A click on a square: what is crossed out of its site now."""
    clicked = st.session_state["whatif-units-board"].crossed
    if clicked:
        st.session_state[TURN] = clicked["turn"]
        select(site=clicked["of"], unit=clicked["cell"])
        _change(run, totals, now.with_site(sites, clicked["of"], clicked["crossed"]))


def _blocks(run: str, totals: dict[str, int], now: Choice, sites: list[dict[str, Any]], crossed: Crossed) -> None:
    """The residual blocks, one square each."""
    rows = [row for row in sites if row["kind"] == "block"]
    if not rows:
        return
    st.markdown("**Blocks** :small[(the skip path of a crossed one stays)]")
    cells = []
    for row in rows:
        name, alive, out = parts.short(row["site"]).partition(" ")[0], row["alive"][0], row["site"] in crossed
        state = "dead since training" if not alive else "crossed out" if out else "kept"
        cells.append(Cell(f"block {name}: {state}", crossed=out and alive, dead=not alive, name=name))
    unit_board(
        cells, of="blocks", label="Residual blocks", dark=theme.is_dark(), turn=st.session_state.get(f"{TURN}-blocks", 0), key="whatif-blocks-board",
        on_crossed=partial(_block_clicked, run, totals, now, [row["site"] for row in rows]),
    )  # fmt: skip


def _block_clicked(run: str, totals: dict[str, int], now: Choice, blocks: list[str]) -> None:
    clicked = st.session_state["whatif-blocks-board"].crossed
    if clicked:
        st.session_state[f"{TURN}-blocks"] = clicked["turn"]
        select(site=blocks[clicked["cell"]], unit=None)
        out = {blocks[index]: [0] for index in clicked["crossed"]}
        _change(
            run,
            totals,
            replace(now, cross={site: units for site, units in now.cross.items() if site not in blocks} | out),
        )


def _back(run: str, totals: dict[str, int], now: Choice, crossed: Crossed) -> None:
    one, two, three = st.columns([1, 1, 2])
    one.button(
        "Undo", key="whatif-undo", icon=":material/undo:", width="stretch", disabled=not can_undo(run), on_click=_undo, args=(run, totals)
    )  # fmt: skip
    two.button(
        "Clear", key="whatif-clear", icon=":material/ink_eraser:", width="stretch", disabled=not crossed and not now.threshold,
        on_click=_clear, args=(run, totals, now.by),
    )  # fmt: skip
    three.caption("The address holds all of it: copy it to share this what-if.")


def _undo(run: str, totals: dict[str, int]) -> None:
    undo(run, totals)
    st.session_state[CHANGED] = True


def _clear(run: str, totals: dict[str, int], by: str) -> None:
    clear(run, totals, by)
    st.session_state[CHANGED] = True


def _change(run: str, totals: dict[str, int], new: Choice) -> None:
    choose(run, totals, new)
    st.session_state[CHANGED] = True
