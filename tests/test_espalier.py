"""The espalier's data: what is sent as bytes comes back whole, and says what the records say."""

import base64
import json
import zlib

import numpy as np
import pytest
from espalier_parts import resnet164
from test_components import VIEW

from app import espalier_data, espalier_ghost
from app.components import espalier as tree
from app.components.figure_parts import DARK, LEVEL_HUES
from app.runs import RunView, view_of
from core.runs.recorded import DEMO


def opened(text):
    """The head and the arrays of a packed history: the reading of espalier_bytes.js, written apart from it."""
    whole = zlib.decompress(base64.b64decode(text))
    length = int.from_bytes(whole[:4], "little")
    head, body, arrays = json.loads(whole[4 : 4 + length]), whole[4 + length :], {}
    for name, kind, shape in head["arrays"]:
        size = int(np.prod(shape)) * int(kind[1])
        arrays[name], body = np.frombuffer(body[:size], kind).reshape(shape), body[size:]
    assert not body
    return head, arrays


def states_of(head, arrays, site):
    """(epochs, units): 0 dead, 1 dying, 2 alive, unit by unit and epoch by epoch."""
    epochs = arrays["counts"].shape[1]
    first = 0
    for name, total in head["units"]:
        if name == site:
            break
        first += total
    weak, dead = arrays["flips"]
    ends = [0, *np.cumsum(arrays["flips"].ravel()).tolist()]
    out = np.full((epochs, total), -1)
    for unit in range(total):
        for e in range(epochs):
            times = [
                sum(m <= e for m in arrays["moments"][ends[i] : ends[i + 1]])
                for i in (first + unit, len(weak) + first + unit)
            ]
            out[e, unit] = 0 if times[1] % 2 else 1 if times[0] % 2 else 2
    assert len(dead) == len(weak)
    return out


@pytest.fixture
def demo():
    return view_of(DEMO)


def test_counts_come_back_whole_and_words_as_they_were():
    head, arrays = opened(tree.packed(VIEW)["bytes"])
    counts = np.cumsum(arrays["counts"], axis=1, dtype="u2")
    assert {s: c.tolist() for s, c in zip(head["sites"], counts, strict=True)} == VIEW["alive"]
    assert head["factor"]["s.0/block"] == [1.0, 0.512, 1e-9, 0.25, 0.0]
    assert head["say"] == VIEW["say"]


def test_counts_that_come_back_to_life_and_wide_layers_survive_the_differences():
    alive = {"a/filter": [4096, 0, 65535, 1], "b/filter": [0, 3, 2, 3]}
    _, arrays = opened(tree.packed({**VIEW, "alive": alive})["bytes"])
    assert np.cumsum(arrays["counts"], axis=1, dtype="u2").tolist() == list(alive.values())


def test_every_unit_comes_back_in_its_state_at_every_epoch():
    draw = np.random.default_rng(0)
    units = {"a/filter": draw.integers(0, 3, (5, 7)).astype("u1"), "b/filter": draw.integers(0, 3, (5, 3)).astype("u1")}
    packed = opened(tree.packed({**VIEW, "units": units})["bytes"])
    for site, states in units.items():
        assert (states_of(*packed, site) == states).all(), site


def test_norms_are_percents_of_their_start_and_what_is_not_finite_is_nothing():
    norms = {"a/filter": [0.5, 0.25, float("nan"), 5.0, 0.0], "b/filter": [0.0, 1.0, 1.0, 1.0, 1.0]}
    head, arrays = opened(tree.packed({**VIEW, "norms": norms})["bytes"])
    percents = np.cumsum(arrays["norms"], axis=1, dtype="u1")
    assert head["starts"] == [0.5, 0.0] and percents[0].tolist() == [100, 50, 0, 255, 0]


def test_a_tick_of_resnet164_over_200_epochs_is_under_50_kB_and_its_units_come_for_one_site():
    data = resnet164()
    thin = {key: value for key, value in data.items() if key != "units"}
    site = "stage3.0.conv3/filter"
    near = tree.packed({"stages": [], "units": {site: data["units"][site]}})["bytes"]
    assert len(json.dumps(tree.packed(thin))) + len(near) < 30_000
    assert len(json.dumps(tree.packed(data))) < 60_000


def test_many_factors_are_sampled_and_the_newest_is_kept():
    values = [1 / (epoch + 1) for epoch in range(161)]
    head, _ = opened(tree.packed({**VIEW, "factor": {f"b{i}": values for i in range(54)}})["bytes"])
    seen = head["factor"]["b0"]
    assert seen["count"] == 161 and len(seen["values"]) * 54 < 2200
    assert seen["values"][-1] == pytest.approx(values[-1], rel=0.005) and seen["values"][0] == 1.0


def test_a_small_factor_is_never_rounded_to_dead_and_one_that_is_not_finite_is_a_gap():
    head, _ = opened(tree.packed({**VIEW, "factor": {"b": [1e-12, float("nan")]}})["bytes"])
    assert head["factor"]["b"] == [1e-12, None]


def test_packed_data_stays_as_it_is():
    packed = tree.packed(VIEW)
    assert tree.packed(packed) is packed


def test_the_demo_says_of_every_unit_what_its_records_say(demo):
    data = espalier_data.espalier_data(demo, selected={"site": "x", "unit": "4", "epoch": "9"}, follow=False)
    assert data["selected"] == {"site": "x", "unit": 4, "epoch": 9}
    head, arrays = opened(data["bytes"])
    site = "stage2.0.conv1/filter"
    place = next(s for s in demo.sites if s["site"] == site)
    flags = demo.alive[:, place["offset"] : place["offset"] + place["total"]]
    assert ((states_of(head, arrays, site) > 0) == (flags > 0)).all()


def test_a_unit_is_dying_when_at_its_pace_it_is_soon_zero(demo, monkeypatch):
    monkeypatch.setattr(demo, "sites", [{"site": "a/filter", "kind": "filter", "total": 3, "offset": 0}])
    falling, steady, slow = [1.0, 0.8, 0.6, 0.4], [1.0, 1.0, 1.0, 1.0], [1.0, 0.9, 0.8, 0.7]
    values = np.array([falling, steady, slow]).T
    monkeypatch.setattr(demo, "values", values)
    monkeypatch.setattr(demo, "alive", np.ones((4, 3), "u1"))
    assert espalier_data.unit_states(demo, "a/filter").tolist() == [[2, 2, 2], [2, 2, 2], [1, 2, 2], [1, 2, 2]]


def test_a_history_too_long_for_a_tick_carries_the_units_of_the_selected_site_alone(demo, monkeypatch):
    monkeypatch.setattr(espalier_data, "MAX_BYTES", 10)
    fresh = RunView(DEMO, demo.folder).refresh()
    site = "stage2.0.conv1/filter"
    data = espalier_data.espalier_data(fresh, selected={"site": site}, follow=True)
    assert opened(data["bytes"])[0]["units"] == [] and opened(data["near"])[0]["units"] == [[site, 32]]
    assert "near" not in espalier_data.espalier_data(fresh, selected={"site": "no/filter"}, follow=True)
    assert opened(espalier_data.espalier_data(fresh, selected={}, follow=True, whole=True)["bytes"])[0]["units"]


def test_shapes_are_counted_tap_by_tap(demo, monkeypatch):
    alive = np.ones((2, 3 * 4), "u1")
    alive[1, [1, 5, 9, 2]] = 0  # tap 1 of all three inputs, tap 2 of the first
    monkeypatch.setattr(demo, "sites", [{"site": "c/shape", "kind": "shape", "total": 12, "offset": 0}])
    monkeypatch.setattr(demo, "alive", alive)
    monkeypatch.setattr(demo, "started", {"config": {"phases": [{"method": "ssl", "kinds": ["shape"]}]}})
    taps, counts = espalier_data._taps(demo, [{"blocks": [{"convs": [{"path": "c", "kernel": 2}]}]}])
    assert taps["c"]["total"] == 3
    assert [counts[name].tolist() for name in taps["c"]["sites"]] == [[3, 3], [3, 0], [3, 2], [3, 3]]


def test_levels_are_fractions_of_filters_or_of_weights(demo, monkeypatch):
    bands = [{"layer": "c", "units": {"kept": [2, 8], "total": 8}, "weights": {"kept": [10, 100], "total": 100}}]
    level = {"compression": 1, "tau": None}
    phase = {"method": "nested", "alone": None, "levels": [level, level], "order": "leading"}
    monkeypatch.setattr(demo, "started", {"config": {"phases": [phase]}})
    assert espalier_data._levels(demo, bands) == {
        "count": 2, "what": "units", "kept": {"c": [0.25, 1.0]}, "units": {"c": [2, 8]},
    }  # fmt: skip
    phase["levels"][0] = {"compression": 4, "tau": None}
    assert espalier_data._levels(demo, bands) == {"count": 2, "what": "weights", "kept": {"c": [0.1, 1.0]}}
    assert espalier_data._levels(demo, None) is None


def test_levels_have_the_colours_they_have_everywhere():
    for k, hue in enumerate(LEVEL_HUES):
        assert f"--hue{k}: {hue};" in tree.STYLE and f"--hue{k}: {DARK[hue]};" in tree.STYLE


def test_the_ghost_sentence_says_where_two_runs_differ_most(demo):
    other = RunView(DEMO, demo.folder).refresh()
    assert "As many live in every layer as here" in espalier_ghost.ghost_sentence(demo, other, 60, "twin")
    counts = other.counts().copy()
    counts.loc["stage2.0.conv1/filter"] = 32
    other.counts = lambda: counts
    said = espalier_ghost.ghost_sentence(demo, other, 120, "twin")
    assert "differ most in 2.1 conv1: 13 of 32 alive here, 32 there" in said


def test_ghosts_are_begun_runs_of_the_same_network_family_first(demo):
    class Row:
        def __init__(self, name, network, family, state="finished"):
            self.id, self.config, self.family, self.state = name, {"network": network}, family, state

    network = demo.started["config"]["network"]
    rows = [Row("a", network, "x"), Row("b", "vgg16", "f"), Row("c", network, "f"), Row("d", network, "f", "queued"), Row(DEMO, network, "f")]  # fmt: skip
    assert [row.id for row in espalier_ghost.ghosts_of(demo, rows)] == ["c", "a"]
