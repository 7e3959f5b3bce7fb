"""The first convolution computed once for all levels: the same gradients as level by level."""

import pytest
import torch
import torch.nn.functional as F

from core.config import checked
from core.data import load
from core.errors import BadInput
from core.level_settings import Level
from core.methods import start
from core.nested.knowledge import views_of
from core.networks import build
from core.phases import Phase


def loss_of(network, images, labels):
    logits = network(images)
    return logits, F.cross_entropy(logits, labels)


@pytest.fixture
def method():
    dataset = load("digits")
    phase = Phase(
        method="nested", kinds=(), levels=(Level(width=0.5, depth=0.5), Level(width=0.5), Level()), first_whole=True, own_heads=True
    )  # fmt: skip
    full = build("wrn-14-1", num_classes=10, in_channels=1, image_size=8).double()
    return start(phase, full, 0.9, 1e-4, views=views_of(phase.levels, dataset)), dataset


def test_gradients_are_those_of_each_level_by_itself(method):
    run, dataset = method
    images, labels = dataset.normalise(dataset.train.images[:16]).double(), dataset.train.labels[:16]
    losses = [F.cross_entropy(level(images), labels) for level in run.levels()]
    names, parameters = zip(*run.network.named_parameters(), strict=True)
    wanted = torch.autograd.grad(sum(losses) / 3, parameters)
    calls = []
    hook = run.network.conv.register_forward_hook(lambda *_: calls.append("full"))
    run.backward_(loss_of, images, labels)
    hook.remove()
    for name, parameter, gradient in zip(names, parameters, wanted, strict=True):
        assert torch.allclose(parameter.grad, gradient, rtol=1e-9, atol=1e-13), name
    assert calls == ["full"] and "forward" not in run.network.conv.__dict__


def test_the_convolution_runs_once(method, monkeypatch):
    run, dataset = method
    images, labels = dataset.normalise(dataset.train.images[:4]).double(), dataset.train.labels[:4]
    seen = []
    plain = torch.nn.Conv2d.forward
    monkeypatch.setattr(torch.nn.Conv2d, "forward", lambda self, x: (seen.append(x.shape[1]), plain(self, x))[1])
    run.backward_(loss_of, images, labels)
    assert seen.count(1) == 1, "one grey image went through one convolution"


def test_a_masked_first_layer_is_not_shared():
    """Its weights differ from level to level, whatever is asked for."""
    with pytest.raises(BadInput, match="first_whole must be off where levels keep single weights"):
        checked(
            {"phases": [{"method": "nested", "kinds": [], "levels": [{"compression": 2}, {}], "first_whole": True}]}
        )
    phase = Phase(method="nested", kinds=(), levels=(Level(compression=2), Level()))
    full = build("lenet", num_classes=10, in_channels=1, image_size=8)
    run = start(phase, full, 0.9, 1e-4, views=views_of(phase.levels, load("digits")))
    run.phase = phase.model_copy(update={"first_whole": True})
    assert run.first_layers([1, 0]) == [full.conv1]
