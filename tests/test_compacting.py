"""While a shape is frozen the compact network trains: the same steps as of the whole one with its zeros held, and back again."""

import copy

import pytest
import torch
import torch.nn.functional as F

from core import checkpoint, training
from core.compacting import Compacted, compacted
from core.config import checked
from core.controls import Controls
from core.errors import BadInput
from core.methods import start
from core.methods.freezing import frozen_masks
from core.networks import build
from core.phases import Phase
from core.structure import plan_zeros
from core.trained import trained_network

SIZES = {"lenet": (1, 28), "mlp": (1, 28), "resnet20": (3, 32), "wrn-14-1": (3, 32), "resnext20": (3, 32)}
TUNE = Phase(method="dense", kinds=(), epochs=2, freeze="structures", lr=0.05)


def network(name, seed=0):
    channels, size = SIZES[name]
    made = build(
        name, num_classes=10, in_channels=channels, image_size=size, generator=torch.Generator().manual_seed(seed)
    )
    return made.double()


@torch.no_grad()
def thin_(net, rows=(), columns=(), norms=()):
    """Filters with their biases, columns, and channels of norms set to zero."""
    for path, units in rows:
        for part in ("weight", "bias"):
            tensor = getattr(net.get_submodule(path), part, None)
            if tensor is not None:
                tensor[list(units)] = 0.0
    for path, places in columns:
        net.get_parameter(f"{path}.weight").view(len(net.get_parameter(f"{path}.weight")), -1)[:, list(places)] = 0.0
    for path, units in norms:
        for part in ("weight", "bias"):
            net.get_parameter(f"{path}.{part}")[list(units)] = 0.0
    return net


def thinned(name):
    net = network(name)
    if name == "lenet":
        return thin_(net, [("conv1", range(12)), ("conv2", range(5, 40)), ("fc1", range(100, 450))], [("conv1", [0, 1, 2, 7]), ("conv2", [*range(300), 333, 470]), ("fc1", range(80, 640))])  # fmt: skip
    if name == "mlp":
        return thin_(net, [("fc1", range(300)), ("fc2", range(120))], [("fc1", range(0, 784, 2)), ("fc2", range(300)), ("fc3", range(120))])  # fmt: skip
    sites = {"resnet20": ("stage1.0.conv1", "stage1.0.bn1", "stage3.1.conv1", "stage3.1.bn1")}[name]
    return thin_(
        net, [(sites[0], range(8)), (sites[2], range(50))], norms=[(sites[1], range(8)), (sites[3], range(50))]
    )


def batches(name, count=4):
    channels, size = SIZES[name]
    draw = torch.Generator().manual_seed(1)
    return [(torch.randn(16, channels, size, size, generator=draw, dtype=torch.float64), torch.randint(0, 10, (16,), generator=draw)) for _ in range(count)]  # fmt: skip


def steps(learner, groups, name, hold):
    optimizer = torch.optim.SGD(groups, lr=0.05, momentum=0.9, nesterov=True)
    learner.train()
    for images, labels in batches(name):
        optimizer.zero_grad()
        F.cross_entropy(learner(images), labels).backward()
        optimizer.step()
        hold()


@pytest.mark.parametrize("name", ["lenet", "mlp", "resnet20"])
def test_the_compact_network_takes_the_same_steps_as_the_whole_one_with_its_zeros_held(name):
    whole = thinned(name)
    other = copy.deepcopy(whole)
    other.input_shape = whole.input_shape
    method = start(TUNE, whole, 0.9, 5e-4)
    steps(whole, method.parameter_groups(), name, lambda: method.after_step_(0.05, 1.0))
    small = compacted(other, TUNE, frozen_masks(other, "structures"))
    assert small is not None
    numbers = sum(p.numel() for p in small.network.parameters())
    assert numbers < 0.95 * sum(p.numel() for p in other.parameters())
    steps(small.network, small.parameter_groups(5e-4), name, small.hold_)
    small.put_back_()
    masks = frozen_masks(thinned(name), "structures")
    assert all(not other.get_parameter(path)[mask].any() for path, mask in masks.items())
    images = batches(name)[0][0]
    with torch.no_grad():
        a, b, c = whole.eval()(images), other.eval()(images), small.network.eval()(images)
    scale = a.std()
    assert (b - c).abs().max() < 1e-12 * scale, "what trained, and what it was put back into"
    assert (a - b).abs().max() < 1e-9 * scale, "the whole network, trained at full price"
    moved = thinned(name).get_parameter("fc1.weight" if name != "resnet20" else "fc.weight")
    assert not torch.allclose(moved, other.get_parameter("fc1.weight" if name != "resnet20" else "fc.weight"))


@pytest.mark.parametrize(
    ("change", "thin"),
    [({"freeze": "weights"}, True), ({"freeze": "nothing"}, True), ({}, False), ({"method": "prune", "kinds": ("filter",)}, True)],
)  # fmt: skip
def test_the_whole_network_trains_where_nothing_whole_is_frozen_or_nothing_is_gone(change, thin):
    net = thinned("lenet") if thin else network("lenet")
    phase = Phase.model_validate(TUNE.model_dump() | change)
    assert compacted(net, phase, {}) is None


def test_the_whole_network_trains_where_a_dead_layer_leaves_planes_behind():
    """What reads nothing but constants behind a zero padding has another value at the border: it would have to be trained with."""
    net = thin_(network("resnet20"), [("stage3.1.conv1", range(64))], norms=[("stage3.1.bn1", range(64))])
    assert compacted(net, TUNE, frozen_masks(net, "structures")) is not None
    with torch.no_grad():
        net.get_parameter("stage3.1.bn1.bias")[:] = 0.3
    assert compacted(net, TUNE, frozen_masks(net, "structures")) is None


def test_constants_of_dead_filters_are_carried_and_do_not_go_back_twice():
    net = thinned("lenet")
    with torch.no_grad():
        net.conv1.bias[:12], net.fc1.bias[100:450] = 0.7, -0.2
        net.conv2.weight[:, :12] = 0.05
    small = compacted(net, TUNE, frozen_masks(net, "structures"))
    assert any(place.carried is not None for place in small.places)
    steps(small.network, small.parameter_groups(5e-4), "lenet", small.hold_)
    small.put_back_()
    images = batches("lenet")[0][0]
    with torch.no_grad():
        whole, left = net.eval()(images), small.network.eval()(images)
    assert (whole - left).abs().max() < 1e-12 * whole.std()
    assert torch.equal(net.conv1.bias[:12], torch.full((12,), 0.7, dtype=torch.float64))


@pytest.mark.parametrize("head", ["fc2", "all"])
def test_the_whole_network_trains_where_a_class_score_is_a_constant(head):
    net = thin_(network("lenet"), [("fc2", [3])] if head == "fc2" else [("fc1", range(500))])
    thin_(net, [("conv2", range(20))])
    assert compacted(net, TUNE, frozen_masks(net, "structures")) is None


class Twice(torch.nn.Module):
    """One layer called twice."""

    input_shape = (3, 8, 8)

    def __init__(self):
        super().__init__()
        self.first, self.again = torch.nn.Conv2d(3, 8, 1), torch.nn.Conv2d(8, 8, 1)

    def forward(self, x):
        return self.again(torch.relu(self.again(torch.relu(self.first(x)))))


def test_a_layer_that_is_two_in_the_compact_network_does_not_train_there():
    net = Twice().eval()
    with torch.no_grad():
        net.first.weight[:4], net.first.bias[:4] = 0.0, 0.0
    plan = plan_zeros(net, torch.zeros(1, 3, 8, 8))
    assert plan.untied == ["again"]
    with pytest.raises(BadInput, match="must be in one place of the compact one"):
        Compacted(net, {}, plan)


def test_a_cut_that_hardly_saves_anything_is_not_worth_it():
    net = thin_(network("lenet"), [("conv2", [3])])
    assert compacted(net, TUNE, frozen_masks(net, "structures")) is None


@pytest.mark.parametrize("name", ["resnet20", "wrn-14-1"])
def test_every_layer_of_it_reads_channels_last_behind_padded_shortcuts_too(name):
    """Another order of memory costs more there than half of the MACs save."""
    net = thin_(network(name), [("stage2.0.conv1", range(8))]).float().to(memory_format=torch.channels_last)
    small = compacted(net, TUNE, frozen_masks(net, "structures")) or Compacted(net, {}, plan_zeros(net, torch.zeros(1, 3, 32, 32)))  # fmt: skip
    orders = {}
    for path, layer in small.network.named_modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_pre_hook(lambda _, args, path=path: orders.update({path: args[0].is_contiguous(memory_format=torch.channels_last)}))  # fmt: skip
    small.network(torch.randn(8, 3, 32, 32).contiguous(memory_format=torch.channels_last))
    assert len(orders) > 10 and all(orders.values())


LENET = {"network": "lenet", "dataset": "digits", "batch_size": 256, "measure_every": 0, "seed": 3}
CUT = {"name": "cut", "method": "prune", "kinds": ["filter"], "keep": 0.3, "epochs": 1, "lr": 0.05}
AFTER = {"name": "fine-tuning", "method": "dense", "kinds": [], "epochs": 4, "lr": 0.05, "starts_from": "previous", "freeze": "structures", "ema": 0.9}  # fmt: skip


def test_a_run_that_carries_constants_is_the_same_when_it_was_interrupted(tmp_path, monkeypatch):
    dense = {"name": "dense", "method": "dense", "kinds": [], "epochs": 1, "lr": 0.05}
    list(training.run(checked(LENET | {"phases": [dense]}), folder=tmp_path / "source"))
    file = tmp_path / "source" / "checkpoints" / "00001.safetensors"
    tensors, facts = checkpoint.load(file)
    tensors["weights/conv1.weight"][:12], tensors["weights/conv1.bias"][:12] = 0.0, 0.3  # dead, and not silent
    tensors["weights/fc1.weight"][100:450], tensors["weights/fc1.bias"][100:450] = 0.0, 0.2
    checkpoint.save(file, tensors, facts)
    config, made = checked(LENET | {"source": "source", "phases": [AFTER | {"starts_from": "source"}]}), []

    class Watched(Compacted):
        def __init__(self, *args):
            super().__init__(*args)
            made.append(any(place.carried is not None for place in self.places))

    monkeypatch.setattr("core.compacting.Compacted", Watched)
    monkeypatch.setattr("core.resuming.Compacted", Watched)
    whole = list(training.run(config, folder=tmp_path / "a"))[-1].result
    assert made == [True], "dead filters with biases"
    controls = Controls()
    for event in training.run(config, folder=tmp_path / "b", controls=controls):
        if type(event).__name__ == "EpochDone" and event.epoch == 2:
            controls.stopping = True
    resumed = list(training.run(config, folder=tmp_path / "b", resume=True))[-1].result
    assert resumed["weights_sha256"] == whole["weights_sha256"] and whole["certificate"]["verdict"] == "exact"


def test_a_run_fine_tunes_its_compact_network_and_is_the_same_when_it_was_interrupted(tmp_path, monkeypatch):
    config, made = checked(LENET | {"phases": [CUT, AFTER]}), []

    class Watched(Compacted):
        def __init__(self, *args):
            super().__init__(*args)
            made.append(sum(p.numel() for p in self.network.parameters()))

    monkeypatch.setattr("core.compacting.Compacted", Watched)
    monkeypatch.setattr("core.resuming.Compacted", Watched)
    events = list(training.run(config, folder=tmp_path / "a"))
    whole = events[-1].result
    (notice,) = (event for event in events if type(event).__name__ == "Notice")
    left = whole["macs_per_image"]["compact"] / whole["macs_per_image"]["dense"]
    assert (notice.epoch, notice.text) == (1, f"fine-tuning: only the compact network trains, {100 * left:.0f} % of the MACs")  # fmt: skip
    assert len(made) == 1 and made[0] < 0.3 * whole["params"]["dense"]
    assert whole["certificate"]["verdict"] == "exact" and whole["params"]["compact"] == made[0]
    controls = Controls()
    for event in training.run(config, folder=tmp_path / "b", controls=controls):
        if type(event).__name__ == "EpochDone" and event.epoch == 3:
            controls.stopping = True
    resumed = list(training.run(config, folder=tmp_path / "b", resume=True))[-1].result
    assert resumed["weights_sha256"] == whole["weights_sha256"] and len(made) == 3
    net, *_ = trained_network(tmp_path / "a" / "checkpoints" / "00005.safetensors")
    assert (net.conv1.weight.flatten(1).abs().sum(1) == 0).sum() == 14, "what was cut is zero to the end"
