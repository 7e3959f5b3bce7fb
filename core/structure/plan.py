"""A removal plan: which units leave, as plain data. It holds no weights; constants are derived when it is applied."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from core.errors import PlanError
from core.structure.columns import ShapeCut, shape_cuts
from core.structure.layers import LAYERS, num_groups, num_inputs, num_units, site_of
from core.structure.need import mark_needs
from core.structure.provenance import layer_of_call, provenance
from core.structure.rules import FUNCTIONS
from core.structure.rules_layers import sources
from core.structure.rules_opaque import asks_only_size, wanted
from core.structure.trace import Example, Traced, trace
from core.structure.values import ALIVE, CONST, FIELD, Flow, Op, base_of, bases

Sites = dict[str, list[int]]
Verdict = Literal["zero", "uniform", "field", "alive"]
VERDICTS: tuple[Verdict, ...] = ("zero", "uniform", "field", "alive")


class Refilled(BaseModel):
    """A place where the full width is rebuilt in front of an operation, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    site: str
    operation: str
    reason: str


class RemovalPlan(BaseModel):
    """Units that leave, by site (`stage1.0.conv1/filter`); a site without removed units is absent from `removed`.

    `masked`: a chosen cut, units treated as zero though they are not. `pins`: units kept alive on purpose. `unread`:
    input channels of a layer that depend on the input and that it does not read. `shapes`: filter shapes that go, by layer.
    `removed_blocks`: modules with a sum one side of which no longer depends on the input. `untied`: layers that were called
    several times and are now several. `verdicts`: how many units of each site are what, behind the norm that directly
    follows. `policy`: "most" leaves no dead unit in a conv group; "fast" pads conv groups to one size, for one convolution.
    `approximate`: the cut was declared approximate before it was made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: Literal[1] = 1
    source: str = ""
    total: dict[str, int]
    removed: Sites
    removed_layers: list[str] = []
    removed_blocks: list[str] = []
    removed_groups: Sites = {}
    masked: Sites = {}
    pins: Sites = {}
    unread: Sites = {}
    shapes: dict[str, ShapeCut] = {}
    verdicts: dict[str, dict[Verdict, int]] = Field(default_factory=dict)
    refilled: list[Refilled] = []
    untied: list[str] = []
    policy: Literal["most", "fast"] = "most"
    importance: str | None = None
    threshold: float | None = None
    target: dict[str, float] | None = None
    approximate: bool = False

    @property
    def nothing_removed(self) -> bool:
        return not any((*self.removed.values(), *self.unread.values())) and all(
            c.how == "none" for c in self.shapes.values()
        )

    def counts(self) -> dict[str, int]:
        """How many of each kind leave; `channel`: input slices that are not read, beyond those of removed filters."""
        out: dict[str, int] = {}
        for sites in (self.removed, self.unread, self.removed_groups):
            for site, units in sites.items():
                kind = site.rpartition("/")[2]
                out[kind] = out.get(kind, 0) + len(units)
        shapes = sum(len(cut.removed) for cut in self.shapes.values() if cut.how != "none")
        return out | {"shape": shapes, "block": len(self.removed_blocks), "layer": len(self.removed_layers)}

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
    model: nn.Module,
    example: Example,
    *,
    source: str = "",
    masked: Sites | None = None,
    pins: Sites | None = None,
    policy: Literal["most", "fast"] = "most",
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
        untied=[site.rpartition("/")[0] for site, calls in layers(flow).items() if differ(calls)],
        **about,
    )


def tidy(sites: Sites | None) -> Sites:
    return {site: sorted(set(units)) for site, units in (sites or {}).items() if units}


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
    """Every site that a chosen cut may name: outputs, inputs (channels) and shapes of each layer."""
    out = count_units(traced)
    for path, module in traced.root.named_modules():
        if isinstance(module, LAYERS):
            out[f"{path}/channel"] = num_inputs(module)
            out[f"{path}/shape"] = module.weight[0].numel()
    return out


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
    paths = {site.rpartition("/")[0]: site for site in masked}
    for own, calls in layers(flow).items():
        closed = next((op for op in calls if op.kind == "opaque"), None)
        site = paths.get(own.rpartition("/")[0])
        if site is not None and closed is not None:
            raise PlanError(
                f"masked: {site} cannot be narrowed ({closed.reason}); got {len(masked[site])} units; leave it out"
            )


def leaving(flow: Flow) -> Sites:
    """Units that no call builds: constant, or read by nobody."""
    return {site: gone for site, calls in layers(flow).items() if (gone := gone_everywhere(flow, calls))}


def gone_everywhere(flow: Flow, calls: list[Op]) -> list[int]:
    """Units that are not built; a refilled layer goes whole, when no call of it is read, or not at all."""
    if all(op.kind == "layer" for op in calls):
        built = torch.stack([op.need & (op.state != CONST) for op in calls]).any(0)
        return (~built).nonzero().flatten().tolist()
    if any(wanted(op) for op in calls):
        return []
    return list(range(calls[0].width or num_units(flow.traced.module(calls[0].node))))


def unread(flow: Flow) -> Sites:
    """Input channels that depend on the input, and that a narrowed layer does not read."""
    out: Sites = {}
    for op in flow.ops:
        if op.kind == "layer" and len(rows := op.rows(ALIVE)):
            idle = (flow.state(base_of(op.inputs[0])) == ALIVE) & ~sources(flow, op, rows).alive
            if idle.any():
                out[f"{op.path}/channel"] = idle.nonzero().flatten().tolist()
    return out


def differ(calls: list[Op]) -> bool:
    """Whether the calls of one layer keep different rows or inputs, so that each needs a layer of its own."""
    if len(calls) < 2 or any(op.kind != "layer" for op in calls):
        return False
    return any(
        not torch.equal(op.need & (op.state != CONST), calls[0].need & (calls[0].state != CONST)) for op in calls
    )


def removed_blocks(flow: Flow) -> list[str]:
    """Modules with a sum, one side of which held layers and no longer depends on the input, while the other does."""
    out = []
    for op in flow.ops:
        vals = [base_of(value) for value in op.inputs] if op.kind == "sum" else []
        alive = [bool((flow.state(val) == ALIVE).any()) for val in vals]
        path = next(reversed(op.node.meta.get("nn_module_stack") or {"": None}), "")
        still = [val for val, lives in zip(vals, alive, strict=True) if not lives]
        if any(alive) and still and flow.ops[still[0].like].kind not in ("fill", "parameter") and path not in out:
            out.append(path)
    return out


def removed_groups(flow: Flow, removed: Sites) -> Sites:
    """Whole conv groups among the removed filters, by layer; those of a depthwise convolution are its filters."""
    out: Sites = {}
    for site, calls in layers(flow).items():
        module = calls[0].module
        count = num_groups(module) if module is not None else 1
        if 1 < count < (num_inputs(module) if module is not None else 0):
            per, gone = calls[0].width // count, set(removed.get(site, ()))
            whole = [g for g in range(count) if gone.issuperset(range(g * per, (g + 1) * per))]
            if whole:
                out[f"{site.rpartition('/')[0]}/group"] = whole
    return out


def verdict_of(flow: Flow, calls: list[Op]) -> list[tuple[Verdict, float]]:
    """Each unit's verdict and constant, behind the norm that alone reads the layer, if there is one."""
    op = calls[0]
    if op.kind == "opaque":
        return [("alive", 0.0)] * num_units(flow.traced.module(op.node))
    users = list(op.node.users)
    for other in flow.ops:
        if len(users) == 1 and other.node is users[0] and other.kind == "norm":
            op = other
    names: dict[int, Verdict] = {FIELD: "field", ALIVE: "alive"}
    return [
        (names.get(state, "zero" if const == 0 else "uniform"), const)
        for state, const in zip(op.state.tolist(), op.const.tolist(), strict=True)
    ]


def verdicts(flow: Flow, calls: list[Op]) -> dict[Verdict, int]:
    found = [verdict for verdict, _ in verdict_of(flow, calls)]
    return {name: found.count(name) for name in VERDICTS}


def refilled(flow: Flow) -> list[Refilled]:
    """Operations that see the full width, although a part of it is constant or would not be needed."""
    out = []
    for op in flow.ops:
        if op.reason and not (op.kind == "opaque" and asks_only_size(op)) and has_channels(flow, op):
            site = str(op.node.target) if op.node.op == "call_module" else op.node.name
            out.append(Refilled(site=site, operation=operation_name(flow, op), reason=op.reason))
    return out


def has_channels(flow: Flow, op: Op) -> bool:
    """Whether any input has channels: arithmetic on sizes is nothing to refill."""
    return any(bases(value) for value in op.inputs)


def operation_name(flow: Flow, op: Op) -> str:
    if op.node.op == "call_module":
        return type(flow.traced.module(op.node)).__name__
    return str(getattr(op.node.target, "__name__", op.node.target))
