"""A network followed once: its torch.fx graph, without in-place writes, and the shape of every value (eval mode)."""

from __future__ import annotations

import inspect
import operator
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call

from core.errors import TraceError
from core.structure.inplace import IN_PLACE_FUNCTIONS, Write, later_readers, remove_write, tensors_in, written_value
from core.structure.names import SAME_SHAPE, SAME_TENSOR

Example = Tensor | tuple[Tensor, ...]
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)


@dataclass(frozen=True)
class Run:
    """What each node gave for one input: shape and type of a tensor, or else the number, or the tuple, itself."""

    batch: int
    shapes: dict[fx.Node, tuple[int, ...]]
    numbers: dict[fx.Node, Any]
    types: dict[fx.Node, torch.dtype]

    def leads(self, node: fx.Node) -> bool:
        """Whether the first dimension of what a node gave is the batch."""
        return self.shapes.get(node, ())[:1] == (self.batch,)


@dataclass(frozen=True)
class Traced:
    """A followed network: graph of out-of-place operations, and what each node gave for the example.

    `root` holds the network's own modules and tensors, and beside them those that its forward made.
    `runs[0]` is the example's; `runs[1]` has another batch, and another height and width where the network takes one.
    What holds in both holds at every size; a network that takes no second input has one run.
    """

    root: nn.Module
    graph: fx.Graph
    runs: tuple[Run, ...]
    dtype: torch.dtype  # of the first input

    @property
    def shapes(self) -> dict[fx.Node, tuple[int, ...]]:
        return self.runs[0].shapes

    def shapes_of(self, node: fx.Node) -> tuple[tuple[int, ...], ...]:
        """The node's shape in each run; () for what is no tensor."""
        return tuple(run.shapes[node] for run in self.runs) if node in self.runs[0].shapes else ()

    def leads(self, shapes: tuple[tuple[int, ...], ...]) -> bool:
        """Whether a value's first dimension is the batch, in every run."""
        return bool(shapes) and all(s and s[0] == run.batch for s, run in zip(shapes, self.runs, strict=True))

    def module(self, node: fx.Node) -> nn.Module:
        return self.root.get_submodule(str(node.target))


def example_tuple(example: Example) -> tuple[Tensor, ...]:
    """The example as a tuple of tensors with a batch of at least 2, so that no axis of length 1 passes for the batch."""
    inputs = example if isinstance(example, tuple) else (example,)
    for tensor in inputs:
        if not isinstance(tensor, Tensor) or tensor.dim() < 2:
            got = f"shape {tuple(tensor.shape)}" if isinstance(tensor, Tensor) else type(tensor).__name__
            raise TraceError(f"the example must be a tensor of a batch, such as (1, 3, 32, 32); got {got}")
    return tuple(torch.cat([t, t]) if t.shape[0] == 1 else t.detach().clone() for t in inputs)


@contextmanager
def eval_mode(*models: nn.Module) -> Iterator[None]:
    """Every module in eval mode and no gradients inside; each module's own training flag is back afterwards."""
    flags = [(module, module.training) for model in models for module in model.modules()]
    try:
        for model in models:
            model.eval()
        with torch.no_grad():
            yield
    finally:
        for module, flag in flags:
            module.training = flag


def altered(module: nn.Module) -> str:
    """Why a module may do something else than its class says; "" where nothing shows it."""
    if module._forward_hooks or module._forward_pre_hooks:
        return "it has forward hooks, which may change its weights or its result"
    return "its forward is not that of its class" if "forward" in vars(module) else ""


class Value(fx.Proxy):
    """A followed value that records `a += b` as the write it is; torch.fx alone would record `a + b`."""


def _in_place(function: Any) -> Any:
    def method(self: Value, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    return method


for _function in IN_PLACE_FUNCTIONS:
    setattr(Value, f"__{_function.__name__}__", _in_place(_function))


class Follower(fx.Tracer):
    """Follows user modules; a torch.nn layer, or a subclass of one, is a leaf (a container is not)."""

    proxy_buffer_attributes = True  # a method of a buffer may take a followed size

    def __init__(self) -> None:
        super().__init__()
        self.inside: list[str] = []

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return Value(node, self)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        layers = (c for c in type(m).__mro__ if c is not nn.Module and c.__module__.startswith("torch.nn"))
        return any(c not in CONTAINERS for c in layers)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        self.inside.append(self.path_of_module(m))
        result = super().call_module(m, forward, args, kwargs)
        self.inside.pop()  # not in `finally`: after an error the last entry names the module
        return result


def trace(model: nn.Module, example: Example) -> Traced:
    """Follow `model` in eval mode and run it once on `example`; the model itself is left as it was.

    Raises TraceError, naming module and line, where Python control flow or an unsupported write stops the tracer.
    """
    if isinstance(model, WRAPPERS) or hasattr(model, "_orig_mod"):
        raise TraceError(f"{type(model).__name__} wraps the network; pass the wrapped network (.module or ._orig_mod)")
    if why := altered(model):
        raise TraceError(f"the network itself must be what its class says; {why}; pass nn.Sequential(network)")
    inputs, root = example_tuple(example), shell(model)
    with eval_mode(root):
        graph = follow(root, len(inputs))
        first, writes = run_once(root, graph, inputs)
        for node, users in writes:
            remove_write(root, node, users)
        for node in graph.nodes:  # numbers never change in place
            node.target = IN_PLACE_FUNCTIONS.get(node.target, node.target)
        second = second_run(root, graph, inputs, first)
    graph.lint()
    return Traced(root, graph, (first, second) if second else (first,), inputs[0].dtype)


def shell(model: nn.Module) -> nn.Module:
    """The same network as another object: torch.fx sets what a forward makes on it, and not on the caller's."""
    other: nn.Module = object.__new__(type(model))
    vars(other).update(vars(model))
    return other


MORE = (37, 34, 36, 40, 48, 32, 0)  # pixels on a side; first what leaves another remainder with every small number


def second_run(model: nn.Module, graph: fx.Graph, inputs: tuple[Tensor, ...], first: Run) -> Run | None:
    """A run with one more image, and with more pixels on a side if the network takes them; None if it takes neither.

    A size at which a result no longer has one entry for each image, as behind `view(-1, k)`, is not taken.
    """
    results = next(iter(reversed(graph.nodes))).all_input_nodes
    for more in MORE:
        try:
            run = interpret(model, graph, tuple(enlarged(t, more) for t in inputs))[0]
        except (TraceError, RuntimeError, NotImplementedError, TypeError, ValueError):
            continue
        if all(run.leads(node) or not first.leads(node) for node in results):
            return run
    return None


def enlarged(x: Tensor, more: int) -> Tensor:
    """A tensor without data: one more image, `more` longer behind the second dimension."""
    batch, *rest = x.shape
    return torch.empty(batch + 1, *rest[:1], *(d + more for d in rest[1:]), dtype=x.dtype, device="meta")


def follow(model: nn.Module, num_inputs: int) -> fx.Graph:
    """The graph of `model` with `num_inputs` placeholders; further parameters keep their defaults."""
    parameters = list(inspect.signature(model.forward).parameters.values())
    optional = [p for p in parameters[num_inputs:] if p.default is not inspect.Parameter.empty]
    follower = Follower()
    try:
        graph = follower.trace(model, {p.name: p.default for p in optional} or None)
    except Exception as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f"{Path('torch') / 'fx'}" not in f.filename]
        where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown line"
        path = follower.inside[-1] if follower.inside else "the network itself"
        raise TraceError(
            f"{path} could not be followed ({where}): {error}; a forward must not branch on values, loop over a "
            "tensor's size or write into slices; rewrite that line, or make the module a torch.nn layer's subclass, "
            "which is then run as it is"
        ) from error
    placeholders = [n for n in graph.nodes if n.op == "placeholder"]
    for placeholder in placeholders[num_inputs:]:
        erase_with_users(graph, placeholder)
    graph.set_codegen(fx.graph.CodeGen())
    return graph


def erase_with_users(graph: fx.Graph, node: fx.Node) -> None:
    """Erase a placeholder of a default, and the tracer's assertions that it has its value."""
    for user in list(node.users):
        erase_with_users(graph, user)
    graph.erase_node(node)


def run_once(model: nn.Module, graph: fx.Graph, inputs: tuple[Tensor, ...]) -> tuple[Run, list[Write]]:
    """What every node gives, and every in-place write with the later readers of the value it overwrites.

    Shapes alone are computed (on the meta device), unless an operation needs real numbers.
    """
    try:
        return interpret(model, graph, tuple(t.to("meta") for t in inputs))
    except (TraceError, RuntimeError, NotImplementedError, TypeError, ValueError):
        return interpret(model, graph, tuple(t.clone() for t in inputs))


def interpret(model: nn.Module, graph: fx.Graph, inputs: tuple[Tensor, ...]) -> tuple[Run, list[Write]]:
    order = {node: i for i, node in enumerate(graph.nodes)}
    last = {node: max((order[u] for u in node.users), default=order[node]) for node in graph.nodes}
    feed = iter(inputs)
    alive: dict[fx.Node, Any] = {}
    run, writes = Run(inputs[0].shape[0], {}, {}, {}), []
    for node in graph.nodes:
        if node.op == "output":
            break
        target = written_value(model, node)
        if target is not None and tensors_in(alive[target]):
            writes.append((node, later_readers(node, target, alive, order)))
        alive[node] = execute(model, node, alive, feed, meta=inputs[0].is_meta)
        if isinstance(alive[node], Tensor):
            run.shapes[node], run.types[node] = tuple(alive[node].shape), alive[node].dtype
        elif not tensors_in(alive[node]):
            run.numbers[node] = alive[node]
        for old in [n for n in alive if last[n] <= order[node]]:
            del alive[old]
    return run, writes


def execute(
    model: nn.Module, node: fx.Node, values: Mapping[fx.Node, Any], feed: Iterator[Tensor], meta: bool = False
) -> Any:
    """The node's own operation on `values`; with `meta`, on shapes only."""
    if node.op == "placeholder":
        return next(feed)
    if node.op == "get_attr":
        value = operator.attrgetter(str(node.target))(model)
        return value.to("meta") if meta and isinstance(value, Tensor) else value
    args = fx.map_arg(node.args, lambda n: values[n])
    return perform(model, node, args, fx.map_arg(node.kwargs, lambda n: values[n]), meta)


def perform(model: nn.Module, node: fx.Node, args: Any, kwargs: Any, meta: bool = False) -> Any:
    """The node's operation with these arguments."""
    try:
        if node.op == "call_module":
            module = model.get_submodule(str(node.target))
            return module_on_shapes(module, args, kwargs) if meta else module(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        return node.target(*args, **kwargs)  # type: ignore[operator]
    except Exception as error:
        raise TraceError(
            f"{node.target} failed on the example: {error}; pass an example of the network's own input shape"
        ) from error


def module_on_shapes(module: nn.Module, args: Any, kwargs: Any) -> Any:
    """A module's result without data; at once where it is known to be shaped like the input."""
    if type(module) in SAME_SHAPE and not altered(module):
        same = getattr(module, "inplace", False) or type(module) in SAME_TENSOR
        return args[0] if same else torch.empty_like(args[0])
    return functional_call(module, without_data(module), args, kwargs)


def without_data(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers as shapes."""
    return {name: tensor.detach().to("meta") for name, tensor in (*module.named_parameters(), *module.named_buffers())}
