"""The papers' rows beside a run: which belong to which preset, and what is said of them."""

import json
import subprocess
import sys

import pytest
from conftest import ROOT

from core.cli import document_of
from core.nested_presets import NESTED_PRESETS
from core.paper_presets import PAPER_PRESETS
from core.papers import caveats, is_published, points, published
from core.runs.tables import Run

CONFIGS = {name: config for name, _, _, _, config in PAPER_PRESETS}


def row(name, **more):
    config = CONFIGS[name].model_dump(mode="json") | more
    return Run(
        id="a", created=0.0, preset=name, config=config, family="a", seed=0, role="method", state="queued", attempt=1
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_every_paper_preset_has_its_rows_with_the_dense_baseline_first(name):
    config = CONFIGS[name]
    found = published(name, config.network, config.dataset)
    assert found[0].method == "dense" and {p.method for p in found[1:]} == {name.partition("-")[0]}
    assert {p.paper.lower() for p in found} == {name.partition("-")[0]}
    assert any("strength" in line for line in caveats(found))


def test_a_table_has_its_own_rows_and_not_those_of_the_next_one():
    places = [[p.point for p in published(f"ssl-lenet-table{n}", "lenet", "mnist")] for n in (1, 2)]
    assert places == [["baseline", "LeNet 2", "LeNet 3"], ["baseline", "LeNet 4", "LeNet 5"]]


def test_nested_presets_have_the_rows_of_their_table_and_small_forms_have_none():
    configs = {name: config for name, _, _, _, config in NESTED_PRESETS}
    places = {name: {p.place for p in published(name, c.network, c.dataset)} for name, c in configs.items()}
    assert places["nested-wrn-table2"] == {"table 2"} and places["nested-wrn-fig6"] == {"figure 6"}
    assert places["nested-wrn-32-4-table3"] == places["nested-wrn-14-8-table3"] == {"table 3"}
    assert places["nested-resnet56-table1-weights"] == places["nested-resnet56-table1-channels"] == {"table 1"}
    assert {name for name in configs if is_published(name)} == {name for name, found in places.items() if found}
    assert not is_published("nested-wrn-14-2") and not is_published("digits-nested")


def test_other_presets_and_other_networks_have_none():
    assert published("digits-sss", "lenet", "mnist") == [] and published("ssl-lenet-table1", "vgg16", "mnist") == []
    assert caveats([]) == []


def test_what_the_papers_macs_are_of_is_said_where_it_is_not_the_whole_network():
    said = " ".join(caveats(published("ssl-lenet-table1", "lenet", "mnist")))
    assert "those of the convolutions alone" in said
    assert "convolutions" not in " ".join(caveats(published("sss-vgg16-c10", "vgg16", "cifar10")))
    assert {p.counted for p in points()} == {"conv MACs", "MACs", "weights", "parameters"}, (
        "a new way of counting needs a sentence"
    )


def test_a_run_shows_its_papers_rows_and_its_notes():
    document = document_of(row("ssl-lenet-table1"))
    assert [p["error"] for p in document["published"]] == [0.9, 0.8, 1.0]
    assert set(document["published"][0]) >= {"paper", "place", "point", "error", "macs_left", "certainty", "note"}
    assert document["published_notes"] and "The joint groups of two layers" in document["notes"][0]
    assert document_of(row("sss-resnet20-c10", network="vgg16"))["published"][-1]["macs_left"] == 0.5837
    json.dumps(document)


@pytest.mark.slow
def test_show_prints_them(tmp_path):
    def core(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "core", *arguments, "--runs", str(tmp_path), "--json"], cwd=ROOT, capture_output=True, text=True, check=False
        )  # fmt: skip

    short = ("--set", "epochs=3", "--set", "dataset=digits", "--set", "batch_size=512", "--set", "measure_every=0")
    run = json.loads(core("run", "ssl-lenet-table1", *short).stdout)
    assert run["published"] == [] and len(run["notes"]) == 1, "no paper has this network on digits"
    shown = json.loads(core("show", run["run"]).stdout)
    assert shown["notes"] == run["notes"] and shown["search"] is None
