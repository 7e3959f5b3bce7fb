"""How a network describes itself: where its structures live and how it is drawn. No torch, JSON-able."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

# concat: the input goes on beside what is appended; way: other ways go on beside it; gate: the input goes on, multiplied
Skip = Literal["identity", "pad", "projection", "concat", "way", "gate", "none"]


@dataclass(frozen=True)
class Structure:
    """A site whose units a scaling factor can switch off (Huang & Wang, ECCV 2018).

    ``module`` is the path of the module that carries the factor: the BatchNorm behind the layer, or the layer itself
    where no norm follows. ``layer`` is the convolution or linear layer whose outputs are the units; of a block, the
    last one of its branch. ``total`` counts the units; a block is one. A group is a conv group (cardinality).
    """

    site: str
    kind: Literal["filter", "neuron", "group", "block", "channel", "shape", "kernel2d", "layer"]
    module: str
    total: int
    layer: str


@dataclass(frozen=True)
class BlockOutline:
    """A block before anything is measured: its path, its skip connection, the paths of its convolutions in order."""

    path: str
    skip: Skip
    convs: tuple[str, ...]
    shortcut: str | None = None


@dataclass(frozen=True)
class Outline:
    """A whole network by paths: convolutions before the stages, the stages with their blocks, layers behind them."""

    stem: tuple[str, ...]
    stages: tuple[tuple[str, tuple[BlockOutline, ...]], ...]
    head: tuple[str, ...]


@dataclass(frozen=True)
class OwnDescription:
    """What is known of a person's own network, which does not describe itself; kept in its `OWN` attribute.

    `remake(seed)` gives the network anew, its first weights drawn from that seed. `left`: layers that carry no factor, and why.
    `reads`: by layer, of what share of the channels that it reads another layer alone decides (`core.structure.outlining.readers`).
    `input_shape`: (C, H, W) of one image.
    """

    structures: tuple[Structure, ...]
    outline: Outline
    left: dict[str, str]
    reads: dict[str, dict[str, float]]
    input_shape: tuple[int, ...]
    remake: Callable[[int], Any]


OWN = "_espalier_description"
LEVELS = "nested_levels"  # where a network keeps the levels inside it
MASKS = "nested_masks"  # and what is known of its single weights
ORDERS = "nested_orders"  # and a learned order of its channels and blocks


def without_levels(network: Any) -> Any:
    """The network itself, in place, without the levels that a nested one keeps inside."""
    for name in (LEVELS, MASKS, ORDERS):
        if hasattr(network, name):
            delattr(network, name)
    return network


def own_description(network: Any) -> OwnDescription | None:
    """What was found out about a person's own network; None for one that describes itself."""
    found: OwnDescription | None = vars(network).get(OWN)
    return found


def structures_of(network: Any) -> list[Structure]:
    """Where scaling factors may sit, in forward order."""
    own = own_description(network)
    return list(own.structures) if own else network.structures()


def outline_of(network: Any) -> Outline:
    """How the network is drawn."""
    own = own_description(network)
    return own.outline if own else network.outline()


def input_shape_of(network: Any) -> tuple[int, ...]:
    """(C, H, W) of one image."""
    return (own_description(network) or network).input_shape


@dataclass(frozen=True)
class Conv:
    """A convolution or linear layer: ``total`` units, each reading ``inputs``, at ``size`` x ``size`` output pixels.

    ``site`` is where its units live: filters or neurons, or conv groups where the network learns those; None for shortcut
    convolutions and for the class scores.
    ``macs`` are multiply-accumulates for one image; ``params`` are its own weights and biases, norms not counted.
    ``reads``: layers whose outputs it reads, each with its share of what is read; the rest lives always; None: all is the layer's before it.
    """

    path: str
    site: str | None
    label: str
    total: int
    inputs: int
    kernel: int
    size: int
    macs: int
    params: int
    reads: dict[str, float] | None = None


@dataclass(frozen=True)
class Block:
    """A residual block, or one convolution with what follows it where the network has no skip connections."""

    path: str
    label: str
    skip: Skip
    block_site: str | None
    convs: tuple[Conv, ...]


@dataclass(frozen=True)
class Stage:
    """The blocks that share a side ``size`` in pixels and a number of channels (at their output; 0: each appends some)."""

    name: str
    path: str
    channels: int
    size: int
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Layout:
    """Everything the screen needs to draw a network; ``macs`` and ``params`` count convolutions and linear layers."""

    network: str
    stem: tuple[Conv, ...]
    stages: tuple[Stage, ...]
    head: tuple[Conv, ...]
    macs: int
    params: int

    def as_json(self) -> dict[str, Any]:
        """The layout as plain dicts, lists, numbers and text."""
        return asdict(self)
