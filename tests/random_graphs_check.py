"""What must hold for every random network: the knife changes nothing. Checks, tables of many checks, and shrinking."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import random_graphs as graphs
import random_graphs_net as nets
from oracles_structure import generator, spread
from random_graphs_steps import labels

from core.structure import apply, plan_zeros

OUTPUT_TOLERANCE, GRADIENT_TOLERANCE = 1e-9, 1e-8  # of the reference's scale
SMALLEST_SCALE = 1e-3  # outputs below it are compared as if they had this scale
TELLING = 1e-4
PLAIN = ("torch", "_operator", "builtins", "math", "einops")


@dataclass
class Outcome:
    """`verdict`: the same, another answer, or an exception; `where`: in which phase; `cause`: the error's kind and line in the knife, or how wrong; `graded`: the gradient was compared;
    `uniform`: units that are a constant other than 0."""

    verdict: Literal["equal", "silent", "loud"] = "equal"
    where: str = ""
    message: str = ""
    cause: str = ""
    removed: int = 0
    uniform: int = 0
    refilled: int = 0
    spread: float = 0.0
    graded: bool = False
    reached: list[str] = field(default_factory=list)
    detail: str = ""

    @property
    def signature(self) -> tuple[str, str, str]:
        """The same for failures of one cause, roughly."""
        return self.verdict, self.where, self.cause


class Differs(Exception):
    """The compact network says something else than the original."""

    def __init__(self, message: str, cause: str = "") -> None:
        super().__init__(message)
        self.cause = cause


def check(case: graphs.Case, cut: Callable[..., Any] | None = None) -> Outcome:
    """Plan and apply zeros, compare outputs and gradients, and look at what was built. `cut`: what replaces the knife."""
    net = nets.build(case)
    found = Outcome(reached=net.reached)
    where = "plan"
    try:
        batches = inputs(case)
        example = batches[0][:1].clone()
        net.train(case.seed % 3 == 0)
        before, flags = {k: v.clone() for k, v in net.state_dict().items()}, [m.training for m in net.modules()]
        plan = plan_zeros(net, example)
        found.removed = sum(map(len, plan.removed.values()))
        found.uniform = sum(counts["uniform"] for counts in plan.verdicts.values())
        found.refilled = len(plan.refilled)
        where = "apply"
        compact = (cut or apply)(plan, net, example)
        where = "caller's network"
        check_unchanged(net, before, flags)
        where = "kind of parts"
        check_plain(net, compact)
        net.eval()
        compact.eval()
        where = "forward"
        spreads = []
        for x in batches:
            expected = flat(net, x)
            compare(f"output for {tuple(x.shape)}", expected, flat(compact, x), OUTPUT_TOLERANCE)
            spreads.append(spread(expected))
        found.spread = min(spreads)
        where = "gradient"
        found.graded = check_gradient(net, compact, batches[1])
    except Differs as error:
        found.verdict, found.where, found.message, found.cause = "silent", where, str(error), error.cause
    except Exception as error:
        own = [f for f in traceback.extract_tb(error.__traceback__) if Path("core/structure").as_posix() in f.filename]
        found.verdict, found.where, found.cause = "loud", where, type(error).__name__
        if own:
            found.cause += f" at {Path(own[-1].filename).name}:{own[-1].lineno}"
        found.message = f"{type(error).__name__}: {error}".split("\n")[0]
        found.detail = "".join(traceback.format_exception(error)[-8:])
    return found


def inputs(case: graphs.Case) -> list[Tensor]:
    """Other images than those it grew on, at two batches, and at another size where the network takes two."""
    g, (small, large) = generator(case.seed + 3), graphs.PLANES[case.planes]
    shapes = [(6, *small), (2, *small)] + ([] if case.fixed else [(5, *large), (2, *large)])
    return [torch.randn(n, graphs.IMAGE_CHANNELS, h, w, generator=g, dtype=torch.float64) for n, h, w in shapes]


def outputs(net: nn.Module, x: Tensor) -> Tensor:
    """All outputs of a batch side by side, (N, anything)."""
    return torch.cat([part.flatten(1) for part in nets.tensors(net.forward(x.clone()))], 1)


@torch.no_grad()
def flat(net: nn.Module, x: Tensor) -> Tensor:
    return outputs(net, x)


def compare(what: str, expected: Tensor, found: Tensor, tolerance: float) -> None:
    if expected.shape != found.shape:
        raise Differs(f"{what}: shape {tuple(found.shape)} for {tuple(expected.shape)}")
    scale = max(float(expected.abs().max()), SMALLEST_SCALE)
    worst = float((expected - found).abs().max()) / scale
    if not worst <= tolerance:
        raise Differs(
            f"{what}: {worst:.1e} of its scale {scale:.1e}", "rounding of float32" if worst < 1e-6 else "wrong"
        )


def gradient(net: nn.Module, x: Tensor, weights: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    out = outputs(net, x)
    if not out.requires_grad:
        return torch.zeros_like(x)
    found = torch.autograd.grad((out * weights).sum(), x, allow_unused=True)[0]
    return torch.zeros_like(x) if found is None else found


def check_gradient(net: nn.Module, compact: nn.Module, x: Tensor) -> bool:
    """Compare the gradient of a random projection; False where the original has none (a kink of a root, a saved value)."""
    weights = torch.randn(flat(net, x).shape, generator=generator(x.shape[2]), dtype=torch.float64)
    try:
        expected = gradient(net, x, weights)
    except RuntimeError:
        return False
    if not torch.isfinite(expected).all():
        return False
    found = gradient(compact, x, weights)
    try:
        compare("gradient", expected, found, GRADIENT_TOLERANCE)
    except Differs:
        if not autograd_errs(net, x, weights, expected, found):
            raise
        return False
    return True


def autograd_errs(net: nn.Module, x: Tensor, weights: Tensor, expected: Tensor, found: Tensor) -> bool:
    """Whether differences of the original's own values side with `found`: torch's gradient of the original is then wrong.

    Seen with torch 2.13: an InstanceNorm with running statistics in front of multi-head attention, eval mode.
    """
    way = torch.randn(x.shape, generator=generator(3), dtype=torch.float64)
    with torch.no_grad():
        up, down = ((outputs(net, x + step * way) * weights).sum() for step in (1e-5, -1e-5))
    slope = float(up - down) / 2e-5
    errors = [abs(float((gradient * way).sum()) - slope) for gradient in (expected, found)]
    return errors[1] < 1e-4 * max(1.0, abs(slope)) < 0.1 * errors[0]


def check_unchanged(net: nn.Module, before: dict[str, Tensor], flags: list[bool]) -> None:
    if [m.training for m in net.modules()] != flags:
        raise Differs("a module's training mode changed")
    after = net.state_dict()
    wrong = [k for k in before if k not in after or not torch.equal(before[k], after[k])]
    if wrong or len(after) != len(before):
        raise Differs(f"the state of {wrong or 'the network'} changed")


def check_plain(net: nn.Module, compact: nn.Module) -> None:
    """Modules and functions of torch only, and no memory shared with the original."""
    for module in compact.modules():
        if not type(module).__module__.startswith("torch."):
            raise Differs(f"{type(module).__qualname__} is no torch.nn module")
    assert isinstance(compact, fx.GraphModule)
    for node in compact.graph.nodes:
        home = str(getattr(node.target, "__module__", None) or "torch").split(".")[0]
        if node.op == "call_function" and home not in PLAIN:
            raise Differs(f"{node.target} is no torch function")
    own = {t.untyped_storage().data_ptr() for t in (*net.parameters(), *net.buffers()) if t.numel()}
    if any(t.untyped_storage().data_ptr() in own for t in (*compact.parameters(), *compact.buffers()) if t.numel()):
        raise Differs("the compact network shares memory with the original")


# ---- shrinking -----------------------------------------------------------------------------------------------------


def shrink(case: graphs.Case, fails: Callable[[graphs.Case], bool]) -> graphs.Case:
    """A smaller case that fails the same way: fewer steps, first choices, plainer zeros."""
    changed = True
    while changed:
        changed = False
        for smaller in smaller_cases(case):
            if smaller != case and fails(smaller):
                case, changed = smaller, True
                break
    return case


def smaller_cases(case: graphs.Case) -> Iterable[graphs.Case]:
    steps = case.steps
    for length in (len(steps) // 2, 2, 1):
        for i in range(0, len(steps) if length else 0, max(length, 1)):
            yield case._replace(steps=steps[:i] + steps[i + length :])
    for head in graphs.OTHER_HEADS if case.head not in graphs.OTHER_HEADS else ():
        yield case._replace(head=head, join=False)
    for name, plain in (
        ("join", False),
        ("fixed", False),
        ("planes", 0),
        ("whole", 0.0),
        ("seed", case.seed % 3),
        ("seed", 1),
    ):
        if getattr(case, name) != plain and not (name == "seed" and case.seed <= 3):
            yield case._replace(**{name: plain})
    for i, step in enumerate(steps):
        if any(step.back):
            yield case._replace(steps=(*steps[:i], step._replace(back=(0,) * len(step.back)), *steps[i + 1 :]))


def shrunken(case: graphs.Case) -> graphs.Case:
    wanted = check(case).signature
    return shrink(case, lambda smaller: check(smaller).signature == wanted)


# ---- many cases ----------------------------------------------------------------------------------------------------


def check_seed(seed: int) -> tuple[int, Outcome]:
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch.*")
    return seed, check(graphs.random_case(seed))


@dataclass
class Survey:
    """Outcomes of many seeds, added up."""

    cases: int = 0
    removed: int = 0
    with_removals: int = 0
    telling: int = 0
    graded: int = 0
    refilled: int = 0
    coverage: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, Outcome]] = field(default_factory=list)

    def add(self, seed: int, outcome: Outcome) -> None:
        self.cases += 1
        self.removed += outcome.removed
        self.with_removals += outcome.removed > 0
        self.telling += outcome.spread > TELLING
        self.graded += outcome.graded
        self.refilled += outcome.refilled
        self.coverage.update(set(outcome.reached))
        self.coverage.update({label.split(":")[0] for label in outcome.reached})
        if outcome.verdict != "equal":
            self.failures.append((seed, outcome))
            print(f"seed {seed}: {' | '.join(outcome.signature)}", file=sys.stderr, flush=True)

    def count(self, verdict: str) -> int:
        return sum(outcome.verdict == verdict for _, outcome in self.failures)

    def table(self) -> str:
        share = {
            name: f"{100 * getattr(self, name) / self.cases:.1f} %" for name in ("with_removals", "telling", "graded")
        }
        return "\n".join(
            [
                f"cases                {self.cases}",
                f"removed units        {self.removed}",
                f"with removals        {share['with_removals']}",
                f"output tells         {share['telling']} (spread > {TELLING:g})",
                f"gradient compared    {share['graded']}",
                f"refilled operations  {self.refilled}",
                f"silent               {self.count('silent')}",
                f"loud                 {self.count('loud')}",
            ]
        )

    def coverage_table(self, forms: bool) -> str:
        """Share of the cases whose output reads a step of that kind (and form), rarest first."""
        rows = sorted(labels() if forms else kinds(), key=lambda name: self.coverage[name])
        return "\n".join(f"{100 * self.coverage[name] / self.cases:6.2f} %  {name}" for name in rows)


def kinds() -> list[str]:
    return list(dict.fromkeys(label.split(":")[0] for label in labels()))


def survey(seeds: Iterable[int], jobs: int = 1) -> Survey:
    found = Survey()
    if jobs == 1:
        for seed in seeds:
            found.add(*check_seed(seed))
        return found
    with ProcessPoolExecutor(jobs) as pool:
        for seed, outcome in pool.map(check_seed, seeds, chunksize=20):
            found.add(seed, outcome)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the knife on random networks.")
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--forms", action="store_true", help="coverage of every form, not of the kinds only")
    parser.add_argument("--shrink", type=int, default=1, help="how many failures of each cause to shrink and print")
    given = parser.parse_args()
    start = time.perf_counter()
    found = survey(range(given.seed, given.seed + given.count), given.jobs)
    seconds = time.perf_counter() - start
    print(found.table())
    print(f"seconds per 100      {100 * seconds / given.count:.1f} ({given.jobs} jobs)\n")
    print(found.coverage_table(given.forms))
    causes: dict[tuple, list[tuple[int, Outcome]]] = {}
    for seed, outcome in found.failures:
        causes.setdefault(outcome.signature, []).append((seed, outcome))
    for signature, group in sorted(causes.items(), key=lambda item: -len(item[1])):
        print(f"\n{len(group)} x {' | '.join(signature)}\n  seeds {[seed for seed, _ in group][:20]}")
        for seed, _ in group[: given.shrink]:
            case = shrunken(graphs.random_case(seed))
            again = check(case)
            print(f"  {case!r}\n  {again.where}: {again.message}\n{again.detail}")
    sys.exit(1 if found.failures else 0)
