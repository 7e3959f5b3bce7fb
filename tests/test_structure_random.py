"""Random networks of a wide vocabulary: the knife changes no output and no gradient, and breaks on none of them."""

from __future__ import annotations

import hypothesis
import pytest
import random_graphs as graphs
import random_graphs_check as checking
import random_graphs_net as nets
import torch
from hypothesis import strategies as st
from random_graphs import Case, Step
from random_graphs_blocks import RESIDUAL
from torch import nn

from core.structure import apply
from core.structure.values import Op

MEAN_HEAD, MAP_HEAD = graphs.OTHER_HEADS
BLOCK_OF_SEEDS, NUM_BLOCKS = 500, 6


@st.composite
def cases(draw: st.DrawFn) -> Case:
    steps = draw(st.lists(st.none(), min_size=1, max_size=18))
    return graphs.draw_case(lambda options: draw(st.sampled_from(options)), len(steps))


@hypothesis.settings(
    max_examples=120,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
@hypothesis.given(cases())
def test_no_network_that_hypothesis_draws_changes_what_it_says(case):
    outcome = checking.check(case)
    assert outcome.verdict == "equal", f"{outcome.where}: {outcome.message}\n{outcome.detail}"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("block", range(NUM_BLOCKS))
def test_no_seeded_random_network_changes_what_it_says(block):
    found = checking.survey(range(block * BLOCK_OF_SEEDS, (block + 1) * BLOCK_OF_SEEDS))
    assert not found.failures, "\n".join(
        f"python tests/random_graphs.py --count 1 --seed {seed}: {' | '.join(outcome.signature)}"
        for seed, outcome in found.failures
    )
    assert found.with_removals > 0.8 * found.cases, "the cases must have something to remove"
    assert found.telling > 0.6 * found.cases, "outputs must depend on the inputs, or agreement proves nothing"
    assert found.graded > 0.7 * found.cases, "most networks have gradients"


# ---- the tests of the test -----------------------------------------------------------------------------------------


def without_constants(plan, net, example):
    """The knife with its memory of constants taken out: what it must not do."""
    kept = Op.fill_in
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Op, "fill_in", lambda op, state, const, *more: kept(op, state, const * 0, *more))
        return apply(plan, net, example)


@pytest.mark.slow
def test_a_knife_that_drops_constants_is_noticed_in_three_quarters_of_the_cases():
    """Of cases with removals, a constant other than 0 to drop, and an output that tells.

    Tried on 150 seeds: 73 of 85 such cases; of all 138 with removals 103.
    """
    noticed = tried = 0
    for seed in range(5000, 5060):
        case = graphs.random_case(seed)
        sound = checking.check(case)
        if sound.removed and sound.uniform and sound.spread > checking.TELLING:
            tried += 1
            noticed += checking.check(case, without_constants).verdict != "equal"
    assert tried >= 25
    assert noticed >= 0.75 * tried, f"{noticed} of {tried}"


def coverage(count):
    """Share of cases whose output reads a step of each kind, and of each form; nothing is cut."""
    found = checking.Survey()
    for seed in range(count):
        found.add(seed, checking.Outcome(reached=nets.RandomNet(graphs.random_case(seed)).reached))
    return {name: found.coverage[name] / count for name in checking.kinds()}, {
        name: found.coverage[name] / count for name in checking.labels()
    }


def test_every_kind_of_step_is_read_by_the_output_of_one_case_of_a_hundred():
    by_kind, _ = coverage(400)
    assert not {kind: share for kind, share in by_kind.items() if share < 0.01}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_form_of_step_is_read_by_the_output_of_some_case():
    _, by_form = coverage(3000)
    assert not {form: share for form, share in by_form.items() if share < 0.001}
    assert sum(share > 0.008 for share in by_form.values()) > 0.9 * len(by_form)


def test_every_activation_of_torch_is_in_the_vocabulary():
    text = " ".join(checking.labels()) + "nn.MultiheadAttention("  # the latter is a part of an attention block
    missing = [name for name in nn.modules.activation.__all__ if f"nn.{name}(" not in text]
    assert missing == ["GLU"] or not missing


def test_a_case_is_what_it_prints_and_grows_the_same_network_every_time():
    case = graphs.random_case(7)
    again = eval(repr(case), {"Case": Case, "Step": Step})
    assert again == case
    first, second = nets.build(case), nets.build(again)
    assert first.order == second.order
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_networks_samples_do_not_see_each_other_and_its_parts_are_dead():
    dead = 0
    for seed in range(40):
        case = graphs.random_case(seed)
        net = nets.build(case)
        x = checking.inputs(case)[0]
        torch.testing.assert_close(checking.flat(net, x)[:2], checking.flat(net, x[:2]), rtol=1e-8, atol=1e-9)
        dead += sum(int((p.flatten(1) == 0).all(1).sum()) for p in net.parameters() if p.dim() > 1)
    assert dead > 200


# ---- what went wrong once ------------------------------------------------------------------------------------------


def chain(*steps: tuple[str, dict[str, str]], head: Step = MEAN_HEAD, **options) -> Case:
    """A case of a few steps, each on the latest value."""
    return Case(tuple(Step("regression", *step) for step in steps), head, **options)


REGRESSIONS = {
    # f626cf5: float32 constant of a channel pad, 1e-8 of the scale
    "a channel padded with 0.7": chain(("F.pad(x, (0, 0, 0, 0, 0, 1), value=0.7)", {}), seed=1),
    # f626cf5: AssertionError in Build.module; the copied parameter had taken the layer's path
    "a layer that is called and whose weight is read": chain(
        (
            "F.conv2d(x, m.f.weight, m.f.bias, padding=1) - m.f(x)",
            {"f": "nn.Conv2d(c, 5, 3, padding=1, padding_mode='replicate')"},
        ),
        seed=1,
    ),
    # f626cf5: the raw weight was read from the narrowed layer: loud for a shape, silent (0.1 of the scale) for a mean
    "a tied transposed weight": chain(
        ("F.conv2d(m.f(x).tanh(), m.f.weight.transpose(0, 1))", {"f": "nn.Conv2d(c, 6, 1)"}),
        seed=2,
        share=0.6,
        whole=0.0,
    ),
    "the mean of a layer's weight": chain(
        ("m.f(x) * m.f.weight.abs().mean()", {"f": "nn.Conv2d(c, 6, 3, padding=1)"}), seed=247, share=0.2, whole=0.0
    ),
    "a layer's bias as a factor": chain(
        ("m.f(x).tanh() * m.f.bias.view(1, -1, 1, 1)", {"f": "nn.Conv2d(c, 6, 1)"}), seed=138, share=0.6, whole=0.0
    ),
    # f626cf5: IndexError in plane_scale; an operation over axis 1 that keeps a width of 1
    "a reduction to one channel of (N, C, L)": chain(
        ("m.f(x.flatten(2))", {"f": "nn.Conv1d(c, 4, 1)"}),
        ("torch.logsumexp(x, 1, keepdim=True)", {}),
        head=Step("head", "m.f(F.adaptive_avg_pool2d(x, 1).view(x.size(0), -1))", {"f": "nn.Linear(c, 5)"}),
        whole=0.0,
    ),
    # f626cf5: PlanError in apply; a convolution called twice whose second result adds nothing
    "a convolution called again on another value": Case(
        steps=(
            Step("conv2d", "m.f(x)", {"f": "nn.Conv2d(c, 7, (1, 3), padding=1, stride=2, bias=False)"}),
            Step("residual", *RESIDUAL["plain"]),
            Step("batch norm", "m.f(x)", {"f": "nn.BatchNorm2d(c)"}),
            Step("conv2d", "m.f(x)", {"f": "nn.Conv2d(c, 3, 3, bias=False, padding_mode='reflect')"}),
            Step("again", "again", {}, (0, 3)),
            Step("cat of three", "torch.cat((z, x, z), dim=1)", {}, (2, 0, 1)),
        ),
        head=MEAN_HEAD,
        whole=0.0,
    ),
    # d978a41: RuntimeError, reshape of no elements, in rules_moves.pick
    "a split into all channels and none": chain(
        ("x[:, :2]", {}), ("torch.cat(torch.split(x, [2, c - 2], dim=1)[::-1], 1)", {})
    ),
    # d978a41: ValueError, zip() argument 2 is longer, in rules_moves.moved: more parts at one size than at another
    "a split of an axis whose length follows the image": chain(("x.transpose(1, 2)", {}), ("x.split(2, 1)[0]", {})),
    # d978a41: RuntimeError of view in the compact network; contiguous() had been taken for nothing
    "a view behind contiguous()": chain(
        ("torch.stack([x, x], dim=1).flatten(1, 2)", {}),
        ("x.view(x.shape[0], 2, -1, x.shape[2], x.shape[3]).permute(0, 2, 1, 3, 4).contiguous().view(x.shape)", {}),
    ),
    # d978a41: KeyError in rules_opaque.own_plane; a static value takes its plane from a reshaped parameter
    "a dead value that is multiplied by reshaped parameters": chain(
        ("m.f(x).tanh() * m.f.bias.view(1, -1, 1, 1)", {"f": "nn.Conv2d(c, 6, 1)"}),
        ("m.scale * x", {"scale": "p(1, c, 1, 1)"}),
        head=MAP_HEAD,
        whole=0.3,
    ),
    # d978a41: silent, 0.2 to 1.7 of the scale; Identity and Dropout gave their input itself, which was written into later
    "an in-place write into what an identity gave": chain(
        ("((t := x * 2), (u := m.f(t)), u.relu_(), t)[3]", {"f": "nn.Identity()"}), head=MAP_HEAD
    ),
    "an in-place write into what an identity took": chain(
        ("((t := x * 2), (u := m.f(t)), t.relu_(), u)[3]", {"f": "nn.Identity()"}), head=MAP_HEAD
    ),
    "an in-place write into what a dropout took": chain(
        ("((t := x * 2), (u := m.f(t)), operator.imul(t, -1.5), u)[3]", {"f": "nn.Dropout2d(0.4)"}), head=MAP_HEAD
    ),
    # d978a41: RuntimeError in rules_layers.by_input: an index of -1, elements that the slice left out
    "a flatten of a slice of the plane": chain(
        ("x[..., 1:]", {}), head=Step("head", "m.f(torch.flatten(x, 1))", {"f": "nn.Linear(size, 5)"}), fixed=True
    ),
    # d29697f: dtypes differ; without a parameter to ask, constants became float32
    "a network without parameters": chain(("F.pad(x, (0, 0, 0, 0, 1, 2))", {}), head=MAP_HEAD),
    # d978a41: a UserWarning of torch (an error in tests): a probe of five dimensions, though the value has four
    "a dropout of channels behind a stack": chain(
        ("torch.stack([x, x], 2).flatten(1, 2)", {}), ("m.f(x)", {"f": "nn.Dropout2d(0.4)"})
    ),
}


@pytest.mark.parametrize("name", REGRESSIONS)
def test_what_went_wrong_once_stays_right(name):
    case = REGRESSIONS[name]
    assert len(nets.build(case).kept) == len(case.steps) + 1, "every step of the case must fit"
    outcome = checking.check(case)
    assert outcome.verdict == "equal", f"{outcome.where}: {outcome.message}\n{outcome.detail}"
