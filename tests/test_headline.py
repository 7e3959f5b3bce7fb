"""The headline of SSL: what is timed computes the same thing, at the published sparsities."""

import json

import pytest
import torch
import torch.nn.functional as F
from typer.testing import CliRunner

from core import headline, latency, table4
from core.cli import app
from core.headline import Case, cases, convolution, drawn, geometry, product
from core.headline_forms import LoweredCsr, Product, SideBySide, csr

ALL = cases(("product",), table4.LAYERS, table4.ROWS)


def generator():
    return torch.Generator().manual_seed(3)


def test_the_shapes_are_caffenets():
    found = {
        name: (tuple(conv.weight.shape), conv.groups, side)
        for name, (conv, side) in ((n, geometry(n)) for n in table4.LAYERS)
    }
    assert found == {
        "conv1": ((96, 3, 11, 11), 1, 227), "conv2": ((256, 48, 5, 5), 2, 27), "conv3": ((384, 256, 3, 3), 1, 13),
        "conv4": ((384, 192, 3, 3), 2, 13), "conv5": ((256, 192, 3, 3), 2, 13),
    }  # fmt: skip


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.key)
def test_every_conv_group_has_the_published_share_of_zeros(case):
    found = drawn(case, generator())
    for matrix in found.matrices:
        zero = matrix == 0
        share = zero.float().mean().item(), zero.all(0).float().mean().item(), zero.all(1).float().mean().item()
        if case.method == "l1":
            assert share[0] == pytest.approx(case.weights, abs=1e-4)
        else:
            assert share[1:] == pytest.approx((case.columns, case.rows), abs=0.005)
    assert found.promised == pytest.approx(1 / ((1 - case.weights) * (1 - case.columns) * (1 - case.rows)), rel=0.02)


def test_the_published_means_and_the_promise_are_the_papers():
    """The text of the paper says 5.1 and 3.1 for row 2; the promise is from the sparsities alone."""
    means = {number: (sum(row.cpu) / 5, sum(row.gpu) / 5) for number, row in table4.ROWS.items()}
    assert [round(x, 1) for x in means[2]] == [5.1, 3.1] and [round(x, 1) for x in means[1]] == [3.0, 0.9]
    assert round(means[5][1], 1) == 1.4
    row = table4.ROWS[2]
    promised = [1 / ((1 - c) * (1 - r)) for c, r in zip(row.columns, row.rows, strict=True)]
    assert sum(promised) / 5 == pytest.approx(5.8, abs=0.05)


def test_removing_rows_and_columns_or_storing_zeros_changes_no_product():
    case = Case("product", "conv5", "ssl", weights=0.3, columns=0.6, rows=0.25)
    found = drawn(case, generator())
    x = torch.randn(2, found.matrices.shape[2], 7, generator=generator())
    want = found.matrices.double() @ x.double()
    for got in (torch.stack(Product(list(found.matrices))(x)), torch.stack(Product(csr(found.matrices))(x))):
        assert torch.allclose(got.double(), want, atol=1e-4)
    fewer = torch.stack([part[at] for part, at in zip(x, found.columns, strict=True)])
    for got, whole, rows in zip(Product(found.removed())(fewer), want, found.rows, strict=True):
        assert len(rows) == 96 and torch.allclose(got.double(), whole[rows], atol=1e-4)


@pytest.mark.parametrize(("layer", "groups"), [("conv3", 1), ("conv5", 2)])
@pytest.mark.parametrize("row", [1, 2])
def test_the_whole_layer_answers_as_the_dense_one(row, layer, groups):
    (case,) = cases(("convolution-1",), (layer,), (row,))
    dense, left, x, promised = convolution(case, generator())
    assert dense.groups == groups and promised > 5
    assert torch.allclose(left(x), dense(x), atol=2e-3)
    assert (
        isinstance(left, LoweredCsr)
        or sum(p.numel() for p in left.parameters()) < sum(p.numel() for p in dense.parameters()) / 3
    )


@pytest.mark.parametrize("stride", [1, 3])
def test_lowering_and_conv_groups_side_by_side_are_the_convolution(stride):
    conv = torch.nn.Conv2d(6, 8, 3, stride, 1, groups=2).double()
    x = torch.randn(3, 6, 11, 11, dtype=torch.float64)
    want = F.conv2d(x, conv.weight, conv.bias, stride, 1, groups=2)
    with torch.no_grad():
        assert torch.allclose(LoweredCsr(conv, conv.weight.view(2, 4, -1))(x), want)
        assert torch.allclose(SideBySide(conv)(x), want)


def test_a_row_says_its_conditions_and_threads_are_given_back(monkeypatch):
    monkeypatch.setattr(Case, "pairs", 3)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        (case,) = cases(("product",), ("conv5",), (2,))
        row = headline.measured(case)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert {"protocol": "product", "layer": "conv5", "method": "ssl", "row": 2, "sparsity": None}.items() <= row.items()
    assert (row["n"], row["threads"], row["batch"], row["precision"]) == (3, 1, 1, "float32")
    assert row["cpu"] == latency.processor() and row["low"] <= row["measured"] <= row["high"]
    assert row["promised"] == pytest.approx(5.17, abs=0.01)
    dense, left, lowered, _ = product(case, generator())
    assert lowered.shape == (2, 1728, 169) and [w.shape for w in left.matrices] == [(128, 334)] * 2
    assert [w.shape for w in dense.matrices] == [(128, 1728)] * 2


def test_the_command_prints_one_document_and_refuses_other_names(monkeypatch):
    monkeypatch.setattr(Case, "pairs", 1)
    monkeypatch.setattr(table4, "SPARSITIES", (0.9,))
    asked = ["headline", "--layer", "conv5", "--rows", "2,1", "--protocol", "product", "--sweep", "conv5", "--json"]
    done = CliRunner().invoke(app, asked)
    document = json.loads(done.stdout)
    assert document["name"] == "ssl-alexnet-table4" and "1608.03665" in document["source"]
    assert list(document["rows"]) == [
        "product/row2/conv5", "product/row1/conv5", "sweep/l1-0.9/conv5", "sweep/ssl-0.9/conv5",
    ]  # fmt: skip
    refused = CliRunner().invoke(app, ["headline", "--rows", "3"])
    assert "--rows must be one of 1, 2, 4, 5; got '3'" in str(refused.exception)


def test_the_evidence_holds_every_case_and_reaches_the_papers_headline():
    document = table4.recorded()
    assert set(document["rows"]) == {case.key for case in cases(table4.BATCHES, table4.LAYERS, table4.ROWS)}
    assert table4.mean_speed(document, "product", 2) >= 5.1
    assert table4.mean_speed({"rows": {}}, "product", 2) is None
    for row in document["rows"].values():
        assert row["n"] >= (20 if row["batch"] == 128 else 50) and row["low"] <= row["measured"] <= row["high"]
