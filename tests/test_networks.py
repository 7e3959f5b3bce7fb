"""Networks: exact sizes against published ones, first weights, shapes, tracing, the layout."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from core.errors import BadInput
from core.networks import NAMES, build, construct, layout
from core.networks.factors import fold, install
from core.networks.remaining import macs_left
from core.structure import cost, remove_zeros

SMALLEST = (  # of each kind
    *("resnet20", "resnet20-projection", "resnet20-preact", "vgg11", "vgg16", "lenet"),
    *("mlp", "convnet", "resnext20", "wrn-14-1", "peleenet"),
)
LARGER = {"caffenet": 67}  # the smallest image it takes; 32 for the others


def made(name: str, *, classes: int = 10, channels: int = 3, size: int = 32, seed: int = 1) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    return build(name, num_classes=classes, in_channels=channels, image_size=size, generator=generator)


def counted_macs(network: nn.Module, channels: int, size: int) -> int:
    """MACs by hooks: every output element of a layer costs as many as one row of its weight has numbers."""
    total = 0

    def count(module, inputs, output):
        nonlocal total
        total += output.numel() * module.weight[0].numel()

    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    handles = [m.register_forward_hook(count) for m in layers]
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, channels, size, size, device=next(network.parameters()).device))
    finally:
        for handle in handles:
            handle.remove()
    return total


def parameters(network: nn.Module, norms: bool) -> int:
    every = sum(p.numel() for p in network.parameters())
    return (
        every
        if norms
        else every - sum(p.numel() for m in network.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters())
    )


def test_the_printed_vgg16_count_adds_two_operations_per_norm_output():
    network, extra = made("vgg16"), 0

    def count(module, inputs, output):
        nonlocal extra
        extra += 2 * output.numel()

    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(count)
    macs = counted_macs(network, 3, 32)
    assert round((macs + extra) / 1e6, 2) == 313.75


@pytest.mark.parametrize(
    ("name", "channels", "size", "classes"),
    [(name, 3, LARGER.get(name, 32), 20) for name in NAMES]
    + [(name, 1, *more) for name in SMALLEST for more in ((8, 10), (28, 7))],
)
def test_the_layout_agrees_with_the_network(name, channels, size, classes):
    seen = layout(name, num_classes=classes, in_channels=channels, image_size=size)
    network = construct.skeleton(name, classes, channels, size)
    modules = dict(network.named_modules())
    groups = {s.layer: s.total for s in network.structures() if s.kind == "group"}
    convs = [*seen.stem, *(c for stage in seen.stages for b in stage.blocks for c in b.convs), *seen.head]
    layers = {path for path, m in modules.items() if isinstance(m, nn.Conv2d | nn.Linear)}
    assert len(convs) == len({c.path for c in convs}) and {c.path for c in convs} == layers
    assert seen.macs == sum(c.macs for c in convs) == counted_macs(network, channels, size)
    assert seen.params == sum(c.params for c in convs) == parameters(network, norms=False)
    assert all(c.total == groups.get(c.path, modules[c.path].weight.shape[0]) for c in convs)
    first = json.loads(json.dumps(seen.as_json()))["stages"][0]["blocks"][0]["convs"][0]
    assert first == vars(seen.stages[0].blocks[0].convs[0])
    assert seen.head[-1].site is None and seen.head[-1].total == classes
    sites = {c.site for c in convs} | {b.block_site for stage in seen.stages for b in stage.blocks}
    assert {s.site for s in network.structures()} <= sites


def test_the_layout_of_resnet20_reads_as_it_is_drawn():
    seen = layout("resnet20", num_classes=10, in_channels=3, image_size=32)
    assert [(s.name, s.path, s.channels, s.size) for s in seen.stages] == [
        ("Stage 1", "stage1", 16, 32),
        ("Stage 2", "stage2", 32, 16),
        ("Stage 3", "stage3", 64, 8),
    ]
    assert [b.skip for s in seen.stages for b in s.blocks] == ["identity"] * 3 + ["pad", "identity", "identity"] * 2
    block = seen.stages[1].blocks[0]
    assert (block.label, block.block_site) == ("2.1", "stage2.0/block")
    assert [c.site for c in block.convs] == ["stage2.0.conv1/filter", "stage2.0.conv2/filter"]
    projected = layout("resnet20-projection", num_classes=10, in_channels=3, image_size=32).stages[1].blocks[0]
    assert [(c.label, c.site, c.kernel) for c in projected.convs][2] == ("shortcut", None, 1)


def test_a_layer_whose_conv_groups_are_learned_counts_them_as_its_units():
    block = layout("resnext20", num_classes=10, in_channels=3, image_size=32).stages[1].blocks[0]
    assert [(c.site, c.total, c.inputs, c.size) for c in block.convs] == [
        ("stage2.0.conv1/filter", 64, 64, 32),
        ("stage2.0.conv2/group", 32, 2, 16),
        ("stage2.0.conv3/filter", 128, 64, 16),
        (None, 128, 64, 16),
    ]
    assert (block.block_site, block.skip) == ("stage2.0/block", "projection")


def test_what_dead_conv_groups_leave_is_estimated_as_the_knife_cuts_it():
    network = made("resnext20", size=8).eval()
    factors = install(network, {"group", "block"})
    factors["stage1.1/block"].data.zero_()
    for i, (site, factor) in enumerate(factors.items()):
        if site.endswith("/group"):
            factor.data[i % 4 :: 3] = 0
    alive = {site: int(factor.count_nonzero()) for site, factor in factors.items()}
    seen = layout("resnext20", num_classes=10, in_channels=3, image_size=8).as_json()
    example = torch.zeros(1, 3, 8, 8)
    plan, compact = remove_zeros(fold(network), example)
    assert alive["stage1.1/block"] == 0 and "stage1.1" in plan.removed_blocks
    assert macs_left(seen, alive) == pytest.approx(cost(compact, example).macs)
    assert macs_left(seen, alive) < 0.7 * seen["macs"]


def test_the_parameter_free_shortcut_takes_every_second_pixel_and_appends_zero_channels():
    block = made("resnet20").get_submodule("stage2.0.shortcut")
    x = torch.randn(2, 16, 6, 10)
    out = block(x)
    assert out.shape == (2, 32, 3, 5)
    for c in range(16):
        for i in range(3):
            for j in range(5):
                assert torch.equal(out[:, c, i, j], x[:, c, 2 * i, 2 * j])
    assert not out[:, 16:].any()


@pytest.mark.parametrize(
    ("name", "channels", "size"),
    [(name, 3, LARGER.get(name, 32)) for name in NAMES] + [(name, 1, size) for name in SMALLEST for size in (4, 8, 28)],
)
def test_every_network_takes_every_image_size_and_can_be_traced(name, channels, size):
    network = made(name, classes=7, channels=channels, size=size).eval()
    x = torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        out = network(x)
        traced = torch.fx.symbolic_trace(network)(x)
    assert out.shape == (2, 7) and torch.isfinite(out).all() and torch.equal(out, traced)


@pytest.mark.parametrize("name", SMALLEST)
def test_weights_come_from_the_generator_and_from_nothing_else(name):
    before = torch.get_rng_state()
    first, again, other = made(name, seed=1), made(name, seed=1), made(name, seed=2)
    layout(name, num_classes=10, in_channels=3, image_size=32)
    assert torch.equal(torch.get_rng_state(), before)
    pairs = list(zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    weights = zip(first.parameters(), other.parameters(), strict=True)
    assert all(not torch.equal(a, b) for a, b in weights if a.dim() > 1)


def test_without_a_generator_the_weights_are_those_of_seed_zero():
    plain = build("lenet", num_classes=10, in_channels=1, image_size=28)
    assert torch.equal(plain.conv1.weight, made("lenet", channels=1, size=28, seed=0).conv1.weight)


def test_first_weights_have_the_variance_that_the_papers_ask_for():
    conv = made("resnet20").get_submodule("stage3.2.conv2").weight
    assert conv.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    weight = made("lenet", channels=1, size=28).fc1.weight
    assert weight.std().item() == pytest.approx((1 / 800) ** 0.5, rel=0.02)
    assert weight.abs().max().item() <= (3 / 800) ** 0.5
    hidden = made("mlp", channels=1, size=28)
    assert hidden.fc1.weight.std().item() == pytest.approx((2 / 784) ** 0.5, rel=0.02)
    assert hidden.fc3.weight.std().item() == pytest.approx((1 / 300) ** 0.5, rel=0.04)
    norm = made("vgg11").get_submodule("features.stage1.0.bn")
    assert torch.equal(norm.weight, torch.ones(64)) and torch.equal(norm.running_var, torch.ones(64))
    assert not norm.bias.any() and not norm.running_mean.any() and norm.num_batches_tracked == 0


def test_bad_choices_are_refused_with_the_nearest_good_one():
    with pytest.raises(BadInput, match=r"network must be one of .*; got 'resnet165'; did you mean 'resnet1"):
        build("resnet165", num_classes=10, in_channels=3, image_size=32)
    with pytest.raises(BadInput, match=r"image_size of network vgg16 must be a whole number of at least 4; got 3"):
        layout("vgg16", num_classes=10, in_channels=3, image_size=3)
    with pytest.raises(BadInput, match=r"num_classes of network lenet must be a whole number of at least 1; got 2.5"):
        build("lenet", num_classes=2.5, in_channels=3, image_size=32)  # type: ignore[arg-type]
    with pytest.raises(
        BadInput, match=r"image_size of network caffenet must be a whole number of at least 67; got 66;"
    ):
        layout("caffenet", num_classes=10, in_channels=3, image_size=66)


def test_names_are_listed_without_torch():
    program = (
        "import sys; from core.networks.names import NAMES as a; from core.networks import NAMES as b; "
        "import core.networks.describe; assert a == b and 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
