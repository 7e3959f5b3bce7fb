"""Evidence: rows of runs, what a table lacks, how it is done, and the numbers that are made of rows."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from core.cli_train import train
from core.config import checked
from core.errors import BadInput, WrongMoment
from core.evidence import costs, counting, doing, findings, gains, glance, places, rendering, rows
from core.evidence.tables import TABLES
from core.evidence.wanted import DENSE, METHOD, SCRATCH, SHUFFLED, Table, Wanted, with_controls, with_level_controls
from core.intervals import half_width
from core.nested_presets import random_control
from core.presets import preset
from core.runs import home
from core.runs.control import new_run
from core.runs.folder import RunFolder

BASELINE = {"method": "dense", "epochs": 1, "lr": 0.05, "kinds": []}
PRUNED = {"name": "L1-norm filters", "method": "prune", "epochs": 2, "lr": 0.05, "keep": 0.5, "kinds": ["filter"]}


def config(seed, **changes):
    plain = {"network": "lenet", "dataset": "digits", "batch_size": 256, "measure_every": 0, "phases": [PRUNED]}
    return checked(plain | {"seed": seed} | changes)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A table of one seed with its controls, and an empty folder of rows."""
    monkeypatch.setattr(rows, "FOLDER", tmp_path / "rows")
    table = Table("small", "A small one", "Nothing", tuple(with_controls("small", "LeNet", config(0), 3)))
    monkeypatch.setitem(TABLES, "small", table)
    return table


def test_a_table_is_completed_row_by_row_and_a_row_that_is_gone_comes_back_from_its_run(small, runs, monkeypatch):
    trained, said = [], []

    def watched(store, name):
        trained.append(name)
        return train(store, name)

    state = doing.complete("small", runs, watched, said.append)
    assert state["complete"] and state["rows"] == 3 and len(trained) == 3
    assert said == ["small: small.0, 1 of 3", "small: small.dense.0, 2 of 3", "small: small.scratch.0, 3 of 3"]
    family = {run.role: run for run in runs.all()}
    assert family.keys() == {METHOD, DENSE, SCRATCH} and {run.family for run in family.values()} == {trained[0]}
    assert family[SCRATCH].config["source"] == trained[0], "the shape is that of the method's run"
    file = rows.FOLDER / "small.scratch.0.json"
    before = json.loads(file.read_text())
    kept = json.loads((rows.FOLDER / "small.0.json").read_text())["left"]
    assert kept.keys() == {"conv1/filter", "conv2/filter", "fc1/neuron"} and kept["conv2/filter"] == [25, 50], kept
    assert before["settings"]["source"] == "small.0" and before["tried"] == 1
    assert json.loads((rows.FOLDER / "small.0.json").read_text())["tried"] == 3
    file.unlink()
    assert doing.state(small)["missing"] == ["small.scratch.0"]
    assert doing.complete("small", runs, watched, said.append)["complete"] and len(trained) == 3, (
        "its run is still there"
    )
    assert json.loads(file.read_text()) == before
    row = json.loads((rows.FOLDER / "small.0.json").read_text())
    result = family[METHOD].result
    assert row["weights_sha256"] == result["weights_sha256"] and row["certificate"]["verdict"] == "exact"
    dense = json.loads((rows.FOLDER / "small.dense.0.json").read_text())
    assert (
        dense["conv_macs"] == 20 * 25 * 8 * 8 + 50 * 20 * 25 * 4 * 4 and 0 < row["conv_macs"] < dense["conv_macs"] / 3
    )


def test_a_run_that_stopped_goes_on_and_one_that_lives_is_not_doubled(small, runs):
    name = new_run(runs, config(0), foreground=True)
    runs.set_state(name, "stopped")
    doing.complete("small", runs, train, lambda said: None, only="small.0")
    assert [run.id for run in runs.all()] == [name]
    other = new_run(runs, small.wanted[1].config, foreground=True)
    runs.claim(other, *home.identity())
    with pytest.raises(WrongMoment, match=f"row small.dense.0 must not be trained twice; its run {other} is starting"):
        doing.complete("small", runs, train, lambda said: None)


def test_a_row_of_other_settings_counts_as_missing(small, runs, monkeypatch):
    doing.complete("small", runs, train, lambda said: None, only="dense")
    assert doing.state(small)["rows"] == 1
    longer = replace(small.wanted[1], config=small.wanted[1].config.model_copy(update={"weight_decay": 0.01}))
    assert rows.row_of(longer) is None and rows.row_of(small.wanted[1]) is not None
    elsewhere = replace(small.wanted[1], config=small.wanted[1].config.model_copy(update={"threads": 4}))
    assert rows.row_of(elsewhere) is not None, "where it runs changes nothing of what is asked"


def made(accuracies, role=METHOD, name="", **more):
    """Wanted rows and what they say, a seed each."""
    stem = name or ("t" if role == METHOD else f"t.{role}")
    wanted = [Wanted(f"{stem}.{seed}", "point", config(seed), role, **more) for seed in accuracies]
    proof = {"verdict": "exact", "max_rel": 1e-15}
    row = {
        "certificate": proof,
        "macs_per_image": {"dense": 10, "compact": 4},
        "params": {"dense": 8, "compact": 2},
        "seconds": 3.0,
        "speed": None,
    }
    return wanted, {
        f"{stem}.{seed}": row | {"accuracy": {"compact": value, "test": value, "finetuned": None}} for seed, value in accuracies.items()
    }  # fmt: skip


def test_differences_are_paired_by_seed_and_spreads_are_sample_deviations():
    own, a = made({0: 0.9, 1: 0.94, 2: 0.95})
    other, b = made({1: 0.91, 2: 0.96, 5: 0.5}, DENSE)
    method, control = counting.summary(Table("t", "", "", (*own, *other)), a | b)
    assert method["n"] == 3 and method["difference"] is None
    assert method["accuracy"] == pytest.approx(
        (np.mean([0.9, 0.94, 0.95]), np.std([0.9, 0.94, 0.95], ddof=1)), abs=1e-12
    )
    paired = np.array([0.94, 0.95]) - np.array([0.91, 0.96])
    assert control["difference"] == pytest.approx((paired.mean(), paired.std(ddof=1), 2), abs=1e-12)
    assert method["macs"] == pytest.approx((0.4, 0)) and method["params"] == pytest.approx((0.25, 0))


def test_levels_stand_beside_what_trained_alone():
    levels = [
        {"level": k, "accuracy": {"test": 0.5 + k / 10}, "macs": 10 * (k + 1), "density": (k + 1) / 2, "params": 30 + k, "certificate": {"verdict": "exact", "max_rel": 0.0},
         "speed": None if k else {"measured": 1.5}}
        for k in range(2)
    ]  # fmt: skip
    joint = Wanted("j.0", "point", config(0))
    alone, row = made({0: 0.55}, "level alone", level=0)
    both = {"j.0": {"levels": levels, "consensus": {"average": 0.62, "learned": None}, "seconds": None}, **row}
    lines = counting.summary(Table("t", "", "", (joint, *alone)), both)
    assert [(line["label"], line["role"]) for line in lines] == [
        ("level 0", METHOD), ("level 0", "level alone"), ("level 1", METHOD), ("consensus, average", METHOD),
    ]  # fmt: skip
    assert lines[1]["difference"][0] == pytest.approx(-0.05) and lines[0]["macs"][0] == 0.5
    assert lines[0]["speed"] == (1.5, None) and lines[2]["speed"] is None, (
        "the full level is what others are timed against"
    )
    assert lines[0]["params"][0] == 30 / 31, "norms and heads of its own are counted"
    masked = {"j.0": both["j.0"] | {"levels": [level | {"params": 31} for level in levels]}}
    assert counting.summary(Table("t", "", "", (joint,)), masked)[0]["params"][0] == 0.5, (
        "of masks the weights that are left"
    )
    drawn = replace(joint, role="random masks")
    (only,) = counting.summary(Table("t", "", "", (drawn,)), masked)
    assert only["label"] == "level 0", "the full level has no mask that could be drawn"


def test_every_table_names_its_rows_once_and_every_source_is_a_row():
    for table in TABLES.values():
        points = [(wanted.name, wanted.point) for wanted in table.wanted]
        assert len(set(points)) == len(points), "once for each point"
        assert all(re.fullmatch(r"[\w.-]+", name) for name in table.by_name)
        assert {wanted.config.source for wanted in table.wanted} <= {"", *table.by_name}
        assert set(table.paper) <= {wanted.point for wanted in table.wanted}
        assert all(findings.paper_beside(table, point) for point in table.paper), "the paper's points are known"
        for place, *names in table.pairs.values():
            assert all(gains.printed(place, name) for name in names)
    for wanted in (wanted for table in TABLES.values() for wanted in table.wanted):
        assert checked(wanted.config.model_dump(mode="json")) == wanted.config, "valid settings"
    everywhere = [wanted for table in TABLES.values() for wanted in table.wanted]
    assert all(a.config == b.config for a in everywhere for b in everywhere if a.name == b.name)


def test_nested_controls_are_as_the_paper_has_them():
    roles = [(w.role, w.level) for w in with_level_controls("x", "p", preset("nested-wrn-14-2").config, student=True)]
    assert roles == [
        (METHOD, None), (DENSE, 3), ("level alone", 0), ("level alone", 1), ("level alone", 2), ("student", 0),
    ]  # fmt: skip
    four = list(with_level_controls("x", "p", preset("nested-wrn-14-2").config, student=True, dense="d"))
    coarse = list(with_level_controls("y", "p", preset("nested-wrn-14-2-hierarchy").config, dense="d"))
    assert four[1].name == coarse[1].name == four[5].config.source == "d.dense.0"
    length = preset("nested-wrn-14-2").config.epochs
    assert four[1].config.phases[0].method == "dense" and four[1].config.epochs == length
    masks = [w.role for w in with_level_controls("x", "p", preset("nested-resnet20-weights").config)]
    assert masks == [METHOD, DENSE, "level alone", "level alone", "random masks"]


def test_random_masks_come_after_the_same_dense_training_and_train_for_the_rest():
    config = TABLES["nested-weights"].by_name["nested-weights.0"].config
    control = TABLES["nested-weights"].by_name["nested-weights.random.0"].config
    assert control.phases[0] == config.phases[0] and control.epochs == config.epochs and len(control.phases) == 2
    joint_, random_ = config.phases[-1], control.phases[1]
    assert (random_.masks, random_.starts_from, random_.lr) == ("random", "previous", joint_.lr)
    alone = random_control(
        config.model_copy(
            update={"phases": (joint_.model_copy(update={"starts_from": "scratch", "masks": "magnitude"}),)}
        )
    )
    assert [p.starts_from for p in alone.phases] == ["scratch"] and alone.epochs == joint_.epochs


def test_the_deeper_network_trains_by_the_same_schedule():
    rows_ = TABLES["ssl-resnet20-depth"].by_name
    base, method, deeper = (rows_[f"ssl-resnet20-depth.{name}0"].config for name in ("baseline.", "", "resnet32."))
    assert [(p.epochs, p.lr, p.lr_schedule) for p in deeper.phases] == [
        (p.epochs, p.lr, p.lr_schedule) for p in (*base.phases, *method.phases)
    ]
    assert {p.method for p in deeper.phases} == {"dense"} and deeper.phases[0].starts_from == "scratch"


def test_a_table_that_there_is_not_is_named():
    with pytest.raises(BadInput, match=r"table must be one of .*; got 'digit'; did you mean 'digits'"):
        doing.known("digit")


def test_points_share_a_row_that_is_named_alike_and_it_is_run_once(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "FOLDER", tmp_path / "rows")
    two = [w for point, keep in (("a", 0.5), ("b", 0.3)) for w in with_controls(f"t-{point}", point, config(0, phases=[BASELINE, PRUNED | {"keep": keep, "starts_from": "previous"}]), dense="t", shuffled=True)]  # fmt: skip
    table = Table("t", "", "", tuple(two))
    assert [w.name for w in two] == ["t-a.0", "t.dense.0", "t-a.scratch.0", "t-a.random.0", "t-b.0", "t.dense.0", "t-b.scratch.0", "t-b.random.0"]  # fmt: skip
    assert two[1].config == two[5].config and len(table.by_name) == 7
    assert doing.state(table)["rows"] == 0 and len(doing.state(table)["missing"]) == 7
    own, a = made({0: 0.9}, name="t-a")
    dense, b = made({0: 0.95}, DENSE, name="t.dense")
    shared = Table("t", "", "", (*own, *dense, replace(dense[0], point="other")))
    assert [(line["point"], line["role"]) for line in counting.summary(shared, a | b)] == [("point", METHOD), ("point", DENSE), ("other", DENSE)]  # fmt: skip


def test_epochs_count_those_of_the_run_that_a_row_starts_from():
    before = Wanted("before.0", "point", config(0), "baseline")
    after = config(0, source="before.0", phases=[PRUNED | {"starts_from": "source"}])
    taught = config(0, source="before.0", phases=[PRUNED])
    table = Table("t", "", "", (before, Wanted("a.0", "point", after), Wanted("b.0", "point", taught)))
    assert [counting.epochs_of(wanted, table) for wanted in table.wanted] == [2, 4, 2]


@pytest.mark.parametrize(
    ("difference", "says"),
    [
        ((0.012, 0.004, 3), "1.20 ± 0.40 points better than"),
        ((-0.012, 0.004, 3), "1.20 ± 0.40 points worse than"),
        ((0.003, 0.004, 3), "no clear difference (0.30 ± 0.40 points) to"),
        ((-0.012, None, 1), "1.20 points worse (one seed) than"),
    ],
)
def test_a_difference_within_the_spread_is_called_none(difference, says):
    assert findings.compared(difference) == says


def test_a_finding_says_what_is_reached_and_how_it_stands_against_every_control(monkeypatch):
    own, a = made({0: 0.990, 1: 0.992, 2: 0.991}, name="own")
    dense, b = made({0: 0.993, 1: 0.9935, 2: 0.993}, DENSE, name="dense")
    random, c = made({0: 0.95, 1: 0.96, 2: 0.95}, SHUFFLED, name="random")
    table = Table("t", "", "", (*own, *dense, *random))
    monkeypatch.setattr(findings, "recorded", lambda table: a | b | c)
    assert findings.findings(table) == [
        "Point: 0.90 ± 0.10 % test error with 40.0 % of the MACs (n = 3); 0.22 ± 0.08 points worse than the dense network trained equally long; "
        "3.77 ± 0.49 points better than a random mask of its shape."
    ]


def test_a_finding_of_masks_says_which_share_of_the_weights_is_kept(monkeypatch):
    own, a = made({0: 0.99})
    masked = {"t.0": a["t.0"] | {"macs_per_image": {"dense": 10, "compact": 10}}}
    monkeypatch.setattr(findings, "recorded", lambda table: masked)
    assert findings.findings(Table("t", "", "", tuple(own))) == [
        "Point: 1.00 % test error with 25.0 % of the weights (n = 1)."
    ]


def test_a_finding_says_loudly_that_nothing_was_removed_but_of_levels(monkeypatch):
    own, a = made({0: 0.99})
    whole = {
        "macs_per_image": {"dense": 10, "compact": 10},
        "params": {"dense": 8, "compact": 8},
        "certificate": {"verdict": "nothing-removed", "max_rel": 0.0},
    }
    monkeypatch.setattr(findings, "recorded", lambda table: {"t.0": a["t.0"] | whole})
    assert findings.findings(Table("t", "", "", tuple(own))) == [
        "Point: 1.00 % test error, and nothing was removed (n = 1)."
    ]
    scattered = a["t.0"] | whole | {"density": 0.3}
    monkeypatch.setattr(findings, "recorded", lambda table: {"t.0": scattered})
    assert "with 30.0 % of the weights, and nothing was removed" in findings.findings(Table("t", "", "", tuple(own)))[0]
    monkeypatch.setattr(findings, "recorded", lambda table: {"t.0": a["t.0"] | whole})
    level = (replace(own[0], level=1),)
    assert findings.findings(Table("t", "", "", level)) == ["Level 1: 1.00 % test error (n = 1)."]


def test_a_finding_tells_where_structures_went_stage_by_stage(monkeypatch):
    own, a = made({0: 0.99, 1: 0.99})
    left = {
        "stage1.0.conv1/filter": [4, 16],
        "stage1.1.conv1/filter": [8, 16],
        "stage2.0.conv1/filter": [24, 32],
        "stage1.0/block": [0, 1],
        "stage2.0/block": [1, 1],
    }
    settings = {"phases": [{"kinds": []}, {"kinds": ["filter", "block"]}]}
    a["t.0"] |= {"left": left | {"stage1.0.conv1/layer": [1, 1]}, "settings": settings}
    a["t.1"] |= {"left": left | {"stage1.0/block": [1, 1]}, "settings": settings}
    assert places.by_stage(list(a.values())) == {
        "filter": {1: ([12, 12], 32), 2: ([24, 24], 32)},
        "block": {1: ([0, 1], 1), 2: ([1, 1], 1)},
    }
    monkeypatch.setattr(findings, "recorded", lambda table: a)
    *_, went = findings.findings(Table("t", "", "", tuple(own)))
    assert (
        went == "Point, alive at the end in stages 1 / 2: filters 38 / 75 %; blocks 0.5 ± 0.707 / 1 of 1 / 1 (n = 2)."
    )
    assert places.where_they_went([{"left": {"conv1/filter": [3, 4]}, "settings": settings}]) is None, (
        "LeNet has no stages"
    )


def test_a_share_that_differs_from_seed_to_seed_has_its_spread():
    settings = {"phases": [{"kinds": ["filter"]}]}
    rows = [{"left": {"stage1.0.conv1/filter": [alive, 50]}, "settings": settings} for alive in (20, 25, 30)]
    assert places.where_they_went(rows) == "alive at the end in stages 1: filters 50 ± 10 % (n = 3)."


def test_settings_are_told_as_they_were_chosen():
    own, rows_ = made({0: 0.99})
    table = Table("t", "", "", (replace(own[0], tried=4),), chosen="by the layers they leave")
    rows_["t.0"] |= {"conditions": {"cpu": "x", "precision": "float32", "torch": "2"}}
    assert "settings chosen by the layers they leave among 4;" in rendering.conditions(table, rows_)
    other = Wanted("other.0", "other", config(0))
    several = replace(table, wanted=(*table.wanted, replace(other, name="third.0", point="third", tried=2), other))
    all_there = rows_ | dict.fromkeys(("third.0", "other.0"), rows_["t.0"])
    assert "among 4 (point) and 2 (third); one setting each of other;" in rendering.conditions(several, all_there)
    assert "settings chosen by the layers they leave among 4;" in rendering.conditions(several, rows_)
    assert rendering.conditions(replace(table, note="All alike."), rows_).endswith("torch 2. All alike.")


def test_a_nested_training_costs_what_it_takes_beside_networks_of_its_levels():
    table = TABLES["nested-channels"]
    seconds = {"nested-channels.0": 90, "nested-channels.alone0.0": 40, "nested-channels.dense.0": 60}
    seconds |= {"nested-channels.1": 110, "nested-channels.alone0.1": 45, "nested-channels.dense.1": 55}
    seconds |= {
        "nested-channels.2": 1,
        "nested-channels.dense.2": 55,
        "nested-channels.filters.2": 7,
    }  # no network of level 0
    rows_ = {name: {"processor_seconds": value} for name, value in seconds.items()}
    assert costs.times_as_long(table, rows_) == pytest.approx([0.9, 1.1])
    said = costs.cost_of_training(table, rows_)
    assert (
        said.startswith(
            "Training both levels together took 1.00 ± 0.14 times the processor time of training two networks"
        )
        and "n = 2" in said
    )
    assert costs.cost_of_training(TABLES["ssl-lenet"], {}) is None


@pytest.mark.parametrize(
    ("ours", "begins"),
    [
        ((0.03, 0.01, 3), "As in the paper"),
        ((-0.03, 0.01, 3), "Other than in the paper"),
        ((0.02, 0.01, 3), "Not clear here"),
        ((0.02, None, 1), "Of one seed, so not judged"),
    ],
)
def test_what_the_paper_finds_is_said_to_hold_or_not(ours, begins):
    known = gains.Gain("level 0", "level alone", ours, 0.003, "cited")
    (said,) = gains.beside_the_paper([known, replace(known, label="level 9", paper=None)])
    assert (
        said.startswith(begins)
        and "level 0 against level alone" in said
        and "(there +0.30)" in said
        and "level 9" not in said
    )


@pytest.mark.parametrize(
    ("difference", "says"),
    [((0.01, 0.003, 3), "▲ +1.00 ± 0.30"), ((-0.01, 0.003, 3), "▼ −1.00 ± 0.30"), ((-0.00001, 0.01, 3), "≈ +0.00 ± 1.00"), ((0.0057, None, 1), "+0.57"), (None, "")],
)  # fmt: skip
def test_a_glance_marks_what_is_beyond_the_spread_and_nothing_of_one_seed(difference, says):
    assert glance.cell(difference) == says


def test_a_glance_has_a_row_for_each_point_that_has_a_control(monkeypatch):
    own, a = made({0: 0.9, 1: 0.94})
    dense, b = made({0: 0.95, 1: 0.97}, DENSE)
    alone = Wanted("alone.0", "uncontrolled", config(0))
    table = Table("t", "Its title", "", (*own, *dense, alone))
    monkeypatch.setattr(glance, "TABLES", {"t": table})
    monkeypatch.setattr(glance, "recorded", lambda table: a | b | {"alone.0": a["t.0"]})
    (row,) = glance.glance()
    assert (row.table, row.point, row.n, row.left) == ("Its title", "point", 2, "40.0 % of MACs")
    assert row.against[DENSE] == pytest.approx((-0.04, np.std([0.05, 0.03], ddof=1), 2))
    said = glance.table_of_all()
    assert "| Its title | point | 2 | 40.0 % of MACs | ≈ −4.00 ± 1.41 |" in said and "scratch control" not in said
    masked = {name: row | {"macs_per_image": {"dense": 10, "compact": 10}} for name, row in a.items()}
    monkeypatch.setattr(glance, "recorded", lambda table: masked | b)
    assert glance.glance()[0].left == "25.0 % of weights"


def test_a_consensus_is_set_beside_the_full_level():
    level = {"macs": 1, "density": 1, "params": 1, "certificate": {"verdict": "exact", "max_rel": 0.0}}
    rows_ = {
        f"j.{seed}": {"levels": [level | {"level": k, "accuracy": {"test": 0.5 + k / 10}} for k in range(2)], "consensus": {"average": 0.62 + seed / 100}, "seconds": None}
        for seed in range(2)
    }  # fmt: skip
    other = {name.replace("j", "r"): row for name, row in rows_.items()}
    random = [Wanted(name, "point", config(seed), "random masks") for seed, name in enumerate(other)]
    table = Table("t", "", "", (*(Wanted(name, "point", config(seed)) for seed, name in enumerate(rows_)), *random))
    lines = counting.summary(table, rows_ | other)
    assert [line["label"] for line in lines if line["role"] == "random masks"] == ["level 0"]
    together = lines[-1]
    assert together["label"] == "consensus, average" and together["over_full"][0] == pytest.approx(0.025)
    assert together["over_full"][2] == 2


def test_macs_are_of_convolutions_where_the_paper_counts_those_and_its_point_stands_beside(monkeypatch):
    point = "filters, row 2"
    wanted = next(w for w in TABLES["ssl-lenet"].wanted if w.point == point and w.role == METHOD)
    row = {
        "accuracy": {"compact": 0.98, "finetuned": 0.993}, "certificate": {"verdict": "exact", "max_rel": 1e-15}, "params": {"dense": 4, "compact": 1},
        "macs_per_image": {"dense": 10, "compact": 2}, "conv_macs": 3, "conv_macs_dense": 8, "speed": None, "seconds": 1.0,
    }  # fmt: skip
    (line,) = counting.summary(TABLES["ssl-lenet"], {wanted.name: row})
    assert line["macs"] == (0.375, None) and line["accuracy"] == (0.993, None)
    assert findings.paper_beside(TABLES["ssl-lenet"], point).error == 0.8
    assert findings.paper_beside(TABLES["ssl-lenet"], "filters, beyond") is None
    monkeypatch.setattr(findings, "recorded", lambda table: {wanted.name: row})
    assert findings.findings(TABLES["ssl-lenet"]) == [
        "Filters, row 2: 0.70 % test error with 37.5 % of the MACs of convolutions (n = 1; the paper: 0.8 % with 10.2 %, MACs derived)."
    ]


def test_a_control_that_is_another_network_costs_what_it_is_more_than_the_methods():
    own, a = made({0: 0.9}, name="own")
    deeper = [replace(w, config=w.config.model_copy(update={"network": "resnet32"})) for w in made({0: 0.92}, "ResNet-32", name="deep")[0]]  # fmt: skip
    row = a["own.0"] | {"macs_per_image": {"dense": 15, "compact": 15}, "params": {"dense": 16, "compact": 16}}
    _, line = counting.summary(Table("t", "", "", (*own, *deeper)), a | {"deep.0": row})
    assert line["role"] == "ResNet-32" and (line["macs"][0], line["params"][0]) == (1.5, 2.0)
    assert line["difference"][0] == 0


def test_a_mean_of_pairs_is_judged_by_students_interval():
    from scipy import stats

    pairs = np.array([-0.0036, 0.0002, -0.0068])
    low, high = stats.ttest_rel(pairs, np.zeros(3)).confidence_interval(0.95)
    assert half_width(pairs.std(ddof=1), 3) == pytest.approx((high - low) / 2)
    assert counting.judged((pairs.mean(), pairs.std(ddof=1), 3)) == 0 and low < 0 < high
    assert counting.judged((0.03, 0.01, 3)) == 1 and counting.judged((-0.03, 0.01, 3)) == -1
    assert counting.judged((0.03, None, 1)) is None


def test_a_row_tells_when_units_died_and_what_collapsed_for_good(tmp_path):
    folder = RunFolder(tmp_path)
    alive = [
        {"a/filter": 4, "b/filter": 4},
        {"a/filter": 4, "b/filter": 0},
        {"a/filter": 0, "b/filter": 2},
        {"a/filter": 0, "b/filter": 2},
    ]
    events = [{"type": "epoch_done", "epoch": epoch, "alive": counts} for epoch, counts in enumerate(alive)]
    events += [
        {"type": kind, "epoch": epoch, "site": site}
        for kind, epoch, site in (
            ("collapsed", 1, "b/filter"),
            ("collapsed", 2, "a/filter"),
            ("revived", 2, "b/filter"),
        )
    ]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    assert rows._deaths(folder) == [1, 2] and rows._collapsed(folder) == [[2, "a/filter"]]
    assert rows._left(folder, {}) == {"a/filter": [0, 4], "b/filter": [2, 4]}
    assert rows._left(folder, {"why": {"sites": [{"site": "a/filter", "total": 6}]}})["a/filter"] == [0, 6]
