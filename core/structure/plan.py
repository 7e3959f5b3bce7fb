"""A removal plan: which units leave, as plain data. It holds no weights; constants are derived when it is applied."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from core.errors import PlanError
from core.structure.need import mark_needs
from core.structure.provenance import provenance
from core.structure.rules_layers import must, num_units, site_of, sources
from core.structure.rules_opaque import asks_only_size, wanted
from core.structure.trace import Example, Traced, trace
from core.structure.values import ALIVE, CONST, FIELD, Flow, Op

Sites = dict[str, list[int]]


class Refilled(BaseModel):
    """A place where the full width is rebuilt in front of an operation, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    site: str
    operation: str
    reason: str


class RemovalPlan(BaseModel):
    """Units that leave, by site (`stage1.0.conv1/filter`); a site without removed units is absent from `removed`.

    `masked`: a chosen cut, units treated as zero though they are not. `pins`: units kept alive on purpose. `unread`:
    input channels of a layer that depend on the input and that it does not read. `verdicts`: how many units of each site are what,
    behind the norm that directly follows. `approximate`: the cut was declared approximate before it was made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: Literal[1] = 1
    source: str = ""
    total: dict[str, int]
    removed: Sites
    removed_layers: list[str] = []
    masked: Sites = {}
    pins: Sites = {}
    unread: Sites = {}
    verdicts: dict[str, dict[Literal["zero", "uniform", "field", "alive"], int]] = Field(default_factory=dict)
    refilled: list[Refilled] = []
    approximate: bool = False

    @property
    def nothing_removed(self) -> bool:
        return not any(self.removed.values()) and not any(self.unread.values())

    def to_json(self) -> str:
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str) -> RemovalPlan:
        """Raises PlanError for an unknown version or key, naming it."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the document"
            raise PlanError(
                f"a removal plan of version 1 does not fit: {where}: {first['msg']}; got {str(first['input'])[:80]!r}; "
                "make the plan again with plan_zeros"
            ) from error


def plan_zeros(
    model: nn.Module, example: Example, *, source: str = "", masked: Sites | None = None, pins: Sites | None = None
) -> RemovalPlan:
    """Everything that is exactly constant, or read by nobody, in eval mode now; `masked` units count as zero."""
    traced = trace(model, example)
    masked, pins, total = tidy(masked), tidy(pins), count_units(traced)
    check_sites("masked", masked, total)
    check_sites("pins", pins, total)
    flow = provenance(traced, masked, pins)
    mark_needs(flow)
    check_maskable(flow, masked)
    removed = leaving(flow)
    return RemovalPlan(
        source=source,
        total=total,
        removed=removed,
        removed_layers=[site.rsplit("/", 1)[0] for site, units in removed.items() if len(units) == total[site]],
        masked=masked,
        pins=pins,
        unread=unread(flow),
        verdicts={site_of(str(op.node.target), traced.module(op.node)): verdicts(flow, op) for op in layers(flow)},
        refilled=refilled(flow),
    )


def tidy(sites: Sites | None) -> Sites:
    return {site: sorted(set(units)) for site, units in (sites or {}).items() if units}


def count_units(traced: Traced) -> dict[str, int]:
    """The sites of a network, in order: filters of its convolutions, neurons of its linear layers."""
    out: dict[str, int] = {}
    for node in traced.graph.nodes:
        if node.op == "call_module" and isinstance(module := traced.module(node), nn.Conv2d | nn.Linear):
            out[site_of(str(node.target), module)] = num_units(module)
    return out


def layers(flow: Flow) -> list[Op]:
    """Convolutions and linear layers, narrowed or refilled, once each, in order."""
    found: dict[str, Op] = {}
    for op in flow.ops:
        if op.node.op == "call_module" and isinstance(flow.traced.module(op.node), nn.Conv2d | nn.Linear):
            found.setdefault(str(op.node.target), op)
    return list(found.values())


def check_sites(what: str, sites: Sites, total: dict[str, int]) -> None:
    """Every site exists and every unit lies in it."""
    for site, units in sites.items():
        if site not in total:
            known = ", ".join(list(total)[:4])
            raise PlanError(f"{what}: site {site!r} is not in this network; it has {known}, ...; plan for this network")
        wrong = [unit for unit in units if not 0 <= unit < total[site]]
        if wrong:
            raise PlanError(f"{what}: units of {site} must lie in 0..{total[site] - 1}; got {wrong[0]}; plan again")


def check_maskable(flow: Flow, masked: Sites) -> None:
    """A layer that is refilled runs as it is, so none of its units can be treated as zero."""
    for op in layers(flow):
        site = site_of(str(op.node.target), flow.traced.module(op.node))
        if site in masked and op.kind == "opaque":
            raise PlanError(
                f"masked: {site} cannot be narrowed ({op.reason}); got {len(masked[site])} units; leave it out"
            )


def leaving(flow: Flow) -> Sites:
    """Units that are not built: constant, or read by nobody."""
    out: Sites = {}
    for op in layers(flow):
        gone = gone_everywhere(flow, op)
        if gone:
            out[site_of(str(op.node.target), flow.traced.module(op.node))] = gone
    return out


def gone_everywhere(flow: Flow, op: Op) -> list[int]:
    """Units that are not built; a refilled layer goes whole, when no call of it is read, or not at all."""
    if op.kind != "opaque":
        return (~(op.need & (op.state != CONST))).nonzero().flatten().tolist()
    read = any(wanted(o) for o in flow.ops if o.node.op == "call_module" and o.node.target == op.node.target)
    return [] if read else list(range(num_units(flow.traced.module(op.node))))


def unread(flow: Flow) -> Sites:
    """Input channels that depend on the input, and that a narrowed convolution or linear layer does not read."""
    out: Sites = {}
    for op in flow.ops:
        if op.kind in ("conv", "linear") and len(rows := op.rows(ALIVE)):
            val = must(op.inputs[0])
            idle = (flow.state(val) == ALIVE) & ~sources(flow, op, rows).alive
            if idle.any():
                out[f"{op.node.target}/channel"] = idle.nonzero().flatten().tolist()
    return out


def verdicts(flow: Flow, op: Op) -> dict[Literal["zero", "uniform", "field", "alive"], int]:
    """Counts of the layer's units, behind its norm if a norm is all that reads it."""
    if op.kind == "opaque":
        return {"zero": 0, "uniform": 0, "field": 0, "alive": num_units(flow.traced.module(op.node))}
    users = list(op.node.users)
    for other in flow.ops:
        if len(users) == 1 and other.node is users[0] and other.kind == "norm":
            op = other
    state, zero = op.state, op.const == 0
    return {
        "zero": int(((state == CONST) & zero).sum()),
        "uniform": int(((state == CONST) & ~zero).sum()),
        "field": int((state == FIELD).sum()),
        "alive": int((state == ALIVE).sum()),
    }


def refilled(flow: Flow) -> list[Refilled]:
    """Operations that see the full width, although a part of it is constant or would not be needed."""
    out = []
    for op in flow.ops:
        if op.kind == "opaque" and op.reason and not asks_only_size(op):
            site = str(op.node.target) if op.node.op == "call_module" else op.node.name
            out.append(Refilled(site=site, operation=operation_name(flow, op), reason=op.reason))
    return out


def operation_name(flow: Flow, op: Op) -> str:
    if op.node.op == "call_module":
        return type(flow.traced.module(op.node)).__name__
    return str(getattr(op.node.target, "__name__", op.node.target))
