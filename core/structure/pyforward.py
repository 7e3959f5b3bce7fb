"""The forward of a network as statements: short names that are used again once their value is dead, as people write."""

from __future__ import annotations

import builtins
import inspect
import itertools
import keyword
import re
from collections.abc import Callable, Iterator
from typing import Any

from torch import fx

from core.errors import BadInput
from core.structure.graphjson import check_name, plain_attribute, refuse
from core.structure.operations import METHOD_NAMES, NAME_OF
from core.structure.pytext import Call, literal, statement

INFIX = {
    **{"add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**", "matmul": "@"},
    **{"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "and_": "&", "or_": "|", "xor": "^"},
}
PREFIX = {"neg": "-", "pos": "+", "invert": "~"}
PLAIN_ARITHMETIC = {"torch.add": "+", "torch.sub": "-", "torch.mul": "*", "torch.div": "/", "torch.matmul": "@"}
MODULE_NAMES = {"functional": "F", "torch": "torch", "math": "math", "linalg": "torch.linalg"}
SEVERAL = {"chunk", "split", "tensor_split", "unbind", "meshgrid", "topk", "sort", "var_mean", "std_mean"}
SIDES = {0: "batch", 1: "channels", 2: "height", 3: "width"}
TENSORS = ("x", "y", "z", "u", "v", "w")
RESERVED = ("self", "torch", "nn", "math", "F", "Tensor", "Path", "Group", "Compact", "load", "load_file")
Shapes = dict[fx.Node, tuple[int | str, ...]]


class Forward:
    """Writes a graph. `access` gives the text of a module or tensor by its path, `self.stage1[0].conv1`."""

    def __init__(self, graph: fx.Graph, access: Callable[[str], str], shapes: Shapes) -> None:
        self.nodes, self.access, self.shapes = list(graph.nodes), access, shapes
        self.names = input_names(graph)
        self.numbers = {node for node in self.nodes if self.is_number(node)}
        self.inlined = {node for node in self.nodes if self.is_inlined(node)}
        self.last = {
            v: i for i, node in enumerate(self.nodes) for v in self.variables(node) if node not in self.inlined
        }
        self.inputs = list(self.names.values())
        self.imports: set[str] = set()  # math, torch, F

    # ---- what is written where -----------------------------------------------------------------------------------

    def is_number(self, node: fx.Node) -> bool:
        """A size, or arithmetic of sizes: cheap, and no tensor."""
        if node.op == "call_method":
            return str(node.target) in ("size", "dim", "numel")
        inputs = node.all_input_nodes
        if node.op != "call_function" or not inputs:
            return False
        name = called(node)
        if name == "builtins.getattr":
            return node.args[1] in ("shape", "ndim")
        return name.split(".")[0] in ("operator", "math") and all(self.is_number(n) for n in inputs)

    def is_inlined(self, node: fx.Node) -> bool:
        """A tensor read by name, or a number whose one reader comes right behind it."""
        if node.op == "get_attr":
            return True
        user = next(iter(node.users), None)
        if node not in self.numbers or user is None or len(node.users) > 1 or user.op == "output":
            return False
        if called(user) == "operator.getitem" and user.args[0] is not node:
            return False
        return all(n is user or n in self.numbers or n.op == "get_attr" for n in between(node, user))

    def variables(self, node: fx.Node) -> Iterator[fx.Node]:
        """The nodes whose names stand in the text of `node`."""
        for source in node.all_input_nodes:
            if source not in self.inlined:
                yield source
            else:
                yield from self.variables(source)

    # ---- statements ------------------------------------------------------------------------------------------------

    def lines(self) -> list[str]:
        """The body of `forward`, indented by 8. Raises BadInput for what the vocabulary does not hold."""
        out: list[str] = []
        section = ""
        shown: tuple[int | str, ...] = ()
        for i, node in enumerate(self.nodes):
            if node.op == "placeholder" or node in self.inlined:
                continue
            if node.op == "output":
                returned = node.args[0]
                text = self.argument(returned)
                bare = isinstance(returned, tuple) and len(returned) > 1
                return [*out, *statement(8, "return ", str(text)[1:-1] if bare and len(str(text)) < 100 else text)]
            here = ".".join(str(node.target).split(".")[:-1][:2]) if node.op == "call_module" else section
            if here != section:
                out += [""] * bool(out) + [f"        # {here}"] * bool(here)
                section = here
            text = self.text(node)
            lines = statement(8, f"{self.name(node, i)} = ", text)
            shape = self.shapes.get(node, shown)
            if shape != shown and len(lines) == 1 and len(lines[0]) + len(note(shape)) <= 120:
                lines, shown = [lines[0] + note(shape)], shape
            out += lines
        raise BadInput("the network's graph must have an output; it has none; make it with apply(plan, model, example)")

    def name(self, node: fx.Node, at: int) -> str:
        """The name of a dying operand, else the first free one of its kind."""
        alive = {n for v, n in self.names.items() if self.last.get(v, -1) > at}
        words = self.words(node)
        heirs = [n for n in map(self.names.get, self.variables(node)) if n and n.rstrip("0123456789") in words]
        numbered = (f"{words[0]}{i}" for i in itertools.count(2))
        self.names[node] = next(n for n in itertools.chain(heirs, words, numbered) if n not in alive)
        return self.names[node]

    def words(self, node: fx.Node) -> tuple[str, ...]:
        """Names for what it computes, the best first; it takes one of them, with a number where they are in use."""
        target = str(node.target) if node.op != "call_function" else called(node).split(".")[-1]
        if node in self.numbers:
            rank = len(self.shapes.get(node.all_input_nodes[0], (0, 0, 0, 0)))
            side: Any = node.args[1] if target == "size" and len(node.args) == 2 else None
            return (SIDES.get(side, "size") if rank == 4 or side == 0 else "size",)
        if target in SEVERAL:
            return ("parts",)
        if target == "expand" and node.args[0] in self.inlined:
            return ("carry",) if node.args[1] == 1 else ("full",)
        if node.op == "call_module" and target.endswith("_carry"):
            return ("carry",)
        if target in ("index_add", "index_copy") and str(self.argument(node.args[0])).startswith("full"):
            return ("full",)
        return ("field",) if node.op == "call_module" and target.endswith("_field") else TENSORS

    # ---- expressions -----------------------------------------------------------------------------------------------

    def text(self, node: fx.Node) -> str | Call:
        args = [self.argument(a) for a in node.args]
        named = [f"{key}={self.argument(value)}" for key, value in said(node).items()]
        if node.op == "get_attr":
            return self.access(str(node.target))
        if node.op == "call_module":
            return Call(f"{self.access(str(node.target))}(", (*args, *named))
        if node.op == "call_method":
            refuse(str(node.target) not in METHOD_NAMES or not node.args, BadInput, node.target)
            return Call(f"{self.operand(node.args[0])}.{node.target}(", (*args[1:], *named))
        full = called(node)
        refuse(node.op != "call_function" or not full, BadInput, getattr(node.target, "__name__", node.target))
        home, name = full.split(".")
        if home == "builtins":
            refuse(not plain_attribute(node.args), BadInput, f"{full} {node.args[1:]}")
            return f"{args[0]}.{node.args[1]}"
        if home == "operator" and name == "getitem":
            return f"{args[0]}[{self.subscript(node.args[1])}]"
        sides = [self.operand(a) for a in node.args]
        if home == "operator" and name in INFIX:
            return infix(INFIX[name], *sides)
        if home == "operator":
            return f"{PREFIX[name]}{sides[0]}" if name in PREFIX else f"{name}({args[0]})"
        if full in PLAIN_ARITHMETIC and len(args) == 2 and not named:
            return infix(PLAIN_ARITHMETIC[full], *sides)
        self.imports.add(MODULE_NAMES[home].split(".")[0])
        return Call(f"{MODULE_NAMES[home]}.{name}(", (*args, *named))

    def argument(self, value: Any) -> str | Call:
        """A name, an inlined expression, or a literal with such parts."""
        if not isinstance(value, fx.Node):
            return literal(value, self.argument)
        return self.text(value) if value in self.inlined else self.names[value]

    def operand(self, value: Any) -> str | Call:
        """The same, in brackets where it is arithmetic."""
        name = called(value) if isinstance(value, fx.Node) and value in self.inlined else ""
        text = self.argument(value)
        return f"({text})" if name.removeprefix("operator.") in INFIX.keys() | PREFIX.keys() else text

    def subscript(self, index: Any) -> str:
        if isinstance(index, tuple) and index:
            return ", ".join(self.subscript(part) for part in index)
        if isinstance(index, slice):
            start, stop, step = (
                "" if v is None else str(self.argument(v)) for v in (index.start, index.stop, index.step)
            )
            return f"{start}:{stop}" + (f":{step}" if step else "")
        return str(self.argument(index))


def called(node: Any) -> str:
    """`torch.cat`; empty where a node calls no function of the vocabulary."""
    return NAME_OF.get(node.target, "")


def said(node: fx.Node) -> dict[str, Any]:
    """The named arguments that differ from their defaults, where torch tells these."""
    for key in node.kwargs:
        check_name(key, BadInput)
    try:
        defaults = inspect.signature(node.target).parameters if node.op == "call_function" else {}  # type: ignore[arg-type]
    except (TypeError, ValueError):
        defaults = {}
    same = {key for key, value in node.kwargs.items() if key in defaults and defaults[key].default is value}
    return {key: value for key, value in node.kwargs.items() if key not in same}


def between(first: fx.Node, last: fx.Node) -> Iterator[fx.Node]:
    """The nodes behind `first` up to and with `last`."""
    node = first.next
    while node is not last:
        yield node
        node = node.next
    yield last


def infix(sign: str, left: Any, right: Any) -> str:
    left = f"({left})" if str(left).startswith("-") else str(left)
    simple = all(re.fullmatch(r"-?[\w.]+", str(side)) for side in (left, right))
    return f"{left}{sign}{right}" if sign == "**" and simple else f"{left} {sign} {right}"


def note(shape: tuple[int | str, ...]) -> str:
    return f"  # ({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"


def input_names(graph: fx.Graph) -> dict[fx.Node, str]:
    """What forward's parameters are called: as in the network, but for names that would hide another."""
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    for node in inputs:
        check_name(str(node.target), BadInput)
    free = {node: str(node.target) for node in inputs if not hidden(str(node.target))}
    others = (
        name for name in itertools.chain(TENSORS, map("x{}".format, itertools.count())) if name not in free.values()
    )
    return {node: free[node] if node in free else next(others) for node in inputs}


def hidden(name: str) -> bool:
    return name in RESERVED or hasattr(builtins, name) or keyword.issoftkeyword(name)
