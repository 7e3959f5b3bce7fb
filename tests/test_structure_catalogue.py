"""The catalogue of EXACTNESS.md, line by line; the first word of each test's docstring says which line.

What tests/test_structure_exact.py holds is not repeated here. The oracle is the original network in float64.
"""

from __future__ import annotations

import copy
import re

import oracles_structure as oracles
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
import zoo
from torch import nn

from core.errors import TraceError
from core.structure import apply, apply_with_optimizer, cost, explain, plan_target, plan_zeros

DOUBLE = torch.float64
CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
SHAPES = {  # two sizes and two batches for each number of plane dimensions
    1: ((6, 3, 12), (5, 3, 17)),
    2: ((6, 3, 12, 12), (5, 3, 17, 14)),
    3: ((4, 3, 7, 8, 9), (3, 3, 9, 7, 8)),
}


class Net(nn.Module):
    """Named parts, and a function of (network, input) that uses them."""

    def __init__(self, steps, **parts):
        super().__init__()
        self.steps = steps
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.steps(self, x)


def conv(inputs, outputs, kernel=3, dims=2, **settings):
    return CONVS[dims](inputs, outputs, kernel, **({"padding": kernel // 2} | settings))


def chain(steps=lambda n, x: n.b(n.act(n.a(x))), dims=2, act=nn.Softplus, **parts):
    """A settled network whose `a` gives 8 channels behind an activation that is nowhere 0."""
    made = {"a": conv(3, 8, dims=dims), "act": act(), "b": conv(8, 5, dims=dims)}
    return zoo.settle(Net(steps, **(made | parts)), SHAPES[dims][0])


@torch.no_grad()
def dead(tensor, *units, dim=0, value=0.0):
    tensor.index_fill_(dim, torch.tensor(units), value)


def cut(network, shape=SHAPES[2][0], **options):
    example = torch.zeros((1, *shape[1:]), dtype=DOUBLE)
    plan = plan_zeros(network, example, **options)
    return plan, apply(plan, network, example)


@torch.no_grad()
def same(network, compact, shapes=SHAPES[2], tells=True):
    """Equal at each shape; `tells`: the answer depends on the input."""
    for seed, shape in enumerate(shapes):
        x = torch.randn(shape, dtype=DOUBLE, generator=oracles.generator(seed))
        expected = network(x.clone())
        assert not tells or oracles.spread(expected) > 1e-4
        assert oracles.difference(expected, compact(x)) < 1e-11


@torch.no_grad()
def batches(compact, shape=SHAPES[2][0]):
    """The batch that each module of the cut network runs on, by path."""
    seen = {}
    hooks = [
        module.register_forward_hook(lambda m, x, y, path=path: seen.__setitem__(path, len(y)))
        for path, module in compact.named_modules()
        if path and not list(module.children())
    ]
    compact(torch.randn(shape, dtype=DOUBLE))
    for hook in hooks:
        hook.remove()
    return seen


def beside(compact):
    """Parts that run once for all images: whether a constant needed more than a bias."""
    return [name for name, _ in compact.named_modules() if "_carry" in name or "_field" in name]


def operations(plan):
    return [r.operation for r in plan.refilled]


def pieces(compact, path):
    """The modules that do for each image what one layer did."""
    return [module for name, module in compact.named_modules() if re.fullmatch(rf"{path}_*\d*", name)]


# ---- 1: constants of dead channels -----------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [False, True])
def test_the_constant_of_a_dead_channel_is_what_eval_mode_makes_of_it(training):
    """1: beta behind a dead scale; beta + gamma (bias - mean) / sigma behind a dead filter, whatever the mode is now."""
    network = chain(lambda n, x: n.b(n.norm(n.a(x))), norm=nn.BatchNorm2d(8))
    a, norm = network.a, network.norm
    dead(a.weight, 1)
    dead(norm.weight, 4)
    found = explain(network.train(training), torch.zeros(1, 3, 12, 12, dtype=DOUBLE)).sites["a/filter"]
    assert [unit.verdict for unit in found] == ["alive", "uniform", "alive", "alive", "uniform", *["alive"] * 3]
    gamma, beta, bias = norm.weight.tolist(), norm.bias.tolist(), a.bias.tolist()
    sigma = (float(norm.running_var[1]) + norm.eps) ** 0.5
    by_hand = beta[1] + gamma[1] * (bias[1] - float(norm.running_mean[1])) / sigma
    assert found[1].value == pytest.approx(by_hand, rel=1e-12) and found[4].value == beta[4]


ACTS = (nn.Sigmoid, nn.Softplus, nn.SiLU, nn.Hardswish, nn.Hardsigmoid, nn.ELU, nn.GELU, nn.Mish, nn.Tanhshrink)


@pytest.mark.parametrize("act", ACTS)
@torch.no_grad()
def test_a_bias_takes_up_what_the_activation_makes_of_the_constant(act):
    """1: f(conv bias) times its weights, no more and no less."""
    network = chain(act=act, b=conv(8, 5, 1))
    dead(network.a.weight, 1, 4)
    expected = network.b.bias + network.b.weight[:, [1, 4], 0, 0] @ act()(network.a.bias[[1, 4]])
    plan, compact = cut(network)
    assert plan.removed == {"a/filter": [1, 4]}
    assert torch.allclose(compact.b.bias, expected, rtol=1e-13, atol=1e-15)
    assert not torch.allclose(compact.b.bias, network.b.bias, rtol=1e-3)
    same(network, compact)


IN_A_PLANE = {  # and whether a constant stays one: at every position, at every size
    "nearest": (nn.Upsample(scale_factor=2), True),
    "bilinear": (nn.Upsample(scale_factor=1.5, mode="bilinear"), True),
    "bicubic": (lambda x: F.interpolate(x, scale_factor=2, mode="bicubic", align_corners=True), True),
    "to a size": (nn.UpsamplingNearest2d((7, 9)), True),
    "areas": (lambda x: F.interpolate(x, size=(5, 4), mode="area"), True),
    "to the size of another value": (lambda x: F.interpolate(F.avg_pool2d(x, 2), size=x.shape[2:]), True),
    "to a computed size": (lambda x: F.interpolate(x, size=(x.shape[2] + 1, x.size(3) * 2)), True),
    "reflection": (nn.ReflectionPad2d(2), True),
    "replication": (nn.ReplicationPad2d((1, 0, 2, 1)), True),
    "circular": (lambda x: F.pad(x, (1, 2, 0, 1), mode="circular"), True),
    "a border less": (lambda x: F.pad(x, (-1, -1, 0, -2)), True),
    "zeros": (nn.ZeroPad2d((1, 0, 2, 1)), False),
    "another number": (nn.ConstantPad2d(1, 0.7), False),
    "largest": (lambda x: F.adaptive_max_pool2d(x, 3), True),
    "norm of a window": (nn.LPPool2d(2, 2), True),
    "mean": (lambda x: x.mean((2, 3), keepdim=True), True),
    "mean of rows": (lambda x: x.mean(3).unsqueeze(3), True),
    "maximum of rows": (lambda x: x.amax(3, keepdim=True), True),
    "sum": (lambda x: x.sum((2, 3), keepdim=True), False),
    "softmax along rows": (lambda x: x.softmax(3), False),
    "what is above the mean": (lambda x: x - x.mean((2, 3), keepdim=True), True),
}


@pytest.mark.parametrize("name", IN_A_PLANE)
def test_a_constant_passes_what_works_inside_a_plane(name):
    """1, 2: interpolation, padding of every kind, reductions of the plane; where it does not stay one it is a field."""
    function, stays = IN_A_PLANE[name]
    network = chain(lambda n, x: n.b(n.between(n.act(n.a(x)))), between=function, b=conv(8, 5, 1))
    dead(network.a.weight, 1, 4)
    plan, compact = cut(network)
    assert plan.removed == {"a/filter": [1, 4]} and not plan.refilled
    assert bool(beside(compact)) != stays
    same(network, compact)


@pytest.mark.parametrize("name", IN_A_PLANE)
def test_a_wholly_static_value_keeps_the_plane_it_would_have_had(name):
    """18: no channel is left of what was resized, padded or reduced, at a new size and batch."""
    network = chain(lambda n, x: n.b(n.between(n.act(n.a(x)))), between=IN_A_PLANE[name][0])
    dead(network.a.weight, *range(8))
    plan, compact = cut(network)
    assert plan.removed_layers == ["a"]
    same(network, compact, tells=False)


POOLS = (
    (1, nn.AvgPool1d(3, 1, 1), False),
    (1, nn.AvgPool1d(3, 1, 1, count_include_pad=False), True),
    (1, nn.MaxPool1d(3, 2, 1), True),
    (2, nn.AvgPool2d(3, 1, 1), False),
    (2, nn.AvgPool2d(3, 1, 1, count_include_pad=False), True),
    (3, nn.AvgPool3d(2, 1, 1), False),
    (3, nn.AvgPool3d(2, 1, 1, count_include_pad=False), True),
    (3, nn.AdaptiveMaxPool3d(2), True),
)


@pytest.mark.parametrize(("dims", "pool", "stays"), POOLS, ids=lambda value: str(value)[:40])
def test_a_padded_average_is_a_field_where_it_counts_the_padding_only(dims, pool, stays):
    """1, 2: in one, two and three dimensions."""
    network = chain(lambda n, x: n.b(n.pool(n.act(n.a(x)))), dims, pool=copy.deepcopy(pool), b=conv(8, 5, 1, dims))
    dead(network.a.weight, 1, 4)
    plan, compact = cut(network, SHAPES[dims][0])
    assert plan.removed == {"a/filter": [1, 4]} and bool(beside(compact)) != stays
    same(network, compact, SHAPES[dims])


@torch.no_grad()
def test_a_padded_number_is_carried_in_full_precision():
    """1, 18: 0.7 is no float32; channels of it are joined, and a plane is padded with it."""
    network = chain(
        lambda n, x: n.b(F.pad(F.pad(n.act(n.a(x)), (0, 0, 0, 0, 1, 2), value=0.7), (1, 1, 1, 1), value=0.7)),
        b=conv(11, 5, 1),
    )
    dead(network.a.weight, 1, 4)
    plan, compact = cut(network)
    x = torch.randn(5, 3, 12, 12, dtype=DOUBLE)
    assert plan.removed == {"a/filter": [1, 4]}
    assert float((network(x) - compact(x)).abs().max()) < 1e-14, "as float32, 0.7 is off by 1e-8"


# ---- 2: padding, strides, transposed convolutions, fields ------------------------------------------------------------


@pytest.mark.parametrize("dims", [1, 3])
@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("settings", [{"stride": 2}, {"padding": 2, "dilation": 2}, {"padding": 0}])
def test_the_constant_survives_padding_in_one_and_three_dimensions(dims, mode, settings):
    """2: a bias suffices but for zeros, which need a plane of ones."""
    network = chain(dims=dims, b=conv(8, 5, dims=dims, padding_mode=mode, **settings))
    dead(network.a.weight, 1, 4)
    plan, compact = cut(network, SHAPES[dims][0])
    assert plan.removed == {"a/filter": [1, 4]} and not plan.refilled
    assert bool(beside(compact)) == (mode == "zeros" and settings != {"padding": 0})
    same(network, compact, SHAPES[dims])


@pytest.mark.parametrize("mode", ["zeros", "circular"])
def test_windows_steps_and_borders_may_differ_by_dimension(mode):
    """2: kernel, stride, dilation and padding of their own for height and width."""
    b = nn.Conv2d(8, 5, (3, 4), (2, 1), (2, 1), (1, 2), padding_mode=mode)
    network = chain(b=b)
    dead(network.a.weight, 1, 4)
    same(network, cut(network)[1])
    dead(network.a.weight, *range(8))
    same(network, cut(network)[1], tells=False)


TURNED = {  # kernel, stride, padding, output padding, dilation, conv groups
    "1x1": (1, 1, 0, 0, 1, 1),
    "stride 1": (3, 1, 1, 0, 1, 1),
    "stride 2": (2, 2, 0, 0, 1, 1),
    "1x1 with gaps": (1, 2, 0, 1, 1, 1),
    "output padding": (3, 2, 1, 1, 1, 1),
    "dilated conv groups": (3, 2, 0, 1, 2, 2),
    "depthwise": (3, 2, 1, 0, 1, 8),
}


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("name", TURNED)
def test_a_transposed_convolution_makes_a_field_of_a_constant(name, dims):
    """2: even without padding; only a 1x1 without gaps leaves it a constant."""
    kernel, stride, padding, more, dilation, groups = TURNED[name]
    t = TRANSPOSED[dims](8, 8, kernel, stride, padding, more, groups, True, dilation)
    network = chain(lambda n, x: n.b(n.act(n.t(n.act(n.a(x))))), dims, t=t)
    gone = {1: [1, 4], 2: [0, 1, 2, 3], 8: [1, 4]}[groups]
    dead(network.a.weight, *gone)
    if groups == 1:  # two filters read dead channels only
        with torch.no_grad():
            network.t.weight[[0, 2, 3, 5, 6, 7], 2:4] = 0
    plan, compact = cut(network, SHAPES[dims][0])
    verdict = "uniform" if name == "1x1" else "field"
    assert plan.removed["a/filter"] == gone and not plan.refilled
    assert plan.verdicts["t/filter"][verdict] == {1: 2, 2: 4, 8: 2}[groups]
    assert plan.verdicts["t/filter"]["alive"] == {1: 6, 2: 4, 8: 6}[groups]
    same(network, compact, SHAPES[dims])
    dead(network.a.weight, *range(8))
    same(network, cut(network, SHAPES[dims][0])[1], SHAPES[dims], tells=False)


@pytest.mark.parametrize("policy", ["most", "fast"])
def test_a_transposed_convolution_may_have_uneven_conv_groups(policy):
    """2, 5: four conv groups that keep 1, 2, 2 and no inputs and 2, 1, 2 and 2 filters."""
    network = chain(
        lambda n, x: n.b(n.act(n.t(n.act(n.a(x))))), t=nn.ConvTranspose2d(8, 8, 3, 2, 1, 1, 4), b=conv(8, 5)
    )
    dead(network.a.weight, 0, 6, 7)
    dead(network.t.weight[2:4], 1, dim=1)
    plan, compact = cut(network, policy=policy)
    assert plan.removed == {"a/filter": [0, 6, 7], "t/filter": [3]} and plan.verdicts["t/filter"]["field"] == 2
    assert len(pieces(compact, "t")) == (1 if policy == "fast" else 3)
    same(network, compact)


def test_constants_behind_a_padded_depthwise_convolution_are_fields_that_run_once():
    """2: eight fields, which no single plane carries, on a batch of 1; the four living channels on the batch."""
    network = chain(
        lambda n, x: n.b(F.relu(n.each(n.act(n.a(x))))),
        a=conv(3, 12),
        each=conv(12, 12, groups=12),
        b=conv(12, 5),
    )
    gone = [0, 1, 2, 4, 5, 7, 9, 11]
    dead(network.a.weight, *gone)
    plan, compact = cut(network)
    assert plan.removed == {"a/filter": gone}
    assert plan.verdicts["each/filter"] == {"zero": 0, "uniform": 0, "field": 8, "alive": 4}
    ran = batches(compact)
    assert ran["each"] == ran["b"] == 6 and ran["each_field"] == ran["b_carry"] == 1
    assert compact.each.out_channels == 4 and compact.each_field.out_channels == 8
    same(network, compact)


# ---- 3: normalisers across channels ----------------------------------------------------------------------------------


def last(norm):
    return lambda x: norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


CROSSING = {
    "LayerNorm": nn.LayerNorm(8),
    "GroupNorm": nn.GroupNorm(2, 8),
    "LocalResponseNorm": nn.LocalResponseNorm(3),
    "Softmax2d": nn.Softmax2d(),
    "Softmax": nn.Softmax(1),
    "log_softmax": lambda x: x.log_softmax(1),
    "normalize": F.normalize,
    "layer_norm": lambda x: F.layer_norm(x, x.shape[1:]),
    "group_norm": lambda x: F.group_norm(x, 4),
    "cumsum": lambda x: x.cumsum(1),
}


@pytest.mark.parametrize("name", CROSSING)
def test_what_works_across_channels_is_declared_and_sees_them_all(name):
    """3: the filters in front still go; the operation is named with a reason, and nothing else is refilled."""
    placed = last if name == "LayerNorm" else lambda norm: norm
    network = chain(lambda n, x: n.b(placed(n.norm)(n.act(n.a(x)))), norm=copy.deepcopy(CROSSING[name]))
    dead(network.a.weight, 1, 4)
    plan, compact = cut(network)
    assert plan.removed == {"a/filter": [1, 4]}
    assert operations(plan) == [name] and plan.refilled[0].reason
    same(network, compact)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("tracked", [True, False])
def test_instance_norm_loses_its_channels(affine, tracked):
    """3: it works inside each channel; a constant becomes its shift."""
    norm = nn.InstanceNorm2d(8, affine=affine, track_running_stats=tracked)
    network = chain(lambda n, x: n.b(n.act(n.norm(n.a(x)))), norm=norm)
    dead(network.a.weight, 1, 4)
    plan, compact = cut(network)
    assert plan.removed == {"a/filter": [1, 4]} and not plan.refilled
    assert compact.norm.num_features == compact.b.in_channels == 6
    same(network, compact)


def test_a_group_of_a_group_norm_that_dies_whole_leaves():
    """3: the other group keeps its width, one dead channel included, and is declared."""
    network = chain(lambda n, x: n.b(n.act(n.norm(n.a(x)))), norm=nn.GroupNorm(2, 8))
    dead(network.a.weight, 0, 1, 2, 3, 6)
    plan, compact = cut(network)
    assert plan.removed == {"a/filter": [0, 1, 2, 3, 6]} and operations(plan) == ["GroupNorm"]
    assert (compact.norm.num_groups, compact.norm.num_channels) == (1, 4)
    same(network, compact)


@pytest.mark.parametrize("kind", ["layer", "group"])
def test_dead_scales_of_a_norm_across_channels_leave_constants_behind_it(kind):
    """3: the norm stays whole, what reads it does not."""
    norm = nn.LayerNorm(8) if kind == "layer" else nn.GroupNorm(2, 8)
    network = chain(lambda n, x: n.b(n.act(last(n.norm)(n.a(x)) if kind == "layer" else n.norm(n.a(x)))), norm=norm)
    dead(network.norm.weight, 1, 4, 6)
    plan, compact = cut(network)
    assert plan.removed == {} and compact.a.out_channels == 8 and compact.b.in_channels == 5
    assert beside(compact) == ["b_carry"]
    same(network, compact)


@pytest.mark.parametrize("kind", ["layer", "group", "batch"])
def test_dead_scales_of_a_norm_without_shifts_leave_zeros(kind):
    """3: `bias=False`."""
    makers = {"layer": nn.LayerNorm, "group": lambda width, bias: nn.GroupNorm(2, width, bias=bias)}
    norm = makers.get(kind, nn.BatchNorm2d)(8, bias=False)
    network = chain(lambda n, x: n.b(last(n.norm)(n.a(x)) if kind == "layer" else n.norm(n.a(x))), norm=norm)
    dead(network.norm.weight, 1, 4, 6)
    _, compact = cut(network)
    assert compact.b.in_channels == 5 and not beside(compact)
    same(network, compact)


# ---- 4: depthwise convolutions ---------------------------------------------------------------------------------------


def test_one_channel_is_not_depthwise():
    """4: `groups == out_channels` and `groups == in_channels` hold for any convolution to or from one channel."""
    network = chain(
        lambda n, x: n.b(n.act(n.out(n.act(n.into(n.act(n.a(x))))))), into=conv(8, 1), out=conv(1, 6), b=conv(6, 5)
    )
    dead(network.a.weight, 1, 4)
    dead(network.out.weight, 0, 5)
    plan, compact = cut(network)
    assert plan.removed == {"a/filter": [1, 4], "out/filter": [0, 5]} and plan.removed_groups == {}
    assert (compact.into.in_channels, compact.into.out_channels, compact.out.out_channels) == (6, 1, 4)
    same(network, compact)


@pytest.mark.parametrize("policy", ["most", "fast"])
def test_a_depth_multiplier_keeps_each_filter_with_its_channel(policy):
    """4: three filters a channel; one channel dead, one channel with no filter left, one with a single one."""
    network = chain(
        lambda n, x: n.b(n.act(n.norm(n.each(n.act(n.a(x)))))),
        **{"each": conv(8, 24, groups=8), "norm": nn.BatchNorm2d(24), "b": conv(24, 5)},
    )
    dead(network.a.weight, 6)
    dead(network.each.weight, 3, 4, 5, 9, 10, 12)
    plan, compact = cut(network, policy=policy)
    assert plan.removed == {"a/filter": [1, 6], "each/filter": [3, 4, 5, 9, 10, 12]}
    assert plan.verdicts["each/filter"] == {"zero": 0, "uniform": 6, "field": 3, "alive": 15}
    assert plan.removed_groups == {}, "the groups of a depthwise convolution are its channels"
    same(network, compact)


# ---- 5: conv groups --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["most", "fast"])
def test_rows_of_conv_groups_may_read_fields_unevenly(policy):
    """5, 7: two rows of one group and four of the other read a field; a row that pads must not add it twice."""
    network = chain(
        lambda n, x: n.b(n.act(n.g(n.act(n.each(n.act(n.a(x))))))), each=conv(8, 8, groups=8), g=conv(8, 8, groups=2)
    )
    dead(network.a.weight, 1, 4)
    with torch.no_grad():
        network.g.weight[[1, 2], 1] = 0
    plan, compact = cut(network, policy=policy)
    assert plan.verdicts["each/filter"]["field"] == 2
    same(network, compact)


@pytest.mark.parametrize("policy", ["most", "fast"])
def test_conv_groups_may_lose_other_positions_each_and_die_whole(policy):
    """5: of four conv groups of 3 inputs and 2 filters, one loses its inputs, one its filters, two a part."""
    network = chain(
        lambda n, x: n.b(n.act(n.norm(n.g(n.act(n.a(x)))))),
        **{"a": conv(3, 12), "g": conv(12, 8, groups=4), "norm": nn.BatchNorm2d(8), "b": conv(8, 5)},
    )
    dead(network.a.weight, 0, 1, 2, 6, 10, 11)
    dead(network.g.weight, 2, 3, 7)
    plan, compact = cut(network, policy=policy)
    assert plan.removed == {"a/filter": [0, 1, 2, 3, 4, 5, 6, 10, 11], "g/filter": [2, 3, 7]}
    assert plan.removed_groups == {"g/group": [1]}
    assert plan.verdicts["g/filter"] == {"zero": 0, "uniform": 3, "field": 2, "alive": 3}
    left = sorted((m.in_channels, m.out_channels, m.groups) for m in pieces(compact, "g"))
    assert left == ([(4, 4, 2)] if policy == "fast" else [(1, 1, 1), (2, 2, 1)])
    same(network, compact)


def test_scales_behind_conv_groups_decide_too():
    """5: the BatchNorm behind is cut with the filters, and what it makes static is counted there."""
    network = chain(
        lambda n, x: n.b(n.act(n.norm(n.g(n.act(n.a(x)))))),
        **{"a": conv(3, 12), "g": conv(12, 8, groups=4), "norm": nn.BatchNorm2d(8), "b": conv(8, 5)},
    )
    dead(network.norm.weight, 0, 1, 4)
    plan, compact = cut(network)
    assert plan.removed == {"a/filter": [0, 1, 2], "g/filter": [0, 1, 4]} and plan.removed_groups == {"g/group": [0]}
    assert compact.norm.num_features == 5
    same(network, compact)


# ---- 6: movements ----------------------------------------------------------------------------------------------------


def three_parts(x):
    first, _, last = x.split([3, 1, 4], 1)
    return torch.cat([last, first], 1)


def shuffled(x):
    n, c, h, w = x.shape
    return x.view(n, 4, c // 4, h, w).transpose(1, 2).reshape(n, c, h, w)


def tokens(x):
    n, c, h, w = x.shape[0], x.shape[1], x.shape[2], x.shape[3]
    return x.reshape(n, c, h * w).permute(0, 2, 1).sigmoid().transpose(1, 2).reshape(n, c, h, w)


MOVES = {  # and how many channels there are afterwards
    "split": (three_parts, 7),
    "tensor_split": (lambda x: torch.cat([x.tensor_split((2, 5), 1)[1], x.tensor_split(3, 1)[0]], 1), 6),
    "halves": (lambda x: torch.cat([x.chunk(2, 1)[1], x.chunk(2, 1)[0]], 1), 8),
    "every third": (lambda x: x[:, 1::3], 3),
    "index_select": (lambda x: x.index_select(1, torch.tensor([7, 0, 0, 5])), 4),
    "a list": (lambda x: x[:, [7, 0, 0, -3]], 4),
    "flip": (lambda x: x.flip(1), 8),
    "roll": (lambda x: x.roll(3, 1), 8),
    "stack": (lambda x: torch.stack([x, x.flip(1)], 2).flatten(1, 2), 16),
    "unbind": (lambda x: torch.cat([x.unbind(1)[6].unsqueeze(1), x.select(1, 1).unsqueeze(1)], 1), 2),
    "repeat": (lambda x: x.repeat(1, 2, 1, 1), 16),
    "interleave": (lambda x: x.repeat_interleave(2, 1), 16),
    "channel_shuffle": (lambda x: F.channel_shuffle(x, 4), 8),
    "shuffled by a view": (shuffled, 8),
    "ChannelShuffle": (nn.ChannelShuffle(2), 8),
    "unflatten": (lambda x: x.unflatten(1, (2, 4)).flatten(1, 2), 8),
    "expand": (lambda x: x.mean((2, 3), keepdim=True).expand(-1, -1, 4, x.shape[3]), 8),
    "squeeze": (lambda x: x.mean((2, 3), keepdim=True).squeeze(3).unsqueeze(-1), 8),
    "joined with numbers": (lambda x: F.pad(x, (0, 0, 0, 0, 1, 2), value=0.7), 11),
    "NHWC and back": (lambda x: x.permute(0, 2, 3, 1).sigmoid().permute(0, 3, 1, 2), 8),
    "movedim": (lambda x: (x.movedim(1, -1) * 2).movedim(-1, 1), 8),
    "tokens": (tokens, 8),
    "transposed plane": (lambda x: x.transpose(2, 3), 8),
    "flipped plane": (lambda x: x.flip(2, 3), 8),
    "rolled plane": (lambda x: torch.roll(x, (1, 2), (2, 3)), 8),
    "rot90": (lambda x: torch.rot90(x, 1, (2, 3)), 8),
    "every other pixel": (lambda x: x[:, :, 1::2, ::2], 8),
    "-1": (lambda x: torch.cat([x[:, -1:], x.narrow(1, -3, 2), x.select(1, -1).unsqueeze(1)], 1), 4),
    "-1 of the last": (lambda x: x[:, :-1].flip(-3)[:, -1:], 1),
}


@pytest.mark.parametrize("name", MOVES)
def test_channels_are_followed_wherever_they_move(name):
    """6, 18 (an index of -1): nothing is refilled, the dead ones go, those that nobody takes go too."""
    move, width = MOVES[name]
    network = chain(lambda n, x: n.b(n.move(n.act(n.a(x)))), move=move, b=conv(width, 5))
    dead(network.a.weight, 1, 4)
    plan, compact = cut(network)
    with torch.no_grad():  # which channels are taken: mark each in turn
        marks = torch.eye(8, dtype=DOUBLE).view(8, 8, 1, 1).expand(8, 8, 12, 12)
        taken = [i for i in range(8) if bool((move(marks)[i] != move(0 * marks)[i]).any())]
    assert plan.removed["a/filter"] == sorted({1, 4, *range(8)} - (set(taken) - {1, 4}))
    assert not plan.refilled
    same(network, compact)
    dead(network.a.weight, *range(8))
    plan, compact = cut(network)
    assert plan.removed_layers == ["a"]
    same(network, compact, tells=False)


FLAT = {
    "flatten": lambda x: x.flatten(1),
    "NHWC": lambda x: x.permute(0, 2, 3, 1).flatten(1),
    "by size": lambda x: x.permute(0, 3, 1, 2).reshape(x.size(0), -1),
    "Flatten": nn.Flatten(),
    "an activation behind": lambda x: F.relu(x.view(x.shape[0], -1) - 0.7),
    "reversed": lambda x: x.flatten(1).flip(1),
    "height first": lambda x: x.transpose(1, 2).flatten(1),
}


@pytest.mark.parametrize("name", FLAT)
def test_a_linear_layer_behind_a_flatten_reads_the_elements_of_living_channels(name):
    """6: whichever way the elements lie."""
    network = chain(
        lambda n, x: n.fc(n.flat(F.avg_pool2d(n.act(n.a(x)), (4, 3)))), flat=FLAT[name], fc=nn.Linear(8 * 3 * 4, 5)
    )
    dead(network.a.weight, 1, 4)
    plan, compact = cut(network)
    assert plan.removed == {"a/filter": [1, 4]} and not plan.refilled and compact.fc.in_features == 72
    same(network, compact, SHAPES[2][:1])


PARTS = {
    "cropped": (lambda x: x.flatten(1)[:, 3:], 93),
    "every other": (lambda x: x.flatten(1)[:, ::2], 48),
    "a half": (lambda x: x.flatten(1).chunk(2, 1)[1], 48),
    "twice": (lambda x: x.flatten(1).repeat(1, 2), 192),
}


@pytest.mark.parametrize("name", PARTS)
def test_a_linear_layer_may_read_elements_of_a_flatten_twice_or_not_at_all(name):
    """6: a repeat, a crop, a stride and a half of what was flattened."""
    part, width = PARTS[name]
    network = chain(lambda n, x: n.fc(n.part(F.avg_pool2d(n.act(n.a(x)), (4, 3)))), part=part, fc=nn.Linear(width, 5))
    dead(network.a.weight, 1, 4)
    same(network, cut(network)[1], SHAPES[2][:1])


def test_a_flatten_of_a_number_written_down_is_followed():
    """6: x.view(-1, 16 * 5 * 5), as in the best-known tutorial."""
    network = Net(
        lambda n, x: n.fc(F.avg_pool2d(F.softplus(n.a(x)), 4).view(-1, 8 * 4)), a=conv(3, 8), fc=nn.Linear(32, 5)
    )
    zoo.settle(network, (6, 3, 8, 8))
    dead(network.a.weight, 1, 4)
    plan, compact = cut(network, (6, 3, 8, 8))
    same(network, compact, [(5, 3, 8, 8)])
    assert not plan.refilled


ARRANGED = {
    "pixel_shuffle": (lambda n, x: n.b(F.pixel_shuffle(n.act(n.a(x)), 2)), conv(2, 5), ["Conv2d"]),
    "pixel_unshuffle": (
        lambda n, x: n.b(F.pixel_unshuffle(F.interpolate(n.act(n.a(x)), scale_factor=2), 2)),
        *(conv(32, 5), ["Conv2d"]),
    ),
    "heads that are normed": (
        lambda n, x: n.b(n.act(n.a(x)).mean((2, 3)).view(x.shape[0], 2, 4).softmax(2).flatten(1)),
        *(nn.Linear(8, 5), ["softmax"]),
    ),
    "heads that are added": (
        lambda n, x: n.b(n.act(n.a(x)).mean((2, 3)).view(-1, 2, 4).sum(1)),
        *(nn.Linear(4, 5), ["sum"]),
    ),
}


@pytest.mark.parametrize("name", ARRANGED)
def test_elements_that_are_no_whole_channels_any_more_are_refilled_where_they_are_read(name):
    """6: pixel shuffle and view(B, heads, d) are exact and declared; the filters in front still go."""
    steps, b, refilled = ARRANGED[name]
    network = chain(steps, b=copy.deepcopy(b))
    dead(network.a.weight, 1, 4, 5)
    plan, compact = cut(network)
    assert plan.removed == {"a/filter": [1, 4, 5]} and operations(plan) == refilled
    same(network, compact)


def test_heads_that_are_only_reshaped_cost_nothing():
    """6: view(B, heads, d) and back."""
    network = chain(
        lambda n, x: n.b(torch.sigmoid(n.act(n.a(x)).mean((2, 3)).view(x.shape[0], 2, 4)).flatten(1)), b=nn.Linear(8, 5)
    )
    dead(network.a.weight, 1, 4)
    plan, compact = cut(network)
    assert not plan.refilled and compact.b.in_features == 6
    same(network, compact)


def test_linear_layers_in_nhwc_are_as_narrow_as_convolutions():
    """6: permute, two linear layers, and back."""
    network = chain(
        lambda n, x: n.b(n.two(n.act(n.one(n.act(n.a(x)).permute(0, 2, 3, 1)))).permute(0, 3, 1, 2)),
        **{"one": nn.Linear(8, 11), "two": nn.Linear(11, 7), "b": conv(7, 5)},
    )
    dead(network.a.weight, 1, 4)
    dead(network.one.weight, 0, 9)
    dead(network.two.weight, 6)
    plan, compact = cut(network)
    assert plan.removed == {"a/filter": [1, 4], "one/neuron": [0, 9], "two/neuron": [6]} and not plan.refilled
    assert (compact.one.in_features, compact.two.in_features, compact.b.in_channels) == (6, 9, 6)
    same(network, compact)


def test_the_sizes_that_modules_hold_follow():
    """6: in_channels, groups, num_features and the like say what the weights are."""
    parts = {"a": conv(3, 12), "g": conv(12, 8, groups=4), "each": conv(8, 8, groups=8), "fc": nn.Linear(8, 5)}
    parts |= {"norm": nn.BatchNorm2d(8), "group": nn.GroupNorm(2, 8), "slope": nn.PReLU(8)}
    network = chain(
        lambda n, x: n.fc(n.slope(n.group(n.each(n.norm(n.g(n.act(n.a(x))))))).mean((2, 3))), **(parts | {"b": None})
    )
    dead(network.a.weight, 0, 5)
    dead(network.norm.weight, 0, 1, 2, 3)
    dead(network.slope.weight, 1)
    _, compact = cut(network)
    for module in compact.modules():
        if isinstance(module, nn.Conv2d):
            shape = (module.out_channels, module.in_channels // module.groups, *module.kernel_size)
            assert tuple(module.weight.shape) == shape
        elif isinstance(module, nn.Linear):
            assert tuple(module.weight.shape) == (module.out_features, module.in_features)
        elif isinstance(module, nn.BatchNorm2d):
            assert len(module.weight) == len(module.running_var) == module.num_features == 4
        elif isinstance(module, nn.GroupNorm):
            assert len(module.weight) == module.num_channels
        elif isinstance(module, nn.PReLU):
            assert len(module.weight) == module.num_parameters
    same(network, compact)


# ---- 7, 9: sums and other pairs --------------------------------------------------------------------------------------

PAIRS = {
    "sum": lambda a, b: a + b,
    "difference": lambda a, b: a - b,
    "reversed": lambda a, b: b - a,
    "product": lambda a, b: a * b,
    "quotient": lambda a, b: a / (b + 1),
    "power": lambda a, b: a**b,
    "maximum": torch.maximum,
    "minimum": lambda a, b: torch.minimum(a, other=b),
    "by keyword": lambda a, b: torch.sub(other=b, input=a, alpha=3),
    "with itself": lambda a, b: (a + a) * a - b,
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("field", [False, True])
def test_life_on_one_side_and_a_constant_or_field_on_the_other_need_no_coupling(name, field):
    """7, 11: every channel of each side lives, dies or both, and the order of the operands holds."""
    network = chain(
        lambda n, x: n.b(PAIRS[name](n.act(n.a(x)), n.act(n.each(n.act(n.c(x)))))),
        **{"c": conv(3, 8), "each": conv(8, 8, groups=8, padding=1 if field else 0, kernel=3 if field else 1)},
    )
    for gone_a, gone_c in (([1, 4], [4, 6]), ([0, 1, 2], range(8)), (range(8), range(8))):
        dead(network.a.weight, *gone_a)
        dead(network.c.weight, *gone_c)
        plan, compact = cut(network)
        assert plan.removed["a/filter"][: len(gone_a)] == list(gone_a) and not plan.refilled
        assert bool(plan.verdicts["each/filter"]["field"]) == field
        same(network, compact, tells=len(gone_a) < 8)


@pytest.mark.parametrize("projection", [False, True])
def test_a_stem_channel_that_dies_leaves_the_branch_that_adds_to_it(projection):
    """7: a constant on the shortcut, life on the branch, of plain, widening and projecting blocks."""
    network = oracles.settle(oracles.resnet(nn.Softplus, projection), (16, 3, 12, 12))
    dead(network[0][0].weight, 1, 4)
    dead(network[1].bn2.weight, 2)
    dead(network[2].bn2.weight, 0, 3, 9)
    plan, compact = cut(network)
    assert plan.removed["0.0/filter"] == [1, 4] and plan.removed["1.conv2/filter"] == [2]
    assert plan.removed["2.conv2/filter"] == [0, 3, 9] and not plan.refilled
    same(network, compact)


@pytest.mark.parametrize("act", [nn.ReLU, nn.Softplus])
@pytest.mark.parametrize("block", [1, 2, 3])
def test_a_block_whose_first_convolution_is_dead_becomes_its_constant(act, block):
    """9: its partner does no work for any image; behind zero padding the constant is a field."""
    network = oracles.settle(oracles.resnet(act), (16, 3, 12, 12))
    with torch.no_grad():
        network[block].conv1.weight.zero_()
    plan, compact = cut(network)
    width = plan.total[f"{block}.conv2/filter"]
    assert f"{block}.conv1" in plan.removed_layers and str(block) in plan.removed_blocks
    assert plan.verdicts[f"{block}.conv2/filter"]["field"] == width, "a constant of the norm, across zero padding"
    assert all(batch == 1 for path, batch in batches(compact).items() if path.startswith(f"{block}.conv"))
    same(network, compact)


def test_a_network_that_dies_whole_says_its_constant():
    """9: the last linear layer too: no module is left, and any batch gets an answer."""
    network = oracles.settle(oracles.resnet(), (16, 3, 12, 12))
    dead(network[6].weight, *range(5))
    plan, compact = cut(network)
    assert len(plan.removed_layers) == len(plan.total) == 8
    assert not [m for m in compact.modules() if isinstance(m, zoo.LAYERS)]
    same(network, compact, tells=False)


# ---- 8: several affine copies of one channel -------------------------------------------------------------------------


class Dense(nn.Module):
    """Features that are joined, each reader behind a norm of its own."""

    def __init__(self, act):
        super().__init__()
        self.stem, self.act = conv(3, 6, bias=False), act()
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in (6, 10, 14))
        self.convs = nn.ModuleList((conv(6, 4), conv(10, 4), conv(14, 5, 1)))

    def forward(self, x):
        features = [self.stem(x)]
        for norm, layer in zip(self.norms, self.convs, strict=True):
            features.append(layer(self.act(norm(torch.cat(features, 1)))))
        return features[-1]


@pytest.mark.parametrize("act", [nn.ReLU, nn.Sigmoid])
def test_each_reader_of_a_dead_channel_has_a_constant_of_its_own(act):
    """8: one filter, three norms, three constants."""
    network = zoo.settle(Dense(act), SHAPES[2][0])
    dead(network.stem.weight, 1, 4)
    plan, compact = cut(network)
    assert plan.removed == {"stem/filter": [1, 4]} and not plan.refilled
    assert [norm.num_features for norm in compact.norms.children()] == [4, 8, 12]
    same(network, compact)


def test_a_channel_leaves_when_its_last_reader_has_no_scale_for_it():
    """8: channel 2 is read by one norm less, channel 3 by none."""
    network = zoo.settle(Dense(nn.Sigmoid), SHAPES[2][0])
    for norm, gone in zip(network.norms, ([2, 3], [3, 7], [3, 7]), strict=True):
        dead(norm.weight, *gone)
    plan, compact = cut(network)
    assert plan.removed == {"stem/filter": [3], "convs.0/filter": [1]}
    assert [norm.num_features for norm in compact.norms.children()] == [4, 8, 12]
    same(network, compact)


# ---- 10: weights that are shared, raw or idle ------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [False, True])
def test_raw_parameters_are_layers_like_any_other(bias):
    """10: F.conv2d with conv groups, stride and dilation, then F.linear; both lose units and inputs."""
    parts = {"w": nn.Parameter(torch.zeros(8, 2, 3, 3)), "v": nn.Parameter(torch.zeros(5, 8))}
    if bias:
        parts["c"] = nn.Parameter(torch.zeros(8))
    network = chain(
        lambda n, x: F.linear(
            n.act(F.conv2d(n.act(n.a(x)), n.w, n.c if bias else None, 2, padding=2, dilation=2, groups=4)).mean((2, 3)),
            n.v,
        ),
        **parts,
    )
    dead(network.a.weight, 1, 6, 7)
    dead(network.w, 2)
    plan, compact = cut(network)
    assert plan.total == {"a/filter": 8, "w/filter": 8, "v/neuron": 5} and not plan.refilled
    assert plan.removed == {"a/filter": [1, 6, 7], "w/filter": [2]} and plan.verdicts["w/filter"]["field"] == 2
    same(network, compact)


def test_a_weight_that_a_module_and_a_function_share_is_cut_for_each():
    """10: the module's call loses its inputs, the function's call others."""
    network = chain(
        lambda n, x: n.b(n.act(n.m(n.act(n.a(x)))) + F.conv2d(n.act(n.c(x)), n.m.weight, padding=1)),
        **{"c": conv(3, 8), "m": conv(8, 8)},
    )
    dead(network.a.weight, 1, 4)
    dead(network.c.weight, 4, 6, 7)
    plan, compact = cut(network)
    assert plan.removed == {"a/filter": [1, 4], "c/filter": [4, 6, 7]}
    same(network, compact)


def test_parts_that_are_never_used_are_neither_counted_nor_kept():
    """10: a layer that is not called, a parameter nobody reads."""
    network = chain(idle=conv(4, 4), number=nn.Parameter(torch.ones(3)))
    dead(network.a.weight, 1, 4)
    plan, compact = cut(network)
    assert plan.total == {"a/filter": 8, "b/filter": 5}
    assert not [name for name in compact.state_dict() if name.startswith(("idle", "number"))]
    same(network, compact)


@pytest.mark.parametrize("kind", [nn.PReLU, nn.BatchNorm2d])
def test_a_module_called_once_on_channels_and_once_on_something_unknown_is_two(kind):
    """10: here even of equal width: the first call's channels come in another order, silently."""
    network = zoo.settle(
        Net(
            lambda n, x: n.b(n.m(n.a(x).flip(1))) + n.m(n.a(x).permute(0, 2, 1, 3))[:, :5],
            **{"a": conv(3, 8), "m": kind(8), "b": conv(8, 5)},
        ),
        (6, 3, 8, 8),
    )
    same(network, cut(network, (6, 3, 8, 8))[1], [(5, 3, 8, 8)])


def test_a_module_with_a_forward_of_its_own_is_unknown():
    """10: as wrappers of large models set it; silently wrong."""
    network = chain()
    network.act.forward = lambda x: x + x.sum(1, keepdim=True)
    dead(network.a.weight, 1, 4)
    same(network, cut(network)[1])


@pytest.mark.parametrize("how", ["hook", "forward"])
def test_a_network_that_is_not_what_its_class_says_is_refused_and_followed_inside_another(how):
    """10: torch.fx follows the class's forward of the network itself, and none of its hooks."""
    network = chain()
    if how == "hook":
        network.register_forward_hook(lambda module, args, out: 2 * out)
    else:
        network.forward = lambda x: 2 * type(network).forward(network, x)
    dead(network.a.weight, 1, 4)
    with pytest.raises(TraceError, match=r"the network itself must be what its class says; .*; pass nn.Sequential"):
        cut(network)
    within = nn.Sequential(network)
    plan, compact = cut(within)
    assert plan.removed == {"0.a/filter": [1, 4]}
    same(within, compact)


# ---- 11: multiplications between branches ----------------------------------------------------------------------------


def excited(n, y):
    return y * n.gate(n.two(F.relu(n.one(y.mean((2, 3), keepdim=True)))))


def test_squeeze_excite_lives_with_dead_channels_and_dead_gates():
    """11: a constant channel times a living gate lives; a constant gate scales; a gate of exactly 0 kills."""
    network = chain(
        lambda n, x: n.b(excited(n, n.act(n.a(x)))),
        **{"one": conv(8, 4, 1), "two": conv(4, 8, 1), "gate": nn.Hardsigmoid()},
    )
    dead(network.a.weight, 1, 4)
    dead(network.one.weight, 2)
    dead(network.two.weight, 4, 5, 6)
    dead(network.two.bias, 6, value=-4.0)  # hardsigmoid: exactly 0
    plan, compact = cut(network)
    assert plan.removed == {"a/filter": [1, 4], "one/filter": [2], "two/filter": [4, 5, 6]} and not plan.refilled
    assert compact.b.in_channels == 6, "channel 4 is a constant, channel 6 is 0"
    same(network, compact)


def test_channels_and_gates_that_are_zero_take_each_other_along():
    """11: 0 times anything is 0, so the other side is not read; a gate's bottleneck still reads the channel."""
    network = chain(lambda n, x: n.b(n.act(n.a(x)) * n.gate(n.c(x))), act=nn.ReLU, c=conv(3, 8), gate=nn.Hardsigmoid())
    dead(network.a.weight, 1)
    dead(network.a.bias, 1, value=-1.0)
    dead(network.c.weight, 6)
    dead(network.c.bias, 6, value=-4.0)
    plan, compact = cut(network)
    assert plan.removed == {"a/filter": [1, 6], "c/filter": [1, 6]}
    assert compact.b.in_channels == 6 and not beside(compact)
    same(network, compact)


def test_attention_over_positions_is_a_channel_that_broadcasts():
    """11: one map for all channels, alive or static."""
    network = chain(lambda n, x: n.b(n.act(n.a(x)) * torch.sigmoid(n.map(n.act(n.c(x))))), c=conv(3, 4), map=conv(4, 1))
    dead(network.a.weight, 1, 4)
    plan, compact = cut(network)
    assert plan.removed == {"a/filter": [1, 4]} and not plan.refilled
    same(network, compact)
    dead(network.c.weight, *range(4))
    plan, compact = cut(network)
    assert plan.verdicts["map/filter"] == {"zero": 0, "uniform": 0, "field": 1, "alive": 0}
    same(network, compact)


@pytest.mark.parametrize("shape", [(8, 1, 1), (1, 8, 1, 1)])
def test_entries_of_a_layer_scale_kill_their_channels_and_the_rest_stay_parameters(shape):
    """11: ConvNeXt's scale; the surviving entries can still be learnt."""
    network = chain(
        lambda n, x: n.b(n.a(x) + n.scale * n.c(n.act(n.a(x)))),
        c=conv(8, 8),
        scale=nn.Parameter(torch.ones(shape)),
    )
    dead(network.scale.view(8), 0, 3)
    plan, compact = cut(network)
    assert plan.removed == {"c/filter": [0, 3]} and not plan.refilled
    scale = dict(compact.named_parameters())["scale"]
    assert scale.requires_grad and torch.equal(scale.flatten(), network.scale.flatten()[[1, 2, 4, 5, 6, 7]])
    same(network, compact)
    compact(torch.randn(2, 3, 12, 12, dtype=DOUBLE)).sum().backward()
    assert bool((scale.grad != 0).all())


def test_a_branch_that_is_scaled_by_zero_disappears():
    """9, 11: ReZero's scalar at its start."""
    network = chain(
        lambda n, x: n.b(n.a(x) + n.rate * n.c(n.act(n.a(x)))), c=conv(8, 8), rate=nn.Parameter(torch.ones(1))
    )
    dead(network.rate, 0)
    plan, compact = cut(network)
    assert plan.removed_layers == ["c"] and "rate" not in compact.state_dict()
    same(network, compact)


# ---- 12, 15: the optimizer, targets ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda p: torch.optim.SGD(p, 1e-4, momentum=0.9, weight_decay=0.01), id="momentum"),
        pytest.param(lambda p: torch.optim.Adam([{"params": p, "lr": 0.01}], amsgrad=True), id="adam"),
        pytest.param(lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1), id="adamw"),
    ],
)
def test_the_next_step_of_a_cut_optimizer_is_that_of_the_whole_one(make):
    """12: moments are cut as the weights are, so weights that stay take the very step they would have taken."""
    network = zoo.settle(
        Net(
            lambda n, x: n.fc(n.act(n.g(n.act(n.norm(n.a(x))))).mean((2, 3))),
            **{"a": conv(3, 8), "norm": nn.BatchNorm2d(8), "act": nn.Softplus()},
            **{"g": conv(8, 6, groups=2, padding=0), "fc": nn.Linear(6, 5)},
        ),
        SHAPES[2][0],
    )
    optimizer = make(network.parameters())
    for seed in range(3):
        step(network, optimizer, seed)
    dead(network.a.weight, 1, 4, 5)
    dead(network.norm.weight, 1, 4, 5)
    dead(network.g.weight, 0)
    example = torch.zeros(1, 3, 12, 12, dtype=DOUBLE)
    plan = plan_zeros(network, example, policy="most")
    compact, smaller = apply_with_optimizer(plan, network, example, optimizer)
    assert type(smaller) is type(optimizer) and plan.removed == {"a/filter": [1, 4, 5], "g/filter": [0]}
    step(network, optimizer, 3)
    step(compact, smaller, 3)
    rows, filters = [0, 2, 3, 6, 7], [3, 4, 5, 1, 2]  # the conv group that keeps fewer inputs comes first
    first, second = pieces(compact, "g")
    with torch.no_grad():
        assert torch.allclose(compact.a.weight, network.a.weight[rows], rtol=1e-10, atol=1e-13)
        assert torch.allclose(compact.norm.weight, network.norm.weight[rows], rtol=1e-10, atol=1e-13)
        assert torch.allclose(compact.fc.weight, network.fc.weight[:, filters], rtol=1e-10, atol=1e-13)
        assert torch.allclose(second.weight, network.g.weight[1:3][:, [0, 2, 3]], rtol=1e-10, atol=1e-13)
        assert torch.allclose(first.weight, network.g.weight[3:][:, [2, 3]], rtol=1e-10, atol=1e-13)


def step(network, optimizer, seed):
    x = torch.randn(6, 3, 12, 12, dtype=DOUBLE, generator=oracles.generator(seed))
    optimizer.zero_grad()
    network(x).square().sum().backward()
    optimizer.step()


@pytest.mark.parametrize("kind", ["macs", "params"])
def test_a_second_cut_towards_the_same_target_removes_nothing_more(kind):
    """15: a target is a share of the first network, and does not compound."""
    network = chain(lambda n, x: n.b(n.act(n.m(n.act(n.a(x))))), m=conv(8, 10), b=conv(10, 5))
    example = torch.zeros(1, 3, 12, 12, dtype=DOUBLE)
    dense = cost(network, example)
    once = apply(plan_target(network, example, {kind: 0.5}), network, example)
    share = getattr(cost(once, example), kind) / getattr(dense, kind)
    assert 0.3 < share <= 0.5
    again = plan_target(once, example, {kind: 0.5}, dense=dense)
    assert again.nothing_removed and again.masked == {}
    assert plan_target(once, example, {kind: 0.5}).masked, "of the small network itself, half is half"


# ---- 13: wrappers ----------------------------------------------------------------------------------------------------


def test_compiled_and_distributed_networks_are_refused_with_the_remedy(tmp_path):
    """13: what is inside has to be passed. DataParallel: tests/test_structure_trace.py."""
    network, example = chain(), torch.zeros(1, 3, 12, 12, dtype=DOUBLE)
    with pytest.raises(TraceError, match=r"OptimizedModule wraps the network; pass the wrapped network .*\._orig_mod"):
        plan_zeros(torch.compile(network), example)
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        with pytest.raises(TraceError, match=r"DistributedDataParallel wraps the network; .*\.module"):
            plan_zeros(nn.parallel.DistributedDataParallel(network), example)
    finally:
        dist.destroy_process_group()


def test_a_wrapper_inside_a_network_is_run_as_it_is():
    """13: declared, and exact."""
    network = chain(lambda n, x: n.b(n.inner(n.act(n.a(x)))), inner=nn.DataParallel(nn.Softplus()))
    dead(network.a.weight, 1, 4)
    plan, compact = cut(network)
    assert plan.removed == {"a/filter": [1, 4]} and operations(plan) == ["DataParallel"]
    same(network, compact)


# ---- 14, 16: formats, types, buffers, modes --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("last", [False, True])
def test_small_types_and_channels_last_change_the_answer_by_their_rounding_only(dtype, last):
    """14: constants are computed in float64 and rounded once; every tensor of the result has the network's type."""
    layout = torch.channels_last if last else torch.contiguous_format
    network = chain(lambda n, x: n.b(n.act(n.norm(n.a(x)))), norm=nn.BatchNorm2d(8))
    dead(network.a.weight, 1, 4)
    network = network.to(dtype).to(memory_format=layout)
    example = torch.zeros(1, 3, 12, 12, dtype=dtype)
    compact = apply(plan_zeros(network, example), network, example)
    assert {t.dtype for t in compact.state_dict().values() if t.is_floating_point()} == {dtype}
    x = torch.randn(6, 3, 12, 12, generator=oracles.generator(0)).to(dtype).to(memory_format=layout)
    with torch.no_grad():
        assert oracles.difference(network(x).float(), compact(x).float()) < 4 * torch.finfo(dtype).eps


class Buffers(nn.Module):
    """A persistent scale, a shift and an order that no state dict holds."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.linspace(0.5, 2, 8, dtype=DOUBLE).view(8, 1, 1))
        self.register_buffer("shift", torch.arange(8, dtype=DOUBLE).view(1, 8, 1, 1), persistent=False)
        self.register_buffer("order", torch.tensor([7, 1, 3, 2, 0, 4]), persistent=False)

    def forward(self, x):
        return (x * self.scale + self.shift)[:, self.order]


def test_buffers_are_cut_like_parameters_and_stay_buffers():
    """14: persistent or not."""
    network = chain(lambda n, x: n.b(n.held(n.act(n.a(x)))), held=Buffers(), b=conv(6, 5))
    dead(network.a.weight, 1, 4)
    plan, compact = cut(network)
    assert plan.removed == {"a/filter": [1, 4, 5, 6]}
    held = {name: tuple(b.shape) for name, b in compact.named_buffers() if name.startswith("held")}
    assert held == {"held.scale": (4, 1, 1), "held.shift": (1, 4, 1, 1)}
    assert not [name for name, _ in compact.named_parameters() if name.startswith("held")]
    same(network, compact)


def test_layers_that_share_one_weight_are_cut_for_each():
    """14: tied keys of a state dict."""
    network = chain(lambda n, x: n.b(n.act(n.two(n.act(n.one(n.act(n.a(x))))))), one=conv(8, 8), two=conv(8, 8))
    network.two.weight = network.one.weight
    dead(network.a.weight, 1, 4)
    dead(network.one.weight, 6)
    plan, compact = cut(network)
    assert plan.removed == {"a/filter": [1, 4], "one/filter": [6], "two/filter": [6]}
    assert (compact.one.weight.shape[1], compact.two.weight.shape[1]) == (6, 7)
    assert network.two.weight is network.one.weight
    same(network, compact)


@torch.no_grad()
def test_constants_have_the_type_of_the_value_they_join():
    """14: a bfloat16 stem, the rest float32; the constants of a sum lose five digits, silently."""
    network = Net(
        lambda n, x: n.b(F.softplus(n.c(n.a(x.bfloat16()).float())) + F.softplus(n.d(x))),
        **{"a": conv(3, 8), "c": conv(8, 8), "d": conv(3, 8), "b": conv(8, 5, 1)},
    )
    zoo.settle(Net(lambda n, x: n.b(n.c(n.a(x)) + n.d(x)), **dict(network.named_children())), SHAPES[2][0])
    network.float().a.bfloat16()
    dead(network.c.weight, 1, 4)
    example = torch.zeros(1, 3, 12, 12)
    compact = apply(plan_zeros(network, example), network, example)
    x = torch.randn(6, 3, 12, 12)
    assert oracles.difference(network(x), compact(x)) < 1e-6


@torch.no_grad()
def test_numbers_beside_a_value_of_another_type_have_its_type():
    """1, 14: 0.7 beside what was turned into float64; the cut network cannot run."""
    network = chain(lambda n, x: F.pad(n.act(n.a(x)).double(), (0, 0, 0, 0, 1, 1), value=0.7)).float()
    dead(network.a.weight, 1, 4)
    example = torch.zeros(1, 3, 12, 12)
    compact = apply(plan_zeros(network, example), network, example)
    x = torch.randn(6, 3, 12, 12)
    assert torch.equal(network(x), compact(x))


def test_a_layer_keeps_a_mode_of_its_own():
    """16: a norm that is frozen in eval mode while the rest trains."""
    network = chain(lambda n, x: n.b(n.act(n.norm(n.a(x)))), norm=nn.BatchNorm2d(8)).train()
    network.norm.eval()
    dead(network.a.weight, 1, 4)
    _, compact = cut(network)
    assert compact.b.training and not compact.norm.training


def test_following_a_network_leaves_nothing_on_it():
    """16: a forward that makes a tensor; each plan and each apply adds an attribute."""
    network = chain(lambda n, x: n.b(n.act(n.a(x)).index_select(1, torch.tensor([7, 0, 5]))), b=conv(3, 5))
    dead(network.a.weight, 1, 4)
    before = set(vars(network))
    cut(network)
    assert set(vars(network)) == before


@pytest.mark.parametrize("frozen", [(), ("a", "raw"), ("g",)])
def test_what_was_frozen_stays_frozen_wherever_it_ends_up(frozen):
    """16: conv groups in several pieces, raw parameters; numbers made of dead units are never learnt."""
    network = chain(
        lambda n, x: F.conv2d(n.act(n.g(n.act(n.a(x)))), n.raw),
        **{"g": conv(8, 8, groups=4), "raw": nn.Parameter(torch.zeros(5, 8, 1, 1)), "b": None},
    )
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not name.startswith(frozen or "none"))
    dead(network.a.weight, 0, 1, 2, 7)
    plan, compact = cut(network, policy="most")
    assert plan.verdicts["g/filter"]["field"] == 2 and len(pieces(compact, "g")) == 2
    flags = {name: p.requires_grad for name, p in compact.named_parameters()}
    numbers = [name for name in flags if name.startswith(("g_carry", "g_field"))]
    assert len(flags) == 10 and len(numbers) == 2
    for name, learnt in flags.items():
        assert learnt != (name in numbers or name.startswith(frozen or "none")), name
    same(network, compact)


# ---- 17, 18: nothing, chains, static values, sizes -------------------------------------------------------------------


def test_nothing_to_remove_is_said_by_the_plan_and_by_its_counts():
    """17: also where the network has zeros, but no unit of them. The certificate: tests/test_structure_certificate.py."""
    network = chain()
    with torch.no_grad():
        network.b.weight[:, :, 1, :] *= (torch.rand(5, 8, 3, generator=oracles.generator(0)) < 0.5).double()
    plan, compact = cut(network)
    assert plan.nothing_removed and not any(plan.counts().values()) and plan.removed == plan.unread == {}
    assert {n: tuple(p.shape) for n, p in compact.named_parameters()} == {
        n: tuple(p.shape) for n, p in network.named_parameters()
    }
    same(network, compact)


def test_fields_pass_chains_of_everything_that_fields_may_pass():
    """18: norm, activation, depthwise convolutions, squeeze-excite, slopes, sums, products, pools and movements."""
    network = chain(
        lambda n, x: n.b(steps_of_fields(n, n.act(n.a(x)))),
        **{"e1": conv(8, 8, groups=8), "norm": nn.BatchNorm2d(8), "e2": conv(8, 8, 5, groups=8), "slope": nn.PReLU(8)},
        **{
            "one": conv(8, 4, 1),
            "two": conv(4, 8, 1),
            "gate": nn.Sigmoid(),
            "up": nn.ConvTranspose2d(8, 8, 2, 2, groups=8),
        },
    )
    dead(network.a.weight, 0, 2, 5)
    plan, compact = cut(network)
    assert plan.removed == {"a/filter": [0, 2, 5]} and not plan.refilled
    assert [plan.verdicts[f"{path}/filter"]["field"] for path in ("e1", "e2")] == [3, 3]
    ran = batches(compact)
    assert {ran[path] for path in ("e1_field", "norm_field", "slope_field", "e2_field")} == {1}
    same(network, compact)
    dead(network.a.weight, *range(8))
    plan, compact = cut(network)
    assert set(batches(compact).values()) == {1}, "nothing runs on the batch"
    same(network, compact, tells=False)


def steps_of_fields(n, x):
    y = F.silu(n.slope(n.norm(n.e1(x))))
    y = (excited(n, n.e2(y)) + y) * x
    y = F.avg_pool2d(F.channel_shuffle(y, 2), 3, 2, 1).transpose(2, 3)
    return n.up(y).flip(1).sigmoid()


SIZED = {
    "a view": lambda n, y: n.b(y.view(y.size(0), y.size(1) // 2, 2, y.size(2), y.size(3)).flatten(1, 2)),
    "unpacked": lambda n, y: (lambda s: n.b(y.reshape(s[0], s[1], s[2] * s[3]).view(s[0], s[1], s[2], s[3])))(y.shape),
    "the width as a slice": lambda n, y: n.b(torch.cat([y, y], 1)[:, y.shape[1] // 4 : y.shape[1] + y.shape[1] // 4]),
    "an expand": lambda n, y: n.b(y.mean((2, 3), keepdim=True).expand(y.shape[0], y.shape[1], y.shape[2], 3)),
    "dim": lambda n, y: n.b(y.flatten(y.dim() - 2).unflatten(y.ndim - 2, (y.shape[2], y.shape[3]))),
    "another network's answer": lambda n, y: n.b(y) * (y.shape[1] + y.shape[2]),
}


@pytest.mark.parametrize("name", SIZED)
@pytest.mark.parametrize("gone", [(1, 4), tuple(range(8))])
def test_integers_of_a_shape_are_those_of_the_whole_network(name, gone):
    """18: taken from a value that loses channels, or all of them, at any size and batch."""
    network = chain(lambda n, x: SIZED[name](n, n.act(n.a(x))))
    dead(network.a.weight, *gone)
    plan, compact = cut(network)
    assert plan.removed["a/filter"] == list(gone)
    same(network, compact, tells=len(gone) < 8)


BY_SIZE = {
    "padded to an even height": lambda y: F.pad(y, (0, 0, 0, y.shape[2] % 2)),
    "cropped to an even height": lambda y: y[:, :, : y.shape[2] - y.shape[2] % 2],
    "rolled by a computed number": lambda y: y.roll(y.shape[2] % 4, 2),
    "padded to the size of a skip": lambda y: torch.cat(
        [y, meeting(y, F.interpolate(F.max_pool2d(y, 2), scale_factor=2))], 1
    ),
}


def meeting(y, z):
    return F.pad(z, (0, y.shape[3] - z.shape[3], 0, y.shape[2] - z.shape[2]))


@pytest.mark.parametrize("name", BY_SIZE)
def test_what_depends_on_the_remainder_of_a_size_holds_at_odd_sizes_too(name):
    """18: as U-Nets do it; silently wrong at 17 pixels, planned at 12 and 44."""
    network = chain(lambda n, x: n.b(BY_SIZE[name](n.act(n.a(x)))), b=conv(16 if "skip" in name else 8, 5))
    dead(network.a.weight, 1, 4)
    same(network, cut(network)[1])


def test_a_network_that_takes_even_sizes_only_is_tried_at_one_that_nothing_more_divides():
    """18: padded to a multiple of four behind a pixel unshuffle; 16 and 48 pixels would both leave nothing to pad."""
    network = zoo.settle(
        Net(
            lambda n, x: n.b(F.pad(n.act(n.a(F.pixel_unshuffle(x, 2))), (0, 0, 0, -(x.shape[2] // 2) % 4))),
            **{"a": conv(12, 8), "act": nn.Softplus(), "b": conv(8, 5)},
        ),
        (6, 3, 16, 16),
    )
    dead(network.a.weight, 1, 4)
    same(network, cut(network, (6, 3, 16, 16))[1], [(5, 3, 16, 16), (4, 3, 18, 20)])


class Conditioned(nn.Module):
    """An image, and numbers that scale its channels."""

    def __init__(self):
        super().__init__()
        self.a, self.fc, self.b = conv(3, 8), nn.Linear(4, 8), conv(8, 5)

    def forward(self, x, z):
        return self.b(F.softplus(self.a(x)) * self.fc(z).view(-1, 8, 1, 1))


@pytest.mark.parametrize(
    ("image", "number"), [((1, 4), (4, 6)), (range(8), (4,)), ((0,), range(8)), (range(8), range(8))]
)
@torch.no_grad()
def test_what_is_left_of_a_static_input_is_its_size(image, number):
    """18: of two inputs, one or both; the plane comes from the image, the batch from either."""
    network = Conditioned().double().eval()
    dead(network.a.weight, *image)
    dead(network.fc.weight, *number)
    example = (torch.zeros(1, 3, 12, 12, dtype=DOUBLE), torch.zeros(1, 4, dtype=DOUBLE))
    plan = plan_zeros(network, example)
    compact = apply(plan, network, example)
    assert plan.removed["a/filter"][: len(image)] == list(image) and not plan.refilled
    for batch, size in ((6, 12), (5, 17)):
        x, z = torch.randn(batch, 3, size, size, dtype=DOUBLE), torch.randn(batch, 4, dtype=DOUBLE)
        assert oracles.difference(network(x, z), compact(x, z)) < 1e-11


class SizeOfAPart(nn.Module):
    """A refilled view whose sizes are asked of one part of a split."""

    def forward(self, x):
        part = x[..., 1:].chunk(2, 1)[0]
        return part.reshape(part.size(0), 2, -1, part.size(2), part.size(3)).sum(1).flatten(2).mean(2)


def test_the_size_of_one_part_of_a_split_is_asked_of_that_part():
    network, example = SizeOfAPart(), torch.randn(1, 4, 7, 9, dtype=torch.float64)
    compact = apply(plan_zeros(network, example), network, example)
    images = torch.randn(3, 4, 8, 6, dtype=torch.float64)
    assert torch.allclose(compact(images), network(images), atol=1e-12)
