"""Filter shapes: taps that are zero across all filters leave, by a smaller window or by gathering, and nothing changes."""

from __future__ import annotations

import copy
import math

import numpy as np
import oracles_structure as oracles
import pytest
import torch
from torch import nn

from core.errors import PlanError
from core.forms import rewrite
from core.networks import build
from core.structure import RemovalPlan, apply, load, plan_chosen, plan_zeros, remove_zeros, save, verify

DOUBLE = torch.float64
CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
SIZES = {1: ((17,), (22,)), 2: ((11, 13), (14, 9)), 3: ((7, 8, 9), (9, 7, 6))}
INPUTS, FILTERS = 4, 6


def images(*shape, seed=0):
    return torch.randn(shape, dtype=DOUBLE, generator=oracles.generator(seed))


def around(layer, seed=0):
    """1x1, sigmoid, the layer, sigmoid, 1x1: constants other than 0 on either side of it."""
    dims = len(layer.kernel_size)
    network = nn.Sequential(CONVS[dims](3, INPUTS, 1), nn.Sigmoid(), layer, nn.Sigmoid(), CONVS[dims](FILTERS, 3, 1))
    network.double().eval()
    with torch.no_grad():
        for i, parameter in enumerate(network.parameters()):
            parameter.copy_(images(*parameter.shape, seed=10 * seed + i) * (2 / parameter[0].numel()) ** 0.5)
    return network


def conv(kernel=3, dims=2, **settings):
    return CONVS[dims](INPUTS, FILTERS, kernel, **settings)


def keep(layer, columns):
    """Zero every column but the flagged ones, bool (inputs, taps)."""
    with torch.no_grad():
        layer.weight.mul_(torch.from_numpy(columns).view(1, *layer.weight.shape[1:]))


def drawn(kind, kernel, seed):
    """bool (inputs, taps), some of them True: a box of taps, a few columns, most columns, or all but the middle tap."""
    g, taps = np.random.default_rng(seed), math.prod(kernel)
    if kind == "box":
        grid = np.zeros(kernel, dtype=bool)
        grid[tuple(slice(low := g.integers(k), low + 1 + g.integers(k - low)) for k in kernel)] = True
        return np.broadcast_to(grid.ravel(), (INPUTS, taps)).copy()
    if kind == "hole":
        return np.broadcast_to(np.arange(taps) != taps // 2, (INPUTS, taps)).copy()
    columns = g.random((INPUTS, taps)) < {"few": 0.15, "most": 0.7}[kind]
    columns[g.integers(INPUTS), g.integers(taps)] = True
    return columns


def box_of(taps, kernel):
    """The first and one behind the last kept tap along each side of the kernel."""
    places = np.argwhere(taps.reshape(kernel))
    return list(zip(places.min(0), places.max(0) + 1, strict=True))


def expected_how(columns, kernel):
    """The rule as documented: gather below 0.4 of the window's columns; else the window, if it is smaller; else nothing."""
    read = columns.any(1)
    area = math.prod(high - low for low, high in box_of(columns.any(0), kernel))
    if columns.sum() < 0.4 * read.sum() * area:
        return "gather"
    return "window" if area < math.prod(kernel) else "none"


def same(network, compact):
    """Equal at two sizes and batches, gradients with respect to the input too; the answer depends on the input."""
    dims = len(network[2].kernel_size)
    for batch, size in zip((3, 2), SIZES[dims], strict=True):
        x = images(batch, 3, *size, seed=batch).requires_grad_()
        outputs = [model(x) for model in (network, compact)]
        assert oracles.spread(outputs[0].detach()) > 1e-3
        assert oracles.difference(*(y.detach() for y in outputs)) < 1e-12
        weights = images(*outputs[0].shape, seed=5)
        gradients = [torch.autograd.grad((y * weights).sum(), x)[0] for y in outputs]
        assert gradients[0].abs().max() > 0 and oracles.difference(*gradients) < 1e-11


def cut(network):
    """Plan and compact network, after a look at whether the plan's JSON builds the same one."""
    dims = len(network[2].kernel_size)
    example = torch.zeros(1, 3, *SIZES[dims][0], dtype=DOUBLE)
    plan = plan_zeros(network, example)
    compact = apply(plan, network, example)
    again = RemovalPlan.from_json(plan.to_json())
    assert again == plan
    other = apply(again, network, example)
    assert other.code == compact.code
    pairs = zip(compact.state_dict().items(), other.state_dict().items(), strict=True)
    assert all(a == b and torch.equal(v, w) for (a, v), (b, w) in pairs)
    return plan, compact


def check(network, columns, dead_inputs=(), dead_filters=()):
    """Zero these columns, inputs (at their producer) and filters; cut; compare and look at the layer that is left."""
    layer = network[2]
    kernel = layer.kernel_size
    keep(layer, columns)
    with torch.no_grad():
        network[0].weight[list(dead_inputs)] = 0
        layer.weight[list(dead_filters)] = 0
    plan, compact = cut(network)
    columns = columns & ~np.isin(np.arange(INPUTS), dead_inputs)[:, None]
    read, how = columns.any(1), expected_how(columns, kernel)
    gone = np.flatnonzero((~columns & read[:, None]).ravel()).tolist()
    if not gone:
        assert plan.shapes == {}
    else:
        assert plan.shapes["2"].removed == gone and plan.shapes["2"].how == how
    assert set(plan.removed.get("0/filter", [])) == set(np.flatnonzero(~read))
    assert plan.removed.get("2/filter", []) == sorted(dead_filters)
    new = compact.get_submodule("2")
    assert type(new) is type(layer) and new.out_channels == FILTERS - len(dead_filters)
    box = tuple(high - low for low, high in box_of(columns.any(0), kernel))
    if gone and how == "gather":
        assert set(new.kernel_size) == {1} and new.in_channels == columns.sum()
        assert {*new.stride, *new.dilation} == {1} and set(new.padding) == {0}
    else:
        assert new.kernel_size == (box if gone and how == "window" else kernel) and new.in_channels == read.sum()
    same(network, compact)
    return how if gone else "nothing"


MODES = ("zeros", "reflect", "replicate", "circular")


def settings(g, dims):
    """A drawn convolution: kernel, stride, dilation, padding, mode, bias."""
    kernel = tuple(int(g.integers(1, 4 if dims == 3 else 6)) for _ in range(dims))
    stride = tuple(int(g.integers(1, 3)) for _ in range(dims))
    dilation = tuple(int(g.integers(1, 3)) if k < 4 else 1 for k in kernel)
    padding = ("same", "valid", tuple(int(g.integers(0, 3)) for _ in range(dims)), 1)[g.integers(4)]
    if padding == "same":
        stride = 1
    return {
        **{"kernel": kernel, "stride": stride, "dilation": dilation, "padding": padding},
        **{"padding_mode": MODES[g.integers(4)], "bias": bool(g.integers(2))},
    }


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("kind", ["box", "few", "most", "hole"])
def test_drawn_columns_of_drawn_convolutions_leave_and_nothing_changes(kind, dims):
    ways = []
    for seed in range(8 if dims == 2 else 4):
        g = np.random.default_rng([dims, seed])
        layer = conv(dims=dims, **settings(g, dims))
        if kind == "hole" and math.prod(layer.kernel_size) < 2:
            continue
        dead = [g.choice(n, g.integers(2), replace=False).tolist() for n in (INPUTS, FILTERS)]
        columns = drawn(kind, layer.kernel_size, seed)
        columns[dead[0]] |= columns.any(0)  # the producer dies, not the columns
        if not np.delete(columns, dead[0], 0).any():
            continue
        ways.append(check(around(layer, seed), columns, *dead))
    assert {"box": "window", "few": "gather", "most": "none", "hole": "none"}[kind] in ways


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding", [0, 1, (2, 0), "same", "valid"])
@pytest.mark.parametrize("kind", ["box", "few"])
def test_window_and_gather_keep_every_kind_of_padding(mode, padding, kind):
    layer = conv((3, 5), padding=padding, padding_mode=mode, dilation=(2, 1))
    columns = np.zeros((INPUTS, 3, 5), dtype=bool)  # off the middle: padding is not the same on either side any more
    if kind == "box":
        columns[:, :2, 1:3] = True
    else:
        columns[[0, 1, 2, 3, 3], [0, 2, 1, 0, 2], [1, 3, 1, 1, 3]] = True
    columns = columns.reshape(INPUTS, 15)
    assert check(around(layer), columns, dead_filters=[1, 4]) == {"box": "window", "few": "gather"}[kind]


@pytest.mark.parametrize(("padding", "left", "pads"), [(2, (1, 1), 0), (1, (0, 0), 0), (0, (0, 0), 1)])
def test_a_centred_window_needs_no_padding_of_its_own_unless_it_must_cut(padding, left, pads):
    network = around(conv(5, padding=padding))
    columns = np.zeros((INPUTS, 5, 5), dtype=bool)
    columns[:, 1:4, 1:4] = True
    assert check(network, columns.reshape(INPUTS, 25)) == "window"
    _, compact = cut(network)
    assert compact.get_submodule("2").padding == left
    assert sum("pad" in str(node.target) for node in compact.graph.nodes) == pads


@pytest.mark.parametrize(("kept", "how"), [(8, "gather"), (39, "gather"), (40, "none"), (99, "none")])
def test_below_two_fifths_of_the_windows_columns_they_are_gathered(kept, how):
    """Of 100 columns; opposite corners and a column of every input are kept, so that the window is the kernel."""
    first = [0, 24, 25, 50, 75]
    columns = np.zeros(4 * 25, dtype=bool)
    columns[[*first, *(i for i in range(100) if i not in first)][:kept]] = True
    assert check(around(conv(5)), columns.reshape(INPUTS, 25)) == how


def test_one_column_fills_a_window_of_one_tap():
    network = around(conv())
    columns = np.zeros((INPUTS, 9), dtype=bool)
    columns[2, 5] = True
    assert check(network, columns) == "window"
    _, compact = cut(network)
    assert compact.get_submodule("2").weight.shape == (FILTERS, 1, 1, 1)


def test_columns_left_as_zeros_are_nothing_removed():
    network = around(conv())
    keep(network[2], drawn("hole", (3, 3), 0))
    plan, compact = cut(network)
    assert plan.shapes["2"].removed == [4, 13, 22, 31] and plan.shapes["2"].how == "none"
    assert plan.nothing_removed and plan.counts()["shape"] == 0
    assert torch.equal(compact.get_submodule("2").weight, network[2].weight)


def test_removed_columns_are_counted_and_the_network_gets_smaller():
    network = around(conv(padding=1))
    keep(network[2], drawn("few", (3, 3), 3))
    example = images(1, 3, 11, 13)
    plan, compact = remove_zeros(network, example)
    assert plan.counts()["shape"] == len(plan.shapes["2"].removed) > 20 and not plan.nothing_removed
    assert compact.get_submodule("2").weight.numel() == torch.count_nonzero(network[2].weight)
    proof = verify(network, plan, example, [images(8, 3, 11, 13), images(8, 3, 14, 9)])
    assert proof.verdict == "exact" and proof.reference == "unmodified"


@pytest.mark.parametrize("kind", ["box", "few"])
def test_a_plan_whose_columns_are_no_longer_zero_is_refused(kind):
    network = around(conv(padding=1))
    keep(network[2], {"box": drawn("hole", (3, 3), 0) & (np.arange(9) > 2), "few": drawn("few", (3, 3), 3)}[kind])
    plan, _ = cut(network)
    example, gone = torch.zeros(1, 3, 11, 13, dtype=DOUBLE), plan.shapes["2"].removed
    with torch.no_grad():
        network[2].weight.view(FILTERS, -1)[3, gone[2]] = 1e-30
    says = (
        rf"2/shape: a removed shape must be zero in all filters that stay; shape {gone[2]} is not \(1 of {len(gone)}\)"
    )
    with pytest.raises(PlanError, match=says):
        apply(plan, network, example)
    with torch.no_grad():
        network[2].weight.fill_(1)
    with pytest.raises(PlanError, match=rf"shape {gone[0]} is not \({len(gone)} of {len(gone)}\)"):
        apply(plan, network, example)


def test_a_column_that_only_a_dead_filter_has_goes():
    network = around(conv())
    columns = np.broadcast_to(np.arange(9) < 6, (INPUTS, 9)).copy()
    with torch.no_grad():
        network[2].weight[1:].view(FILTERS - 1, -1)[:, ~columns.ravel()] = 0
        network[4].weight[:, 0] = 0  # nobody reads the filter that still has them
    plan, compact = cut(network)
    assert plan.removed["2/filter"] == [0] and compact.get_submodule("2").kernel_size == (2, 3)
    same(network, compact)


def test_chosen_shapes_are_cut_as_if_they_were_zero():
    network = around(conv(5, padding=2))
    columns = drawn("few", (5, 5), 1)
    chosen = {"2/shape": np.flatnonzero(~columns.ravel()).tolist(), "2/filter": [2], "0/filter": [0]}
    example = images(1, 3, 11, 13)
    plan = plan_chosen(network, example, chosen)
    proof = verify(network, plan, example, [images(8, 3, 11, 13), images(8, 3, 14, 9)])
    assert proof.verdict == "exact" and plan.shapes["2"].how == "gather"
    by_hand = copy.deepcopy(network)
    keep(by_hand[2], columns)
    with torch.no_grad():
        for layer, unit in ((by_hand[2], 2), (by_hand[0], 0)):
            layer.weight[unit], layer.bias[unit] = 0, 0
    same(by_hand, apply(plan, network, example))


class Twice(nn.Module):
    """One convolution on two values, of which one has a dead channel."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, INPUTS, 1), nn.Conv2d(3, INPUTS, 1)
        self.shared, self.last = conv(padding=1), nn.Conv2d(2 * FILTERS, 3, 1)

    def forward(self, x):
        parts = [self.shared(torch.sigmoid(layer(x))) for layer in (self.first, self.second)]
        return self.last(torch.cat(parts, 1).sigmoid())


@pytest.mark.parametrize("kind", ["box", "few"])
def test_a_convolution_called_twice_loses_its_columns_in_both_calls(kind):
    network = oracles.settle(Twice(), (8, 3, 11, 13))
    keep(network.shared, {"box": np.ones((INPUTS, 9), bool) & (np.arange(9) > 2), "few": drawn("few", (3, 3), 3)}[kind])
    with torch.no_grad():
        network.first.weight[1] = 0
    example = torch.zeros(1, 3, 11, 13, dtype=DOUBLE)
    plan = plan_zeros(network, example)
    compact = apply(plan, network, example)
    assert plan.shapes["shared"].how == {"box": "window", "few": "gather"}[kind]
    for x in (images(5, 3, 11, 13), images(4, 3, 14, 9)):
        with torch.no_grad():
            assert oracles.difference(network(x), compact(x)) < 1e-12


@pytest.mark.parametrize("kind", ["grouped", "transposed", "linear"])
def test_zero_taps_of_other_layers_stay(kind):
    layer = {
        "grouped": nn.Conv2d(INPUTS, FILTERS, 3, groups=2),
        "transposed": nn.ConvTranspose2d(INPUTS, FILTERS, 3),
        "linear": conv(1),
    }[kind]
    network = around(layer)
    with torch.no_grad():
        layer.weight.flatten(2)[:, :, :3] = 0 if kind != "linear" else layer.weight.flatten(2)[:, :, :3]
    plan, compact = cut(network)
    assert plan.shapes == {} and plan.nothing_removed
    same(network, compact)


@pytest.mark.parametrize("how", ["window", "gather"])
def test_type_frozen_weights_and_mode_are_kept(how):
    network = around(conv(padding=1)).to(torch.bfloat16).train()
    network[2].weight.requires_grad_(False)
    columns = {"window": np.ones((INPUTS, 9), bool) & (np.arange(9) > 2), "gather": drawn("few", (3, 3), 3)}[how]
    with torch.no_grad():
        network[2].weight.view(FILTERS, -1)[:, ~columns.ravel()] = 0
    example = torch.zeros(1, 3, 11, 13, dtype=torch.bfloat16)
    new = apply(plan_zeros(network, example), network, example).get_submodule("2")
    assert new.weight.dtype == new.bias.dtype == torch.bfloat16 and new.training
    assert not new.weight.requires_grad and new.weight.shape[2:] == {"window": (2, 3), "gather": (1, 1)}[how]


class Flattened(nn.Module):
    """Planes in an order of their own, flattened into two linear layers."""

    def __init__(self, order=(0, 1, 2, 3), channels=3):
        super().__init__()
        self.order = order
        self.conv = nn.Conv2d(channels, INPUTS, 3, padding=1)
        self.fc = nn.Linear(INPUTS * 30, 40)
        self.head = nn.Linear(40, 5)

    def forward(self, x):
        x = torch.sigmoid(self.conv(x)).permute(self.order)
        return self.head(torch.relu(self.fc(torch.flatten(x, 1))))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (0, 3, 1, 2)])
@pytest.mark.parametrize("dead_filter", [False, True])
def test_a_linear_layer_behind_a_flatten_reads_only_the_places_it_needs(order, dead_filter):
    network = Flattened(order).double().eval()
    x = images(2, 3, 5, 6)
    gone = np.random.default_rng(1).permutation(INPUTS * 30)[:80]
    with torch.no_grad():
        for i, parameter in enumerate(network.parameters()):
            parameter.copy_(images(*parameter.shape, seed=i) * 0.3)
        network.fc.weight[:, gone] = 0.0
        network.fc.weight[30:] = 0.0
        if dead_filter:
            network.conv.weight[1] = 0.0
    plan, small = remove_zeros(network, x)
    cut = plan.shapes["fc"]
    assert cut.how == "gather" and set(cut.removed) <= set(gone.tolist())
    dead = INPUTS * 30 - 80 if not dead_filter else None
    assert dead is None or (small.fc.in_features, sorted(cut.removed)) == (dead, sorted(gone.tolist()))
    assert small.fc.out_features == 30 and small.fc.in_features <= 40
    assert torch.allclose(small(x), network(x), rtol=0, atol=1e-13)
    assert verify(network, plan, x, [images(8, 3, 5, 6, seed=9), images(9, 3, 5, 6, seed=8)]).verdict == "exact"
    again = apply(RemovalPlan.model_validate_json(plan.model_dump_json()), network, x)
    assert torch.equal(again(x), small(x))
    with torch.no_grad():
        network.fc.weight[3, int(cut.removed[0])] = 1.0
    with pytest.raises(PlanError, match="fc/shape: a removed shape must be zero in all filters that stay"):
        apply(plan, network, x)


def test_a_few_dead_places_are_multiplied_rather_than_gathered_and_the_plan_says_so():
    network = Flattened().double().eval()
    with torch.no_grad():
        network.fc.weight[:, 7] = 0.0
        network.fc.weight[2:] = 0.0
        network.fc.bias[2:] = 0.0
    plan, small = remove_zeros(network, images(2, 3, 5, 6))
    assert plan.shapes["fc"].model_dump() == {"removed": [7], "how": "none"} and small.fc.in_features == INPUTS * 30


def test_pixels_that_no_neuron_reads_leave_a_perceptron_in_every_form(tmp_path):
    """As in SSL's figure 4: the compact network, its file, its ONNX form and its Python read only the others."""
    network = build("mlp", num_classes=10, in_channels=1, image_size=28).eval()
    read = torch.arange(784) % 3 == 0
    with torch.no_grad():
        network.fc1.weight[:, ~read] = 0.0
    x = torch.randn(8, 1, 28, 28)
    plan, small = remove_zeros(network, x)
    assert small.fc1.in_features == int(read.sum()) == 262 and len(plan.shapes["fc1"].removed) == 784 - 262
    assert torch.allclose(small(x), network(x), atol=1e-5)
    save(
        tmp_path / "small.safetensors",
        small,
        source={"network": "mlp"},
        plan=plan,
        certificate=verify(network, plan, x, [x]),
    )
    kept = load(tmp_path / "small.safetensors").eval()
    assert torch.equal(kept(x), small(x))
    assert rewrite(tmp_path / "small.safetensors", tmp_path / "small.onnx", x)["check"]["float64_max_rel"] < 1e-9
    assert rewrite(tmp_path / "small.safetensors", tmp_path / "small_net.py", x)["form"] == "Python source"
