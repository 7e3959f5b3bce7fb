"""Weights under a network's own names, in its own types: by name where the names agree, else as `weightorder` pairs them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

import torch
from torch import Tensor, nn

from core.errors import BadInput
from core.weightorder import COUNTER, Layer, layers_of, paired


@dataclass(frozen=True)
class Matched:
    """Tensors under the network's names, in its types; `renamed`: module in the file -> module here, where they differ."""

    tensors: dict[str, Tensor]
    renamed: dict[str, str]


def load_into(network: nn.Module, tensors: dict[str, Tensor], name: str = "the weights") -> Matched:
    """Put `tensors` into `network`, in place; returns what was matched. Where it raises, the network is as it was."""
    matched = match(network, tensors, name)
    network.load_state_dict(matched.tensors)
    return matched


def match(network: nn.Module, tensors: dict[str, Tensor], name: str = "the weights") -> Matched:
    """Each of `tensors` at its place in `network`, one to one; messages call them `name`.

    Raises BadInput, naming tensors and shapes, where some are missing or too many, hold no finite numbers, or where
    more than one way to match them fits.
    """
    own = network.state_dict()
    ours, theirs = layers_of(own), layers_of(tensors)
    if set(ours) == set(theirs):
        pairs = [(layer, layer) for layer in ours]
    elif Counter(x.shapes for x in ours) == Counter(x.shapes for x in theirs):
        pairs = paired(ours, theirs, list(tensors) != sorted(tensors), name)
    else:
        _refuse(own, tensors, name)
    found = {}
    for mine, other in pairs:
        for leaf, _ in mine.shapes:
            key, source = _key(mine.path, leaf), _key(other.path, leaf)
            found[key] = _converted(tensors[source], own[key], source, name)
        if (key := _key(mine.path, COUNTER)) in own:
            counted = tensors.get(_key(other.path, COUNTER), own[key])
            found[key] = counted.to(own[key].dtype).reshape(()) if counted.numel() == 1 else own[key]
    renamed = {other.path: mine.path for mine, other in pairs if other.path != mine.path}
    return Matched({key: found[key] for key in own}, renamed)


def in_words(renamed: Mapping[str, str], shown: int = 3) -> str:
    """What a match by order did, for people: `matched 'linear' -> 'fc', …`; empty where the names were the same."""
    pairs = [f"{theirs!r} -> {ours!r}" for theirs, ours in renamed.items()]
    return f"matched {_some(pairs, shown)}, by shape and order" if pairs else ""


def classes_and_channels(tensors: Mapping[str, Tensor], name: str = "the weights") -> tuple[int, int]:
    """How many classes the last linear layer tells apart, and how many channels the first convolution takes.

    Of a perceptron: how many square images its first layer's inputs are, one or three. Raises BadInput where neither can be told.
    """
    convs, linears = ([t for t in tensors.values() if t.dim() == axes] for axes in (4, 2))
    if not linears:
        what = "a linear layer (a tensor of 2 axes)"
        raise BadInput(f"{name} must hold {what}, to tell classes and channels; got none; pass a whole state_dict")
    first, last = linears[0], linears[-1]
    if list(tensors) == sorted(tensors):  # no order to go by: what one layer gives another takes
        taken, given = {t.shape[1] for t in linears}, {t.shape[0] for t in linears}
        last = next((t for t in reversed(linears) if t.shape[0] not in taken), last)
        first = next((t for t in linears if t.shape[1] not in given), first)
        convs = sorted(convs, key=lambda t: t.shape[1])  # images have fewer channels than any layer inside
    if convs:
        return last.shape[0], convs[0].shape[1]
    inputs = first.shape[1]
    channels = next((c for c in (1, 3) if inputs % c == 0 and math.isqrt(inputs // c) ** 2 == inputs // c), None)
    if channels is None:
        raise BadInput(
            f"{name} must hold a convolution (a tensor of 4 axes), or a first linear layer that takes the pixels of one or three "
            f"square images, to tell classes and channels; got one that takes {inputs} numbers; pass a whole state_dict"
        )
    return last.shape[0], channels


def _key(path: str, leaf: str) -> str:
    return f"{path}.{leaf}" if path else leaf


def _converted(tensor: Tensor, own: Tensor, source: str, name: str) -> Tensor:
    """The tensor in the type of its place, with finite numbers."""
    if own.is_floating_point() and not tensor.is_floating_point():
        got = str(tensor.dtype).removeprefix("torch.")
        raise BadInput(f"{name} must have floating-point numbers at {source}; got {got}; pass them before quantization")
    result = tensor.to(own.dtype)
    wrong = int((~torch.isfinite(result)).sum())
    if wrong:
        kind = str(own.dtype).removeprefix("torch.")
        raise BadInput(
            f"{name} must have finite numbers at {source}; got {wrong} of {result.numel()} that are not, as {kind}; "
            "take an earlier checkpoint"
        )
    return result


def _refuse(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], name: str) -> NoReturn:
    """Say which tensors differ: by name where at least half of the names agree, else layer by layer."""
    ours, theirs = ({key: tuple(t.shape) for key, t in side.items()} for side in (own, tensors))
    names, given = ({key for key in side if not key.endswith(COUNTER)} for side in (ours, theirs))
    by_name = 2 * len(names & given) >= len(names)
    clauses = []
    if by_name:
        lacking = [f"{key} {ours[key]}" for key in ours if key in names - given]
        extra = [f"{key} {theirs[key]}" for key in theirs if key in given - names]
        unlike = [key for key in ours if key in names & given and ours[key] != theirs[key]]
        clauses += [f"must have {key} {ours[key]}; got {theirs[key]}" for key in unlike[:1]]
    else:
        lacking = [str(x) for x in _surplus(layers_of(own), layers_of(tensors))]
        extra = [str(x) for x in _surplus(layers_of(tensors), layers_of(own))]
    if lacking:
        clauses.append(f"must have {_some(lacking)}; got {'none of that name' if by_name else 'too few of that shape'}")
    if extra:
        clauses.append(f"has {_some(extra)}, for which there is no place")
    raise BadInput(
        f"{name} {'; it '.join(clauses)}; choose the network, and the input size, that they were trained with"
    )


def _surplus(layers: list[Layer], others: list[Layer]) -> list[Layer]:
    """The layers whose shapes appear more often here than among `others`: of each shape the last ones, in order."""
    left, found = Counter(x.shapes for x in others), []
    for layer in layers:
        left[layer.shapes] -= 1
        if left[layer.shapes] < 0:
            found.append(layer)
    return found


def _some(things: list[str], shown: int = 2) -> str:
    more = f" and {len(things) - shown} more" if len(things) > shown else ""
    return ", ".join(things[:shown]) + more
