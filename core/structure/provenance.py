"""The forward pass: what every channel of every operation is (a number, a field, alive), from the inputs onward."""

from __future__ import annotations

from torch import fx

from core.structure.rules import RULES, kind_of
from core.structure.rules_moves import moved
from core.structure.trace import Traced, eval_mode
from core.structure.values import Flow, Layout, Raw, Value, whole

MOVES = ("flatten", "pad", "cat")


def provenance(traced: Traced, masked: dict[str, list[int]], kept: dict[str, list[int]]) -> Flow:
    """Operations with states. `masked` units count as zero; `kept` units stay alive though they are constant."""
    flow = Flow(traced, masked, kept)
    with eval_mode(traced.root):
        for node in traced.graph.nodes:
            follow(flow, node)
    return flow


def follow(flow: Flow, node: fx.Node) -> None:
    """Make the node's operation, or its references, and record its value."""
    inputs = [flow.values[source] for source in node.all_input_nodes]
    if node.op in ("placeholder", "output", "get_attr"):
        kind = {"placeholder": "input", "output": "output", "get_attr": "opaque"}[node.op]
        return record(flow, node, kind, inputs, "")
    kind, reason = kind_of(flow, node)
    values: list[Value] = [value for value in inputs if not isinstance(value, Raw)]
    if kind != "opaque" and not values:
        kind, reason = "opaque", "its input has no channels"
    if kind in MOVES:
        result = moved(flow, node, kind, values)
        if not isinstance(result, str):
            flow.values[node] = result
            return None
        kind, reason = "opaque", result
    if kind == "pointwise" and isinstance(values[0], Layout):
        return arranged(flow, node, values[0])
    if kind != "opaque":
        reason = RULES[kind].accepts(flow, node, values)
        if len(values) != len(inputs):
            reason = "it takes something that is computed and is no tensor"
    if kind == "opaque" or reason:
        return record(flow, node, "opaque", inputs, reason)
    return record(flow, node, kind, values, "")


def record(flow: Flow, node: fx.Node, kind: str, inputs: list[Value], reason: str) -> None:
    shape = flow.traced.shapes.get(node, ())
    shape = shape if len(shape) > 1 and node.op != "get_attr" else ()
    op = flow.new_op(kind, node, inputs, shape, reason)
    RULES[kind].forward(flow, op)
    flow.values[node] = whole(op) if shape else Raw(op.index)


def arranged(flow: Flow, node: fx.Node, value: Layout) -> None:
    """A pointwise function of moved elements is the moved result of the function."""
    op = flow.new_op("pointwise", node, [value.base], value.base.shape)
    RULES["pointwise"].forward(flow, op)
    flow.values[node] = Layout(value.shape, whole(op), value.ids, value.node)
