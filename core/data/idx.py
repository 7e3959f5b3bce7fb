"""MNIST (LeCun et al., 1998) and Fashion-MNIST (Xiao et al., 2017) from their official idx files."""

from __future__ import annotations

from pathlib import Path

from core.data.augment import default_of
from core.data.dataset import SPLIT_SEED, Dataset, hold_out, mean_and_std, split_of
from core.data.files import check_labels, read_idx

CLASSES = {
    "mnist": tuple("0123456789"),
    "fashion-mnist": (
        "T-shirt/top",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ),
}


def load(name: str, data_dir: Path | None) -> Dataset:
    """``mnist`` or ``fashion-mnist``: 54,000 / 6,000 / 10,000 images. Neither is augmented."""
    pixels, labels, test_pixels, test_labels = read_idx(name, data_dir)
    check_labels(labels, 10, "training labels", name)
    check_labels(test_labels, 10, "test labels", name)
    kept, held = hold_out(labels, 6_000, SPLIT_SEED)
    train = split_of(pixels[kept, :, :, None], labels[kept])
    mean, std = mean_and_std(train)
    return Dataset(
        name=name,
        shape=(1, 28, 28),
        class_names=CLASSES[name],
        families=None,
        train=train,
        val=split_of(pixels[held, :, :, None], labels[held]),
        test=split_of(test_pixels[..., None], test_labels),
        mean=mean,
        std=std,
        augment=default_of(name),
        splits_note="54,000 training and 6,000 validation images from the official 60,000, "
        "every class in proportion, drawn once with a fixed seed; the official 10,000 test images.",
    )
