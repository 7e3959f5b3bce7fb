"""Presets of NestedNet (Kim et al., CVPR 2018): the paper's experiments by table, and small forms for two laptop cores.

The paper prints no learning rates, epochs or batch sizes; these are ours, of the form that its laboratory's later code has. So is the mean
of losses that moves a weight: over the levels that have it, where the paper's equation 5 takes all.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from core.config import Phase, RunConfig
from core.errors import BadInput
from core.level_settings import Level
from core.networks.names import SPECS

UNKNOWN = "The paper prints no rates or epochs: these are ours, and so is a weight's mean over the levels that have it (equation 5: over all)."
PLAIN = ("vgg", "lenet", "mlp", "convnet", "caffenet")  # families without sums: every layer's filters can go
HALF = 2**-0.5  # of the channels: half of the weights
SHAPES_RATE = 0.2  # 98.1 % on validation images, 96.4 % at 0.1
RATE = 0.4  # of a short run of channels or levels: the dense networks' best of 0.1, 0.2 and 0.4 in 8 epochs, on validation images
TABLE2 = (
    Level(width=0.25, depth=0.4), Level(width=0.25), Level(depth=0.4), Level(),
)  # fmt: skip
SMALL = (Level(width=0.5, depth=0.5), Level(width=0.5), Level(depth=0.5), Level())
CORE_HALF = (Level(width=0.5, labels="coarse"), Level())

Row = tuple[str, str, str, float, RunConfig]  # name, title, what to know, minutes on two laptop cores, settings


def joint(epochs: int, levels: Sequence[Level], lr: float = 0.1, **more: Any) -> Phase:
    """Joint training of levels, each weight at the pace of a network of its own."""
    return Phase(
        name="joint training", method="nested", kinds=(), epochs=epochs, lr=lr, lr_schedule="one-cycle", levels=tuple(levels),
        level_mean="holders", **more,
    )  # fmt: skip


def weights(epochs: tuple[int, int, int], compressions: Sequence[float]) -> tuple[Phase, ...]:
    """The dense network, a search for each mask from it on, the least sparse first, then joint training."""
    dense, search, together = epochs
    common: dict[str, Any] = {"kinds": (), "lr_schedule": "one-cycle"}
    levels = [Level(compression=c) for c in compressions] + [Level()]
    return (
        Phase(name="dense", method="dense", epochs=dense, lr=0.1, **common),
        *(
            Phase(
                name=f"mask {c:g}x", method="masks", compression=c, gradual=0.5, epochs=search, lr=0.05, starts_from="previous",
                **common,
            )
            for c in reversed(compressions)
        ),
        joint(together, levels, lr=0.05, masks="found", starts_from="previous"),
    )  # fmt: skip


def nested(name: str, network: str, dataset: str, *phases: Phase, decay: float = 5e-4) -> RunConfig:
    """A run of these phases, batch 128."""
    return RunConfig(
        preset=name, network=network, dataset=dataset, batch_size=128, weight_decay=decay, measure_every=0, phases=phases
    )  # fmt: skip


def distilled(epochs: int, levels: Sequence[Level], lr: float = 0.1) -> Phase:
    """The paper's setting for knowledge shared by weights: the first convolution whole, every level its own last layer."""
    return joint(epochs, levels, lr, first_whole=True, own_heads=True)


NESTED_PRESETS: tuple[Row, ...] = (
    (
        "digits-nested-weights", "Digits: three networks in one set of weights",
        "NestedNet by masks on single weights: a third of LeNet's weights inside a half inside all, each mask found from the one before.",
        0.3, nested("digits-nested-weights", "lenet", "digits", *weights((20, 10, 20), (3, 2)), decay=1e-4),
    ),
    (
        "shapes-hierarchy", "Shapes: families at the core, classes at the full level",
        "NestedNet with its own labels for each level: half of the channels tell 4 families apart, all of them 20 classes.",
        10, nested("shapes-hierarchy", "wrn-14-1", "shapes", joint(12, CORE_HALF, SHAPES_RATE)),
    ),
    (
        "nested-resnet20-weights", "NestedNet, small: masks on ResNet-20 at half width",
        "Table 1 in small: 1x, 2x and 3x compression of single weights on CIFAR-10.",
        60, nested("nested-resnet20-weights", "resnet20-half", "cifar10", *weights((12, 4, 10), (3, 2))),
    ),
    (
        "nested-resnet20-channels", "NestedNet, small: channels of ResNet-20 at half width",
        "Table 1 in small: all channels and half of the weights, trained together on CIFAR-10.",
        45, nested("nested-resnet20-channels", "resnet20-half", "cifar10", joint(20, (Level(width=HALF), Level()), RATE)),
    ),
    (
        "nested-wrn-14-2", "NestedNet, small: four levels of WRN-14-2",
        "Table 2 in small: WRN-14-2, 8-2, 14-1 and 8-1 in one network on CIFAR-100.",
        180, nested("nested-wrn-14-2", "wrn-14-2", "cifar100", distilled(20, SMALL, RATE)),
    ),
    (
        "nested-wrn-14-2-hierarchy", "NestedNet, small: 20 and 100 classes in WRN-14-2",
        "Table 3 in small: 20 coarse classes by half of the channels, 100 fine ones by all, on CIFAR-100.",
        150, nested("nested-wrn-14-2-hierarchy", "wrn-14-2", "cifar100", joint(20, CORE_HALF, RATE)),
    ),
    (
        "nested-resnet56-table1-weights", "NestedNet table 1: masks on ResNet-56",
        f"1x, 2x and 3x compression of single weights on CIFAR-10, masks found one from the other. {UNKNOWN}",
        3000, nested("nested-resnet56-table1-weights", "resnet56", "cifar10", *weights((200, 60, 100), (3, 2)), decay=1e-4),
    ),
    (
        "nested-resnet56-table1-channels", "NestedNet table 1: channels of ResNet-56",
        f"All channels, and half of the weights in the leading ones, on CIFAR-10. {UNKNOWN}",
        2000, nested("nested-resnet56-table1-channels", "resnet56", "cifar10", joint(200, (Level(width=HALF), Level())), decay=1e-4),
    ),
    (
        "nested-resnet56-filters", "NestedNet: the filters of nested levels",
        f"A first convolution of 7x7 and three levels of channels: which filters each level adds, and how alike they are. {UNKNOWN}",
        2500, nested("nested-resnet56-filters", "resnet56-7x7", "cifar10", joint(200, (Level(width=0.5), Level(width=HALF), Level())), decay=1e-4),
    ),
    (
        "nested-wrn-fig6", "NestedNet figure 6: four levels of WRN-32-4 on CIFAR-10",
        f"WRN-32-4, 14-4, 32-1 and 14-1 in one network, trained together. {UNKNOWN}",
        20000, nested("nested-wrn-fig6", "wrn-32-4", "cifar10", distilled(200, TABLE2)),
    ),
    (
        "nested-wrn-table2", "NestedNet table 2: four levels of WRN-32-4 on CIFAR-100",
        f"WRN-32-4, 14-4, 32-1 and 14-1 in one network, trained together. {UNKNOWN}",
        20000, nested("nested-wrn-table2", "wrn-32-4", "cifar100", distilled(200, TABLE2)),
    ),
    (
        "nested-wrn-14-8-table3", "NestedNet table 3: 20 and 100 classes in WRN-14-8",
        f"CIFAR-100's 20 coarse classes in WRN-14-4, its 100 in WRN-14-8 around it. {UNKNOWN}",
        25000, nested("nested-wrn-14-8-table3", "wrn-14-8", "cifar100", joint(200, CORE_HALF)),
    ),
    (
        "nested-wrn-32-4-table3", "NestedNet table 3: 20 and 100 classes in WRN-32-4",
        f"CIFAR-100's 20 coarse classes in WRN-32-2, its 100 in WRN-32-4 around it. {UNKNOWN}",
        18000, nested("nested-wrn-32-4-table3", "wrn-32-4", "cifar100", joint(200, CORE_HALF)),
    ),
)  # fmt: skip


def level_control(config: RunConfig, level: int) -> RunConfig:
    """A level of these settings trained alone with the same budget: the paper's independent baselines.

    A level with classes of its own is trained on the data set of those classes. Masks that were searched for become magnitude pruning
    (Han et al., NIPS 2015): the dense network, then its largest weights alone. BadInput where there is no such data set.
    """
    last = config.phases[-1]
    own = last.levels[level]
    dataset = own.dataset or config.dataset
    if own.labels:
        if own.labels != "coarse":
            raise BadInput(
                f"a level alone must have a data set of its classes; level {level} has those of {own.labels}; leave out --controls"
            )
        dataset = f"{config.dataset}-coarse"
    plain = tuple(one.model_copy(update={"labels": "", "dataset": ""}) for one in last.levels)
    before = config.phases[:1] if last.masks == "found" else config.phases[:-1]
    changes: dict[str, Any] = {
        "name": f"level {level} alone", "levels": plain, "alone": level, "distill": False, "sandwich": False, "level_mean": "all",
        "masks": "magnitude" if last.masks == "found" else last.masks,
        "epochs": config.epochs - sum(phase.epochs for phase in before),
    }  # fmt: skip
    phase = Phase.model_validate(last.model_dump() | changes)
    return RunConfig.model_validate(config.model_dump() | {"phases": (*before, phase), "dataset": dataset})


def student_control(config: RunConfig, level: int, teacher: str) -> RunConfig:
    """A level trained alone from the soft targets of run `teacher`, a dense run of the full network (Hinton et al., 2015)."""
    alone = level_control(config, level)
    last = alone.phases[-1].model_copy(update={"name": f"level {level} from a teacher", "soft_targets": 0.9})
    return alone.model_copy(update={"phases": (*alone.phases[:-1], last), "source": teacher})


def filters_control(config: RunConfig, level: int) -> RunConfig:
    """L1-norm filter pruning (Li et al., ICLR 2017) to about as many weights as a level of channels has, in the same epochs.

    In residual networks filters inside blocks alone can go, so that weights fall with the fraction kept; in plain ones with its square.
    """
    last = config.phases[-1]
    half, spec, width = config.epochs // 2, SPECS.get(config.network), last.levels[level].width
    keep = width if spec is not None and spec.family in PLAIN else width**2
    common: dict[str, Any] = {"lr_schedule": "one-cycle", "weight_decay": last.weight_decay}
    dense = Phase(name="dense", method="dense", kinds=(), epochs=config.epochs - half, lr=last.lr, **common)
    pruned = Phase(
        name="L1-norm filters", method="prune", kinds=("filter",), ranking="l1", keep=keep,
        starts_from="previous", epochs=max(1, half), lr=last.lr / 2, **common,
    )  # fmt: skip
    return config.model_copy(update={"phases": (dense, pruned)})


def random_control(config: RunConfig) -> RunConfig:
    """The same levels of single weights with masks drawn at random: after the same dense training, where the run begins with one, jointly
    for the rest of its epochs, those of the search for masks too."""
    dense = tuple(takewhile(lambda phase: phase.method == "dense", config.phases[:-1]))
    changes = {
        "masks": "random", "starts_from": "previous" if dense else "scratch", "epochs": config.epochs - sum(p.epochs for p in dense),
        "name": "joint training, random masks",
    }  # fmt: skip
    phase = Phase.model_validate(config.phases[-1].model_dump() | changes)
    return config.model_copy(update={"phases": (*dense, phase)})


def nested_controls(config: RunConfig, teacher: str = "") -> list[tuple[str, RunConfig]]:
    """(role, settings) of what a nested run is compared with, beside the dense network.

    Every level below the full one alone; of single weights, random masks; of channels, L1-norm filters; and where a `teacher` is named, a
    dense run, the core taught by it. BadInput where one cannot be trained.
    """
    levels = config.phases[-1].levels
    found = [("level alone", level_control(config, level)) for level in range(len(levels) - 1)]
    if levels[0].is_masked and config.phases[-1].masks != "random":
        found.append(("random masks", random_control(config)))
    for number, level in enumerate(levels[:-1]):
        if level.width < 1 and level.depth == 1 and not (level.labels or level.dataset):
            found.append(("L1-norm filters", filters_control(config, number)))
    if teacher and levels[0].is_scheduled and not (levels[0].labels or levels[0].dataset):
        found.append(("student", student_control(config, 0, teacher)))
    return found
