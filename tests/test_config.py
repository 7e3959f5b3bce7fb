"""Settings: what is refused, and how the refusal reads."""

import typing

import pytest

from core.config import Method, Phase, RunConfig, checked, with_settings
from core.errors import BadInput
from core.methods import METHODS
from core.presets import PRESETS, dense_control, preset

BASE = preset("digits-sss").config


def test_the_method_choices_are_the_methods_there_are():
    assert set(typing.get_args(Method)) == set(METHODS)


def test_every_preset_takes_the_common_settings():
    for p in PRESETS:
        changed = with_settings(p.config, {"epochs": "6", "seed": "3", "dataset": "shapes", "batch_size": "32"})
        assert (changed.epochs, changed.seed, changed.dataset, changed.batch_size) == (6, 3, "shapes", 32)
        assert p.config.preset == p.name


def test_epochs_is_the_total_and_is_shared_by_the_phases():
    two = RunConfig(phases=(Phase(epochs=30), Phase(epochs=10, starts_from="previous", method="dense")))
    assert [p.epochs for p in with_settings(two, {"epochs": 8}).phases] == [6, 2]
    assert [p.epochs for p in with_settings(two, {"epochs": 2}).phases] == [1, 1]


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("epoch", "6", r"--set key must be one of .*; got 'epoch'; did you mean 'epochs'\?"),
        ("epochs", "0", r"epochs must be a whole number of at least 1 .*; got 0"),
        ("epochs", "2.5", r"epochs must be a whole number.*got 2\.5"),
        ("network", "resnet21", r"network must be one of .*; got 'resnet21'; did you mean 'resnet20'\?"),
        ("dataset", "cifar", r"dataset must be one of .*; got 'cifar'; did you mean 'cifar10'\?"),
        ("lr", "-1", r"phases\.0\.lr must be greater than 0; got -1"),
        ("lr", "nan", r"phases\.0\.lr must be a (finite )?number; got"),
        ("lr", "NaN", r"phases\.0\.lr must be a (finite )?number; got nan"),
        (
            "strength_filter",
            "-0.1",
            r"phases\.0\.strength_filter must be greater than or equal to 0; got -0\.1; the nearest valid value is 0",
        ),
        ("batch_size", "1", r"batch_size must be greater than or equal to 2; got 1; the nearest valid value is 2"),
        ("seed", "x", r"seed must be a whole number; got 'x'"),
        ("precision", "float16", r"precision must be one of .*; got 'float16'; did you mean 'float32'\?"),
        ("lr_drops", "[0.7,0.5]", r"phases\.0\.lr_drops must be rising fractions between 0 and 1; got \[0\.7, 0\.5\]"),
        ("kinds", "[]", r"kinds must name filter, group or block for sss; got none"),
        ("kinds", "filter", r"phases\.0\.kinds must be a list, as in .*got 'filter'"),
        ("kinds", '["filters"]', r"must be one of block, channel, .*; got 'filters'; did you mean 'filter'"),
        ("phases.3.lr", "1", r"N from 0 to 0; got 'phases\.3\.lr'"),
    ],
)
def test_a_bad_setting_is_one_sentence_with_key_rule_and_value(key, value, sentence):
    with pytest.raises(BadInput, match=sentence) as caught:
        with_settings(BASE, {key: value})
    assert "\n" not in str(caught.value)


def test_unknown_settings_are_refused():
    with pytest.raises(BadInput, match="did you mean 'momentum'"):
        checked({**BASE.model_dump(mode="json"), "momentun": 0.9})


def test_settings_are_frozen_and_survive_json():
    assert checked(BASE.model_dump(mode="json")) == BASE
    with pytest.raises(Exception, match="frozen"):
        BASE.seed = 3


def test_every_setting_has_a_title_and_a_description():
    for model in (RunConfig, Phase):
        for name, field in model.model_fields.items():
            assert field.title and field.description, name


def test_the_dense_control_differs_only_in_the_method():
    control = dense_control(BASE)
    assert control.phases[0].method == "dense" and control.phases[0].epochs == BASE.phases[0].epochs
    assert control.model_dump(exclude={"phases"}) == BASE.model_dump(exclude={"phases"})
