"""Folders of pictures: names, splits, cutting, streaming, and what is said of a picture that is broken."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from core.config import RunConfig, checked
from core.data import batches, images, load, missing
from core.data.augment import Augment
from core.data.images import decoded, middle, random_box, size_of
from core.data.names import folder_named
from core.errors import BadInput, DamagedFile
from core.training import run


def ramp(width: int, height: int, blue: int = 0) -> np.ndarray:
    """A picture whose pixels say where they are: red is the column, green the row."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    return np.stack((columns, rows, np.full_like(rows, blue)), -1)


def picture(file: Path, pixels: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file, **({"quality": 95} if file.suffix == ".jpg" else {}))


@pytest.fixture
def photos(tmp_path):
    """Two classes of 60x40 pictures, 12 and 8 to train with, in a folder with a space; blue is the picture's number."""
    root, number = tmp_path / "my photos", 0
    for name, num in (("ant", 24), ("bee", 16)):
        for i in range(num):
            number += 1
            picture(root / "train" / name / f"{i:02}.png", ramp(60, 40, number))
    return root


def add(root: Path, part: str, num: int = 4) -> None:
    for i, name in enumerate(("ant", "bee")):
        for j in range(num):
            picture(root / part / name / f"{j}.png", ramp(60, 40, 100 + 10 * i + j))


def blues(split) -> list[int]:
    return split.images[:][:, 2, 0, 0].tolist()


def test_a_folder_is_a_data_set_like_any_other(photos):
    add(photos, "val")
    add(photos, "test", 3)
    (photos / "train/ant/notes.txt").write_text("no picture")
    (photos / "train/ant/._00.png").write_text("what macOS leaves behind")
    (photos / ".DS_Store").write_text("")
    picture(photos / "train/bee/images/deep.PNG", ramp(60, 40, 41))
    found = load(f"folder:{photos}@36")
    assert found.name == f"folder:{photos}@36" and found.shape == (3, 36, 36) and found.class_names == ("ant", "bee")
    assert (len(found.train), len(found.val), len(found.test)) == (41, 8, 6) and found.num_classes == 2
    assert found.train.labels.tolist() == [0] * 24 + [1] * 17 and found.test.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert blues(found.val) == [100, 101, 102, 103, 110, 111, 112, 113]
    assert blues(found.train)[:24] == list(range(1, 25)) and blues(found.train)[-1] == 41
    assert found.splits_note.startswith(
        "41 training, 8 validation, 6 test pictures: train/, val/ and test/ as they lie"
    )
    assert missing(found.name) == ()
    moved = found.to("cpu")
    x, y = next(iter(batches(moved.test, moved, 6)))
    assert x.shape == (6, 3, 36, 36) and x.dtype == torch.float32 and x.is_contiguous(memory_format=torch.channels_last)
    expected = (found.test.images[:].numpy() / 255 - np.reshape(found.mean, (1, 3, 1, 1))) / np.reshape(
        found.std, (1, 3, 1, 1)
    )
    np.testing.assert_allclose(x.numpy(), expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(y, found.test.labels)


def test_without_val_and_test_tenths_of_train_are_held_out_in_proportion(photos):
    for i in range(24, 120):
        shutil.copy(photos / "train/ant/00.png", photos / f"train/ant/{i:03}.png")
    for i in range(16, 80):
        shutil.copy(photos / "train/bee/00.png", photos / f"train/bee/{i:03}.png")
    name = f"folder:{photos}@32"
    bare = load(name)
    counts = [split.labels.bincount().tolist() for split in (bare.train, bare.val, bare.test)]
    assert counts == [[96, 64], [12, 8], [12, 8]] and "two tenths of train/ held out" in bare.splits_note
    files = [set(split.images.files) for split in (bare.train, bare.val, bare.test)]
    assert len(set.union(*files)) == 200 and load(name).val.images.files == bare.val.images.files
    add(photos, "test")
    with_test = load(name)
    assert with_test.train.labels.bincount().tolist() == [108, 72] and len(with_test.val) == 20
    assert len(with_test.test) == 8 and "a tenth of train/ held out" in with_test.splits_note
    shutil.move(photos / "test", photos / "val")
    with_val = load(name)
    assert len(with_val.train) == 200 and with_val.val.images.files == with_val.test.images.files
    assert "there is no test/, so test accuracy is that of the validation pictures" in with_val.splits_note


def test_mean_and_deviation_are_those_of_the_middles_of_training_pictures(photos):
    add(photos, "val")
    found = load(f"folder:{photos}@40")
    whole = np.stack([ramp(60, 40, blue)[:, 10:50] for blue in range(1, 41)]) / 255
    np.testing.assert_allclose(found.mean, whole.mean((0, 1, 2)), rtol=1e-9)
    np.testing.assert_allclose(found.std, whole.std((0, 1, 2)), rtol=1e-6)
    for file in (photos / "train").rglob("*.png"):
        picture(file, np.full((40, 60, 3), 80, np.uint8))
    flat = load(f"folder:{photos}@40")
    assert flat.std == (1 / 255,) * 3 and torch.isfinite(flat.normalise(flat.train.images[:2])).all()


@pytest.mark.parametrize(
    ("sizes", "side"), [([(60, 40)], 40), ([(30, 43)], 28), ([(400, 300)], 224), ([(9, 50), (33, 50), (40, 50)], 32)]
)
def test_the_side_is_224_or_what_half_the_pictures_have(tmp_path, sizes, side):
    for name in "ab":
        for i in range(4):
            picture(tmp_path / "train" / name / f"{i}.png", ramp(*sizes[i % len(sizes)]))
    add_val = tmp_path / "val"
    shutil.copytree(tmp_path / "train", add_val)
    assert load(f"folder:{tmp_path}").shape == (3, side, side)


def test_testing_looks_at_the_middle(tmp_path):
    assert middle(500, 400, 224) == (75, 25, 350, 350)  # 7/8 of the shorter side: 256 to 224
    assert middle(60, 40, 36) == (12, 2, 36, 36)  # not less than asked for
    assert middle(60, 40, 64) == (10, 0, 40, 40)  # nor more than there is
    picture(tmp_path / "a.png", ramp(60, 40))
    assert np.array_equal(decoded(str(tmp_path / "a.png"), 36), ramp(60, 40)[2:38, 12:48])
    half = decoded(str(tmp_path / "a.png"), 10).astype(float)  # 35x35 to 10x10: still says where it was
    steps = 12 + 35 / 10 * (np.arange(10) + 0.5) - 0.5
    np.testing.assert_allclose(half[:, :, 0], np.tile(steps, (10, 1)), atol=1.01)


def test_random_boxes_are_of_the_area_and_shape_they_should_be():
    source, areas, shapes = random.Random(7), [], []
    for _ in range(3000):
        left, top, wide, high = random_box(400, 300, 0.08, source)
        assert 0 <= left <= 400 - wide and 0 <= top <= 300 - high
        areas.append(wide * high / 120_000)
        shapes.append(np.log(wide / high))
    assert 0.079 < min(areas) < 0.1 and 0.95 < max(areas) <= 1
    low, high = (sum(a < area < b for area in areas) for a, b in ((0.08, 0.24), (0.24, 0.4)))
    assert 0.85 < low / high < 1.2  # every area equally likely, where boxes of all shapes fit
    assert np.log(0.74) < min(shapes) < np.log(0.77) and np.log(1.3) < max(shapes) < np.log(1.35)
    assert random_box(400, 300, 1.0, random.Random(1)) in {
        (0, 0, 400, 300),
        random_box(400, 300, 1.0, random.Random(2)),
    }
    assert random_box(1000, 10, 0.9, source) == (493, 0, 13, 10)  # nothing fits: the widest in the middle


def test_training_sees_random_boxes_of_every_picture_and_the_generator_alone_decides(photos):
    add(photos, "val")
    found, before = load(f"folder:{photos}@20"), torch.get_rng_state()

    def epoch(seed: int, **more):
        generator = torch.Generator().manual_seed(seed)
        return list(batches(found.train, found, 6, generator=generator, train=True, **more)), generator.get_state()

    (first, state), (again, _), (other, _) = epoch(1), epoch(1), epoch(2)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for pair in zip(first, again, strict=True) for a, b in zip(*pair, strict=True))
    assert not torch.equal(first[0][0], other[0][0])
    rest, after = epoch(1, position=2)
    assert torch.equal(after, state) and all(torch.equal(a[0], b[0]) for a, b in zip(first[2:], rest, strict=True))
    x, y = (torch.cat(part) for part in zip(*first, strict=True))
    pixels = x * 255 * torch.tensor(found.std).view(3, 1, 1) + 255 * torch.tensor(found.mean).view(3, 1, 1)
    seen = pixels[:, 2].mean((1, 2)).round().int()
    assert sorted(seen.tolist()) == list(range(1, 41)) and torch.equal(y, (seen > 24).long())
    across = pixels[:, 0, :, -1].mean(1) - pixels[:, 0, :, 0].mean(1)  # columns of the picture from left to right
    down = pixels[:, 1, -1].mean(1) - pixels[:, 1, 0].mean(1)
    assert (down > 0).all() and 8 < (across < 0).sum() < 32 and len(set(down.round().tolist())) > 5
    assert len({image[:2].numpy().tobytes() for image in x}) > 35  # hardly two boxes alike
    middles = found.normalise(found.train.images[:])
    still, _ = epoch(1, augment=Augment())
    for image, label in ((image, label) for x, y in still for image, label in zip(x, y, strict=True)):
        assert any(torch.equal(image, other) for other in middles[found.train.labels == label])
    holed, _ = epoch(1, augment=Augment(area=0.5, crop=2, flip=True, cutout=8))
    assert (torch.cat([a for a, _ in holed]) == 0).all(1).any((1, 2)).all()


def test_how_many_threads_decode_changes_nothing(photos, monkeypatch):
    found = load(f"folder:{photos}@20")
    feeds = []
    for threads in (1, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        feed = batches(found.train, found, 5, generator=torch.Generator().manual_seed(1), train=True)
        feeds.append(torch.cat([x for x, _ in feed]))
    assert torch.equal(*feeds)


def test_no_more_than_a_few_batches_are_decoded_ahead(photos, monkeypatch):
    found, asked = load(f"folder:{photos}@20"), []
    monkeypatch.setattr(images, "decoded", lambda file, *rest: asked.append(file) or np.zeros((20, 20, 3), np.uint8))
    feed = batches(found.train, found, 2, generator=torch.Generator().manual_seed(1), train=True)
    assert asked == []
    next(feed)
    assert 2 <= len(asked) <= 2 * (1 + images.AHEAD)
    feed.close()
    monkeypatch.setattr("core.data.feeding.STREAMED_VALUES", 3 * 20 * 20 * 3)
    assert [len(y) for _, y in batches(found.train, found, 1000)][:2] == [3, 3]


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_broken_picture_is_one_sentence_that_names_it(photos, suffix):
    add(photos, "val")
    found = load(f"folder:{photos}@20")
    file = Path(found.train.images.files[7])
    whole = file.with_suffix(".png").read_bytes()
    if suffix == "jpg":
        picture(file.with_suffix(".jpg"), np.random.RandomState(0).randint(0, 256, (40, 60, 3)).astype(np.uint8))
        whole = file.with_suffix(".jpg").read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no picture"):
        file.write_bytes(content)
        with pytest.raises(DamagedFile) as said:
            list(batches(found.train, found, 4, generator=torch.Generator().manual_seed(0), train=True))
        text = str(said.value)
        assert text.startswith(f"{file} must be a picture that can be decoded; got ") and text.count(str(file)) == 1
        assert text.endswith("; repair it or take it away") and "\n" not in text
    file.unlink()
    with pytest.raises(DamagedFile, match=r"07.png must be a picture that can be decoded; got no such file; repair"):
        found.train.images[:]


def test_pictures_of_all_kinds_become_upright_and_coloured(tmp_path):
    pixels, file = ramp(60, 40, 9), tmp_path / "a.png"
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6  # stored on its side: a viewer turns it clockwise
    Image.fromarray(pixels).save(file, exif=turned)
    assert size_of(str(file)) == (40, 60)
    assert np.array_equal(decoded(str(file), 36), np.rot90(pixels, -1)[12:48, 2:38])
    Image.fromarray(pixels[..., 0]).save(file)
    assert np.array_equal(decoded(str(file), 40), np.repeat(pixels[:, 10:50, :1], 3, 2))
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 256 + 77).save(file)
    assert np.array_equal(decoded(str(file), 40), np.repeat(pixels[:, 10:50, :1], 3, 2))
    clear = np.concatenate((pixels, np.full((40, 60, 1), 255, np.uint8)), 2)
    clear[:, 20:] = (1, 2, 3, 0)
    Image.fromarray(clear).save(file)
    got = decoded(str(file), 40)
    assert np.array_equal(got[:, :10], pixels[:, 10:20]) and (got[:, 10:] == 255).all()
    Image.fromarray(np.zeros((40, 60), np.float32)).save(tmp_path / "b.tif")
    with pytest.raises(
        DamagedFile, match=r"b.tif must be a picture .*; got pixels of mode F, whose white is not known"
    ):
        decoded(str(tmp_path / "b.tif"), 40)


def test_a_large_jpeg_read_at_less_than_its_size_is_the_same_picture(tmp_path):
    file = tmp_path / "a.jpg"
    waves = 120 + 100 * np.sin(np.stack(np.meshgrid(np.arange(1601), np.arange(1203)), -1) / 5)  # 31 pixels long
    smooth = waves.astype(np.uint8)
    Image.fromarray(np.concatenate((smooth, smooth[..., :1]), 2)).save(file, quality=95)
    whole = Image.open(file).convert("RGB")
    for seed in range(5):
        left, top, wide, high = random_box(1601, 1203, 0.3, random.Random(seed))
        plain = whole.resize((200, 200), Image.Resampling.BILINEAR, box=(left, top, left + wide, top + high))
        got = decoded(str(file), 200, 0.3, seed)
        assert np.abs(got.astype(int) - np.asarray(plain)).max() <= 6


def test_names_of_folders_are_read_once_for_all(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for text, path, side in [
        ("folder:~/my photos@64", tmp_path / "my photos", 64),
        ("folder:photos", tmp_path / "photos", None),
        ("folder:/data/a@b", Path("/data/a@b"), None),
        ("folder:/data/x@32@64", Path("/data/x@32"), 64),
        ("folder:../up/", tmp_path.parent / "up", None),
    ]:
        named = folder_named(text)
        assert named is not None and (named.path, named.side) == (path, side)
        assert folder_named(str(named)) == named
    assert folder_named("digits") is None
    assert RunConfig(dataset="folder:~/my photos@64").dataset == f"folder:{tmp_path}/my photos@64"
    for text, rule in [
        ("folder:", r"folder: must be followed by the path of a folder; got 'folder:'; for example"),
        ("folder:/x@7", r"the side of folder:PATH@SIDE must be 8 to 512 pixels; got 7"),
        ("folder:/x@513", r"must be 8 to 512 pixels; got 513; a path that itself ends in @513 needs a side of its own"),
    ]:
        with pytest.raises(BadInput, match=rule):
            checked({"dataset": text})
    with pytest.raises(BadInput, match=r"dataset must be one of .*folder:PATH.*; got 'folders:x'; did you mean"):
        checked({"dataset": "folders:x"})


def test_folders_that_are_not_as_they_should_be_say_what_is_wrong(photos, tmp_path):
    name = f"folder:{photos}@20"
    with pytest.raises(
        DamagedFile, match=r"folder:.*gone must be a folder with pictures in train/CLASS/; got no such fo"
    ):
        load(f"folder:{tmp_path}/gone")
    (photos / "train/cat").mkdir()
    with pytest.raises(DamagedFile, match=r"train/cat must hold pictures \(.bmp .*\); got none; add some, or take it"):
        load(name)
    picture(photos / "train/cat/1.png", ramp(60, 40))
    with pytest.raises(DamagedFile, match=r"val must hold at least 8 pictures; got 4; add some"):
        add(photos, "val", 2)
        load(name)
    shutil.rmtree(photos / "val")
    with pytest.raises(
        DamagedFile, match=r"train/cat must hold at least 3 pictures, so that some can be held out; got 1"
    ):
        load(name)
    (photos / "val/dog").mkdir(parents=True)
    with pytest.raises(DamagedFile, match=r"every class in .*val must also be in train/; got 'dog', which is not"):
        load(name)
    shutil.move(photos / "val/dog", photos / "val/cat")
    with pytest.raises(DamagedFile, match=r"val must hold pictures in folders named as in train/; got none"):
        load(name)
    shutil.rmtree(photos / "val")
    shutil.rmtree(photos / "train/cat")
    (photos / "train/bee/15.png").unlink()
    with pytest.raises(
        DamagedFile, match=r"train must hold at least 40 pictures, so that some can be held out; got 39"
    ):
        load(name)
    shutil.rmtree(photos / "train/bee")
    with pytest.raises(
        DamagedFile, match=r"train must hold a folder .* for each of two or more classes; got ant; sort"
    ):
        load(name)
    (tmp_path / "flat").mkdir()
    with pytest.raises(DamagedFile, match=r"got no such folder for .*flat/train; check the path"):
        load(f"folder:{tmp_path}/flat")


def test_a_run_learns_from_a_folder(photos):
    for file in (photos / "train/bee").iterdir():
        picture(file, 255 - ramp(60, 40))
    config = RunConfig.model_validate(
        {"network": "resnet20", "dataset": f"folder:{photos}@16", "batch_size": 8, "measure_every": 0, "device": "cpu"}
        | {"threads": 1, "phases": [{"epochs": 1, "lr": 0.01, "method": "dense"}]}
    )
    events = list(run(config))
    assert events[-1].type == "finished" and events[0].data["class_names"] == ["ant", "bee"]
    assert events[-1].result["certificate"]["verdict"] in ("nothing-removed", "exact")


def test_a_quick_look_counts_classes_and_says_what_is_wrong_without_reading_pictures(photos, tmp_path):
    from core.config import checked
    from core.data import listing
    from core.data.names import folder_named
    from core.runs.control import check_data

    num_classes = listing.check(folder_named(f"folder:{photos}@20"))
    assert num_classes == len(list((photos / "train").iterdir()))
    check_data(checked({"dataset": f"folder:{photos}@20"}))
    (photos / "train/empty").mkdir()
    with pytest.raises(DamagedFile, match=r"train/empty must hold pictures .*; got none"):
        check_data(checked({"dataset": f"folder:{photos}@20"}))
    with pytest.raises(DamagedFile, match=r"gone must be a folder with pictures in train/CLASS/; got no such folder"):
        listing.check(folder_named(f"folder:{tmp_path}/gone"))
