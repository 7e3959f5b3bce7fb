"""A run's history as bytes: everything the espalier draws, of all epochs, in one short text that the browser opens.

    text = base64(zlib(length of the head, uint32 | head, JSON | arrays, little-endian, in the order of head["arrays"]))

Arrays, each named with its type and shape in the head:

    counts    uint16 (sites, epochs)  living units, as differences from epoch to epoch, modulo 2^16
    norms     uint8  (sites, epochs)  mean norm of the living units in percent of its start, as differences, modulo 2^8
    flips     uint16 (2, units)       how often a unit became weak or recovered; how often it died or came back
    moments   uint16 (flips)          the epochs of these, unit by unit, first all of the weak

Differences are nearly all zero, so they shrink to a byte or two for every change.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

MAX_FACTORS = 2000
MOST_PERCENT = 255


def packed_bytes(head: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """The head and the arrays as one text."""
    plain = {name: np.ascontiguousarray(a, a.dtype.newbyteorder("<")) for name, a in arrays.items()}
    told = {**head, "arrays": [[name, a.dtype.str[1:], list(a.shape)] for name, a in plain.items()]}
    inside = json.dumps(told, ensure_ascii=False, allow_nan=False).encode()
    inside += b" " * (-len(inside) % 4)
    whole = len(inside).to_bytes(4, "little") + inside + b"".join(a.tobytes() for a in plain.values())
    return base64.b64encode(zlib.compress(whole, 6)).decode()


def counts_of(alive: Mapping[str, Any]) -> np.ndarray:
    """Differences of the living units, (sites, epochs)."""
    counts = np.array([np.asarray(row) for row in alive.values()], dtype="u2").reshape(len(alive), -1 if alive else 0)
    return np.diff(counts, axis=1, prepend=np.zeros((len(counts), 1), "u2"))


def norms_of(norms: Mapping[str, Any]) -> tuple[list[float], np.ndarray]:
    """(start of every site, differences of its percents of that): a norm in percent of its start, 255 for all above."""
    rows = np.array([np.asarray(row, "f8") for row in norms.values()]).reshape(len(norms), -1)
    starts = rows[:, :1]
    share = np.nan_to_num(rows / np.where(starts > 0, starts, 1), posinf=0.0, neginf=0.0)
    percents = np.clip(np.rint(100 * share), 0, MOST_PERCENT).astype("u1")
    return [float(f"{v:.3g}") for v in starts[:, 0]], np.diff(percents, axis=1, prepend=np.zeros((len(rows), 1), "u1"))


def flips_of(units: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(flips, moments) of units' states, {site: (epochs, units) of 0 dead, 1 dying, 2 alive}."""
    states = np.concatenate(list(units.values()), axis=1)
    flips, moments = [], []
    for below in (2, 1):
        flags = (states < below).astype("i1")
        changed = np.diff(flags, axis=0, prepend=np.zeros((1, flags.shape[1]), "i1")) != 0
        flips.append(changed.sum(0))
        moments.append(np.nonzero(changed.T)[1])
    return np.array(flips, "u2"), np.concatenate(moments).astype("u2")
