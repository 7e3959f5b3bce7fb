"""Levels with heads, labels and data sets of their own: what each learns, and what is refused in a sentence."""

import json
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from nested_parts import config, disturbed, joint, network, phase, resumed, same, trained

from core.data import load
from core.data.dataset import Split
from core.errors import BadInput
from core.level_settings import Level
from core.methods import start
from core.nested import Nested, consensus, extract, knowledge
from core.nested.knowledge import View, views_of
from core.nested.proving import verify_level
from core.trained import trained_network

ODD = {str(digit): ("even", "odd")[digit % 2] for digit in range(10)}


@pytest.fixture
def parity(tmp_path):
    file = tmp_path / "parity.json"
    file.write_text(json.dumps(ODD), encoding="utf-8")
    return file


def four_digits():
    """Another data set of the same shape: the digits 0 to 3, brighter."""
    digits = load("digits")
    parts = []
    for split in (digits.train, digits.val, digits.test):
        few = split.labels < 4
        parts.append(Split(split.images[few] // 2 + 100, split.labels[few]))
    return replace(digits, name="four", class_names=("0", "1", "2", "3"), train=parts[0], val=parts[1], test=parts[2])


@pytest.fixture
def four(monkeypatch):
    """The data set that a level named fashion-mnist learns."""
    monkeypatch.setattr(knowledge, "load", lambda name, data: four_digits())


def test_coarse_labels_are_the_data_sets_own_families_and_a_file_tells_others(parity):
    shapes = load("shapes")
    view = views_of([Level(labels="coarse"), Level()], shapes)[0]
    assert view.dataset.class_names == ("polygons", "round things", "letters", "textures") and not view.shares_classes
    assert torch.equal(view.dataset.test.labels, shapes.test.labels // 5)
    digits = load("digits")
    view = views_of([Level(labels=str(parity)), Level()], digits)[0]
    assert view.dataset.class_names == ("even", "odd") and torch.equal(view.dataset.val.labels, digits.val.labels % 2)
    assert torch.equal(view.of[digits.train.labels], digits.train.labels % 2)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "got no such file at "), ("{", "got JSONDecodeError at "), ("[1]", "is something else"), ('{"0": 1}', "is something else"),
        (json.dumps({k: v for k, v in ODD.items() if k != "7"}), "has no class '7'"),
        (json.dumps(ODD | {"ten": "even"}), "has 'ten', which digits does not have"),
        (json.dumps(dict.fromkeys(ODD, "digit")), "to two classes or more; .* has 'digit' alone"), (b"\xff", "got UnicodeDecodeError at "),
    ],
)  # fmt: skip
def test_a_mapping_that_is_none_is_refused_in_a_sentence(tmp_path, text, says):
    file = tmp_path / "classes.json"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadInput, match=f"labels of a level must be .*{says}") as caught:
        views_of([Level(labels=str(file)), Level()], load("digits"))
    assert "\n" not in str(caught.value) and str(file) in str(caught.value)


def test_what_a_level_cannot_learn_is_refused_in_a_sentence(tmp_path, monkeypatch):
    with pytest.raises(
        BadInput, match=r"labels 'coarse' of a level must be known .* digits has none; take cifar100 or shapes"
    ):
        views_of([Level(labels="coarse")], load("digits"))
    with pytest.raises(
        BadInput, match=r"dataset of a level must have images of \(1, 8, 8\), as digits has; shapes has \(3, 32, 32\)"
    ):
        views_of([Level(dataset="shapes")], load("digits"))
    with pytest.raises(BadInput, match=r"dataset of a level must be one of cifar10, .*; got .cifar1O."):
        config(joint({"dataset": "cifar1O"}))
    monkeypatch.chdir(tmp_path)
    assert config(joint({"labels": "own.json"})).phases[0].levels[0].labels == str(tmp_path / "own.json")


@pytest.mark.parametrize("masked", [False, True])
def test_an_extra_head_learns_and_changes_nothing_but_itself(parity, masked):
    """Gradients with and without it, in float64: of everything else they are the same."""
    level = {"labels": str(parity)} | ({"compression": 2} if masked else {"width": 0.5})
    labels, gradients = torch.arange(8), []
    views = views_of(phase(level).levels, load("digits"))
    for extra in (True, False):
        full, images = network("wrn-14-1")
        method = start(phase(level), full, 0.0, 0.0, views=views)
        inner = method.nested.inner[0]
        assert inner.extra.out_features == 10 and inner.network.get_submodule(inner.head.path).out_features == 2
        inner.extra = inner.extra if extra else None
        full.double().train()

        def loss_of(call, x, y):
            told = call(x)
            return told, F.cross_entropy(told, y)

        method.backward_(loss_of, images.double(), labels)
        gradients.append({name: p.grad for name, p in full.named_parameters()})
    own = {name for name in gradients[0] if ".extra." in name}
    assert len(own) == 2 and all(gradients[0][name].abs().sum() > 0 for name in own)
    assert gradients[0].keys() - own == gradients[1].keys()
    for name, gradient in gradients[1].items():
        assert torch.equal(gradients[0][name], gradient), name


def test_a_level_with_a_data_set_of_its_own_learns_that_and_goes_on_where_it_stopped(tmp_path, four):
    """Its images never meet the run's labels: it has no extra head and is not asked for the run's classes."""
    settings = config(joint({"width": 0.5, "dataset": "fashion-mnist"}, epochs=3))
    end, watched = trained(settings, tmp_path / "whole")
    assert all(same(resumed(settings, tmp_path / "whole", epoch), end) for epoch in (1, 2))
    full, _, dataset, _ = trained_network(tmp_path / "whole" / "checkpoints" / "00003.safetensors")
    made, views = Nested(full), views_of(settings.phases[0].levels, dataset)
    assert made.inner[0].extra is None and consensus.askable(made, views) == [1]
    assert extract(made, 0)(torch.zeros(1, 1, 8, 8)).shape == (1, 4)
    assert min(watched[-1].levels) > 0.6, "both above chance, 0.25 and 0.1"


def test_a_data_set_with_another_number_of_classes_and_a_short_last_batch_is_taken_as_it_is(four):
    """The loss of that level alone: its own images with its own labels, whatever the run's batch."""
    settings = phase({"width": 0.5, "dataset": "fashion-mnist"})
    full, images = network("lenet")
    own, labels = torch.randn(5, *images.shape[1:]), torch.tensor([0, 1, 2, 3, 0])
    views = [View(four_digits(), own=True), View(load("digits"))]
    method = start(settings, full, 0.0, 0.0, views=views)
    method.begin_epoch(lambda dataset, number: iter([(own, labels)]))
    seen = []

    def loss_of(call, x, y):
        told = call(x)
        seen.append((len(x), told.shape[1]))
        return told, F.cross_entropy(told, y)

    method.backward_(loss_of, images, torch.arange(8))
    assert seen == [(8, 10), (5, 4)]


@pytest.mark.parametrize("norms", ["own", "shared", "recalibrated"])
def test_levels_with_heads_of_their_own_leave_certified(parity, norms):
    levels = ({"width": 0.25, "labels": str(parity)}, {"width": 0.5, "depth": 0.5})
    settings = phase(*levels, own_heads=True, level_norms=norms)
    full, images = network("wrn-14-1")
    method = start(settings, full, 0.0, 0.0, views=views_of(settings.levels, load("digits")))
    disturbed(full)
    for level, classes in enumerate((2, 10, 10)):
        left = extract(method.nested, level).eval()
        assert left(images).shape == (8, classes) and torch.equal(left(images), method.nested.at(level)(images))
        certificate = verify_level(method.nested, level, [images.double()])
        assert certificate.verdict == ("nothing-removed" if level == 2 else "exact"), certificate
    assert method.nested.inner[1].extra is None, "it knows the run's classes already"


def test_a_run_does_not_go_on_with_other_classes_than_it_began_with(parity, tmp_path):
    settings = config(joint({"width": 0.5, "labels": str(parity)}, epochs=2))
    folder = tmp_path / "run"
    trained(settings, folder)
    assert same(resumed(settings, folder, 1), trained(settings, tmp_path / "again")[0])
    parity.write_text(json.dumps(ODD | {"4": "odd", "5": "even"}), encoding="utf-8")
    for ask in (
        lambda: trained_network(folder / "checkpoints" / "00002.safetensors"),
        lambda: trained(settings, folder, resume=True),
    ):
        with pytest.raises(
            BadInput, match=r"parity.json must map classes as it did when the run was started; it was changed"
        ):
            ask()
