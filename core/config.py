"""What a run is: frozen, validated settings with units, ranges and sources.

The command line parses `--set key=value` against these models and the front end builds its forms from them, so
a rule is written once, here. Unknown keys, NaN and infinity are refused. No torch.
"""

from __future__ import annotations

import json
import re
from itertools import takewhile
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from core.crossed import SITE
from core.data.augment import Augment
from core.data.names import CHOICES as DATASETS
from core.data.names import folder_named
from core.errors import BadInput, one_of
from core.level_settings import Level
from core.networks.names import FACTORY, own_named
from core.networks.names import NAMES as NETWORKS
from core.phases import SSS_PAPER, Frozen, Kind, Method, Phase, Steer, setting

__all__ = ["Frozen", "Kind", "Method", "Phase", "RunConfig", "Steer", "checked", "settable_keys", "with_settings"]

Precision = Literal["auto", "float32", "bfloat16"]
Device = Literal["auto", "cpu", "cuda"]


class RunConfig(Frozen):
    """Everything that decides the weights a run ends with (and how it is measured)."""

    preset: str = setting("digits-sss", "Preset", "The preset these settings started from.")
    network: str = setting(
        "resnet20", "Network", "Architecture, by its name in the literature; or a person's own, module:function@FOLDER."
    )
    dataset: str = setting("digits", "Data set", "Real or procedural images to learn from.")
    source: str = setting(
        "", "Source", "The run whose weights, or whose shape, the first phase starts from.", max_length=200
    )
    batch_size: int = setting(64, "Batch size", "Images per step.", unit="images", ge=2, le=65_536)
    seed: int = setting(0, "Seed", "Decides initial weights, order and augmentation.", ge=0, le=2**31 - 1)
    momentum: float = setting(
        0.9, "Momentum", "Nesterov momentum of weights, and mu of the factors.", ge=0, lt=1, source=SSS_PAPER
    )
    weight_decay: float = setting(
        1e-4, "Weight decay", "On weights only; never on factors or norms.", ge=0, le=1, source=SSS_PAPER
    )
    phases: tuple[Phase, ...] = Field(
        (Phase(),), min_length=1, title="Phases", description="The stretches of the run, in order."
    )
    label_smoothing: float = setting(0.0, "Label smoothing", "Share of the target spread over all classes.", ge=0, lt=1)
    augment: Augment | None = setting(
        None,
        "Augmentation",
        'How training images are varied, e.g. {"crop": 4, "flip": true, "cutout": 8}; empty: the data set\'s own way.',
    )
    measure_every: int = setting(
        20,
        "Measure speed every",
        "Training pauses and the network that would be cut now is timed; 0: only at the end.",
        unit="epochs",
        ge=0,
        le=10_000,
    )
    precision: Precision = setting(
        "auto", "Precision", "auto picks bfloat16 only where the processor computes it fast; fixed at the first start."
    )
    device: Device = setting("auto", "Device", "auto takes a CUDA device where there is one; fixed at the first start.")
    threads: int = setting(
        0, "Threads", "Processor threads; 0 leaves one core to the dashboard. Fixed at the first start.", ge=0, le=1024
    )
    deterministic: bool = setting(
        False,
        "Deterministic",
        "On a GPU: only algorithms that give the same bits each time, which are slower. On a processor runs are repeatable anyway.",
    )
    steering: tuple[Steer, ...] = Field(
        default=(), title="Steering", description="Changes of strength to replay, by step."
    )
    crossed: dict[str, tuple[int, ...]] = setting(
        {},
        "Crossed out by hand",
        "Units of the source run that are set to zero before the first step and stay zero, by site: filters, neurons, conv groups, blocks.",
    )

    @field_validator("network")
    @classmethod
    def _known_network(cls, name: str) -> str:
        if FACTORY.fullmatch(name):
            raise BadInput(
                f"network {name} is a person's own code, which the command line alone may name; got it here; "
                f"run `python -m core run PRESET --network {name}` in its folder"
            )
        if name not in NETWORKS and own_named(name) is None:
            raise one_of("network", name, NETWORKS)
        return name

    @field_validator("dataset")
    @classmethod
    def _known_dataset(cls, name: str) -> str:
        if (folder := folder_named(name)) is not None:
            return str(folder)
        if name not in DATASETS:
            raise one_of("dataset", name, DATASETS)
        return name

    @field_validator("source")
    @classmethod
    def _source_is_a_name(cls, name: str) -> str:
        if name and not re.fullmatch(r"[\w.-]+", name):
            raise ValueError(f"must be the name of a run; got {name!r}")
        return name

    @field_validator("crossed")
    @classmethod
    def _crossed_units_are_units(cls, crossed: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        for site, units in crossed.items():
            if not SITE.fullmatch(site):
                raise ValueError(
                    f"must name sites of filters, neurons, conv groups or blocks, as in stage1.0.conv1/filter; got {site!r}"
                )
            if not units or min(units) < 0:
                raise ValueError(
                    f"must list units of {site}, each at least 0; got {list(units)}; leave out a site without any"
                )
        return {site: tuple(sorted(set(units))) for site, units in crossed.items()}

    @model_validator(mode="after")
    def _phases_start_from_what_there_is(self) -> RunConfig:
        first, *later = (phase.starts_from for phase in self.phases)
        if first == "previous":
            raise ValueError("phases.0.starts_from must be 'scratch': no phase comes before the first; got 'previous'")
        if first == "shuffled":
            raise ValueError(
                "starts_from can be 'shuffled' in a later phase only, whose weights it thins; got it in the first"
            )
        if "shuffled" in later and not self.source:
            raise ValueError(
                "source must name the run whose dead structures are counted where a phase is 'shuffled'; got ''"
            )
        if first in ("source", "shape") and not self.source:
            raise ValueError(
                f"source must name a run where the first phase starts from its {'weights' if first == 'source' else 'shape'}; got ''"
            )
        if self.crossed and first != "source":
            raise ValueError(
                f"crossed must be empty unless the first phase starts from the weights of a source; got starts_from {first!r}; take 'source'"
            )
        if self.crossed and any(phase.method == "nested" for phase in self.phases):
            raise ValueError(
                "crossed must be empty where levels are trained, which have norms of their own; got units; take method=dense"
            )
        if any(phase.method == "nested" for phase in self.phases[:-1]):
            raise ValueError("a phase of the method nested must be the last one; got others behind it")
        if any(phase.soft_targets for phase in self.phases) and not self.source:
            raise ValueError("source must name a run, the teacher, where there are soft targets; got ''")
        last = self.phases[-1]
        if last.method == "nested" and last.masks == "found":
            searches = list(takewhile(lambda phase: phase.method == "masks", reversed(self.phases[:-1])))
            wanted = [(level.compression, level.tau) for level in last.levels[:-1]]
            found = [(phase.compression, phase.tau) for phase in searches]
            if found != wanted or any(phase.starts_from != "previous" for phase in (last, *searches[:-1])):
                raise ValueError(
                    "masks can be 'found' only by phases of the method masks right before, one for each level below the full one, the "
                    f"least sparse first, each from the one before (starts_from previous); got {len(found)} such phases for "
                    f"{len(wanted)} levels"
                )
        if "source" in later:
            raise ValueError("starts_from can be 'source' in the first phase only; got it later; take 'previous'")
        return self

    @property
    def epochs(self) -> int:
        """Total epochs over all phases."""
        return sum(phase.epochs for phase in self.phases)


def with_settings(config: RunConfig, settings: dict[str, Any]) -> RunConfig:
    """`config` with `key: value` changes; `epochs` is the total, shared by the phases in proportion.

    A key is a field of the run (`phases`: all of them, a list), a field of a phase (then set in every phase), or `phases.N.field`. Values may be text (parsed as JSON where that works). Raises BadInput naming key, rule,
    value and the nearest valid key.
    """
    data = config.model_dump(mode="json")
    for key, raw in settings.items():
        value = _parsed(raw)
        if key == "epochs":
            data["phases"] = _share(data["phases"], value)
        elif key in RunConfig.model_fields and key != "preset":
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
    run = [k for k in RunConfig.model_fields if k != "preset"]
    return list(dict.fromkeys(["epochs", *run, *Phase.model_fields, "phases.0.epochs"]))


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


_RULES = {
    "bool_parsing": "true or false",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_type": "a whole number",
}
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
        like = '[{"width": 0.5}, {}]' if where.endswith("levels") else '[0.5, 0.75] or ["filter", "block"]'
        return f"{where} must be a list, as in {like}; got {first['input']!r}"
    if first["type"] == "model_type" and ".levels." in where:
        return f'{where} must be a level, as in {{"width": 0.5}}; got {first["input"]!r}'
    if first["type"] == "extra_forbidden":
        known = Phase.model_fields if where.startswith("phases.") else RunConfig.model_fields
        known = Level.model_fields if ".levels." in where else known
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
