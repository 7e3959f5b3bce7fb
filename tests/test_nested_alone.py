"""A level trained alone: what it is trained as, that it leaves as the run's network, and what is refused."""

import pytest
import torch
import torch.nn.functional as F
from nested_parts import config, joint, resumed, same, trained

from core import training
from core.controls import Controls
from core.cut import cut
from core.data import batches
from core.errors import BadInput
from core.levels import living
from core.nested import extract
from core.nested.masks import masked_weights
from core.runs.folder import Recorder, RunFolder
from core.runs.jobs import newest, newest_nested
from core.structure import cost
from core.trained import trained_network

HALF, THREE_QUARTERS = {"width": 0.5}, {"width": 0.75, "depth": 0.67}
KINDS = {
    "channels": ("wrn-14-1", joint(HALF, alone=0, lr=0.1)),
    "a middle level": ("resnet20-preact", joint({"width": 0.5, "depth": 0.34}, THREE_QUARTERS, alone=1, order="learned")),
    "no norms": ("lenet", joint(HALF, alone=0, own_heads=True)),
    "own heads": ("wrn-14-1", joint({"width": 0.5, "depth": 0.5}, alone=0, own_heads=True, level_norms="recalibrated")),
    "shared norms": ("vgg11", joint(HALF, alone=0, level_norms="shared")),
    "weights": ("wrn-14-1", joint({"compression": 4}, {"compression": 2}, alone=0)),
    "weights, own heads": ("lenet", joint({"compression": 4}, {"compression": 2}, alone=1, own_heads=True, masks="random")),
    "the full network": ("lenet", joint(HALF, alone=1)),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_level_alone_is_trained_like_an_ordinary_network_of_its_shape_and_becomes_the_run_s_network(kind):
    """Against SGD on the network that `extract` gives at the beginning, with the same batches; weights that a mask lacks held at 0."""
    network, phase = KINDS[kind]
    run = training.Training(
        config(phase, network=network, batch_size=32, precision="float32"), None, None, Controls(())
    )
    run.begin_phase(0)
    nested, level = run.method.nested, run.phase.alone
    ordinary = extract(nested, level).train()
    masks = {name: weight != 0 for name, weight in masked_weights(ordinary).items()} if "weights" in kind else {}
    decayed = [p for p in ordinary.parameters() if p.ndim > 1]
    vectors = [p for p in ordinary.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": 1e-4}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=phase["lr"], momentum=0.9, nesterov=True)
    draw = torch.Generator()
    draw.set_state(run.order.get_state())
    for _, (images, labels) in zip(
        range(2), batches(run.dataset.train, run.dataset, 32, generator=draw, train=True), strict=False
    ):
        run.network.train()
        run._step_(images, labels)
        optimizer.zero_grad()
        F.cross_entropy(ordinary(images), labels).backward()
        optimizer.step()
        for name, mask in masks.items():
            ordinary.get_parameter(name).data.mul_(mask)
    run.method.finish_()
    images = run.dataset.normalise(run.dataset.val.images[:64])
    left = extract(nested, level).eval()
    for (name, mine), theirs in zip(
        sorted(left.named_parameters()), dict(sorted(ordinary.named_parameters())).values(), strict=True
    ):
        assert torch.allclose(mine, theirs, atol=2e-4), name
    assert torch.allclose(run.network.eval()(images), left(images), atol=1e-4), "the network itself is the level"
    done = cut(run.network, run.dataset, network)
    assert torch.allclose(done.compact(images), left(images), atol=1e-4)
    assert done.compact_cost.macs == cost(left, images[:1]).macs or "weights" in kind
    assert living(done.compact) <= living(left)


def test_a_run_of_a_level_alone_ends_with_that_level_and_is_it_half_way_too(tmp_path):
    settings = config(joint(HALF, alone=0, epochs=2, own_heads=True))
    events = list(training.run(settings, folder=tmp_path / "run"))
    result = events[-1].result
    watched = [event for event in events if event.type == "epoch_done"]
    assert "levels" not in result and all(event.levels == () for event in watched)
    assert result["certificate"]["verdict"] == "exact" and result["macs"]["compact"] < 0.4 * result["macs"]["dense"]
    assert result["accuracy"]["compact"] == pytest.approx(result["accuracy"]["test"], abs=1e-9)
    for epoch in (1, 2):
        network, _, dataset, _ = trained_network(tmp_path / "run" / "checkpoints" / f"{epoch:05d}.safetensors")
        with torch.no_grad():
            right = (network(dataset.normalise(dataset.val.images)).argmax(1) == dataset.val.labels).double().mean()
        assert float(right) == pytest.approx(watched[epoch].val_accuracy, abs=0.006)
    Recorder(RunFolder(tmp_path / "run")).describe(config=settings.model_dump(mode="json"))
    assert newest(RunFolder(tmp_path / "run"), None)[3] == 2
    with pytest.raises(
        BadInput,
        match="run must be a run that trained its levels together; it trained level 0 alone; take that with `compact`",
    ):
        newest_nested(RunFolder(tmp_path / "run"), None)


def test_a_level_alone_starts_from_the_same_weights_as_the_nested_one(tmp_path):
    made = []
    for alone in (None, 0):
        run = training.Training(
            config(joint(HALF, alone=alone, own_heads=True), network="lenet"), None, None, Controls(())
        )
        run.begin_phase(0)
        made.append(extract(run.method.nested, 0).state_dict())
    assert made[0].keys() == made[1].keys() and all(torch.equal(made[0][name], made[1][name]) for name in made[0])


@pytest.mark.parametrize(
    ("levels", "alone", "says"),
    [
        ((HALF,), 2, r"alone must be a level, 0 \(core\) to 1 \(full\); got 2"), ((HALF,), -1, "alone must be a level, .*; got -1"),
        (({"width": 0.5, "labels": "coarse"},), 0, "alone must be empty where a level has classes of its own; got both; take their data set"),
        (({"width": 0.5, "dataset": "mnist"},), 0, "alone must be empty where a level has classes of its own; got both"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_alone_is_refused(levels, alone, says):
    with pytest.raises(BadInput, match=says):
        config(joint(*levels, alone=alone))


def test_what_a_level_alone_lacks_stays_zero_also_over_a_stop(tmp_path):
    settings = config(joint(HALF, alone=0, epochs=2), network="lenet")
    end, _ = trained(settings, tmp_path / "run")
    assert same(resumed(settings, tmp_path / "run", 1), end)
    assert not end["weights/conv2.weight"][25:].any() and not end["weights/conv2.bias"][25:].any()
    assert not end["weights/conv2.weight"][:, 10:].any() and end["weights/conv2.weight"][:25, :10].all()
