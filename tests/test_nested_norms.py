"""Norms of levels: their own, the full network's, or statistics taken anew; statistics by hand in float64."""

import pytest
import torch
import torch.nn.functional as F
from nested_parts import config, joint, nested, network, phase, trained
from torch import nn

from core import training
from core.controls import Controls
from core.errors import BadInput
from core.methods.nested import NestedNet, nested_for

HALF = {"width": 0.5}


def norms_of(module):
    return {path: m for path, m in module.named_modules() if isinstance(m, nn.BatchNorm2d) and "nested" not in path}


def test_shared_norms_are_the_full_networks_and_so_is_what_a_level_sees():
    made, images = nested("resnet20", HALF, level_norms="shared")
    assert not list(made.inner[0].parameters()), "nothing is its own"
    full = made.full
    before = full.bn.running_mean.clone()
    made.at(0).train()(images)
    convolved = F.conv2d(images.double(), full.conv.weight[:8].double(), padding=1)
    seen = 0.9 * before[:8].double() + 0.1 * convolved.mean((0, 2, 3))
    assert torch.allclose(full.bn.running_mean[:8].double(), seen, atol=1e-6)
    assert torch.equal(full.bn.running_mean[8:], before[8:])
    made.at(0)(images).sum().backward()
    assert full.bn.weight.grad[:8].abs().sum() > 0 and not full.bn.weight.grad[8:].any()


def test_recalibrated_norms_share_scale_and_shift_and_own_norms_share_nothing():
    made, images = nested("resnet20", HALF, level_norms="recalibrated")
    full, own = made.full, made.inner[0].network
    assert not list(made.inner[0].parameters())
    before = full.bn.running_mean.clone()
    made.at(0).train()(images).sum().backward()
    assert torch.equal(full.bn.running_mean, before) and full.bn.weight.grad[:8].abs().sum() > 0
    assert own.bn.running_mean.shape == (8,) and own.bn.running_mean.data_ptr() != full.bn.running_mean.data_ptr()
    made, images = nested("resnet20", HALF)
    made.at(0).train()(images).sum().backward()
    assert made.full.bn.weight.grad is None and made.inner[0].network.bn.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("batch", [359, 200])
def test_statistics_taken_anew_are_means_over_all_images_and_unbiased_variances(batch):
    """Of the first norm by hand in float64: 1,077 images in equal batches (359), and with a smaller last one (77 of 200)."""
    settings = config(joint(HALF, level_norms="recalibrated"), network="resnet20", batch_size=batch)
    run = training.Training(settings, None, None, Controls(()))
    run.begin_phase(0)
    level = run.method.nested.inner[0]
    run.network.train()
    run._end_phase()
    images = run.dataset.normalise(run.dataset.train.images).double()
    convolved = F.conv2d(images, run.network.conv.weight[:8].detach().double(), padding=1)
    parts = convolved.split(batch)
    mean = convolved.mean((0, 2, 3))
    variance = sum(part.var((0, 2, 3), correction=1) * len(part) for part in parts) / len(images)
    norm = level.network.bn
    assert torch.allclose(norm.running_mean.double(), mean, rtol=1e-4, atol=1e-6)
    assert torch.allclose(norm.running_var.double(), variance, rtol=1e-4)
    assert norm.momentum == 0.1 and level.training and norm.training, "training may go on"
    assert run.network.bn.num_batches_tracked == 0, "the full network's are left alone"


def test_statistics_of_one_batch_of_everything_are_those_of_the_data_in_every_norm():
    settings = config(joint(HALF, level_norms="recalibrated"), network="resnet20", batch_size=2000)
    run = training.Training(settings, None, None, Controls(()))
    run.begin_phase(0)
    run._end_phase()
    level, seen = run.method.calls[0], {}
    for path, norm in norms_of(level.own.network).items():
        norm.register_forward_pre_hook(lambda _, inputs, path=path: seen.__setitem__(path, inputs[0].double()))
    found = {path: (n.running_mean.double(), n.running_var.double()) for path, n in norms_of(level.own.network).items()}
    with torch.no_grad():
        level.train()(run.dataset.normalise(run.dataset.train.images))
    for path, (mean, variance) in found.items():
        assert torch.allclose(mean, seen[path].mean((0, 2, 3)), rtol=1e-3, atol=1e-5), path
        assert torch.allclose(variance, seen[path].var((0, 2, 3), correction=1), rtol=1e-3, atol=1e-6), path


def test_levels_learn_with_statistics_taken_anew_at_the_end(tmp_path):
    settings = config(joint(HALF, level_norms="recalibrated", epochs=2, lr=0.1), network="wrn-14-1")
    assert min(trained(settings, tmp_path / "run")[1][-1].levels) > 0.25


def test_shared_norms_are_refused_where_channels_are_taken_in_a_learned_order():
    with pytest.raises(
        BadInput, match="level_norms must be own or recalibrated where the order of channels is learned; got shared"
    ):
        nested_for(phase(HALF, level_norms="shared", order="learned"), network("resnet20")[0], [], {})


def test_norms_without_scale_and_shift_are_refused_in_a_sentence():
    full, _ = network("resnet20")
    full.bn = nn.BatchNorm2d(16, affine=False)
    with pytest.raises(
        BadInput,
        match=r"bn: a batch norm of a nested network must have .*; it has no scale and shift; take affine=True",
    ):
        nested_for(phase(HALF), full, [], {})


@pytest.mark.parametrize("starts_from", ["scratch", "previous"])
def test_after_training_norms_begin_as_the_full_networks(starts_from):
    full, _ = network("resnet20")
    with torch.no_grad():
        full.bn.weight.copy_(torch.linspace(1, 2, 16))
        full.bn.running_mean.copy_(torch.linspace(-1, 1, 16))
    run = NestedNet(phase(HALF, starts_from=starts_from), full, 0.9, 0.0)
    own = run.nested.inner[0].network.bn
    taken = starts_from == "previous"
    assert torch.equal(own.weight, full.bn.weight[:8] if taken else torch.ones(8))
    assert torch.equal(own.running_mean, full.bn.running_mean[:8] if taken else torch.zeros(8))
