"""All levels asked together: the mean of their answers (NestedNet-A), or a learned linear layer on them (NestedNet-L).

Kim et al., CVPR 2018, section 3.5. Answers are class probabilities for A and class scores for L. A level with coarser classes answers
by its extra head; one with another data set is not asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.data import batches
from core.data.dataset import Dataset, Split
from core.nested.knowledge import View
from core.nested.levels import Nested

DECAYS = (1e-3, 1e-4, 1e-5)  # tried for L; validation images choose
STEPS = 60


@dataclass(frozen=True)
class Learned:
    """NestedNet-L: the layer (classes, levels * classes), and the decay that validation chose."""

    layer: nn.Linear
    decay: float


def askable(nested: Nested, views: Sequence[View]) -> list[int]:
    """The levels that answer with the run's classes."""
    return [
        level
        for level, view in enumerate(views)
        if view.shares_classes or (level < nested.num_levels - 1 and nested.inner[level].extra is not None)
    ]


def scores(nested: Nested, views: Sequence[View], level: int, images: Tensor) -> Tensor:
    """A level's scores of the run's classes, (N, classes)."""
    if views[level].shares_classes:
        answers: Tensor = nested.at(level)(images)
        return answers
    return nested.inner[level].both(images, nested.shared())[1]


@torch.inference_mode()
def asked(nested: Nested, views: Sequence[View], split: Split, dataset: Dataset) -> Iterator[tuple[Tensor, Tensor]]:
    """By batch: (scores (levels, N, classes) of the levels that can be asked, labels (N,))."""
    nested.full.eval()
    for images, labels in batches(split, dataset, 500, train=False):
        seen = images.to(next(nested.full.parameters()).device)
        told = [scores(nested, views, level, seen).float() for level in askable(nested, views)]
        yield torch.stack(told), labels.to(seen.device)


def accuracy_of(nested: Nested, views: Sequence[View], level: int) -> float:
    """Test accuracy of one level's answers with the run's classes, 0-1."""
    place, dataset, right = askable(nested, views).index(level), views[-1].dataset, 0
    for told, labels in asked(nested, views, dataset.test, dataset):
        right += int((told[place].argmax(1) == labels).sum())
    return right / len(dataset.test)


def agreed(nested: Nested, views: Sequence[View], *, learned: bool) -> dict[str, float | None]:
    """Test accuracy (0-1) of the levels together, `average` of their class probabilities and, where asked for, `learned`; null where
    fewer than two can be asked. Every test image is asked once."""
    if len(askable(nested, views)) < 2:
        return {"average": None, "learned": None}
    dataset = views[-1].dataset
    told, labels = gathered(nested, views, dataset.test, dataset)
    each = told.unflatten(1, (-1, dataset.num_classes))
    found: dict[str, float | None] = {"average": right_of(each.softmax(2).mean(1), labels), "learned": None}
    if learned:
        with torch.no_grad():
            found["learned"] = right_of(learn(nested, views).layer(told), labels)
    return found


def right_of(scores: Tensor, labels: Tensor) -> float:
    """The fraction of rows whose largest score is at the label, 0-1."""
    return int((scores.argmax(1) == labels).sum()) / len(labels)


def learn(nested: Nested, views: Sequence[View]) -> Learned:
    """The learned layer: softmax regression by L-BFGS on all training images as they are; it begins as the average."""
    dataset = views[-1].dataset
    seen, labels = gathered(nested, views, dataset.train, dataset)
    held, wanted = gathered(nested, views, dataset.val, dataset)
    best, found = -1.0, None
    for decay in DECAYS:
        layer = fitted(seen, labels, dataset.num_classes, decay)
        with torch.no_grad():
            right = right_of(layer(held), wanted)
        if right > best:
            best, found = right, Learned(layer, decay)
    assert found is not None
    return found


def gathered(nested: Nested, views: Sequence[View], split: Split, dataset: Dataset) -> tuple[Tensor, Tensor]:
    """Scores of all levels side by side, (N, levels * classes), and labels."""
    parts = list(asked(nested, views, split, dataset))
    told = torch.cat([scores.permute(1, 0, 2).flatten(1) for scores, _ in parts]).clone()
    return told, torch.cat([labels for _, labels in parts])


def fitted(seen: Tensor, labels: Tensor, classes: int, decay: float) -> nn.Linear:
    """Softmax regression with decay towards the average of the levels, which it begins as."""
    levels = seen.shape[1] // classes
    average = torch.eye(classes, device=seen.device).repeat(1, levels) / levels
    layer = nn.Linear(seen.shape[1], classes).to(seen.device)
    with torch.no_grad():
        layer.weight.copy_(average)
        layer.bias.zero_()
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(layer(seen), labels) + decay * (layer.weight - average).square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return layer
