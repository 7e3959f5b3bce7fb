"""The tables of SSL and SSS on CIFAR-10, shorter than the papers': depth of ResNet-20, ConvNet, blocks and filters, conv groups.

SSL: Wen et al., NIPS 2016, figure 6 and table 3. SSS: Huang & Wang, ECCV 2018, section 4.1.
"""

from __future__ import annotations

from typing import Any

from core.config import Phase, RunConfig
from core.evidence.of_seeds import THREE, controlled, seeded, settings
from core.evidence.wanted import DENSE, Table, Wanted
from core.paper_presets import finetuning
from core.presets import dense_control

DEPTH: dict[str, Any] = {
    "batch_size": 128, "measure_every": 0, "phases.0.epochs": 12, "phases.0.lr": 0.2, "phases.1.epochs": 8, "phases.2.epochs": 6,
    "phases.1.strength_layer": 0.027, "phases.1.joint": ["norms"], "phases.2.lr": 0.05,
}  # fmt: skip
CONVNET: dict[str, Any] = {
    "measure_every": 0, "weight_decay": 1e-3, "phases.0.epochs": 12, "phases.0.lr": 0.05, "phases.1.epochs": 12, "phases.1.lr": 0.02,
    "phases.1.strength_filter": 0.004, "phases.1.strength_shape": 0.004, "phases.2.epochs": 8, "phases.2.lr": 0.05,
}  # fmt: skip
ONE_PASS = Phase(
    epochs=15, lr=0.2, lr_schedule="one-cycle", kinds=("filter", "block"), strength_filter=0.0016, strength_block=0.06,
    strength_schedule="ramp", ramp_from=0.3, ramp=0.5,
)  # fmt: skip
SEARCHED = ("ISTA, three times the strength",)  # of two settings, as the table's note says
GROUPS = ONE_PASS.model_copy(
    update={"kinds": ("group",), "strength_filter": 0.0, "strength_block": 0.0, "strength_group": 0.004}
)


def depth(seed: int) -> list[Wanted]:
    """A baseline; SSL on layers from it; the dense network from it, equally long; and ResNet-32, as long as both together."""
    stem = "ssl-resnet20-depth"
    whole = seeded(settings("ssl-resnet20-fig6", **DEPTH), (seed,))[0]
    first, *rest = whole.phases
    baseline = whole.model_copy(update={"phases": (first,)})
    after = (rest[0].model_copy(update={"starts_from": "source"}), *rest[1:])
    method = whole.model_copy(update={"phases": after, "source": f"{stem}.baseline.{seed}"})
    deeper = dense_control(whole).model_copy(update={"network": "resnet32-projection"})
    return [
        Wanted(f"{stem}.{seed}", "depth", method, tried=4),
        Wanted(f"{stem}.baseline.{seed}", "depth", baseline, "baseline"),
        Wanted(f"{stem}.dense.{seed}", "depth", dense_control(method), DENSE),
        Wanted(f"{stem}.resnet32.{seed}", "depth", deeper, "ResNet-32"),
    ]


def one_pass(*phases: Phase, network: str = "resnet20") -> RunConfig:
    """A run of these phases on CIFAR-10, seed 0."""
    return RunConfig(
        preset=f"sss-{network}-c10", network=network, dataset="cifar10", batch_size=128, weight_decay=5e-4, measure_every=0, phases=phases
    )  # fmt: skip


def others() -> list[Wanted]:
    """What the same fifteen epochs reach by other ways, of one seed; each beside the dense network equally long."""
    solvers = {
        name: one_pass(ONE_PASS.model_copy(update={"solver": solver}))
        for name, solver in (("APG", "apg"), ("ISTA", "ista"), ("subgradient and threshold", "subgradient"))
    }
    more = {key: 3 * getattr(ONE_PASS, key) for key in ("strength_filter", "strength_block")}
    solvers["ISTA, three times the strength"] = one_pass(ONE_PASS.model_copy(update={"solver": "ista", **more}))
    slim = Phase(
        name="slimming", method="slimming", kinds=("filter",), strength_filter=0.002, epochs=10, lr=0.2, lr_schedule="one-cycle"
    )  # fmt: skip
    tune = finetuning(5, 0.05)
    dense = Phase(name="dense", method="dense", kinds=(), epochs=10, lr=0.2, lr_schedule="one-cycle")
    cut = Phase(
        name="L1-norm filters", method="prune", kinds=("filter",), keep=0.5, epochs=5, lr=0.05, lr_schedule="one-cycle", starts_from="previous"
    )  # fmt: skip
    single = Phase(
        name="l1", method="l1", kinds=("weight",), strength_weight=1e-4, epochs=10, lr=0.2, lr_schedule="one-cycle"
    )
    smallest = cut.model_copy(update={"name": "smallest weights", "kinds": ("weight",)})
    found = solvers | {
        "network slimming": one_pass(slim, tune),
        "L1-norm filters": one_pass(dense, cut),
        "l1 on weights": one_pass(single, smallest),
    }
    whole = dense_control(one_pass(ONE_PASS))
    return [
        wanted
        for name, config in found.items()
        for wanted in (
            Wanted(f"sss-resnet20.{_words(name)}.0", name, config, tried=2 if name in SEARCHED else 1),
            Wanted("sss-resnet20.dense.0", name, whole, DENSE),
        )
    ]


def _words(name: str) -> str:
    return name.lower().replace(",", "").replace(" ", "-")


SSL_DEPTH = Table(
    "ssl-resnet20-depth", "SSL on CIFAR-10: ResNet-20 learns its depth",
    "Does depth regularisation take layers away and gain accuracy, against the network trained equally long, and against ResNet-32?",
    tuple(wanted for seed in THREE for wanted in depth(seed)), paper={"depth": "SSL-ResNet-18"}, chosen="by the layers they leave, not by accuracy,",
)  # fmt: skip
SSL_CONVNET = Table(
    "ssl-convnet", "SSL on CIFAR-10: ConvNet, rows and columns",
    "Do filters and filter shapes go together at no loss?",
    tuple(controlled("ssl-convnet", "rows and columns", settings("ssl-convnet-table3", **CONVNET), tried=4)), cost="conv_macs",
    paper={"rows and columns": "ConvNet 2"},
)  # fmt: skip
SSS_RESNET = Table(
    "sss-resnet20", "SSS on CIFAR-10: ResNet-20, blocks and filters",
    "What does one pass keep, against its shape from scratch, and against other ways to a small network?",
    (*controlled("sss-resnet20", "SSS", one_pass(ONE_PASS), tried=2), *others()), paper={"SSS": "SSS"}, differs={"SSS": "blocks alone"},
    chosen="on validation images, ISTA's strength by what it left,",
    note="APG, ISTA and the subgradient have SSS's strengths. The standard APG's momentum grows towards 1, so that it pulls harder; ISTA has no momentum, so that at the same strength a step of it pulls a factor 1 / (1 - mu) = ten times less; at ten times the "
    "strength it took every residual block within nine epochs, hence three times. Few exact zeros of l1 on single weights outlast the "
    "noise of small batches as the rate falls (0.3 % at the end of a run of three epochs), so that the smaller half of the weights is cut after it.",
)  # fmt: skip
SSS_RESNEXT = Table(
    "sss-resnext20", "SSS on CIFAR-10: ResNeXt-20, conv groups",
    "Which conv groups go first?",
    tuple(controlled("sss-resnext20", "SSS", one_pass(GROUPS, network="resnext20"), (0,), scratch=False)), paper={"SSS": "SSS"},
)  # fmt: skip
