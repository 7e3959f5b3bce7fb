"""A shape drawn at random: as much is dead in every layer as in the network it is taken from, elsewhere."""

import pytest
import torch

from core.config import checked
from core.errors import BadInput
from core.networks import build
from core.presets import shuffled_control
from core.shuffled import shuffle_shape_, shuffled
from core.structure import cost, remove_zeros
from core.training import run

SIZES = {"lenet": (1, 28), "mlp": (1, 28), "resnet20": (3, 32)}


def network(name, seed=0):
    channels, size = SIZES[name]
    return build(name, num_classes=10, in_channels=channels, image_size=size, generator=torch.Generator().manual_seed(seed)).eval()  # fmt: skip


@torch.no_grad()
def zero_(net, rows=(), columns=(), norms=()):
    for path, units in rows:
        net.get_parameter(f"{path}.weight")[units] = 0.0
    for path, places in columns:
        net.get_parameter(f"{path}.weight").flatten(1)[:, places] = 0.0
    for path, units in norms:
        net.get_parameter(f"{path}.weight")[units] = 0.0
        net.get_parameter(f"{path}.bias")[units] = 0.0
    return net


def lenet():
    return zero_(
        network("lenet"),
        rows=[("conv1", list(range(15))), ("conv2", [0, 1, 2, 7])],
        columns=[("conv1", [0, 1, 5]), ("conv2", [*range(15 * 25), *range(400, 420)]), ("fc1", range(3 * 16))],
    )


def resnet():
    return zero_(network("resnet20"), rows=[("stage1.0.conv1", [0, 1]), ("stage2.1.conv1", range(20))], norms=[("stage1.0.bn1", [0, 1]), ("stage2.1.bn1", range(20))])  # fmt: skip


def left(net):
    channels, size = SIZES["resnet20" if hasattr(net, "stage1") else "lenet"]
    _, small = remove_zeros(net, torch.zeros(1, channels, size, size))
    found = cost(small, torch.zeros(1, channels, size, size))
    return [layer.macs for layer in found.layers], found.params


@pytest.mark.parametrize("like", [lenet, resnet])
def test_as_much_is_left_of_every_layer_and_something_else(like):
    name = "resnet20" if like is resnet else "lenet"
    source, other = like(), network(name, seed=5)
    masks = shuffle_shape_(other, source, seed=3)
    assert left(other) == left(source)
    assert all(not other.get_parameter(p)[mask].any() for p, mask in masks.items())
    first = "stage2.1.conv1.weight" if like is resnet else "conv1.weight"
    dead = [n.get_parameter(first).flatten(1).eq(0).all(1) for n in (source, other)]
    assert dead[0].sum() == dead[1].sum() and not torch.equal(*dead)
    again, elsewhere = network(name, seed=5), network(name, seed=5)
    shuffle_shape_(again, source, seed=3)
    shuffle_shape_(elsewhere, source, seed=4)
    assert torch.equal(again.get_parameter(first), other.get_parameter(first))
    assert not torch.equal(elsewhere.get_parameter(first), other.get_parameter(first))


def test_taps_move_inside_their_window_and_a_filter_takes_what_reads_it_along():
    source = lenet()
    other = network("lenet", seed=5)
    shuffle_shape_(other, source, seed=0)
    taps = other.conv1.weight.ne(0).any(0).flatten()
    assert taps.sum() == 22 and not torch.equal(taps, source.conv1.weight.ne(0).any(0).flatten())
    alive = other.conv1.weight.ne(0).flatten(1).any(1)
    read = other.conv2.weight.ne(0).any(0).flatten(1).sum(1)  # taps of each input that some filter of conv2 reads
    assert torch.equal(read.ne(0), alive) and sorted(read[alive].tolist()) == [5, 25, 25, 25, 25]
    assert not other.conv1.bias[~alive].any() and other.conv1.bias[alive].shape == (5,)


def test_pixels_of_a_perceptron_are_drawn_from_the_whole_image():
    source = zero_(network("mlp"), columns=[("fc1", range(400))])
    masks = shuffled(source, torch.Generator().manual_seed(0))
    pixels = masks["fc1.weight"].all(0)
    assert pixels.sum() == 400 and 150 < pixels[:400].sum() < 260


def test_the_control_trains_the_baseline_and_then_its_random_shape(tmp_path):
    baseline = {"method": "dense", "kinds": [], "epochs": 2, "lr": 0.05}
    pruned = {"method": "prune", "kinds": ["filter"], "keep": 0.4, "epochs": 3, "lr": 0.05, "starts_from": "previous"}
    config = checked(
        {"network": "lenet", "dataset": "digits", "batch_size": 256, "measure_every": 0, "phases": [baseline, pruned]}
    )
    method = list(run(config, folder=tmp_path / "method"))[-1].result
    control = shuffled_control(config, "method")
    assert [(p.method, p.starts_from, p.epochs) for p in control.phases] == [
        ("dense", "scratch", 2),
        ("dense", "shuffled", 3),
    ]
    done = list(run(control, folder=tmp_path / "control"))[-1].result
    assert done["macs_per_image"] == method["macs_per_image"] and done["params"] == method["params"]
    assert done["macs_per_image"]["compact"] < done["macs_per_image"]["dense"]
    assert done["certificate"]["verdict"] == "exact"
    with pytest.raises(BadInput, match="source must name the run whose dead structures are counted"):
        checked(control.model_dump(mode="json") | {"source": ""})
    with pytest.raises(BadInput, match="'shuffled' in a later phase only"):
        checked(control.model_dump(mode="json") | {"phases": [control.phases[1].model_dump(mode="json")]})
