"""Looking at a network while it trains: accuracy on held-out images, and what collapsed or came back."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from core import latency
from core.config import RunConfig
from core.data import batches
from core.data.dataset import Dataset


@torch.inference_mode()
def evaluate(network: nn.Module, dataset: Dataset, config: RunConfig) -> tuple[float, float]:
    """(mean loss, accuracy 0-1) on the validation images, at the run's precision; the network's mode is restored."""
    was_training = network.training
    network.eval()
    loss, right = 0.0, 0
    for images, labels in batches(dataset.val, dataset, 1000):
        latency.wait_while_measured()
        with torch.autocast(images.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
            logits = network(images).float()
        loss += float(F.cross_entropy(logits, labels, reduction="sum"))
        right += int((logits.argmax(1) == labels).sum())
    network.train(was_training)
    return loss / len(dataset.val), right / len(dataset.val)


def collapses(counts: dict[str, int], gone_before: set[str]) -> tuple[list[tuple[str, list[str]]], list[str]]:
    """(sites that reached zero with what each takes along, sites that came back), from the living units of each site.

    A dead block speaks for the layers inside it: they are what it takes along, not collapses of their own.
    """
    gone, back = [], []
    blocks = {site.removesuffix("/block") for site in counts if site.endswith("/block")}
    for site, alive in counts.items():
        owner = site.rpartition(".")[0] if site.rpartition(".")[0] in blocks else None
        if owner is not None:
            continue
        if alive == 0 and site not in gone_before:
            takes = [other for other in counts if other.startswith(f"{site.removesuffix('/block')}.")]
            gone.append((site, takes if site.endswith("/block") else []))
        elif alive and site in gone_before:
            back.append(site)
    return gone, back
