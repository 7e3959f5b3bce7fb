"""Which layer of a stranger's file is which of ours, by shape together with order, numbers and words in the names.

The tensors of one module are one layer. Layers of one shape are told apart by the order of the file, by numbers in their
names (`layer2.0.bn1` comes before `layer2.0.bn2`) and by words for a shortcut; where these contradict each other or say
nothing, the match is refused: a wrong one would compute nonsense in silence.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import NoReturn

from torch import Tensor

from core.errors import BadInput

COUNTER = "num_batches_tracked"  # of BatchNorm: no part of the function computed, and absent from old files
SHORTCUT = re.compile(r"shortcut|downsample|skip|proj")
KINDS = {4: "convolution", 2: "linear layer"}  # axes of the weight
Key = Callable[["Layer"], object]


@dataclass(frozen=True)
class Layer:
    """The tensors of one module: its path, and (name, shape) of each, sorted; counters of batches left out."""

    path: str
    shapes: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def is_shortcut(self) -> bool:
        return SHORTCUT.search(self.path.lower()) is not None

    @property
    def is_at_the_top(self) -> bool:
        return "." not in self.path

    def __str__(self) -> str:
        shapes = dict(self.shapes)
        kind = KINDS.get(len(shapes.get("weight", ())), "layer")
        told = f"{kind}: {', '.join(f'{leaf} {shape}' for leaf, shape in reversed(self.shapes))}"
        if "running_mean" in shapes and len(set(shapes.values())) == 1:
            told = f"norm of {shapes['running_mean'][0]}"
        return f"{self.path or 'the outermost module'} ({told})"


def layers_of(tensors: Mapping[str, Tensor]) -> list[Layer]:
    """The layers of a state dict, in the order in which they first appear."""
    found: dict[str, dict[str, tuple[int, ...]]] = defaultdict(dict)
    for key, tensor in tensors.items():
        path, _, leaf = key.rpartition(".")
        if leaf != COUNTER:
            found[path][leaf] = tuple(tensor.shape)
    return [Layer(path, tuple(sorted(shapes.items()))) for path, shapes in found.items()]


def paired(ours: list[Layer], theirs: list[Layer], has_order: bool, name: str) -> list[tuple[Layer, Layer]]:
    """(ours, theirs), one to one; both have the same shapes equally often. BadInput where several ways fit.

    `has_order`: whether the order of `theirs` is one in which a program made them, not that of the alphabet.
    """
    if has_order and _shapes(ours) == _shapes(theirs) and _words_agree(ours, theirs):
        for first, second in _alike(theirs, lambda x: x.shapes):
            if comes_first(second.path, first.path):
                _refuse(first, second, "the file and the numbers in their names order them differently", name)
        return list(zip(ours, theirs, strict=True))
    hint = _hint(ours, theirs)
    for first, second in _alike(theirs, hint):
        if comes_first(first.path, second.path) is None:
            _refuse(first, second, "neither the file's order nor their names tell which comes first", name)
    numbered = sorted(theirs, key=lambda x: _tokens(x.path))
    blind = _num_shortcuts(ours) != _num_shortcuts(theirs)
    if blind and _shapes(numbered) != _shapes(ours):
        lost = next(x for x in (*ours, *theirs) if x.is_shortcut)
        raise BadInput(
            f"{name} must tell shortcuts from other layers, by name or by the network's order; got neither, so what is "
            f"{lost.path} in one is unknown in the other; rename the tensors as the network names its own"
        )
    places: dict[object, list[Layer]] = defaultdict(list)
    for layer in reversed(numbered):
        places[hint(layer)].append(layer)
    return [(layer, places[hint(layer)].pop()) for layer in ours]


def comes_first(a: str, b: str) -> bool | None:
    """Whether path `a` comes before `b` by the first number in which they differ; None where words differ first."""
    pair = next(((x, y) for x, y in zip(_tokens(a), _tokens(b), strict=False) if x != y), None)
    if pair is None or pair[0][1] or pair[1][1]:
        return None
    return pair[0][0] < pair[1][0]


def _tokens(path: str) -> list[tuple[int, str]]:
    """Numbers and words of a path, in a form that sorts: `layer2.0` is (0, layer) (2, '') (0, .) (0, '')."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.findall(r"\d+|\D+", path)]


def _shapes(layers: list[Layer]) -> list[object]:
    return [layer.shapes for layer in layers]


def _num_shortcuts(layers: list[Layer]) -> int:
    return sum(layer.is_shortcut for layer in layers)


def _words_agree(ours: list[Layer], theirs: list[Layer]) -> bool:
    """Whether the names call the same places shortcuts, or theirs name none."""
    pairs = zip(ours, theirs, strict=True)
    return not _num_shortcuts(theirs) or all(a.is_shortcut == b.is_shortcut for a, b in pairs)


def _hint(ours: list[Layer], theirs: list[Layer]) -> Key:
    """What tells layers apart before their order does: the shape, and each hint that splits both sides alike."""
    choices: tuple[Key, ...] = (
        lambda x: (x.shapes, x.is_shortcut, x.is_at_the_top),
        lambda x: (x.shapes, x.is_shortcut),
        lambda x: (x.shapes, x.is_at_the_top),
    )
    return next((key for key in choices if Counter(map(key, ours)) == Counter(map(key, theirs))), lambda x: x.shapes)


def _alike(layers: list[Layer], key: Key) -> Iterable[tuple[Layer, Layer]]:
    """Every two layers that `key` does not tell apart, in their order."""
    groups: dict[object, list[Layer]] = defaultdict(list)
    for layer in layers:
        groups[key(layer)].append(layer)
    return (pair for group in groups.values() for pair in combinations(group, 2))


def _refuse(first: Layer, second: Layer, why: str, name: str) -> NoReturn:
    raise BadInput(
        f"{name} must match in one way only; got {first} and {second.path} of the same shapes, and {why}; "
        "rename the tensors as the network names its own"
    )
