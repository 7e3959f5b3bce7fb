"""The lane's questions about what is crossed out by hand: which units there are, what a choice would leave, and its proof."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from core import cut, latency
from core.crossed import Crossed
from core.runs.folder import RunFolder
from core.runs.lane_stands import Questions, Stands
from core.whatif import SAMPLE_SEED, WhatIf


class WhatIfQuestions(Questions):
    """Answers from the checkpoint after `epoch` epochs, or the nearest one before it (None: the newest); the newest answers are kept."""

    def __init__(self, stands: Stands) -> None:
        super().__init__(stands)
        self.asked = lru_cache(4)(self._asked)
        self.cut = lru_cache(16)(self._cut)
        self.told = lru_cache(64)(self._told)
        self.proved = lru_cache(64)(self._proved)

    def units(self, folder: str, importance: str = "l1", epoch: int | None = None) -> dict[str, Any]:
        """Every site that can be crossed out: importance over its layer's mean and alive flag of each unit, in forward order."""
        asked, done = self.asked(self.which(RunFolder(Path(folder)), epoch))
        sites = [asdict(site) for site in asked.sites(importance)]
        for row in sites:
            row["importance"] = row["importance"] and [float(f"{score:.4g}") for score in row["importance"]]
        return {"epoch": done, "importance": importance, "sites": sites}

    def whatif(self, folder: str, crossed: Crossed, epoch: int | None = None) -> dict[str, Any]:
        """What would be left without the crossed units: MACs, parameters, what leaves, accuracy on the fixed sample."""
        return self.told(self.which(RunFolder(Path(folder)), epoch), json.dumps(crossed, sort_keys=True))

    def proof(self, folder: str, crossed: Crossed, epoch: int | None = None) -> dict[str, Any]:
        """The certificate of that cut."""
        return self.proved(self.which(RunFolder(Path(folder)), epoch), json.dumps(crossed, sort_keys=True))

    def _asked(self, file: str) -> tuple[WhatIf, int]:
        network, config, epoch = self.network_of(file)
        latency.wait_while_measured()
        return WhatIf(network, self.dataset_of(config.dataset), config.network), epoch

    def _cut(self, file: str, crossed: str) -> cut.Cut:
        latency.wait_while_measured()
        return self.asked(file)[0].cut(json.loads(crossed))

    def _told(self, file: str, crossed: str) -> dict[str, Any]:
        asked, epoch = self.asked(file)
        done = self.cut(file, crossed)
        return {
            "epoch": epoch, **cut.counts(done), "removed_blocks": done.plan.removed_blocks, "removed_layers": done.plan.removed_layers,
            "sample": asked.on_sample(done), "split": {"images": len(asked.dataset.val), "seed": SAMPLE_SEED},
        }  # fmt: skip

    def _proved(self, file: str, crossed: str) -> dict[str, Any]:
        return self.asked(file)[0].prove(self.cut(file, crossed)).model_dump(mode="json")
