"""Data sets: splits that never change, statistics, official files and what is said when they are not as they should be."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from core.data import DATA_VARIABLE, NAMES, NORMALISATIONS, load, missing
from core.data.dataset import Dataset, hold_out
from core.data.names import DATASETS
from core.errors import BadInput, DamagedFile

GIVEN = os.environ.get(DATA_VARIABLE)
REAL = [name for name in NAMES if DATASETS[name].files]

SIZES = {"digits": (1077, 360, 360), "shapes": (8000, 1000, 2000), "shapes-coarse": (8000, 1000, 2000)}
SIZES |= {name: (45_000, 5_000, 10_000) if "cifar" in name else (54_000, 6_000, 10_000) for name in REAL}
SPLITS_SHA256 = {
    "digits": "424d4dda3c0ef43f5c421c008e9c9aa916841c34ebd2ab3d20279a85689a89fc",
    "shapes": "0a35e92af821a25c28ed36103cb241928b755297a9cc274156d1a16cc86acb16",
    "shapes-coarse": "a4a0a1cd82ac02e3e104d489575d29bb1f3a283f8fb152b06937480678a21797",
    "cifar10": "0ef434edccc5ef8b24a53351043f80793ef58020721e0ef954515b75b946af52",
    "cifar100": "438186ddf23a57c0a2522dbabcee8bf971a0791e2c095509b9fd9f52730c3879",
    "cifar100-coarse": "1ac788e57f259b8b69c257ab396b6ae8a22358dbc3aabfbd4536c48858c9fa19",
    "mnist": "fe281570f939a18860fd92ad44c46a3e42de858aa374ba8572dcb83d96d17935",
    "fashion-mnist": "342821f7e2ff24e5c7932b9802544f4f4dc6ebc812b3d709c4c5ab94d1aceb05",
}


@cache
def data(name: str) -> Dataset:
    if name in REAL and (GIVEN is None or missing(name, Path(GIVEN))):
        pytest.skip(f"the official files of {name} are not under {DATA_VARIABLE}")
    return load(name)


def fingerprint(found: Dataset) -> str:
    """Of all labels, and of the validation images where no processor's rounding has a say in them."""
    told = hashlib.sha256(every_label(found))
    if not found.name.startswith("shapes"):
        told.update(found.val.images.permute(0, 2, 3, 1).numpy().tobytes())
    return told.hexdigest()


def every_label(found: Dataset) -> bytes:
    return b"".join(split.labels.numpy().astype("<i8").tobytes() for split in (found.train, found.val, found.test))


@pytest.mark.parametrize("name", NAMES)
def test_a_data_set_is_what_its_description_says(name):
    found, info = data(name), DATASETS[name]
    assert found.name == name and found.shape == info.shape and found.num_classes == info.num_classes
    assert (len(found.train), len(found.val), len(found.test)) == SIZES[name]
    for split in (found.train, found.val, found.test):
        assert split.images.dtype == torch.uint8 and split.images.shape == (len(split), *info.shape)
        assert split.images.is_contiguous(memory_format=torch.channels_last)
        assert split.labels.dtype == torch.int64 and split.labels.unique().tolist() == list(range(info.num_classes))
    assert (0 if found.families is None else len(found.families.names)) == info.num_families
    assert len(set(found.class_names)) == info.num_classes


@pytest.mark.parametrize("name", NAMES)
def test_the_splits_are_the_same_for_ever(name):
    assert fingerprint(data(name)) == SPLITS_SHA256[name]


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("-coarse")])  # the images of another
def test_mean_and_standard_deviation_are_those_of_the_training_images(name):
    found = data(name)
    for channel in range(found.shape[0]):
        values = found.train.images[:, channel].numpy() / np.float64(255)
        assert found.mean[channel] == pytest.approx(values.mean(), rel=1e-9)
        assert found.std[channel] == pytest.approx(values.std(), rel=1e-9)


@pytest.mark.parametrize("name", ["digits", "shapes"])
def test_no_image_is_in_two_splits(name):
    found = data(name)
    seen = [{image.numpy().tobytes() for image in split.images} for split in (found.train, found.val, found.test)]
    assert sum(map(len, seen)) == len(set.union(*seen)) == sum(SIZES[name])


def test_digits_lose_nothing_to_eight_bits():
    found, source = data("digits"), load_digits()
    back = [np.rint(s.images[:, 0].numpy() * (16 / 255)) for s in (found.train, found.val, found.test)]
    labels = every_label(found)
    mine = sorted(
        (image.tobytes(), int(y)) for image, y in zip(np.concatenate(back), np.frombuffer(labels, "<i8"), strict=True)
    )
    assert mine == sorted((image.tobytes(), int(y)) for image, y in zip(source.images, source.target, strict=True))


def test_held_out_images_are_in_proportion_to_their_classes():
    labels = np.random.RandomState(0).choice(4, size=1001, p=[0.1, 0.2, 0.3, 0.4])
    kept, held = hold_out(labels, 203, seed=1)
    assert len(held) == 203 and sorted([*kept, *held]) == list(range(1001))
    assert (np.diff(kept) > 0).all() and (np.diff(held) > 0).all()
    expected = np.bincount(labels) * 203 / 1001
    assert (np.abs(np.bincount(labels[held]) - expected) < 1).all()
    assert not np.array_equal(held, hold_out(labels, 203, seed=2)[1])


def test_shapes_come_in_four_families_of_five_and_equally_often():
    found = data("shapes")
    assert found.families is not None
    assert found.families.names == ("polygons", "round things", "letters", "textures")
    assert found.families.coarse(torch.tensor([[0, 4], [5, 19]])).tolist() == [[0, 0], [1, 3]]
    assert found.train.labels.bincount().tolist() == [400] * 20
    assert found.test.labels.bincount().tolist() == [100] * 20


def test_shapes_are_drawn_alike_every_time():
    assert torch.equal(load("shapes").val.images, data("shapes").val.images)


def test_cifar100_families_are_its_coarse_classes():
    found = data("cifar100")
    assert found.families is not None
    group = {found.class_names[i] for i in range(100) if found.families.names[found.families.of[i]] == "trees"}
    assert group == {"maple tree", "oak tree", "palm tree", "pine tree", "willow tree"}
    assert torch.tensor(found.families.of).bincount().tolist() == [5] * 20


@pytest.mark.parametrize("name", ["shapes", "cifar100"])
def test_coarse_labels_are_those_of_the_same_images(name):
    fine, coarse = data(name), data(f"{name}-coarse")
    assert fine.families is not None and coarse.class_names == fine.families.names
    for part in ("train", "val", "test"):
        one, other = getattr(fine, part), getattr(coarse, part)
        assert torch.equal(one.images, other.images) and torch.equal(fine.families.coarse(one.labels), other.labels)
    for part in (coarse.train, coarse.test):
        assert len(set(part.labels.bincount().tolist())) == 1, "every family equally often"


def test_labels_of_two_families_are_refused(tmp_path):
    (tmp_path / "cifar-100-binary").mkdir()
    record = np.zeros((50_000, 3074), np.uint8)
    record[1, 0] = 7  # fine label 0 once in family 0, once in family 7
    record.tofile(tmp_path / "cifar-100-binary/train.bin")
    record[:10_000].tofile(tmp_path / "cifar-100-binary/test.bin")
    with pytest.raises(DamagedFile, match=r"fine labels of data set cifar100 must each have one coarse label; got two"):
        load("cifar100", tmp_path)


def test_a_cifar_image_is_red_then_green_then_blue():
    found = data("cifar10")
    record = np.fromfile(Path(GIVEN or "") / "cifar-10-batches-bin/test_batch.bin", np.uint8, 3 * 3073).reshape(
        3, 3073
    )[2]
    assert found.test.labels[2] == record[0]
    for channel, row, column in [(0, 0, 0), (1, 3, 5), (2, 31, 7)]:
        assert found.test.images[2, channel, row, column] == record[1 + 1024 * channel + 32 * row + column]


def test_unknown_names_are_refused_with_the_nearest_one():
    for ask in (load, missing):
        with pytest.raises(BadInput, match=r"data set must be one of .*; got 'cifar'; did you mean 'cifar10"):
            ask("cifar")


def test_without_a_folder_the_variable_is_named(monkeypatch):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    with pytest.raises(
        BadInput, match=r"data set mnist must have a folder .*; got none; get .* --data or .* ESPALIER_DATA"
    ):
        load("mnist")
    assert len(missing("mnist")) == 4 and missing("digits") == ()


def test_a_missing_file_is_named_with_its_size_and_where_to_get_it(tmp_path):
    with pytest.raises(
        DamagedFile, match=r"data_batch_1.bin must be a file of 30,730,000 bytes; got no such file; get .*cifar"
    ):
        load("cifar10", tmp_path)


def test_the_folder_may_come_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    (tmp_path / "cifar-100-binary").mkdir()
    (tmp_path / "cifar-100-binary/train.bin").write_bytes(b"short")
    assert missing("cifar100") == ("cifar-100-binary/test.bin",)
    with pytest.raises(DamagedFile, match=r"train.bin must have 153,700,000 bytes; got 5; get the binary version from"):
        load("cifar100")


def idx_files(folder: Path, magic: bytes = b"\x00\x00\x08\x03", label: int = 3) -> None:
    """Files of the right sizes in the layout of MNIST, all images black."""
    (folder / "mnist").mkdir()
    for path, size in DATASETS["mnist"].files:
        count = size - 8 if "labels" in path else (size - 16) // 784
        side = b"" if "labels" in path else b"\x00\x00\x00\x1c\x00\x00\x00\x1c"
        header = (b"\x00\x00\x08\x01" if "labels" in path else magic) + count.to_bytes(4, "big") + side
        fill = bytes([label]) if "labels" in path else b"\x00"
        (folder / path).write_bytes(header + fill * (size - len(header)))


def test_a_wrong_magic_number_is_refused(tmp_path):
    idx_files(tmp_path, magic=b"\x00\x00\x0d\x03")
    rule = r"train-images-idx3-ubyte must begin with the idx header 00000803 0000ea60 0000001c 0000001c; got 00000d03 "
    with pytest.raises(DamagedFile, match=rule):
        load("mnist", tmp_path)


def test_a_label_out_of_range_is_refused(tmp_path):
    idx_files(tmp_path, label=11)
    with pytest.raises(
        DamagedFile, match=r"training labels of data set mnist must be 0 to 9; got 11; get the four files"
    ):
        load("mnist", tmp_path)


def test_a_normalisation_from_elsewhere_replaces_the_data_sets_own():
    images = data("shapes").test.images[:5]
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    got = load("shapes", normalize="imagenet").normalise(images)
    for channel in range(3):
        expected = (images[:, channel].numpy() / 255 - mean[channel]) / std[channel]
        np.testing.assert_allclose(got[:, channel].numpy(), expected, rtol=1e-5, atol=1e-6)
    assert torch.allclose(load("shapes", normalize="none").normalise(images), images / 255)
    own = load("shapes")
    assert (own.mean, own.std) == (data("shapes").mean, data("shapes").std)


@pytest.mark.parametrize("name", sorted(set(REAL) - {"cifar100-coarse"}))
def test_published_normalisations_are_those_of_the_official_training_images(name):
    found = data(name)
    images = np.concatenate([found.train.images.numpy(), found.val.images.numpy()])
    mean, std = NORMALISATIONS[name]
    for channel in range(found.shape[0]):
        values = images[:, channel] / np.float32(255)
        assert values.mean(dtype=np.float64) == pytest.approx(mean[channel], abs=6e-5)
        assert values.std(dtype=np.float64) == pytest.approx(std[channel], abs=6e-5)


def test_normalisations_that_do_not_fit_are_refused():
    with pytest.raises(BadInput, match=r"normalize must be one of .*; got 'imagnet'; did you mean 'imagenet'"):
        load("digits", normalize="imagnet")
    with pytest.raises(
        BadInput, match=r"must have as many channels as data set digits, 1; got 'cifar10' with 3; leave"
    ):
        load("digits", normalize="cifar10")


def test_names_are_listed_without_torch():
    program = (
        "import sys; from core.data.names import NAMES as a, folder_named; from core.data import NAMES as b, missing; "
        "import core.data.augment, core.data.fetching; assert folder_named('folder:x').path.name == 'x'; "
        "assert a == b and missing('digits') == () and not {'torch', 'PIL'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
