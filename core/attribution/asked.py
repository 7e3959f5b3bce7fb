"""The networks of a run that can be asked where they look: trained, compact, or every nested level."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from core.cut import cut
from core.data.dataset import Dataset
from core.errors import BadInput
from core.levels import nested_in
from core.nested import extract
from core.nested.knowledge import View
from core.networks.describe import LEVELS


@dataclass(frozen=True)
class Asked:
    """A network to ask, in eval mode: `name` (trained, compact, level 0 …), and what it knows.

    `level`: of a nested one. `full`: what the others are compared with.
    """

    name: str
    network: nn.Module
    view: View
    level: int | None = None
    full: bool = False


def asked_networks(trained: nn.Module, dataset: Dataset, views: list[View]) -> tuple[list[Asked], str]:
    """The networks, what others are compared with first; and a sentence where one that could be expected is not there.

    A nested network gives its levels, full one first; any other itself and what is left after the cut of its zeros.
    """
    if hasattr(trained, LEVELS):
        nested = nested_in(trained, "this run")
        full = nested.num_levels - 1
        return [
            Asked(f"level {k}", extract(nested, k).eval(), views[k], k, k == full) for k in reversed(range(full + 1))
        ], ""
    own = View(dataset)
    found = [Asked("trained", trained, own, full=True)]
    try:
        done = cut(trained, dataset, "")
    except BadInput as problem:
        return found, f"There is no compact network to ask: {problem}."
    if done.plan.nothing_removed:
        return found, "Nothing is exactly zero here, so there is no compact network to ask."
    return [*found, Asked("compact", done.compact.eval(), own)], ""


def class_asked(asked: Asked, full_said: int) -> int | None:
    """The class whose score is explained: the full network's answer in the classes of `asked`; None: it knows other images."""
    if asked.view.own:
        return None
    return full_said if asked.view.of is None else int(torch.as_tensor(asked.view.of)[full_said])
