"""What every level says about images, and where the core and the full level part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from core.data import batches
from core.nested.knowledge import View
from core.nested.levels import Nested


@torch.inference_mode()
def probabilities(nested: Nested, views: Sequence[View], pixels: Tensor) -> list[Tensor]:
    """Of every level, core first: class probabilities (N, its classes) for images (N, C, H, W), uint8."""
    return [nested.at(level)(view.dataset.normalise(pixels)).softmax(1) for level, view in enumerate(views)]


def agrees(view: View, said: Tensor, full: Tensor) -> Tensor | None:
    """Whether a level's answers (N,) are those of the full level, in the level's classes; None where it knows other images."""
    if view.own:
        return None
    return said == (full if view.of is None else view.of[full])


@torch.inference_mode()
def disagreements(nested: Nested, views: Sequence[View], first: int) -> dict[str, Any]:
    """Of the first `first` test images those about which some level and the full one disagree: index, label, what each level said."""
    split, rows = views[-1].dataset.test, []
    looked = min(first, len(split))
    for start in range(0, looked, 100):
        part = slice(start, min(start + 100, looked))
        said = [told.argmax(1) for told in probabilities(nested, views, split.images[part])]
        alike = [agrees(view, own, said[-1]) for view, own in zip(views, said, strict=True)]
        parted = torch.stack([~same for same in alike if same is not None]).any(0)
        rows += [
            {"index": start + i, "label": int(split.labels[start + i]), "said": [int(own[i]) for own in said]}
            for i in parted.nonzero().flatten().tolist()
        ]
    return {"looked": looked, "rows": rows}


@torch.inference_mode()
def by_family(nested: Nested, views: Sequence[View]) -> list[dict[str, Any]]:
    """Of every level with coarser classes (families) than the run's, on the run's test images: for each family test accuracies 0-1.

    `names`, `images` (how many); `coarse`: the level's own answer; `mapped`: the family of the full level's answer; `fine`: the full
    level's answer itself; `agree`: the share of all images where level and full level name the same family.
    """
    nested.full.eval()
    dataset, out = views[-1].dataset, []
    for level, view in enumerate(views):
        if view.of is None:
            continue
        counts = torch.zeros(4, view.dataset.num_classes, dtype=torch.int64)
        agree = 0
        for images, labels in batches(dataset.test, dataset, 500, train=False):
            said, full = nested.at(level)(images).argmax(1), nested.at(nested.num_levels - 1)(images).argmax(1)
            family, named = view.of[labels], view.of[full]
            right = (torch.ones_like(labels, dtype=torch.bool), said == family, named == family, full == labels)
            counts += torch.stack([family[hit].bincount(minlength=counts.shape[1]).cpu() for hit in right])
            agree += int((said == named).sum())
        shares = (counts[1:] / counts[0].clamp_min(1)).tolist()
        out.append({
            "level": level, "names": list(view.dataset.class_names), "images": counts[0].tolist(),
            "coarse": shares[0], "mapped": shares[1], "fine": shares[2], "agree": agree / len(dataset.test),
        })  # fmt: skip
    return out
