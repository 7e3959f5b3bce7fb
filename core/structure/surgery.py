"""The cut: a plan applied to a network gives a new, smaller network of plain torch modules and functions."""

from __future__ import annotations

from torch import fx, nn

from core.errors import PlanError
from core.structure.build import Build
from core.structure.need import mark_needs
from core.structure.plan import RemovalPlan, Sites, check_maskable, check_sites, count_units, leaving
from core.structure.provenance import provenance
from core.structure.rules import RULES
from core.structure.trace import Example, eval_mode, trace
from core.structure.values import Flow


def apply(plan: RemovalPlan, model: nn.Module, example: Example) -> fx.GraphModule:
    """The network without the plan's units; `model` is not changed and shares no memory with the new one.

    Layers keep their paths, settings, type, device and training mode. Constants come from the weights as they are now,
    so a unit of the plan must (still) be constant or unread, or be listed in `plan.masked`; otherwise PlanError.
    """
    flow = flow_of(plan, model, example)
    build = Build(flow, RULES)
    with eval_mode(model):
        for op in flow.ops:
            RULES[op.kind].emit(build, op)
    drop_dead_nodes(build.graph)
    compact = fx.GraphModule(build.root, build.graph, "Compact")
    compact.delete_all_unused_submodules()
    drop_unused_buffers(compact)
    return compact.train(model.training)


def flow_of(plan: RemovalPlan, model: nn.Module, example: Example) -> Flow:
    """The states and needs under the plan; what it does not remove stays, even if it is constant."""
    traced = trace(model, example)
    check_fits(plan, count_units(traced))
    kept = {}
    for site, count in plan.total.items():
        gone = set(plan.removed.get(site, ()))
        kept[site] = [unit for unit in range(count) if unit not in gone]
    flow = provenance(traced, plan.masked, kept)
    mark_needs(flow)
    check_maskable(flow, plan.masked)
    check_removable(plan, leaving(flow))
    return flow


def check_fits(plan: RemovalPlan, own: dict[str, int]) -> None:
    """The plan and the network have the same sites with as many units, and every unit named is one of them."""
    for site in [*plan.total, *own]:
        if plan.total.get(site) != own.get(site):
            raise PlanError(
                f"{site}: the plan must be made for this network; the plan has {plan.total.get(site, 'no')} units there, "
                f"the network {own.get(site, 'no')}; make a plan with plan_zeros(model, example)"
            )
    check_sites("masked", plan.masked, own)
    check_sites("pins", plan.pins, own)
    check_sites("removed", plan.removed, own)


def check_removable(plan: RemovalPlan, leaves: Sites) -> None:
    for site, units in plan.removed.items():
        alive = sorted(set(units) - set(leaves.get(site, ())))
        if alive:
            raise PlanError(
                f"{site}: a removed unit must be constant or read by nobody; unit {alive[0]} is alive "
                f"({len(alive)} of {len(units)}); list it in masked as well, or plan again with plan_zeros"
            )


def drop_dead_nodes(graph: fx.Graph) -> None:
    """Helpers that were made and then not read."""
    for node in reversed(graph.nodes):
        if not node.users and node.op not in ("placeholder", "output"):
            graph.erase_node(node)


def drop_unused_buffers(compact: fx.GraphModule) -> None:
    """Constants whose nodes turned out to be dead."""
    used = {str(node.target) for node in compact.graph.nodes if node.op == "get_attr"}
    for name, _ in list(compact.named_buffers(recurse=False)):
        if name not in used:
            delattr(compact, name)
