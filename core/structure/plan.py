"""A removal plan: which units leave, as plain data. It holds no weights; constants are derived when it is applied."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import PlanError

Sites = dict[str, list[int]]
How = Literal["window", "gather", "none"]
Verdict = Literal["zero", "uniform", "field", "alive"]
VERDICTS: tuple[Verdict, ...] = ("zero", "uniform", "field", "alive")


class ShapeCut(BaseModel):
    """Columns that go (`input * taps + tap`, of inputs that stay), and how. `none`: they stay as zeros, which is faster."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    removed: list[int]
    how: How


class Refilled(BaseModel):
    """A place where the full width is rebuilt in front of an operation, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    site: str
    operation: str
    reason: str


class RemovalPlan(BaseModel):
    """Units that leave, by site (`stage1.0.conv1/filter`); a site without removed units is absent from `removed`.

    `masked`: a chosen cut, units treated as zero though they are not. `pins`: units kept alive on purpose. `unread`:
    input channels of a layer (whole planes behind a flatten) that depend on the input and that it does not read. `shapes`: filter shapes that go, by layer.
    `removed_blocks`: modules with a sum one side of which no longer depends on the input. `untied`: layers that are called
    several times, with different rows or inputs left: a layer for each call. `verdicts`: how many units of each site are what, behind the norm that directly
    follows. `policy`: "fast" pads uneven conv groups to one size and runs them as one convolution; "most" runs groups of
    each size by themselves: fewest MACs, and slower where sizes are many.
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
    policy: Literal["most", "fast"] = "fast"
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


def check_sites(what: str, sites: Sites, total: dict[str, int]) -> None:
    """Every site exists and every unit lies in it."""
    for site, units in sites.items():
        if site not in total:
            known = ", ".join(list(total)[:4])
            raise PlanError(f"{what}: site {site!r} is not in this network; it has {known}, ...; plan for this network")
        wrong = [unit for unit in units if not 0 <= unit < total[site]]
        if wrong:
            raise PlanError(f"{what}: units of {site} must lie in 0..{total[site] - 1}; got {wrong[0]}; plan again")
