"""The README, tested as code."""

import os
import re
import subprocess
import sys
from pathlib import Path

import bench_compacting
import bench_headline
import bench_knife
import bench_native
import bench_nested
import bench_promises
import bench_step
import bench_time_to
import bench_training
import pytest

from app.lessons import LESSONS
from core import presets
from core.cli import app
from core.evidence.counting import recorded, summary
from core.evidence.rendering import markdown, readme_section
from core.evidence.tables import TABLES

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_the_tables_of_evidence_are_made_of_its_rows():
    assert markdown("digits") in README and readme_section() in README


@pytest.mark.parametrize(
    "script",
    [
        bench_knife,
        bench_native,
        bench_headline,
        bench_step,
        bench_training,
        bench_compacting,
        bench_nested,
        bench_time_to,
        bench_promises,
    ],
)
def test_the_tables_of_the_benchmarks_are_their_evidence(script, capsys):
    printed = script.markdown() or capsys.readouterr().out
    assert re.search(r"^\| .*", printed, re.M | re.S).group().strip() in README


def test_the_default_run_keeps_its_promises():
    table = TABLES["digits"]
    rows = recorded(table)
    method, control, scratch = summary(table, rows)
    assert method["n"] == control["n"] == scratch["n"] == 5, (
        "the evidence of the default run is complete, and made with today's settings"
    )
    assert method["macs"][0] <= 0.5 and control["difference"][0] >= -0.01 and method["verdicts"] == ["exact"]
    for seed in range(5):
        row = rows[f"digits-sss.{seed}"]
        assert min(row["deaths"]) <= row["epochs"] / 3 and max(row["deaths"]) >= row["epochs"] * 2 / 3


def test_every_command_it_names_exists():
    named = set(re.findall(r"python -m core ([a-z]+)", README))
    known = {c.name or c.callback.__name__.rstrip("_") for c in app.registered_commands}
    assert named and named <= known


def test_every_script_it_names_finds_the_project_by_itself(tmp_path):
    scripts = sorted(set(re.findall(r"python tests/([a-z_]+)\.py", README)))
    code = """
import importlib, sys
for name in sys.argv[2:]:
    kept = list(sys.path)
    sys.path[0] = sys.argv[1]
    importlib.import_module(name)
    sys.path[:] = kept
    for own in [m for m in sys.modules if m.split(".")[0] in ("core", "app") or getattr(sys.modules[m], "__file__", None) and sys.argv[1] in sys.modules[m].__file__]:
        del sys.modules[own]
"""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT / "tests"), *scripts],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert len(scripts) > 8 and not done.returncode, done.stderr


def test_every_preset_it_names_exists():
    named = set(re.findall(r"python -m core (?:run|submit) ([a-z0-9-]+)", README))
    assert named <= {p.name for p in presets.PRESETS}


def test_it_lists_every_lesson_in_order():
    told = re.findall(r"^\| (\d \D.+?) \|", README.split("## Learn")[1].split("\n## ")[0], re.M)
    assert told == [f"{number} {lesson.title}" for number, lesson in enumerate(LESSONS, 1)]


def test_the_set_up_commands_stand_on_lines_of_their_own():
    lines = README.splitlines()
    start = "python3 -m venv .venv && . .venv/bin/activate && pip install -r "
    assert f"{start}requirements.txt && python -m app" in lines and f"{start}tests/requirements.txt && pytest" in lines


def test_files_it_names_exist():
    for name in re.findall(r"\((assets/[^)]+)\)|`(assets/[^`]+)`", README):
        assert (ROOT / (name[0] or name[1])).exists(), name
