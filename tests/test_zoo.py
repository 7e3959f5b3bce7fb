"""The zoo: its networks are the known ones, their outputs depend on their inputs, and its zeros are where it says."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
import zoo
from torch import fx, nn

EVERY = pytest.mark.parametrize("name", zoo.names())
EVERY_KIND = pytest.mark.parametrize("kind", zoo.KINDS)
COUNTS = {  # parameters as published with torchvision, or with the paper's most used code
    "vgg": 138_365_992,
    "vgg11": 132_868_840,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "preresnet": 25_549_352,
    "resnext50": 25_028_904,
    "wideresnet": 36_479_194,
    "densenet": 7_978_856,
    "googlenet": 6_624_904,
    "mobilenet_v2": 3_504_872,
    "mobilenet_v3": 5_483_032,
    "efficientnet": 5_288_548,
    "regnet": 4_344_144,
    "shufflenet_v2": 2_278_604,
    "squeezenet": 1_235_496,
    "unet": 31_037_698,
    "vit": 86_567_656,
    "convnext": 28_589_128,
    "net3d": 33_371_472,
    "lenet_flatten": 61_706,
    # by hand: stem, four blocks' linears and norms of 1024, last layer
    "mlp_residual": (33 * 1024 + 2048) + 4 * (1025 * 1024 + 2048) + 1025 * 48,
    # by hand: stem, stages (each the one before with twice the width), norms, last layer
    "net1d": 12 * 64 * 7 + 12 * 64**2 + 44 * 64**2 * (1 + 4 + 16) + 10 * (64 + 128 + 256 + 512) + 513 * 1000,
}


def images(shape, seed=9):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@functools.cache
def kept(name):
    """A settled tiny network that nobody changes."""
    return zoo.settle(zoo.small(name), zoo.example_shape(name))


@functools.cache
def followed(name):
    return zoo.followed(kept(name))


@functools.cache
def outline(name):
    """The full network without its numbers."""
    with torch.device("meta"):
        return zoo.full(name).eval()


def settled(name):
    """A settled tiny network of one's own."""
    return copy.deepcopy(kept(name))


def spread(y):
    """How much the output depends on the input: max |y - mean over the batch| / max |y|."""
    return float((y - y.mean(0)).abs().max() / y.abs().max())


def outputs(model, x, wanted):
    """What the named modules give for x."""
    seen = {}
    hooks = [
        model.get_submodule(path).register_forward_hook(lambda m, i, y, path=path: seen.__setitem__(path, y.clone()))
        for path in wanted
    ]
    try:
        with torch.no_grad():
            model(x)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def units_first(layer, y):
    """(units, everything else) of what a layer or the norm behind it gives; the units stand last behind a linear."""
    return y.movedim(-1 if isinstance(layer, nn.Linear | nn.LayerNorm) else 1, 0).flatten(1)


@EVERY
def test_every_full_network_has_the_known_number_of_parameters(name):
    assert sum(p.numel() for p in outline(name).parameters()) == COUNTS[name]


@EVERY
def test_both_sizes_come_from_one_definition_and_the_small_one_is_small(name):
    small, full = kept(name), outline(name)
    assert type(small) is type(full)
    assert {type(m) for m in small.modules()} == {type(m) for m in full.modules()}
    assert sum(p.numel() for p in small.parameters()) < 15_000
    assert max(units for path, units in zoo.count_units(small).items() if not path.endswith("qkv")) <= 24


@EVERY
def test_every_full_network_takes_its_shape(name):
    shape, model = zoo.full_shape(name), outline(name)
    last = list(zoo.count_units(model).values())[-1]
    side = shape[2:] if name == "unet" else ()
    assert model(torch.empty(shape, device="meta")).shape == (1, last, *side)


@EVERY
@torch.no_grad()
def test_every_small_network_says_different_things_to_different_images(name):
    model = kept(name)
    for shape in (zoo.example_shape(name), zoo.second_shape(name)):
        if shape is not None:
            y = model(images(shape))
            assert y.shape[:2] == (4, 5)
            assert y.isfinite().all() and spread(y) >= 1e-3


@EVERY_KIND
@EVERY
@torch.no_grad()
def test_every_small_network_still_does_so_with_zeros(name, kind):
    model = settled(name)
    zoo.zero(model, kind, seed=0)
    assert spread(model(images(zoo.example_shape(name)))) >= 1e-3


@EVERY
def test_every_parameter_of_a_small_network_takes_part(name):
    model = settled(name)
    y = model(images(zoo.example_shape(name)))
    (y * images(y.shape, seed=1)).sum().backward()
    silent = [path for path, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


@EVERY
def test_every_small_network_can_be_trained(name):
    model = zoo.small(name).train()
    x = images(zoo.example_shape(name)).float()
    model(x).square().mean().backward()
    with torch.no_grad():
        before = model(x)
        torch.optim.SGD(model.parameters(), lr=0.1).step()
        assert not torch.equal(model(x), before)


@EVERY
@torch.no_grad()
def test_every_small_network_is_the_same_when_followed(name):
    model, x = kept(name), images(zoo.example_shape(name))
    assert torch.equal(fx.symbolic_trace(model)(x), model(x))


@EVERY
def test_settling_is_the_same_for_the_same_seed_only(name):
    shape = zoo.example_shape(name)
    a, (b, other) = kept(name).state_dict(), (zoo.settle(zoo.small(name), shape, s).state_dict() for s in (0, 1))
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert all(not torch.equal(a[key], other[key]) for key in a if not key.endswith("num_batches_tracked"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@torch.no_grad()
def test_settled_statistics_are_those_of_a_batch_moved_a_little(dtype):
    model = zoo.settle(nn.Sequential(nn.Conv2d(3, 400, 3), nn.BatchNorm2d(400)), (32, 3, 9, 9), dtype=dtype)
    conv, norm = model
    assert norm.weight.dtype == dtype and not model.training
    before = conv(images((64, 3, 9, 9)).to(dtype))
    assert float(before.var((0, 2, 3)).mean()) == pytest.approx(1, rel=0.05)
    assert float(before.mean((0, 2, 3)).std()) == pytest.approx(0.5, rel=0.15)
    normed = (norm(before) - norm.bias[:, None, None]) / norm.weight[:, None, None]
    assert float(normed.mean((0, 2, 3)).std()) == pytest.approx(0.2, rel=0.15)
    variances = normed.var((0, 2, 3))
    assert 1 / 1.4 * 0.85 < float(variances.min()) < 0.8 and 1.3 < float(variances.max()) < 1 / 0.7 * 1.15
    assert 0.5 <= float(norm.weight.min()) < 0.55 and 1.45 < float(norm.weight.max()) <= 1.5
    assert float(norm.bias.std()) == pytest.approx(0.5, rel=0.15)


@EVERY
def test_the_norm_directly_behind_a_layer_takes_the_very_tensor_it_returns(name):
    model = settled(name)
    paths = {m: path for path, m in model.named_modules()}
    given, taken = [], {}

    def give(layer, inputs, y):
        given.append((layer, y, y._version))

    def take(norm, inputs):
        (x,) = inputs
        for layer, y, version in given:
            permuted = isinstance(norm, nn.LayerNorm) and x._base is y and x.shape[-1] == y.shape[1]
            if (x is y or permuted) and y._version == version:
                taken[paths[layer]] = paths[norm]

    for module in model.modules():
        if isinstance(module, zoo.LAYERS):
            module.register_forward_hook(give)
        elif isinstance(module, zoo.NORMS):
            module.register_forward_pre_hook(take)
    model(images(zoo.example_shape(name)))
    behind, last = zoo.followed(model)
    assert behind == taken
    assert last == paths[given[-1][0]]


@EVERY_KIND
@EVERY
def test_zeros_are_the_share_asked_for_and_spare_the_last_layer(name, kind):
    model = settled(name)
    zeroed, units = zoo.zero(model, kind, seed=3), zoo.count_units(model)
    behind, last = followed(name)
    expected = {path for path, n in units.items() if path != last and round(0.4 * n) >= 1}
    assert set(zeroed) == (expected & set(behind) if kind == "scale" else expected)
    for path, chosen in zeroed.items():
        assert len(set(chosen)) == len(chosen) == round(0.4 * units[path])
        assert min(chosen) >= 0 and max(chosen) < units[path]
    again = settled(name)
    assert zoo.zero(again, kind, seed=3) == zeroed
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    assert not zeroed or zoo.zero(again, kind, seed=4) != zeroed


@EVERY_KIND
@EVERY
def test_zeroed_units_say_what_their_kind_says_and_the_others_keep_their_weights(name, kind):
    model, x = settled(name), images(zoo.example_shape(name))
    expected = copy.deepcopy(model.state_dict())
    zeroed, (behind, _) = zoo.zero(model, kind, seed=0), followed(name)
    seen = outputs(model, x, [*zeroed, *behind.values()])
    for path, chosen in zeroed.items():
        layer, norm = model.get_submodule(path), model.get_submodule(behind[path]) if path in behind else None
        if kind != "scale":
            constant = units_first(layer, seen[path])[chosen]
            offset = torch.zeros(len(chosen)) if kind == "all" or layer.bias is None else layer.bias[chosen].detach()
            assert torch.equal(constant, offset[:, None].expand_as(constant).to(constant))
        if kind != "filter" and norm is not None:
            constant = units_first(norm, seen[behind[path]])[chosen]
            offset = torch.zeros(len(chosen)) if kind == "all" else norm.bias[chosen].detach()
            assert torch.equal(constant, offset[:, None].expand_as(constant).to(constant))
    for path, chosen in zeroed.items():
        weight, bias = f"{path}.weight", f"{path}.bias"
        if kind != "scale":
            transposed = isinstance(model.get_submodule(path), nn.ConvTranspose2d)
            expected[weight].index_fill_(1 if transposed else 0, torch.tensor(chosen), 0)
            if kind == "all" and bias in expected:
                expected[bias][chosen] = 0
        if kind != "filter" and path in behind:
            expected[f"{behind[path]}.weight"][chosen] = 0
            if kind == "all":
                expected[f"{behind[path]}.bias"][chosen] = 0
    assert all(torch.equal(expected[key], value) for key, value in model.state_dict().items())


@EVERY
def test_no_layer_loses_all_its_units_even_if_all_are_asked_for(name):
    model = settled(name)
    zeroed, units = zoo.zero(model, "all", seed=0, share=1.0), zoo.count_units(model)
    assert zeroed and all(len(chosen) == units[path] - 1 for path, chosen in zeroed.items())


def test_an_unknown_kind_of_zero_is_refused():
    with pytest.raises(ValueError, match="kind must be one of all, scale, filter; got 'none'"):
        zoo.zero(zoo.small("lenet_flatten"), "none", seed=0)


def test_the_shuffle_deals_channels_round():
    x = torch.arange(6.0).reshape(1, 6, 1, 1)
    assert zoo.mobile.shuffle(x, 2).flatten().tolist() == [0, 3, 1, 4, 2, 5]


@torch.no_grad()
def test_attention_is_the_softmax_of_the_products():
    model = kept("vit")
    attention, x = model.encoders[0].attention, images((2, 7, 12))
    q, k, v = (part.unflatten(-1, (3, 4)) for part in attention.qkv(x).chunk(3, -1))
    weights = torch.einsum("bihd,bjhd->bhij", q / 2, k).softmax(-1)
    expected = attention.out(torch.einsum("bhij,bjhd->bihd", weights, v).flatten(2))
    assert torch.allclose(attention(x), expected, rtol=1e-12, atol=1e-12)
