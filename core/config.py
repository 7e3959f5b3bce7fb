"""What a run is: frozen, validated settings with units, ranges and sources.

The command line parses `--set key=value` against these models and the front end builds its forms from them, so
a rule is written once, here. Unknown keys, NaN and infinity are refused. No torch.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from core.data.names import NAMES as DATASETS
from core.errors import BadInput, one_of
from core.networks.names import NAMES as NETWORKS

Kind = Literal["filter", "block"]
Method = Literal["sss", "dense"]
Schedule = Literal["constant", "step", "cosine"]
StrengthSchedule = Literal["constant", "ramp"]
Precision = Literal["auto", "float32", "bfloat16"]
Device = Literal["auto", "cpu", "cuda"]

SSS_PAPER = "Huang & Wang, ECCV 2018, arXiv 1707.01213"


class Frozen(BaseModel):
    """Base of all settings: immutable, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _field(default: Any, title: str, help: str, *, unit: str = "", source: str = "", **rules: Any) -> Any:
    return Field(default, title=title, description=help, json_schema_extra={"unit": unit, "source": source}, **rules)


class Phase(Frozen):
    """One stretch of a run under one method: how long, how fast, how strong, and from which weights."""

    name: str = _field("learning", "Phase", "What this stretch of the run is called on screen.")
    method: Method = _field("sss", "Method", "sss learns which structures to drop; dense is the control without it.")
    epochs: int = _field(60, "Epochs", "Passes over the training images.", unit="epochs", ge=1, le=10_000)
    starts_from: Literal["scratch", "previous"] = _field(
        "scratch", "Starts from", "Fresh random weights, or the weights at the end of the phase before."
    )
    lr: float = _field(0.1, "Learning rate", "Step size for weights and factors alike.", gt=0, le=10, source=SSS_PAPER)
    lr_schedule: Schedule = _field("step", "Learning-rate schedule", "How the learning rate falls over the phase.")
    lr_drops: tuple[float, ...] = _field(
        (0.5, 2 / 3, 5 / 6),
        "Drops at",
        "Fractions of the phase at which `step` divides the rate by ten.",
        source=SSS_PAPER,
    )
    lr_floor: float = _field(0.0, "Lowest rate", "Fraction of the learning rate at which `cosine` ends.", ge=0, le=1)
    strength_filter: float = _field(
        0.0,
        "Strength on filters",
        "L1 weight (gamma) on the factors of filters; 0 leaves them alone.",
        ge=0,
        le=10,
        source=SSS_PAPER,
    )
    strength_block: float = _field(
        0.0,
        "Strength on blocks",
        "L1 weight (gamma) on the factors of residual blocks; 0 leaves them alone.",
        ge=0,
        le=10,
        source=SSS_PAPER,
    )
    kinds: tuple[Kind, ...] = _field(
        ("filter", "block"), "Structures", "Which structures carry a factor and may die, where the network has them."
    )
    strength_schedule: StrengthSchedule = _field(
        "constant",
        "Strength schedule",
        "constant, or ramp: linearly from `ramp_from` to the full strength over `ramp` of the phase.",
    )
    ramp_from: float = _field(
        0.0, "Ramp starts at", "Fraction of the full strength at which `ramp` begins.", ge=0, le=1
    )
    ramp: float = _field(0.5, "Ramp length", "Fraction of the phase over which `ramp` rises.", gt=0, le=1)

    @model_validator(mode="after")
    def _learns_something(self) -> Phase:
        if self.method == "sss" and not self.kinds:
            raise ValueError(
                "kinds must name filter, block or both for sss; got none; take method=dense to learn no structure"
            )
        return self

    @field_validator("lr_drops")
    @classmethod
    def _drops_are_fractions(cls, drops: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < d < 1 for d in drops) or list(drops) != sorted(drops):
            raise ValueError(f"must be rising fractions between 0 and 1; got {list(drops)}")
        return drops


class Steer(Frozen):
    """A change of strength at a step: what a hand did to a living run, so that it can be replayed."""

    step: int = Field(ge=0)
    kind: Kind
    value: float = Field(ge=0, le=10)


class RunConfig(Frozen):
    """Everything that decides the weights a run ends with (and how it is measured)."""

    preset: str = _field("digits-sss", "Preset", "The preset these settings started from.")
    network: str = _field("resnet20", "Network", "Architecture, by its name in the literature.")
    dataset: str = _field("digits", "Data set", "Real or procedural images to learn from.")
    batch_size: int = _field(64, "Batch size", "Images per step.", unit="images", ge=2, le=65_536)
    seed: int = _field(0, "Seed", "Decides initial weights, order and augmentation.", ge=0, le=2**31 - 1)
    momentum: float = _field(
        0.9, "Momentum", "Nesterov momentum of weights, and mu of the factors.", ge=0, lt=1, source=SSS_PAPER
    )
    weight_decay: float = _field(
        1e-4, "Weight decay", "On weights only; never on factors or norms.", ge=0, le=1, source=SSS_PAPER
    )
    phases: tuple[Phase, ...] = Field(
        (Phase(),), min_length=1, title="Phases", description="The stretches of the run, in order."
    )
    measure_every: int = _field(
        20,
        "Measure speed every",
        "Training pauses and the network that would be cut now is timed; 0: only at the end.",
        unit="epochs",
        ge=0,
        le=10_000,
    )
    precision: Precision = _field(
        "auto", "Precision", "auto picks bfloat16 only where the processor computes it fast; fixed at the first start."
    )
    device: Device = _field("auto", "Device", "auto takes a CUDA device where there is one; fixed at the first start.")
    threads: int = _field(
        0, "Threads", "Processor threads; 0 leaves one core to the dashboard. Fixed at the first start.", ge=0, le=1024
    )
    steering: tuple[Steer, ...] = Field(
        default=(), title="Steering", description="Changes of strength to replay, by step."
    )

    @field_validator("network")
    @classmethod
    def _known_network(cls, name: str) -> str:
        if name not in NETWORKS:
            raise one_of("network", name, NETWORKS)
        return name

    @field_validator("dataset")
    @classmethod
    def _known_dataset(cls, name: str) -> str:
        if name not in DATASETS:
            raise one_of("dataset", name, DATASETS)
        return name

    @model_validator(mode="after")
    def _first_phase_has_no_previous(self) -> RunConfig:
        if self.phases[0].starts_from == "previous":
            raise ValueError("phases.0.starts_from must be 'scratch': no phase comes before the first; got 'previous'")
        return self

    @property
    def epochs(self) -> int:
        """Total epochs over all phases."""
        return sum(phase.epochs for phase in self.phases)


def with_settings(config: RunConfig, settings: dict[str, Any]) -> RunConfig:
    """`config` with `key: value` changes; `epochs` is the total, shared by the phases in proportion.

    A key is a field of the run, a field of a phase (then set in every phase whose method it concerns), or
    `phases.N.field`. Values may be text (parsed as JSON where that works). Raises BadInput naming key, rule,
    value and the nearest valid key.
    """
    data = config.model_dump(mode="json")
    for key, raw in settings.items():
        value = _parsed(raw)
        if key == "epochs":
            data["phases"] = _share(data["phases"], value)
        elif key in RunConfig.model_fields and key not in ("phases", "preset"):
            data[key] = value
        elif key in Phase.model_fields:
            for phase in data["phases"]:
                phase[key] = value
        elif key.startswith("phases."):
            _set_in_phase(data["phases"], key, value)
        else:
            raise one_of("--set key", key, settable_keys())
    return checked(data)


def settable_keys() -> list[str]:
    """The keys `--set` takes."""
    run = [k for k in RunConfig.model_fields if k not in ("phases", "preset")]
    return ["epochs", *run, *(k for k in Phase.model_fields if k != "epochs"), "phases.0.epochs"]


def checked(data: dict[str, Any]) -> RunConfig:
    """RunConfig from plain data; raises BadInput with one sentence about the first broken rule."""
    try:
        return RunConfig.model_validate(data)
    except ValidationError as error:
        raise BadInput(_sentence(error)) from None


def _parsed(raw: Any) -> Any:
    if not isinstance(raw, str):
        return raw
    try:
        return json.loads(raw)
    except json.JSONDecodeError:
        return raw


def _share(phases: list[dict[str, Any]], total: Any) -> list[dict[str, Any]]:
    """The phases with `total` epochs among them in their present proportion, at least one each."""
    if not isinstance(total, int) or isinstance(total, bool) or total < len(phases):
        raise BadInput(f"epochs must be a whole number of at least {len(phases)} (one for each phase); got {total!r}")
    before = sum(phase["epochs"] for phase in phases)
    shares = [max(1, round(total * phase["epochs"] / before)) for phase in phases]
    shares[shares.index(max(shares))] += total - sum(shares)
    return [{**phase, "epochs": share} for phase, share in zip(phases, shares, strict=True)]


def _set_in_phase(phases: list[dict[str, Any]], key: str, value: Any) -> None:
    parts = key.split(".")
    if len(parts) != 3 or not parts[1].isdigit() or int(parts[1]) >= len(phases):
        raise BadInput(f"--set {key}: a phase key is phases.N.field with N from 0 to {len(phases) - 1}; got {key!r}")
    if parts[2] not in Phase.model_fields:
        raise one_of(f"--set phases.{parts[1]} field", parts[2], Phase.model_fields)
    phases[int(parts[1])][parts[2]] = value


_RULES = {"int_parsing": "a whole number", "int_from_float": "a whole number", "int_type": "a whole number"}
_RULES |= {"float_parsing": "a number", "float_type": "a number", "finite_number": "a finite number"}


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "settings"
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, BadInput):
        return str(cause)
    if first["type"] == "value_error":
        text = str(cause)
        return text if text.startswith(("phases", where)) else f"{where} {text}"
    if first["type"] == "literal_error":
        choices = re.findall(r"'([^']*)'", first["ctx"]["expected"])
        return str(one_of(where, first["input"], choices))
    if first["type"] == "tuple_type":
        return f'{where} must be a list, as in [0.5, 0.75] or ["filter", "block"]; got {first["input"]!r}'
    if first["type"] == "extra_forbidden":
        known = Phase.model_fields if where.startswith("phases.") else RunConfig.model_fields
        return str(one_of("setting", where.rsplit(".", 1)[-1], known))
    rule = _RULES.get(first["type"]) or first["msg"].removeprefix("Input should be ")
    near = _nearest(first)
    return f"{where} must be {rule}; got {first['input']!r}" + (
        f"; the nearest valid value is {near}" if near is not None else ""
    )


def _nearest(first: Any) -> Any:
    """The bound that the value broke, where it is itself a valid value."""
    bounds = first.get("ctx", {})
    return bounds.get("ge", bounds.get("le"))
