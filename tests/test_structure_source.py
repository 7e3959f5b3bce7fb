"""Networks as Python: the same bits in a process that knows nothing of this project, and no way in for foreign text."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import random_graphs
import random_graphs_check
import random_graphs_net
import torch
import torch.nn.functional as F
from compact_networks import NAMES, made, outputs
from safetensors.torch import load_file, save_file
from torch import Tensor, fx, nn

from core.errors import BadInput
from core.structure import apply, plan_zeros
from core.structure.pyforward import infix
from core.structure.pysource import write_source
from core.structure.pytext import Call, comment, literal, statement
from core.structure.trace import Follower

ROOT = Path(__file__).parents[1]


def imported(script: Path):
    spec = importlib.util.spec_from_file_location(script.stem, script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ruff(folder: Path, *command: str) -> str:
    """What ruff complains about with this project's settings; empty when nothing."""
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, "--no-cache", "--config", str(ROOT / "pyproject.toml"), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


FRESH = """
import sys, torch
from importlib import import_module
from safetensors.torch import load_file, save_file
torch.set_num_threads(1)
inputs, outputs = load_file("inputs.safetensors"), {}
for key, x in inputs.items():
    with torch.no_grad():
        y = import_module(key.split()[0]).load()(x.clone())  # a file's tensors lie anywhere, and rounding depends on it
    for i, part in enumerate(y.values() if isinstance(y, dict) else [y]):
        outputs[f"{key} {i}"] = part.contiguous()
save_file(outputs, "outputs.safetensors")
print(any(name.split(".")[0] == "core" for name in sys.modules))
"""


def test_a_fresh_process_with_torch_alone_gives_the_same_bits_at_several_sizes(tmp_path):
    inputs, wanted = {}, {}
    for i, name in enumerate(NAMES):
        _, compact, example, batches = made(name, (torch.float32, torch.float64)[i % 2])
        _, weights = write_source(compact, tmp_path / name, cut_from=name, verdict="exact", example=example)
        assert load_file(weights).keys() == compact.state_dict().keys()
        for x in batches:
            key = f"{name} {tuple(x.shape)}"
            inputs[key] = x
            wanted |= {f"{key} {j}": part for j, part in enumerate(outputs(compact, x))}
    save_file(inputs, tmp_path / "inputs.safetensors")
    done = subprocess.run([sys.executable, "-c", FRESH], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.strip() == "False", done.stderr
    found = load_file(tmp_path / "outputs.safetensors")
    assert found.keys() == wanted.keys()
    assert [key for key in wanted if not torch.equal(found[key], wanted[key])] == []
    assert ruff(tmp_path, "format", "--check") == "" and ruff(tmp_path, "check") == ""


def test_random_graphs_of_a_wide_vocabulary_come_out_with_the_same_bits_names_and_frozen_parameters(tmp_path):
    for seed in range(25):
        case = random_graphs.random_case(seed)
        network, x = random_graphs_net.build(case).eval(), random_graphs_check.inputs(case)[0]
        compact = apply(plan_zeros(network, x), network, x)
        again = imported(write_source(compact, tmp_path / f"random{seed}", example=x)[0]).load()
        assert list(again.state_dict()) == list(compact.state_dict())
        assert frozen(again) == frozen(compact)
        assert torch.equal(random_graphs_check.flat(again, x), random_graphs_check.flat(compact, x)), seed
    assert ruff(tmp_path, "format", "--check") == "" and ruff(tmp_path, "check") == ""


def frozen(network: nn.Module) -> set[str]:
    return {name for name, parameter in network.named_parameters() if not parameter.requires_grad}


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1, bias=False)

    def forward(self, x):
        return F.relu(x + self.conv2(torch.relu(self.conv1(x))))


GOLDEN = '''# A compact network of 281 parameters, written by Espalier.
# Cut from: a test
# Verdict: exact
#
#     from golden import load
#     network = load()  # reads golden.safetensors, which lies beside it

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn


class Group(nn.Module):
    """Layers under the names that they have in the weights file; it computes nothing itself."""

    def __getitem__(self, name: int | str) -> nn.Module:
        return getattr(self, str(name))

    def __setitem__(self, name: int | str, layer: nn.Module) -> None:
        self.add_module(str(name), layer)


class Compact(Group):
    def __init__(self) -> None:
        super().__init__()
        self[0] = nn.Conv2d(3, 4, 3, stride=2)

        self[1] = Group()
        self[1].conv1 = nn.Conv2d(4, 4, 3, padding=1)
        self[1].conv2 = nn.Conv2d(4, 4, 1, bias=False)

        self[3] = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self[0](x)  # (N, 4, 3, 3)

        # 1
        y = self[1].conv1(x)
        y = torch.relu(y)
        y = self[1].conv2(y)
        x = x + y
        x = F.relu(x)
        x = x.mean((2, 3))  # (N, 4)

        x = self[3](x)  # (N, 1)
        return x


def load(path: str | Path | None = None) -> Compact:
    """The network with its weights, in eval mode. Without a path: the .safetensors file beside this one."""
    weights = load_file(path or Path(__file__).with_suffix(".safetensors"))  # copied below to where torch aligns them
    with torch.device("meta"):
        network = Compact()
    network.load_state_dict({name: weight.clone() for name, weight in weights.items()}, assign=True)
    return network.eval()
'''


class Mean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def test_the_text_of_a_small_network(tmp_path):
    network = fx.symbolic_trace(nn.Sequential(nn.Conv2d(3, 4, 3, 2), Block(), Mean(), nn.Linear(4, 1)))
    example = torch.zeros(1, 3, 8, 8)
    script, weights = write_source(network, tmp_path / "golden", cut_from="a test", verdict="exact", example=example)
    assert script.read_text() == GOLDEN
    assert (script, weights) == (tmp_path / "golden.py", tmp_path / "golden.safetensors")


class Everything(nn.Module):
    """Odd names, odd arguments, odd outputs."""

    def __init__(self):
        super().__init__()
        self.scale, self.frozen = nn.Parameter(torch.randn(4, 1, 1)), nn.Parameter(torch.zeros(()), requires_grad=False)
        self.register_buffer("order", torch.tensor([3, 1, 1, 0]))
        self.__dict__["_modules"]["block1-0"] = nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular")
        self._modules["__hidden"] = nn.BatchNorm2d(4, eps=0.1, affine=False)
        self.list = nn.ParameterList([nn.Parameter(torch.randn(1))])
        self.deep = nn.ModuleList([nn.ModuleList([nn.Identity(), nn.PReLU(4).requires_grad_(False)])])
        self._modules["block1-0"].bias.requires_grad_(False)

    def forward(self, input: Tensor, carry: Tensor):
        x = getattr(self, "__hidden")(getattr(self, "block1-0")(input)) * self.scale + self.frozen
        x = self.deep[0][1](x)[:, self.order][..., 1:-1, ::2]
        x = torch.where(x > 0, x, float("-inf")).clamp(min=-1e30, max=float("inf"))
        x = x.to(torch.float32).masked_fill(x < -1e29, -0.5) + 1e-05
        x = x[:, :, : x.size(2) - 1]
        half = (x.size(2) + 1) // 2 - x.shape[3] ** 2 % 2
        left, right = torch.split(x[:, :, :half], [1, 3], 1)
        y = -(right**2) @ left.transpose(-1, -2).mT if False else -(right**2) + left
        z = F.interpolate(y, size=(5, half), mode="nearest") * self.list[0]
        z = torch.add(z, carry, alpha=2.0).contiguous(memory_format=torch.channels_last)
        z = torch.nn.functional.pad(z, (1, 0), "constant", value=float("nan"))
        return (z.nan_to_num() if False else torch.where(torch.isnan(z), 0.25, z)), (left, x.mean((2, 3), keepdim=True))


def test_odd_names_arguments_and_outputs_survive(tmp_path):
    torch.manual_seed(0)
    network = fx.symbolic_trace(Everything()).eval()
    script, _ = write_source(network, tmp_path / "odd", example=(torch.zeros(1, 3, 9, 12), torch.zeros(1, 3, 1, 1)))
    text = script.read_text()
    for line in (
        'self["block1-0"] = nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular")',
        'self["__hidden"] = nn.BatchNorm2d(4, eps=0.1, affine=False)',
        'self.register_buffer("order", torch.empty(4, dtype=torch.int64))',
        "self.frozen = nn.Parameter(torch.empty(()), requires_grad=False)",
        'self["block1-0"].bias.requires_grad_(False)',
        "self.deep[0][1] = nn.PReLU(num_parameters=4).requires_grad_(False)",
        'self.list.register_parameter("0", nn.Parameter(torch.empty(1)))',
        "def forward(self, x: Tensor, carry: Tensor) -> tuple[Tensor, ...]:",
    ):
        assert line in text
    again = imported(script).load()
    for size in ((9, 12), (10, 13)):
        inputs = torch.randn(3, 3, *size), torch.randn(3, 3, 1, 1)
        with torch.no_grad():
            (a, (b, c)), (d, (e, f)) = network(*inputs), again(*inputs)
        assert torch.equal(a, d) and torch.equal(b, e) and torch.equal(c, f) and a.isfinite().all()
    assert list(again.state_dict()) == list(network.state_dict()) and frozen(again) == frozen(network)
    assert ruff(tmp_path, "format", "--check") == "" and ruff(tmp_path, "check") == ""


EVIL = "x')\nimport os; os.system('touch owned')  # \"\"\" ' \\"


def relu_with(**kwargs):
    graph = fx.Graph()
    graph.output(graph.call_function(F.interpolate, (graph.placeholder("x"),), kwargs))
    return fx.GraphModule(nn.Module(), graph)


@pytest.mark.parametrize(
    "place", ["layer", "buffer", "parameter", "unread buffer", "unread parameter", "input", "keyword"]
)
def test_a_hostile_name_is_refused(tmp_path, place):
    graph, root = fx.Graph(), nn.Module()
    x = graph.placeholder("x")
    if place == "layer":
        root._modules[EVIL] = nn.ReLU()
        graph.output(graph.create_node("call_module", EVIL, (x,), name="y"))
    elif place.endswith(("buffer", "parameter")):
        (root._buffers if place.endswith("buffer") else root._parameters)[EVIL] = nn.Parameter(torch.zeros(1))
        read = x if place.startswith("unread") else graph.create_node("get_attr", EVIL, name="y")
        graph.output(graph.call_function(torch.add, (x, read)))
    elif place == "input":
        x.target = EVIL
        graph.output(x)
    else:
        graph.output(graph.call_function(torch.add, (x, x), {EVIL: 1}))
    network = fx.GraphModule(nn.Module(), fx.Graph())
    network._graph, network._modules = graph, root._modules
    network._buffers, network._parameters = root._buffers, root._parameters
    with pytest.raises(BadInput, match="is not a plain name"):
        write_source(network, tmp_path / "evil")
    assert list(tmp_path.iterdir()) == []


def test_hostile_text_stays_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    graph = fx.Graph()
    x = graph.placeholder("x")
    y = graph.call_function(torch.add, (x, x))
    graph.output({EVIL: y, "mode": graph.call_function(F.interpolate, (x,), {"scale_factor": 2, "mode": EVIL})})
    about = f"one\r{EVIL}\x00\x0c\u2028\x85import os"
    script, _ = write_source(fx.GraphModule(nn.Module(), graph), tmp_path / "evil", cut_from=about, verdict=about)
    module = imported(script)
    assert not (tmp_path / "owned").exists()
    lines = script.read_text().splitlines()
    assert all(line.startswith("#") for line in lines[: lines.index("from pathlib import Path") - 1])
    with pytest.raises(NotImplementedError, match=r"os\.system"):
        module.load()(torch.zeros(1, 3, 4, 4))
    assert not (tmp_path / "owned").exists()


class Sly(int):
    def __repr__(self):
        return "__import__('os')"


def test_values_are_written_by_the_built_in_types_themselves():
    assert literal(Sly(3)) == "3" and str(literal((Sly(3),))) == "(3,)"
    assert str(literal([1e-05, float("nan"), None, True, "a'b", 'a"b', torch.float16, slice(None, 2), ...])) == (
        '[1e-05, float("nan"), None, True, "a\'b", \'a"b\', torch.float16, slice(None, 2, None), ...]'
    )
    assert infix("**", "-2", "x") == "(-2) ** x" and infix("**", "x", "-2") == "x**-2", "torch.fx itself writes -2 ** x"
    with pytest.raises(BadInput, match="an argument of type complex has no text in Python"):
        literal(1j)
    assert comment("a\nb\r\n\x00\u2028c") == ["# a", "# b", "# c"]


def test_long_statements_are_broken_as_ruff_does(tmp_path):
    words = tuple(f"word_number_{i}" for i in range(9))
    lines = statement(0, "x = ", Call("first(", words)) + statement(
        0, "y = ", Call("f(", ("1", Call("[", words * 2, "]")))
    )
    (tmp_path / "long.py").write_text("\n".join(lines) + "\n")
    assert max(map(len, lines)) <= 120 and ruff(tmp_path, "format", "--check") == ""


class Foreign(nn.Conv2d):
    pass


class Calls(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


REFUSED = {
    "layer": (
        nn.Sequential(Foreign(3, 4, 1)),
        r"0 must be a plain torch\.nn layer to be written as source; got Foreign",
    ),
    "function": (Calls(torch.fft.fft), "operation fft_fft is not one"),
    "method": (Calls(lambda x: x.apply_(1)), "operation apply_ is not one"),
    "attribute": (Calls(lambda x: x.data), r"operation builtins\.getattr \('data',\) is not one"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_plain_torch_is_refused_and_nothing_is_written(tmp_path, name):
    network, says = REFUSED[name]
    with pytest.raises(BadInput, match=says):
        write_source(fx.GraphModule(network, Follower().trace(network)), tmp_path / "x")
    with pytest.raises(BadInput, match="must be a network made by apply"):
        write_source(network, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stem", ["a-b", "1a", "class", "torch", "json", "", "a b", "\u00e4"])
def test_a_file_that_could_not_be_imported_is_refused(tmp_path, stem):
    with pytest.raises(BadInput, match="file_stem must end in a name that can be imported, such as compact_resnet20"):
        write_source(fx.symbolic_trace(nn.ReLU()), f"{tmp_path}/.-/{stem}")


def test_writing_changes_nothing_and_a_full_disk_leaves_the_old_files(tmp_path, monkeypatch):
    _, compact, example, _ = made("preresnet_softplus")
    compact.train()
    state = {name: tensor.clone() for name, tensor in compact.state_dict().items()}
    write_source(compact, tmp_path / "x", example=example)
    assert all(module.training for module in compact.modules())
    assert all(torch.equal(tensor, state[name]) for name, tensor in compact.state_dict().items())
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def full(handle):
        raise OSError("disk full")

    monkeypatch.setattr("core.atomic.os.fsync", full)
    with pytest.raises(OSError, match="disk full"):
        write_source(compact, tmp_path / "x", verdict="new")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
