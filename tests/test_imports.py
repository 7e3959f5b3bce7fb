"""The house rules, read from the source: who may import whom, and what stays out of the web process."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LAYERS = [
    {
        "errors",
        "atomic",
        "papers",
        "phases",
        "settings",
        "level_settings",
        "overlaps",
        "config",
        "events",
        "controls",
        "presets",
        "paper_presets",
        "nested_presets",
        "machine",
        "checkpoint_file",
    }
    | {"table4", "crossed", "intervals"},
    {"proximal", "schedules", "lasso", "joint", "convex", "latency"},
    {"networks", "data"},
    {"structure"},
    {"nested"},
    {"methods"},
    {"conditions", "checkpoint", "attribution", "proof", "cut", "knife", "watching", "training", "trained"}
    | {
        "forms",
        "headline_forms",
        "headline",
        "published",
        "weightfile",
        "weightcentre",
        "weightorder",
        "weightmatch",
        "weightguess",
    }
    | {
        "own",
        "anew",
        "shuffled",
        "compacting",
        "starting",
        "standing",
        "levels",
        "objective",
        "observing",
        "resuming",
        "ending",
        "obeying",
        "crossing",
        "whatif",
        "losses",
        "sweeps",
    },
    {"runs", "lessons"},
    {"evidence"},
    {
        "cli_shared",
        "cli_collapses",
        "cli_data",
        "cli_knife",
        "cli_lesson",
        "cli_train",
        "cli_sweep",
        "cli_headline",
        "cli_levels",
        "cli_evidence",
        "cli_files",
        "cli_whatif",
        "cli_attribute",
        "cli_speed",
        "cli",
        "__main__",
    },
]
NAMES_ONLY = {
    "core.networks.names",
    "core.data.names",
    "core.data.augment",
}  # plain lists of names: settings are checked against them


def imports(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "core":
                yield from (f"core.{alias.name}" for alias in node.names)


def layer_of(module):
    part = module.split(".")[1] if module.count(".") else ""
    return next((i for i, layer in enumerate(LAYERS) if part in layer), None)


def test_every_part_of_core_imports_only_from_its_own_layer_or_those_above():
    for file in sorted((ROOT / "core").rglob("*.py")):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        mine = layer_of(name.removesuffix(".__init__"))
        if mine is None:
            assert name == "core.__init__", f"{name} stands in no layer"
            continue
        for wanted in imports(file):
            if wanted.startswith("core.") and wanted not in NAMES_ONLY:
                theirs = layer_of(wanted)
                assert theirs is not None and theirs <= mine, f"{name} must not import {wanted}"


def test_core_knows_no_screen():
    for file in (ROOT / "core").rglob("*.py"):
        found = {m.split(".")[0] for m in imports(file)} & {"streamlit", "plotly", "app"}
        assert not found, f"{file} imports {found}"


def test_the_app_never_names_torch():
    for file in (ROOT / "app").rglob("*.py"):
        found = {m.split(".")[0] for m in imports(file)} & {"torch", "captum", "torchvision"}
        assert not found, f"{file} imports {found}"


def test_the_vocabulary_needs_no_torch():
    code = "import sys; import core.config, core.events, core.presets, core.runs.store, core.runs.control, core.runs.folder, core.runs.lane_client, core.runs.dispatcher, core.runs.searching, core.runs.export, core.runs.bundle, core.runs.overview, core.runs.uploads, core.runs.collapses, core.overlaps, core.papers, core.losses, core.evidence.rendering, core.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_only_the_engine_room_starts_processes():
    for file in (ROOT / "core").rglob("*.py"):
        if "runs" not in file.parts:
            assert not {m for m in imports(file) if m in ("subprocess", "multiprocessing")}, file


def test_the_top_holds_only_what_was_agreed():
    agreed = {"app", "core", "assets", "tests", "requirements.txt", "README.md", "pyproject.toml"}
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    assert {line.split("/")[0] for line in listed if not line.startswith(".")} <= agreed
