"""The runs one can start with one button: named settings with a title and an expected duration."""

from __future__ import annotations

from typing import Any, get_args

from core.config import Frozen, Kind, Phase, RunConfig, checked
from core.crossed import Crossed, together
from core.errors import one_of
from core.level_settings import Level
from core.nested_presets import NESTED_PRESETS, joint
from core.paper_presets import PAPER_PRESETS, baseline, finetuning, learning


class Preset(Frozen):
    """A named starting point: settings, a sentence on what to watch, and minutes on two laptop cores."""

    name: str
    title: str
    say: str
    minutes: float
    config: RunConfig


_DIGITS = Phase(
    epochs=120, lr=0.08, lr_schedule="cosine", lr_floor=0.05, strength_filter=0.006, strength_block=0.05,
    strength_schedule="ramp", ramp_from=0.7, ramp=1.0,
)  # fmt: skip
_LENET = Phase(
    epochs=100, lr=0.03, lr_schedule="cosine", lr_floor=0.05, kinds=("filter",), strength_filter=0.015,
    strength_schedule="ramp", ramp_from=0.5, ramp=1.0,
)  # fmt: skip
_SSL = (
    baseline(15, 0.03),
    learning(30, 0.02, kinds=("filter", "shape"), strength_filter=0.035, strength_shape=0.015, lr_drops=(0.7,)),
    finetuning(15, 0.03),
)
_SHAPES = Phase(
    epochs=20, lr=0.1, lr_schedule="cosine", lr_floor=0.05, strength_filter=0.009, strength_block=0.03,
    strength_schedule="ramp", ramp_from=0.5, ramp=0.8,
)  # fmt: skip


def _dense(phase: Phase) -> Phase:
    """The same stretch without structure learning; it freezes nothing, and goes on from what was there."""
    none = {f"strength_{kind}": 0.0 for kind in get_args(Kind)}
    changes: dict[str, Any] = {
        "method": "dense",
        "solver": "default",
        "joint": (),
        "levels": (),
        "masks": "magnitude",
        "alone": None,
        "level_mean": "all",
        "compression": 1.0,
        "tau": None,
        "freeze": "nothing",
        **none,
    }
    return Phase.model_validate(phase.model_dump() | changes)


PRESETS: tuple[Preset, ...] = (
    Preset(
        name="digits-sss",
        title="Digits: watch a ResNet-20 thin out",
        minutes=1,
        say="Real handwritten digits, a 20-layer residual network, and a penalty that lets filters and whole blocks die.",
        config=RunConfig(preset="digits-sss", batch_size=128, phases=(_DIGITS,)),
    ),
    Preset(
        name="digits-dense",
        title="Digits: the dense control",
        minutes=1,
        say="The same network, data and epochs without the penalty: what the thin one has to match.",
        config=RunConfig(preset="digits-dense", batch_size=128, phases=(_dense(_DIGITS),)),
    ),
    Preset(
        name="digits-lenet",
        title="Digits: LeNet loses its filters",
        minutes=0.3,
        say="The classic network without norms: here a factor scales the filter's own weights.",
        config=RunConfig(
            preset="digits-lenet",
            network="lenet",
            phases=(_LENET,),
        ),
    ),
    Preset(
        name="digits-ssl",
        title="Digits: LeNet under group lasso",
        minutes=0.5,
        say="SSL in three phases: a baseline, group lasso on filters and their shapes, fine-tuning with the zeros kept.",
        config=RunConfig(preset="digits-ssl", network="lenet", phases=_SSL),
    ),
    Preset(
        name="digits-nested",
        title="Digits: two networks in one",
        minutes=1,
        say="NestedNet: a ResNet-20 and, inside it, one with half of its channels, trained together; take either away.",
        config=RunConfig(preset="digits-nested", batch_size=128, phases=(joint(60, (Level(width=0.5), Level())),)),
    ),
    Preset(
        name="shapes-sss",
        title="Shapes: colour images, 20 classes",
        minutes=8,
        say="Procedural 32 x 32 colour images in four families; larger maps, so cutting shows in the clock.",
        config=RunConfig(preset="shapes-sss", dataset="shapes", batch_size=128, measure_every=5, phases=(_SHAPES,)),
    ),
    *(
        Preset(name=name, title=title, say=say, minutes=minutes, config=config)
        for name, title, say, minutes, config in (*PAPER_PRESETS, *NESTED_PRESETS)
    ),
)


def preset(name: str) -> Preset:
    """The preset of that name; raises BadInput with the nearest name."""
    for candidate in PRESETS:
        if candidate.name == name:
            return candidate
    raise one_of("preset", name, [p.name for p in PRESETS])


def dense_control(config: RunConfig) -> RunConfig:
    """The dense network trained equally long: the control that every accuracy is compared with."""
    return config.model_copy(update={"phases": tuple(_dense(phase) for phase in config.phases), "steering": ()})


def scratch_control(config: RunConfig, run: str) -> RunConfig:
    """The shape that `run` of these settings ends with, trained from fresh weights equally long; weights averaged where the run ends with that."""
    first, last = config.phases[0], config.phases[-1]
    changes = {"name": "from scratch", "epochs": config.epochs, "starts_from": "shape", "ema": last.ema}
    phase = _dense(first).model_copy(update=changes)
    return config.model_copy(update={"phases": (phase,), "steering": (), "source": run})


def shuffled_control(config: RunConfig, run: str) -> RunConfig:
    """The baseline of these settings with a random mask of the same shape: as many structures dead in each layer as in `run`, equally long."""
    baseline, last = config.phases[0], _dense(config.phases[-1])
    changes = {
        "name": "random mask",
        "epochs": config.epochs - baseline.epochs,
        "starts_from": "shuffled",
        "freeze": "structures",
    }
    return config.model_copy(
        update={"phases": (baseline, last.model_copy(update=changes)), "steering": (), "source": run}
    )


def hand_tuning(config: RunConfig) -> tuple[int, float]:
    """(epochs, learning rate) to fine-tune with where nothing else is said: a fifth of the run's epochs, a tenth of its last rate."""
    return max(1, round(config.epochs / 5)), config.phases[-1].lr / 10


def hand_tuned(config: RunConfig, run: str, crossed: Crossed, epochs: int, lr: float) -> RunConfig:
    """Fine-tuning of `run`, of these settings, with more units crossed out; every structure that is zero stays zero."""
    phase = _dense(config.phases[-1]).model_dump(mode="json") | {
        "name": "fine-tuning", "epochs": epochs, "lr": lr, "starts_from": "source", "freeze": "structures", "lr_schedule": "cosine",
        "lr_floor": 0.0, "warmup": 0.1, "soft_targets": 0.0, "ema": 0.0,
    }  # fmt: skip
    changes = {"phases": [phase], "steering": [], "source": run, "crossed": together(config.crossed, crossed)}
    return checked(config.model_dump(mode="json") | changes)
