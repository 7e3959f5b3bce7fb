"""The README, tested as code."""

import json
import re
from pathlib import Path

import bench_headline
import bench_knife
import bench_native
import bench_nested
import bench_step
import bench_training
import pytest

from core import presets
from core.cli import app
from core.runs.evidence import TABLES, listed, markdown

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_the_table_is_the_evidence():
    for name in TABLES:
        assert markdown(name) in README


@pytest.mark.parametrize(
    "script", [bench_knife, bench_native, bench_headline, bench_step, bench_training, bench_nested]
)
def test_the_tables_of_the_benchmarks_are_their_evidence(script, capsys):
    printed = script.markdown() or capsys.readouterr().out
    assert re.search(r"^\| .*", printed, re.M | re.S).group().strip() in README


def test_the_evidence_is_complete_and_made_with_todays_settings():
    assert all(table["complete"] for table in listed())


def test_the_default_run_keeps_its_promises():
    summary = json.loads(TABLES["digits"].file.read_text())["summary"]
    assert summary["n"] == 5 and summary["macs_left"]["mean"] <= 0.5
    assert summary["paired_difference"]["mean"] >= -0.01
    assert summary["verdicts"] == ["exact"]
    for first, last, total in zip(
        summary["first_death_epoch"], summary["last_death_epoch"], summary["epochs"], strict=True
    ):
        assert first <= total / 3 and last >= total * 2 / 3


def test_every_command_it_names_exists():
    named = set(re.findall(r"python -m core ([a-z]+)", README))
    known = {c.name or c.callback.__name__.rstrip("_") for c in app.registered_commands}
    assert named and named <= known


def test_every_preset_it_names_exists():
    named = set(re.findall(r"python -m core (?:run|submit) ([a-z0-9-]+)", README))
    assert named <= {p.name for p in presets.PRESETS}


def test_the_set_up_commands_stand_on_lines_of_their_own():
    lines = README.splitlines()
    start = "python3 -m venv .venv && . .venv/bin/activate && pip install -r "
    assert f"{start}requirements.txt && python -m app" in lines and f"{start}tests/requirements.txt && pytest" in lines


def test_files_it_names_exist():
    for name in re.findall(r"\((assets/[^)]+)\)|`(assets/[^`]+)`", README):
        assert (ROOT / (name[0] or name[1])).exists(), name
