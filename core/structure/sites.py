"""The sites of a network: its convolutions and linear layers, what they hold, and every call of each."""

from __future__ import annotations

from torch.nn.modules.batchnorm import _BatchNorm

from core.structure.layers import LAYERS, num_inputs, num_units, site_of, weight_by_input, weight_in
from core.structure.provenance import layer_of_call
from core.structure.rules import FUNCTIONS
from core.structure.trace import Traced
from core.structure.values import Flow, Op


def count_units(traced: Traced) -> dict[str, int]:
    """The sites of a network, in order: filters of its convolutions, neurons of its linear layers."""
    out: dict[str, int] = {}
    for node in traced.graph.nodes:
        if node.op == "call_module" and isinstance(module := traced.module(node), LAYERS):
            out[site_of(str(node.target), module)] = num_units(module)
        elif FUNCTIONS.get(node.target) == "raw layer" and not isinstance(
            made := layer_of_call(traced.root, node), str
        ):
            out[site_of(made[1]["weight"], made[0])] = num_units(made[0])
    return out


def maskable(traced: Traced) -> dict[str, int]:
    """Every site that a chosen cut may name: outputs, inputs (channels) and shapes of each layer, results of batch norms.

    Channels are the layer's own inputs, as its weight has them: behind a flatten, single elements. A shape is input * taps +
    tap, the input counted within its conv group, of a transposed convolution too; a linear layer has one tap.
    """
    out = count_units(traced)
    for path, module in traced.root.named_modules():
        if isinstance(module, LAYERS):
            out[f"{path}/channel"] = num_inputs(module)
            out[f"{path}/shape"] = weight_by_input(module, weight_in(module).to("meta")).shape[1:].numel()
        elif isinstance(module, _BatchNorm) and module.running_mean is not None:
            out[f"{path}/norm"] = module.num_features
    return out


def norms_behind(flow: Flow) -> dict[str, list[str]]:
    """Paths of the batch norms that alone read a site's calls and read nothing else, by site; a site without is absent."""
    calls = {call.node: site for site, ops in layers(flow).items() for call in ops if len(call.node.users) == 1}
    read: dict[str, list[str]] = {}
    fed_by: dict[str, set[str]] = {}
    for op in flow.ops:
        if op.kind == "norm":
            site = calls.get(op.node.all_input_nodes[0], "")
            read.setdefault(site, []).append(op.path)
            fed_by.setdefault(op.path, set()).add(site)
    return {
        site: sorted(set(read[site]))
        for site, ops in layers(flow).items()
        if len(read.get(site, ())) == len(ops) and all(fed_by[path] == {site} for path in read[site])
    }


def layers(flow: Flow) -> dict[str, list[Op]]:
    """All calls of every layer, narrowed or refilled, by site, in order."""
    found: dict[str, list[Op]] = {}
    for op in flow.ops:
        if op.kind == "layer" and op.module is not None:
            found.setdefault(site_of(op.path, op.module), []).append(op)
        elif op.kind == "opaque" and op.node.op == "call_module":
            module = flow.traced.module(op.node)
            if isinstance(module, LAYERS):
                found.setdefault(site_of(str(op.node.target), module), []).append(op)
    return found
