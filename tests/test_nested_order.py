"""Learned nesting: levels take the channels and blocks of most effect first; the order by hand in float64, kept over a stop."""

import pytest
import torch
from nested_parts import config, disturbed, joint, nested, network, phase, resumed, same, trained
from torch import nn

from core import training
from core.methods.nested import nested_for
from core.nested import Nested, extract
from core.nested.proving import verify_level
from core.runs.export import export
from core.runs.folder import Recorder, RunFolder
from core.trained import trained_network

TWO = ({"width": 0.5, "depth": 0.5}, {"width": 0.75})


def effects(full, conv, norm):
    """A filter's norm times |gamma| / sigma, over the mean of its layer."""
    conv, norm = full.get_submodule(conv), full.get_submodule(norm)
    size = conv.weight.detach().double().flatten(1).norm(dim=1)
    effect = size * norm.weight.detach().double().abs() / (norm.running_var.double() + norm.eps).sqrt()
    return effect / effect.mean()


def test_the_most_effective_channels_are_kept_those_that_meet_in_a_sum_as_one():
    made, _ = nested("resnet20", {"width": 0.5}, order="learned")
    full = disturbed(network("resnet20")[0])  # the weights from which the order was taken
    kept = made.inner[0].channels
    blocks = [
        f"stage{stage}.{block}" for stage in (1, 2, 3) for block in range(3)
    ]  # shortcuts join channel i to channel i
    trunk = [effects(full, "conv", "bn")] + [effects(full, f"{b}.conv2", f"{b}.bn2")[:16] for b in blocks]
    for path, effect in {
        "stage1.1.bn1": effects(full, "stage1.1.conv1", "stage1.1.bn1"),
        "bn": sum(trunk) / 10,
    }.items():
        expected = effect.argsort(descending=True)[: len(effect) // 2].sort().values
        assert torch.equal(kept[path].sort().values, expected) and not torch.equal(
            expected, torch.arange(len(expected))
        )
    assert torch.equal(kept["stage1.2.bn2"], kept["bn"])


def test_the_most_effective_blocks_are_kept_and_those_whose_input_does_not_go_on_unchanged():
    full, _ = network("resnet20")
    disturbed(full)
    with torch.no_grad():
        for block, scale in ((0, 0.1), (1, 5.0), (2, 1.0)):
            full.stage1[block].bn2.weight.fill_(scale)
            full.stage2[block].bn2.weight.fill_(scale)
    made = nested_for(phase({"depth": 0.33}, {"depth": 0.67}, order="learned"), full, [], {})
    left = {path for path, module in extract(made, 0).named_modules() if isinstance(module, nn.Conv2d)}
    assert {path for path in left if path.startswith("stage1")} == {"stage1.1.conv1", "stage1.1.conv2"}
    assert {path for path in left if path.startswith("stage2")} == {"stage2.0.conv1", "stage2.0.conv2"}
    more = {path for path, module in extract(made, 1).named_modules() if isinstance(module, nn.Conv2d)}
    assert {path for path in more if path.startswith("stage1")} == {
        f"stage1.{b}.conv{i}" for b in (1, 2) for i in (1, 2)
    }
    assert set(made.subset_holds().values()) == {True}


@pytest.mark.parametrize("name", ["resnet20", "resnet20-preact", "resnext20", "wrn-14-1", "vgg11"])
def test_levels_in_a_learned_order_nest_and_leave_as_they_are(name):
    made, images = nested(name, *(TWO if name in ("resnext20", "wrn-14-1") else TWO[:1]), order="learned")
    assert set(made.subset_holds().values()) == {True}
    for level in range(made.num_levels - 1):
        left = extract(made, level).eval()
        assert torch.equal(left(images), made.at(level).eval()(images))
        certificate = verify_level(made, level, [images.double()])
        assert certificate.verdict == "exact" and certificate.max_rel < 1e-12, certificate


def test_an_order_that_was_learned_in_a_phase_before_is_kept_over_a_stop_a_look_and_an_export(tmp_path):
    """The levels are made again from a checkpoint, whose weights have changed since."""
    dense = {"method": "dense", "kinds": [], "epochs": 1, "lr": 0.05, "lr_schedule": "constant"}
    settings = config(dense, joint(*TWO, epochs=2, order="learned", starts_from="previous"))
    run = tmp_path / "run"
    end, watched = trained(settings, run)
    assert same(resumed(settings, run, 2), end)
    Recorder(RunFolder(run)).describe(config=settings.model_dump(mode="json"))
    export(RunFolder(run), tmp_path / "away")
    for folder in (run, tmp_path / "away"):
        full, _, dataset, _ = trained_network(folder / "checkpoints" / "00003.safetensors")
        made = Nested(full)
        images = dataset.normalise(dataset.val.images)
        for level, accuracy in enumerate(watched[-1].levels):
            with torch.no_grad():
                right = (made.at(level).eval()(images).argmax(1) == dataset.val.labels).double().mean()
            assert float(right) == pytest.approx(accuracy, abs=0.006), level


def test_levels_of_a_source_that_learned_structure_take_what_lives_first(tmp_path):
    """Sparse structure selection, then nesting: half of the channels, where half are dead, are the living ones."""
    sss = {
        "method": "sss",
        "kinds": ["filter"],
        "epochs": 2,
        "lr": 0.1,
        "strength_filter": 2.0,
        "lr_schedule": "constant",
    }
    learned, _ = trained(config(sss, network="lenet", batch_size=64), tmp_path / "source")
    factors = learned["weights/conv2.factor"], learned["weights/fc1.factor"]
    assert all(int((factor == 0).sum()) > 0 for factor in factors)
    nest = joint({"width": 0.5}, order="learned", starts_from="source")
    settings = config(nest, network="lenet", source="source")
    _, watched = trained(settings, tmp_path / "nested")
    assert len(watched[-1].levels) == 2
    run = training.Training(settings, tmp_path / "again", None, training.Controls(()))
    run.begin_phase(0)
    ties = {tie.source: tie for tie in run.method.nested.inner[0].ties.values()}
    for layer, factor in (("conv2", factors[0]), ("fc1", factors[1])):
        kept = set(ties[f"{layer}.bias"].elements.tolist())
        alive = set(torch.nonzero(factor).flatten().tolist())
        assert alive <= kept or kept <= alive, layer
    full, *_ = trained_network(tmp_path / "nested" / "checkpoints" / "00001.safetensors")
    assert Nested(full).inner[0].ties["conv2.bias"].elements.tolist() == ties["conv2.bias"].elements.tolist()
