"""Masks on single weights: equation 3, the search, and what a search leaves; oracles are autograd in float64."""

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from nested_parts import network
from torch.func import functional_call

from core.methods.masks import MaskSearch
from core.nested.masks import GAMMA, fall_at_once, implicit_mask, mask_slope, masked_weights
from core.phases import Phase

TAU = 0.025
LABELS = torch.arange(8)


def test_the_implicit_mask_and_its_slope_are_those_of_autograd_also_at_and_near_tau():
    """The mask written out with exponentials; at tau itself mask and slope are 0, 5e-6 above it the slope is 1967."""
    away = torch.tensor([0.0, 1e-8, 1e-7, 1e-6, 5e-6, 1e-5, 1e-4, 0.5], dtype=torch.float64)
    sizes = torch.cat([TAU + away, TAU - away[:-1], torch.zeros(1, dtype=torch.float64)])
    weight = torch.cat([sizes, -sizes]).requires_grad_()
    beyond = weight.abs() - TAU
    e = torch.exp(-2 * GAMMA * torch.where(beyond > 0, beyond, 0.0))
    mask = (1 - e) / (1 + e)
    (slope,) = torch.autograd.grad((weight * mask).sum(), weight)
    assert torch.allclose(implicit_mask(weight, TAU), mask, rtol=1e-12, atol=0)
    assert torch.allclose(mask_slope(weight, TAU), slope, rtol=1e-9, atol=1e-15)
    (through,) = torch.autograd.grad((weight * implicit_mask(weight, TAU)).sum(), weight)
    assert torch.allclose(through, slope, rtol=1e-9, atol=1e-15)
    assert mask[0] == 0 and slope[0] == 0 and round(float(slope[4])) == 1967 and slope[7] == 1


def search(model, **settings):
    return MaskSearch(Phase(method="masks", kinds=(), **settings), model, 0.9, 5e-3)


def steps(method, model, images, count, progress=lambda step: 0.0):
    """SGD with momentum, Nesterov and decay, as a run does it; yields after each step."""
    optimizer = torch.optim.SGD(method.parameter_groups(), lr=0.05, momentum=0.9, nesterov=True)
    for step in range(count):
        method.at_(progress(step))
        optimizer.zero_grad()
        F.cross_entropy(model(images), LABELS).backward()
        method.before_step_(0.05, 1.0)
        optimizer.step()
        method.after_step_(0.05, 1.0)
        yield


@pytest.mark.parametrize("gradient", ["detached", "implicit"])
def test_a_search_is_sgd_on_w_through_w_m(gradient):
    """W by hand: autograd through W M, momentum and decay written out; what is at or below tau falls and is left alone."""
    model, images = network("lenet")
    model, images = model.double(), images.double()
    values = {name: p.detach().clone() for name, p in model.named_parameters()}
    masked, standing = set(masked_weights(model)), {}
    for name in masked:
        standing[name] = values[name].abs() > TAU
    rolling = {name: torch.zeros_like(value) for name, value in values.items()}
    method = search(model, tau=TAU, mask_gradient=gradient)
    for _ in steps(method, model, images, 4):
        leaves = {name: value.clone().requires_grad_() for name, value in values.items()}
        shown = dict(leaves)
        for name in masked:
            w = leaves[name]
            m = torch.tanh(GAMMA * torch.relu(w.abs() - TAU)) if gradient == "implicit" else 1.0
            shown[name] = torch.where(standing[name], w * m, 0.0)
        F.cross_entropy(functional_call(model, shown, (images,)), LABELS).backward()
        for name, leaf in leaves.items():
            slope = leaf.grad + (5e-3 * values[name] if leaf.ndim > 1 else 0.0)
            rolling[name] = 0.9 * rolling[name] + slope
            stepped = values[name] - 0.05 * (slope + 0.9 * rolling[name])
            values[name] = torch.where(standing[name], stepped, values[name]) if name in masked else stepped
        for name in masked:
            standing[name] &= values[name].abs() > TAU
            assert torch.equal(method.found.fell(name) == 0, standing[name])
            assert torch.allclose(method.found.latent(name), values[name], rtol=1e-7, atol=1e-10), name
    assert all(0.05 < float(part.double().mean()) < 0.95 for name, part in standing.items() if name != "conv1.weight")
    method.finish_()
    for name, weight in masked_weights(model).items():
        assert torch.equal(weight, torch.where(standing[name], method.found.latent(name), 0.0)), "binary, for use"


@pytest.mark.parametrize("settings", [
    {"compression": 4.0, "gradual": 1.0}, {"compression": 4.0, "mask_gradient": "implicit"}, {"tau": TAU},
    {"compression": 4.0, "gradual": 0.5, "mask_gradient": "implicit", "freeze": "weights"},
])  # fmt: skip
def test_what_falls_never_returns_and_does_not_change(settings):
    model, images = network("lenet")
    with torch.no_grad():
        model.fc1.weight[::2] = 0.0
    method, before = search(model, **settings), {}
    for _ in steps(method, model, images, 6, lambda step: step / 6):
        seen = {name: (method.found.fell(name).clone(), method.found.latent(name).clone()) for name in method.weights}
        for name, (fell, latent) in before.items():
            assert torch.equal(seen[name][0][fell > 0], fell[fell > 0])
            assert torch.equal(seen[name][1][fell > 0], latent[fell > 0])
        for name, weight in method.weights.items():
            assert not weight[seen[name][0] > 0].any()
        before = seen
    zero = {name: weight == 0 for name, weight in method.weights.items()}
    method.finish_()
    for name, weight in method.weights.items():
        assert not weight[zero[name]].any(), "what is zero at the end of training stays so"
    if settings.get("freeze"):
        assert not model.fc1.weight[::2].any()


@pytest.mark.parametrize("compression", [1.5, 2.0, 7.3])
def test_a_compression_is_exact_and_takes_the_largest(compression):
    model, _ = network("lenet")
    sizes = torch.cat([w.detach().abs().flatten() for w in masked_weights(model).values()])
    method = search(model, compression=compression)
    kept = torch.cat([(method.found.fell(name) == 0).flatten() for name in method.weights])
    assert int(kept.sum()) == round(len(sizes) / compression)
    assert sizes[kept].min() > sizes[~kept].max() and sizes[~kept].max() == method.tau


def test_a_gradual_search_follows_the_cubic_curve_to_its_end_also_from_what_a_search_left():
    model, images = network("lenet")
    first = search(model, compression=2.0)
    total = sum(weight.numel() for weight in first.weights.values())
    stood = round(total / 2)
    model = first.folded()
    method = search(model, compression=4.0, gradual=1.0)
    assert int(method.found.searches) == 2

    def standing():
        return sum(int((method.found.fell(name) == 0).sum()) for name in method.weights)

    for step, _ in enumerate(steps(method, model, images, 4, lambda step: step / 4)):
        t = step / 4
        sparsity = (1 - 1 / 4) + ((1 - stood / total) - (1 - 1 / 4)) * (1 - t) ** 3  # Zhu & Gupta, equation 1
        assert math.isclose(standing(), total * (1 - sparsity), abs_tol=1.0), t
    method.finish_()
    assert standing() == round(total / 4)
    for name in method.weights:
        assert torch.equal(first.found.fell(name) == 1, method.found.fell(name) == 1), "inside the first search's mask"


@pytest.mark.parametrize("seed", [None, 0])
def test_masks_at_once_are_nested_and_of_exact_sizes(seed):
    model, _ = network("lenet")
    draw = None if seed is None else torch.Generator().manual_seed(seed)
    found = fall_at_once(model, [30_000, 20_000, 7], draw)
    masks = [torch.cat([found.keep(n, level, 4).flatten() for n in masked_weights(model)]) for level in range(4)]
    assert [int(mask.sum()) for mask in masks] == [7, 20_000, 30_000, len(masks[3])]
    assert all(bool((~small | large).all()) for small, large in pairwise(masks))
    sizes = torch.cat([w.detach().abs().flatten() for w in masked_weights(model).values()])
    largest = sizes[masks[1]].min() > sizes[~masks[1]].max()
    assert largest == (seed is None), "random ones ask nothing of size"
    if seed == 0:
        share = [float(found.keep(n, 1, 4).double().mean()) for n in masked_weights(model)]
        assert max(share) - min(share) < 0.1, "drawn over all layers alike"
