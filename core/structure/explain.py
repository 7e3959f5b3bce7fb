"""What can go from a network, what cannot, and why: every unit's verdict, every width that is refilled, every group."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from torch import nn

from core.structure.findings import verdict_of
from core.structure.groups import Group, coupled
from core.structure.need import mark_needs
from core.structure.plan import VERDICTS, Refilled, RemovalPlan, Verdict
from core.structure.provenance import provenance
from core.structure.sites import layers
from core.structure.trace import Example, trace
from core.structure.zeros import plan_of


class Unit(BaseModel):
    """One unit: its verdict, and its value where that is `uniform`. `read`: whether anything reads it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    verdict: Verdict
    value: float | None = None
    read: bool = True


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
    sites = {}
    for site, calls in layers(flow).items():
        gone = set(plan.removed.get(site, ()))
        found = verdict_of(flow, calls)
        sites[site] = [
            Unit(
                verdict=verdict,
                value=value if verdict == "uniform" else None,
                read=not (verdict == "alive" and i in gone),
            )
            for i, (verdict, value) in enumerate(found)
        ]
    counts = {name: sum(u.verdict == name for units in sites.values() for u in units) for name in VERDICTS}
    return Explanation(
        units=counts,
        removable=plan.counts(),
        refilled=plan.refilled,
        sites=sites,
        groups=[group for group in coupled(flow) if sum(map(len, group.units.values())) > 1],
        plan=plan,
    )
