"""Weights from elsewhere under our names: the network must then say what the original said, or the file is refused."""

from __future__ import annotations

import copy
import itertools
import os
import random
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.cut import accuracy
from core.data import DATA_VARIABLE, load, missing
from core.errors import BadInput
from core.networks import build
from core.networks.resnet import PadShortcut
from core.weightcentre import renumber
from core.weightfile import read_weights
from core.weightmatch import classes_and_channels, in_words, load_into, match

GIVEN = os.environ.get(DATA_VARIABLE)
STRANGER = Path(__file__).resolve().parents[2] / "shared" / "checkpoints" / "resnet20-12fca82f.th"
SIZES = {"lenet": 28}


def fresh(name: str, **more) -> nn.Module:
    arguments = {"num_classes": 7, "in_channels": 3, "image_size": SIZES.get(name, 32)} | more
    return build(name, **arguments).eval()


def trained(name: str) -> nn.Module:
    """A network whose every number differs, statistics included."""
    network, generator = fresh(name), torch.Generator().manual_seed(5)
    with torch.no_grad():
        for key, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                noise = torch.rand(tensor.shape, generator=generator)
                tensor.copy_(0.5 + noise if "running_var" in key else tensor + 0.1 * (noise - 0.5))
            else:
                tensor.fill_(41)
    return network


def says_the_same(a: nn.Module, b: nn.Module, name: str) -> bool:
    x = torch.randn(3, 3, SIZES.get(name, 32), SIZES.get(name, 32), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        return torch.equal(a(x), b(x))


def renamed(tensors: dict[str, Tensor], *pairs: tuple[str, str]) -> dict[str, Tensor]:
    out = {}
    for key, tensor in tensors.items():
        for pattern, by in pairs:
            key = re.sub(pattern, by, key)
        out[key] = tensor
    return out


def shortcut_first(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """As a block would register its layers that makes the shortcut before its convolutions."""
    block = lambda key: key.split(".")[:2] if key.startswith("stage") else [key.split(".")[0]]  # noqa: E731
    order = {str(block(key)): i for i, key in reversed(list(enumerate(tensors)))}
    return dict(sorted(tensors.items(), key=lambda kv: (order[str(block(kv[0]))], "shortcut" not in kv[0])))


RESNET = ((r"^stage", "layer"), (r"^conv\.", "conv1."), (r"^bn\.", "bn1."), (r"^fc", "linear"))
DOWNSAMPLE = (*RESNET, ("shortcut", "downsample"))
CONVS_X = (
    (r"^stage1", "conv2_x"),
    (r"^stage2", "conv3_x"),
    (r"^stage3", "conv4_x"),
    (r"^conv\.", "conv1.0."),
    (r"^bn\.", "conv1.1."),
)
NUMBERED = (
    (r"\.bn1\.", ".1."),
    (r"\.conv1\.", ".0."),
    (r"\.conv2\.", ".3."),
    (r"\.bn2\.", ".4."),
    (r"\.shortcut\.(\d)", r".1\1"),
)
FROM_8 = ((r"\.(\d)\.(conv|bn)", lambda found: f".{int(found[1]) + 8}.{found[2]}"), *RESNET)
SCHEMES = {
    "resnet20": (RESNET, CONVS_X, FROM_8),
    "resnet20-projection": (RESNET, DOWNSAMPLE, (*RESNET, ("shortcut", "skip")), ((r"shortcut\.0", "proj_conv"), (r"shortcut\.1", "proj_bn"))),
    "resnet20-preact": (RESNET, DOWNSAMPLE),
    "vgg11": (((r"features\.stage(\d)\.(\d)\.conv", r"layers.\1\g<2>0"), (r"features\.stage(\d)\.(\d)\.bn", r"layers.\1\g<2>1"), ("fc", "classifier.0")),),
    "lenet": (((r"conv(\d)", r"features.\1"), ("fc1", "hidden"), ("fc2", "out")),),
}  # fmt: skip
EVERY = [(name, scheme) for name, schemes in SCHEMES.items() for scheme in schemes]


@pytest.mark.parametrize("name", SCHEMES)
def test_the_same_names_are_taken_as_they_are(name):
    source, network = trained(name), fresh(name)
    matched = load_into(network, source.state_dict())
    assert matched.renamed == {} and in_words(matched.renamed) == ""
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), source.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("in_order", [True, False], ids=["torch", "safetensors"])
@pytest.mark.parametrize(("name", "scheme"), EVERY)
def test_other_names_are_matched_to_the_network_that_says_the_same(name, scheme, in_order):
    source, network = trained(name), fresh(name)
    theirs = renamed(source.state_dict(), *scheme)
    assert theirs.keys() != source.state_dict().keys() and len(theirs) == len(source.state_dict())
    matched = load_into(network, theirs if in_order else dict(sorted(theirs.items())))
    assert says_the_same(network, source, name)
    undone = {
        key.rpartition(".")[0]: own.rpartition(".")[0] for key, own in zip(theirs, source.state_dict(), strict=True)
    }
    assert matched.renamed == {a: b for a, b in undone.items() if a != b}


@pytest.mark.parametrize("name", ["resnet20-projection", "resnet20-preact"])
@pytest.mark.parametrize("word", ["shortcut", "downsample", "skip", "proj"])
def test_a_shortcut_that_comes_first_in_its_block_is_known_by_its_name(name, word):
    source, network = trained(name), fresh(name)
    theirs = renamed(shortcut_first(source.state_dict()), *RESNET, ("shortcut", word))
    assert list(theirs) != list(renamed(source.state_dict(), *RESNET, ("shortcut", word)))
    load_into(network, theirs)
    assert says_the_same(network, source, name)


def test_a_shortcut_of_the_same_shape_as_the_layer_before_it_is_known_by_its_name():
    source, network = trained("resnet20-preact"), fresh("resnet20-preact")
    tensors = source.state_dict()
    swapped = dict(sorted(tensors.items(), key=lambda kv: list(tensors).index({
        "stage1.0.shortcut.weight": "stage1.0.conv3.weight", "stage1.0.conv3.weight": "stage1.0.shortcut.weight",
    }.get(kv[0], kv[0]))))  # fmt: skip
    assert list(swapped) != list(tensors)
    assert [t.shape for t in swapped.values()] == [t.shape for t in tensors.values()]
    load_into(network, renamed(swapped, *RESNET))
    assert says_the_same(network, source, "resnet20-preact")


def test_numbers_alone_are_enough_where_the_order_is_the_networks():
    source, network = trained("resnet20-projection"), fresh("resnet20-projection")
    load_into(network, renamed(source.state_dict(), *RESNET, *NUMBERED))
    assert says_the_same(network, source, "resnet20-projection")


def test_a_shortcut_that_comes_first_and_has_no_name_is_refused():
    theirs = renamed(shortcut_first(trained("resnet20-projection").state_dict()), *RESNET, ("shortcut", "extra"))
    rule = r"x.pt must match in one way only; got layer2.0.extra.1 \(norm of 32\) and layer2.0.bn1 of the same shapes, and neither"
    with pytest.raises(BadInput, match=rule):
        match(fresh("resnet20-projection"), theirs, "x.pt")
    numbered = (
        (r"shortcut\.(\d)", r"\1"),
        (r"\.conv1\.", ".2."),
        (r"\.bn1\.", ".3."),
        (r"\.conv2\.", ".4."),
        (r"\.bn2\.", ".5."),
    )
    theirs = renamed(shortcut_first(trained("resnet20-projection").state_dict()), *RESNET, *numbered)
    with pytest.raises(BadInput, match=r"must tell shortcuts from other layers.*stage2.0.shortcut.0 in one is unknown"):
        match(fresh("resnet20-projection"), theirs, "x.pt")


@pytest.mark.parametrize(("word", "is_told"), [("downsample", True), ("extra", False)])
def test_whatever_the_order_in_which_a_block_makes_its_layers_the_match_is_right_or_refused(word, is_told):
    source, network = trained("resnet20-projection").state_dict(), fresh("resnet20-projection")
    truth = renamed({key: key for key in source}, *RESNET, ("shortcut", word))  # their name -> ours
    places = ["conv1", "bn1", "conv2", "bn2", "shortcut.0", "shortcut.1"]
    chance, outcomes = random.Random(7), []
    for _ in range(40):
        chance.shuffle(places)
        rank = lambda key: next((i for i, place in enumerate(places) if f".{place}." in key), 0)  # noqa: E731
        block = lambda key: [b for b in map(str, range(1, 4)) if f"stage{b}" in key] + key.split(".")[1:2]  # noqa: E731
        ordered = sorted(truth.items(), key=lambda kv: (block(kv[1]) if "stage" in kv[1] else [], rank(kv[1])))
        for theirs in (dict(ordered), dict(sorted(ordered))):
            try:
                matched = match(network, {key: source[own] for key, own in theirs.items()})
            except BadInput:
                outcomes.append(False)
                continue
            outcomes.append(True)
            for key, own in theirs.items():
                path = key.rpartition(".")[0]
                assert matched.renamed.get(path, path) == own.rpartition(".")[0]
    assert all(outcomes) if is_told else not any(outcomes)


def test_names_that_say_nothing_are_refused_where_the_file_has_no_order():
    source = trained("resnet20").state_dict()
    theirs = renamed(source, (r"conv1", "first"), (r"bn1", "early"), (r"conv2", "second"), (r"bn2", "late"))
    load_into(fresh("resnet20"), theirs)  # in order they are clear
    with pytest.raises(
        BadInput, match=r"must match in one way only; got stage1.0.early .* neither the file's order nor"
    ):
        match(fresh("resnet20"), dict(sorted(theirs.items())))


def test_the_alphabet_is_no_order_even_where_it_looks_like_the_networks_own():
    names = (
        (r"^conv\.", "a."),
        (r"^bn\.", "b."),
        ("^fc", "z"),
        ("conv1", "e"),
        ("bn2", "f"),
        ("conv2", "g"),
        ("bn1", "h"),
    )
    own = trained("resnet20").state_dict()
    theirs = dict(sorted(renamed(own, *names).items()))
    shapes = ([t.shape for key, t in tensors.items() if key.endswith("weight")] for tensors in (own, theirs))
    assert next(shapes) == next(shapes)
    with pytest.raises(BadInput, match=r"must match in one way only; got stage1.0.e .* and stage1.0.g of the same"):
        match(fresh("resnet20"), theirs)


def test_numbers_against_the_order_of_the_file_are_refused():
    theirs = renamed(trained("resnet20").state_dict(), *RESNET, (r"(layer1\.0\.conv)1", r"\g<1>9"))
    with pytest.raises(
        BadInput, match=r"layer1.0.conv9 .* and layer1.0.conv2 .*the file and the numbers in their names"
    ):
        match(fresh("resnet20"), theirs)


def test_counters_of_batches_may_be_missing_or_more():
    source = trained("resnet20").state_dict()
    without = {key: tensor for key, tensor in source.items() if "num_batches" not in key}
    for theirs in (without, renamed(without, *RESNET)):
        network = fresh("resnet20")
        load_into(network, theirs)
        assert network.state_dict()["bn.num_batches_tracked"] == 0
        assert torch.equal(network.state_dict()["stage3.2.bn2.running_var"], source["stage3.2.bn2.running_var"])
    network = fresh("resnet20")
    load_into(network, renamed(source, *RESNET))
    assert network.state_dict()["bn.num_batches_tracked"] == 41


def test_missing_extra_and_misshapen_tensors_are_named_with_their_shapes():
    own = fresh("lenet").state_dict()
    fewer = {key: tensor for key, tensor in own.items() if key != "fc1.bias"}
    cases = (
        (fewer, r"x must have fc1.bias \(500,\); got none of that name; choose"),
        (own | {"more.weight": torch.ones(3, 2)}, r"x has more.weight \(3, 2\), for which there is no place; choose"),
        (own | {"fc2.weight": torch.ones(9, 500), "fc2.bias": torch.ones(9)}, r"x must have fc2.weight \(7, 500\); got \(9, 500\); choose"),
    )  # fmt: skip
    for theirs, rule in cases:
        with pytest.raises(BadInput, match=rule):
            match(fresh("lenet"), theirs, "x")
    rule = (
        r"x must have stage1.0.conv1 \(convolution: weight \(16, 16, 1, 1\)\), .* and 18 more; got too few of that shape; "
        r"it has layer1.1.conv1 \(convolution: weight \(16, 16, 3, 3\)\), .* for which there is no place; choose"
    )
    with pytest.raises(BadInput, match=rule):
        match(fresh("resnet20-preact"), renamed(trained("resnet20").state_dict(), *RESNET), "x")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_the_networks_own(kind):
    source, network = trained("lenet").state_dict(), fresh("lenet")
    load_into(network, {key: tensor.to(kind) for key, tensor in source.items()})
    for key, tensor in network.state_dict().items():
        assert tensor.dtype == torch.float32 and torch.equal(tensor, source[key].to(kind).float())


@pytest.mark.parametrize(("value", "rule"), [
    (torch.full((7,), torch.nan), r"x must have finite numbers at out.bias; got 7 of 7 that are not, as float32; take"),
    (torch.tensor([1, 2, 3, 4, 5, 6, 1e300], dtype=torch.float64), r"finite numbers at out.bias; got 1 of 7 that are not"),
    (torch.ones(7, dtype=torch.int8), r"x must have floating-point numbers at out.bias; got int8; pass"),
])  # fmt: skip
def test_numbers_that_no_network_computes_with_are_refused_and_nothing_is_loaded(value, rule):
    network = fresh("lenet")
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    theirs = renamed(trained("lenet").state_dict(), *SCHEMES["lenet"][0]) | {"out.bias": value}
    with pytest.raises(BadInput, match=rule):
        load_into(network, theirs, "x")
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())


@pytest.mark.parametrize("name", SCHEMES)
def test_classes_and_channels_are_read_from_the_tensors(name):
    for classes, channels in ((7, 3), (100, 1)):
        theirs = fresh(name, num_classes=classes, in_channels=channels).state_dict()
        for order in (
            theirs,
            dict(sorted(theirs.items())),
            dict(sorted(renamed(theirs, ("^conv", "stem"), ("^fc1", "z"), ("^fc", "a")).items())),
        ):
            assert classes_and_channels(order) == (classes, channels)
    with pytest.raises(BadInput, match=r"x must hold a linear layer \(a tensor of 2 axes\), .*; got none"):
        classes_and_channels({"a": torch.ones(1, 1, 3, 3)}, "x")


@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 32)])
def test_a_perceptron_tells_its_channels_by_the_pixels_it_takes(channels, side):
    widths = [channels * side * side, 300, 100, 10]
    theirs = {f"{k}.weight": torch.ones(out, into) for k, (into, out) in enumerate(itertools.pairwise(widths))}
    backwards = {f"{3 - k}.weight": tensor for k, tensor in enumerate(theirs.values())}
    for order in (theirs, dict(sorted(backwards.items()))):
        assert classes_and_channels(order) == (10, channels)
    with pytest.raises(
        BadInput, match=r"x must hold a convolution .* or a first linear layer .*; got one that takes 700 numbers"
    ):
        classes_and_channels({"a": torch.ones(10, 700)}, "x")


def test_a_match_is_told_in_words():
    pairs = {"linear": "fc", "conv1": "conv", "bn1": "bn", "layer1.0": "stage1.0"}
    assert (
        in_words(pairs) == "matched 'linear' -> 'fc', 'conv1' -> 'conv', 'bn1' -> 'bn' and 1 more, by shape and order"
    )


class BothSides(PadShortcut):
    """The stranger's shortcut: half of the zero channels before, half behind."""

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.extra // 2, self.extra - self.extra // 2))


def test_zero_channels_on_both_sides_are_only_another_numbering_of_the_channels():
    theirs = fresh("resnet32").double().eval()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                tensor.uniform_(0.5, 1.5)
    ours = copy.deepcopy(theirs)
    for module in theirs.modules():
        if isinstance(module, PadShortcut):
            module.__class__ = BothSides
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        expected = theirs(images)
        assert (ours(images) - expected).abs().max() > 1e-3 * expected.abs().max()
        renumber(ours)
        assert (ours(images) - expected).abs().max() < 1e-12 * expected.abs().max()


@pytest.mark.skipif(not STRANGER.exists(), reason=f"a stranger's trained network is not at {STRANGER}")
def test_a_strangers_resnet20_is_as_good_here_as_where_it_was_trained():
    if GIVEN is None or missing("cifar10", Path(GIVEN)):
        pytest.skip(f"the official files of cifar10 are not under {DATA_VARIABLE}")
    tensors = read_weights(STRANGER)
    network = fresh("resnet20", num_classes=classes_and_channels(tensors)[0])
    assert in_words(load_into(network, tensors).renamed).startswith("matched 'conv1' -> 'conv', 'bn1' -> 'bn', 'layer1.0.conv1' -> 'stage1.0.conv1' and 36 more")  # fmt: skip
    renumber(network)
    dataset = load("cifar10", normalize="imagenet")
    assert accuracy(network, dataset, "test") == pytest.approx(0.9173, abs=2e-4)
