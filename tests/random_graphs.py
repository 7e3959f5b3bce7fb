"""Random small networks as data: drawn by hypothesis or by a seed. random_graphs_net.py grows the network of a case.

`python tests/random_graphs.py --count 3000 --seed 0 --jobs 1` runs the knife on them (see random_graphs_check.py);
the knife is used nowhere else among these files. A case that is printed can be pasted: it needs nothing but its text.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from random_graphs_steps import HEADS, KINDS, Kind, Pick

PLANES = (((9, 8), (7, 12)), ((8, 10), (12, 6)), ((7, 9), (10, 11)))  # the example's, and another one
IMAGE_CHANNELS = 3


OTHER_KIND = Kind((), lambda form, pick: ("x", {}))  # of a step written by hand: one value, out of place


class Step(NamedTuple):
    """One block of a network. `back`: which earlier values it prefers, 0 the latest that fits, as text of `x`, `y`, `z`."""

    label: str
    text: str
    parts: dict[str, str] = {}  # noqa: RUF012 (a NamedTuple, never changed)
    back: tuple[int, ...] = (0,)

    @property
    def kind(self) -> Kind:
        return (KINDS | HEADS).get(self.label.split(":")[0], OTHER_KIND)


class Case(NamedTuple):
    """A network and its dead parts. `fixed`: it may bake the example's image size in. `share`: of dead units in a layer
    that has any; `whole`: probability that such a layer dies whole. `join`: the head reads every value not read so far."""

    steps: tuple[Step, ...]
    head: Step
    fixed: bool = False
    planes: int = 0
    seed: int = 0
    join: bool = False
    share: float = 0.4
    whole: float = 0.1


# what a network ends in where the head of its case does not fit
OTHER_HEADS = (Step("head: any", "m.f(x.flatten(2).mean(2))", {"f": "nn.Linear(c, 5)"}), Step("map head: x", "x"))


# ---- drawing -------------------------------------------------------------------------------------------------------


def draw_step(kinds: dict[str, Kind], pick: Pick, names: Sequence[str]) -> Step:
    name = pick(names)
    kind = kinds[name]
    form = pick(kind.forms)
    text, parts = kind.draw(form, pick)
    return Step(f"{name}: {form}", text, parts, tuple(pick((0, 0, 0, 1, 2, 3)) for _ in range(max(2, kind.num_values))))


def names_by_weight(kinds: dict[str, Kind]) -> list[str]:
    """Each name as often as its forms and weight ask for, so that a plain choice among them is weighted."""
    return [name for name, kind in kinds.items() for _ in range(round(kind.weight * len(kind.forms)))]


STEP_NAMES, HEAD_NAMES = names_by_weight(KINDS), names_by_weight(HEADS)


def draw_case(pick: Pick, num_steps: int) -> Case:
    steps = [draw_step(KINDS, pick, STEP_NAMES) for _ in range(num_steps)]
    return Case(
        steps=tuple(steps),
        head=draw_step(HEADS, pick, HEAD_NAMES),
        fixed=pick((False, False, True)),
        planes=pick((0, 1, 2)),
        seed=pick(range(1000)),
        join=pick((False, True)),
        share=pick((0.4, 0.2, 0.6)),
        whole=pick((0.1, 0.0, 0.3)),
    )


def random_case(seed: int) -> Case:
    rng = random.Random(seed)
    return draw_case(rng.choice, rng.randint(4, 20))


if __name__ == "__main__":
    from random_graphs_check import main

    main()
