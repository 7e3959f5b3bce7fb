"""Levels as settings: every refusal is one sentence with the rule, what came and the remedy; the command line; old runs."""

import json
import sys

import pytest
from nested_parts import config, joint, trained

from core.cli import main
from core.config import RunConfig, checked, with_settings
from core.errors import BadInput
from core.level_settings import words_of
from core.nested_presets import nested_controls
from core.presets import PRESETS, dense_control, preset
from core.trained import trained_network

HALF = {"width": 0.5}
REFUSED = {
    "[]": "levels must be two or more for nested, core first, .*; got 0",
    "3": r'levels must be a list, as in \[\{"width": 0.5\}, \{\}\]; got 3',
    "[0.5, {}]": r'levels.0 must be a level, as in \{"width": 0.5\}; got 0.5',
    '[{"wdth": 0.5}, {}]': "setting must be one of compression, .*; got 'wdth'; did you mean 'width'",
    '[{"width": 0}, {}]': "levels.0.width must be greater than 0; got 0",
    '[{"width": NaN}, {}]': "levels.0.width must be a finite number; got nan",
    '[{"weight": Infinity}, {}]': "levels.0.weight must be a finite number; got inf",
    '[{"compression": 0.5}, {}]': "levels.0.compression must be greater than or equal to 1; got 0.5; the nearest valid value is 1",
    '[{"compression": 2, "width": 0.5}, {}]': "must keep channels and blocks, or single weights, not both; got width or depth with a mask",
    '[{"compression": 2, "tau": 0.1}, {}]': "must have a compression or a tau, not both; got 2 and 0.1; leave one out",
    '[{"labels": "coarse", "dataset": "mnist"}, {}]': "must have labels or a data set of its own, not both; got coarse and mnist",
    '[{"compression": 2}, {"width": 0.5}, {}]': "levels must all keep weights, or all channels and blocks; got both; train two runs",
    '[{"compression": 2}, {"compression": 3}, {}]': r"levels must have compressions that fall, .*; got \[2.0, 3.0\]; as in 3, 2 and 1",
    '[{"tau": 0.1}, {"compression": 2}, {}]': "levels must have compressions that fall, or taus that fall, core first",
    '[{"width": 0.75}, {"width": 0.5}, {}]': "got 0.75 of the channels before 0.5 of the channels; change their order",
    '[{"depth": 0.5}, {"width": 0.5, "depth": 0.5}, {}]': "got 0.5 of the blocks before 0.5 of the channels and 0.5 of the blocks",
    '[{"width": 0.5}, {"labels": "coarse"}]': "and end with the full network, width 1 and depth 1; got 2",
}  # fmt: skip


@pytest.mark.parametrize("levels", REFUSED)
def test_levels_that_are_none_are_refused_in_a_sentence(levels):
    with pytest.raises(BadInput, match=REFUSED[levels]) as caught:
        with_settings(preset("digits-nested").config, {"levels": levels})
    assert "\n" not in str(caught.value)


def test_levels_that_neither_holds_the_other_may_stand_side_by_side():
    kept = config(joint({"width": 0.25, "depth": 0.4}, {"width": 0.25}, {"depth": 0.4})).phases[0].levels
    assert [words_of(level) for level in kept[1:]] == ["0.25 of the channels", "0.4 of the blocks", "everything"]
    assert len(config(joint({"labels": "coarse"})).phases[0].levels) == 2, "the same network with other classes"


SEARCH = {"method": "masks", "kinds": [], "epochs": 1, "compression": 2}
NEXT = SEARCH | {"compression": 3, "starts_from": "previous"}
DENSE = {"method": "dense", "kinds": [], "epochs": 1, "starts_from": "previous"}
FOUND = joint({"compression": 3}, {"compression": 2}, masks="found", starts_from="previous")


@pytest.mark.parametrize(
    "phases",
    [
        (SEARCH, FOUND), (NEXT | {"starts_from": "scratch"}, SEARCH | {"starts_from": "previous"}, FOUND), (SEARCH, NEXT, DENSE, FOUND),
        (SEARCH, NEXT | {"starts_from": "scratch"}, FOUND), (SEARCH, NEXT, FOUND | {"starts_from": "scratch"}),
        (SEARCH | {"compression": 1.5}, SEARCH | {"starts_from": "previous"}, NEXT, FOUND), (FOUND | {"starts_from": "scratch"},),
    ],
)  # fmt: skip
def test_masks_that_were_not_found_right_before_are_refused(phases):
    assert config(SEARCH, NEXT, FOUND) and config(
        DENSE | {"starts_from": "scratch"}, SEARCH | {"starts_from": "previous"}, NEXT, FOUND
    )
    with pytest.raises(
        BadInput, match="masks can be 'found' only by phases of the method masks right before, one for each level below"
    ):
        config(*phases)


def test_a_search_wants_a_compression_or_a_tau():
    for settings, says in (
        ({}, "compression must be above 1 for masks, or tau given; got neither; for example compression=2"),
        ({"compression": 2, "tau": 0.1}, "tau must be empty where compression is given; got both; leave one out"),
    ):
        with pytest.raises(BadInput, match=says):
            config({"method": "masks", "kinds": []} | settings)
    with pytest.raises(BadInput, match="levels must be empty unless the method is nested; got 2 with masks"):
        config(SEARCH | {"levels": [HALF, {}]})


def test_an_old_run_whose_levels_have_width_and_depth_alone_still_loads(tmp_path):
    """As runs were stored before levels could be anything else."""
    settings = config(joint(HALF))
    trained(settings, tmp_path / "run")
    old = settings.model_dump(mode="json")
    new = "tau compression mask_gradient order masks level_norms own_heads distill sandwich alone soft_targets temperature level_mean"
    for phase in old["phases"]:
        for key in new.split():
            phase.pop(key)
        phase["levels"] = [{key: level[key] for key in ("width", "depth")} for level in phase["levels"]]
    assert checked(old) == settings and RunConfig.model_validate(old) == settings
    assert trained_network(tmp_path / "run" / "checkpoints" / "00001.safetensors")[1].phases == settings.phases


def test_presets_move_a_weight_by_its_holders_and_one_network_alone_has_no_such_setting():
    for candidate in PRESETS:
        last = candidate.config.phases[-1]
        if last.method != "nested":
            continue
        assert last.level_mean == "holders" and dense_control(candidate.config).phases[-1].level_mean == "all"
        if any(level.labels for level in last.levels) and candidate.config.dataset != "cifar100":
            continue
        for role, control in nested_controls(candidate.config, "teacher"):
            assert control.phases[-1].level_mean == ("holders" if role == "random masks" else "all"), role


def test_the_control_of_a_nested_run_is_dense():
    for candidate in PRESETS:
        if candidate.config.phases[-1].method == "nested":
            assert all(phase.method == "dense" and not phase.levels for phase in dense_control(candidate.config).phases)
    assert dense_control(config(joint(HALF, alone=0, sandwich=True))).phases[0].method == "dense"


@pytest.mark.parametrize(
    "settings",
    [
        ['levels=[{"compression":3},{"compression":2},{}]', "masks=random", "own_heads=true", "distill=true", "sandwich=true"],
        ['levels=[{"width":0.5},{}]', "alone=0"],
    ],
)  # fmt: skip
def test_new_settings_on_the_command_line(tmp_path, monkeypatch, capsys, settings):
    def core(*arguments):
        monkeypatch.setattr(sys, "argv", ["core", *arguments, "--runs", str(tmp_path / "runs"), "--json"])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, json.loads(out) if out else None, err

    short = ["epochs=1", "network=mlp", "measure_every=0", "threads=1", *settings]
    code, document, err = core("run", "digits-nested", *(word for setting in short for word in ("--set", setting)))
    assert code == 0, err
    told = json.loads(settings[0].removeprefix("levels="))
    alone = "alone=0" in settings
    code, levels, err = core("levels", document["run"])
    if alone:
        assert code == 2 and "it trained level 0 alone; take that with `compact`" in err
        code, taken, _ = core("compact", document["run"], "-o", str(tmp_path / "core.safetensors"))
        assert code == 0 and taken["macs"]["compact"] < 0.4 * taken["macs"]["dense"]
        return
    assert code == 0 and [row["level"] for row in levels["levels"]] == list(range(len(told))), err
    assert {row["certificate"]["verdict"] for row in levels["levels"]} <= {"exact", "nothing-removed"}
    if "compression" in told[0]:
        assert core("extract", document["run"], "--level", "0", "-o", str(tmp_path / "core.safetensors"))[0] == 0


def test_a_wrong_setting_on_the_command_line_ends_with_one_sentence(tmp_path, monkeypatch, capsys):
    words = ["core", "run", "digits-nested", "--set", 'levels=[{"width":2},{}]', "--runs", str(tmp_path / "runs")]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        main()
    said = " ".join(capsys.readouterr().err.split())
    assert (
        ended.value.code == 2
        and "levels.0.width must be less than or equal to 1; got 2" in said
        and "Traceback" not in said
    )
