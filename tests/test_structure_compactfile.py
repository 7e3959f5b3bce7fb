"""Compact files: the same bits in a fresh process, and a plain refusal of whatever is not one."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import oracles_structure as oracles
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import core.structure.compactfile as compactfile
from core.errors import BadInput, DamagedFile
from core.structure import apply, load, plan_zeros, read_header, save, verify

EXAMPLE = torch.zeros(1, 3, 12, 12)
ROOT = Path(__file__).parents[1]


def made(act=nn.SiLU, dtype=torch.float32):
    network = oracles.kill(oracles.settle(oracles.resnet(act), (16, 3, 12, 12)), 2, whole=0.0).to(dtype)
    with torch.no_grad():
        network[3].bn2.weight.zero_()
    plan = plan_zeros(network, EXAMPLE.to(dtype))
    return network, plan, apply(plan, network, EXAMPLE.to(dtype))


@pytest.fixture
def file(tmp_path):
    _, plan, compact = made()
    save(tmp_path / "small.safetensors", compact, source={"network": "resnet8"}, plan=plan, extra={"accuracy": 0.5})
    return tmp_path / "small.safetensors"


SCRIPT = """
import sys, torch
from safetensors.torch import load_file, save_file
from core.structure import load
torch.set_num_threads(1)
x = load_file(sys.argv[2])["x"]
with torch.no_grad():
    save_file({"y": load(sys.argv[1]).eval()(x)}, sys.argv[3])
print("pickle" in sys.modules and "core.networks" in sys.modules)
"""


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_fresh_process_gives_the_same_bits(tmp_path, dtype):
    _, plan, compact = made(dtype=dtype)
    save(tmp_path / "small.safetensors", compact, source={}, plan=plan)
    x = torch.randn(4, 3, 14, 14).to(dtype)
    save_file({"x": x}, tmp_path / "x.safetensors")
    paths = [str(tmp_path / name) for name in ("small.safetensors", "x.safetensors", "y.safetensors")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", SCRIPT, *paths], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "False", "the source network's code is not needed"
    from safetensors.torch import load_file

    with torch.no_grad():
        assert torch.equal(load_file(paths[2])["y"], compact.eval()(x))


def test_the_header_says_what_is_inside_without_reading_tensors(file, monkeypatch):
    monkeypatch.setattr(compactfile, "load_tensors", None)
    header = read_header(file)
    assert (
        header["version"] == 1 and header["source"] == {"network": "resnet8"} and header["extra"] == {"accuracy": 0.5}
    )
    assert header["plan"]["removed"] and header["certificate"] is None


def test_certificate_mode_and_frozen_parameters_travel(tmp_path):
    network, plan, compact = made()
    compact.get_submodule("6").weight.requires_grad_(False)
    proof = verify(network, plan, EXAMPLE, [torch.randn(8, 3, 12, 12)], compact=compact)
    save(tmp_path / "a.safetensors", compact.train(), source={}, plan=plan, certificate=proof)
    back = load(tmp_path / "a.safetensors")
    assert read_header(tmp_path / "a.safetensors")["certificate"] == json.loads(proof.model_dump_json())
    assert all(m.training for m in back.modules())
    frozen = [n for n, p in back.named_parameters() if not p.requires_grad]
    assert [n for n in frozen if "_carry" not in n] == ["6.weight"] and len(frozen) == 4, "carried constants stay so"
    assert {n: (t.dtype, t.shape) for n, t in back.state_dict().items()} == {
        n: (t.dtype, t.shape) for n, t in compact.state_dict().items()
    }


def test_a_loaded_network_can_be_cut_saved_and_trained_again(file, tmp_path):
    back = load(file)
    with torch.no_grad():
        back.get_submodule("2.conv1").weight[0] = 0
    plan = plan_zeros(back, EXAMPLE)
    again = apply(plan, back, EXAMPLE)
    save(tmp_path / "again.safetensors", again, source={}, plan=plan)
    x = torch.randn(4, 3, 12, 12)
    load(tmp_path / "again.safetensors")(x).sum().backward()
    with torch.no_grad():
        assert oracles.difference(back.eval()(x), again.eval()(x)) < 1e-5


class Odd(nn.Conv2d):
    def forward(self, x):
        return super().forward(x) * 2


def odd():
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.Softplus(), Odd(6, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_modules_outside_torch_come_from_the_factory_with_the_saved_weights(tmp_path):
    network = oracles.settle(odd(), (8, 3, 12, 12)).float()
    with torch.no_grad():
        network[0].weight[[1, 2]] = 0
    plan = plan_zeros(network, EXAMPLE)
    compact = apply(plan, network, EXAMPLE)
    save(tmp_path / "odd.safetensors", compact, source={}, plan=plan)
    with pytest.raises(BadInput, match=r"Odd at 2, which is not plain torch\.nn; pass factory="):
        load(tmp_path / "odd.safetensors")
    with pytest.raises(BadInput, match="needs a module at 2; the factory's network has none"):
        load(tmp_path / "odd.safetensors", factory=lambda: nn.Sequential(nn.ReLU()))
    x = torch.randn(4, 3, 12, 12)
    with torch.no_grad():
        assert torch.equal(load(tmp_path / "odd.safetensors", factory=odd)(x), compact(x))


class Unsaveable(nn.Module):
    def forward(self, x):
        return torch.fft.fft(x).real


def test_an_operation_no_file_may_hold_is_refused_when_saving(tmp_path):
    network = nn.Sequential(nn.Conv2d(3, 4, 1), Unsaveable())
    plan = plan_zeros(network, EXAMPLE)
    with pytest.raises(BadInput, match="operation fft_fft is not one that a compact file may hold"):
        save(tmp_path / "x.safetensors", apply(plan, network, EXAMPLE), source={}, plan=plan)
    with pytest.raises(BadInput, match="must be a network made by apply"):
        save(tmp_path / "x.safetensors", network, source={}, plan=plan)
    assert list(tmp_path.iterdir()) == []


def tamper(file, change):
    """Rewrite the header of a file with `change(header)`."""
    data = file.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    about = json.loads(header["__metadata__"]["espalier"])
    change(about)
    header["__metadata__"]["espalier"] = json.dumps(about)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


def set_node(index, **values):
    return lambda about: about["graph"][index].update(values)


TAMPERINGS = (
    (set_node(2, op="call_function", target="os.system", args=["true"]), "operation os.system is not one"),
    (set_node(2, op="call_function", target="builtins.eval", args=["1"]), "operation builtins.eval is not one"),
    (set_node(2, op="call_function", target="builtins.getattr", args=[1, "__class__"]), "operation builtins.getattr"),
    (set_node(2, op="call_method", target="__reduce__"), "operation __reduce__ is not one"),
    (set_node(2, op="exec", target="x"), "operation exec is not one"),
    (set_node(2, name="a = 1; b"), "name 'a = 1; b' of the saved graph is not a plain name"),
    (set_node(1, target="a b"), "is not a plain name"),
    (set_node(2, args=[{"node": "nobody"}]), "argument of the saved graph is malformed"),
    (set_node(2, args=[{"lambda": 1}]), "argument of the saved graph is malformed"),
    (lambda about: about["graph"].__setitem__(1, 5), "entry of the saved graph is malformed"),
    (lambda about: about["modules"]["0.0"].update({"class": "Module"}), "module class 'Module' is not one"),
    (lambda about: about["modules"]["0.0"]["settings"].update({"stride": "x", "evil": 1}), "settings of a Conv2d"),
    (lambda about: about["modules"]["0.0"]["settings"].update({"out_channels": 77}), "does not fit its own graph"),
    (lambda about: about["modules"].pop("0.0"), "is damaged|does not fit|lacks"),
    (lambda about: about.update(version=2), "must be a compact file of version 1; got 2"),
    (lambda about: about.pop("graph"), "lacks a sound 'graph'"),
    (lambda about: about.update(training="yes"), "lacks a sound 'training'"),
)


@pytest.mark.parametrize(("change", "says"), TAMPERINGS)
def test_tampered_files_are_refused(file, change, says):
    tamper(file, change)
    with pytest.raises(DamagedFile, match=says):
        load(file)


def test_every_truncation_and_a_flipped_bit_are_noticed(file):
    data = file.read_bytes()
    for length in (0, 4, 8, 100, len(data) // 2, len(data) - 1):
        file.write_bytes(data[:length])
        with pytest.raises(DamagedFile):
            load(file)
    file.write_bytes(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
    with pytest.raises(DamagedFile, match="not those that were written"):
        load(file)


def test_foreign_files_are_refused(tmp_path):
    save_file({"x": torch.zeros(2)}, tmp_path / "tensors.safetensors")
    with pytest.raises(DamagedFile, match="holds tensors but no compact network"):
        load(tmp_path / "tensors.safetensors")
    torch.save({"x": 1}, tmp_path / "pickle.pt")
    with pytest.raises(DamagedFile, match="not a safetensors file"):
        load(tmp_path / "pickle.pt")
    with pytest.raises(DamagedFile, match="cannot be read"):
        load(tmp_path / "nothing.safetensors")


def test_a_save_that_fails_leaves_the_old_file(file, monkeypatch):
    before = file.read_bytes()
    _, plan, compact = made(nn.Sigmoid)

    def full(handle):
        raise OSError("disk full")

    monkeypatch.setattr("core.atomic.os.fsync", full)
    with pytest.raises(OSError, match="disk full"):
        save(file, compact, source={}, plan=plan)
    assert file.read_bytes() == before and [p.name for p in file.parent.iterdir()] == [file.name]
