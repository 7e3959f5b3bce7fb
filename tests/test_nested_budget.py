"""The largest level within a budget: by MACs, bytes or measured milliseconds, changed while the network runs."""

import json
import sys

import pytest
import torch

from core import latency, levels
from core.cli import main
from core.errors import BadInput
from core.nested import Adaptive, Schedule, extract, nest
from core.nested.budget import N, Needs, largest_within, needs_of
from core.networks import build


@pytest.fixture(scope="module")
def adaptive():
    full = build("lenet", num_classes=10, in_channels=1, image_size=16)
    return Adaptive(nest(full, torch.zeros(1, 1, 16, 16), [Schedule(width=0.25), Schedule(width=0.5)]))


def test_a_budget_changes_the_level_in_place(adaptive):
    images = torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    core, middle, full = adaptive.needs()
    for limit, level in ((core.macs, 0), (middle.macs - 1, 0), (middle.macs, 1), (full.macs, 2), (1e12, 2)):
        assert adaptive.for_budget(macs=limit) == level == adaptive.level
        assert torch.equal(adaptive(images), extract(adaptive.nested, level)(images))
    assert adaptive.for_budget(bytes=middle.bytes) == 1 and adaptive.for_budget(ms=1e6) == 2


def test_needs_are_those_of_the_network_that_leaves(adaptive):
    for need in adaptive.needs():
        left = extract(adaptive.nested, need.level)
        assert need.bytes == sum(p.numel() * 4 for p in left.parameters())
        assert need.ms_low <= need.ms <= need.ms_high and need.ms > 0
    hidden = [need.macs for need in adaptive.needs()]
    assert hidden == sorted(hidden) and hidden[0] < hidden[2] / 4


def test_nothing_trains_while_milliseconds_are_taken(adaptive):
    """The full network is measured with the flag up that lets training wait."""
    held = []
    handle = adaptive.nested.full.register_forward_pre_hook(lambda *_: held.append(latency._FLAG.exists()))
    needs_of(adaptive.nested, 2, torch.zeros(1, 1, 16, 16))
    handle.remove()
    assert len(held) >= N and all(held[:N]) and not latency._FLAG.exists()


def test_milliseconds_choose_the_largest_level_that_is_quick_enough():
    """Also where a smaller level is slower by chance."""
    needs = [Needs(level, 1, 1, ms, ms, ms) for level, ms in enumerate((2.0, 1.5, 4.0))]
    assert [largest_within(needs, "ms", limit) for limit in (1.6, 3.9, 4.0)] == [1, 1, 2]
    with pytest.raises(BadInput, match=r"must allow the core, which needs 1.5 ms; got 1; allow more"):
        largest_within(needs, "ms", 1.0)


@pytest.mark.parametrize(
    "limits", [{}, {"ms": 1, "macs": 2}, {"ms": -1}, {"bytes": float("nan")}, {"ms": float("inf")}]
)
def test_a_budget_is_one_positive_number(adaptive, limits):
    with pytest.raises(BadInput, match="a budget must be one positive number: ms, macs or bytes"):
        adaptive.for_budget(**limits)


def test_the_command_says_what_every_level_needs(tmp_path, monkeypatch, capsys):
    def core(*arguments):
        monkeypatch.setattr(sys, "argv", ["core", *arguments, "--runs", str(tmp_path), "--json"])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, json.loads(out) if out else None, err

    short = ("--set", "epochs=1", "--set", "network=lenet", "--set", "measure_every=0", "--set", "threads=1")
    run = core("run", "digits-nested", *short)[1]["run"]
    found = core("budget", run, "--macs", "200000", "--batch", "4")[1]
    assert found["level"] == 0 and found["limit"] == {"macs": 200000} and found["batch"] == 4 and found["n"] == 21
    assert [row["macs"] for row in found["levels"]] == [143_500, 537_000]
    net = levels.adaptive(tmp_path / run)
    assert net.for_budget(macs=200_000) == 0 and net(torch.zeros(1, 1, 8, 8)).shape == (1, 10)
    with pytest.raises(BadInput, match="must be the folder of a run with a checkpoint"):
        levels.adaptive(tmp_path / "nothing")
    code, _, err = core("budget", run, "--bytes", "10")
    assert code == 2 and "the budget must allow the core" in err
