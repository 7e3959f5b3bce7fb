"""Levels as people write them, and what makes no family."""

import pytest

from core.config import checked
from core.errors import BadInput
from core.level_settings import Level, levels_written, words_of, written
from core.nested_presets import NESTED_PRESETS


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("0.5 x 1, 1 x 1", [{"width": 0.5, "depth": 1.0}, {"width": 1.0, "depth": 1.0}]),
        (".25x.4 coarse ,1 x 1", [{"width": 0.25, "depth": 0.4, "labels": "coarse"}, {"width": 1.0, "depth": 1.0}]),
        ("1/3, 1/1.5 weight 2, 1 x 1", [{"compression": 3.0}, {"compression": 1.5, "weight": 2.0}, {"width": 1.0, "depth": 1.0}]),
        ("tau 1.5e-2, 1 x 1", [{"tau": 0.015}, {"width": 1.0, "depth": 1.0}]),
        ("0.5 x 1 data cifar10, 1 x 1", [{"width": 0.5, "depth": 1.0, "dataset": "cifar10"}, {"width": 1.0, "depth": 1.0}]),
        ("0.5 x 1 labels /tmp/m.json, 1 x 1", [{"width": 0.5, "depth": 1.0, "labels": "/tmp/m.json"}, {"width": 1.0, "depth": 1.0}]),
    ],
)  # fmt: skip
def test_levels_are_read_as_they_are_written(text, levels):
    assert levels_written(text) == levels
    made = [Level.model_validate(level) for level in levels]
    assert [Level.model_validate(told) for told in levels_written(", ".join(map(written, made)))] == made


def test_every_presets_levels_survive_being_written():
    for *_, config in NESTED_PRESETS:
        levels = config.phases[-1].levels
        again = [Level.model_validate(told) for told in levels_written(", ".join(map(written, levels)))]
        for one, other in zip(levels, again, strict=True):
            assert one.model_copy(update={"width": 1.0}) == other.model_copy(update={"width": 1.0})
            assert one.width == pytest.approx(other.width, rel=1e-5)


@pytest.mark.parametrize("text", ["half", "0.5", "0.5 x", "0.5 x 1 fine", "1/0x3", "tau", "x 1"])
def test_other_words_are_refused_in_a_sentence(text):
    with pytest.raises(BadInput, match="levels must be written, core first, as shares of channels x blocks"):
        levels_written(text)


@pytest.mark.parametrize(
    ("levels", "says"),
    [
        ([{"compression": 2}, {"compression": 3}, {}], "compressions that fall"),
        ([{"compression": 2}, {"tau": 0.1}, {}], "compressions that fall, or taus that fall"),
        ([{"compression": 2}, {"width": 0.5}, {}], "all keep weights, or all channels and blocks"),
        ([{"compression": 2, "width": 0.5}, {}], "not both; got width or depth with a mask"),
        ([{"compression": 2, "tau": 0.5}, {}], "a compression or a tau, not both"),
        ([{"labels": "coarse", "dataset": "digits"}, {}], "labels or a data set of its own, not both"),
        ([{"width": 0.5}, {"labels": "coarse"}], "end with the full network"),
    ],
)
def test_what_makes_no_family_is_refused(levels, says):
    with pytest.raises(BadInput, match=says):
        checked({"phases": [{"method": "nested", "kinds": [], "levels": levels}]})


def test_a_level_in_words():
    assert words_of(Level(width=0.5, depth=0.4)) == "0.5 of the channels and 0.4 of the blocks"
    assert words_of(Level(compression=3, labels="coarse")) == "1 of 3 weights, coarse labels"
    assert words_of(Level()) == "everything"
