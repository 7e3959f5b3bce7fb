"""Which groups cross in one layer: decided from a phase alone, and in step with what the mathematics does."""

import itertools

import pytest
import torch
from torch import nn

from core.config import checked
from core.overlaps import crossing, nests, notes_of, overlap_note
from core.phases import METHOD_KINDS, Phase


def ssl(*kinds, **more):
    return Phase(method="ssl", kinds=kinds, **{f"strength_{kind}": 0.1 for kind in kinds} | more)


@pytest.mark.parametrize(("kinds", "pairs"), [
    (("filter",), []), (("filter", "kernel2d", "layer"), []), (("shape", "channel", "layer"), []), (("kernel2d", "channel"), []),
    (("filter", "shape"), [("filter", "shape")]), (("channel", "filter"), [("filter", "channel")]),
    (("kernel2d", "shape"), [("shape", "kernel2d")]),
    (("filter", "channel", "shape"), [("filter", "channel"), ("filter", "shape")]),
])  # fmt: skip
def test_rows_cross_columns_and_nested_groups_do_not(kinds, pairs):
    assert crossing(ssl(*kinds)) == pairs


@pytest.mark.parametrize("pair", list(itertools.combinations(METHOD_KINDS["ssl"], 2)))
def test_a_pair_crosses_exactly_where_two_of_its_groups_overlap_and_neither_holds_the_other(pair):
    """Told from sets of indices, not from names."""
    layer = nn.Conv2d(3, 4, (2, 3))
    index = torch.arange(layer.weight.numel()).view_as(layer.weight)
    split = {
        "filter": [index[n] for n in range(4)], "channel": [index[:, c] for c in range(3)], "layer": [index],
        "shape": [index[:, c, i, j] for c in range(3) for i in range(2) for j in range(3)],
        "kernel2d": [index[n, c] for n in range(4) for c in range(3)],
    }  # fmt: skip
    first, second = ([set(group.flatten().tolist()) for group in split[kind]] for kind in pair)
    tree = all(a <= b or b <= a or not a & b for a in first for b in second)
    assert nests(pair) == tree and bool(crossing(ssl(*pair))) == (not tree)


def test_only_strengths_that_act_the_proximal_solver_and_ssl_count():
    assert crossing(ssl("filter", "shape", strength_shape=0.0)) == []
    assert crossing(ssl("filter", "shape", solver="paper")) == []
    assert crossing(Phase(method="l1", kinds=("weight",), strength_weight=0.1)) == []
    assert overlap_note(ssl("filter", "kernel2d")) == ""


def test_joint_groups_with_readers_share_weights_and_say_so():
    assert "The joint groups of two layers" in overlap_note(ssl("filter", joint=("readers",)))
    assert overlap_note(ssl("filter", joint=("norms",))) == "" == overlap_note(ssl("layer", joint=("readers",)))
    assert overlap_note(ssl("filter", joint=("readers",), solver="paper")) == ""
    assert overlap_note(ssl("filter", "channel", joint=("readers",))).startswith(
        "Filters and channels of one layer cross"
    )


def test_the_note_names_the_kinds_and_the_splitting_of_every_phase_that_has_one():
    one = overlap_note(ssl("filter", "shape"))
    assert (
        one.startswith("Filters and filter shapes of one layer cross like rows and columns")
        and "splitting: sequential" in one
    )
    assert "not the exact proximal map but a splitting step" in one
    assert "Dykstra's rounds" in overlap_note(ssl("filter", "shape", splitting="dykstra"))
    config = checked(
        {"network": "lenet", "phases": [{"method": "dense"}, ssl("filter", "shape", name="SSL").model_dump()]}
    )
    assert notes_of(config.model_dump(mode="json")) == [f"Phase SSL: {one}"]


def test_settings_that_are_not_valid_here_have_no_notes():
    assert notes_of({"phases": [{"method": "dense", "kinds": [], "joint": ["norms"]}]}) == []
