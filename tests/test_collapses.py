"""The collapse report: what died, in which order, what it took along, what it cost, whether it came back."""

import json

import numpy as np
import pytest
from conftest import DEMO
from typer.testing import CliRunner

from app.collapse_words import accuracy_sentence, collapse_table, report_sentence, thinned_table
from core.cli import app
from core.data import load
from core.data.names import DATASETS
from core.runs.collapses import (
    most_thinned,
    name_of,
    report,
    report_of,
    standard_error,
    swing,
    taken,
    turns,
    val_images,
)
from core.runs.folder import RunFolder


def conv(path, total, inputs, macs, label="conv", site="filter"):
    return {
        "path": path, "site": f"{path}/{site}" if site else None, "label": label, "total": total, "inputs": inputs, "kernel": 3, "size": 4,
        "macs": macs, "params": macs // 10, "reads": None,
    }  # fmt: skip


def block(path, label, skip, convs):
    return {"path": path, "label": label, "skip": skip, "block_site": f"{path}/block" if skip != "none" else None, "convs": convs}  # fmt: skip


@pytest.fixture
def layout():
    """A stem, a stage of two residual blocks of two layers, and scores: 1,000 MACs."""
    blocks = [
        block(f"s.{i}", f"1.{i + 1}", "identity", [conv(f"s.{i}.conv1", 4, 8, 200, "conv1"), conv(f"s.{i}.conv2", 8, 4, 200, "conv2", None)])
        for i in range(2)
    ]  # fmt: skip
    return {
        "network": "tiny", "macs": 1000, "params": 100, "stem": [conv("conv", 8, 3, 150, site=None)], "head": [conv("fc", 10, 8, 50, site=None)],
        "stages": [{"name": "Stage 1", "path": "s", "channels": 8, "size": 4, "blocks": blocks}],
    }  # fmt: skip


SITES = [{"site": "s.0/block", "kind": "block", "total": 1}, {"site": "s.0.conv1/filter", "kind": "filter", "total": 4},
         {"site": "s.1/block", "kind": "block", "total": 1}, {"site": "s.1.conv1/filter", "kind": "filter", "total": 4}]  # fmt: skip


def told(layout, counts, accuracies, events):
    started = {"layout": layout, "config": {"dataset": "digits"}}
    epochs = [{"epoch": e, "val_accuracy": a, "strengths": {"block": 0.02 * e}} for e, a in enumerate(accuracies)]
    return report(started, SITES, np.array(counts), epochs, events)


def died(site):
    return {"type": "collapsed", "site": site, "epoch": 0}


def test_the_report_says_order_return_price_and_what_went_along(layout):
    # block s.1 dies at 4, comes back at 5, dies at 7 for good; block s.0 dies at 6, having thinned to half at 2
    counts = [
        [1, 4, 1, 4],
        [1, 4, 1, 4],
        [1, 2, 1, 4],
        [1, 2, 1, 4],
        [1, 2, 0, 4],
        [1, 2, 1, 4],
        [0, 2, 1, 4],
        [0, 2, 0, 4],
    ]
    found = told(
        layout,
        counts,
        [0.1, 0.2, 0.4, 0.5, 0.3, 0.6, 0.7, 0.8],
        [died("s.1/block"), died("s.0/block"), died("s.1/block")],
    )
    first, second = found.collapses
    assert (first.site, first.epoch, first.back, first.again, first.since) == ("s.1/block", 4, [5], [7], 7)
    assert (second.site, second.epoch, second.back, second.since, second.order) == ("s.0/block", 6, [], 6, 2)
    assert first.takes == ["s.1.conv1", "s.1.conv2"] and first.macs == 0.4 == first.macs_before
    assert (
        second.takes == ["s.0.conv1", "s.0.conv2"] and second.macs == 0.4 and second.macs_before == pytest.approx(0.2)
    )
    assert (first.before, first.at, first.end) == (0.5, 0.3, 0.8) and first.strengths == {"block": 0.08}
    assert first.swing == pytest.approx(np.median([0.1, 0.2, 0.1])) and found.val_images == 360 and not found.thinned
    sentence = report_sentence(found)
    assert sentence.startswith("Stage 1 block 2 went first, at epoch 4, and took conv1 and conv2 along; it came back at epoch 5 and is gone since epoch 7.")  # fmt: skip
    assert "Stage 1 block 1 followed at epoch 6." in sentence and sentence.endswith(
        "What is gone held 80 % of the dense MACs."
    )
    assert "50.0 % the epoch before the first collapse, 80.0 % after epoch 7" in accuracy_sentence(found)
    table = collapse_table(found.collapses)
    assert table["at once"].tolist() == [-20.0, 10.0] and table["came back"].tolist() == ["at 5", "never"]


def test_a_layer_that_several_deaths_take_is_counted_once(layout):
    """A chain: each dead layer silences its neighbours, which die too."""
    chain = {
        **layout,
        "stages": [
            {**layout["stages"][0], "blocks": [block(p, p, "none", [conv(p, 4, 4, 200)]) for p in ("a", "b", "c", "d")]}
        ],
    }
    sites = [{"site": f"{p}/filter", "kind": "filter", "total": 4, "offset": 4 * i} for i, p in enumerate("abcd")]
    counts = np.array([[4, 4, 4, 4], [0, 0, 0, 4]])
    epochs = [{"type": "epoch_done", "epoch": e, "val_accuracy": 0.5, "strengths": {}} for e in (0, 1)]
    found = report({"layout": chain}, sites, counts, epochs, [died(f"{p}/filter") for p in "abc"])
    assert sum(row.macs for row in found.collapses) > 1 and found.gone == pytest.approx(0.8)


def test_a_block_that_lives_at_the_end_is_told_so_and_its_macs_are_not_counted_as_gone(layout):
    counts = [[1, 4, 1, 4], [1, 4, 0, 4], [1, 4, 1, 4]]
    found = told(layout, counts, [0.1, 0.2, 0.4], [died("s.1/block")])
    assert found.collapses[0].since is None
    assert report_sentence(found).endswith("it came back at epoch 2 and lives at the end.")


def test_sites_that_die_in_one_epoch_are_named_together(layout):
    found = told(layout, [[1, 4, 1, 4], [0, 4, 0, 4]], [0.1, 0.2], [died("s.0/block"), died("s.1/block")])
    assert [row.together for row in found.collapses] == [2, 2]
    assert report_sentence(found).startswith("Stage 1 block 1 and Stage 1 block 2 went first, all at epoch 1.")


def test_where_nothing_collapsed_the_sites_that_thinned_most_are_told(layout):
    counts = [[1, 4, 1, 4], [1, 3, 1, 4], [1, 2, 1, 4], [1, 1, 1, 3]]
    found = told(layout, counts, [0.1] * 4, [])
    assert [(row.site, row.alive, row.first, row.half) for row in found.thinned] == [
        ("s.0.conv1/filter", 1, 1, 2),
        ("s.1.conv1/filter", 3, 3, None),
    ]
    assert (
        report_sentence(found)
        == "Nothing collapsed by epoch 3. Stage 1 block 1 conv1 thinned most: 1 of 4 alive, half of it gone since epoch 2."
    )
    assert thinned_table(found.thinned)["half gone since"].tolist() == ["epoch 2", "more than half live"]
    whole = told(layout, [[1, 4, 1, 4]], [0.1], [])
    assert report_sentence(whole) == "Nothing collapsed and nothing thinned: all 4 sites have every unit after epoch 0."
    assert most_thinned(layout, SITES, np.array([[1, 4, 1, 4]])) == []


def test_a_layer_without_a_skip_beside_it_takes_the_next_one_along(layout):
    chain = {
        **layout,
        "stages": [
            {**layout["stages"][0], "blocks": [block(p, p, "none", [conv(p, 4, 4, 200)]) for p in ("a", "b", "c", "d")]}
        ],
    }
    takes, macs, _ = taken(chain, {f"{p}/filter": 4 for p in "abcd"}, "b/filter")
    assert takes == ["b", "c"] and macs == 0.4
    assert name_of(chain, "b/filter") == "b" and name_of(layout, "s.1.conv1/shape") == "Stage 1 block 2 conv1 shapes"


def test_turns_and_swing_agree_with_a_look_at_every_epoch():
    counts = np.random.default_rng(3).integers(0, 2, 60)
    deaths = [e for e in range(60) if counts[e] == 0 and (e == 0 or counts[e - 1])]
    back = [e for e in range(1, 60) if counts[e] and counts[e - 1] == 0]
    assert turns(counts) == (deaths, back)
    assert swing({0: 0.5, 1: 0.6}, 2) is None and swing({e: 0.1 * e for e in range(30)}, 20) == pytest.approx(0.1)


def test_the_standard_error_is_that_of_two_draws():
    draws = np.random.default_rng(0).binomial(360, 0.9, (2, 20_000)) / 360
    assert standard_error(0.9, 360) == pytest.approx((draws[0] - draws[1]).std(), rel=0.03)


def test_the_size_of_the_validation_split_is_the_loaded_one():
    assert DATASETS["digits"].num_val == len(load("digits").val)
    assert val_images({"config": {"dataset": "folder:/x"}, "data": {"val_images": 7}}) == 7
    assert val_images({"config": {"dataset": "folder:/x"}}) is None


def test_the_demo_tells_its_two_blocks():
    found = report_of(RunFolder(DEMO))
    assert [(row.site, row.epoch, row.since) for row in found.collapses] == [
        ("stage2.1/block", 35, 50),
        ("stage3.1/block", 43, 52),
    ]
    assert found.collapses[0].back == [36, 40, 42, 44, 47] and found.collapses[0].takes == [
        "stage2.1.conv1",
        "stage2.1.conv2",
    ]


def test_the_command_prints_the_report(run_state, runs):
    run = run_state("finished")
    done = CliRunner().invoke(app, ["collapses", run, "--json", "--runs", str(runs.root)])
    document = json.loads(done.stdout)
    assert (
        document["run"] == run
        and document["collapses"][0]["name"] == "Stage 2 block 2"
        and document["val_images"] == 360
    )
