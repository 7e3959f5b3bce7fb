"""The runs one can start with one button: named settings with a title and an expected duration."""

from __future__ import annotations

from typing import get_args

from core.config import Frozen, Kind, Phase, RunConfig
from core.errors import one_of


class Preset(Frozen):
    """A named starting point: settings, a sentence on what to watch, and minutes on two laptop cores."""

    name: str
    title: str
    say: str
    minutes: float
    config: RunConfig


def _cifar(name: str, network: str, *, filter: float = 0.0, block: float = 0.0) -> RunConfig:
    """The paper's CIFAR protocol: 240 epochs, batch 64, rate 0.1 divided by ten at 120, 160 and 200."""
    strengths: dict[Kind, float] = {"filter": filter, "block": block}
    kinds = tuple(kind for kind, strength in strengths.items() if strength)
    phase = Phase(epochs=240, kinds=kinds, strength_filter=filter, strength_block=block)
    return RunConfig(preset=name, network=network, dataset="cifar10", phases=(phase,))


_DIGITS = Phase(
    epochs=120, lr=0.08, lr_schedule="cosine", lr_floor=0.05, strength_filter=0.006, strength_block=0.05,
    strength_schedule="ramp", ramp_from=0.7, ramp=1.0,
)  # fmt: skip
_LENET = Phase(
    epochs=100, lr=0.03, lr_schedule="cosine", lr_floor=0.05, kinds=("filter",), strength_filter=0.015,
    strength_schedule="ramp", ramp_from=0.5, ramp=1.0,
)  # fmt: skip
_SHAPES = Phase(
    epochs=20, lr=0.1, lr_schedule="cosine", lr_floor=0.05, strength_filter=0.009, strength_block=0.03,
    strength_schedule="ramp", ramp_from=0.5, ramp=0.8,
)  # fmt: skip


def _dense(phase: Phase) -> Phase:
    """The same stretch without structure learning; it freezes nothing, and goes on from what was there."""
    none = {f"strength_{kind}": 0.0 for kind in get_args(Kind)}
    return phase.model_copy(update={"method": "dense", "solver": "default", "freeze": "nothing", **none})


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
        name="shapes-sss",
        title="Shapes: colour images, 20 classes",
        minutes=8,
        say="Procedural 32 x 32 colour images in four families; larger maps, so cutting shows in the clock.",
        config=RunConfig(preset="shapes-sss", dataset="shapes", batch_size=128, measure_every=5, phases=(_SHAPES,)),
    ),
    Preset(
        name="cifar10-sss",
        title="CIFAR-10: ResNet-20, the paper's protocol",
        minutes=600,
        say="240 epochs as in the paper; needs the CIFAR-10 files, and patience or a GPU.",
        config=_cifar("cifar10-sss", "resnet20", block=0.01),
    ),
    Preset(
        name="cifar10-sss-164",
        title="CIFAR-10: ResNet-164, blocks",
        minutes=6000,
        say="The paper's deep network: 54 bottleneck blocks, early stages go first. Made for a GPU.",
        config=_cifar("cifar10-sss-164", "resnet164", block=0.005),
    ),
    Preset(
        name="cifar10-sss-vgg16",
        title="CIFAR-10: VGG-16, filters",
        minutes=3000,
        say="A plain deep network: no skips, so only filters can go, never a whole layer for free.",
        config=_cifar("cifar10-sss-vgg16", "vgg16", filter=0.001),
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
    """The shape that `run` of these settings ends with, trained from fresh weights equally long."""
    first = config.phases[0]
    phase = _dense(first).model_copy(update={"name": "from scratch", "epochs": config.epochs, "starts_from": "shape"})
    return config.model_copy(update={"phases": (phase,), "steering": (), "source": run})
