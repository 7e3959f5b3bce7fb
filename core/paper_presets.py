"""One preset for every published experiment, named after it: the paper's network, data and protocol, as far as they are known.

What a paper does not print is chosen here and said so in `say`: SSL prints no strengths, SSS none for CIFAR.
"""

from __future__ import annotations

from core.config import Phase, RunConfig

UNKNOWN = "The paper prints no strength: this one is ours."


def baseline(epochs: int, lr: float, **more: object) -> Phase:
    """The network as it is before structure is learned."""
    return Phase(name="baseline", method="dense", kinds=(), epochs=epochs, lr=lr, lr_schedule="one-cycle", **more)  # type: ignore[arg-type]


def learning(epochs: int, lr: float, **more: object) -> Phase:
    """SSL from the baseline: most of it at the first rate, which makes the sparsity; the rest recovers."""
    common = {
        "lr_schedule": "step",
        "lr_drops": (0.7, 0.9),
        "strength_schedule": "geometric",
        "ramp_from": 0.1,
        "ramp": 0.6,
    }
    return Phase(name="SSL", method="ssl", starts_from="previous", epochs=epochs, lr=lr, **(common | more))  # type: ignore[arg-type]


def finetuning(epochs: int, lr: float, **more: object) -> Phase:
    """What is zero stays zero, the penalty is gone; the rate rises first, for a cut network is a fresh start."""
    return Phase(
        name="fine-tuning", method="dense", kinds=(), starts_from="previous", freeze="structures", epochs=epochs, lr=lr,
        lr_schedule="one-cycle", **more,  # type: ignore[arg-type]
    )  # fmt: skip


def lenet(name: str, learn: Phase) -> RunConfig:
    """LeNet on MNIST, no augmentation (tables 1 and 2); batch 128 where the released settings have 64."""
    phases = (baseline(10, 0.05), learn, finetuning(10, 0.03))
    return RunConfig(preset=name, network="lenet", dataset="mnist", batch_size=128, weight_decay=5e-4, phases=phases)


def sss(name: str, network: str, dataset: str = "cifar10", **strengths: float) -> RunConfig:
    """SSS on CIFAR: 240 epochs, batch 64, rate 0.1 divided by ten at 120, 160 and 200."""
    kinds = tuple(kind for kind, strength in strengths.items() if strength)
    gammas = {f"strength_{kind}": strength for kind, strength in strengths.items()}
    phase = Phase(epochs=240, kinds=kinds, **gammas)  # type: ignore[arg-type]
    return RunConfig(preset=name, network=network, dataset=dataset, phases=(phase,))


LENET_FILTERS = learning(
    8, 0.02, kinds=("filter",), joint=("norms", "readers"), strength_filter=0.021, multipliers={"fc*": 0.1}, weight_decay=0.0,
    lr_drops=(0.7,), ramp_from=0.2, ramp=0.7,
)  # fmt: skip
LENET_SHAPES = learning(
    10, 0.02, kinds=("shape", "filter"), strength_shape=0.02, strength_filter=0.02, multipliers={"fc*": 0.1}, weight_decay=0.0,
    lr_drops=(0.7,), ramp_from=0.2, ramp=0.7,
)  # fmt: skip
MLP = learning(
    10, 0.02, kinds=("filter", "channel"), joint=("norms", "readers"), strength_filter=0.003, strength_channel=0.003,
    multipliers={"fc2/channel": 0.0, "fc3/channel": 0.0}, weight_decay=0.0, lr_drops=(0.7,), ramp_from=0.2, ramp=0.7,
)  # fmt: skip
CONVNET = learning(
    60,
    0.01,
    kinds=("filter", "shape"),
    strength_filter=0.003,
    strength_shape=0.003,
    multipliers={"fc": 0.0},
    weight_decay=0.0,
)
DEPTH = learning(80, 0.05, kinds=("layer",), strength_layer=0.007)

# name, title, what to know, minutes on two laptop cores, settings
PAPER_PRESETS: tuple[tuple[str, str, str, float, RunConfig], ...] = (
    (
        "ssl-lenet-table1", "SSL table 1: LeNet on MNIST, filters and channels",
        "Group lasso on filters together with the channels that read them (the paper penalises the two one by one), from a trained "
        f"baseline; then fine-tuning. {UNKNOWN}",
        8, lenet("ssl-lenet-table1", LENET_FILTERS),
    ),
    (
        "ssl-lenet-table2", "SSL table 2: LeNet on MNIST, filter shapes",
        f"Group lasso on each tap across all filters, and on filters: the learned windows are no longer squares. {UNKNOWN}",
        9, lenet("ssl-lenet-table2", LENET_SHAPES),
    ),
    (
        "ssl-mlp-fig4", "SSL figure 4: an MLP on MNIST, neurons and pixels",
        "Group lasso on incoming and outgoing weights of every neuron, both in one group, and on the pixels; in the paper two fifths of "
        f"these lost all connections. {UNKNOWN}",
        5,
        RunConfig(
            preset="ssl-mlp-fig4", network="mlp", dataset="mnist", batch_size=128, weight_decay=5e-4,
            phases=(baseline(10, 0.05), MLP, finetuning(10, 0.03)),
        ),
    ),
    (
        "ssl-convnet-table3", "SSL table 3: ConvNet on CIFAR-10, rows and columns",
        f"Filters and filter shapes together; the paper trained 300,000 iterations, this is shorter. {UNKNOWN}",
        300,
        RunConfig(
            preset="ssl-convnet-table3", network="convnet", dataset="cifar10", batch_size=100, weight_decay=0.004,
            phases=(baseline(60, 0.02), CONVNET, finetuning(30, 0.005)), augment={"crop": None},  # type: ignore[arg-type]
        ),
    ),
    (
        "ssl-resnet20-fig6", "SSL figure 6: ResNet-20 on CIFAR-10 learns its depth",
        "One group for each convolution between shortcut endpoints, strength 0.007 as in the released configuration. Compare it with "
        "its dense control: in the paper most of the gain came from training longer.",
        900,
        RunConfig(
            preset="ssl-resnet20-fig6", network="resnet20-projection", dataset="cifar10", batch_size=256,
            phases=(baseline(80, 0.2), DEPTH, finetuning(60, 0.02)),
        ),
    ),
    (
        "sss-resnet20-c10", "SSS: ResNet-20 on CIFAR-10, blocks",
        "240 epochs as remembered of the paper; its strengths for CIFAR are not known. A small network needs each of its blocks.",
        600, sss("sss-resnet20-c10", "resnet20", block=0.01),
    ),
    (
        "sss-resnet164-c10", "SSS: ResNet-164 on CIFAR-10, blocks",
        "The paper's deep network: 54 bottleneck blocks, early stages go first. Made for a GPU; the strength is ours.",
        6000, sss("sss-resnet164-c10", "resnet164", block=0.005),
    ),
    (
        "sss-resnext20-c10", "SSS: ResNeXt-20 on CIFAR-10, conv groups",
        "Conv groups (cardinality 32) as structures; the strength is ours.",
        600, sss("sss-resnext20-c10", "resnext20", group=0.01),
    ),
    (
        "sss-vgg16-c10", "SSS: VGG-16 on CIFAR-10, filters",
        "A plain deep network: no skips, so only filters can go, never a whole layer for free. The strength is ours.",
        3000, sss("sss-vgg16-c10", "vgg16", filter=0.001),
    ),
)  # fmt: skip
