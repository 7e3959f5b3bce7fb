"""Published structures: every plan, applied to the untrained network, leaves the sizes that its paper prints."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from make_published_plans import RECIPES, counted
from torch import nn

from core.errors import BadInput
from core.networks.names import NAMES
from core.published import FOLDER, PLANS, agrees, from_ranges, in_ranges, packed, published
from core.structure import apply, cost, verify

ROOT = FOLDER.parents[1]
SLOW = ("resnet164", "resnet50")  # planned again by the script alone; here masks and counts decide


def test_there_is_a_file_for_every_recipe():
    assert set(PLANS) == set(RECIPES) and {published(name).network for name in PLANS} <= set(NAMES)


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_leaves_what_was_published(name):
    told, recipe = published(name), RECIPES[name]
    network, example = recipe.built()
    plan = told.plan()
    if told.network not in SLOW:
        assert plan == recipe.plan(network, example), "run tests/make_published_plans.py again"
    assert plan.masked == recipe.masked(network)
    assert (told.title, told.note, told.published) == (recipe.title, recipe.note, recipe.published)
    compact = apply(plan, network, example)
    counts = counted(recipe, compact, example)
    assert counts == told.counted
    checked = {"error", "layers", "convolutions"}
    for what in ("params", "macs"):
        if what in told.published:
            checked.add(what)
            assert agrees(told.published[what], counts[what], counts[f"dense {what}"]), counts
    by_layer = {key: text for key, text in told.published.items() if key.startswith("macs of ")}
    if by_layer:
        dense = {c.path: c.macs for stage in recipe.layout().stages for block in stage.blocks for c in block.convs}
        left = {layer.path: layer.macs for layer in cost(compact, example.to("meta")).layers}
        for key, text in by_layer.items():
            path = key.removeprefix("macs of ")
            assert agrees(text, left[path], dense[path]), (path, left[path])
    assert checked | by_layer.keys() >= told.published.keys()


@pytest.mark.parametrize("depth", [12, 14, 16, 18])
def test_ssl_resnet20_keeps_as_many_convolutions_as_figure_6_shows(depth):
    told = published(f"ssl-resnet20-depth{depth}")
    network, example = RECIPES[told.name].built()
    compact = apply(told.plan(), network, example)
    sides: list[int] = []
    for module in compact.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            module.register_forward_hook(lambda module, inputs, output: sides.append(output.shape[-1]))
    compact(example)
    assert "/".join(str(sides.count(side)) for side in (32, 16, 8)) == told.published["convolutions"]
    assert len(sides) + 1 == depth == int(told.published["layers"])


def test_sparsities_of_the_convnets_are_those_of_table_3():
    for name, rows, columns in (
        ("ssl-convnet-2", ("50.0", "28.1", "1.6"), ("0.0", "59.2", "35.1")),  # 59.25: printed as 59.3
        ("ssl-convnet-3", ("31.2", "0.0", "1.6"), ("0.0", "42.8", "9.8")),  # 31.25: printed as 31.3
    ):
        plan = published(name).plan()
        for i, (units, inputs) in enumerate(((32, 75), (32, 800), (64, 800))):
            gone = len(plan.masked.get(f"conv{i + 1}/filter", ())) / units
            idle = len(plan.masked.get(f"conv{i + 1}/shape", ())) / inputs
            assert (f"{100 * gone:.1f}", f"{100 * idle:.1f}") == (rows[i], columns[i])


@pytest.mark.parametrize("name", ["ssl-resnet20-depth12", "ssl-lenet-2", "ssl-lenet-5", "ssl-convnet-2"])
def test_a_plan_fits_a_network_with_other_weights_and_is_exact(name):
    told = published(name)
    network, example = RECIPES[name].built()
    draw = torch.Generator().manual_seed(3)
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.dim() == 1:  # biases, norms
            tensor.data.add_(0.2 * torch.rand(tensor.shape, generator=draw))
    images = torch.randn(8, *told.shape, generator=draw)
    certificate = verify(network, told.plan(), example, [images])
    assert (certificate.verdict, certificate.reference) == ("exact", "masked")


def test_ranges_are_read_as_they_were_written():
    for units, text in (([], ""), ([0], "0"), ([0, 1, 2, 5], "0-2,5"), ([3, 7, 8], "3,7-8"), ([1, 3, 5], "1,3,5")):
        assert in_ranges(units) == text and from_ranges(text) == units
    plan = published("ssl-lenet-2").plan().model_dump(mode="json")
    assert packed(plan) == published("ssl-lenet-2").packed_plan
    assert packed(plan)["masked"]["conv1/filter"] == "5-19"


def test_printed_digits_decide_whether_a_count_agrees():
    assert agrees("25.3M", 25_307_304, 1) and not agrees("25.4M", 25_307_304, 1)
    assert agrees("3.47G", 3_472_621_568, 1) and agrees("53.53 %", 5353, 10_000) and not agrees("53.5 %", 5340, 10_000)


def test_an_unknown_name_is_refused_with_the_nearest_good_one():
    with pytest.raises(BadInput, match=r"published plan must be one of .*; got 'sss-resnet42'; did you mean 'sss-resn"):
        published("sss-resnet42")


def test_plans_are_listed_without_torch():
    program = (
        "import sys; from core.published import PLANS, published; assert published(PLANS[0]).published; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
