"""The vocabulary of random networks: every step is text, so that a network is data that can be read, kept and replayed.

A step's expression is written in `x` (`y`, `z`: further values) and `m` (the block, which owns its parts); parts are written
in `c`, `h`, `w`, the first value's channels, height and width, which the expression may use too: numbers baked in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import random_graphs_blocks as blocks
import random_graphs_tables as tables

Pick = Callable[[Sequence[Any]], Any]  # one of several: drawn by hypothesis or by a seeded generator
Drawn = tuple[str, dict[str, str]]  # an expression, and its parts

WIDTHS = (4, 6, 8, 3, 9, 5, 2, 7)
PADDINGS = (1, 0, "'same'", "'valid'")
MODES = ("zeros", "reflect", "replicate", "circular")


@dataclass(frozen=True)
class Kind:
    """A family of steps. `draw` writes one of its forms down; `weight`: how often it is drawn, per form."""

    forms: tuple[str, ...]
    draw: Callable[[str, Pick], Drawn]
    weight: float = 1.0
    num_values: int = 1
    in_place: bool = field(default=False)


# ---- convolutions --------------------------------------------------------------------------------------------------


def conv2d(form: str, pick: Pick) -> Drawn:
    """`form`: the padding mode; "strided" and "dilated" pad with zeros."""
    mode = form if form in MODES else "zeros"
    padding = pick(PADDINGS)
    stride = 2 if form == "strided" and padding != "'same'" else 1
    options = (
        f"padding={padding}, stride={stride}, dilation={2 if form == 'dilated' else 1}, bias={pick((True, False))}"
    )
    kernel = pick((3, 1, "(1, 3)")) if mode == "zeros" else 3
    return "m.f(x)", {"f": f"nn.Conv2d(c, {pick(WIDTHS)}, {kernel}, {options}, padding_mode={mode!r})"}


def grouped(form: str, pick: Pick) -> Drawn:
    groups = int(form)
    options = f"padding={pick(PADDINGS)}, groups={groups}, bias={pick((True, False))}"
    return "m.f(x)", {"f": f"nn.Conv2d(c, {groups * pick((2, 3, 1, 4))}, {pick((3, 1))}, {options})"}


def depthwise(form: str, pick: Pick) -> Drawn:
    """`form`: the multiplier."""
    options = f"padding={pick(PADDINGS)}, groups=c, bias={pick((True, False))}, padding_mode={pick(MODES)!r}"
    stride = "" if "same" in options else f", stride={pick((1, 1, 2))}"
    return "m.f(x)", {"f": f"nn.Conv2d(c, c * {form}, {pick((3, 1))}, {options}{stride})"}


def transposed(form: str, pick: Pick) -> Drawn:
    """`form`: stride 1, stride 2, an output padding, two groups, or depthwise."""
    groups = {"groups": "2", "depthwise": "c"}.get(form, "1")
    out = {"groups": 2 * pick((2, 1, 3)), "depthwise": "c"}.get(form, pick(WIDTHS))
    stride = 2 if form in ("stride 2", "output padding") else pick((1, 1, 2)) if groups != "1" else 1
    extra = 1 if form == "output padding" else 0
    options = (
        f"stride={stride}, padding={pick((1, 0))}, output_padding={extra}, groups={groups}, bias={pick((True, False))}"
    )
    return "m.f(x)", {"f": f"nn.ConvTranspose2d(c, {out}, {pick((3, 2)) if not extra else 3}, {options})"}


BACK_FROM_1D = {
    "mean": "m.f(x.flatten(2)).mean(2)",
    "sizes": "m.f(x.flatten(2)).view(x.size(0), -1, x.size(2), x.size(3))",
    "unflatten": "m.f(x.flatten(2)).unflatten(2, (h, w))",
    "stay": "m.f(x.flatten(2))",
    "of (N, C, L)": "m.f(x)",
}


def conv1d(form: str, pick: Pick) -> Drawn:
    """`form`: what becomes of the (N, C, L) result."""
    kernel, groups = pick((3, 1)), pick((1, 1, 1, "c"))
    padding = 0 if form in ("mean", "stay") and pick((True, False)) else kernel // 2
    out = "c * 2" if groups == "c" else pick(WIDTHS)
    return BACK_FROM_1D[form], {"f": f"nn.Conv1d(c, {out}, {kernel}, padding={padding}, groups={groups})"}


# ---- tables --------------------------------------------------------------------------------------------------------


def of(table: dict[str, Drawn], weight: float = 1.0, num_values: int = 1, in_place: bool = False) -> Kind:
    """A kind whose forms are written in a table."""
    return Kind(tuple(table), lambda form, pick: table[form], weight, num_values, in_place)


def texts(forms: tuple[str, ...]) -> dict[str, Drawn]:
    """Forms that are their own expression."""
    return {form: (form, {}) for form in forms}


def layers(forms: tuple[str, ...]) -> dict[str, Drawn]:
    """Forms that are one layer."""
    return {form: ("m.f(x)", {"f": form}) for form in forms}


def again(form: str, pick: Pick) -> Drawn:
    """An earlier block, with its weights, on another value."""
    return "again", {}


KINDS: dict[str, Kind] = {
    "conv2d": Kind(("zeros", *MODES[1:], "strided", "dilated"), conv2d, 6),
    "grouped": Kind(("2", "3"), grouped, 2),
    "depthwise": Kind(("1", "2"), depthwise, 2),
    "transposed": Kind(("stride 1", "stride 2", "output padding", "groups", "depthwise"), transposed),
    "conv1d": Kind(tuple(BACK_FROM_1D), conv1d, 2.5),
    "norm": of(layers(tables.NORMS), 2),
    "norm behind": of(tables.NORMS_BEHIND),
    "batch norm": of(layers(("nn.BatchNorm2d(c)",)), 12),
    "activation": of(layers(tables.ACTIVATIONS), 0.7),
    "smooth": of(layers(("nn.SiLU()", "nn.Sigmoid()", "nn.Softplus()", "nn.Tanh()")), 2),
    "function": of(texts(tables.FUNCTIONS) | tables.FUNCTIONS_WITH_PARTS, 0.7),
    "method": of(texts(tables.METHODS), 0.7),
    "arithmetic": of(texts(tables.ARITHMETIC), 0.9),
    "in place": of(texts(tables.IN_PLACE) | tables.IN_PLACE_LAYERS, 1.4, in_place=True),
    "in place of two": of(texts(("x.add_(y)", "x.mul_(y)", "operator.iadd(x, y)")), 2.5, 2, in_place=True),
    "two values": of(texts(tables.TWO_VALUES), 1.5, 2),
    "gate": of(blocks.GATES),
    "parameter": of(tables.PARAMETERS),
    "cat": of(texts(tables.CATS), 1.2, 2),
    "cat of three": of(texts(("torch.cat([x, y, z], 1)", "torch.cat((z, x, z), dim=1)")), 1.5, 3),
    "part": of(texts(tables.PARTS) | tables.PARTS_WITH_INDICES),
    "shuffle": of(texts(tables.SHUFFLES) | layers(("nn.ChannelShuffle(2)",)), 1.3),
    "stack": of(texts(tables.STACKS), 1.5, 2),
    "view": of(texts(tables.VIEWS) | layers(("nn.Unflatten(1, (c // 2, 2))",)), 1.2),
    "pixel": of(tables.PIXELS, 1.4),
    "linear": of(blocks.LINEARS),
    "pad": of(texts(tables.PADS) | layers(tables.PAD_LAYERS)),
    "pool": of(layers(tables.POOLS) | texts(tables.POOL_FUNCTIONS)),
    "resize": of(texts(tables.RESIZES) | layers(tables.RESIZE_LAYERS)),
    "reduce": of(texts(tables.REDUCTIONS)),
    "across channels": of(texts(tables.ACROSS_CHANNELS) | layers(tables.ACROSS_CHANNEL_LAYERS)),
    "attention": of(blocks.ATTENTION, 1.2),
    "nothing": of(layers(tables.NOTHINGS) | texts(("F.dropout(x, 0.3, m.training)", "F.dropout2d(x, 0.3, False)"))),
    "functional": of(blocks.FUNCTIONAL, 1.3),
    "shared": of(blocks.SHARED, 1.3),
    "again": Kind(("any",), again, 3),
    "unused": of(blocks.UNUSED),
    "many readers": of(blocks.MANY_READERS, 1.5),
    "residual": of(blocks.RESIDUAL, 2),
}
HEADS: dict[str, Kind] = {
    "head": of(blocks.HEADS),
    "map head": of(texts(("x",)) | layers(("nn.Conv2d(c, 4, 1)",)), 0.7),
    "flatten head": of(blocks.FLATTEN_HEADS, 1.5),
    "pair head": of(blocks.PAIR_HEADS, 0.7, 2),
}


def labels() -> list[str]:
    """Every form of every kind, as `kind: form`."""
    return [f"{name}: {form}" for name, kind in (KINDS | HEADS).items() for form in kind.forms]
