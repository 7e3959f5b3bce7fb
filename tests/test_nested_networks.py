"""Networks that are hard to nest: each leaves as it is, or is refused in a sentence."""

import pytest
import torch
import torch.nn.functional as F
import zoo
from nested_parts import config, joint, nested, trained
from torch import nn

from core import own
from core.errors import BadInput
from core.nested import Making, Schedule, extract, nest, nest_masks
from core.nested.masks import fall_at_once, masked_weights
from core.nested.ordering import learned_orders, orders
from core.nested.proving import verify_level
from core.structure import cost

TWO = ({"width": 0.25, "depth": 0.5}, {"width": 0.5})


def leaves_as_it_is(made, images):
    """Every level: the same bits as the network that leaves, and the certificate."""
    made.full.eval()
    for level in range(made.num_levels - 1):
        left = extract(made, level).eval()
        assert torch.equal(left(images), made.at(level).eval()(images))
        certificate = verify_level(made, level, [images.double()])
        assert certificate.verdict == "exact" and certificate.max_rel < 1e-12, certificate
    assert set(made.subset_holds().values()) == {True}


@pytest.mark.parametrize("name", ["lenet", "mlp", "resnet20-projection", "convnet"])
def test_built_in_networks(name):
    made, images = nested(name, *TWO, own_heads=True)
    leaves_as_it_is(made, images)


def test_the_first_layer_may_be_whole():
    made, images = nested("lenet", *TWO)
    whole = nested("lenet", {"width": 0.5}, first_whole=True)[0]
    assert cost(extract(whole, 0), images[:1]).macs > cost(extract(made, 1), images[:1]).macs
    first = next(iter(masked_weights(extract(whole, 1))))
    assert extract(whole, 0).get_parameter(first).shape == extract(whole, 1).get_parameter(first).shape


@pytest.mark.parametrize("name", ["densenet", "mobilenet_v3", "shufflenet_v2", "regnet", "vit", "mlp_residual"])
def test_families_of_others_in_a_learned_order_too(name):
    """Concatenation, squeeze-and-excitation, channel shuffle, conv groups fed by fewer channels, attention, sums of neurons."""
    shape = zoo.example_shape(name)
    full = zoo.settle(zoo.small(name).float(), shape, dtype=torch.float32)
    example = torch.zeros(1, *shape[1:])
    images = torch.randn(8, *shape[1:], generator=torch.Generator().manual_seed(0))
    made = nest(
        full, example, [Schedule(0.5, order=orders(full, example)), Schedule(0.75, order=orders(full, example))]
    )
    full.train()
    for level in (0, 1):
        made.at(level)(images)
    leaves_as_it_is(made, images)


def test_dense_connections_with_a_stem_of_branches():
    made, images = nested("peleenet", {"width": 0.5})
    leaves_as_it_is(made, images)


class Net(nn.Module):
    """A convolution, what `parts` puts behind it, and class scores."""

    def __init__(self, between, width=8):
        super().__init__()
        self.first, self.between, self.scores = nn.Conv2d(3, width, 3, padding=1), between, nn.Linear(width, 10)

    def forward(self, x):
        return self.scores(self.between(self.first(x)).mean((2, 3)))


class Skip(nn.Module):
    def __init__(self, branch):
        super().__init__()
        self.branch = branch

    def forward(self, x):
        return x + self.branch(x)


class Bare(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight, self.scores = nn.Parameter(torch.randn(8, 3, 3, 3)), nn.Linear(8, 10)

    def forward(self, x):
        return self.scores(F.relu(F.conv2d(x, self.weight)).mean((2, 3)))


class Ends(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.scores = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 10, 1)

    def forward(self, x):
        return self.scores(F.relu(self.first(x))).mean((2, 3))


def two_names():
    twins = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))
    twins[2].weight = twins[0].weight
    return Net(twins)


HEAD = Making(classes=[3])
REFUSED = {
    "constants": (lambda: Net(nn.Sequential(nn.BatchNorm2d(8), nn.Sigmoid())), None, "scores.bias would carry .*; take one such as ReLU"),
    "constants of a sum": (lambda: Net(Skip(nn.Sequential(nn.Conv2d(8, 8, 1), nn.Sigmoid()))), None, "scores.bias would carry"),
    "constants of a norm": (lambda: Net(nn.InstanceNorm2d(8, affine=True)), None, "scores.bias would carry"),
    "no scale": (lambda: Net(nn.BatchNorm2d(8, affine=False)), None, "between: a batch norm .* has no scale and shift; take affine=True"),
    "no statistics": (lambda: Net(nn.BatchNorm2d(8, track_running_stats=False)), None, "has no statistics; take track_running_stats=True"),
    "one weight, two names": (two_names, None, "between.0.weight and between.2.weight are the same; call one module twice"),
    "no linear end": (Ends, HEAD, "a head of its own must take the place of one linear layer at the network's end; got scores"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_nested_is_refused_in_a_sentence(what):
    make, making, says = REFUSED[what]
    with pytest.raises(BadInput, match=says) as caught:
        nest(make(), torch.zeros(1, 3, 8, 8), [Schedule(0.5)], making)
    assert "\n" not in str(caught.value)


def test_masks_act_once_on_a_weight_with_two_names_which_has_no_levels():
    full = two_names()
    assert list(masked_weights(full)) == ["first.weight", "between.0.weight", "scores.weight"]
    fall_at_once(full, [50], None)
    with pytest.raises(BadInput, match="a parameter of a nested network must have one name"):
        nest_masks(full, torch.zeros(1, 3, 8, 8), 2)


class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.squeeze, self.excite = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3), keepdim=True)))))


class CalledTwice(nn.Module):
    def __init__(self):
        super().__init__()
        self.once = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x):
        return self.once(F.relu(self.once(x)))


@pytest.mark.parametrize("make", [Gate, CalledTwice, lambda: nn.ConvTranspose2d(8, 8, 2, 2)])
def test_gates_a_layer_called_twice_and_transposed_convolutions(make):
    torch.manual_seed(0)
    full = Net(make())
    images = torch.randn(8, 3, 8, 8)
    for making in (None, HEAD):
        leaves_as_it_is(nest(full, images[:1], [Schedule(0.5)], making), images)


CODE = """
from torch import nn

def make(num_classes, in_channels):
    return nn.Sequential(
        nn.Conv2d(in_channels, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Flatten(), nn.Linear(256, num_classes),
    )
"""


def test_a_network_of_ones_own_is_trained_in_levels(tmp_path):
    (tmp_path / "nets.py").write_text(CODE, encoding="utf-8")
    name = f"nets:make@{tmp_path}"
    own.trust(tmp_path, name)
    watched = trained(config(joint({"width": 0.5}, epochs=2, order="learned"), network=name), tmp_path / "run")[1]
    assert min(watched[-1].levels) > 0.5


def test_what_a_sequential_keeps_beside_its_layers_is_not_called():
    full, images = (
        nn.Sequential(nn.Flatten(), nn.Linear(192, 12), nn.ReLU(), nn.Linear(12, 10)),
        torch.randn(8, 3, 8, 8),
    )
    before = full(images)
    fall_at_once(full, [500], None)
    made = nest_masks(full, images[:1], 2)
    full.add_module("nested_orders", learned_orders(full, images[:1], own.described(full, images[:1]).outline))
    assert torch.equal(full(images), before) and not torch.equal(made.at(0)(images), before)


def test_a_bare_parameter_is_described_and_every_level_has_it_whole():
    torch.manual_seed(0)
    full, images = Bare(), torch.randn(8, 3, 8, 8)
    assert own.described(full, images[:1]).left["weight"] == "its weights are a bare parameter"
    made = nest(full, images[:1], [Schedule(0.5)])
    left = extract(made, 0).eval()
    assert {tuple(p.shape) for p in left.parameters()} == {tuple(p.shape) for p in full.parameters()}
    assert torch.equal(left(images), made.at(0)(images)) and torch.equal(left(images), full(images))
