"""The plan of exact zeros: everything that is constant, or read by nobody, leaves."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn

from core.errors import PlanError
from core.structure.columns import shape_cuts
from core.structure.findings import differ, leaving, refilled, removed_blocks, removed_groups, unread, verdicts
from core.structure.need import mark_needs
from core.structure.plan import RemovalPlan, Sites, check_sites
from core.structure.provenance import provenance
from core.structure.sites import count_units, layers, maskable
from core.structure.trace import Example, Traced, trace
from core.structure.values import Flow


def plan_zeros(
    model: nn.Module,
    example: Example,
    *,
    source: str = "",
    masked: Sites | None = None,
    pins: Sites | None = None,
    policy: Literal["most", "fast"] = "fast",
) -> RemovalPlan:
    """Everything that is exactly constant, or read by nobody, in eval mode now; `masked` units count as zero."""
    return plan_traced(trace(model, example), source=source, masked=masked, pins=pins, policy=policy)


def plan_traced(
    traced: Traced, *, source: str = "", masked: Sites | None = None, pins: Sites | None = None, **about: Any
) -> RemovalPlan:
    """As `plan_zeros`, of a network that has been followed; `about`: what else the plan is to say."""
    masked, pins, total = tidy(masked), tidy(pins), maskable(traced)
    check_sites("masked", masked, total)
    check_sites("pins", pins, count_units(traced))
    flow = provenance(traced, masked, pins)
    mark_needs(flow)
    check_maskable(flow, masked)
    return plan_of(flow, source=source, **about)


def plan_of(flow: Flow, *, source: str = "", **about: Any) -> RemovalPlan:
    """The plan that the states say."""
    total, removed = count_units(flow.traced), leaving(flow)
    return RemovalPlan(
        source=source,
        total=total,
        removed=removed,
        removed_layers=[site.rsplit("/", 1)[0] for site, units in removed.items() if len(units) == total[site]],
        removed_blocks=removed_blocks(flow),
        removed_groups=removed_groups(flow, removed),
        masked=flow.masked,
        pins=flow.kept,
        unread=unread(flow),
        shapes=shape_cuts(flow),
        verdicts={site: verdicts(flow, calls) for site, calls in layers(flow).items()},
        refilled=refilled(flow),
        untied=[site.rpartition("/")[0] for site, calls in layers(flow).items() if differ(flow, calls)],
        **about,
    )


def tidy(sites: Sites | None) -> Sites:
    return {site: sorted(set(units)) for site, units in (sites or {}).items() if units}


def check_maskable(flow: Flow, masked: Sites) -> None:
    """A layer, or a norm, that is refilled runs as it is, so none of its units can be treated as zero."""
    closed = {str(op.node.target): op.reason for op in flow.ops if op.kind == "opaque" and op.node.op == "call_module"}
    for site, units in masked.items():
        if reason := closed.get(site.rpartition("/")[0]):
            raise PlanError(f"masked: {site} cannot be narrowed ({reason}); got {len(units)} units; leave it out")
