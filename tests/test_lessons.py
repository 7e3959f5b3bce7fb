"""What the lessons compute, against other formulations in float64; and every step of every lesson, drawn without a browser."""

import json
import math
import re
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_pages import no_processes, page, words  # noqa: F401 (a fixture)
from typer.testing import CliRunner

from app.lessons import LESSONS, nested, progress
from app.lessons.recorded import FOLDER
from core import lessons
from core.cli import app
from core.errors import BadInput
from core.lessons import corner, factors, proximal_step, recording, zeros
from core.runs.lane import Lane

CENTRES = [(1.0, 0.25), (-1.5, 1.25), (0.3, 0.1), (0.0, 0.0), (2.0, 2.0)]
STEPS = [(lesson, number) for lesson in LESSONS for number in range(1, len(lesson.steps) + 1)]


# Lesson 2


def l1_by_coordinates(c, h, strength):
    """argmin 1/2 (w-c)'H(w-c) + strength sum |w|, one weight at a time."""
    w = np.zeros(2)
    for _ in range(300):
        for i in (0, 1):
            pull = h[i] @ c - h[i, 1 - i] * w[1 - i]
            w[i] = math.copysign(max(0.0, abs(pull) - strength), pull) / h[i, i]
    return w


def group_by_its_length(c, h, strength):
    """The same with the norm: zero, or (H + strength / r) w = H c with r = ||w|| found by bisection."""
    if np.linalg.norm(h @ c) <= strength:
        return np.zeros(2)
    if strength == 0:
        return c
    low, high = 1e-9, 100.0
    for _ in range(200):
        r = (low + high) / 2
        w = np.linalg.solve(h + strength / r * np.eye(2), h @ c)
        low, high = (r, high) if np.linalg.norm(w) > r else (low, r)
    return w


ORACLES = {
    "l1": l1_by_coordinates,
    "group": group_by_its_length,
    "ridge": lambda c, h, strength: np.linalg.solve(h + strength * np.eye(2), h @ c),
}


@pytest.mark.parametrize("shape", corner.SHAPES)
@pytest.mark.parametrize("penalty", corner.KINDS)
def test_the_minimum_is_the_one_another_solution_finds(penalty, shape):
    h = np.array(corner.SHAPES[shape])
    for strength in (0.0, 0.5, 1.0):
        found = corner.minima(penalty, strength, shape, CENTRES)["minima"]
        for centre, w in zip(CENTRES, found, strict=True):
            assert w == pytest.approx(ORACLES[penalty](np.array(centre), h, strength), abs=1e-9)


def test_where_strength_and_pull_are_equal_the_minimum_is_exactly_zero():
    assert corner.minima("l1", 0.25, "round", [(1.0, 0.25)])["minima"][0] == [0.75, 0.0]
    assert corner.minima("group", 0.5, "round", [(0.0, 0.5)])["minima"][0] == [0.0, 0.0]


def test_only_the_group_lasso_empties_one_group_and_keeps_the_other_whole():
    dead = {p: [sum(v == 0 for v in g) for g in corner.groups(p, 0.8)["minimum"]] for p in corner.KINDS}
    assert dead["group"] == [0, 3] and dead["ridge"] == [0, 0] and dead["l1"][0] > 0
    for strength in (0.3, 0.8):
        for g, w in zip(corner.GROUPS, corner.groups("group", strength)["minimum"], strict=True):
            length = math.hypot(*g)
            assert w == pytest.approx([v * max(0.0, 1 - strength / length) for v in g], abs=1e-12)


# Lesson 3


def test_single_numbers_are_shrunk_or_pushed_by_as_much_as_is_said():
    told = proximal_step.values(0.5)
    for z, soft, pushed in zip(told["before"], told["proximal"], told["subgradient"], strict=True):
        assert soft == pytest.approx(math.copysign(max(0.0, abs(z) - 0.5), z), abs=1e-15)
        assert pushed == pytest.approx(z - 0.5 * ((z > 0) - (z < 0)), abs=1e-15)
    assert told["proximal"][told["before"].index(0.3)] == 0.0


@pytest.mark.parametrize("solver", proximal_step.SOLVERS)
def test_the_row_of_norms_walks_as_single_numbers_do_along_their_own_line(solver):
    strength, lr = 0.5, 0.2
    now = list(proximal_step.NORMS)
    for row in proximal_step.row(solver, strength, lr)["norms"]:
        assert row == pytest.approx([abs(w) for w in now], abs=1e-12)
        for k, held in enumerate(proximal_step.NORMS):
            pulled = now[k] - lr * (now[k] - held)
            slope = (now[k] > 0) - (now[k] < 0)
            now[k] = max(0.0, pulled - lr * strength) if solver == "proximal" else pulled - lr * strength * slope


@pytest.mark.parametrize("momentum", (0.5, 0.9))
def test_behind_momentum_a_threshold_of_rate_times_strength_acts_as_a_smaller_strength(momentum):
    told = proximal_step.THRESHOLDS, (0.5 * (1 - momentum), 0.5)
    for threshold, acts in zip(*told, strict=True):
        ends = proximal_step.row("proximal", 0.5, 0.05, momentum, threshold, 400)["norms"][-1]
        assert ends == pytest.approx([max(0.0, held - acts) for held in proximal_step.NORMS], abs=1e-6)


# Lesson 4


def test_a_norm_divides_the_factor_before_it_out_and_keeps_the_one_behind_it():
    told = factors.place([1.0, 0.5, 0.1, 0.0])
    assert told["behind"] == pytest.approx([1.0, 0.5, 0.1, 0.0], abs=2e-3)
    assert told["before"] == pytest.approx([1.0, 1.0, 1.0, 0.0], abs=2e-3)


def test_a_small_run_tells_every_epoch_and_a_stronger_penalty_leaves_smaller_factors():
    weak, strong = (factors.run(strength, epochs=1) for strength in (0.0, 0.08))
    for told in (weak, strong):
        assert told["total"] == 112 and [len(told[key]) for key in ("factors", "alive", "accuracy")] == [2, 2, 2]
        assert told["factors"][0] == [1.0] * 16
    assert sum(strong["factors"][1]) < sum(weak["factors"][1]) - 1 and weak["verdict"] == "nothing-removed"


# Lesson 1


@pytest.mark.parametrize("way", zeros.WAYS)
@pytest.mark.parametrize("protocol", ("sweep", "convolution-1"))
def test_what_is_timed_computes_what_it_says(protocol, way):
    dense, left, x, promised = zeros.made(protocol, way, 0.8)
    assert promised == pytest.approx(5, rel=0.01)
    if protocol == "sweep":
        full = dense.matrices[0]
        matrix = left.matrices[0].to_dense() if way == "csr" else left.matrices[0]
        assert matrix.numel() / int(matrix.count_nonzero()) == pytest.approx(1 if way == "removed" else 5, rel=1e-3)
        want = matrix.double() @ x[0].double()[: matrix.shape[1]]
        assert torch.allclose(left(x)[0].double(), want, atol=1e-3) and full.shape == (384, 2304)
    else:
        weight = next(p for p in dense.parameters() if p.ndim == 4)
        if way != "dense":  # the same zeros on both sides: the answers are the same
            assert torch.allclose(dense(x), left(x), atol=1e-2) and int((weight == 0).sum()) > 0
        else:
            zeroed = next(p for p in left.parameters() if p.ndim == 4)
            assert int((weight == 0).sum()) == 0 and float((zeroed == 0).float().mean()) == pytest.approx(0.8, abs=1e-4)
            assert torch.allclose(left(x), F.conv2d(x, zeroed, padding=1), atol=1e-2)


def test_a_timing_tells_its_conditions():
    told = zeros.product(0.9, 7)
    assert set(told["rows"]) == set(zeros.WAYS) and told["layer"] == "conv3"
    for row in told["rows"].values():
        assert row["n"] == 7 and row["threads"] == 1 and row["batch"] == 1 and row["cpu"]
        assert 0 < row["low"] <= row["measured"] <= row["high"]


# What is recorded


def test_the_recordings_are_small_and_say_what_they_were_made_of_and_on():
    files = sorted(FOLDER.glob("*.json"))
    mine = {"corner", "factors", "proximal_step", "zeros"}
    assert mine <= {file.stem for file in files} == set(lessons.RECORDED)
    assert sum((FOLDER / f"{name}.json").stat().st_size for name in mine) < 150_000
    for file in files:
        told = json.loads(file.read_text())
        assert {"name", "config", "seed", "versions", "cpu", "date"} <= set(told) and told["name"] == file.stem


def test_what_is_recorded_is_what_the_code_says_today():
    told = json.loads((FOLDER / "corner.json").read_text())
    for shape, penalty, strength in (("round", "group", 0.5), ("tilted", "l1", 0.75)):
        rows = told["minima"][shape][penalty][f"{strength:g}"]
        centres = [(x, y) for x in told["across"] for y in told["up"]]
        assert len(rows) == len(centres)
        now = corner.minima(penalty, strength, shape, centres)["minima"]
        assert np.allclose(rows, now, atol=6e-4) and [0 in r for r in rows] == [0 in r for r in now]
    told = json.loads((FOLDER / "proximal_step.json").read_text())
    assert np.allclose(told["row"]["subgradient"]["1"], proximal_step.row("subgradient", 1.0)["norms"], atol=1e-4)
    told = json.loads((FOLDER / "factors.json").read_text())
    assert told["place"] == factors.place()


def test_recording_writes_each_lesson_with_its_conditions(monkeypatch, tmp_path):
    monkeypatch.setattr(recording, "RECORDED", {"one": lambda: {"config": {}, "seed": 3}})
    (file,) = recording.record(["one"], tmp_path)
    assert json.loads(file.read_text()).items() >= {"name": "one", "seed": 3, "config": {}}.items()
    with pytest.raises(BadInput, match="lesson to record must be one of one"):
        list(recording.record(["two"], tmp_path))


# From the command line and the lane


@pytest.mark.parametrize(
    ("name", "details", "says"),
    [
        ("corner-minimum", {}, "question of a lesson.*corner-minima"),
        ("corner-minima", {"strenght": 1}, "strength"),
        ("corner-minima", {"strength": -1}, "strength must be from 0 to 10; got -1"),
        ("corner-minima", {"shape": "square"}, "shape"),
        ("corner-minima", {"penalty": "l3"}, "penalty"),
        ("corner-minima", {"centres": [[1]]}, "centres must be a list of pairs"),
        ("step-row", {"solver": "paper"}, "solver"),
        ("step-row", {"steps": 5000}, "steps must be from 0 to 2000"),
        ("zeros-product", {"sparsity": 1.0}, "sparsity must be more than 0 and at most 0.99; got 1.0"),
        ("zeros-layer", {"pairs": 1}, "pairs must be from 7 to 1000"),
        ("factors-place", {"sizes": []}, "sizes must be numbers from 0 to 10"),
    ],
)
def test_a_question_there_is_none_of_is_refused_with_a_sentence(name, details, says):
    with pytest.raises(BadInput, match=says):
        lessons.answered(name, details)


def test_the_lane_and_the_command_line_answer_alike():
    lane = Lane(None)
    try:
        asked = {"token": lane.token, "question": "lesson", "name": "corner-groups", "details": {"strength": 0.8}}
        answer = lane.answer(asked)
    finally:
        lane.server_close()
    printed = CliRunner().invoke(app, ["lesson", "corner-groups", "--set", "strength=0.8", "--json"])
    assert json.loads(printed.stdout) == answer == corner.groups("group", 0.8)
    listed = CliRunner().invoke(app, ["lesson", "--json"])
    assert json.loads(listed.stdout)["questions"] == list(lessons.QUESTIONS)


# Every step


def sentences(text):
    """How many sentences a text has; a point inside a number, or of "et al.", ends none."""
    return len(re.findall(r"[.?!](?=\s|$)", text.replace("et al. ", "et al ")))


@pytest.mark.parametrize(("lesson", "number"), STEPS, ids=lambda x: getattr(x, "key", x))
def test_a_step_says_two_sentences_and_its_right_answer_is_one_of_its_choices(lesson, number):
    step = lesson.steps[number - 1]
    assert 1 <= sentences(step.says) <= 2, step.says
    assert step.question is not None
    right, why = step.question.right, step.question.why
    assert (right() if callable(right) else right) in step.question.choices
    assert 2 <= len(step.question.choices) <= 4 and len(set(step.question.choices)) == len(step.question.choices)
    assert 1 <= sentences(why() if callable(why) else why) <= 2


TABLE = ("constants", 5)  # the one step that shows a table instead of a figure


def specs(at):
    """The figures that the page sends."""
    sent = [json.loads(b.proto.json) for b in at.get("bidi_component") if '"spec"' in b.proto.json]
    return [one.get("whole", {}).get("spec", {}) for one in sent]


@pytest.mark.parametrize(("lesson", "number"), STEPS, ids=lambda x: getattr(x, "key", x))
def test_a_step_draws_its_figure_before_and_after_the_answer(lesson, number, runs):
    at = page("learn", lesson=lesson.key, step=str(number))
    assert not at.exception and not at.error
    step = lesson.steps[number - 1]
    drawn = specs(at)
    assert (drawn or (lesson.key, number) == TABLE) and all(spec["alt"] for spec in drawn)
    wrong = next(c for c in step.question.choices if c != (step.question.right() if callable(step.question.right) else step.question.right))  # fmt: skip
    at.button(key=f"choice-{lesson.key}-{number}-{step.question.choices.index(wrong)}").click().run()
    assert not at.exception and not at.error
    said = words(at)
    assert "Not this time." in said and f"{wrong.replace('×', '×')} (your prediction)" in said.replace("&#x27;", "'")
    assert not any(b.key.startswith("choice-") for b in at.button)


def test_a_lesson_is_walked_through_and_started_over(runs):
    lesson = LESSONS[0]
    at = page("learn")
    assert {f"begin-{one.key}" for one in LESSONS} <= {b.key for b in at.button}
    at.button(key=f"begin-{lesson.key}").click().run()
    assert at.query_params["lesson"] == lesson.key and at.button(key="step-back").disabled
    at.button(key=f"choice-{lesson.key}-1-0").click().run()
    for number in range(1, len(lesson.steps)):
        at.button(key="step-next").click().run()
        assert at.query_params["step"] == str(number + 1), "a step can be skipped"
    assert at.button(key="step-next").label == "Done"
    at.button(key="start-over").click().run()
    assert at.query_params["step"] == "1" and not at.session_state[progress.ANSWERS].get(lesson.key)
    for _ in lesson.steps:
        at.button(key="step-next").click().run()
    assert "lesson" not in at.query_params and not at.exception


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"lesson": "nothing"}, "There is no lesson “nothing”"),
        ({"lesson": "zeros", "step": "77"}, "has steps 1 to 5; the link asks for step 77"),
        ({"lesson": "zeros", "step": "two"}, "the link asks for step two"),
    ],
)
def test_a_link_to_nowhere_is_told_in_a_sentence_with_the_lessons_below(query, says, runs):
    at = page("learn", **query)
    assert not at.exception and any(says in w.value for w in at.warning)
    assert any(b.key.startswith("begin-") for b in at.button)


def test_the_teachers_links_lead_to_every_step(runs):
    at = page("learn", view="Teacher's view")
    assert not at.exception
    found = [line for code in at.code for line in code.value.splitlines()]
    asked = [{key: value[0] for key, value in parse_qs(urlsplit(line).query).items()} for line in found]
    assert asked == [{"lesson": lesson.key, "step": str(number)} for lesson, number in STEPS]


def test_the_sheet_has_every_word_and_the_answers_only_where_they_are_wanted(runs):
    at = page("learn", view="Sheet to print")
    assert not at.exception and not at.error
    said = words(at).replace("&#x27;", "'").replace("&quot;", '"').replace("&lt;", "<")
    for lesson, number in STEPS:
        step = lesson.steps[number - 1]
        assert step.says in said and all(choice in said for choice in step.question.choices)
    assert len(specs(at)) == len(STEPS) - 1 and ">Answers<" not in said
    at.toggle(key="sheet-answers").set_value(True)
    at.toggle(key="sheet-figures").set_value(False).run()
    said = words(at)
    assert ">Answers<" in said and not specs(at) and "1 / 0.1 = 10" in said


def test_what_the_browser_kept_comes_back_and_what_is_answered_now_holds(runs):
    kept = {"zeros": {"1": "1.1 ×", "2": "About twice as fast"}, "corner": "nonsense", "proximal-step": {"1": 3}}
    assert progress.sound(kept) == {"zeros": kept["zeros"], "proximal-step": {}} and progress.sound([]) == {}
    at = page("learn", lesson="zeros", step="1")
    at.button(key="choice-zeros-1-3").click().run()
    at.session_state[progress.KEY] = {"kept": kept}
    at.run()
    sent = next(json.loads(b.proto.json) for b in at.get("bidi_component") if '"known"' in b.proto.json)
    assert sent["answers"]["zeros"]["1"] == "10 ×"


@pytest.mark.parametrize(("question", "details", "said"), [
    ("corner-groups", {"strength": "abc"}, "detail strength of corner-groups: Input should be a valid number"),
    ("nested-answers", {"index": "x"}, "detail index of nested-answers"),
])  # fmt: skip
def test_a_detail_of_another_kind_is_refused_in_a_sentence(question, details, said):
    with pytest.raises(BadInput, match=said):
        lessons.answered(question, details)


def test_what_lesson_7_asks_is_what_its_recording_says():
    told = nested.told()
    assert set(nested.IMAGES) <= {one["index"] for one in told["answers"]}
    assert told["images"] / told["parted"][0] == pytest.approx(50, rel=0.2), "the core differs about 1 time in 50"
    assert all(abs(row["accuracy"] - row["alone"]) < 0.05 for row in told["levels"]), "within a few points"
    assert min(row["average"] for row in nested.sources()) < 0 < max(row["learned"] for row in nested.sources())
