"""Emission: nodes of the new network, where each channel lives in it, and how channels are brought together.

Two streams: alive channels run on the batch; field channels, the same for every input, run once on a batch of 1.
"""

from __future__ import annotations

import copy
import itertools
import operator
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from core.structure.rule import Rule
from core.structure.values import ALIVE, FIELD, Flow, Layout, Op, Raw, Val, Value, along

SUFFIX = {ALIVE: "", FIELD: "_field"}


@dataclass(frozen=True)
class Origin:
    """Where a parameter of the new network comes from, and how a tensor shaped like the old one is cut like it."""

    source: str
    cut: Callable[[Tensor], Tensor]


def row_cut(rows: Tensor) -> Callable[[Tensor], Tensor]:
    """The cut that takes these rows."""
    return lambda tensor: tensor[rows.to(tensor.device)]


class Build:
    """The network under construction. `home[stream][op]` holds, per channel, the node it lives in and its position.

    `trains`: an optimizer goes on with it, so that weights that only pad must not learn.
    """

    def __init__(self, flow: Flow, rules: Mapping[str, Rule], trains: bool = False) -> None:
        self.flow, self.rules, self.trains = flow, rules, trains
        self.graph, self.root = fx.Graph(), nn.Module()
        self.nodes: list[tuple[fx.Node, int, int]] = []  # every node with channels: how many, along which dimension
        self.home: dict[int, dict[int, tuple[Tensor, Tensor]]] = {ALIVE: {}, FIELD: {}}
        self.raw: dict[int, fx.Node] = {}
        self.batch_source: fx.Node | None = None
        self.origins: dict[str, Origin] = {}
        self._once: dict[Any, fx.Node] = {}
        self.taken: set[str] = set()  # paths of modules in the new network
        self.sources: dict[str, str] = {}  # of each module in the new network: the path of the one it was made of
        self.wholes: dict[str, str] = {}  # of each module that stays as it is: where it stands now
        self.old = {path for path, _ in flow.traced.root.named_modules()}
        self.shared = Counter(str(n.target) for n in flow.traced.graph.nodes if n.op == "call_module")
        held = (*flow.traced.root.parameters(), *flow.traced.root.buffers())
        self.device = next((t for t in held if t.is_floating_point()), torch.zeros(())).device

    # ---- nodes -------------------------------------------------------------------------------------------------

    def call(self, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        return self.graph.call_function(target, args, kwargs)

    def method(self, name: str, *args: Any) -> fx.Node:
        return self.graph.call_method(name, args)

    def module(
        self, path: str, suffix: str, module: nn.Module, *args: Any, cuts: Mapping[str, Origin] | None = None
    ) -> fx.Node:
        """Put `module` at `path` of the new network and call it; where the name is taken, at one that nobody else has.

        A module that is there already and holds the same is called again. `cuts`: how each parameter was cut.
        """
        raw = isinstance(attribute(self.flow.traced.root, path), Tensor)  # a layer made of a raw parameter
        start = (path.replace(".", "_") + "_layer" if raw else path) + suffix
        return self.graph.call_module(self.stand(path, start, module, cuts or {}), args)

    def stand(self, path: str, start: str, module: nn.Module, cuts: Mapping[str, Origin]) -> str:
        """Where a module made of the one at `path` stands now: at `start`, or with a number behind it."""
        for number in itertools.count(1):
            free = start + (f"_{number}" if number > 1 else "")
            if free in self.taken and self.shared[path] > 1 and same_module(self.root.get_submodule(free), module):
                return free
            if free not in self.taken and (free == path or free not in self.old):
                break
        put(self.root, free, module)
        self.taken.add(free)
        inside = [f".{name}" if name else "" for name, _ in module.named_modules()]
        self.sources |= {free + name: path + name for name in inside}
        self.origins |= {f"{free}.{name}": origin for name, origin in cuts.items()}
        return free

    def copied(self, path: str) -> str:
        """Where the module at `path` stands as it is, copied once."""
        if path not in self.wholes:
            module = copy.deepcopy(self.flow.traced.root.get_submodule(path))
            if getattr(module, "inplace", False):
                module.inplace = False  # type: ignore[assignment]
            names = (name for name, _ in module.named_parameters())
            cuts = {name: Origin(f"{path}.{name}", lambda tensor: tensor) for name in names}
            self.wholes[path] = self.stand(path, path, module, cuts)
        return self.wholes[path]

    def parameter(self, path: str, tensor: Tensor, cut: Callable[[Tensor], Tensor]) -> fx.Node:
        """A parameter or buffer, cut, at its own path; at a free one where another cut of it stands there."""
        called = any(path.startswith(f"{module}.") for module in self.shared)  # a layer will stand around it
        value, free = cut(tensor.detach()).clone(), path.replace(".", "_") if called else path
        while (taken := attribute(self.root, free)) is not None or (
            free != path and attribute(self.flow.traced.root, free) is not None
        ):
            if isinstance(taken, Tensor) and taken.shape == value.shape and torch.equal(taken, value):
                return self.graph.get_attr(free)
            free += "_"
        *parents, name = free.split(".")
        home = self.root
        for parent in parents:
            if not hasattr(home, parent):
                home.add_module(parent, nn.Module())
            home = getattr(home, parent)
        if isinstance(tensor, nn.Parameter):
            home.register_parameter(name, nn.Parameter(value, tensor.requires_grad))
            self.origins[free] = Origin(path, cut)
        else:
            home.register_buffer(name, value)
        return self.graph.get_attr(free)

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

    def numbers(self, vector: Tensor, beside: Val | Op) -> fx.Node:
        """float64[k] as a buffer (1, .., k, .., 1) of the rank, the channel dimension and the type of a value."""
        return self.constant(along(vector.to(self.device, self.flow.dtype(beside)), len(beside.shape), beside.axis))

    def indices(self, positions: Tensor) -> fx.Node:
        return self.constant(positions.to(self.device), "index")

    def rerun(self, node: fx.Node, replace: Mapping[fx.Node, Any], args: tuple | None = None) -> fx.Node:
        """The original operation on other inputs; numbers come as they were, its module is copied once, at its path."""

        def other(n: fx.Node) -> Any:
            return replace[n] if n in replace else self.raw_of(n)

        kwargs = fx.map_arg(node.kwargs, other)
        args = fx.map_arg(node.args if args is None else args, other)
        target = self.copied(str(node.target)) if node.op == "call_module" else node.target
        target = "reshape" if node.op == "call_method" and node.target == "view" else target
        return self.graph.create_node(node.op, target, args, kwargs)  # a narrower value may lie otherwise in memory

    def raw_of(self, node: fx.Node) -> fx.Node:
        """What gives the number, or the other value without channels, that `node` gave."""
        value = self.flow.values[node]
        assert isinstance(value, Raw)
        return self.raw[value.op]

    # ---- where channels live -----------------------------------------------------------------------------------

    def place(self, op: Op, stream: int, rows: Tensor, node: fx.Node) -> None:
        """Channel rows[i] of `op` is position i of `node`."""
        self.nodes.append((node, len(rows), op.axis))
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
        order = self.cheapest_order(val, mask, stream)
        return self.gather(val, order, stream), order

    def cheapest_order(self, val: Val, mask: Tensor, stream: int) -> Tensor:
        """The masked entries in the order in which they were built."""
        entries = mask.nonzero().flatten()
        homes, positions = self.locate(val, entries, stream)
        return entries[torch.argsort(homes * (int(positions.max()) + 1) + positions, stable=True)]

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
        node = self.once(("cat", val.axis, *pieces), lambda: self.call(torch.cat, pieces, val.axis))
        wanted = torch.argsort(order)
        return node if in_order(wanted) else self.select(node, wanted, val.axis)

    def _take(self, source: int, positions: Tensor) -> fx.Node:
        node, width, axis = self.nodes[source]
        start, count = int(positions[0]), len(positions)
        assert start >= 0
        if not bool((positions == torch.arange(start, start + count)).all()):
            return self.select(node, positions, axis)
        if count == width:
            return node
        key = ("narrow", node, axis, start, count)
        return self.once(key, lambda: self.call(torch.narrow, node, axis, start, count))

    def select(self, node: fx.Node, positions: Tensor, axis: int) -> fx.Node:
        """These positions of a value, in this order."""
        key = ("select", node, axis, tuple(positions.tolist()))
        return self.once(key, lambda: self.call(torch.index_select, node, axis, self.indices(positions)))

    def fill(self, val: Val, entries: Tensor, stream: int) -> fx.Node:
        """These entries at full width: constants, fields and (in the alive stream) alive channels, in order."""
        state, axis = self.flow.state(val)[entries], val.axis
        if bool((state == stream).all()):
            return self.gather(val, entries, stream)
        node = self.numbers(self.flow.const(val)[entries], val)
        fields, alive = (state == FIELD).nonzero().flatten(), (state == ALIVE).nonzero().flatten()
        assert stream == ALIVE or not len(alive), "an alive channel in a batch-free value"
        if len(fields) == len(entries):
            node = self.gather(val, entries, FIELD)
        elif len(fields):
            node = self.method("expand", node, *self.lengths(val, 1, -1))
            here = self.gather(val, entries[fields], FIELD)
            node = self.call(torch.index_copy, node, axis, self.indices(fields), here)
        batch = self.batch() if stream == ALIVE else 1
        node = self.method("expand", node, *self.lengths(val, batch, -1))
        if len(alive):
            here = self.gather(val, entries[alive], ALIVE)
            node = self.call(torch.index_copy, node, axis, self.indices(alive), here)
        return node

    def full(self, value: Value) -> fx.Node:
        """The value as the original network has it."""
        if isinstance(value, Raw):
            return self.raw[value.op]
        if isinstance(value, Val):
            key = ("full", value.like, tuple(value.op.tolist()), tuple(value.ch.tolist()))
            return self.once(key, lambda: self.fill(value, torch.arange(value.width), ALIVE))
        whole = self.once(("full", value.node), lambda: self.rerun(value.node, self.full_inputs(value.node)))
        if isinstance(value, Layout) and value.part >= 0:
            return self.once(("part", whole, value.part), lambda: self.call(operator.getitem, whole, value.part))
        return whole

    def full_inputs(self, node: fx.Node) -> dict[fx.Node, Any]:
        """Every input of `node` as the original network has it."""
        return {source: self.full(self.flow.values[source]) for source in node.all_input_nodes}

    # ---- sizes -------------------------------------------------------------------------------------------------

    def batch(self) -> fx.Node:
        assert self.batch_source is not None
        return self.size(self.batch_source, 0)

    def size(self, node: fx.Node, dim: int) -> fx.Node:
        return self.once(("size", node, dim), lambda: self.method("size", node, dim))

    def sizes(self, node: fx.Node, rank: int, axis: int) -> list[fx.Node]:
        return [self.size(node, dim) for dim in range(1, rank) if dim != axis]

    def lengths(self, val: Val, batch: Any, width: Any) -> list[Any]:
        """The arguments of an expand to this batch, this many channels and the plane of `val`."""
        out = [batch, *self.plane(val)]
        out.insert(val.axis, width)
        return out

    def plane(self, val: Val) -> list[fx.Node]:
        """Nodes for the plane of `val`: from a built channel of it, else by formula up to the network input."""
        if len(val.shape) < 3:
            return []
        for stream in (ALIVE, FIELD):
            for source in [val.like, *val.op.unique().tolist()]:
                homes = self.home[stream].get(source, (torch.full((1,), -1),))[0]
                if bool((homes >= 0).any()):
                    return self.sizes(self.nodes[int(homes.max())][0], len(val.shape), val.axis)
        op = self.flow.ops[val.like]
        return self.rules[op.kind].plane(self, op)

    def ones_plane(self, val: Val) -> fx.Node:
        """One channel of ones for a batch of 1, on the plane of `val`."""
        lengths = self.lengths(val, 1, 1)
        one = self.numbers(torch.ones(1), val)
        return self.once(("ones", one, *lengths), lambda: self.method("expand", one, *lengths))

    def conv_size(self, length: fx.Node, offset: int, stride: int) -> fx.Node:
        """(length + offset) // stride + 1, for integers; nothing where that is the length itself."""
        if (offset, stride) == (-1, 1):
            return length

        def make() -> fx.Node:
            steps = self.call(operator.floordiv, self.call(operator.add, length, offset), stride)
            return self.call(operator.add, steps, 1)

        return self.once(("conv size", length, offset, stride), make)

    def transposed_size(self, length: fx.Node, module: Any, axis: int) -> fx.Node:
        """(length - 1) stride + dilation (kernel - 1) + 1 - 2 padding + output padding."""
        reach = module.dilation[axis] * (module.kernel_size[axis] - 1) + 1
        stride = module.stride[axis]
        offset = reach - stride - 2 * module.padding[axis] + module.output_padding[axis]

        def make() -> fx.Node:
            return self.call(operator.add, self.call(operator.mul, length, stride), offset)

        return self.once(("transposed size", length, offset, stride), make)


def in_order(positions: Tensor) -> bool:
    return bool((positions == torch.arange(len(positions))).all())


def same_module(a: nn.Module, b: nn.Module) -> bool:
    """Same class, settings and numbers, so that one module can serve both calls."""
    if type(a) is not type(b) or repr(a) != repr(b) or a.state_dict().keys() != b.state_dict().keys():
        return False
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def attribute(root: nn.Module, path: str) -> Any:
    """What stands at a dotted path; None where nothing does."""
    try:
        return operator.attrgetter(path)(root)
    except AttributeError:
        return None


def put(root: nn.Module, path: str, module: nn.Module) -> None:
    """Set a submodule, making the plain modules on the way."""
    *parents, name = path.split(".")
    for parent in parents:
        if not hasattr(root, parent):
            root.add_module(parent, nn.Module())
        root = getattr(root, parent)
    root.add_module(name, module)
