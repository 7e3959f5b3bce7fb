"""What can go from a network, what cannot, and why: every unit's verdict, every width that is refilled, every group."""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import BaseModel, ConfigDict
from torch import nn

from core.structure.findings import leaving, verdict_of
from core.structure.groups import Group, coupled
from core.structure.need import mark_needs
from core.structure.plan import VERDICTS, Refilled, RemovalPlan, Sites, Verdict
from core.structure.provenance import provenance
from core.structure.rule import row_reads
from core.structure.rules import RULES
from core.structure.sites import layers
from core.structure.trace import Example, trace
from core.structure.values import CONST, Flow, Op
from core.structure.zeros import plan_of

STATISTICS = "the mean and variance of a norm across channels"


class Unit(BaseModel):
    """One unit: its verdict, and its value where that is `uniform`. `read`: whether anything reads it.

    `kept_by`: what alone needs it, where that is no layer: the statistics of a norm across channels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    verdict: Verdict
    value: float | None = None
    read: bool = True
    kept_by: str = ""


class Explanation(BaseModel):
    """`units` and `removable` count; `sites` holds each unit's verdict; `groups`: units that meet."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    units: dict[Verdict, int]
    removable: dict[str, int]
    refilled: list[Refilled]
    sites: dict[str, list[Unit]]
    groups: list[Group]
    plan: RemovalPlan


def explain(model: nn.Module, example: Example, *, source: str = "") -> Explanation:
    """Read a network and change nothing. Raises TraceError where it cannot be followed."""
    traced = trace(model, example)
    flow = provenance(traced, {}, {})
    mark_needs(flow)
    plan = plan_of(flow, source=source)
    groups = [group for group in coupled(flow) if sum(map(len, group.units.values())) > 1]
    sites = {}
    for site, calls in layers(flow).items():
        gone = set(plan.removed.get(site, ()))
        numbers = constants(calls)
        sites[site] = [
            Unit(
                verdict=verdict,
                value=value if verdict == "uniform" else None,
                read=verdict in ("zero", "uniform") or i in numbers or i not in gone,
            )
            for i, (verdict, value) in enumerate(verdict_of(flow, calls))
        ]
    for site, units in for_statistics(flow).items():
        for i in units:
            sites[site][i] = sites[site][i].model_copy(update={"kept_by": STATISTICS})
    counts = {name: sum(u.verdict == name for units in sites.values() for u in units) for name in VERDICTS}
    return Explanation(
        units=counts,
        removable=plan.counts(),
        refilled=plan.refilled,
        sites=sites,
        groups=groups,
        plan=plan,
    )


def constants(calls: list[Op]) -> set[int]:
    """Units that are a number in every call, perhaps not the same."""
    if any(op.kind == "opaque" for op in calls):
        return set()
    return set(torch.stack([op.state == CONST for op in calls]).all(0).nonzero().flatten().tolist())


def for_statistics(flow: Flow) -> Sites:
    """Units that nobody would need if every channel of a norm depended on itself alone. The flow's needs are marked anew."""
    before = leaving(flow)
    for op in flow.ops:
        op.need, op.used, op.size_needed, op.seen = torch.zeros_like(op.need), False, False, {}
    mark_needs(flow, RULES | {kind: replace(RULES[kind], reads=row_reads) for kind in ("layer norm", "group norm")})
    return {site: sorted(set(units) - set(before.get(site, ()))) for site, units in leaving(flow).items()}
