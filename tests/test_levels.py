"""Nested levels as the Levels page shows them: what is computed for it, its figures and words, and the page itself."""

import base64
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import torch
from conftest import ROOT
from PIL import Image
from sklearn.metrics import normalized_mutual_info_score
from test_pages import page, words

from app import level_charts, level_sentences, level_words
from app import runs as runs_seen
from app.app_pages.levels_budget import budget_sentence, ends, needs_table, within
from app.app_pages.levels_cost import (
    alone_frame,
    consensus_of,
    controls_beside,
    cost_frame,
    cost_of_training,
    others_frame,
)
from app.app_pages.levels_filters import alike_sentence, rows_of
from app.app_pages.levels_predict import answers_table, verdicts
from app.app_pages.run_tiles import leaving
from app.pictures import kernel_sheet, pixels_of
from app.runs import RunView
from core.config import checked
from core.data import load
from core.errors import BadInput, WrongMoment
from core.level_settings import Level
from core.nested import Making, Schedule, extract, nest, nest_masks
from core.nested.alikeness import alikeness, normalised_mutual_information, quantised
from core.nested.answering import agrees, by_family, disagreements, probabilities
from core.nested.bands import bands, first_held
from core.nested.knowledge import views_of
from core.nested.masks import LAYERS, fall_at_once
from core.networks import build
from core.papers import points_beside
from core.runs import home
from core.runs.control import new_run
from core.runs.folder import RunFolder
from core.runs.lane import _which
from core.runs.lane_levels import LevelQuestions, image_of
from core.runs.lane_stands import Stands
from core.runs.store import Store
from core.structure import cost
from core.trained import trained_network


def network(name, channels=3, side=8, seed=0):
    made = build(
        name, num_classes=10, in_channels=channels, image_size=side, generator=torch.Generator().manual_seed(seed)
    )
    return made, torch.zeros(1, channels, side, side)


# how alike filters are


@pytest.mark.parametrize(("bins", "length"), [(2, 9), (3, 27), (4, 147), (7, 50)])
def test_normalised_mutual_information_is_scikit_learns_with_the_geometric_mean(bins, length):
    draw = np.random.default_rng(bins)
    labels, others = draw.integers(0, bins, (5, length)), draw.integers(0, bins, (4, length))
    labels[0, 0], others[0] = bins - 1, labels[0]
    found = normalised_mutual_information(torch.tensor(labels), torch.tensor(others))
    wanted = [[normalized_mutual_info_score(a, b, average_method="geometric") for b in others] for a in labels]
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-12)


def test_a_filter_of_one_value_tells_nothing():
    assert normalised_mutual_information(torch.zeros(1, 9).long(), torch.arange(9)[None] % 3).item() == 0


def test_bins_hold_equally_many_values_and_follow_their_order_alone():
    values = torch.randn(6, 27, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = quantised(values)
    assert all(row.bincount().tolist() == [9, 9, 9] for row in labels)
    assert torch.equal(labels, quantised(values.exp())) and torch.equal(quantised(-values), 2 - labels)
    assert quantised(torch.zeros(1, 10))[0].tolist() == [0] * 4 + [1] * 3 + [2] * 3


def test_filters_that_repeat_within_a_level_are_alike_there_and_not_between_levels():
    one, two = torch.randn(2, 1, 300, generator=torch.Generator().manual_seed(1))
    filters, level = torch.cat([one, 2 * one + 1, two, two]), torch.tensor([0, 0, 1, 1])
    found = alikeness(filters, level)
    assert found["within"] == pytest.approx({"mean": 1.0, "std": 0.0, "pairs": 2}, abs=1e-9)
    assert found["between"]["mean"] < 0.05 and found["between"]["pairs"] == 4 and found["chance"] < 0.05
    assert alikeness(filters, torch.zeros(4).long())["between"] is None
    assert alikeness(filters[:2], torch.tensor([0, 1]))["within"] is None


# who contains whom


def test_bands_count_what_the_levels_have_when_they_leave():
    full, example = network("wrn-14-4")
    nested = nest(full, example, [Schedule(0.5, 0.5), Schedule(0.5, 1.0), Schedule(1.0, 0.5)])
    found = {row["layer"]: row for row in bands(nested)}
    for level in range(4):
        left = {path: m for path, m in extract(nested, level).named_modules() if isinstance(m, LAYERS)}
        for path, row in found.items():
            wanted = left[path].weight.shape[0] if path in left else 0
            assert row["units"]["kept"][level] == wanted, (path, level)
            assert row["weights"]["kept"][level] == (left[path].weight.numel() if path in left else 0)
    assert found["stage3.1.conv1"]["units"] == {"kept": [0, 128, 0, 256], "total": 256}
    verdict = level_words.subset_verdict(
        {f"{j} in {k}": h for (j, k), h in nested.subset_holds().items()}, 4, list(found.values())
    )
    assert not verdict[0] and "all pairs of levels but one: level 1 does not lie in level 2" in verdict[1]
    assert "the paper accepts that" in verdict[1]


def test_bands_of_masks_keep_all_channels_and_the_share_of_weights_that_was_asked_for():
    full, example = network("lenet", 1, 16)
    total = sum(m.weight.numel() for m in full.modules() if isinstance(m, LAYERS))
    fall_at_once(full, [total // 2, total // 3], None)
    nested = nest_masks(full, example, 3)
    rows = bands(nested)
    assert [sum(row["weights"]["kept"][k] for row in rows) for k in range(3)] == [total // 3, total // 2, total]
    level = first_held(nested, f"{rows[0]['layer']}.weight")
    assert [(level <= k).sum().item() for k in range(3)] == rows[0]["weights"]["kept"]


def test_the_first_level_of_every_weight_follows_the_leading_channels():
    full, example = network("resnet20")
    nested = nest(full, example, [Schedule(0.25), Schedule(0.5)])
    level = first_held(nested, "conv.weight")
    assert level.amin((1, 2, 3)).tolist() == level.amax((1, 2, 3)).tolist() == [0] * 4 + [1] * 4 + [2] * 8


# what levels answer


@pytest.fixture(scope="module")
def hierarchy(tmp_path_factory):
    """Levels on digits: the core tells even from odd, the full level the digits."""
    file = tmp_path_factory.mktemp("labels") / "parity.json"
    file.write_text(json.dumps({str(d): "odd" if d % 2 else "even" for d in range(10)}))
    dataset = load("digits")
    full, _ = network("lenet", 1, 8)
    views = views_of([Level(width=0.5, labels=str(file)), Level()], dataset)
    return nest(full, torch.zeros(1, 1, 8, 8), [Schedule(0.5)], Making("own", [2], [10])), views


def test_families_are_counted_as_one_would_by_hand(hierarchy):
    nested, views = hierarchy
    (found,) = by_family(nested, views)
    test = views[-1].dataset.test
    core, full = (told.argmax(1).tolist() for told in probabilities(nested, views, test.images))
    labels, names = test.labels.tolist(), found["names"]
    family = [names.index("odd" if d % 2 else "even") for d in range(10)]
    for f in range(2):
        mine = [i for i, d in enumerate(labels) if family[d] == f]
        assert found["images"][f] == len(mine)
        assert found["coarse"][f] == pytest.approx(sum(core[i] == f for i in mine) / len(mine))
        assert found["mapped"][f] == pytest.approx(sum(family[full[i]] == f for i in mine) / len(mine))
        assert found["fine"][f] == pytest.approx(sum(full[i] == labels[i] for i in mine) / len(mine))
    assert found["agree"] == pytest.approx(np.mean([core[i] == family[full[i]] for i in range(len(labels))]))
    assert agrees(views[0], torch.tensor(core), torch.tensor(full)).float().mean().item() == pytest.approx(
        found["agree"]
    )


def test_disagreements_are_those_of_the_first_images_in_the_levels_own_classes(hierarchy):
    nested, views = hierarchy
    found, test = disagreements(nested, views, 150), views[-1].dataset.test
    core, full = (told.argmax(1) for told in probabilities(nested, views, test.images[:150]))
    wanted = [i for i in range(150) if core[i] != views[0].of[full[i]]]
    assert found["looked"] == 150 and [row["index"] for row in found["rows"]] == wanted
    assert all(row["said"] == [core[row["index"]], full[row["index"]]] for row in found["rows"])
    assert disagreements(nested, views, 10_000)["looked"] == len(test)


# pictures from outside


def png(array):
    out = io.BytesIO()
    Image.fromarray(array).save(out, "PNG")
    return out.getvalue()


def test_an_upload_becomes_the_middle_square_at_the_data_sets_size():
    wide = np.zeros((20, 60, 3), "u1")
    wide[:, 15:45] = (255, 128, 0)
    assert pixels_of(png(wide), (3, 4, 4)).tolist() == np.full((4, 4, 3), (255, 128, 0)).tolist()
    grey = pixels_of(png(np.full((9, 9), 200, "u1")), (1, 8, 8), swapped=True)
    assert grey.shape == (8, 8, 1) and set(grey.ravel()) == {55}
    clear = np.zeros((8, 8, 4), "u1")
    assert set(pixels_of(png(clear), (1, 8, 8)).ravel()) == {255}


@pytest.mark.parametrize("file", [b"", b"no picture", png(np.zeros((8, 8), "u1"))[:40]])
def test_a_bad_upload_is_one_sentence(file):
    with pytest.raises(BadInput, match="must be a picture that can be decoded, such as PNG or JPEG") as error:
        pixels_of(file, (3, 32, 32))
    assert "\n" not in str(error.value)


def test_kernels_are_framed_and_missing_weights_are_clear():
    kernel = np.ones((1, 2, 2))
    kernel[0, 0, 0] = np.nan
    sheet = kernel_sheet([kernel] * 3, scale=4, columns=2)
    assert sheet.shape == (25, 25, 4) and sheet[2, 2, 3] == 0 and sheet[8, 8, 3] == 255 and sheet[20, 20, 3] == 0
    assert [
        len(kernels)
        for _, kernels in rows_of(
            np.ones((3, 1, 2, 2)), np.array([0, 1, 1]).reshape(3, 1, 1, 1) + np.zeros((3, 1, 2, 2)), 3
        )
    ] == [1, 2, 0]


# figures and words


def result_of(count, classes=None):
    """A result with that many levels, as the engine writes it."""
    classes = classes or [10] * count
    levels = [
        {
            "level": k, "params": 100 * (k + 1), "macs": 1000 * (k + 1), "bytes": 400 * (k + 1), "density": (k + 1) / count,
            "classes": classes[k], "dataset": "digits", "accuracy": {"test": 0.8 + 0.02 * k},
            "speed": None if k == count - 1 else {"measured": 1.5, "low": 1.4, "high": 1.62, "n": 30, "threads": 1, "cpu": "x", "batch": 128},
            "certificate": {"verdict": "exact", "max_rel": 0.0},
        }
        for k in range(count)
    ]  # fmt: skip
    layers = [("conv", "conv"), ("stage1.0.conv1", "conv"), ("fc", "linear")]
    rows = [
        {"layer": name, "kind": kind, "units": {"kept": [10] * count if kind == "linear" else [k + 1 for k in range(count)], "total": 10 if kind == "linear" else count},
         "weights": {"kept": [k + 1 for k in range(count)], "total": count}}
        for name, kind in layers
    ]  # fmt: skip
    return {
        "levels": levels, "consensus": {"average": 0.9, "learned": None}, "bytes": {"nested": 1_000_000, "separate": 1_300_000},
        "subset_holds": {f"{j} in {k}": True for k in range(count) for j in range(k)}, "bands": rows,
        "families": [{"level": 0, "names": ["a", "b"], "images": [5, 5], "coarse": [0.9, 0.7], "mapped": [0.8, 0.8], "fine": [0.5, 0.6], "agree": 0.75}],
    }  # fmt: skip


def specs_of(count):
    result = result_of(count)
    frame, none = cost_frame(result), pd.DataFrame({"level": [], "accuracy": [], "runs": []})
    alone = pd.DataFrame([{"level": 0, "accuracy": 0.85, "runs": 1}])
    papers = pd.DataFrame([{"label": "a", "method": "nested", "accuracy": 0.9, "left": 0.5, "citation": "b"}])
    epochs = [{"epoch": e, "levels": [0.1 * e + 0.01 * k for k in range(count)]} for e in range(5)]
    return {
        "bands": level_charts.nested_bands(result["bands"], False, ["conv", "1.1 conv1"], [("", 1), ("Stage 1", 1)]),
        "masked": level_charts.nested_bands(result["bands"], True, ["conv", "1.1 conv1", "fc"]),
        "macs": level_charts.accuracy_against_cost(frame, consensus_of(result), alone, papers),
        "weights": level_charts.accuracy_against_cost(frame, consensus_of(result), none, papers.iloc[:0], "weights"),
        "speed": level_charts.accuracy_against_cost(frame, consensus_of(result), alone, papers, "speed"),
        "lines": level_charts.level_lines(epochs), "families": level_charts.family_accuracy(result["families"][0], count),
        "no epoch": level_charts.level_lines([{"epoch": 0, "levels": ()}]),
    }  # fmt: skip


@pytest.mark.parametrize("count", range(2, 7))
def test_every_figure_is_valid_plotly_small_and_says_what_to_see(count):
    for name, spec in specs_of(count).items():
        go.Figure({"data": spec["data"], "layout": spec["layout"]})
        assert len(json.dumps(spec, allow_nan=False)) < 50_000 and spec["alt"].endswith("."), name


def test_bands_are_drawn_from_the_full_level_inwards_each_narrower():
    bars = specs_of(4)["bands"]["data"]
    assert [bar["name"] for bar in bars] == ["level 3 full", "level 2", "level 1", "level 0 core"]
    assert [bar["width"] for bar in bars] == sorted((bar["width"] for bar in bars), reverse=True)
    uneven = [
        {**row, "units": {"kept": [5, 50], "total": total}}
        for row, total in zip(result_of(2)["bands"], (50, 5000), strict=False)
    ]
    shares = level_charts.nested_bands(uneven, False, ["conv", "fc"])
    assert shares["data"][1]["y"] == [10, 0.1] and shares["layout"]["yaxis"]["title"]["text"] == "channels kept, %"
    assert len({bar["marker"]["color"] for bar in bars}) == 4 and bars[0]["y"] == [4, 4], (
        "the last layer is nobody's to split"
    )


def test_a_line_joins_only_levels_of_one_run_with_the_same_classes():
    frame = cost_frame(result_of(3, [4, 10, 10]))
    spec = level_charts.accuracy_against_cost(frame, {}, pd.DataFrame(), pd.DataFrame())
    lines = [trace for trace in spec["data"] if trace["mode"] == "lines"]
    assert [len(line["x"]) for line in lines] == [1, 2]
    assert all(
        trace["mode"] == "markers"
        for trace in specs_of(2)["macs"]["data"]
        if "alone" in trace.get("name", "") or "paper" in trace.get("name", "")
    )


def test_the_sentences_say_what_levels_cost_and_gain():
    result = result_of(2)
    frame = cost_frame(result)
    said = level_sentences.cost_sentence(frame, consensus_of(result), pd.DataFrame([{"level": 0, "accuracy": 0.85}]))
    assert said == (
        "The core does 50 % of the full level's MACs and measures 1.50 × as fast (quartiles 1.40-1.62). It answers right on 80.0 % where the full level does on 82.0 %; "
        "all levels asked together: average 90.0 %; level 0 core trained alone, +5.0 pp against nested. One seed."
    )
    masked = level_sentences.cost_sentence(frame.assign(macs=1.0), {}, pd.DataFrame())
    assert masked.startswith("The core keeps 50 % of the weights, but scattered: it computes as much as the full level")
    assert level_words.bytes_sentence(result) == (
        "The file with all 2 levels has 1.0 MB; in files of their own they would take 1.3 MB, 1.30 times as much. (Parameters and buffers.)"
    )
    assert list(level_words.levels_table(result)["times as fast (quartiles)"]) == ["1.50 × (1.40-1.62, n = 30)", "1 ×"]
    assert level_words.level_tiles(result)[0] == (
        "level 0 core · test accuracy",
        "80.0 %",
        "50 % of the MACs · 1.50 × as fast (1.40-1.62)",
    )
    assert level_words.level_tiles(result_of(2, [4, 10]))[0][0] == "level 0 core · test accuracy, 4 classes"
    assert level_words.subset_verdict({"0 in 1": True}, 2)[0]
    assert "between middle levels only" in level_words.subset_verdict({"0 in 1": False}, 3)[1]


def test_alike_filters_are_told_from_unlike_ones_and_from_chance():
    def said(within, between, chance, std=0.05):
        return alike_sentence(
            {"within": {"mean": within, "std": std}, "between": {"mean": between, "std": std}, "chance": chance}
        )

    assert "clearly less alike than" in said(0.38, 0.08, 0.02) and "too few values" not in said(0.38, 0.08, 0.02)
    assert "as alike as" in said(0.3, 0.3, 0.3) and "too few values" in said(0.3, 0.3, 0.3)


def test_an_answer_says_where_core_and_full_level_part():
    def told(agree, of=None, label=1):
        levels = [{"names": ["a", "b"], "probabilities": [0.7, 0.3], "agrees": agree, "of": of},
                  {"names": ["a", "b"], "probabilities": [0.2, 0.8], "agrees": True, "of": None}]  # fmt: skip
        return {"levels": levels, "label": label, "class_names": ["a", "b"]}

    assert verdicts(told(False)) == ["Core (a) and full level (b) disagree: the core is not enough for this image."]
    assert list(answers_table(told(False))["full level"]) == ["✗ differs", "—"]
    assert list(answers_table(told(False))["truth"]) == ["✗ it is b", "✓ right"]
    assert (
        "do not fit: b belongs to b" in verdicts(told(False, [0, 1]))[0]
        and "they fit together" in verdicts(told(True, [0, 0]))[0]
    )
    assert "learned other images" in verdicts(told(None))[0] and "truth" not in answers_table(told(True, label=None))


def test_the_papers_shares_of_macs_are_those_of_the_networks_here():
    whole = cost(*network("wrn-32-4", 3, 32)).macs_per_image
    found = {p.point: p for p in points_beside("wrn-32-4", "cifar100")}
    for name in ("WRN-14-4", "WRN-32-1", "WRN-14-1"):
        share = cost(*network(name.lower(), 3, 32)).macs_per_image / whole
        assert found[f"NestedNet {name}"].macs_left == pytest.approx(share, rel=0.01), name
    assert found["NestedNet-L"].error == 21.9 and "arXiv 1712.03781, table 2 (paper)" in found["NestedNet-L"].source


# the page


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(runs folder, a finished nested run of two short epochs)."""
    root = tmp_path_factory.mktemp("nested")
    short = ("--set", "epochs=2", "--set", "network=lenet", "--set", "measure_every=0", "--set", "threads=1")
    done = subprocess.run(
        [sys.executable, "-m", "core", "run", "digits-nested", *short, "--runs", str(root), "--json"], cwd=ROOT, capture_output=True, text=True, check=True
    )  # fmt: skip
    return root, json.loads(done.stdout)["run"]


@pytest.fixture
def lane(trained, monkeypatch):
    """The lane's answers, given in this process."""
    monkeypatch.setenv("ESPALIER_RUNS", str(trained[0]))
    dataset = load("digits")
    kept = {}

    def of(file):
        if file not in kept:
            found, config, _, epoch = trained_network(Path(file), dataset)
            kept[file] = found, config, epoch
        return kept[file]

    questions = LevelQuestions(Stands(_which, of, lambda name: dataset))
    asked = []

    def ask(root, question, *, timeout_s=1.0, **details):
        asked.append((question, details))
        try:
            return getattr(questions, question)(**details)
        except BadInput as error:
            raise WrongMoment(str(error)) from None

    monkeypatch.setattr("app.asking.ask", ask)
    return questions, asked


def test_the_lane_answers_for_every_level_at_once(lane, trained):
    questions, _ = lane
    folder = str(trained[0] / trained[1])
    told = questions.levels(folder, index=3)
    test = load("digits").test
    assert told["label"] == int(test.labels[3]) and len(told["levels"]) == 2
    sent = base64.b64encode(bytes(np.array(told["pixels"], "u1").ravel())).decode()
    drawn = questions.levels(folder, pixels=sent)
    assert drawn["label"] is None and drawn["levels"] == told["levels"]
    assert questions.part(folder)["looked"] == len(test)
    made = questions.nesting(folder)
    result = Store(trained[0]).get(trained[1]).result
    assert made["subset_holds"] == {"0 in 1": True} and made["bands"] == result["bands"]
    assert np.array(made["first"]["kernels"]).shape == np.array(made["first"]["level"]).shape


@pytest.mark.parametrize("pixels", ["AAAA", "not base64!", base64.b64encode(bytes(65)).decode()])
def test_pixels_of_another_size_are_refused_in_a_sentence(pixels):
    with pytest.raises(BadInput, match="pixels must be base64 of 8 x 8 x 1 bytes; got"):
        image_of(pixels, (1, 8, 8))


def test_without_a_run_the_page_says_what_nested_networks_are_and_starts_one(runs, monkeypatch):
    monkeypatch.setattr("core.runs.control.ensure_dispatcher", lambda root: None)
    at = page("levels")
    assert not at.exception and "several networks in one" in words(at)
    at.button(key="start-nested").click().run()
    assert [row.preset for row in runs.all()] == ["digits-nested"] and not at.exception


def test_a_run_of_one_network_says_so_and_offers_the_nested_ones(runs, run_state):
    at = page("levels", run_state("finished"))
    assert "holds one network" in words(at) and not at.exception


def test_the_page_shows_a_finished_run_and_the_slider_asks_nothing_again(trained, lane):
    _, asked = lane
    at = page("levels", trained[1])
    assert not at.exception and not at.error
    said = words(at)
    for wanted in ("The subset property holds", "The core does", "level 0 core", "Filters of different levels", "says"):
        assert wanted in said, wanted
    assert f"python -m core extract {trained[1]} --level 0 -o core.safetensors" in at.code[0].value
    before = [question for question, _ in asked].count("levels")
    at.select_slider(key="levels-slider").set_value(1).run()
    assert "Level **1 full** says" in words(at) and [question for question, _ in asked].count("levels") == before
    at.button(key="levels-find").click().run()
    assert "of the first 360 test images" in words(at) or "Of the first 360" in words(at)


def test_the_level_comes_from_the_address(trained, lane):
    at = page("levels", trained[1], level="1")
    assert at.select_slider(key="levels-slider").value == 1
    assert page("levels", trained[1], level="9").select_slider(key="levels-slider").value == 0


def test_a_level_is_written_and_offered_with_its_proof(trained, lane):
    at = page("levels", trained[1])
    at.button(key="levels-make-0").click().run()
    assert not at.exception and len(at.get("download_button")) == 1
    assert "removal: exact" in words(at)
    assert (trained[0] / "forms" / trained[1]).is_dir()


@pytest.fixture
def changed(monkeypatch, trained):
    """Shows the finished run with another result: `change` makes it of the real one."""
    real = RunView.refresh
    result = RunView(trained[1], RunFolder(trained[0] / trained[1])).refresh().result

    def show(change):
        def refresh(self):
            real(self).result = change(result)
            return self

        monkeypatch.setattr(RunView, "refresh", refresh)

    runs_seen._view.clear()
    yield show
    runs_seen._view.clear()


def test_a_result_from_before_bands_and_families_were_kept_is_shown_all_the_same(trained, lane, changed):
    changed(lambda result: {k: v for k, v in result.items() if k not in ("bands", "families")})
    at = page("levels", trained[1])
    assert not at.exception and "The subset property holds" in words(at)
    assert "nesting" in [question for question, _ in lane[1]]


def test_a_run_without_a_result_yet_shows_what_there_is(trained, lane, changed):
    changed(lambda result: None)
    at = page("levels", trained[1])
    assert not at.exception and "at the end of training" in words(at) and "Validation accuracy" in words(at)


def test_levels_of_other_images_are_not_searched_for_disagreements(trained, lane, monkeypatch):
    questions, _ = lane
    real = questions.levels

    def levels(**asked):
        told = real(**asked)
        told["levels"][0]["agrees"] = None
        return told

    monkeypatch.setattr(questions, "levels", levels)
    at = page("levels", trained[1])
    assert "learned other images" in words(at) and "levels-find" not in {button.key for button in at.button}


def test_families_have_a_card_where_levels_have_coarser_classes(trained, lane, changed):
    more = {"families": result_of(2)["families"]}
    changed(lambda result: result | more)
    at = page("levels", trained[1])
    assert not at.exception and "name the same of 2 families for 75.0 %" in words(at)


def test_levels_trained_alone_stand_beside(trained, lane):
    store = Store(trained[0])
    row = store.get(trained[1])
    config = json.loads(json.dumps(row.config))
    config["phases"][-1]["alone"] = 0
    names = []
    for right in (0.7, 0.8):
        names.append(new_run(store, checked(config), role="level alone", family=row.family, foreground=True))
        store.claim(names[-1], *home.identity())
        store.set_state(names[-1], "finished", result={"accuracy": {"test": right}})
    pair = {
        "accuracy": {"test": 0.6},
        "macs_per_image": {"dense": 100, "compact": 25},
        "params": {"dense": 10, "compact": 2},
    }
    masks = {"levels": [{"accuracy": {"test": 0.5}, "macs": 100, "density": 0.3}, {"macs": 100, "density": 1.0}]}
    for role, result in (("dense control", pair | {"seconds": 30}), ("student", pair), ("random masks", pair | masks)):
        names.append(new_run(store, checked(config), role=role, family=row.family, foreground=True))
        store.claim(names[-1], *home.identity())
        store.set_state(names[-1], "finished", result=result)
    controls = controls_beside(row)
    assert alone_frame(row.config, controls).to_dict("records") == [
        {"level": 0, "accuracy": pytest.approx(0.75), "runs": 2}, {"level": 1, "accuracy": 0.6, "runs": 1},
    ]  # fmt: skip
    assert others_frame(controls).to_dict("records") == [
        {"name": "core taught by the dense network", "accuracy": 0.6, "macs": 0.25, "weights": 0.2},
        {"name": "random masks", "accuracy": 0.5, "macs": 1.0, "weights": 0.3},
    ]
    assert cost_of_training(row.config, row.result, controls) == "", "the level alone tells no seconds"
    told = words(page("levels", trained[1]))
    assert "level 0 core trained alone" in told
    for name in names:
        store.set_deleted(name, True)


def test_the_largest_level_within_a_budget_is_said_and_marked():
    needs = [
        {"level": k, "ms": ms, "ms_low": ms, "ms_high": ms, "macs": 10 * (k + 1), "bytes": 4 * (k + 1)}
        for k, ms in enumerate((2.0, 1.5, 4.0))
    ]
    assert [within(needs, "ms", limit) for limit in (1.0, 1.5, 3.0, 4.0)] == [None, 1, 1, 2]
    assert budget_sentence(needs, "ms", 3.0, 1) == (
        "**Level 1** fits: it needs 1.5 ms a batch; the next one, level 2 full, would need 4. A smaller level is no quicker here: so "
        "small a network is bound by calls, not by arithmetic."
    )
    assert budget_sentence(needs, "macs", 5, None).startswith("Not even the core fits: it needs **10 MACs an image**")
    assert list(needs_table(needs, 2)["fits best"]) == ["", "", "✓"]
    assert ends([2.0, 4.0], "ms")["value"] == 3.0 and isinstance(ends([10, 30], "macs")["value"], int)


def test_the_lane_says_what_every_level_needs(trained, lane):
    questions, _ = lane
    told = questions.needs(folder=str(Path(trained[0]) / trained[1]), batch=2)
    assert [need["level"] for need in told["levels"]] == [0, 1] and told["batch"] == 2 and told["n"] == 21
    assert told["levels"][0]["macs"] < told["levels"][1]["macs"]


def test_a_tile_says_how_many_levels_leave_equal():
    proofs = [
        {"verdict": "exact", "max_rel": 2e-16},
        {"verdict": "failed", "max_rel": 0.5},
        {"verdict": "nothing-removed", "max_rel": 0.0},
    ]
    levels = [{"certificate": proof} for proof in proofs]
    assert leaving(levels[::2]) == ("levels that leave equal", "2 of 2", "largest difference 2·10⁻¹⁶")
    assert leaving(levels) == ("levels that leave equal", "2 of 3", "level 1: failed")
