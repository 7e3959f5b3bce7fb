"""Levels of single weights: what each has, its gradient, that it leaves as it is; and runs that find masks and go on."""

import pytest
import torch
import torch.nn.functional as F
from nested_parts import config, joint, nested, network, resumed, same, trained
from safetensors.torch import load_file
from torch.func import functional_call

from core.levels import living
from core.methods import start
from core.nested import Nested, extract
from core.nested.masks import fallen_of, masked_weights
from core.nested.proving import verify_level
from core.phases import Phase
from core.structure import cost
from core.trained import trained_network

TWO = ({"compression": 4}, {"compression": 2})


@pytest.mark.parametrize("name", ["wrn-14-1", "lenet"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"masks": "random", "level_norms": "recalibrated", "own_heads": True}, {"level_norms": "shared"}],
)
def test_a_level_of_weights_leaves_as_it_is_with_exactly_its_weights(name, settings):
    made, images = nested(name, *TWO, **settings)
    total = sum(w.numel() for w in masked_weights(extract(made, 2)).values())
    for level, kept in enumerate((total / 4, total / 2, total)):
        left = extract(made, level).eval()
        assert torch.equal(made.at(level).eval()(images), left(images)), (
            "a slice and the network that leaves give the same bits"
        )
        if "own_heads" not in settings:
            assert living(left) == round(kept)
        assert cost(left, images[:1]).macs == cost(made.full, images[:1]).macs, "of full shape"
        assert verify_level(made, level, [images.double()]).max_abs == 0.0
    assert set(made.subset_holds().values()) == {True}


def test_gradients_of_levels_of_weights_are_those_of_an_explicit_sum():
    """Level by level, against autograd on the sum of the losses of W M, M from the numbers of the weights; float64."""
    made, images = nested("lenet", *TWO)
    full, images, labels = made.full.double(), images.double(), torch.arange(8)
    for level in (2, 0, 1):
        (F.cross_entropy(made.at(level)(images), labels) / 3).backward()
    leaves = {name: tensor.detach().clone().requires_grad_() for name, tensor in made.shared().items()}
    masked = list(masked_weights(extract(made, 2)))
    order = torch.cat([leaves[name].detach().abs().flatten() for name in masked]).sort(descending=True).values
    loss = torch.zeros((), dtype=torch.float64)
    for share in (4, 2, 1):
        least = order[round(len(order) / share) - 1]
        shown = {n: p * (p.detach().abs() >= least) if n in masked else p for n, p in leaves.items()}
        loss = loss + F.cross_entropy(functional_call(extract(made, 2), shown, (images,)), labels) / 3
    loss.backward()
    for name, leaf in leaves.items():
        assert torch.allclose(full.get_parameter(name).grad, leaf.grad, rtol=1e-9, atol=1e-14), name


SEARCH = {"method": "masks", "kinds": [], "epochs": 2, "lr": 0.05, "gradual": 0.5, "lr_schedule": "constant"}
FOUND = (
    SEARCH | {"compression": 2},
    SEARCH | {"compression": 4, "starts_from": "previous", "mask_gradient": "implicit"},
    joint(*TWO, epochs=2, masks="found", starts_from="previous"),
)


def test_masks_are_found_carried_on_with_what_fell_and_resumed_in_every_phase(tmp_path):
    settings, whole = config(*FOUND), tmp_path / "whole"
    end, watched = trained(settings, whole)
    assert min(watched[-1].levels) > 0.5
    made = Nested(trained_network(whole / "checkpoints" / "00006.safetensors")[0])
    sizes = [living(extract(made, level)) for level in range(3)]
    assert sizes[1] == round(sizes[2] / 2) and 0.2 < sizes[0] / sizes[2] <= 0.25
    for epoch in (2, 3, 5):
        assert same(resumed(settings, whole, epoch), end), f"from epoch {epoch}"
    searched, first = (load_file(whole / "checkpoints" / f"{epoch:05d}.safetensors") for epoch in (4, 2))
    for i in range(3):
        fell, latent = (searched[f"weights/nested_masks.{part}{i}"] for part in ("fell", "latent"))
        assert torch.equal(first[f"weights/nested_masks.fell{i}"] == 1, fell == 1)
        kept = first[f"weights/nested_masks.latent{i}"]
        assert torch.equal(latent[fell == 1], kept[fell == 1]) and (fell == 2).any()
        assert not searched[f"weights/fc{i + 1}.weight"][fell > 0].any()


def test_the_joint_phase_begins_with_the_values_that_fell():
    model, _ = network("mlp")
    before = {name: weight.detach().clone() for name, weight in masked_weights(model).items()}
    for compression in (2, 4):
        method = start(Phase(method="masks", kinds=(), compression=compression), model, 0.9, 0.0)
        model = method.folded()
    assert living(model) == round(sum(w.numel() for w in before.values()) / 4)
    method = start(Phase.model_validate(FOUND[2]), model, 0.9, 0.0)
    for name, weight in masked_weights(model).items():
        if name in before:
            assert torch.equal(weight, before[name])
    assert [living(extract(method.nested, level)) for level in range(3)] == [
        round(living(model) / n) for n in (4, 2, 1)
    ]


def test_random_masks_are_decided_by_the_runs_seed():
    seeds = (5, 5, 6)
    models = [network("lenet")[0] for _ in seeds]
    levels = joint(*TWO, masks="random")
    for model, seed in zip(models, seeds, strict=True):
        start(Phase.model_validate(levels), model, 0.9, 0.0, seed=seed)
    fell = [torch.cat([fallen_of(model).fell(name).flatten() for name in masked_weights(model)]) for model in models]
    assert torch.equal(fell[0], fell[1]) and not torch.equal(fell[0], fell[2])


@pytest.mark.parametrize("levels", [TWO, ({"width": 0.5},)])
def test_in_place_a_level_takes_its_tensors_once_and_sees_every_change(levels, monkeypatch):
    made, images = nested("lenet", *levels, masks="random")
    level, taken = made.at(0).eval(), []
    kind = type(made.inner[0].places[0][2])
    plain = kind.of
    monkeypatch.setattr(kind, "of", lambda self, full: (taken.append(self.source), plain(self, full))[1])
    with torch.no_grad():
        first = level(images)
        once = len(taken)
        assert torch.equal(level(images), first) and len(taken) == once > 0, "no second time"
        made.full.conv1.weight.mul_(2.0)
        assert torch.equal(level(images), extract(made, 0)(images)) and not torch.equal(level(images), first)
        if levels is TWO:
            made.inner[0].ties["conv2.weight"].found.fell("conv2.weight").zero_()
            assert torch.equal(level(images), extract(made, 0)(images)), "a mask may change too"
    assert level(images).requires_grad, "with gradients it is taken anew"


@pytest.mark.parametrize("levels", [TWO, ({"width": 0.5},)])
def test_a_level_of_a_network_made_under_inference_mode_sees_every_change(levels):
    with torch.inference_mode():
        made, images = nested("lenet", *levels, masks="random")
        level = made.at(0).eval()
        assert torch.equal(level(images), level(images))
        made.full.conv1.weight.mul_(2.0)  # which nothing counts
        assert torch.equal(level(images), extract(made, 0)(images))
