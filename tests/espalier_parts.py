"""A made-up history of a large network, for the espalier's tests and its benchmark: ResNet-164 with bottleneck blocks."""

import numpy as np

EPOCHS = 200


def resnet164(blocks=18, epochs=EPOCHS, seed=0):
    """The espalier's data (see `components.espalier`): 3 stages of bottleneck blocks, units dying at random epochs."""
    draw = np.random.default_rng(seed)
    at = np.arange(epochs + 1)
    stages, alive, units, norms, factor = [], {}, {}, {}, {}
    for stage, width in enumerate((16, 32, 64), 1):
        made = []
        for index in range(blocks):
            path, convs = f"stage{stage}.{index}", []
            for number, (total, kernel) in enumerate(((width, 1), (width, 3), (4 * width, 1)), 1):
                conv = f"{path}.conv{number}"
                site = f"{conv}/filter"
                death = draw.integers(5, int(epochs * 1.6), total)
                state = np.where(at[:, None] < death, 2, 0).astype("u1")
                state[(at[:, None] < death) & (at[:, None] >= death - draw.integers(1, 6, total))] = 1
                units[site], alive[site] = state, (state > 0).sum(1)
                norms[site] = np.exp(-at / draw.uniform(80, 400)) * draw.uniform(0.5, 1.5)
                cost = total * width * kernel**2
                convs.append({"path": conv, "site": site, "label": f"conv{number}", "total": total, "inputs": width, "kernel": kernel,
                              "size": 64 >> stage, "macs": cost * (64 >> stage) ** 2, "params": cost, "reads": None})  # fmt: skip
            death = draw.integers(20, 2 * epochs)
            alive[f"{path}/block"] = (at < death).astype(int)
            factor[f"{path}/block"] = np.where(at < death, np.exp(-at / 60) * draw.uniform(0.8, 1.2, len(at)), 0)
            skip = "identity" if index else "projection"
            made.append(
                {
                    "path": path,
                    "label": f"{stage}.{index + 1}",
                    "skip": skip,
                    "block_site": f"{path}/block",
                    "convs": convs,
                }
            )
        note = f"{4 * width} channels · {64 >> stage}×{64 >> stage}"
        stages.append({"name": f"Stage {stage}", "path": f"stage{stage}", "note": note, "blocks": made})
    says = [f"Stage 1 lost 2 of 18 blocks by epoch {e}, the other stages {e % 9} blocks; MACs −{e % 60} %." for e in at]
    return {
        "network": "resnet164", "input": "cifar10", "classes": 10, "epoch_now": epochs, "total_epochs": epochs, "stages": stages, "alive": alive,
        "factor": factor, "died": {}, "markers": [{"epoch": 60, "label": "strength on filters 0.01 → 0.02"}], "run": "made-up",
        "says": says, "say": says[-1], "units": units, "norms": norms, "noun": "factor", "selected": {"site": None, "epoch": None}, "follow": False,
    }  # fmt: skip
