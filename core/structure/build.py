"""Emission: nodes of the new network, where each channel lives in it, and how channels are brought together.

Two streams: alive channels run on the batch; field channels, the same for every input, run once on a batch of 1.
"""

from __future__ import annotations

import copy
import itertools
import operator
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from core.structure.rule import Rule
from core.structure.values import ALIVE, FIELD, Flow, Layout, Op, Raw, Val, Value

SUFFIX = {ALIVE: "", FIELD: "_field"}


class Build:
    """The network under construction. `home[stream][op]` holds, per channel, the node it lives in and its position."""

    def __init__(self, flow: Flow, rules: Mapping[str, Rule]) -> None:
        self.flow, self.rules = flow, rules
        self.graph, self.root = fx.Graph(), nn.Module()
        self.nodes: list[tuple[fx.Node, int]] = []  # every node with channels, and how many
        self.home: dict[int, dict[int, tuple[Tensor, Tensor]]] = {ALIVE: {}, FIELD: {}}
        self.raw: dict[int, fx.Node] = {}
        self.batch_source: fx.Node | None = None
        self._once: dict[Any, fx.Node] = {}
        weight = next((p for p in flow.traced.root.parameters() if p.is_floating_point()), torch.zeros(()))
        self.dtype, self.device = weight.dtype, weight.device

    # ---- nodes -------------------------------------------------------------------------------------------------

    def call(self, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        return self.graph.call_function(target, args, kwargs)

    def method(self, name: str, *args: Any) -> fx.Node:
        return self.graph.call_method(name, args)

    def module(self, path: str, suffix: str, module: nn.Module, *args: Any) -> fx.Node:
        """Put `module` at `path` of the new network and call it; with a suffix, at a name that nobody else has."""
        free = path + suffix
        while suffix and (has_path(self.root, free) or has_path(self.flow.traced.root, free)):
            free += "_"
        assert not has_path(self.root, free)
        put(self.root, free, module)
        return self.graph.call_module(free, args)

    def once(self, key: Any, make: Any) -> fx.Node:
        """A node made at most once, for helpers that several consumers ask for."""
        if key not in self._once:
            self._once[key] = make()
        return self._once[key]

    def constant(self, tensor: Tensor, name: str = "constant") -> fx.Node:
        """A buffer of the new network."""

        def make() -> fx.Node:
            taken = (self.root, self.flow.traced.root)  # the source's own attributes may be copied later
            free = next(f for f in (f"{name}{i}" for i in itertools.count()) if not any(hasattr(t, f) for t in taken))
            self.root.register_buffer(free, tensor.clone())
            return self.graph.get_attr(free)

        return self.once(("constant", tensor.dtype, tuple(tensor.shape), tuple(tensor.flatten().tolist())), make)

    def numbers(self, vector: Tensor, rank: int) -> fx.Node:
        """float64[k] as a buffer (1, k, 1, ...) of the network's type."""
        return self.constant(vector.to(self.device, self.dtype).view(1, -1, *[1] * (rank - 2)))

    def indices(self, positions: Tensor) -> fx.Node:
        return self.constant(positions.to(self.device), "index")

    def rerun(self, node: fx.Node, replace: Mapping[fx.Node, Any]) -> fx.Node:
        """The original operation on other inputs; its module is copied once, at its own path."""
        args = fx.map_arg(node.args, lambda n: replace[n])
        kwargs = fx.map_arg(node.kwargs, lambda n: replace[n])
        if node.op == "call_module":
            path = str(node.target)
            if not has_path(self.root, path):
                module = copy.deepcopy(self.flow.traced.module(node))
                if getattr(module, "inplace", False):
                    module.inplace = False  # type: ignore[assignment]
                put(self.root, path, module)
        return self.graph.create_node(node.op, node.target, args, kwargs)

    # ---- where channels live -----------------------------------------------------------------------------------

    def place(self, op: Op, stream: int, rows: Tensor, node: fx.Node) -> None:
        """Channel rows[i] of `op` is position i of `node`."""
        self.nodes.append((node, len(rows)))
        homes, positions = self._homes(op, stream)
        homes[rows] = len(self.nodes) - 1
        positions[rows] = torch.arange(len(rows))

    def alias(self, op: Op, stream: int, rows: Tensor, val: Val, entries: Tensor) -> None:
        """Channel rows[i] of `op` is entry entries[i] of `val`: nothing is computed."""
        homes, positions = self._homes(op, stream)
        homes[rows], positions[rows] = self.locate(val, entries, stream)

    def _homes(self, op: Op, stream: int) -> tuple[Tensor, Tensor]:
        nowhere = torch.full((op.width,), -1)
        return self.home[stream].setdefault(op.index, (nowhere, nowhere.clone()))

    def locate(self, val: Val, entries: Tensor, stream: int) -> tuple[Tensor, Tensor]:
        """Node number and position of each entry; all of them must have been built in this stream."""
        homes, positions = torch.full((len(entries),), -1), torch.full((len(entries),), -1)
        ops, channels = val.op[entries], val.ch[entries]
        for source in ops.unique().tolist():
            here = ops == source
            if source in self.home[stream]:
                home, position = self.home[stream][source]
                homes[here], positions[here] = home[channels[here]], position[channels[here]]
        assert bool((homes >= 0).all()), "a channel is read that was not built"
        return homes, positions

    # ---- bringing channels together ----------------------------------------------------------------------------

    def gather_any(self, val: Val, mask: Tensor, stream: int) -> tuple[fx.Node, Tensor]:
        """The masked entries in whatever order costs least, and that order."""
        entries = mask.nonzero().flatten()
        homes, positions = self.locate(val, entries, stream)
        order = torch.argsort(homes * (int(positions.max()) + 1) + positions, stable=True)
        return self.gather(val, entries[order], stream), entries[order]

    def gather(self, val: Val, entries: Tensor, stream: int) -> fx.Node:
        """Exactly these entries in this order: nothing, a narrow, or one cat and one index_select."""
        homes, positions = self.locate(val, entries, stream)
        sources = homes.unique(sorted=True).tolist()
        if len(sources) == 1:
            return self._take(sources[0], positions)
        pieces, arrived = [], []
        for source in sources:
            here = (homes == source).nonzero().flatten()
            here = here[torch.argsort(positions[here], stable=True)]
            pieces.append(self._take(source, positions[here]))
            arrived.append(here)
        order = torch.cat(arrived)
        node = self.once(("cat", *pieces), lambda: self.call(torch.cat, pieces, 1))
        wanted = torch.argsort(order)
        return node if bool((wanted == torch.arange(len(wanted))).all()) else self._select(node, wanted)

    def _take(self, source: int, positions: Tensor) -> fx.Node:
        node, width = self.nodes[source]
        start, count = int(positions[0]), len(positions)
        if not bool((positions == torch.arange(start, start + count)).all()):
            return self._select(node, positions)
        if count == width:
            return node
        return self.once(("narrow", node, start, count), lambda: self.call(torch.narrow, node, 1, start, count))

    def _select(self, node: fx.Node, positions: Tensor) -> fx.Node:
        key = ("select", node, tuple(positions.tolist()))
        return self.once(key, lambda: self.call(torch.index_select, node, 1, self.indices(positions)))

    def fill(self, val: Val, entries: Tensor, stream: int) -> fx.Node:
        """These entries at full width: constants, fields and (in the alive stream) alive channels, in order."""
        state, rank = self.flow.state(val)[entries], len(val.shape)
        if bool((state == stream).all()):
            return self.gather(val, entries, stream)
        plane = self.plane(val)
        node = self.numbers(self.flow.const(val)[entries], rank)
        fields, alive = (state == FIELD).nonzero().flatten(), (state == ALIVE).nonzero().flatten()
        assert stream == ALIVE or not len(alive), "an alive channel in a batch-free value"
        if len(fields):
            node = self.method("expand", node, 1, -1, *plane)
            node = self.call(torch.index_copy, node, 1, self.indices(fields), self.gather(val, entries[fields], FIELD))
        node = self.method("expand", node, self.batch() if stream == ALIVE else 1, -1, *plane)
        if len(alive):
            node = self.call(torch.index_copy, node, 1, self.indices(alive), self.gather(val, entries[alive], ALIVE))
        return node

    def full(self, value: Value) -> fx.Node:
        """The value as the original network has it."""
        if isinstance(value, Raw):
            return self.raw[value.op]
        if isinstance(value, Layout):
            source = value.node.all_input_nodes[0]
            return self.once(("full", id(value)), lambda: self.rerun(value.node, {source: self.full(value.base)}))
        return self.once(("full", id(value)), lambda: self.fill(value, torch.arange(len(value.ch)), ALIVE))

    # ---- sizes -------------------------------------------------------------------------------------------------

    def batch(self) -> fx.Node:
        assert self.batch_source is not None
        return self.size(self.batch_source, 0)

    def size(self, node: fx.Node, dim: int) -> fx.Node:
        return self.once(("size", node, dim), lambda: self.method("size", node, dim))

    def sizes(self, node: fx.Node, rank: int) -> list[fx.Node]:
        return [self.size(node, dim) for dim in range(2, rank)]

    def plane(self, val: Val) -> list[fx.Node]:
        """Nodes for height and width of `val`, from a built channel of it, else by formula up to the network input."""
        if len(val.shape) < 3:
            return []
        for stream in (ALIVE, FIELD):
            for source in [val.like, *val.op.unique().tolist()]:
                homes = self.home[stream].get(source, (torch.full((1,), -1),))[0]
                if bool((homes >= 0).any()):
                    return self.sizes(self.nodes[int(homes.max())][0], len(val.shape))
        op = self.flow.ops[val.like]
        return self.rules[op.kind].plane(self, op)

    def ones_plane(self, val: Val) -> fx.Node:
        """(1, 1, height, width) of ones."""
        plane = self.plane(val)
        one = self.numbers(torch.ones(1), len(val.shape))
        return self.once(("ones", *plane), lambda: self.method("expand", one, 1, 1, *plane))

    def conv_size(self, length: fx.Node, offset: int, stride: int) -> fx.Node:
        """(length + offset) // stride + 1, for integers; nothing where that is the length itself."""
        if (offset, stride) == (-1, 1):
            return length

        def make() -> fx.Node:
            steps = self.call(operator.floordiv, self.call(operator.add, length, offset), stride)
            return self.call(operator.add, steps, 1)

        return self.once(("conv size", length, offset, stride), make)


def has_path(root: nn.Module, path: str) -> bool:
    try:
        root.get_submodule(path)
    except AttributeError:
        return False
    return True


def put(root: nn.Module, path: str, module: nn.Module) -> None:
    """Set a submodule, making the plain modules on the way."""
    *parents, name = path.split(".")
    for parent in parents:
        if not hasattr(root, parent):
            root.add_module(parent, nn.Module())
        root = getattr(root, parent)
    root.add_module(name, module)
