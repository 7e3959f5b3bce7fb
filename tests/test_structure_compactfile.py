"""Compact files: the same bits in a fresh process, and a plain refusal of whatever is not one."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import compact_networks
import oracles_structure as oracles
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, fx, nn

import core.structure.compactfile as compactfile
from core.errors import BadInput, DamagedFile
from core.structure import apply, load, plan_zeros, read_header, save, verify
from core.structure.graphjson import decode_module, encode_module
from core.structure.operations import ATTRIBUTE_NAMES, CLASS_OF, FUNCTION_OF, METHOD_NAMES

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


def doubling():
    network = odd()
    network[1].forward = lambda x: 2 * nn.functional.softplus(x)
    return network


def test_a_torch_module_with_a_forward_of_its_own_comes_from_the_factory_too(tmp_path):
    network = oracles.settle(doubling(), (8, 3, 12, 12)).float()
    plan = plan_zeros(network, EXAMPLE)
    compact = apply(plan, network, EXAMPLE)
    save(tmp_path / "own.safetensors", compact, source={}, plan=plan)
    with pytest.raises(BadInput, match=r"Softplus at 1, which is not plain torch\.nn; pass factory="):
        load(tmp_path / "own.safetensors")
    x = torch.randn(4, 3, 12, 12)
    with torch.no_grad():
        assert torch.equal(load(tmp_path / "own.safetensors", factory=doubling)(x), compact(x))


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


def tamper(file, change, digest=True):
    """Rewrite the header of a file with `change(header)`; `digest`: and what it says of itself."""
    data = file.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    about = json.loads(header["__metadata__"]["espalier"])
    change(about)
    if digest:
        about["header_sha256"] = compactfile.header_digest(about)
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
    (set_node(2, name="a = 1; b"), "name 'a = 1; b' is not a plain name"),
    (set_node(1, target="a b"), "is not a plain name"),
    (set_node(2, args=[{"node": "nobody"}]), "argument of the saved graph is malformed"),
    (set_node(2, args=[{"lambda": 1}]), "argument of the saved graph is malformed"),
    (lambda about: about["graph"].__setitem__(1, 5), "entry of the saved graph is malformed"),
    (lambda about: about["modules"]["0.0"].update({"class": "Module"}), "module class 'Module' is not one"),
    (lambda about: about["modules"]["0.0"]["settings"].update({"stride": "x", "evil": 1}), "settings of a Conv2d"),
    (lambda about: about["modules"]["0.0"]["settings"].update({"out_channels": 77}), "does not fit its own graph"),
    (lambda about: about["modules"].pop("0.0"), "is damaged|does not fit|lacks"),
    (lambda about: about["modules"].update({"0.0": "Conv2d"}), "does not say what stands at 0.0"),
    (lambda about: about["modules"].update({"forward": about["modules"]["0.0"]}), "at forward, where none can stand"),
    (lambda about: about["modules"].update({"a b": about["modules"]["0.0"]}), "name 'a b' is not a plain name"),
    (set_node(2, op="call_function", target="torch.load", args=["x"]), "operation torch.load is not one"),
    (set_node(2, op="call_method", target="apply_", args=[{"node": "input_1"}]), "operation apply_ is not one"),
    (set_node(2, op="call_method", target="expand", args=["text", 1]), "operation expand is not one"),
    (set_node(2, op="call_function", target="builtins.getattr", args=[{"node": "input_1"}, "data"]), "getattr"),
    (set_node(2, kwargs=5), "entry of the saved graph is malformed"),
    (set_node(2, kwargs={"a=1, b": 2}), "name 'a=1, b' is not a plain name"),
    (set_node(2, op="output"), "must end in its one output"),
    (lambda about: about["graph"].pop(), "must end in its one output"),
    (lambda about: about.update(version=2), "must be a compact file of version 1; got 2"),
    (lambda about: about.pop("graph"), "lacks a sound 'graph'"),
    (lambda about: about.update(training="yes"), "lacks a sound 'training'"),
)


@pytest.mark.parametrize(("change", "says"), TAMPERINGS)
def test_tampered_files_are_refused(file, change, says):
    tamper(file, change)
    with pytest.raises(DamagedFile, match=says):
        load(file)


def test_a_header_that_is_not_the_one_written_is_refused_and_one_of_before_is_read(file):
    """Settings that no tensor shows: the answers would differ, and the certificate inside still say exact."""

    def other_eps(about):
        next(entry for entry in about["modules"].values() if "eps" in entry["settings"])["settings"]["eps"] = 0.5

    written = file.read_bytes()
    tamper(file, lambda about: about.pop("header_sha256"), digest=False)
    load(file)
    file.write_bytes(written)
    tamper(file, other_eps, digest=False)
    with pytest.raises(DamagedFile, match="its header is not the one that was written"):
        load(file)


def test_a_graph_nested_too_deep_is_refused(file):
    deep = []
    for _ in range(900):
        deep = [deep]
    tamper(file, set_node(2, args=deep))
    with pytest.raises(DamagedFile, match=r"nested too deep|recursion"):
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


@pytest.mark.parametrize("name", compact_networks.NAMES)
def test_networks_of_every_kind_come_back_with_the_same_bits(tmp_path, name):
    _, compact, _, batches = compact_networks.made(name, torch.float64)
    save(tmp_path / "x.safetensors", compact, source={}, plan=EMPTY)
    back = load(tmp_path / "x.safetensors")
    for x in batches:
        pairs = zip(compact_networks.outputs(compact, x), compact_networks.outputs(back, x), strict=True)
        assert all(torch.equal(ours, theirs) for ours, theirs in pairs)


def samples(d: int) -> list[nn.Module]:
    """Layers for (N, 6, plane of `d` axes), set to something else than their defaults wherever they can be."""
    of = lambda name, *args, **settings: getattr(nn, f"{name}{d}d")(*args, **settings)  # noqa: E731
    pads = (1, 2) * d
    return [
        of("Conv", 6, 4, 3, 2, 1, 2, 2, False, "reflect"),
        of("Conv", 6, 4, 3, padding="same", padding_mode="circular"),
        of("ConvTranspose", 6, 4, 3, 2, 1, output_padding=1, groups=2, dilation=2),
        of("BatchNorm", 6, eps=0.1, momentum=None, affine=False),
        of("InstanceNorm", 6, eps=0.1, affine=True, track_running_stats=True),
        of("AvgPool", 3, 2, 1, ceil_mode=True, count_include_pad=False),
        of("MaxPool", 3, 2, 1, ceil_mode=True),
        of("LPPool", 2, 3, 2, True),
        of("AdaptiveAvgPool", 3),
        of("AdaptiveMaxPool", 2),
        *(of(f"{kind}Pad", pads) for kind in ("Zero", "Reflection", "Replication", "Circular")),
        of("ConstantPad", pads, 0.3),
        of("Dropout", 0.3),
    ]


POINTWISE = (
    *(nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(0.3), nn.PReLU(6, 0.3), nn.RReLU(0.2, 0.4), nn.ELU(0.5), nn.SELU()),
    *(nn.CELU(0.5), nn.GELU("tanh"), nn.SiLU(), nn.Mish(), nn.GLU(1), nn.Sigmoid(), nn.LogSigmoid(), nn.Tanh()),
    *(nn.Tanhshrink(), nn.Softplus(2.0, 10.0), nn.Softsign(), nn.Softshrink(0.2), nn.Hardshrink(0.2)),
    *(nn.Hardtanh(-0.5, 0.7), nn.Hardsigmoid(), nn.Hardswish(), nn.Threshold(0.1, 0.2), nn.Softmax(1), nn.Softmin(1)),
    *(nn.LogSoftmax(1), nn.Softmax2d(), nn.Identity(), nn.Dropout(0.3), nn.AlphaDropout(0.3)),
    *(
        nn.FeatureAlphaDropout(0.3),
        nn.LocalResponseNorm(3, 0.1, 0.5, 2.0),
        nn.CrossMapLRN2d(3, 0.1, 0.5, 2.0),
        nn.GroupNorm(3, 6, 0.1, affine=False),
    ),
    *(nn.LayerNorm((8, 9), 0.1, bias=False), nn.RMSNorm(9, 0.1), nn.Linear(9, 4, bias=False), nn.Flatten(2)),
    *(nn.Unflatten(1, (2, 3)), nn.ChannelShuffle(3), nn.Unfold(2, 1, 1, 2), nn.Upsample(scale_factor=1.5)),
    *(nn.Upsample((5, 7), mode="bilinear", align_corners=True), nn.UpsamplingNearest2d(scale_factor=2)),
    nn.UpsamplingBilinear2d(size=(9, 7)),
)
OTHERS = (  # with inputs of their own
    (nn.PixelShuffle(2), (torch.randn(2, 8, 3, 3),)),
    (nn.PixelUnshuffle(2), (torch.randn(2, 3, 4, 6),)),
    (nn.Fold((4, 5), 2, stride=1), (torch.randn(2, 12, 12),)),
    (nn.Bilinear(3, 4, 5, bias=False), (torch.randn(2, 3), torch.randn(2, 4))),
    (nn.CosineSimilarity(2, 0.1), (torch.randn(2, 3, 4), torch.randn(2, 3, 4))),
    (nn.Embedding(5, 3, padding_idx=1), (torch.tensor([[0, 1, 4]]),)),
    (nn.EmbeddingBag(5, 3, mode="sum"), (torch.tensor([[0, 1, 4]]),)),
    *((getattr(nn, f"MaxUnpool{d}d")(2, 3), (torch.randn(1, 2, *[2] * d), torch.zeros(1, 2, *[2] * d).long())) for d in (1, 2, 3)),
    (nn.MultiheadAttention(4, 2, 0.1, False, True, True, 3, 5, True), (torch.randn(2, 3, 4), torch.randn(2, 6, 3), torch.randn(2, 6, 5))),
    (nn.MultiheadAttention(4, 2), (torch.randn(3, 2, 4),) * 3),
)  # fmt: skip
PLANES = {d: torch.randn(2, 6, *(8, 9, 7)[:d]) for d in (1, 2, 3)}
LAYERS = [
    *((layer, (PLANES[2],)) for layer in POINTWISE),
    *((layer, (PLANES[d],)) for d in (1, 2, 3) for layer in samples(d)),
    *OTHERS,
]


@pytest.mark.parametrize(("layer", "inputs"), LAYERS, ids=lambda value: type(value).__name__)
def test_every_layer_comes_back_with_its_settings(layer, inputs):
    layer.eval()
    back = decode_module(json.loads(json.dumps(encode_module(layer))))
    assert repr(back) == repr(layer)
    back.load_state_dict(layer.state_dict(), strict=True, assign=True)
    with torch.no_grad():
        ours, theirs = layer(*inputs), back.eval()(*inputs)
    ours, theirs = (value if isinstance(value, tuple) else (value,) for value in (ours, theirs))
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_every_class_of_the_vocabulary_is_among_the_layers_tested():
    assert {type(layer).__name__ for layer, _ in LAYERS} == set(CLASS_OF)


def test_nothing_that_writes_reads_files_draws_or_runs_text_can_be_named():
    """By rule (no trailing underscore: in place; nothing random), and the worst by name."""
    names = {name.split(".")[1] for name in FUNCTION_OF} | METHOD_NAMES | ATTRIBUTE_NAMES
    assert {name for name in names if name.endswith("_")} == {"and_", "or_"}
    random = {"rand", "bernoulli", "multinomial", "poisson", "empty", "gumbel", "fractional"}
    assert not {name for name in names if any(word in name for word in random)}
    worst = (
        "load save eval exec compile open apply map_ apply_ numpy tolist item data grad storage from_file frombuffer"
    )
    worst += " as_strided set_ normal hub jit ops import_ir_module __class__ __dict__ system attrgetter methodcaller register_hook"
    assert not names & set(worst.split())
    assert all(hasattr(Tensor, name) for name in METHOD_NAMES)
    assert all(issubclass(kind, nn.Module) and kind.__module__.startswith("torch.nn") for kind in CLASS_OF.values())


class Asks(nn.Module):
    """Attributes, comparisons, a memory format, and a layer's name with a hyphen, as RegNet has them."""

    def __init__(self):
        super().__init__()
        self.add_module("block1-0", nn.Conv2d(3, 4, 1))

    def forward(self, x):
        y = getattr(self, "block1-0")(x).contiguous(memory_format=torch.channels_last)
        values = torch.max(y, 1).values.to(x.dtype)
        return torch.where(values > 0, values, values.mT.mT * float("-inf")).clamp(min=-1.0), y.shape[1] // 2


def test_attributes_comparisons_and_odd_layer_names_travel(tmp_path):
    network = fx.symbolic_trace(Asks())
    save(tmp_path / "x.safetensors", network, source={}, plan=EMPTY)
    x = torch.randn(2, 3, 5, 5)
    ours, theirs = network(x), load(tmp_path / "x.safetensors")(x)
    assert torch.equal(ours[0], theirs[0]) and ours[1] == theirs[1] == 2


@pytest.mark.parametrize(("attribute", "says"), [("data", "operation builtins.getattr"), ("grad", "builtins.getattr")])
def test_an_attribute_no_file_may_ask_for_is_refused_when_saving(tmp_path, attribute, says):
    graph = fx.Graph()
    graph.output(graph.call_function(getattr, (graph.placeholder("x"), attribute)))
    with pytest.raises(BadInput, match=says):
        save(tmp_path / "x.safetensors", fx.GraphModule(nn.Module(), graph), source={}, plan=EMPTY)


EMPTY = plan_zeros(nn.Linear(2, 2), torch.zeros(1, 2))
