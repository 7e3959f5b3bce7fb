"""All levels asked together, against NumPy and SciPy in float64; and the losses of levels: weights, distillation, sandwich, a teacher."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from nested_parts import config, joint, network, phase, resumed, same, trained
from scipy.optimize import minimize

from core.config import checked
from core.data import load
from core.errors import BadInput
from core.methods import start
from core.nested import consensus, extract
from core.nested.knowledge import views_of
from core.objective import with_soft_targets
from core.phases import Phase


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """(nested, views, scores by split (levels, N, 10) and labels as NumPy arrays) of three levels, the core by an extra head."""
    file = tmp_path_factory.mktemp("labels") / "parity.json"
    file.write_text(json.dumps({str(digit): ("even", "odd")[digit % 2] for digit in range(10)}))
    settings = phase({"width": 0.25, "labels": str(file)}, {"width": 0.5})
    digits = load("digits")
    full = network("mlp")[0]
    method = start(settings, full, 0.9, 0.0, views=views_of(settings.levels, digits))
    optimizer = torch.optim.SGD(full.parameters(), 0.05, momentum=0.9)
    images, labels = digits.normalise(digits.train.images), digits.train.labels
    for rows in torch.arange(len(labels)).split(128):
        optimizer.zero_grad()
        method.backward_(lambda call, x, y: (told := call(x), F.cross_entropy(told, y)), images[rows], labels[rows])
        optimizer.step()
    full.eval()
    told = {}
    for name in ("train", "val", "test"):
        split = getattr(digits, name)
        images = digits.normalise(split.images)
        core = method.nested.inner[0]
        left = extract(method.nested, 0).eval()
        left.fc3 = torch.nn.Identity()  # what the heads see
        with torch.no_grad():
            scores = [left(images) @ core.extra.weight.T + core.extra.bias]
            scores += [extract(method.nested, level).eval()(images) for level in (1, 2)]
        told[name] = torch.stack(scores).double().numpy(), split.labels.numpy()
    return method.nested, method.views, told


def softmax(scores):
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_the_average_is_that_of_class_probabilities(asked):
    nested, views, told = asked
    scores, labels = told["test"]
    assert consensus.askable(nested, views) == [0, 1, 2]
    right = (softmax(scores).mean(0).argmax(1) == labels).mean()
    assert consensus.agreed(nested, views, learned=False) == {
        "average": pytest.approx(right, abs=1e-9),
        "learned": None,
    }
    for level in range(3):
        assert consensus.accuracy_of(nested, views, level) == pytest.approx(
            (scores[level].argmax(1) == labels).mean(), abs=1e-9
        )


def test_the_learned_layer_is_softmax_regression_from_the_average_with_the_decay_that_validation_chose(asked):
    nested, views, told = asked
    rows = {name: (np.concatenate(list(scores), 1), labels) for name, (scores, labels) in told.items()}
    seen, labels = rows["train"]
    average = np.tile(np.eye(10), 3) / 3
    hot = np.eye(10)[labels]

    def objective(flat, decay):
        weight, bias = flat[:300].reshape(10, 30), flat[300:]
        likely = softmax(seen @ weight.T + bias)
        value = -np.log(likely[np.arange(len(labels)), labels]).mean() + decay * ((weight - average) ** 2).sum()
        slope = (likely - hot) / len(labels)
        return value, np.concatenate([(slope.T @ seen + 2 * decay * (weight - average)).ravel(), slope.sum(0)])

    begin = np.concatenate([average.ravel(), np.zeros(10)])
    held = {}
    for decay in consensus.DECAYS:
        layer = consensus.fitted(torch.tensor(seen).float(), torch.tensor(labels), 10, decay)
        flat = np.concatenate([layer.weight.detach().double().numpy().ravel(), layer.bias.detach().double().numpy()])
        least = minimize(objective, begin, (decay,), "L-BFGS-B", jac=True, options={"maxiter": 2000}).fun
        first, found = objective(begin, decay)[0], objective(flat, decay)[0]
        assert least - 1e-9 <= found < least + 0.02 * (first - least), "almost all of what can be gained"
        held[decay] = (
            (((rows["val"][0] @ flat[:300].reshape(10, 30).T + flat[300:]).argmax(1)) == rows["val"][1]).mean(),
            flat,
        )
    learned = consensus.learn(nested, views)
    assert held[learned.decay][0] == max(right for right, _ in held.values())
    flat = held[learned.decay][1]
    right = ((rows["test"][0] @ flat[:300].reshape(10, 30).T + flat[300:]).argmax(1) == rows["test"][1]).mean()
    assert consensus.agreed(nested, views, learned=True)["learned"] == pytest.approx(right, abs=0.006), (
        "two images of 360"
    )


def test_soft_targets_are_those_of_hinton_et_al():
    """(1 - a) CE + a T^2 (cross entropy of softened teacher and network, less the teacher's entropy), in float64."""
    g = np.random.default_rng(0)
    told, mine, labels = g.normal(size=(6, 5)) * 3, g.normal(size=(6, 5)), np.arange(6) % 5
    p, q = softmax(told / 2.5), softmax(mine / 2.5)
    hard = -np.log(softmax(mine)[np.arange(6), labels]).mean()
    soft = (-(p * np.log(q)).sum(1) + (p * np.log(p)).sum(1)).mean()
    settings = Phase(method="dense", soft_targets=0.3, temperature=2.5)
    mine_t = torch.tensor(mine)
    got = with_soft_targets(F.cross_entropy(mine_t, torch.tensor(labels)), mine_t, torch.tensor(told), settings)
    assert float(got) == pytest.approx(0.7 * hard + 0.3 * 2.5**2 * soft, rel=1e-12)


LEVELS = ({"width": 0.25, "weight": 3.0}, {"width": 0.5}, {"width": 0.75, "weight": 0.5})
WEIGHTS = (3.0, 1.0, 0.5, 1.0)


def method_in(name="lenet", **settings):
    full, images = network(name)
    method = start(phase(*LEVELS, **settings), full, 0.0, 0.0, views=views_of(phase(*LEVELS).levels, load("digits")))
    full.double()
    return method, images.double()


def loss_of(call, x, y):
    told = call(x)
    return told, F.cross_entropy(told, y)


@pytest.mark.parametrize("distill", [False, True])
def test_a_step_takes_the_weighted_mean_of_losses_and_inner_levels_may_learn_from_the_full_one(distill):
    """Against autograd on one explicit sum, in float64; the full level's answers are a target without a gradient."""
    method, images = method_in(distill=distill)
    labels = torch.arange(8)
    method.backward_(loss_of, images, labels)
    tensors = method.nested.shared()
    answers = [method.nested.at(level)(images) for level in range(4)]
    target = answers[3].detach().softmax(1)
    loss = torch.zeros((), dtype=torch.float64)
    for level, told in enumerate(answers):
        own = -told.log_softmax(1)[torch.arange(8), labels].mean()
        if distill and level < 3:
            own = (target * (target.log() - told.log_softmax(1))).sum(1).mean()
        loss = loss + WEIGHTS[level] * own / sum(WEIGHTS)
    for tensor, slope in zip(tensors.values(), torch.autograd.grad(loss, list(tensors.values())), strict=True):
        assert torch.allclose(tensor.grad, slope, rtol=1e-9, atol=1e-14)


def test_a_sandwich_trains_the_ends_and_one_level_between_which_weigh_among_themselves():
    method, images = method_in(sandwich=True)
    seen = []
    method.calls = [
        lambda x, level=level, call=call: seen.append(level) or call(x) for level, call in enumerate(method.calls)
    ]
    for _ in range(40):
        method.backward_(loss_of, images, torch.arange(8))
    steps = [tuple(seen[i : i + 3]) for i in range(0, len(seen), 3)]
    assert {step[:2] for step in steps} == {(3, 0)} and {step[2] for step in steps} == {1, 2}
    for p in method.network.parameters():
        p.grad = None
    state = method.draw.get_state()
    between = method.chosen()[2]
    method.draw.set_state(state)
    method.backward_(loss_of, images, torch.arange(8))
    chosen = (3, 0, between)
    total = sum(WEIGHTS[level] for level in chosen)
    loss = sum(
        F.cross_entropy(method.nested.at(level)(images), torch.arange(8)) * WEIGHTS[level] / total for level in chosen
    )
    bias = method.nested.shared()["fc2.bias"]
    assert torch.allclose(bias.grad, torch.autograd.grad(loss, bias)[0], rtol=1e-10)


@pytest.mark.parametrize("sandwich", [False, True])
def test_each_weight_may_take_the_mean_of_the_losses_of_those_levels_that_have_it(sandwich):
    """Against autograd on the plain loss of every level, in float64; a level trained alone has its own loss."""
    method, images = method_in(sandwich=sandwich, level_mean="holders")
    labels, nested = torch.arange(8), method.nested
    state = method.draw.get_state()
    chosen = method.chosen()
    method.draw.set_state(state)
    method.backward_(loss_of, images, labels)
    shared = dict(method.network.named_parameters())
    for name in nested.held(3):
        parameter = shared[name]
        above, below = torch.zeros_like(parameter), torch.zeros_like(parameter)
        for level in chosen:
            slope = torch.autograd.grad(F.cross_entropy(nested.at(level)(images), labels), parameter)[0]
            above += WEIGHTS[level] * slope
            below += WEIGHTS[level] * nested.held(level)[name].view(parameter.shape)
        assert torch.allclose(parameter.grad, above / below, rtol=1e-6, atol=1e-12), name


HELD = {
    "masks": ("lenet", ({"compression": 3}, {"compression": 2}), {}),
    "random masks, sandwich": ("wrn-8-1", ({"compression": 4}, {"compression": 3}, {"compression": 2}), {"masks": "random", "sandwich": True}),
    "shared norms": ("wrn-8-1", ({"width": 0.25, "depth": 0.4}, {"width": 0.5}), {"level_norms": "shared"}),
    "learned order, first layer whole": ("wrn-8-1", ({"width": 0.5},), {"order": "learned", "first_whole": True}),
}  # fmt: skip


@pytest.mark.parametrize("kind", HELD)
def test_holders_are_those_of_every_kind_of_level(kind):
    """All parameters, against the gradients of the losses of single levels in float64, each over the weights of who holds it."""
    name, levels, more = HELD[kind]
    full, images = network(name)
    settings = phase(*levels, level_mean="holders", **more)
    method = start(settings, full, 0.0, 0.0, views=views_of(settings.levels, load("digits")))
    full.double().eval()  # a pass must not move statistics that the next one reads
    labels, images, nested = torch.arange(8), images.double(), method.nested
    state = method.draw.get_state()
    chosen = method.chosen()
    method.draw.set_state(state)
    method.backward_(loss_of, images, labels)
    parameters = {n: p for n, p in full.named_parameters() if p.grad is not None}
    above = {n: torch.zeros_like(p) for n, p in parameters.items()}
    for level in chosen:
        loss = F.cross_entropy(nested.at(level)(images), labels)
        slopes = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for n, slope in zip(parameters, slopes, strict=True):
            above[n] += 0 if slope is None else slope
    held = {level: nested.held(level) for level in chosen}
    for n, p in parameters.items():
        count = sum(held[level][n].view(p.shape).double() for level in chosen) if n in held[chosen[0]] else 1
        assert torch.allclose(p.grad, above[n] / count, rtol=1e-6, atol=1e-12), n
    assert len(parameters) >= sum(1 for _ in full.parameters()) // 2


def test_what_a_level_has_for_itself_moves_as_in_its_network_alone():
    """Norms and heads of every level, and the full one's: the gradient of that level's plain loss."""
    full, images = network("wrn-8-1")
    settings = phase(*LEVELS, own_heads=True, level_mean="holders")
    method = start(settings, full, 0.0, 0.0, views=views_of(settings.levels, load("digits")))
    full.double()
    labels, images = torch.arange(8), images.double()
    method.backward_(loss_of, images, labels)
    for level, own in enumerate([list(inner.parameters()) for inner in method.nested.inner]):
        slopes = torch.autograd.grad(F.cross_entropy(method.nested.at(level)(images), labels), own)
        assert own and all(torch.allclose(p.grad, s, rtol=1e-6, atol=1e-12) for p, s in zip(own, slopes, strict=True))
    norm = full.get_parameter("stage1.0.bn1.weight")
    (slope,) = torch.autograd.grad(F.cross_entropy(full(images), labels), norm)
    assert torch.allclose(norm.grad, slope, rtol=1e-6, atol=1e-12)
    alone = phase(*LEVELS, alone=0, level_mean="holders")
    assert start(alone, network("lenet")[0], 0.0, 0.0, views=views_of(alone.levels, load("digits"))).factors([0]) == []


@pytest.mark.parametrize("levels", [LEVELS, ({"compression": 4}, {"compression": 3}, {"compression": 2})])
def test_a_sandwich_with_distillation_goes_on_with_the_same_draws(levels, tmp_path):
    settings = config(joint(*levels, epochs=3, sandwich=True, distill=True, level_mean="holders"))
    end, _ = trained(settings, tmp_path / "whole")
    assert same(resumed(settings, tmp_path / "whole", 2), end)


def test_a_teacher_teaches_a_level_trained_alone_and_not_levels_with_other_classes(tmp_path):
    taught = joint({"width": 0.5}, alone=0, soft_targets=0.9, epochs=4)
    with pytest.raises(BadInput, match="source must name a run, the teacher, where there are soft targets; got ''"):
        config(taught)
    with pytest.raises(BadInput, match=r"soft_targets must be 0 where a level has classes of its own.*; got 0.9"):
        config(joint({"width": 0.5, "labels": "coarse"}, soft_targets=0.9), source="teacher")
    dense = {"method": "dense", "kinds": [], "epochs": 2, "lr": 0.05, "lr_schedule": "constant"}
    trained(config(dense), tmp_path / "teacher")
    plain, _ = trained(config(taught | {"soft_targets": 0.0}), tmp_path / "plain")
    other, watched = trained(config(taught, source="teacher"), tmp_path / "other")
    assert not same(plain, other) and watched[-1].val_accuracy > 0.6
    assert checked({"phases": [dense | {"soft_targets": 0.5}], "source": "x"}).phases[0].temperature == 4.0
