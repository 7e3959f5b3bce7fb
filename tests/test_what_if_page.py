"""The What if page: what is chosen, what it says, the tree of the family."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from test_pages import page, words

from app import whatif_words
from app.app_pages import what_if_board as board
from app.app_pages.family_branches import done, nodes_of
from app.crossing_state import Choice, read
from app.family_tree import family_tree, placed, tree_sentence
from core.data import load
from core.errors import BadInput, WrongMoment
from core.presets import hand_tuned, preset
from core.runs import by_hand
from core.runs.control import new_run
from core.runs.lane import _which
from core.runs.lane_stands import Stands
from core.runs.lane_whatif import WhatIfQuestions
from core.runs.tables import Run
from core.trained import trained_network

SITES = [
    {"site": "a/filter", "kind": "filter", "total": 4, "importance": [0.2, 0.4, 1.0, 2.4], "alive": [True, True, True, True], "closed": ""},
    {"site": "b/filter", "kind": "filter", "total": 2, "importance": [0.1, 1.9], "alive": [False, True], "closed": ""},
    {"site": "s.0/block", "kind": "block", "total": 1, "importance": None, "alive": [True], "closed": ""},
]  # fmt: skip
TOTALS = {row["site"]: row["total"] for row in SITES}


# what is chosen


def test_a_hand_adds_to_a_threshold_and_keeps_from_it():
    now = Choice(cross={"s.0/block": [0]}, threshold=0.5)
    assert now.crossed(SITES) == {"s.0/block": [0], "a/filter": [0, 1]}
    clicked = now.with_site(SITES, "a/filter", [1, 3])
    assert (clicked.cross, clicked.keep) == ({"s.0/block": [0], "a/filter": [3]}, {"a/filter": [0]})
    assert clicked.crossed(SITES)["a/filter"] == [1, 3]
    lower = Choice(clicked.cross, clicked.keep, 0.0)
    assert lower.crossed(SITES)["a/filter"] == [3]
    assert Choice({"b/filter": [0, 1]}).crossed(SITES) == {"b/filter": [1]}  # the first is dead in any case
    assert clicked.with_site(SITES, "a/filter", [0, 1]).keep == {} and clicked.with_site(
        SITES, "a/filter", [0, 1]
    ).cross == {"s.0/block": [0]}


def test_the_address_is_read_or_refused_in_a_sentence():
    texts = {"cross": "a/filter=0-2;s.0/block", "keep": "", "threshold": "0.35", "by": "effect"}
    assert read(texts, TOTALS) == Choice({"a/filter": [0, 1, 2], "s.0/block": [0]}, {}, 0.35, "effect")
    for wrong, said in (
        ({"threshold": "3"}, "threshold must be a number from 0 to 2; got '3'"),
        ({"by": "x"}, "by must be one of l1"),
        ({"cross": "z/filter"}, "crossed site"),
    ):
        with pytest.raises(BadInput, match=said):
            read(texts | wrong, TOTALS)


def test_squares_say_what_they_are():
    cells = board.cells_of(SITES[0], {1}, picked=2)
    assert (
        cells[1].label == "filter 1: importance 0.40 × its layer's mean, crossed out"
        and cells[1].crossed
        and cells[2].picked
    )
    assert cells[3].share == 1.0 and cells[0].share < cells[1].share < cells[2].share
    dead = board.cells_of(SITES[1], {0}, None)[0]
    assert dead.dead and not dead.crossed and "dead since training" in dead.label
    assert (
        board.crossed_words({"a/filter": [1, 2], "s.0/block": [0]}) == "Crossed out so far: a (2), block s.0."
        and board.crossed_words({}) == ""
    )
    assert board.least_words(SITES).startswith("the least important living unit, in a, has 0.20")


# words


def told(macs=50, lost=3, won=1, images=256):
    share = {
        "dense": {"accuracy": 0.9, "low": 0.88, "high": 0.92},
        "compact": {"accuracy": 0.89, "low": 0.87, "high": 0.91},
    }
    return {
        "macs_per_image": {"dense": 100, "compact": macs}, "params": {"dense": 200, "compact": 120}, "refilled": [],
        "sample": {"images": images, **share, "difference": {"value": (won - lost) / images, "low": -0.03, "high": 0.011, "lost": lost, "won": won}},
        "split": {"images": 5000, "seed": 2018},
    }  # fmt: skip


def test_the_price_is_said_with_its_images_and_intervals():
    said = whatif_words.sentence(told(), told(80), {"a/filter": [0, 1], "s.0/block": [0]})
    assert said.startswith(
        "Without 2 filters and 1 block, 50 % of the MACs are left (80 % as the run ended). On 256 validation images drawn once from 5,000, 3 become wrong"
    )
    assert "Nothing is crossed out: 80 % of the MACs are left" in whatif_words.sentence(told(80), told(80), {})
    tiles = {label: (value, note) for label, value, note in whatif_words.tiles(told(), told(80))}
    assert tiles["MACs left"] == ("50.0 %", "50 of 100 · 80 % as it ended")
    assert tiles["accuracy after"] == ("89.0 %", "95 % interval 87.0–91.0 %, 256 images")
    assert tiles["difference"] == ("−0.8 pp", "95 % interval −3.0 to +1.1 pp, same images")


@pytest.mark.parametrize(("verdict", "said"), [
    ("exact", "Removal **exact**: compared with the network with the crossed units masked"), ("inconclusive", "says the same to every image"),
    ("nothing-removed", "nothing is removed"),
])  # fmt: skip
def test_the_verdict_says_what_it_does_not_say(verdict, said):
    proof = {"verdict": verdict, "max_rel": 3e-16, "reference": "masked", "inputs": 32}
    words_ = whatif_words.verdict(proof, told())
    assert said in words_ and ("does not mean that it is free" in words_) == (verdict == "exact")


# the tree


def node(name, parent=None, accuracy=0.9, **more):
    return {
        "id": name,
        "name": name,
        "parent": parent,
        "done": f"made {name}",
        "state": "finished",
        "accuracy": accuracy,
        "macs": 0.5,
    } | more


def test_children_stand_below_each_other_and_a_parent_beside_its_first():
    places = placed(
        [node("a"), node("b", "a"), node("c", "a"), node("d", "b"), node("e", "b"), node("f"), node("g", "gone")]
    )
    assert places == {"a": (0, 0), "b": (1, 0), "d": (2, 0), "e": (2, 1), "c": (1, 2), "f": (0, 3), "g": (0, 4)}


def test_the_tree_says_what_was_done_and_what_is_left():
    nodes = [
        node("a", accuracy=0.97),
        node("b", "a", 0.95, by_hand=True),
        node("c", "a", None, state="queued", macs=None),
    ]
    spec = family_tree(nodes, "b")
    (marks,) = spec["data"]
    assert marks["customdata"] == ["a", "b", "c"] and marks["marker"]["color"][:2] == [97.0, 95.0]
    assert marks["marker"]["symbol"] == ["circle", "circle", "circle-open-dot"] and marks["marker"]["line"][
        "width"
    ] == [1.2, 3.5, 1.2]
    texts = [note["text"] for note in spec["layout"]["annotations"]]
    assert {"made a", "50 % of MACs · 97.0 %", "made c", "queued"} <= set(texts)
    assert len(spec["layout"]["shapes"]) == 6
    assert (
        spec["alt"] == tree_sentence(nodes)
        and "50 % of the MACs are left at 95.0 % test accuracy, from 50 % at 97.0 %; one seed each." in spec["alt"]
    )


def row(name, config, **more):
    return Run(
        id=name,
        created=1.0,
        name="",
        preset="p",
        config=config.model_dump(mode="json"),
        seed=0,
        state="queued",
        **({"family": "a", "role": "method", "parent": None} | more),
    )


def test_an_edge_says_only_what_is_new():
    first = preset("digits-sss").config
    second = hand_tuned(first, "a", {"stage1.0.conv1/filter": [0, 1]}, 5, 0.01)
    third = hand_tuned(second, "b", {"stage2.1/block": [0], "stage1.0.conv1/filter": [2]}, 1, 0.01)
    rows = [
        row("a", first),
        row("b", second, parent="a", role=by_hand.ROLE),
        row("c", third, parent="b", role=by_hand.ROLE),
    ]
    assert (
        done(rows[1], rows[0]) == "2 filters out, 5 epochs"
        and done(rows[2], rows[1]) == "1 filter and 1 block out, 1 epoch"
    )
    assert [(n["id"], n["parent"]) for n in nodes_of(rows)] == [("a", None), ("b", "a"), ("c", "b")]
    assert done(row("d", first, role="dense control"), rows[0]) == "dense control, 120 epochs"


# the page


@pytest.fixture
def lane(monkeypatch):
    """The lane's answers, given in this process."""
    dataset, kept = load("digits"), {}

    def network_of(file):
        if file not in kept:
            network, config, _, epoch = trained_network(Path(file), dataset)
            kept[file] = network, config, epoch
        return kept[file]

    questions = WhatIfQuestions(Stands(_which, network_of, lambda name: dataset))
    named = {"units": questions.units, "whatif": questions.whatif, "whatif_proof": questions.proof}
    asked = []

    def ask(root, question, *, timeout_s=1.0, **details):
        asked.append((question, details))
        try:
            return named[question](**details)
        except BadInput as error:
            raise WrongMoment(str(error)) from None

    monkeypatch.setattr("app.asking.ask", ask)
    return asked


def boards(at):
    """The squares of every board on the page, by what they are of."""
    found = [json.loads(element.proto.json) for element in at.get("bidi_component") if '"cells"' in element.proto.json]
    return {data["of"]: data["cells"] for data in found}


def test_the_recorded_demo_can_be_crossed_out_from_the_address_and_says_its_price(runs, lane):
    at = page("what_if", "demo", cross="stage2.0.conv1/filter=0-30;stage1.0/block", site="stage2.0.conv1/filter")
    assert not at.exception and not at.error
    said = words(at)
    assert (
        "and 1 block" in said
        and "95 % interval" in said
        and f"256 validation images drawn once from {len(load('digits').val)}" in said
    )
    cells = boards(at)
    assert sum(cell["crossed"] for cell in cells["stage2.0.conv1/filter"]) == sum(
        not cell["dead"] for cell in cells["stage2.0.conv1/filter"][:31]
    )
    assert cells["blocks"][0]["crossed"] and not cells["blocks"][1]["crossed"]
    assert "A recorded run is none of yours" in said and not [b for b in at.button if b.key == "whatif-tune"]
    asked = [question for question, _ in lane]
    at.run()
    assert "Removal" in words(at) and "whatif_proof" not in asked  # the proof waits until nothing changes
    at.get_by_key("whatif-clear").click().run()
    assert "Nothing is crossed out" in words(at)
    at.get_by_key("whatif-undo").click().run()
    assert "and 1 block" in words(at)


def test_a_threshold_becomes_units_and_a_wrong_address_a_sentence(runs, lane):
    at = page("what_if", "demo", cross="nowhere/filter=1")
    assert not at.exception and any(
        "The address could not be read: a crossed site must be one of" in w.value for w in at.warning
    )
    at.slider[0].set_value(1.0).run()
    at.run()
    assert "The threshold crosses out" in words(at) and "Without" in words(at)
    assert any(details["crossed"] for question, details in lane if question == "whatif")


def test_fine_tuning_from_here_queues_a_run_of_the_family_and_the_tree_shows_it(run_state, runs, lane, monkeypatch):
    monkeypatch.setattr(by_hand, "submit", new_run)
    run = run_state("finished")
    (runs.root / run / "checkpoints").mkdir()
    file = Path(__file__).parents[1] / "assets" / "demo" / "checkpoints" / "00120.safetensors"
    (runs.root / run / "checkpoints" / file.name).symlink_to(file)
    at = page("what_if", run, cross="stage1.0/block")
    assert not at.exception
    at.get_by_key(f"whatif-epochs-{run}").set_value(3).run()
    at.get_by_key("whatif-tune").click().run()
    assert not at.exception
    (tuned,) = [r for r in runs.family(run) if r.role == by_hand.ROLE]
    assert (
        tuned.config["phases"][0]["epochs"] == 3
        and tuned.config["crossed"] == {"stage1.0/block": [0]}
        and tuned.parent == run
    )
    assert any(tuned.id in s.value for s in at.success) and "2 runs in the family" in words(at)


def test_the_whole_test_set_is_measured_by_the_command_and_said_with_its_intervals(run_state, lane, monkeypatch):
    started = []
    monkeypatch.setattr("app.app_pages.what_if_next.jobs.start", lambda key, *arguments: started.append(arguments))
    run = run_state("queued")
    at = AppTest.from_function(measured, args=(run, {"a/filter": [0, 1, 5]}), default_timeout=30).run()
    at.get_by_key("whatif-measure").click().run()
    assert not at.exception and started == [("whatif", run, "--cross", "a/filter=0-1,5")]
    document = {"test": told(lost=9, won=2, images=360)["sample"], "certificate": {"verdict": "exact"}}
    at.session_state["whatif-measured"] = {f"whatif {run} --cross a/filter=0-1,5": document}
    at.run()
    assert "On all 360 test images: 90.00 % before (95 % interval 88.0–92.0 %)" in words(
        at
    ) and "9 became wrong, 2 right. Removal exact." in words(at)
    assert "whatif-measure" not in {button.key for button in at.button}


def measured(run, crossed):
    from app.app_pages.what_if_next import actions

    actions(run, crossed)


@pytest.mark.parametrize("state", ["running", "queued"])
def test_a_run_that_lives_is_not_crossed_out(state, run_state, lane):
    at = page("what_if", run_state(state))
    assert not at.exception and "no longer changes" in words(at) and not lane
