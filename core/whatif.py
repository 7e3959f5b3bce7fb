"""What if these units went: plan, compact network, price, proof and accuracy of a trained network without what is crossed out.

Nothing is trained again. The choice is made by looking at a fixed sample of validation images, so that the test images, which
tell what it really costs, have not been chosen by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from core import proof
from core.crossed import checked_against
from core.crossing import crossable, silenced
from core.cut import Cut
from core.data import batches
from core.data.dataset import Dataset, Split
from core.errors import BadInput
from core.intervals import paired_difference, wilson
from core.knife import plain
from core.methods.survival import merged, survival
from core.structure import Certificate, apply, cost, trace
from core.structure.planning import flow_of, relative
from core.structure.zeros import plan_traced

SAMPLE = 256
SAMPLE_SEED = 2018  # of the drawn images; changing it changes every answer on the sample
Crossed = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Site:
    """A site whose units can be crossed out. `importance`: over the layer's mean, of a conv group the mean of its filters; a block has none.

    `closed`: why it cannot be crossed out, "" where it can.
    """

    site: str
    kind: str
    total: int
    importance: list[float] | None
    alive: list[bool]
    closed: str


class WhatIf:
    """A trained network, followed once, that answers what would be left of it. The network given is left untouched."""

    def __init__(self, trained: nn.Module, dataset: Dataset, source: str) -> None:
        self.trained, self.dataset, self.source = trained, dataset, source
        self.model = plain(trained)
        self.example = torch.zeros(1, *dataset.shape)
        self.traced = trace(self.model, self.example)
        self.flow = flow_of(self.traced, {})
        self.cost = cost(self.model, self.example)
        self.structures = crossable(self.model)
        self.sample = sample_of(dataset.val)
        self.right = right_answers(self.model, self.sample, dataset)

    def sites(self, importance: str = "l1") -> list[Site]:
        """Every site that can be crossed out, in forward order."""
        scores = {site.rpartition("/")[0]: score for site, score in relative(self.flow, importance).items()}
        shown = survival(self.model, self.structures, {})
        sites, start = [], 0
        for s in self.structures:
            alive = shown.alive[start : start + s.total] > 0
            start += s.total
            own = None
            if s.kind != "block" and s.layer in scores:
                own = merged(scores[s.layer], s.total, torch.mean).tolist()
            sites.append(Site(s.site, s.kind, s.total, own, alive.tolist(), self._closed(s.layer, s.module)))
        return sites

    def cut(self, crossed: Crossed) -> Cut:
        """The network without the crossed units and whatever dies with them; BadInput where one cannot be crossed out."""
        sites = {site.site: site for site in self.structures}
        for name in checked_against(crossed, {s.site: s.total for s in self.structures}):
            if why := self._closed(sites[name].layer, sites[name].module):
                raise BadInput(f"{name} must be a site that the knife can narrow; {why}; leave it as it is")
        plan = plan_traced(self.traced, source=self.source, masked=silenced(self.model, crossed))
        compact = apply(plan, self.model, self.example)
        compact.eval()
        return Cut(self.model, plan, compact, self.cost, cost(compact, self.example))

    def prove(self, done: Cut) -> Certificate:
        """The certificate of a cut: against the trained network with the crossed units masked by hooks, or as it is where none was."""
        return proof.prove(self.trained, done.plan, done.compact, self.example, self.dataset)

    def on_sample(self, done: Cut) -> dict[str, Any]:
        """Accuracy before and after on the sample; see `compared`."""
        return compared(self.right, right_answers(done.compact, self.sample, self.dataset))

    def on_test(self, done: Cut) -> dict[str, Any]:
        """Accuracy before and after on the whole test set; see `compared`."""
        before, after = (right_answers(net, self.dataset.test, self.dataset) for net in (self.model, done.compact))
        return compared(before, after)

    def _closed(self, layer: str, module: str) -> str:
        """Why a layer, or the norm behind it, runs at full width whatever happens; "" where it does not."""
        for op in self.flow.ops:
            if op.kind == "opaque" and op.node.op == "call_module" and str(op.node.target) in (layer, module):
                return f"{op.node.target} is kept at full width: {op.reason}"
        return ""


def sample_of(split: Split) -> Split:
    """SAMPLE images of a split, drawn once for ever from SAMPLE_SEED, in order; all where it has no more."""
    drawn = torch.randperm(len(split), generator=torch.Generator().manual_seed(SAMPLE_SEED))[:SAMPLE].sort().values
    drawn = drawn.to(split.labels.device)
    return Split(next(iter(split.read([drawn]))), split.labels[drawn])


@torch.inference_mode()
def right_answers(network: nn.Module, split: Split, dataset: Dataset) -> Tensor:
    """bool (N,): whether `network`, in eval mode, names each image of `split` rightly; float32."""
    found = [network(images).argmax(1) == labels for images, labels in batches(split, dataset, SAMPLE)]
    return torch.cat(found)


def compared(before: Tensor, after: Tensor) -> dict[str, Any]:
    """Two networks on the same images, from what each had right, bool (N,): shares 0-1 with 95 % intervals, `core.intervals`.

    `difference`: after minus before, on the same images; `lost` of them became wrong, `won` became right.
    """
    total, lost, won = len(before), int((before & ~after).sum()), int((~before & after).sum())
    out: dict[str, Any] = {"images": total}
    for name, right in (("dense", before), ("compact", after)):
        low, high = wilson(int(right.sum()), total)
        out[name] = {"accuracy": int(right.sum()) / total, "low": low, "high": high}
    value, low, high = paired_difference(lost, won, total)
    return out | {"difference": {"value": value, "low": low, "high": high, "lost": lost, "won": won}}
