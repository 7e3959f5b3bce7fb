"""The cut: a plan applied to a network gives a new, smaller network of plain torch modules and functions."""

from __future__ import annotations

from torch import fx, nn

from core.errors import PlanError
from core.structure.build import Build, Origin, attribute
from core.structure.columns import shape_cuts
from core.structure.findings import leaving
from core.structure.need import mark_needs
from core.structure.plan import RemovalPlan, Sites, check_sites
from core.structure.provenance import provenance
from core.structure.rules import RULES
from core.structure.sites import count_units, maskable
from core.structure.trace import Example, Traced, eval_mode, trace
from core.structure.values import Flow
from core.structure.zeros import check_maskable, plan_of


def apply(plan: RemovalPlan, model: nn.Module, example: Example) -> fx.GraphModule:
    """The network without the plan's units; `model` is not changed and shares no memory with the new one.

    Layers keep their paths, settings, type, device and training mode; `meta["sources"]` has the path of the layer that each was
    made of, which is another where one leaves as several. Constants come from the weights as they are now,
    so a unit of the plan must (still) be constant or unread, or be listed in `plan.masked`; otherwise PlanError.
    """
    return built(plan, flow_of(plan, trace(model, example)))[0]


def remove_zeros(model: nn.Module, example: Example, *, source: str = "") -> tuple[RemovalPlan, fx.GraphModule]:
    """`plan_zeros` and `apply`, following the network once."""
    traced = trace(model, example)
    flow = provenance(traced, {}, {})
    mark_needs(flow)
    plan = plan_of(flow, source=source)
    flow.shapes = dict(plan.shapes)
    return plan, built(plan, flow)[0]


def built(plan: RemovalPlan, flow: Flow, trains: bool = False) -> tuple[fx.GraphModule, dict[str, Origin]]:
    """The new network, and where each of its parameters comes from; `trains`: an optimizer goes on with it."""
    model = flow.traced.root
    build = Build(flow, RULES, trains)
    with eval_mode(model):
        for op in flow.ops:
            RULES[op.kind].emit(build, op)
    drop_dead_nodes(build.graph)
    compact = fx.GraphModule(build.root, build.graph, "Compact")
    compact.delete_all_unused_submodules()
    drop_unused(compact)
    compact.train(model.training)
    for path, module in compact.named_modules():
        source = attribute(model, build.sources.get(path, path)) if path else model
        module.training = source.training if isinstance(source, nn.Module) else model.training
    compact.meta["sources"] = dict(build.sources)
    return compact, build.origins


def flow_of(plan: RemovalPlan, traced: Traced) -> Flow:
    """The states and needs under the plan; what it does not remove stays, even if it is constant."""
    check_fits(plan, count_units(traced))
    check_sites("masked", plan.masked, maskable(traced))
    flow = provenance(traced, plan.masked, {})
    mark_needs(flow)
    check_maskable(flow, plan.masked)
    kept = {site: sorted(set(units) - set(plan.removed.get(site, ()))) for site, units in leaving(flow).items()}
    if any(kept.values()):
        flow = provenance(traced, plan.masked, kept)
        mark_needs(flow)
    check_removable(plan, leaving(flow))
    check_shapes(plan, flow)
    flow.shapes, flow.policy = dict(plan.shapes), plan.policy
    return flow


def check_shapes(plan: RemovalPlan, flow: Flow) -> None:
    """Every filter shape of the plan is zero now."""
    now = shape_cuts(flow)
    for path, cut in plan.shapes.items():
        wrong = sorted(set(cut.removed) - set(now[path].removed if path in now else ()))
        if wrong and cut.how != "none":
            raise PlanError(
                f"{path}/shape: a removed shape must be zero in all filters that stay; shape {wrong[0]} is not "
                f"({len(wrong)} of {len(cut.removed)}); list it in masked as well, or plan again with plan_zeros"
            )


def check_fits(plan: RemovalPlan, own: dict[str, int]) -> None:
    """The plan and the network have the same sites with as many units, and every unit named is one of them."""
    for site in [*plan.total, *own]:
        if plan.total.get(site) != own.get(site):
            raise PlanError(
                f"{site}: the plan must be made for this network; the plan has {plan.total.get(site, 'no')} units there, "
                f"the network {own.get(site, 'no')}; make a plan with plan_zeros(model, example)"
            )
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


def drop_unused(compact: fx.GraphModule) -> None:
    """Constants and parameters whose nodes turned out to be dead."""
    used = {str(node.target) for node in compact.graph.nodes if node.op == "get_attr"}
    called = tuple(f"{node.target}." for node in compact.graph.nodes if node.op == "call_module")
    for name, _ in (*compact.named_buffers(), *compact.named_parameters()):
        if name not in used and not name.startswith(called):
            home, _, last = name.rpartition(".")
            delattr(compact.get_submodule(home), last)
