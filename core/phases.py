"""A phase of a run: one stretch under one method, with everything that decides what the method does. No torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from core.level_settings import Level, check_levels
from core.settings import Frozen, setting

__all__ = ["Frozen", "Kind", "Level", "Method", "Phase", "Steer", "setting"]

Kind = Literal["filter", "channel", "shape", "kernel2d", "layer", "group", "block", "weight"]
Method = Literal["sss", "ssl", "slimming", "l1", "prune", "masks", "nested", "dense"]
Solver = Literal["default", "modified-apg", "apg", "ista", "subgradient", "proximal", "paper"]
Schedule = Literal["constant", "step", "cosine", "one-cycle"]
StrengthSchedule = Literal["constant", "ramp", "geometric"]
Ranking = Literal["l1", "l2", "random"]

KIND_WORDS = {
    "filter": "filters", "channel": "channels", "shape": "filter shapes", "kernel2d": "2-D filters", "layer": "layers",
    "group": "conv groups", "block": "blocks", "weight": "weights",
}  # fmt: skip

SSS_PAPER = "Huang & Wang, ECCV 2018, arXiv 1707.01213"
SSL_PAPER = "Wen et al., NIPS 2016, arXiv 1608.03665"
SLIMMING_PAPER = "Liu et al., ICCV 2017, arXiv 1708.06519"
DEPGRAPH_PAPER = "Fang et al., CVPR 2023, arXiv 2301.12900"
NESTED_PAPER = "Kim et al., CVPR 2018, arXiv 1712.03781"
SLIMMABLE_PAPER = "Yu et al., ICLR 2019, arXiv 1812.08928"
US_PAPER = "Yu & Huang, ICCV 2019, arXiv 1903.05134"
KD_PAPER = "Hinton et al., 2015, arXiv 1503.02531"
L1_PAPER = "Li et al., ICLR 2017, arXiv 1608.08710"

# What a method may learn (or prune), and how it may be solved; the first solver is the method's own.
METHOD_KINDS: dict[str, tuple[str, ...]] = {
    "sss": ("filter", "group", "block"),
    "ssl": ("filter", "channel", "shape", "kernel2d", "layer"),
    "slimming": ("filter",),
    "l1": ("weight",),
    "prune": ("filter", "weight"),
    "masks": (),
    "nested": (),
    "dense": (),
}
JOINT = ("norms", "readers")  # what a filter's or a layer's group may hold beside its own weights
METHOD_SOLVERS: dict[str, tuple[str, ...]] = {
    "sss": ("modified-apg", "apg", "ista", "subgradient"),
    "ssl": ("proximal", "paper"),
    "slimming": ("subgradient",),
    "l1": ("proximal", "paper"),
    "prune": (),
    "masks": (),
    "nested": (),
    "dense": (),
}


class Phase(Frozen):
    """One stretch of a run under one method: how long, how fast, how strong, and from which weights."""

    name: str = setting("learning", "Phase", "What this stretch of the run is called on screen.")
    method: Method = setting(
        "sss",
        "Method",
        "sss: scaling factors; ssl: group lasso on weights; slimming: L1 on the norms' scales; l1: L1 on single weights; "
        "prune: the least important go; masks: a mask for single weights is found; nested: networks in one; dense: the control, "
        "or fine-tuning.",
    )
    solver: Solver = setting(
        "default",
        "Solver",
        "How the penalty is minimised; default is the method's own: modified-apg for sss, proximal for ssl.",
    )
    epochs: int = setting(60, "Epochs", "Passes over the training images.", unit="epochs", ge=1, le=10_000)
    starts_from: Literal["scratch", "previous", "source", "shape", "shuffled"] = setting(
        "scratch",
        "Starts from",
        "Fresh random weights; the weights at the end of the phase before; those of the run named as source; its shape: "
        "fresh weights where it has living structures, zeros where it has none, kept zero; or shuffled: the weights of the phase before, "
        "zero in as many structures of each layer as are dead in the source, drawn at random, kept zero.",
    )
    lr: float = setting(0.1, "Learning rate", "Step size for weights and factors alike.", gt=0, le=10, source=SSS_PAPER)
    lr_schedule: Schedule = setting("step", "Learning-rate schedule", "How the learning rate falls over the phase.")
    lr_drops: tuple[float, ...] = setting(
        (0.5, 2 / 3, 5 / 6),
        "Drops at",
        "Fractions of the phase at which `step` divides the rate by ten.",
        source=SSS_PAPER,
    )
    lr_floor: float = setting(0.0, "Lowest rate", "Fraction of the learning rate at which `cosine` ends.", ge=0, le=1)
    strength_filter: float = setting(
        0.0,
        "Strength on filters",
        "Weight of the penalty on filters and neurons: on their factors (sss, slimming), or on the norms of their weights (ssl).",
        ge=0,
        le=10,
        source=SSS_PAPER,
    )
    strength_block: float = setting(
        0.0, "Strength on blocks", "L1 weight (gamma) on the factors of residual blocks.", ge=0, le=10, source=SSS_PAPER
    )
    strength_group: float = setting(
        0.0,
        "Strength on conv groups",
        "L1 weight (gamma) on the factors of conv groups, where the network has them.",
        ge=0,
        le=10,
        source=SSS_PAPER,
    )
    strength_channel: float = setting(
        0.0,
        "Strength on channels",
        "Group lasso on each layer's input channels; of a linear layer, on each neuron's outgoing weights.",
        ge=0,
        le=10,
        source=SSL_PAPER,
    )
    strength_shape: float = setting(
        0.0,
        "Strength on filter shapes",
        "Group lasso on each tap across all filters: a column of the matrix that a convolution is.",
        ge=0,
        le=10,
        source=SSL_PAPER,
    )
    strength_kernel2d: float = setting(
        0.0,
        "Strength on 2-D filters",
        "Group lasso on each two-dimensional filter: the taps between one input and one output.",
        ge=0,
        le=10,
        source=SSL_PAPER,
    )
    strength_layer: float = setting(
        0.0,
        "Strength on layers",
        "Group lasso on whole convolutions inside residual blocks: how depth is learned.",
        ge=0,
        le=10,
        source=SSL_PAPER,
    )
    strength_weight: float = setting(
        0.0,
        "Strength on weights",
        "L1 on every single weight: the unstructured control.",
        ge=0,
        le=10,
        source=SSL_PAPER,
    )
    kinds: tuple[Kind, ...] = setting(
        ("filter", "block"), "Structures", "Which structures may die, where the network has them."
    )
    multipliers: dict[str, float] = setting(
        {},
        "Multipliers",
        "Strength multipliers by layer or site, as patterns: conv1 or conv1/shape or stage1.*; the last that fits holds.",
        source=SSL_PAPER,
    )
    size_weights: bool = setting(
        False,
        "Weigh by group size",
        "Multiply every group's penalty by the square root of its size; the paper does not.",
    )
    joint: tuple[Literal["norms", "readers"], ...] = setting(
        (),
        "Joint groups",
        "What the group of a filter or layer holds beside its own weights: scale and shift of the norm behind it (norms); the "
        "weights that read it (readers, of filters). Its parts die in the same step, and do not come back.",
        source=DEPGRAPH_PAPER,
    )
    cut_below: float = setting(
        1e-4,
        "Cut below",
        "The paper solver sets single weights below this to 0 after every step.",
        ge=0,
        le=1,
        source=SSL_PAPER,
    )
    splitting: Literal["sequential", "dykstra"] = setting(
        "sequential",
        "Splitting",
        "How overlapping groups (rows and columns) are thresholded: in turn, or by Dykstra's rounds.",
    )
    freeze: Literal["nothing", "structures", "weights"] = setting(
        "nothing",
        "Freeze zeros",
        "What stays zero through the phase: nothing, whole zero filters and shapes, or every zero weight (fine-tuning).",
        source=SSL_PAPER,
    )
    ranking: Ranking = setting(
        "l1", "Ranking", "What prune sorts by: the size of weights or filters, or nothing (random).", source=L1_PAPER
    )
    keep: float = setting(
        0.5,
        "Keep",
        "Fraction that prune leaves: of each layer's filters, or of all weights.",
        gt=0,
        le=1,
        source=L1_PAPER,
    )
    gradual: float = setting(
        0.0, "Gradually over", "Fraction of the phase over which prune goes on, cubically; 0: at once.", ge=0, le=1
    )
    slim_below: float = setting(
        0.01,
        "Slim below",
        "At the end of slimming, filters go whose norm's scale is at most this.",
        ge=0,
        le=1,
        source=SLIMMING_PAPER,
    )
    tau: float | None = setting(
        None,
        "Threshold (tau)",
        "masks keeps the weights above this in size, one number for all layers; what falls below it does not come back.",
        ge=0,
        le=100,
        source=NESTED_PAPER,
    )
    compression: float = setting(
        1.0,
        "Compression",
        "In place of tau: masks keeps one of so many weights, the largest.",
        ge=1,
        le=1e6,
        source=NESTED_PAPER,
    )
    mask_gradient: Literal["detached", "implicit"] = setting(
        "detached",
        "Gradient of the mask",
        "detached: the mask is 0 or 1 and has no gradient; implicit: the paper's differentiable tanh(1e5 max(|W| - tau, 0)).",
        source=NESTED_PAPER,
    )
    levels: tuple[Level, ...] = setting(
        (),
        "Levels",
        "The networks inside one another, core first; the last is the full one. Each keeps a share of channels (width) and blocks "
        "(depth), or one of `compression` weights; it may have labels or a data set of its own.",
        source=NESTED_PAPER,
    )
    first_whole: bool = setting(
        False, "First layer whole", "Every level has the whole first convolution.", source=NESTED_PAPER
    )
    order: Literal["leading", "learned"] = setting(
        "leading",
        "Order of channels",
        "Which channels and blocks a level keeps: the first, or those of most effect in the weights that the phase starts from.",
    )
    masks: Literal["magnitude", "found", "random"] = setting(
        "magnitude",
        "Masks",
        "Of levels that keep weights: the largest when the phase begins; those that phases of the method masks found; or drawn at "
        "random (the control).",
        source=NESTED_PAPER,
    )
    level_norms: Literal["own", "shared", "recalibrated"] = setting(
        "own",
        "Norms of the levels",
        "BatchNorm of each level: its own; the full network's; or the full one's scale and shift with statistics of its own, taken "
        "anew at the end.",
        source=SLIMMABLE_PAPER,
    )
    own_heads: bool = setting(
        False, "Heads of their own", "Every level has its own last linear layer.", source=NESTED_PAPER
    )
    distill: bool = setting(
        False,
        "In-place distillation",
        "Inner levels learn from the full level's class probabilities in place of the labels.",
        source=US_PAPER,
    )
    sandwich: bool = setting(
        False,
        "Sandwich",
        "A step trains the core, the full level and one level between, drawn.",
        source=US_PAPER,
    )
    level_mean: Literal["all", "holders"] = setting(
        "all",
        "Mean of losses over",
        "What moves a weight: the mean of the losses of all levels (Kim et al., CVPR 2018, equation 5), by which what one of n levels has alone "
        "moves an n-th as far as in that level's own network; or, ours, of its holders, the levels that have it.",
    )
    alone: int | None = setting(
        None, "Level alone", "Trains this one level and no other: the control that a nested level is compared with."
    )
    soft_targets: float = setting(
        0.0,
        "Soft targets",
        "Share of the loss that is taken from the class probabilities of the source run's network, the teacher; 0: none.",
        ge=0,
        le=1,
        source=KD_PAPER,
    )
    temperature: float = setting(4.0, "Temperature", "Of the teacher's soft targets.", gt=0, le=1000, source=KD_PAPER)
    weight_decay: float | None = setting(None, "Weight decay here", "Weight decay of this phase; empty: the run's.")
    warmup: float = setting(
        0.0, "Warm-up", "Fraction of the phase over which the learning rate rises from a tenth.", ge=0, lt=1
    )
    ema: float = setting(
        0.0,
        "Weight averaging",
        "Decay of an exponential average of the weights, kept at the end; 0: none. Dense phases only.",
        ge=0,
        lt=1,
    )
    strength_schedule: StrengthSchedule = setting(
        "constant",
        "Strength schedule",
        "constant; or from `ramp_from` to the full strength over `ramp` of the phase: linearly (ramp) or geometrically.",
    )
    ramp_from: float = setting(
        0.0, "Ramp starts at", "Fraction of the full strength at which `ramp` begins.", ge=0, le=1
    )
    ramp: float = setting(0.5, "Ramp length", "Fraction of the phase over which `ramp` rises.", gt=0, le=1)

    @model_validator(mode="after")
    def _fits_its_method(self) -> Phase:
        offered, solvers = METHOD_KINDS[self.method], METHOD_SOLVERS[self.method]
        if offered and not self.kinds:
            raise ValueError(
                f"kinds must name {_either(offered)} for {self.method}; got none; take method=dense to learn no structure"
            )
        wrong = [kind for kind in self.kinds if offered and kind not in offered]
        if wrong:
            raise ValueError(f"kinds must be of {_either(offered)} for {self.method}; got {wrong[0]!r}")
        if self.solver != "default" and self.solver not in solvers:
            raise ValueError(
                f"solver must be default{''.join(f', {s}' for s in solvers)} for {self.method}; got {self.solver!r}"
            )
        if self.ema and self.method != "dense":
            raise ValueError(
                f"ema must be 0 where structure is learned, for an average has no exact zeros; got {self.ema}"
            )
        if self.joint and not (self.method == "ssl" and {"filter", "layer"} & set(self.kinds)):
            raise ValueError(
                f"joint must be empty unless ssl learns filters or layers; got {list(self.joint)} with {self.method}"
            )
        if self.method == "nested":
            check_levels(self.levels, self.alone)
            if self.first_whole and self.levels[0].is_masked:
                raise ValueError("first_whole must be off where levels keep single weights, of every layer; got on")
            if self.soft_targets and any(level.labels or level.dataset for level in self.levels):
                raise ValueError(
                    "soft_targets must be 0 where a level has classes of its own, which the teacher does not know; got "
                    f"{self.soft_targets}"
                )
        if self.tau is not None and self.compression > 1:
            raise ValueError("tau must be empty where compression is given; got both; leave one out")
        if self.method == "masks" and self.tau is None and self.compression == 1:
            raise ValueError(
                "compression must be above 1 for masks, or tau given; got neither; for example compression=2"
            )
        if self.levels and self.method != "nested":
            raise ValueError(
                f"levels must be empty unless the method is nested; got {len(self.levels)} with {self.method}"
            )
        if self.strength_schedule == "geometric" and not self.ramp_from:
            raise ValueError("ramp_from must be above 0 for a geometric schedule; got 0; for example 0.1")
        return self

    @field_validator("multipliers")
    @classmethod
    def _multipliers_are_weights(cls, found: dict[str, float]) -> dict[str, float]:
        if any(not 0 <= value <= 1000 for value in found.values()):
            raise ValueError(f"must be numbers from 0 to 1000 by layer; got {found}")
        return found

    @field_validator("weight_decay")
    @classmethod
    def _decay_is_a_fraction(cls, decay: float | None) -> float | None:
        if decay is not None and not 0 <= decay <= 1:
            raise ValueError(f"must be from 0 to 1, or nothing; got {decay}")
        return decay

    @property
    def own_solver(self) -> str:
        """The solver that acts: the one named, or the method's own."""
        return next(iter(METHOD_SOLVERS[self.method]), "") if self.solver == "default" else self.solver

    def strength(self, kind: str) -> float:
        """The strength of a kind."""
        return float(getattr(self, f"strength_{kind}"))

    @field_validator("lr_drops")
    @classmethod
    def _drops_are_fractions(cls, drops: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < d < 1 for d in drops) or list(drops) != sorted(drops):
            raise ValueError(f"must be rising fractions between 0 and 1; got {list(drops)}")
        return drops


def _either(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


class Steer(Frozen):
    """A change of strength at a step: what a hand did to a living run, so that it can be replayed."""

    step: int = Field(ge=0)
    kind: Kind
    value: float = Field(ge=0, le=10)
