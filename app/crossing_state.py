"""What is crossed out on the What if page: by hand and by a threshold, kept for each run, and in the address.

A unit is crossed out when a hand crossed it, or when it lies beneath the threshold and no hand has kept it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import streamlit as st

from core.crossed import Crossed, beneath, parsed, together, without, written
from core.errors import BadInput

IMPORTANCES = {"l1": "l1 norm", "l2": "l2 norm", "scale": "scale of the norm", "effect": "effect"}
Importance = Literal["l1", "l2", "scale", "effect"]
KEYS = ("cross", "keep", "threshold", "by")
KEPT, SHOWN, PAST, VERSION = "whatif-kept", "whatif-shown", "whatif-past", "whatif-version"
MOST = 2.0  # the largest threshold: twice a layer's mean
MAX_PAST = 50


@dataclass(frozen=True)
class Choice:
    """Units crossed out by hand, units kept by hand from the threshold, the threshold (0: none) and what it ranks by."""

    cross: Crossed = field(default_factory=dict)
    keep: Crossed = field(default_factory=dict)
    threshold: float = 0.0
    by: str = "l1"

    def crossed(self, sites: list[dict[str, Any]]) -> Crossed:
        """All living units that are crossed out, of the `sites` that the lane gives for this importance."""
        low = beneath(sites, self.threshold) if self.threshold else {}
        dead = {row["site"]: [unit for unit, alive in enumerate(row["alive"]) if not alive] for row in sites}
        return without(together(self.cross, without(low, self.keep)), dead)

    def with_site(self, sites: list[dict[str, Any]], site: str, units: list[int]) -> Choice:
        """The same with exactly these units of a site crossed out."""
        low = beneath(sites, self.threshold) if self.threshold else {}
        own = low.get(site, [])
        return replace(
            self,
            cross=without(self.cross, {site: self.cross.get(site, [])}) | _some(site, set(units) - set(own)),
            keep=without(self.keep, {site: self.keep.get(site, [])}) | _some(site, set(own) - set(units)),
        )


def _some(site: str, units: set[int]) -> Crossed:
    return {site: sorted(units)} if units else {}


def choice(run: str, totals: Mapping[str, int]) -> Choice:
    """What is chosen for a run: to begin with what the address says; another page, which clears it, loses nothing."""
    kept: dict[str, Choice] = st.session_state.setdefault(KEPT, {})
    found = kept.get(run, Choice())
    if st.session_state.get(SHOWN) is None and any(key in st.query_params for key in KEYS):
        before = found
        try:
            found = read({key: st.query_params.get(key, "") for key in KEYS}, totals)
        except BadInput as problem:
            st.warning(f"The address could not be read: {problem}.", icon=":material/link_off:")
        if found != before:
            _renew()
    st.session_state[SHOWN] = run
    kept[run] = found
    _address(found, totals)
    return found


def standing(run: str) -> Choice:
    """What is chosen for a run now, as the last click left it."""
    return st.session_state.get(KEPT, {}).get(run, Choice())


def crossed_of(run: str, now: Choice) -> Crossed | None:
    """All that is crossed out; None while it is not known, as the lane has not said yet which units live."""
    if now == Choice(by=now.by):
        return {}
    told = known_units(run, now.by)
    return now.crossed(told["sites"]) if told else None


def known_units(run: str, by: str) -> dict[str, Any] | None:
    """The units of a run, as the lane gave them before."""
    return st.session_state.get(f"whatif-sites-{run}-{by}")


def read(texts: Mapping[str, str], totals: Mapping[str, int]) -> Choice:
    """A choice from the texts of the address; BadInput where they name what is not there."""
    try:
        threshold = float(texts["threshold"] or 0)
    except ValueError:
        threshold = -1.0
    if not 0 <= threshold <= MOST:
        raise BadInput(f"threshold must be a number from 0 to {MOST:g}; got {texts['threshold']!r}")
    by = texts["by"] or "l1"
    if by not in IMPORTANCES:
        raise BadInput(f"by must be one of {', '.join(IMPORTANCES)}; got {by!r}")
    return Choice(parsed(texts["cross"], totals), parsed(texts["keep"], totals), threshold, by)


def version() -> int:
    """A number for the keys of the threshold's widgets: a new one wherever something else than a widget has changed the choice."""
    return int(st.session_state.get(VERSION, 0))


def _renew() -> None:
    st.session_state[VERSION] = version() + 1


def choose(run: str, totals: Mapping[str, int], new: Choice) -> None:
    """Change what is chosen; the way back is kept."""
    kept: dict[str, Choice] = st.session_state.setdefault(KEPT, {})
    past = st.session_state.setdefault(PAST, {}).setdefault(run, [])
    past.append(kept.get(run, Choice()))
    del past[:-MAX_PAST]
    kept[run] = new
    _address(new, totals)


def clear(run: str, totals: Mapping[str, int], by: str) -> None:
    """Take everything back; the way back is kept."""
    choose(run, totals, Choice(by=by))
    _renew()


def undo(run: str, totals: Mapping[str, int]) -> None:
    """Go one change back."""
    past = st.session_state.get(PAST, {}).get(run, [])
    if past:
        st.session_state[KEPT][run] = past.pop()
        _renew()
        _address(st.session_state[KEPT][run], totals)


def can_undo(run: str) -> bool:
    """Whether there is a change to go back over."""
    return bool(st.session_state.get(PAST, {}).get(run))


def _address(now: Choice, totals: Mapping[str, int]) -> None:
    texts = {
        "cross": written(now.cross, totals), "keep": written(now.keep, totals),
        "threshold": f"{now.threshold:g}" if now.threshold else "", "by": "" if now.by == "l1" else now.by,
    }  # fmt: skip
    for key, text in texts.items():
        if text:
            st.query_params[key] = text
        elif key in st.query_params:
            del st.query_params[key]
