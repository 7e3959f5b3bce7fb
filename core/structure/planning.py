"""Plans from a choice: named units, a threshold on importance, or a target in MACs, parameters or milliseconds."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, fx, nn

from core.errors import BadInput, PlanError
from core.structure.cost import Cost, cost
from core.structure.groups import Group, coupled
from core.structure.importance import importances
from core.structure.need import mark_needs
from core.structure.plan import RemovalPlan, Sites, check_sites
from core.structure.provenance import provenance
from core.structure.sites import count_units, layers, norms_behind
from core.structure.surgery import apply
from core.structure.trace import Example, Traced, trace
from core.structure.values import ALIVE, Flow, bases
from core.structure.zeros import plan_traced

Clock = Callable[[nn.Module, Example], float]  # milliseconds for the example
TARGETS = ("macs", "params", "ms")
MOST = 0.9  # the largest share of a layer's units that a target takes


def plan_chosen(model: nn.Module, example: Example, chosen: Sites, *, source: str = "") -> RemovalPlan:
    """Cut these units as if they were zero, with everything that dies of it.

    Sites are filters and neurons (`conv1/filter`), whole layers (`conv1/layer`: [0]), conv groups (`conv2/group`: [3, 5]),
    input slices (`conv2/channel`), taps across all filters (`conv2/shape`: in * kernel area + tap), or channels of a
    batch norm (`bn1/norm`: its result is zero there, and the filter that it alone reads goes with it). How they are
    numbered: `core.structure.sites.maskable`.
    """
    traced = trace(model, example)
    return plan_traced(traced, source=source, masked=expanded(traced, chosen))


def expanded(traced: Traced, chosen: Sites) -> Sites:
    """Layers and conv groups as the filters they are made of."""
    total, out = count_units(traced), dict[str, list[int]]()
    modules = dict(traced.root.named_modules())
    for site, units in chosen.items():
        path, _, kind = site.rpartition("/")
        if kind in ("layer", "group"):
            own = next((s for s in total if s.rpartition("/")[0] == path), None)
            if own is None:
                raise PlanError(f"chosen: {site} is not in this network; name a convolution or a linear layer")
            count = 1 if kind == "layer" else int(getattr(modules[path], "groups", 1))
            check_sites("chosen", {site: list(units)}, {site: count})
            per = total[own] // count
            site, units = own, [unit for group in units for unit in range(group * per, (group + 1) * per)]
        out[site] = sorted({*out.get(site, []), *units})
    return out


def plan_threshold(
    model: nn.Module, example: Example, threshold: float, *, importance: str = "l1", source: str = ""
) -> RemovalPlan:
    """Cut every unit whose importance, divided by its layer's mean, is at most `threshold`; exact zeros go in any case.

    A unit of importance 0 is not masked: it leaves as the constant that it is (a bias, a norm's shift).
    """
    if not 0 <= threshold < float("inf"):
        raise BadInput(f"threshold must be a finite number of at least 0; got {threshold}")
    traced = trace(model, example)
    flow = flow_of(traced, {})
    open_units = {(site, unit) for group in choosable(flow) for site, unit in members(group)}
    masked = {
        site: [u for u in ((score > 0) & (score <= threshold)).nonzero().flatten().tolist() if (site, u) in open_units]
        for site, score in relative(flow, importance).items()
    }
    return plan_traced(traced, source=source, masked=silent(flow, masked), importance=importance, threshold=threshold)


def plan_target(
    model: nn.Module,
    example: Example,
    target: dict[str, float],
    *,
    importance: str = "l1",
    clock: Clock | None = None,
    dense: Cost | None = None,
    source: str = "",
) -> RemovalPlan:
    """Cut the least important coupled groups until the target holds: at most this much is left.

    `{"macs": 0.5}` and `{"params": 0.5}`: fractions of `dense` (default: of `model`, so that a second cut towards the same
    target of the same `dense` removes nothing more); `{"ms": 3.5}`: milliseconds by `clock`. PlanError where it cannot be met.
    """
    kind, wanted = next(iter(target.items()), ("", 0.0))
    if len(target) != 1 or kind not in TARGETS or not 0 < wanted < float("inf") or (kind != "ms" and wanted > 1):
        raise BadInput(f"target must be one of macs or params (a fraction in 0-1) or ms (above 0); got {target}")
    if kind == "ms" and clock is None:
        raise BadInput("a target in ms needs a clock(network, example) that returns milliseconds; got none")
    traced = trace(model, example)
    flow = flow_of(traced, {})
    measure = measured(model, example, kind, clock)
    limit = wanted if kind == "ms" else wanted * read(kind, dense or cost(model, example))
    ranked = ranking(flow, importance)
    estimate = kind != "ms"
    count = fewest(
        len(ranked), lambda k: (guessed(traced, first(ranked, k, flow), kind) if estimate else
                                measure(plan_traced(traced, masked=first(ranked, k, flow)))) <= limit
    )  # fmt: skip
    while True:  # an estimate may be a little low: what was built decides
        plan = plan_traced(
            traced, source=source, masked=first(ranked, count, flow), importance=importance, target=dict(target)
        )
        left = measure(plan)
        if left <= limit and speaks(flow_of(traced, plan.masked)) >= speaks(flow):
            return plan
        if left <= limit or count >= len(ranked):
            got = f"{left:g} at best, of {limit:g}" if left > limit else "an output that no longer depends on the input"
            raise PlanError(
                f"target {kind}={wanted:g} must be reachable with at most {MOST:.0%} of a layer's units cut; "
                f"got {got}; ask for more"
            )
        count += max(1, len(ranked) // 200)


def silent(flow: Flow, units: Sites) -> Sites:
    """Where these units are silenced: behind the batch norm that alone reads them, so that its shift goes too; else at once.

    That is what removal is in the literature: the filter with its channel of the norm (Li et al., 2017, section 3.1).
    """
    behind, out = norms_behind(flow), dict[str, list[int]]()
    for site, chosen in units.items():
        for place in [f"{path}/norm" for path in behind.get(site, ())] or [site]:
            out[place] = chosen
    return out


def first(ranked: list[Group], count: int, flow: Flow) -> Sites:
    """Where the units of the first groups are silenced; every layer keeps some."""
    total = {site: calls[0].width for site, calls in layers(flow).items()}
    out: Sites = {}
    for group in ranked[:count]:
        if all(len(out.get(site, [])) + len(units) <= MOST * total[site] for site, units in group.units.items()):
            for site, units in group.units.items():
                out.setdefault(site, []).extend(units)
    return silent(flow, {site: sorted(units) for site, units in out.items()})


def fewest(most: int, enough: Callable[[int], bool]) -> int:
    """The smallest count that is enough, by bisection; `most` where none is."""
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low


def ranking(flow: Flow, importance: str) -> list[Group]:
    """Groups a target may choose, the least important first: by the mean over members of importance / layer mean."""
    scores = relative(flow, importance)

    def score(group: Group) -> float:
        return float(torch.stack([scores[site][unit] for site, unit in members(group)]).mean())

    return sorted(choosable(flow), key=score)


def choosable(flow: Flow) -> list[Group]:
    """Coupled groups that are neither the network's input or output nor in a layer that is refilled."""
    refilled = {site for site, calls in layers(flow).items() if any(op.kind != "layer" for op in calls)}
    return [group for group in coupled(flow) if not group.closed and not refilled & set(group.units)]


def speaks(flow: Flow) -> int:
    """How many of the network's outputs depend on its input, in part at least."""
    read = [val for op in flow.ops if op.kind == "output" for value in op.inputs for val in bases(value)]
    return sum(bool((flow.state(val) == ALIVE).any()) for val in read)


def members(group: Group) -> list[tuple[str, int]]:
    return [(site, unit) for site, units in group.units.items() for unit in units]


def relative(flow: Flow, importance: str) -> dict[str, Tensor]:
    """Importance over its layer's mean, so that layers of different scale compare."""
    return {site: score / score.mean().clamp_min(1e-300) for site, score in importances(flow, importance).items()}


def flow_of(traced: Traced, masked: Sites) -> Flow:
    flow = provenance(traced, masked, {})
    mark_needs(flow)
    return flow


def guessed(traced: Traced, masked: Sites, kind: str) -> float:
    """MACs at batch 1, or parameters, read off the states: nothing is built."""
    from core.structure.estimate import estimated

    return read(kind, estimated(flow_of(traced, masked)))


def read(kind: str, counted: Cost) -> float:
    return float(counted.macs if kind == "macs" else counted.params)


def measured(model: nn.Module, example: Example, kind: str, clock: Clock | None) -> Callable[[RemovalPlan], float]:
    """What a plan's compact network really costs."""

    def measure(plan: RemovalPlan) -> float:
        compact: fx.GraphModule = apply(plan, model, example)
        return clock(compact, example) if kind == "ms" and clock is not None else read(kind, cost(compact, example))

    return measure
