"""Scaling factors: the function they compute, where they sit, what folding keeps."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core.errors import BadInput
from core.networks import build
from core.networks.factors import FactorBatchNorm2d, FactorConv2d, FactorLinear, attach, fold, install

CASES = [
    ("resnet20", {"filter", "block"}),
    ("resnet20-projection", {"block"}),
    ("resnet29-preact", {"filter", "block"}),
    ("vgg11", {"filter"}),
    ("lenet", {"filter"}),
    ("mlp", {"filter"}),
    ("convnet", {"filter"}),
    ("wrn-14-1", {"filter", "block"}),
    ("resnext20", {"group", "block"}),
]


def made(name: str, size: int = 16) -> nn.Module:
    generator = torch.Generator().manual_seed(4)
    network = build(name, num_classes=5, in_channels=3, image_size=size, generator=generator)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean):
                tensor.add_(torch.randn(tensor.shape, generator=generator), alpha=0.1)
            module.running_var.mul_(0.5 + torch.rand(module.running_var.shape, generator=generator))
    return network


def spread(factors: dict[str, nn.Parameter]) -> None:
    """Factors around 0.8, every third one exactly zero."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for factor in factors.values():
            factor.copy_(torch.rand(factor.shape, generator=generator) + 0.3)
            factor[1::3] = 0


def images(size: int = 16) -> torch.Tensor:
    return torch.randn(6, 3, size, size, generator=torch.Generator().manual_seed(6))


def times(output: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """The activation times its factors: one per channel, one for all, or one per run of channels (a conv group)."""
    if factor.numel() > 1:
        factor = torch.stack([factor[c * factor.numel() // output.shape[1]] for c in range(output.shape[1])])
    return output * (factor.view(1, -1, 1, 1) if output.dim() == 4 else factor)


@pytest.mark.parametrize(("name", "kinds"), CASES)
def test_factors_of_one_change_nothing_and_share_the_parameters(name, kinds):
    network = made(name).eval()
    before, parameters = network(images()), dict(network.named_parameters())
    factors = install(network, kinds)
    assert torch.equal(network(images()), before)
    assert all(dict(network.named_parameters())[path] is p for path, p in parameters.items())
    assert all(torch.equal(f, torch.ones_like(f)) for f in factors.values())


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "kinds"), CASES)
def test_folding_keeps_every_bit_of_the_output(name, kinds, dtype, memory_format):
    network = made(name)
    spread(install(network, kinds))
    network = network.to(dtype).to(memory_format=memory_format).eval()
    x = images().to(dtype).to(memory_format=memory_format)
    state = copy.deepcopy(network.state_dict())
    folded = fold(network)
    with torch.no_grad():
        assert torch.equal(folded(x), network(x))
    assert not [m for m in folded.modules() if hasattr(m, "per_factor")]
    assert {type(m) for m in folded.modules()} & {FactorBatchNorm2d, FactorConv2d, FactorLinear} == set()
    assert not [path for path, _ in folded.named_parameters() if "factor" in path]
    assert all(p.dtype == dtype and p.requires_grad and p.is_leaf for p in folded.parameters())
    assert all(torch.equal(a, b) for a, b in zip(state.values(), network.state_dict().values(), strict=True))


@pytest.mark.parametrize(("name", "kinds"), CASES)
def test_a_factor_equals_multiplying_the_activation(name, kinds):
    network = made(name).double().eval()
    plain = copy.deepcopy(network)
    factors = install(network, kinds)
    spread(factors)
    for s in network.structures():
        if s.site in factors:
            factor = factors[s.site].detach()

            def scale(module, inputs, output, factor=factor):
                return times(output, factor)

            plain.get_submodule(s.module).register_forward_hook(scale)
    x = images().double()
    torch.testing.assert_close(network(x), plain(x), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("name", "kinds"), CASES)
def test_gradients_of_factors_and_training_statistics_are_those_of_the_scaled_activation(name, kinds):
    network = made(name).double().train()
    plain = copy.deepcopy(network)
    factors = install(network, kinds)
    twins = {site: nn.Parameter(torch.ones_like(factor)) for site, factor in factors.items()}
    for s in network.structures():
        if s.site in twins:

            def scale(module, inputs, output, factor=twins[s.site]):
                return times(output, factor)

            plain.get_submodule(s.module).register_forward_hook(scale)
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    for one in (network, plain):
        torch.manual_seed(7)  # ConvNet has a dropout
        F.cross_entropy(one(images().double()), labels).backward()
    for site, factor in factors.items():
        torch.testing.assert_close(factor.grad, twins[site].grad, rtol=1e-7, atol=1e-10)
    mine, other = dict(network.named_buffers()), dict(plain.named_buffers())
    assert mine.keys() == other.keys()
    assert all(torch.equal(mine[path], other[path]) for path in mine if path.endswith("num_batches_tracked"))
    for path in mine:
        torch.testing.assert_close(mine[path], other[path], rtol=1e-10, atol=1e-12)


def test_a_block_factor_of_zero_leaves_the_shortcut():
    network = made("resnet20").eval()
    install(network, {"block"})["stage1.1/block"].data.zero_()
    x = torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(1)).relu()
    assert torch.equal(network.get_submodule("stage1.1")(x), x)
    bottleneck = made("resnet29-preact").eval()
    install(bottleneck, {"block"})["stage1.1/block"].data.zero_()
    wide = torch.randn(2, 64, 8, 8, generator=torch.Generator().manual_seed(1))
    assert torch.equal(bottleneck.get_submodule("stage1.1")(wide), wide)


def test_sites_carry_the_agreed_names_and_sizes():
    def sizes(name, kinds):
        return {site: tuple(f.shape) for site, f in install(made(name, 28), kinds).items()}

    assert sizes("lenet", {"filter"}) == {"conv1/filter": (20,), "conv2/filter": (50,), "fc1/neuron": (500,)}
    basic = sizes("resnet20", {"filter", "block"})
    assert list(basic)[:2] == ["stage1.0.conv1/filter", "stage1.0/block"] and len(basic) == 18
    assert basic["stage3.2.conv1/filter"] == (64,) and basic["stage3.2/block"] == (1,)
    assert list(sizes("resnet29-preact", {"filter"}))[:2] == ["stage1.0.conv1/filter", "stage1.0.conv2/filter"]
    grouped = sizes("resnext20", {"group", "block"})
    assert list(grouped)[:2] == ["stage1.0.conv2/group", "stage1.0/block"] and len(grouped) == 12
    assert grouped["stage3.1.conv2/group"] == (32,) and grouped["stage3.1/block"] == (1,)
    assert list(sizes("resnet50", {"filter"}))[-1] == "stage4.2.conv2/filter"
    assert list(sizes("vgg16", {"filter"}))[-1] == "features.stage5.2.conv/filter"


@pytest.mark.parametrize(("name", "kinds"), [("resnet29-preact", {"filter", "block"}), ("resnext20", {"group"})])
def test_a_network_with_factors_can_be_traced_in_eval_mode(name, kinds):
    network = made(name).eval()
    spread(install(network, kinds))
    with torch.no_grad():
        assert torch.equal(torch.fx.symbolic_trace(network)(images()), network(images()))


def test_what_cannot_carry_a_factor_is_refused():
    with pytest.raises(BadInput, match=r"scaling factors of VGG must be of a kind that it has \(filter\); got block"):
        install(made("vgg11"), {"block"})
    with pytest.raises(BadInput, match=r"kind of scaling factor must be one of block, filter, group; got 'shape'"):
        install(made("vgg11"), {"shape"})
    network = made("resnet20")
    install(network, {"block"})
    with pytest.raises(BadInput, match=r"stage1.0.bn2 must be .* without a factor to carry one; got FactorBatchNorm2d"):
        install(network, {"block"})
    with pytest.raises(BadInput, match=r"act must be a BatchNorm, Conv2d or Linear .*; got ReLU"):
        attach(nn.ReLU(), 1, "act")


def test_a_norm_that_averages_over_all_batches_does_so_with_a_factor():
    plain = nn.BatchNorm2d(4, momentum=None)
    factored = copy.deepcopy(plain)
    attach(factored, 4)
    for seed in range(3):
        x = torch.randn(8, 4, 5, 5, generator=torch.Generator().manual_seed(seed)) * (seed + 1)
        assert torch.equal(plain(x), factored(x))
    assert torch.equal(plain.running_mean, factored.running_mean) and torch.equal(
        plain.running_var, factored.running_var
    )


def test_a_norm_without_running_statistics_takes_those_of_the_batch_with_a_factor_too():
    plain = nn.BatchNorm2d(4, track_running_stats=False).eval()
    factored = copy.deepcopy(plain)
    attach(factored, 4)
    x = torch.randn(8, 4, 5, 5)
    assert torch.equal(plain(x), factored.eval()(x))
