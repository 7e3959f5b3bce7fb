"""The command line as a script uses it: exit codes, JSON, sentences."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from made_up import files_of_at_most

from core import cli
from core.errors import WrongMoment
from core.presets import PRESETS
from core.runs.store import Store
from core.runs.tables import Run

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


def espalier(folder, *arguments, data=False):
    environment = {k: v for k, v in os.environ.items() if data or k != "ESPALIER_DATA"}
    environment |= {"ESPALIER_RUNS": str(folder)}
    done = subprocess.run(
        [sys.executable, "-m", "core", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def trained(folder):
    """A short run whose strength kills filters early."""
    code, out, err = espalier(
        folder, "run", "digits-sss", "--set", "epochs=8", "--set", "seed=3", "--set", "strength_filter=0.06", "--set", "lr=0.05",
        "--set", "strength_schedule=constant", "--json",
    )  # fmt: skip
    assert code == 0, err
    return json.loads(out)


def test_a_run_prints_one_document_with_the_agreed_keys(trained):
    assert set(trained) >= {
        "run", "state", "attempt", "config", "accuracy", "macs", "macs_per_image", "params", "survival", "removed", "certificate", "speed", "weights_sha256",
    }  # fmt: skip
    assert set(trained["accuracy"]) == {"val", "test", "compact", "finetuned"}
    assert set(trained["macs"]) == set(trained["params"]) == {"dense", "compact"}
    assert set(trained["certificate"]) == {
        "verdict",
        "max_abs",
        "max_rel",
        "spread",
        "top1_agreement",
        "float32_max_rel",
        "sizes",
        "inputs",
        "reference",
    }
    assert set(trained["speed"]) >= {
        "measured",
        "promised",
        "low",
        "high",
        "n",
        "threads",
        "cpu",
        "device",
        "batch",
        "layers",
    }
    assert all(set(row) == {"site", "kind", "alive", "total"} for row in trained["survival"])
    assert trained["state"] == "finished" and trained["config"]["seed"] == 3 and trained["attempt"] == 1


def test_what_died_is_removed_exactly(trained):
    died = sum(r["total"] - r["alive"] for r in trained["survival"] if r["kind"] == "filter")
    assert died > 0 and trained["removed"]["filter"] >= died
    assert trained["certificate"]["verdict"] == "exact"
    assert trained["macs"]["compact"] < trained["macs"]["dense"] == 2_516_608
    assert trained["accuracy"]["compact"] == trained["accuracy"]["test"]


def test_checkpoints_stand_at_step_0_and_after_every_epoch(folder, trained):
    names = sorted(f.name for f in (folder / trained["run"] / "checkpoints").iterdir())
    assert names == [f"{n:05d}.safetensors" for n in range(9)]


def test_show_and_resume_of_a_finished_run_print_the_same_result(folder, trained):
    for command in ("show", "resume"):
        code, out, _ = espalier(folder, command, trained["run"], "--json")
        assert code == 0 and json.loads(out)["weights_sha256"] == trained["weights_sha256"]


def test_runs_lists_newest_first(folder, trained):
    listed = json.loads(espalier(folder, "runs", "--json")[1])["runs"]
    assert listed[0]["run"] == trained["run"] and set(listed[0]) >= {"run", "state", "preset", "created"}


def test_the_compact_file_is_rebuilt_without_pickle_in_a_fresh_process(folder, trained, tmp_path):
    file = tmp_path / "compact.safetensors"
    code, out, err = espalier(folder, "compact", trained["run"], "-o", str(file), "--json")
    assert code == 0, err
    document = json.loads(out)
    assert document["file"] == str(file) and document["certificate"]["verdict"] == "exact"
    code = (
        "import sys, torch, pickle\n"
        "def no(*a, **k): raise SystemExit('unpickled')\n"
        "pickle.load = pickle.loads = pickle.Unpickler = no\n"
        "from core.structure import load\n"
        "n = load(sys.argv[1]).eval(); torch.manual_seed(0); x = torch.randn(4, 1, 8, 8)\n"
        "print([float(v) for v in n(x).double().sum(0)])\n"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", code, str(f)], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        for f in (file, folder / trained["run"] / "compact.safetensors")
    }
    assert len(answers) == 1


def test_measure_gives_ratio_quartiles_and_conditions(folder, trained):
    code, out, err = espalier(folder, "measure", trained["run"], "--json")
    assert code == 0, err
    speed = json.loads(out)["speed"]
    assert speed["low"] <= speed["measured"] <= speed["high"] and speed["n"] >= 7
    assert speed["promised"] == pytest.approx(trained["macs_per_image"]["dense"] / trained["macs_per_image"]["compact"])
    assert {layer["path"] for layer in speed["layers"]} >= {"conv", "stage1.0.conv1", "fc"}


def test_an_export_is_the_same_kind_of_folder(folder, trained, tmp_path):
    code, _, err = espalier(folder, "export", trained["run"], "-o", str(tmp_path / "out"))
    assert code == 0, err
    from core.runs.folder import RunFolder

    copy, own = RunFolder(tmp_path / "out"), RunFolder(folder / trained["run"])
    assert copy.events() == own.events() and copy.sites() == own.sites()
    assert (copy.history()[0] == own.history()[0]).all()
    assert copy.about()["state"] == "finished"


def test_a_run_in_which_nothing_lives_is_told_without_numbers_that_mean_nothing(folder):
    settings = ("--set", "epochs=4", "--set", "strength_filter=10")
    code, out, err = espalier(folder, "run", "digits-lenet", *settings)
    assert code == 0, err
    told = " ".join(out.split())
    assert "MACs 0.0% of dense, removal inconclusive (its answers do not depend on the image, so" in told
    assert told.endswith("nothing computes any more") and "Traceback" not in err
    name = told.split(":")[0]
    for more in ((), ("--sweep", "batch")):
        code, out, err = espalier(folder, "measure", name, *more)
        assert (code, out) == (2, "") and f"nothing of {name} lives at epoch 4; choose another run" in err


@pytest.mark.parametrize("name", ["out", "run.zip"])
def test_an_export_that_finds_no_room_names_its_target_and_leaves_nothing(
    folder, trained, tmp_path, name, monkeypatch, capsys
):
    monkeypatch.setattr(
        sys, "argv", ["core", "export", trained["run"], "-o", str(tmp_path / name), "--runs", str(folder)]
    )
    with files_of_at_most(60_000), pytest.raises(SystemExit) as left:
        cli.main()
    sentence = capsys.readouterr().err
    assert left.value.code == 1 and sentence.startswith(f"the disk of {tmp_path / name} is full (File too large); free")
    assert list(tmp_path.iterdir()) == []


def test_a_run_whose_folder_is_gone_is_not_told_to_wait(folder, tmp_path):
    from core.runs.folder import RunFolder

    store = Store(tmp_path)
    row = Run(
        id="gone",
        created=1.0,
        preset="digits-sss",
        config={},
        family="gone",
        role="method",
        seed=0,
        state="finished",
        attempt=1,
    )
    assert store.add(row)
    code, _, err = espalier(tmp_path, "measure", "gone")
    assert code == 2 and f"run gone must have its folder; {tmp_path / 'gone'} is gone; put it back" in err
    assert isinstance(RunFolder(tmp_path).lacks("a checkpoint"), WrongMoment)


def test_a_run_leaves_as_one_file_and_comes_in_elsewhere(folder, trained, tmp_path):
    file = tmp_path / "run.zip"
    code, out, err = espalier(folder, "export", trained["run"], "-o", str(file), "--json")
    assert code == 0 and json.loads(out) == {"run": trained["run"], "file": str(file)}, err
    code, out, err = espalier(tmp_path / "elsewhere", "import", str(file), "--json")
    assert code == 0 and json.loads(out) == {"run": trained["run"]}, err
    file.write_bytes(b"no zip")
    code, _, err = espalier(tmp_path / "elsewhere", "import", str(file))
    assert code == 2 and "must be a whole file" in err


@pytest.mark.parametrize(("arguments", "sentence"), [
    (["run", "digit-sss"], "did you mean 'digits-sss'"),
    (["run", "digits-sss", "--set", "epochs=0"], "epochs must be a whole number of at least 1"),
    (["run", "digits-sss", "--set", "epoch=3"], "did you mean 'epochs'"),
    (["run", "digits-sss", "--set", "lr=fast"], "phases.0.lr must be a number; got 'fast'"),
    (["run", "sss-resnet20-c10"], "dataset cifar10 must have cifar-10-batches-bin/data_batch_1.bin"),
    (["show", "nobody"], "got 'nobody'"),
    (["frobnicate"], "frobnicate"),
    (["control", "nobody", "pause"], "got 'nobody'"),
    (["evidence", "digit"], "did you mean 'digits'"),
])  # fmt: skip
def test_bad_input_exits_2_with_one_sentence_and_nothing_on_standard_output(folder, arguments, sentence):
    code, out, err = espalier(folder, *arguments)
    assert code == 2 and out == "" and sentence in err and "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


def test_steering_a_finished_run_exits_2(folder, trained):
    code, _, err = espalier(folder, "control", trained["run"], "pause")
    assert code == 2 and "must be living to pause; it is finished" in err


def test_presets_list_the_default_first(folder):
    listed = json.loads(espalier(folder, "presets", "--json")[1])["presets"]
    assert listed[0]["name"] == "digits-sss" and set(listed[0]) == {
        "name",
        "title",
        "method",
        "network",
        "dataset",
        "minutes",
    }


def test_into_a_pipe_no_name_is_broken_or_cut(folder, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    told = espalier(folder, "presets")[1]
    for preset in PRESETS:
        (line,) = (line for line in told.splitlines() if f" {preset.name} " in line)
        assert preset.title in line
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, espalier(folder, "presets")[1].splitlines())) <= 60, "whoever names a width gets it"


def test_a_failed_run_exits_1(folder):
    code, out, err = espalier(folder, "run", "digits-lenet", "--set", "lr=10", "--set", "epochs=2", "--json")
    assert code == 1 and json.loads(out)["state"] == "failed" and "the loss must stay finite" in err


def test_evidence_lists_its_tables(folder):
    tables = json.loads(espalier(folder, "evidence", "--json")[1])["tables"]
    assert tables[0]["name"] == "digits" and {"complete", "rows", "missing"} <= set(tables[0])


@pytest.mark.slow
def test_a_foreground_run_killed_with_sigkill_is_lost_and_resume_ends_with_the_same_weights(folder):
    import signal
    import time

    settings = ["digits-lenet", "--set", "epochs=12", "--set", "measure_every=0"]
    whole = json.loads(espalier(folder, "run", *settings, "--json")[1])
    others = {path.name for path in folder.iterdir()}
    process = subprocess.Popen(
        [sys.executable, "-m", "core", "run", *settings],
        cwd=ROOT,
        env={**os.environ, "ESPALIER_RUNS": str(folder)},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    while not (found := [path for path in folder.glob("*/checkpoints/00003.*") if path.parts[-3] not in others]):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run = found[0].parts[-3]
    assert json.loads(espalier(folder, "show", run, "--json")[1])["state"] == "lost"
    code, out, err = espalier(folder, "resume", run, "--json")
    assert code == 0, err
    result = json.loads(out)
    assert result["attempt"] == 2 and result["weights_sha256"] == whole["weights_sha256"]


@pytest.mark.slow
def test_a_sweep_is_measured_printed_and_kept_beside_the_run(folder, trained):
    code, out, err = espalier(folder, "measure", trained["run"], "--sweep", "batch", "--json")
    assert code == 0, err
    told = json.loads(out)["sweep"]
    assert [row["batch"] for row in told["rows"]] == [1, 8, 32, 128] and told["epoch"] == 8
    assert json.loads((folder / trained["run"] / "measured-sweep.json").read_text()) == {"batch": told}
