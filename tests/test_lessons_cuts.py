"""Lessons on constants, depth, nested networks and curves: what core answers, against oracles; what every step shows."""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from app.lessons import constants as constants_lesson
from app.lessons import curve_numbers, depth_charts, map_charts, nested_charts
from app.lessons import curves as curves_lesson
from app.lessons import depth as depth_lesson
from app.lessons import nested as nested_lesson
from app.lessons.recorded import recorded
from core.errors import BadInput
from core.lessons import constants, depth, digits, nested
from core.nested import extract
from core.trained import trained_network

ROOT = Path(__file__).resolve().parents[1]
LESSONS = {
    "constants": constants_lesson.LESSON,
    "depth": depth_lesson.LESSON,
    "nested": nested_lesson.LESSON,
    "curves": curves_lesson.LESSON,
}
STEPS = [(key, number) for key, lesson in LESSONS.items() for number in range(1, len(lesson.steps) + 1)]
PAD = {"zeros": {"mode": "constant"}, "reflect": {"mode": "reflect"}}


def convolved(channels, weight, padding):
    """A convolution by its definition: (C, H, W) with (O, C, 3, 3) gives (O, H', W')."""
    if padding != "none":
        channels = np.pad(channels, ((0, 0), (1, 1), (1, 1)), **PAD[padding])
    side = channels.shape[1] - 2
    out = np.zeros((len(weight), side, side))
    for o in range(len(weight)):
        for r in range(side):
            for c in range(side):
                out[o, r, c] = sum(
                    channels[i, r + a, c + b] * weight[o, i, a, b]
                    for i in range(len(channels)) for a in range(3) for b in range(3)
                )  # fmt: skip
    return out


def by_hand(shift, padding, seed, without=()):
    """The small network's answer to its image by loops, without some channels, and the bias of its last layer."""
    net = constants.network(shift, padding, seed)
    first, norm, _, second = (
        {name: tensor.detach().numpy() for name, tensor in part.state_dict().items()} for part in net.children()
    )
    data = constants.digits()
    image = data.normalise(data.test.images[constants.IMAGE : constants.IMAGE + 1])[0].double().numpy()
    hidden = convolved(image, first["weight"], padding)
    for k in range(len(hidden)):
        hidden[k] = (hidden[k] - norm["running_mean"][k]) / np.sqrt(norm["running_var"][k] + 1e-5) + norm["bias"][k]
    hidden = np.maximum(hidden, 0)
    hidden[list(without)] = 0
    return convolved(hidden, second["weight"], padding)[0] + second["bias"][0], hidden, second["weight"][0]


@pytest.mark.parametrize("shift,padding", [(0.75, "zeros"), (0.75, "reflect"), (1.0, "none"), (-0.5, "zeros")])
def test_what_three_cuts_change_is_what_loops_over_every_window_say(shift, padding):
    told = constants.constants(shift, padding, seed=3)
    whole, hidden, reads = by_hand(shift, padding, 3)
    dropped = by_hand(shift, padding, 3, without=[constants.DEAD])[0]
    lost = max(shift, 0.0) * reads[constants.DEAD].sum()
    assert told["dense"] == pytest.approx(whole, abs=1e-4) and told["said"] == pytest.approx(max(shift, 0.0))
    assert np.ptp(hidden[constants.DEAD]) == 0 and told["steps"]["relu"]["dead"] == pytest.approx(hidden[1], abs=1e-4)
    assert told["reads"] == pytest.approx(reads[constants.DEAD], abs=1e-4) and told["bias"] == pytest.approx(lost)
    for name, by_loops in (("dropped", dropped - whole), ("folded", dropped + lost - whole), ("carried", 0 * whole)):
        assert np.allclose(told["cuts"][name]["difference"], by_loops, rtol=6e-3, atol=1e-12), name
    bias_is_enough = padding != "zeros" or shift <= 0
    assert told["cuts"]["carried"]["certificate"]["verdict"] == "exact"
    assert told["cuts"]["folded"]["certificate"]["verdict"] == ("exact" if bias_is_enough else "failed")
    assert told["cuts"]["dropped"]["certificate"]["verdict"] == ("exact" if shift <= 0 else "failed")
    side = len(whole)
    middle = 8 if padding != "none" else 6
    assert told["macs_per_image"] == 27 * middle**2 + 27 * side**2
    assert told["cuts"]["carried"]["macs_per_image"] == 18 * (middle**2 + side**2)
    assert told["cuts"]["carried"]["macs"] - told["cuts"]["carried"]["macs_per_image"] == (
        0 if bias_is_enough else 9 * side**2
    )


def test_five_cuts_come_to_five_different_ends():
    found = {name: (proof["verdict"], proof["reference"]) for name, proof in constants.verdicts().items()}
    assert found == {
        "dead": ("exact", "unmodified"), "dropped": ("failed", "unmodified"), "small": ("nothing-removed", "unmodified"),
        "chosen": ("exact", "masked"), "constant": ("inconclusive", "unmodified"),
    }  # fmt: skip
    assert found.keys() == constants_lesson.CASES.keys() == recorded("constants")["verdicts"].keys()


def test_a_padding_or_a_shift_that_there_is_none_of_is_refused():
    with pytest.raises(BadInput, match=r"padding must be one of .*got 'zeroes'; did you mean 'zeros'"):
        constants.constants(padding="zeroes")
    with pytest.raises(BadInput, match=r"shift must be a number from -10 to 10; got nan"):
        constants.constants(float("nan"))


def test_recorded_constants_are_what_is_computed_now():
    row = next(r for r in recorded("constants")["rows"] if (r["shift"], r["padding"]) == (0.75, "zeros"))
    now = constants.constants(0.75, "zeros")
    assert np.allclose(row["dense"], now["dense"], atol=1e-3) and row["steps"].keys() == now["steps"].keys()
    assert (
        {r["padding"] for r in recorded("constants")["rows"]}
        == set(constants_lesson.PADDINGS)
        == set(constants.PADDINGS)
    )


@pytest.fixture(scope="module")
def demo():
    """The demo's network as it was trained, and its test images."""
    network, _, dataset, _ = trained_network(depth.DEMO)
    return network, dataset.normalise(dataset.test.images), dataset.test.labels


@torch.no_grad()
def right_without(demo, gone):
    """How many test images are right where hooks silence whole branches; the graph engine has no part in it."""
    network, images, labels = demo
    hooks = [
        network.get_submodule(f"{block}.bn2").register_forward_hook(lambda m, inputs, out: torch.zeros_like(out))
        for block in gone
    ]
    try:
        return int((network(images).argmax(1) == labels).sum())
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("gone", [[], ["stage1.1"], ["stage2.2"], ["stage1.2", "stage3.0"], ["stage2.1", "stage3.1"]])
def test_blocks_crossed_out_answer_as_branches_silenced_by_hooks(demo, gone):
    right, told = right_without(demo, gone), depth.crossed(gone)
    assert round(told["test"]["compact"]["accuracy"] * told["test"]["images"]) == right
    assert told["certificate"]["verdict"] == "exact"
    if "stage2.1" not in gone:
        row = next(row for row in recorded("depth")["choices"]["rows"] if row["gone"] == gone)
        assert (row["right"], row["macs"], row["params"]) == (right, told["macs"], told["params"])


def test_a_block_that_there_is_none_of_is_refused():
    with pytest.raises(BadInput, match=r"block must be one of .*got 'stage4.0'"):
        depth.crossed(["stage4.0"])


@torch.no_grad()
def test_what_a_branch_adds_is_the_square_root_of_the_mean_square(demo):
    network, images, _ = demo
    seen = {}
    block = network.get_submodule("stage1.1")
    hook = block.register_forward_hook(lambda m, inputs, out: seen.update(into=inputs[0].double(), out=out.double()))
    network(images)
    hook.remove()
    row = next(row for row in depth.stream()["blocks"] if row["block"] == "stage1.1")
    into, out = seen["into"].numpy(), seen["out"].numpy()
    assert row["skip"] == pytest.approx(np.sqrt(np.mean(into**2)), rel=1e-5)
    assert row["change"] == pytest.approx(np.abs(out - into).max(), rel=1e-4)
    dead = [row for row in recorded("depth")["stream"]["blocks"] if row["branch"] == 0]
    assert [row["change"] for row in dead] == [0, 0] == [dead[0]["branch"], dead[1]["branch"]]


def test_a_block_of_every_stage_costs_as_many_macs_and_holds_four_times_the_weights_of_the_one_before():
    for name, stages in depth.prices().items():
        assert len({stage["macs"] for stage in stages}) == 1, name
        assert [stage["weights"] / stages[0]["weights"] for stage in stages] == [4**k for k in range(len(stages))]
        assert stages == recorded("depth")["prices"][name]
    two = depth.prices()["resnet20-projection"][0]
    assert (two["weights"], two["macs"]) == (2 * 9 * 16 * 16, 2 * 9 * 16 * 16 * 32 * 32)


def test_the_published_stages_are_those_of_the_papers():
    left = {name: depth_lesson.stages(depth_lesson.published(name))[1] for name in depth_lesson.PLANS}
    assert left["sss-resnet164-cifar10"] == [3, 7, 18] and left["sss-resnet164-cifar100"] == [2, 9, 18]
    assert left["sss-resnet41"] == [0, 4, 6, 3] and left["ssl-resnet20-depth12"] == [2, 0, 3]
    macs, params = depth_lesson.left_of("sss-resnet164-cifar10")
    assert (round(100 * macs, 2), round(100 * params, 2)) == (53.53, 84.75)


def test_a_block_that_came_back_is_not_dead():
    turns = [
        ("collapsed", "stage2.1/block", 35), ("collapsed", "stage2.1.conv1/filter", 35), ("revived", "stage2.1/block", 36),
        ("collapsed", "stage3.1/block", 40), ("collapsed", "stage2.1/block", 50), ("revived", "stage3.1/block", 51),
    ]  # fmt: skip
    assert digits.dead_blocks(turns) == [("stage2.1/block", 50)]


def test_the_recorded_runs_on_digits_are_those_of_the_evidence():
    rows = curve_numbers.rows()
    for run in recorded("digits")["runs"]:
        if run["role"] == "SSS":
            row = rows[f"digits-sss.{run['seed']}"]
            assert run["macs"] == row["macs_per_image"]["compact"] and len(run["blocks"]) == row["removed"]["block"]
            assert run["accuracy"] == pytest.approx(row["accuracy"]["compact"], abs=1 / 360 + 1e-9)
    both = {
        role: [r["macs"] for r in recorded("digits")["runs"] if r["role"] == role] for role in ("SSS", "from scratch")
    }
    assert both["SSS"] == both["from scratch"] and len(both["SSS"]) == 5


@torch.no_grad()
def test_levels_answer_as_the_networks_cut_out_of_them_do_in_double_precision():
    whole, _, data = nested.kept()
    images = data.normalise(data.test.images).double()
    said = []
    for level, row in enumerate(recorded("nested")["levels"]):
        network = extract(whole, level).double().eval()
        said.append(network(images))
        assert row["params"] == sum(p.numel() for p in network.parameters())
        assert row["accuracy"] == pytest.approx(float((said[-1].argmax(1) == data.test.labels).double().mean()))
    for kept in recorded("nested")["answers"][::6]:
        shares = [torch.softmax(one[kept["index"]], 0).tolist() for one in said]
        assert kept["levels"] == [pytest.approx(share, abs=2e-4) for share in shares]
        assert nested.answers(kept["index"])["levels"] == [pytest.approx(share, abs=2e-4) for share in shares]
        assert nested.answers(pixels=kept["pixels"])["levels"] == [pytest.approx(share, abs=2e-4) for share in shares]
    parted = [int((one.argmax(1) != said[-1].argmax(1)).sum()) for one in said]
    assert recorded("nested")["parted"] == parted


def test_a_drawing_of_another_size_is_refused():
    with pytest.raises(BadInput, match=r"pixels must be 8 rows of 8 whole numbers from 0 to 255"):
        nested.answers(pixels=[[0] * 8] * 7)
    with pytest.raises(BadInput, match="draw again"):
        nested.answers(pixels=[[0.5] * 8] * 8)


def test_one_level_lies_in_another_where_it_keeps_no_more_channels_and_no_more_blocks():
    told, sizes = nested.four(), [(0.5, 0.5), (0.5, 1.0), (1.0, 0.5), (1.0, 1.0)]
    assert told["subset_holds"] == {
        f"{j} in {k}": sizes[j][0] <= sizes[k][0] and sizes[j][1] <= sizes[k][1] for k in range(4) for j in range(k)
    }
    assert told == {key: recorded("nested")["four"][key] for key in told}


def test_the_grids_of_weights_show_leading_channels():
    for layer, grid in recorded("nested")["grids"].items():
        rows, columns = len(grid), len(grid[0])
        for r in range(rows):
            for c in range(columns):
                outs = 0 if layer == "fc" else next(k for k, part in enumerate((0.25, 0.5, 1)) if r < part * rows)
                ins = 0 if layer == "conv" else next(k for k, part in enumerate((0.25, 0.5, 1)) if c < part * columns)
                assert grid[r][c] == max(outs, ins), (layer, r, c)


def test_the_curves_numbers_are_those_of_the_rows():
    files = {role: [json.loads((ROOT / f"assets/evidence/rows/digits-sss{role}.{seed}.json").read_text()) for seed in range(5)] for role in ("", ".dense")}  # fmt: skip
    accuracies = {role: [100 * row["accuracy"]["test"] for row in rows] for role, rows in files.items()}
    gaps = [a - b for a, b in zip(accuracies[""], accuracies[".dense"], strict=True)]
    assert curve_numbers.differences() == pytest.approx(gaps) and gaps[curves_lesson.SEED] == max(gaps) > 0
    assert statistics.fmean(gaps) * 3.6 == pytest.approx(-1)  # one of 360 images
    first = curve_numbers.clocks()[0]
    assert first["clocks"]["one CPU thread, batch 128"][0] == pytest.approx(
        sum(r["speed"]["measured"] for r in files[""]) / 5
    )
    assert 1.3 < first["clocks"]["one CPU thread, batch 128"][0] < 1.7 and 2.8 < first["promised"] < 3.2
    assert {row["baseline"] for row in curve_numbers.halved()} == {92.8, 93.4} and len(curve_numbers.halved()) == 5


def test_a_window_at_a_corner_meets_four_cells():
    taps = constants_lesson.taps()
    assert sum(map_charts.inside((0, 0), tap, 8) for tap in taps) == 4
    assert sum(map_charts.inside((0, 3), tap, 8) for tap in taps) == 6
    assert all(map_charts.inside((4, 4), tap, 8) for tap in taps)
    assert map_charts.written(-0.125, ".2f") == "−0.12" and map_charts.written(0.0, ".1f") == "0"


def test_names_of_blocks_and_layers_count_from_one():
    assert depth_charts.label("stage3.1") == "3.2" and nested_charts.layer_name("stage1.0.conv1") == "1.1 conv1"
    assert depth_charts.without(["stage1.0", "stage2.2"]) == "without 1.1 and 2.3"


@pytest.mark.parametrize("key,number", STEPS)
def test_a_step_says_two_sentences_and_its_right_answer_can_be_chosen(key, number):
    step = LESSONS[key].steps[number - 1]
    assert len(re.findall(r"[.?!](?:\s|$)", step.says)) <= 2, step.says
    question = step.question
    right = question.right() if callable(question.right) else question.right
    why = question.why() if callable(question.why) else question.why
    assert (
        right in question.choices
        and 2 <= len(question.choices) <= 4
        and len(set(question.choices)) == len(question.choices)
    )
    assert why.endswith(".") and len(why) > 60


@pytest.fixture
def quiet(monkeypatch, runs):
    """Nothing is asked of the lane."""
    monkeypatch.setattr("app.lessons.here.ask", lambda *a, **k: None)


def drawn(key, numbers, answered, **query):
    """The figures of some steps in one page, before or after the predictions."""
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "import streamlit as st\nfrom app import theme\n"
        f"from app.lessons.{key} import LESSON\n"
        f"theme.style(); st.session_state['lesson-answers'] = {{{key!r}: {{str(n): 'x' for n in {numbers if answered else []}}}}}\n"
        f"for n in {numbers}: LESSON.steps[n - 1].figure()\n"
    )
    at = AppTest.from_string(script, default_timeout=60)
    for name, value in query.items():
        at.query_params[name.replace("_", "-")] = value
    return at.run()


def told_by(at):
    """The titles and sentences of the figures on a page."""
    shown = at.session_state["figures-shown"] if "figures-shown" in at.session_state else {}  # noqa: SIM401 (it has no get)
    figures = [f"{data['title']}: {data['spec']['alt']}" for _, data in shown.values() if "title" in data]
    return " ".join([*figures, *(h.proto.body for h in at.get("html"))])


@pytest.mark.parametrize("answered", [False, True])
@pytest.mark.parametrize("key", LESSONS)
def test_all_figures_of_a_lesson_draw_on_one_sheet(key, answered, quiet):
    at = drawn(key, list(range(1, len(LESSONS[key].steps) + 1)), answered)
    assert not at.exception
    titled = [data for _, data in at.session_state["figures-shown"].values() if "title" in data]
    assert len(titled) + told_by(at).count('class="card-title"') == len(LESSONS[key].steps)


def test_a_figure_keeps_its_answer_until_the_prediction_is_made(quiet):
    before, after = (told_by(drawn("constants", [2], answered)) for answered in (False, True))
    assert "off by" not in before and "off by 0.37 in the middle and by up to 0.98" in after
    before, after = (told_by(drawn("curves", [1], answered)) for answered in (False, True))
    assert "0.6 points better" in before and "−0.28 ± 0.83 points" in after


def test_the_address_moves_the_controls(quiet):
    assert "With this shift" not in told_by(drawn("constants", [2], True))
    silent = told_by(drawn("constants", [2], True, constants_shift_2="−0.5"))
    assert "with this shift the relu says 0" in silent
    assert "from 0 %" in told_by(drawn("curves", [2], False, curves_axis="0 %")).replace("From", "from")


def test_every_choice_of_blocks_draws(quiet):
    at = drawn("depth", [2], True)
    at.button_group[0].set_value(["stage1.0", "stage3.2"]).run() if hasattr(at, "button_group") else at.pills[
        0
    ].set_value(["stage1.0", "stage3.2"]).run()
    assert not at.exception and "Without 1.1 and 3.3" in told_by(at)
