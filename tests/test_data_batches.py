"""Batches: normalisation, shuffling and augmentation against plain loops, and resuming."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from core.data import batches
from core.data.augment import DEFAULTS, FOLDER_DEFAULT, Augment, default_of
from core.data.dataset import Dataset, Split
from core.data.feeding import crop, cut_out, mirror
from core.data.names import NAMES
from core.errors import BadInput

CROP_FLIP = Augment(crop=2, flip=True)


def small(augment: Augment = CROP_FLIP, num: int = 23) -> Dataset:
    generator = torch.Generator().manual_seed(9)
    images = torch.randint(256, (num, 5, 7, 3), generator=generator, dtype=torch.uint8).permute(0, 3, 1, 2)
    split = Split(images, torch.arange(num))
    return Dataset(
        "small", (3, 5, 7), tuple(map(str, range(num))), None, split, split, split,
        (0.5, 0.25, 0.4), (0.2, 0.3, 0.5), augment, "",
    )  # fmt: skip


def epoch(found: Dataset, seed: int = 1, size: int = 6, **more) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return list(batches(found.train, found, size, generator=generator, train=True, **more))


def plainly_normalised(image: np.ndarray, found: Dataset) -> np.ndarray:
    out = np.zeros(image.shape)
    for c in range(3):
        out[c] = (image[c] / 255 - found.mean[c]) / found.std[c]
    return out


def plainly_cropped(image: np.ndarray, padding: int, top: int, left: int) -> np.ndarray:
    """Image (H, W, C) seen through a window moved by (top, left) on a black frame, pixel by pixel."""
    out = np.zeros_like(image)
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            y, x = i + top - padding, j + left - padding
            if 0 <= y < image.shape[0] and 0 <= x < image.shape[1]:
                out[i, j] = image[y, x]
    return out


def test_cropping_and_mirroring_agree_with_a_loop_over_pixels():
    images = small(num=25).train.images.permute(0, 2, 3, 1).contiguous()
    offsets = torch.tensor([(i, j) for i in range(5) for j in range(5)]).T  # every one of the 25 places
    flips = torch.arange(25) % 2
    got = mirror(crop(images, 2, offsets), flips)
    for b in range(25):
        expected = plainly_cropped(images[b].numpy(), 2, int(offsets[0, b]), int(offsets[1, b]))
        if flips[b]:
            expected = expected[:, ::-1]
        assert np.array_equal(got[b].numpy(), expected)


def test_evaluation_goes_in_order_and_only_normalises():
    found = small()
    got = list(batches(found.test, found, 6))
    assert [len(y) for _, y in got] == [6, 6, 6, 5] and torch.cat([y for _, y in got]).tolist() == list(range(23))
    for x, y in got:
        assert x.dtype == torch.float32 and x.is_contiguous(memory_format=torch.channels_last)
        for image, label in zip(x, y, strict=True):
            expected = plainly_normalised(found.test.images[label].numpy(), found)
            np.testing.assert_allclose(image.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_training_sees_every_image_once_each_as_one_of_its_shifted_or_mirrored_forms():
    found = small()
    got = epoch(found)
    labels = torch.cat([y for _, y in got]).tolist()
    assert sorted(labels) == list(range(23)) and labels != list(range(23))
    places = set()
    for x, y in got:
        assert x.is_contiguous(memory_format=torch.channels_last)
        for image, label in zip(x.numpy(), y.tolist(), strict=True):
            source = found.train.images[label].permute(1, 2, 0).numpy()
            fits = [
                (top, left, step)
                for top in range(5)
                for left in range(5)
                for step in (1, -1)
                if np.allclose(
                    image,
                    plainly_normalised(plainly_cropped(source, 2, top, left)[:, ::step].transpose(2, 0, 1), found),
                    atol=1e-5,
                )
            ]
            assert len(fits) == 1
            places.add(fits[0])
    assert len(places) > 10 and {step for _, _, step in places} == {1, -1}


def test_shift_moves_without_mirroring_and_none_leaves_the_image():
    still = small(Augment())
    for x, y in epoch(still):
        assert torch.equal(x, still.normalise(still.train.images[y]))
    moved = small(Augment(crop=1), num=40)
    for x, y in epoch(moved):
        for image, label in zip(x.numpy(), y.tolist(), strict=True):
            source = moved.train.images[label].permute(1, 2, 0).numpy()
            crops = [plainly_cropped(source, 1, i, j).transpose(2, 0, 1) for i in range(3) for j in range(3)]
            assert sum(np.allclose(image, plainly_normalised(one, moved), atol=1e-5) for one in crops) == 1


def test_offsets_and_flips_are_uniform():
    found = small(num=9000)
    white = Split(torch.full((9000, 3, 5, 7), 255, dtype=torch.uint8), found.train.labels)
    one_bright = white.images.clone().zero_()
    one_bright[:, :, 2, 3] = 255  # where the bright pixel lands tells the offset
    found = replace(found, train=Split(one_bright, white.labels))
    x = torch.cat([images for images, _ in epoch(found, size=500)])
    seen = (x[:, 0] > x[:, 0].min()).nonzero()[:, 1:]
    counts = torch.zeros(5, 7).index_put_((seen[:, 0], seen[:, 1]), torch.ones(len(seen)), accumulate=True)
    assert counts.sum() == 9000 and (counts[:, 1:6] > 290).all() and (counts[:, 1:6] < 430).all()  # 360 expected


def test_the_generator_alone_decides_and_the_global_one_is_left_alone():
    found, before = small(), torch.get_rng_state()
    first, again, other = epoch(found, 1), epoch(found, 1), epoch(found, 2)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for pair in zip(first, again, strict=True) for a, b in zip(*pair, strict=True))
    assert any(not torch.equal(a[1], b[1]) for a, b in zip(first, other, strict=True))


def test_an_epoch_leaves_the_generator_in_the_same_state_however_far_it_was_read():
    found = small()
    states = []
    for read in (0, 2, 4):
        generator = torch.Generator().manual_seed(1)
        feed = batches(found.train, found, 6, generator=generator, train=True)
        for _ in range(read):
            next(feed)
        states.append(generator.get_state())
    assert torch.equal(states[0], states[1]) and torch.equal(states[0], states[2])


def test_a_position_skips_batches_and_leaves_the_rest_as_they_were():
    found = small()
    whole, rest = epoch(found), epoch(found, position=3)
    assert len(rest) == 1 and torch.equal(rest[0][0], whole[3][0]) and torch.equal(rest[0][1], whole[3][1])
    assert epoch(found, position=4) == []
    plain = list(batches(found.val, found, 6, position=2))
    assert torch.cat([y for _, y in plain]).tolist() == list(range(12, 23))


def test_bad_requests_are_refused():
    found = small()
    with pytest.raises(BadInput, match=r"batch_size must be at least 1; got 0"):
        batches(found.train, found, 0)
    with pytest.raises(BadInput, match=r"generator must be given to shuffle and augment training batches; got None"):
        batches(found.train, found, 4, train=True)


def test_every_data_set_augments_as_it_always_did():
    assert set(DEFAULTS) == set(NAMES)
    crop_flip = {"shapes": 2, "shapes-coarse": 2, "cifar10": 4, "cifar100": 4, "cifar100-coarse": 4}
    for name in NAMES:
        told = default_of(name)
        assert told.crop == {**crop_flip, "digits": 1}.get(name) and told.flip == (name in crop_flip)
        assert told.cutout == 0 and told.area is None
    assert default_of("folder:/x@64") == FOLDER_DEFAULT == Augment(area=0.08, flip=True)


@pytest.mark.parametrize("augment", [Augment(), Augment(crop=1), CROP_FLIP, Augment(flip=True)])
def test_the_numbers_of_an_epoch_are_drawn_in_the_order_they_always_were(augment):
    found, generator, oracle = small(), torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    got = list(batches(found.train, found, 6, generator=generator, train=True, augment=augment))
    x, y = (torch.cat(part) for part in zip(*got, strict=True))
    order = torch.randperm(23, generator=oracle)
    offsets = torch.randint(2 * augment.crop + 1, (2, 23), generator=oracle) if augment.crop else torch.zeros(2, 23)
    flips = torch.randint(2, (23,), generator=oracle) if augment.flip else torch.zeros(23)
    assert torch.equal(generator.get_state(), oracle.get_state())
    for image, label, i, (top, left), flip in zip(x, y, order, offsets.T, flips, strict=True):
        source = found.train.images[i].permute(1, 2, 0).numpy()
        expected = plainly_cropped(source, augment.crop or 0, int(top), int(left))[:, :: -1 if flip else 1]
        assert label == i
        np.testing.assert_allclose(image, plainly_normalised(expected.transpose(2, 0, 1), found), atol=1e-5)


def test_cutout_agrees_with_a_loop_over_pixels():
    for side in (1, 2, 3, 4):
        images = torch.arange(1.0, 2 * 35 * 35 + 1).view(35, 2, 5, 7).contiguous(memory_format=torch.channels_last)
        centres = torch.tensor([(i, j) for i in range(5) for j in range(7)]).T
        got, expected = cut_out(images.clone(), side, centres), images.clone()
        for b, (row, column) in enumerate(centres.T.tolist()):
            for i in range(row - side // 2, row - side // 2 + side):
                for j in range(column - side // 2, column - side // 2 + side):
                    if 0 <= i < 5 and 0 <= j < 7:
                        expected[b, :, i, j] = 0
        assert torch.equal(got, expected) and (expected == 0).any()
        assert got.is_contiguous(memory_format=torch.channels_last)


def test_cutout_leaves_everything_else_as_it_was_and_may_lie_anywhere():
    found = small(num=9000)
    plain = torch.cat([x for x, _ in epoch(found, size=500)])
    holed = torch.cat([x for x, _ in epoch(found, size=500, augment=Augment(crop=2, flip=True, cutout=1))])
    changed = (plain != holed).any(1)
    assert (changed.sum((1, 2)) == 1).all() and not holed.permute(0, 2, 3, 1)[changed].any()
    counts = changed.sum(0)
    assert (counts > 190).all() and (counts < 330).all()  # 257 expected at each of 35 pixels


def test_a_position_skips_batches_of_cutout_too():
    found, augment = small(), Augment(crop=2, flip=True, cutout=3)
    whole, rest = epoch(found, augment=augment), epoch(found, augment=augment, position=2)
    assert all(torch.equal(a, b) for pair in zip(whole[2:], rest, strict=True) for a, b in zip(*pair, strict=True))


def test_augmentations_that_do_not_fit_are_refused():
    found = small()
    for augment, rule in [
        (Augment(crop=5), r"augment.crop must be smaller than the images of small, 5 pixels; got 5"),
        (Augment(cutout=7), r"augment.cutout must be smaller than the images of small, 5 pixels; got 7"),
        (Augment(area=0.5), r"augment.area must be left out for small, which is in memory; got 0.5; take crop"),
    ]:
        with pytest.raises(BadInput, match=rule):
            epoch(found, augment=augment)
    for wrong in ({"crop": 0}, {"cutout": -1}, {"area": 0}, {"area": float("nan")}, {"rotate": 3}):
        with pytest.raises(ValidationError):
            Augment(**wrong)
