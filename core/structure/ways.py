"""Concatenations of a followed network: ways side by side, and what passes beside them."""

from __future__ import annotations

from core.networks.describe import Skip
from core.structure.provenance import kind_of
from core.structure.residuals import Residual, ancestors, drawn
from core.structure.sites import layers
from core.structure.values import Flow, Val


def ways(flow: Flow, blocks: list[Residual]) -> list[Residual]:
    """A block for every way into a concatenation of channels: its layers that no block has yet, inner concatenations first.

    Where what the ways start from is itself concatenated (with or without a pool), they append to it (concat); else each is one of several.
    """
    graph = flow.traced.graph
    place = {node: i for i, node in enumerate(graph.nodes)}
    behind = ancestors(graph)
    paths = {op.node: op.path for ops in layers(flow).values() for op in ops if drawn(op.module)}
    taken = {path for block in blocks for path in (*block.convs, block.shortcut) if path}
    found = []
    for node in graph.nodes:
        module = flow.traced.module(node) if node.op == "call_module" else None
        joined = list(dict.fromkeys(n for n in node.all_input_nodes if flow.traced.shapes_of(n)))
        if kind_of(node, module) != "cat" or not isinstance(flow.values[node], Val) or len(joined) < 2:
            continue
        common = set.intersection(*(behind[n] for n in joined))
        if not common:
            continue
        fork = max(common, key=place.__getitem__)
        inside = [sorted(behind[n] - behind[fork], key=place.__getitem__) for n in joined]
        chains = [[paths[n] for n in side if n in paths] for side in inside]
        skip: Skip = "concat" if any(not chain for chain in chains) else "way"
        for chain in chains:
            own = tuple(path for path in dict.fromkeys(chain) if path not in taken)
            if own:
                found.append(Residual(own, skip, None, ""))
                taken.update(own)
    return found
