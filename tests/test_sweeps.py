"""Speed under other conditions, and the reasons why layers part from their MACs."""

import json

import numpy as np
import plotly.graph_objects as go
import pytest
import torch
from conftest import run_in
from test_cli import espalier
from test_pages import no_processes, page, words  # noqa: F401  (pages start nothing in the background)

from app import sweep_charts
from app.app_pages.speed import layer_frame
from core import cut, sweeps
from core.errors import BadInput
from core.losses import RULES, LayerShape, reason
from core.structure import cost, remove_zeros


def shape(ins, outs, side=8, kernel=3):
    weights, area = ins * outs * kernel * kernel, side * side
    return LayerShape(
        in_channels=ins, out_channels=outs, macs=weights * area, inputs=ins * area, outputs=outs * area, weights=weights
    )


def test_the_first_rule_that_holds_is_the_reason():
    dense = shape(64, 64)
    assert reason(dense, None, 128)[0] == "gone"
    assert reason(dense, shape(64, 64), 128)[0] == "same shape"
    assert reason(dense, shape(4, 4), 1) == ("launch-bound", "0.0092 M MACs a batch")
    assert reason(dense, shape(3, 3), 1024)[0] == "memory-bound"
    assert reason(dense, shape(64, 33), 128) == ("odd width", "64 in, 33 out: 69% of the lanes")
    assert reason(dense, shape(64, 32), 128)[0] == "no rule"
    assert all(reason(dense, other, 128)[0] in RULES for other in (None, dense, shape(5, 7), shape(48, 48)))


def test_intensity_counts_two_operations_a_mac_over_every_number_once():
    one = shape(3, 3, side=4, kernel=1)
    # 9 weights, 48 numbers in and out: 2 * 144 * 10 operations over 4 * (10 * 96 + 9) bytes
    assert one.intensity(10) == pytest.approx(2880 / 3876)


@pytest.fixture(scope="module")
def done():
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, 6, 3, padding=1), torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(6, 10),
    ).eval()  # fmt: skip
    with torch.no_grad():
        for tensor in (network[0].weight, network[0].bias):
            tensor[5:] = 0
    example = torch.zeros(1, 1, 8, 8)
    plan, compact = remove_zeros(network, example)
    return cut.Cut(network, plan, compact.eval(), cost(network, example), cost(compact, example))


def test_layers_are_told_by_their_own_shapes(done):
    found = cut.layer_shapes(done.compact, torch.zeros(1, 1, 8, 8), done.compact_cost)
    assert found["2"] == LayerShape(
        in_channels=5, out_channels=6, macs=5 * 6 * 9 * 64, inputs=320, outputs=384, weights=5 * 6 * 9 + 6
    )
    assert found["6"].in_channels == 6 and found["6"].outputs == 10


def test_every_sweep_has_its_rows_quartiles_and_conditions_and_a_figure(done):
    images = torch.randn(40, 1, 8, 8)
    before = torch.get_num_threads()
    for kind, at in (("batch", [1, 8, 32]), ("threads", sweeps.thread_counts(sweeps.cores()))):
        told = sweeps.swept(kind, done, images, 16, pairs=7, budget_s=0.01)
        assert [row[kind] for row in told["rows"]] == at and all(row["n"] == 7 for row in told["rows"])
        assert all(row["low"] <= row["measured"] <= row["high"] for row in told["rows"])
        assert told["promised"] == done.promised > 1 and told["cpu"] and told["versions"]["torch"]
        assert json.loads(json.dumps(told)) == told
        spec = sweep_charts.sweep(told)
        go.Figure({"data": spec["data"], "layout": spec["layout"]})
        dashed = [line["y0"] for line in spec["layout"]["shapes"] if line["line"]["dash"] == "dash"]
        assert dashed == [told["promised"]] and spec["data"][1]["fill"] == "tonexty"
        assert [row["measured"] for row in told["rows"]] == pytest.approx(spec["data"][2]["y"], abs=1e-3)
    assert torch.get_num_threads() == before


def test_both_engines_answer_alike_and_stand_as_four_bars(done):
    x = torch.randn(6, 1, 8, 8)
    with torch.no_grad():
        ours = done.compact(x).numpy()
    np.testing.assert_allclose(sweeps.onnx_run(done.compact, x, 1)()[0], ours, rtol=1e-4, atol=1e-5)
    told = sweeps.swept("engines", done, x, 6, pairs=7, budget_s=0.01)
    assert [(row["engine"], row["network"]) for row in told["rows"]] == [
        (e, n) for e in sweeps.ENGINES for n in ("dense", "compact")
    ]
    assert told["n"] == 7 and told["batch"] == 6 and "onnxruntime" in told["versions"]
    spec = sweep_charts.engines(told)
    go.Figure({"data": spec["data"], "layout": spec["layout"]})
    assert sum(len(trace["y"]) for trace in spec["data"]) == 4 and all("error_y" in trace for trace in spec["data"])


def test_without_onnx_runtime_it_says_what_to_install(done, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(BadInput, match="onnxruntime, which is not installed; pip install"):
        sweeps.swept("engines", done, torch.randn(2, 1, 8, 8), 2)


def test_rounds_turn_and_every_run_gets_its_own_time():
    now, seen = [0.0], []

    def run(name, seconds):
        def work():
            seen.append(name)
            now[0] += seconds

        return work

    times = sweeps.rounds([run("a", 1.0), run("b", 2.0), run("c", 3.0)], 7, 0.0, clock=lambda: now[0])
    assert times.tolist() == [[1.0, 2.0, 3.0]] * 7
    assert seen[9:15] == ["a", "b", "c", "b", "c", "a"]  # after three rounds to warm up
    assert (
        sweeps.thread_counts(1) == [1]
        and sweeps.thread_counts(6) == [1, 2, 4, 6]
        and sweeps.thread_counts(8) == [1, 2, 4, 8]
    )


def sweep(*rows, kind="batch"):
    names = (kind, "measured", "low", "high")
    rows = [dict(zip(names, row, strict=True)) | {"n": 9, "dense_ms": 2.0, "compact_ms": 1.0} for row in rows]
    return {"kind": kind, "promised": 3.0, "rows": rows}


def test_the_sentence_of_a_sweep_does_not_tell_apart_what_overlaps():
    apart, alike = sweep((1, 1.2, 1.1, 1.3), (128, 2.0, 1.9, 2.1)), sweep((1, 1.2, 0.9, 1.9), (128, 1.5, 1.4, 1.6))
    assert (
        sweep_charts.sweep_sentence(apart)
        == "As fast as dense: 1.2 × (1.1–1.3) at batch 1, 2.0 × (1.9–2.1) at batch 128. MACs promise 3.0 ×."
    )
    assert "the quartiles overlap" in sweep_charts.sweep_sentence(alike)


def test_the_speed_page_shows_reasons_and_what_was_swept(runs):
    name = run_in(runs, "finished")
    at = page("speed", name)
    assert not at.exception and {"measure-batch", "measure-threads", "measure-engines"} <= {
        button.key for button in at.button
    }
    assert "Odd width: channels in or out are no multiple of 16" in words(at)
    told = sweep((1, 1.2, 1.1, 1.3), (8, 2.0, 1.9, 2.1)) | {
        "cpu": "AMD", "threads": 1, "precision": "float32", "versions": {"torch": "2"}, "epoch": 3, "taken": 0.0,
    }  # fmt: skip
    (runs.root / name / "measured-sweep.json").write_text(json.dumps({"batch": told}))
    at = page("speed", name)
    assert (
        not at.exception
        and "2.0 × (1.9–2.1) at batch 8" in words(at)
        and "medians of n = 9 interleaved pairs" in words(at)
    )
    (runs.root / name / "measured-sweep.json").write_text('{"batch": {"ki')
    assert not page("speed", name).exception


def test_layers_come_by_lost_time_and_those_that_lose_none_have_no_reason():
    layers = [
        {"path": "a", "dense_ms": 2.0, "compact_ms": 0.9, "promised": 2.0, "measured": 2.2, "reason": "odd width", "numbers": "x"},
        {"path": "b", "dense_ms": 2.0, "compact_ms": 1.5, "promised": 2.0, "measured": 1.3, "reason": "memory-bound", "numbers": "y"},
    ]  # fmt: skip
    assert list(layer_frame(layers)["reason"]) == ["memory-bound", ""]


def test_the_command_refuses_another_sweep(runs):
    name = run_in(runs, "finished")
    status, _, said = espalier(runs.root, "measure", name, "--sweep", "colour")
    assert status == 2 and "--sweep must be one of batch, engines, threads; got 'colour'" in said
