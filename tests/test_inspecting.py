"""Inspect: what a file belongs to, what is refused, what is said, and the page."""

import json
import math
import os
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from test_pages import page, words
from torch import nn

from app import inspect_charts, inspect_words
from app.app_pages.inspecting_bring import Brought, at_chance
from core.errors import BadInput
from core.knife import Aim, cut_towards, looked_at
from core.networks import build
from core.runs import uploads
from core.runs.lane_inspecting import belongs
from core.structure import save, sparsity
from core.weightguess import candidates


def lenet():
    """A LeNet for digits, two filters of which are exactly zero; without their biases they leave."""
    network = build("lenet", num_classes=10, in_channels=1, image_size=8).eval()
    with torch.no_grad():
        network.conv1.weight[[2, 3]] = 0
        network.conv1.bias[[2, 3]] = 0
    return network


def strange(network, file):
    """The weights as somebody else would save them."""
    torch.save({"state_dict": {f"module.my_{k}": v for k, v in network.state_dict().items()}, "epoch": 3}, file)
    return file


@pytest.mark.parametrize(
    ("name", "channels", "side"), [("lenet", 1, 8), ("resnet20", 3, 32), ("mlp", 1, 28), ("mlp", 1, 8)]
)
def test_weights_are_told_to_be_of_the_network_they_come_from(name, channels, side):
    network = build(name, num_classes=7, in_channels=channels, image_size=side)
    best = candidates(network.state_dict())[0]
    assert (best.network, best.fits, best.share, best.side) == (name, True, 1.0, side) and "names" in best.reason


def test_weights_of_another_network_fit_none_and_the_nearest_says_how_near():
    network = build("resnet20", num_classes=10, in_channels=3, image_size=32)
    network.fc = nn.Linear(64, 11, bias=False)
    found = candidates(network.state_dict())
    assert not any(one.fits for one in found) and found[0].share < 1
    assert found[0].network.startswith("resnet20") and "layers have the shape of one of its" in found[0].reason


def test_weights_without_a_layer_of_any_network_here_have_no_candidate():
    other = nn.Sequential(nn.Flatten(), nn.Linear(784, 301), nn.ReLU(), nn.Linear(301, 10))
    assert candidates(other.state_dict()) == []


@pytest.mark.parametrize("groups", [1, 2])
def test_sparsity_counts_as_plain_loops_do(groups):
    draw = torch.Generator().manual_seed(groups)
    conv = nn.Conv2d(4, 6, 3, groups=groups)
    with torch.no_grad():
        conv.weight.copy_(torch.randn(conv.weight.shape, generator=draw))
        conv.weight[1] = 0
        conv.weight[:3, 1] = 0  # of two groups: an input of the first group alone
        conv.weight[:, 0, 2, 2] = 0
    row = sparsity(nn.Sequential(conv))[0]
    w, per = conv.weight.tolist(), 4 // groups
    blocks = [range(g * 6 // groups, (g + 1) * 6 // groups) for g in range(groups)]
    taps = [(i, y, x) for i in range(per) for y in range(3) for x in range(3)]
    assert row.zero_weights == sum(w[o][i][y][x] == 0 for o in range(6) for i, y, x in taps)
    assert row.zero_filters == sum(all(w[o][i][y][x] == 0 for i, y, x in taps) for o in range(6)) == 1
    silent = sum(
        all(w[o][i][y][x] == 0 for o in b for y in range(3) for x in range(3)) for b in blocks for i in range(per)
    )
    assert row.zero_channels == silent == (1 if groups == 2 else 0) and row.channels == 4
    assert row.zero_shapes == sum(all(w[o][i][y][x] == 0 for o in b) for b in blocks for i, y, x in taps)


class Runs:
    """What a hostile file would have run."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def test_a_file_that_needs_code_is_refused_in_a_sentence_and_runs_nothing(tmp_path):
    torch.save({"w": torch.zeros(3), "x": Runs(tmp_path / "ran")}, tmp_path / "model.pt")
    told = belongs(str(tmp_path / "model.pt"))
    assert "needs code to be run, so it was not read" in told["refused"] and told["refused"].startswith("model.pt must")
    assert not (tmp_path / "ran").exists()


def test_a_file_cut_short_or_without_a_network_is_refused(tmp_path):
    save_file({"conv.weight": torch.zeros(8, 3, 3, 3), "fc.weight": torch.zeros(2, 8)}, tmp_path / "whole.safetensors")
    (tmp_path / "short.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:-40])
    assert "damaged or cut short" in belongs(str(tmp_path / "short.safetensors"))["refused"]
    save_file({"w": torch.zeros(3)}, tmp_path / "w.safetensors")
    assert "must hold a linear layer" in belongs(str(tmp_path / "w.safetensors"))["refused"]
    told = belongs(str(tmp_path / "whole.safetensors"))
    assert told["kind"] == "weights" and not any(one["fits"] for one in told["candidates"])


def test_a_compact_file_is_known_as_one(tmp_path):
    done = cut_towards(lenet(), torch.zeros(1, 1, 8, 8), Aim(), "lenet")
    save(tmp_path / "c.safetensors", done.compact, source={}, plan=done.plan)
    assert belongs(str(tmp_path / "c.safetensors")) == {"kind": "compact"}


def test_a_file_is_kept_once_under_its_content_whatever_it_is_called(tmp_path):
    one = uploads.keep(tmp_path, "../../etc/my weights.pt", b"abc")
    again = uploads.keep(tmp_path, "other.pt", b"abc")
    assert one == again and one.path == tmp_path / "uploads" / one.key / "my_weights.pt" and one.name == "my weights.pt"
    other = uploads.keep(tmp_path, ".hidden", b"abcd")
    assert {u.key for u in uploads.kept(tmp_path)} == {one.key, other.key} and not other.path.name.startswith(".")
    uploads.forget(tmp_path, "../uploads")
    uploads.forget(tmp_path, one.key)
    assert [u.key for u in uploads.kept(tmp_path)] == [other.key]


def test_a_file_that_is_empty_or_too_large_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "LARGEST_MIB", 1)
    for data in (b"", bytes(2**20 + 1)):
        with pytest.raises(BadInput, match="1 byte to 1 MiB"):
            uploads.keep(tmp_path, "a.pt", data)
    assert uploads.kept(tmp_path) == []


@pytest.fixture(scope="module")
def look():
    """What `inspect --json` says of the LeNet, with an accuracy."""
    network, example = lenet(), torch.zeros(1, 1, 8, 8)
    done = cut_towards(network, example, Aim(), "lenet")
    compact = {"macs": done.compact_cost.macs, "params": done.compact_cost.params}
    told = {"accuracy": {"dense": 0.95, "compact": 0.95}, "dataset": "digits", "classes": 10, "test_images": 360}
    return looked_at(network, example) | told | {"compact": compact, "padded": False, "input": [1, 1, 8, 8]}


def test_the_table_and_the_sentences_say_what_leaves_and_what_holds_zeros_back(look):
    rows = inspect_words.layer_rows(look).set_index("path")
    assert rows.loc["conv1", "leave"] == 2 and rows.loc["conv1", "zero filters"] == 2 and rows["leave"].sum() == 2
    assert "2 of 580 units leave without changing an answer" in inspect_words.could_go(look)
    scattered = json.loads(json.dumps(look))
    scattered["layers"][1]["zero_weights"] = 7
    held = inspect_words.blocked(scattered)
    assert held["what stays"].tolist() == ["7 scattered zeros"] and "smaller dense layer" in held["why"][0]
    assert inspect_words.blocked(look).empty
    spread = look["layers"][0]["importance"]
    weights = lenet().conv1.weight.detach().double().abs().sum((1, 2, 3))
    assert (
        spread == sorted(spread) and spread[0] == 0 and math.isclose(spread[4], float(weights.max() / weights.mean()))
    )


def test_a_share_has_the_interval_that_its_test_inverts():
    low, high = inspect_words.interval(0.9, 100)
    for edge in (low, high):  # Wilson: where the normal test of that share just does not refuse it
        assert math.isclose(abs(0.9 - edge) / math.sqrt(edge * (1 - edge) / 100), inspect_words.Z95, rel_tol=1e-9)
    assert math.isclose(inspect_words.interval(1.0, 50)[1], 1) and abs(inspect_words.interval(0.0, 50)[0]) < 1e-12


def test_a_crowded_network_shows_the_forty_layers_that_lose_most():
    rows = pd.DataFrame({"layer": map(str, range(100)), "units": 8, "leave": [i % 8 for i in range(100)]})
    spec = inspect_charts.layers_left(rows.assign(stay=1 - rows["leave"] / 8), "A sentence.")
    assert len(spec["data"][1]["y"]) == 40 and "the 40 of 100 layers" in spec["alt"]
    ends = dict.fromkeys(("low", "median", "high", "most"), 1.0)
    spec = inspect_charts.importance_ranges(rows.assign(least=rows["leave"] / 8, **ends), "A sentence.")
    assert len(spec["data"][2]["y"]) == 40


# the page


@pytest.fixture
def brought(runs, tmp_path, monkeypatch):
    """A kept file, and a lane that says what it holds."""
    upload = uploads.keep(runs.root, "lenet.pt", strange(lenet(), tmp_path / "w.pt").read_bytes())
    told = belongs(str(upload.path))
    monkeypatch.setattr("app.app_pages.inspecting_bring.ask", lambda *a, **k: told)
    monkeypatch.setattr("streamlit.fragment", lambda part=None, **k: part)
    return SimpleNamespace(
        upload=upload, told=told, label=f"lenet.pt ({upload.bytes / 2**20:.2g} MiB, {upload.key[:6]})"
    )


def test_the_page_without_a_file_says_what_would_fill_it_and_how_own_code_comes_in(runs):
    at = page("inspecting")
    assert not at.exception and "Files you bring are kept" in words(at)
    assert any("module:function" in m.value for m in at.markdown)


def test_the_page_proposes_the_network_and_asks_where_zeros_stand_only_at_chance(brought, look):
    at = page("inspecting", file=brought.label)
    assert at.selectbox(key=f"network-{brought.upload.key}").value == "lenet"
    assert any("the shapes of all 4 layers agree" in c.value for c in at.caption) and not at.exception
    found = Brought(str(brought.upload.path), "lenet.pt", ("--network", "lenet", "--dataset", "digits"))
    found.folder.mkdir(parents=True)
    for right, padded, asked in ((0.95, True, False), (0.11, True, True), (0.11, False, False)):
        told = look | {"accuracy": {"dense": right, "compact": right}, "padded": padded}
        (found.folder / "look.json").write_text(json.dumps(told))
        at = page("inspecting", file=brought.label, **{f"data-{brought.upload.key}": "the test images of digits"})
        assert not at.exception and any("chance" in w.value for w in at.warning) == asked
        assert at_chance(told) == (right == 0.11)


def test_a_refused_file_is_forgotten_and_the_page_says_why(brought, runs, monkeypatch):
    monkeypatch.setattr(
        "app.app_pages.inspecting_bring.ask", lambda *a, **k: {"refused": "w.pt must hold tensors only"}
    )
    at = page("inspecting", file=brought.label)
    assert any("Refused: w.pt must hold tensors only" in e.value for e in at.error) and uploads.kept(runs.root) == []


def test_a_finished_run_is_looked_at_by_its_name(run_state):
    run = run_state("finished")
    at = page("inspecting", run, **{"model-from": "A run of mine"})
    assert not at.exception and run in words(at) and "no checkpoint yet" in words(at)
