"""A compact network in another form: what is written says the same, and nothing of the user's is lost on the way."""

import subprocess
import sys

import onnxruntime
import pytest
import torch
from conftest import DEMO, ROOT

from core.errors import BadInput
from core.forms import rewrite, write_form
from core.structure import load, plan_zeros
from core.structure.surgery import apply

EXAMPLE = torch.zeros(1, 1, 8, 8)


@pytest.fixture
def compact():
    return load(DEMO / "compact.safetensors").eval()


def test_the_onnx_form_answers_as_the_compact_network_at_a_size_that_it_was_not_checked_at(compact, tmp_path):
    told = rewrite(DEMO / "compact.safetensors", tmp_path / "demo.onnx", EXAMPLE)
    assert told["form"] == "ONNX" and told["check"]["float64_max_rel"] < 1e-9
    images = torch.randn(3, 1, 17, 9)
    session = onnxruntime.InferenceSession(tmp_path / "demo.onnx", providers=["CPUExecutionProvider"])
    (theirs,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    with torch.no_grad():
        ours = compact(images)
    assert torch.allclose(torch.from_numpy(theirs), ours, atol=1e-5 * float(ours.abs().max()), rtol=0)


def test_the_python_form_gives_the_same_bits_in_a_process_of_its_own(compact, tmp_path):
    told = rewrite(DEMO / "compact.safetensors", tmp_path / "small_net.py", EXAMPLE)
    assert told["form"] == "Python source" and told["check"]["weights"] == str(tmp_path / "small_net.safetensors")
    program = "import torch, small_net\ntorch.manual_seed(0)\nprint(small_net.load()(torch.randn(2, 1, 8, 8)).double().tolist())"
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    torch.manual_seed(0)
    with torch.no_grad():
        assert said.strip() == str(compact(torch.randn(2, 1, 8, 8)).double().tolist())


def test_a_script_that_would_overwrite_a_compact_file_with_its_weights_is_refused(tmp_path):
    kept = tmp_path / "net.safetensors"
    kept.write_bytes((DEMO / "compact.safetensors").read_bytes())
    with pytest.raises(BadInput, match=r"must not replace a file that is not its own.*choose another name"):
        rewrite(kept, tmp_path / "net.py", EXAMPLE)
    assert kept.read_bytes() == (DEMO / "compact.safetensors").read_bytes() and not (tmp_path / "net.py").exists()
    rewrite(kept, tmp_path / "other.py", EXAMPLE)
    rewrite(kept, tmp_path / "other.py", EXAMPLE)  # its own files it may replace


def test_a_suffix_that_names_no_form_is_refused_with_those_that_do(compact, tmp_path):
    with pytest.raises(BadInput, match=r"\.safetensors \(compact file\), \.onnx \(ONNX\), \.py .*got 'net\.pt'"):
        rewrite(DEMO / "compact.safetensors", tmp_path / "net.pt", EXAMPLE)


def test_a_script_that_says_something_else_is_not_written(tmp_path, monkeypatch):
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()).eval()
    plan = plan_zeros(model, torch.zeros(1, 4))
    small = apply(plan, model, torch.zeros(1, 4))
    monkeypatch.setattr("core.forms.imported", lambda script: torch.nn.Linear(4, 3))
    with pytest.raises(BadInput, match=r"net\.py must answer with the network's own bits"):
        write_form(tmp_path / "net.py", small, torch.zeros(1, 4), source={}, plan=plan)
    assert not list(tmp_path.iterdir())


def test_the_command_writes_the_form_that_the_suffix_names(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "core", "cut", str(DEMO / "compact.safetensors"), "-o", str(tmp_path / "a.onnx"), "--json"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '"form": "ONNX"' in done.stdout and (tmp_path / "a.onnx").stat().st_size > 100_000
