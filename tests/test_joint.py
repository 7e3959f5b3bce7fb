"""Joint groups: against plain loops in float64, against autograd, and that what is dead stays dead."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from core import joint, training
from core.config import checked
from core.errors import BadInput
from core.joint import JointGroups, Part
from core.methods import start
from core.networks import build
from core.phases import Phase
from core.structure.joints import beside

SHAPES = {"lenet": (1, 16, 16), "mlp": (1, 8, 8), "vgg11": (3, 8, 8), "resnet20": (3, 8, 8), "peleenet": (3, 32, 32)}


def made(seed=0):
    """A filter of 3, its norm, a reader behind a flatten that starts at column 2 and has 2 columns a unit."""
    g = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return nn.Parameter(torch.randn(*shape, generator=g, dtype=torch.float64))

    tensors = [draw(3, 2, 2, 2), draw(3), draw(5, 10)]
    groups = JointGroups("a/filter", "filter", 3, (Part(tensors[0]), Part(tensors[1]), Part(tensors[2], 1, 2, 2)), 2.0)
    return tensors, groups


def members(tensors):
    """Each unit's weights as one vector of views' copies, by plain indexing."""
    weight, scale, reader = tensors
    return [[weight[u], scale[u : u + 1], reader[:, 2 + 2 * u : 4 + 2 * u]] for u in range(3)]


def test_norms_and_sizes_are_those_of_plain_loops():
    tensors, groups = made()
    expected = [sum(float(part.detach().square().sum()) for part in unit) ** 0.5 for unit in members(tensors)]
    assert groups.norms().tolist() == pytest.approx(expected, rel=1e-14) and groups.size == 8 + 1 + 10


def test_the_threshold_scales_every_part_of_a_unit_alike_and_touches_nothing_else():
    tensors, groups = made()
    before = [t.detach().clone() for t in tensors]
    norms = groups.norms()
    step = float(norms.sort().values[0]) / (0.5 * 2.0) * 1.01  # kills the smallest group only
    joint.threshold_([groups], {"filter": 0.5}, step)
    for unit, (now, then) in enumerate(zip(members(tensors), members(before), strict=True)):
        factor = max(0.0, 1 - step * 0.5 * 2.0 / float(norms[unit]))
        for part, old in zip(now, then, strict=True):
            assert torch.allclose(part.detach(), factor * old, rtol=1e-13, atol=0)
    assert (groups.norms() == 0).sum() == 1
    untouched = [0, 1, 8, 9]
    assert torch.equal(tensors[2].detach()[:, untouched], before[2][:, untouched])


def test_the_subgradient_is_that_of_autograd_and_zero_at_a_dead_group():
    tensors, groups = made()
    with torch.no_grad():
        for part in members(tensors)[1]:
            part.zero_()
    alive = [unit for i, unit in enumerate(members(tensors)) if i != 1]
    total = sum(torch.cat([p.flatten() for p in unit]).norm() for unit in alive)
    expected = torch.autograd.grad(0.7 * 2.0 * total, tensors)
    for t in tensors:
        t.grad = torch.zeros_like(t)
    joint.add_subgradient_([groups], {"filter": 0.7})
    for t, wanted in zip(tensors, expected, strict=True):
        assert torch.allclose(t.grad, wanted, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("name", SHAPES)
def test_a_dead_joint_group_gets_no_gradient_at_all(name):
    """All parts zero: whatever the loss, training mode, every part's gradient is exactly zero: it cannot come back."""
    shape = SHAPES[name]
    network = build(name, num_classes=10, in_channels=shape[0], image_size=shape[1]).double()
    phase = Phase(method="ssl", kinds=("filter",), strength_filter=0.1, joint=("norms", "readers"))
    groups = start(phase, network, 0.9, 0.0).joints
    with_readers = [g for g in groups if any(part.dim == 1 for part in g.parts)]
    assert with_readers, "some filter is read simply"
    with torch.no_grad():
        for g in with_readers:
            for part in g.parts:
                part.of(part.parameter, g.total)[1].zero_()
    images = torch.randn(6, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    F.cross_entropy(network.train()(images), torch.arange(6)).backward()
    for g in with_readers:
        for part in g.parts:
            gradient = part.of(part.parameter.grad, g.total)
            assert not gradient[1].any(), (g.site, part)
            assert gradient[0].any() or g.total == 1


def test_what_falls_with_a_filter_is_found_through_norms_flattens_and_joins():
    network = build("lenet", num_classes=10, in_channels=1, image_size=16)
    found = beside(network, torch.zeros(1, 1, 16, 16))
    assert found["conv1/filter"].columns == {"conv2.weight": (0, 1)} and found["fc1/neuron"].columns == {
        "fc2.weight": (0, 1)
    }
    columns = network.fc1.weight.shape[1] // 50
    assert found["conv2/filter"].columns == {"fc1.weight": (0, columns)} and found["fc2/neuron"].columns == {}
    pelee = beside(build("peleenet", num_classes=10, in_channels=3, image_size=32), torch.zeros(1, 3, 32, 32))
    first = pelee["stem.first.conv/filter"]
    assert first.norms == ("stem.first.bn.weight", "stem.first.bn.bias")
    assert first.columns == {"stem.narrow.conv.weight": (0, 1), "stem.join.conv.weight": (32, 1)}


def test_filters_that_meet_in_a_sum_or_a_depthwise_convolution_have_no_columns():
    plain = beside(build("resnet20", num_classes=10, in_channels=3, image_size=8), torch.zeros(1, 3, 8, 8))
    assert plain["stage1.0.conv1/filter"].columns == {"stage1.0.conv2.weight": (0, 1)}
    assert plain["stage1.0.conv2/filter"].columns == {} and plain["stage1.0.conv2/filter"].norms == (
        *("stage1.0.bn2.weight", "stage1.0.bn2.bias"),
    )
    depthwise = nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 2, 1))
    assert {site: near.columns for site, near in beside(depthwise, torch.zeros(1, 1, 8, 8)).items()} == {
        "0/filter": {}, "1/filter": {}, "2/filter": {},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("network", "kind", "solver", "strength"),
    [
        ("lenet", "filter", "proximal", 0.3), ("lenet", "filter", "paper", 0.4),
        ("resnet20-projection", "layer", "proximal", 1.8), ("resnet20-projection", "layer", "paper", 1.8),
    ],
)  # fmt: skip
def test_runs_with_joint_groups_remove_exactly(network, kind, solver, strength):
    learn = {
        "method": "ssl", "kinds": [kind], f"strength_{kind}": strength, "joint": ["norms", "readers"], "solver": solver, "epochs": 4,
        "lr": 0.02, "lr_schedule": "constant", "cut_below": 1e-2, "multipliers": {"fc*": 0.0, "conv2": 0.1},
    }  # fmt: skip
    config = checked({
        "network": network, "dataset": "digits", "measure_every": 0, "threads": 1, "batch_size": 128, "phases": [learn],
    })  # fmt: skip
    result = list(training.run(config))[-1].result
    dead = [row for row in result["survival"] if row["kind"] == kind and row["alive"] < row["total"]]
    assert result["certificate"]["verdict"] == "exact" and dead
    assert result["macs"]["compact"] < result["macs"]["dense"]


def test_joint_is_refused_where_nothing_is_learned_by_filters_or_layers():
    for phase in ({"method": "sss"}, {"method": "ssl", "kinds": ["shape"]}):
        with pytest.raises(BadInput, match="joint must be empty unless ssl learns filters or layers"):
            checked({"phases": [phase | {"joint": ["norms"]}]})


@pytest.mark.parametrize("solver", ["paper", "proximal"])
def test_half_the_strength_by_the_schedule_is_half_the_strength(solver):
    def after_a_step(strength, fraction):
        torch.manual_seed(0)
        network = build("lenet", num_classes=10, in_channels=1, image_size=16)
        phase = Phase(
            method="ssl", kinds=("filter",), strength_filter=strength, joint=("norms", "readers"), solver=solver
        )
        method = start(phase, network, 0.9, 0.0)
        assert method.joints
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        method.before_step_(0.1, fraction)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter -= 0.1 * parameter.grad
        method.after_step_(0.1, fraction)
        return [p.detach() for p in network.parameters()]

    pairs = list(zip(after_a_step(0.2, 0.5), after_a_step(0.1, 1.0), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not all(torch.equal(a, b) for a, b in zip(after_a_step(0.2, 0.5), after_a_step(0.2, 1.0), strict=True))
