"""What changed from one JSON value to the next, so that a growing figure need not travel whole.

    change := 0                            the same
            | [value]                      another value
            | {"k": n, "a": [...]}         a list of single values: its first n stay, these follow
            | {"n": n, "i": {index: …}}    a list of n objects or lists: changes of some; those at new places are [value]
            | {"o": {key: …}, "x": [...]}  an object: changes of some keys, keys that went

`live_chart.js` puts changes back together.
"""

from __future__ import annotations

from typing import Any

SAME = 0


def change(old: Any, new: Any) -> Any:
    """The change from `old` to `new`, both of dicts with text keys, lists, texts, numbers, booleans and None."""
    if old is new:
        return SAME
    if isinstance(old, dict) and isinstance(new, dict):
        return _of_objects(old, new)
    if isinstance(old, list) and isinstance(new, list) and old and len(new) >= len(old):
        return _of_places(old, new) if isinstance(new[0], (dict, list)) else _of_values(old, new)
    return SAME if type(old) is type(new) and old == new else [new]


def _of_objects(old: dict[str, Any], new: dict[str, Any]) -> Any:
    found = {key: [value] if key not in old else change(old[key], value) for key, value in new.items()}
    told = {key: one for key, one in found.items() if one != SAME}
    gone = [key for key in old if key not in new]
    if not told and not gone:
        return SAME
    return {"o": told, **({"x": gone} if gone else {})}


def _of_places(old: list[Any], new: list[Any]) -> Any:
    found = [change(a, b) for a, b in zip(old, new, strict=False)] + [[value] for value in new[len(old) :]]
    told = {str(index): one for index, one in enumerate(found) if one != SAME}
    return {"n": len(new), "i": told} if told else SAME


def _of_values(old: list[Any], new: list[Any]) -> Any:
    kept = len(old)
    if new[:kept] != old or list(map(type, new[:kept])) != list(map(type, old)):
        kept = next(i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b or type(a) is not type(b))
    if kept == len(new):
        return SAME
    return {"k": kept, "a": new[kept:]} if kept else [new]
