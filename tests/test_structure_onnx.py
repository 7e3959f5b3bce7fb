"""ONNX files: compared with the uncut network by evaluators that know nothing of this project, or not written at all."""

from __future__ import annotations

import math
import sys
import warnings

import numpy as np
import onnx
import onnxruntime
import oracles_structure as oracles
import pytest
import torch
import torch.nn.functional as F
from compact_networks import NAMES, made, outputs
from onnx.reference import ReferenceEvaluator
from torch import Tensor, fx, nn

from core.errors import BadInput
from core.structure import onnxcheck, onnxfile
from core.structure.onnxcheck import agreement, difference
from core.structure.onnxfile import export_onnx
from core.structure.onnxplain import FUNCTIONS, MODULES, plain
from core.structure.onnxreference import evaluator


def run(file, *inputs):
    """The file's outputs in ONNX Runtime."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    outputs = session.run(None, {name: x.numpy() for name, x in zip(names, inputs, strict=True)})
    return {given.name: torch.from_numpy(y) for given, y in zip(session.get_outputs(), outputs, strict=True)}


@pytest.mark.parametrize("name", NAMES)
def test_the_file_answers_as_the_uncut_network_at_another_batch_and_size(name, tmp_path):
    network, compact, example, batches = made(name)
    check = export_onnx(compact, example, tmp_path / "x.onnx")
    assert check.float64_max_rel <= 1e-9 and check.float32_max_rel <= 1e-5 and check.top1_agreement == 1
    assert check.batches == [2, 5, 1] and len(check.sizes) == 3
    (axes,) = check.dynamic.values()
    if check.fixed_size:
        assert axes == ["batch"] and check.sizes == [list(example.shape[2:])] * 3 and len(batches) == 1
    else:
        assert axes[1:] == list(onnxfile.AXES[example.dim() - 2])
        assert all(a != b for size in check.sizes[:2] for a, b in zip(size, example.shape[2:], strict=True))
    for x in batches:
        theirs = list(run(tmp_path / "x.onnx", x).values())
        for a, b in zip(outputs(network, x), theirs, strict=True):
            assert oracles.difference(a, b) < 1e-5


def test_a_network_of_one_size_gets_a_free_batch_only_and_the_check_says_why(tmp_path, capfd):
    _, compact, example, _ = made("vgg_sigmoid")
    check = export_onnx(compact, example, tmp_path / "x.onnx")
    assert capfd.readouterr() == ("", "")
    assert check.dynamic == {"input": ["batch"]} and check.fixed_size == "it was not seen to run at two other sizes"
    assert run(tmp_path / "x.onnx", torch.randn(7, 3, 8, 8))["output"].shape == (7, 5)


def bake(axis, number):
    """Every size read along an axis becomes a number, as an exporter that misunderstands would write it."""

    def baked(network):
        network = plain(network)
        sizes = [node for node in network.graph.nodes if node.target == "size" and node.args[1] == axis]
        assert sizes, "this network reads no such size"
        for node in sizes:
            node.replace_all_uses_with(number)
        network.recompile()
        return network

    return baked


def test_a_size_baked_into_the_file_is_noticed_and_the_file_fixed_to_it(tmp_path, monkeypatch):
    monkeypatch.setattr(onnxfile, "plain", bake(2, 12))
    _, compact, example, _ = made("preresnet_softplus")
    check = export_onnx(compact, example, tmp_path / "x.onnx")
    assert check.dynamic == {"input": ["batch"]} and check.fixed_size.startswith("with free sizes, the ONNX form must")
    assert check.sizes == [[12, 12]] * 3


def test_a_batch_baked_into_the_file_is_refused_and_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(onnxfile, "plain", bake(0, 3))
    _, compact, example, _ = made("resnet_silu", seed=1)
    with pytest.raises(BadInput, match=r"the ONNX form must .* in float64, for a batch of 2 at \[12, 12\]"):
        export_onnx(compact, example, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("dtype", "says"), [(torch.float64, "in float64"), (torch.float32, "in float32")])
def test_a_file_with_one_wrong_weight_is_refused(tmp_path, monkeypatch, dtype, says):
    def spoiled(network):
        network = plain(network)
        weight = network.get_submodule("6").weight
        if weight.dtype == dtype:
            weight.data[0, 0] += 1e-7 if dtype == torch.float64 else 1e-3
        return network

    monkeypatch.setattr(onnxfile, "plain", spoiled)
    _, compact, example, _ = made("resnet_silu")
    with pytest.raises(BadInput, match=rf"must agree with the network; {says}.* of its scale away, more than 1e-0[59]"):
        export_onnx(compact, example, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


class Odd(nn.Module):
    def forward(self, x):
        return F.interpolate(x, scale_factor=2, mode="nearest-exact")


def test_an_operation_without_an_onnx_form_is_named_and_nothing_is_printed(tmp_path, capfd):
    with pytest.raises(BadInput, match=r"operation _upsample_nearest_exact2d .* cannot be written as ONNX; keep"):
        export_onnx(fx.symbolic_trace(Odd()), torch.zeros(1, 3, 8, 8), tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == [] and capfd.readouterr() == ("", "")


def test_exporting_changes_neither_the_network_nor_the_process(tmp_path):
    _, compact, example, _ = made("resnet_silu")
    compact.train()
    compact.get_submodule("1.bn1").eval()
    state = {name: tensor.clone() for name, tensor in compact.state_dict().items()}
    modes, code = [module.training for module in compact.modules()], compact.code
    before = (
        torch.get_rng_state(),
        list(warnings.filters),
        torch._C._jit_is_onnx_log_enabled(),
        torch._C._jit_onnx_log,
    )
    export_onnx(compact, example, tmp_path / "x.onnx")
    after = (torch.get_rng_state(), list(warnings.filters), torch._C._jit_is_onnx_log_enabled(), torch._C._jit_onnx_log)
    assert torch.equal(before[0], after[0]) and before[1:] == after[1:]
    assert torch.is_grad_enabled() and not torch.onnx.is_in_onnx_export()
    assert modes == [module.training for module in compact.modules()] and code == compact.code
    assert all(torch.equal(tensor, state[name]) for name, tensor in compact.state_dict().items())


@pytest.mark.parametrize("name", onnxfile.PINS)
def test_a_missing_package_is_a_sentence_with_the_remedy(name, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    _, compact, example, _ = made("resnet_silu")
    remedy = r"pip install onnx==[\d.]+ onnxruntime==[\d.]+"
    with pytest.raises(BadInput, match=f"needs the package {name}, which is not installed; {remedy}"):
        export_onnx(compact, example, tmp_path / "x.onnx")


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    _, compact, example, _ = made("vgg_sigmoid")
    (tmp_path / "x.onnx").write_bytes(b"old")

    def full(handle):
        raise OSError("disk full")

    monkeypatch.setattr("core.atomic.os.fsync", full)
    with pytest.raises(OSError, match="disk full"):
        export_onnx(compact, example, tmp_path / "x.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["x.onnx"] and (tmp_path / "x.onnx").read_bytes() == b"old"


def test_anything_but_a_compact_network_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"compact must be a network made by apply.*got Sequential"):
        export_onnx(nn.Sequential(), torch.zeros(1, 3, 8, 8), tmp_path / "x.onnx")


class Taken(nn.Module):
    def forward(self, output):
        return output * 2


def test_an_output_never_has_the_name_of_an_input(tmp_path):
    export_onnx(fx.symbolic_trace(Taken()), torch.zeros(1, 3, 8, 8), tmp_path / "x.onnx")
    assert list(run(tmp_path / "x.onnx", torch.zeros(1, 3, 8, 8))) == ["output_"]


class Two(nn.Module):
    """An image and class numbers in, two answers out."""

    def __init__(self):
        super().__init__()
        self.conv, self.embed = nn.Conv2d(3, 4, 3), nn.Embedding(5, 4)

    def forward(self, image: Tensor, kind: Tensor):
        y = self.conv(image) * self.embed(kind)[..., None]
        return y, y.mean((2, 3))


def test_several_inputs_and_outputs_keep_their_order(tmp_path):
    torch.manual_seed(0)
    network, example = fx.symbolic_trace(Two()), (torch.zeros(1, 3, 8, 8), torch.tensor([[0, 1, 2, 3]]))
    network.embed = nn.Embedding(5, 1)
    check = export_onnx(network, example, tmp_path / "x.onnx")
    assert check.dynamic == {"image": ["batch"], "kind": ["batch"]}
    x, kind = torch.randn(6, 3, 8, 8), torch.randint(5, (6, 4))
    outputs = run(tmp_path / "x.onnx", x, kind)
    assert list(outputs) == ["output_0", "output_1"]
    for ours, theirs in zip(network(x, kind), outputs.values(), strict=True):
        assert oracles.difference(ours.detach(), theirs) < 1e-5


# ---- what the judge is made of -------------------------------------------------------------------------------------


def plane(dims: int) -> Tensor:
    """(2, 6, 7, 5, 4), of which `dims` sides, from -7 to 7."""
    shape = (2, 6, *(7, 5, 4)[:dims])
    return torch.linspace(-7, 7, math.prod(shape), dtype=torch.float64).reshape(shape)


SETTINGS = {  # of functions and of layers; a layer's name in capitals
    **{
        "hardsigmoid": (),
        "hardswish": (),
        "celu": (0.3,),
        "selu": (),
        "softplus": (2.0, 1.5),
        "_threshold": (0.1, 0.2),
    },
    **{"channel_shuffle": (3,), "getattr": ("mT",)},
    **{"Hardsigmoid": (), "Hardswish": (), "CELU": (0.3,), "SELU": (), "Softplus": (2.0, 1.5), "Threshold": (0.1, 0.2)},
    **{"ChannelShuffle": (3,)},
    **{f"adaptive_{kind}_pool{d}d": ((3, 2, None)[:d],) for kind in ("avg", "max") for d in (1, 2, 3)},
    **{f"Adaptive{kind}Pool{d}d": ((1, 1, 1)[:d],) for kind in ("Avg", "Max") for d in (1, 2, 3)},
}


def dims_of(name: str) -> int:
    return int(name[-2]) if name[-1] == "d" and name[-2].isdigit() else 2


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_rewritten_functions_say_the_same(function):
    settings, x = SETTINGS[function.__name__], plane(dims_of(function.__name__))
    torch.testing.assert_close(FUNCTIONS[function](x, *settings), function(x, *settings), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("kind", MODULES)
def test_rewritten_layers_say_the_same_and_are_gone(kind):
    layer, x = kind(*SETTINGS[kind.__name__]), plane(dims_of(kind.__name__))
    rewritten = plain(fx.symbolic_trace(nn.Sequential(layer)))
    torch.testing.assert_close(rewritten(x), layer(x), rtol=1e-13, atol=1e-14)
    assert not any(node.op == "call_module" for node in rewritten.graph.nodes)


def test_what_has_an_onnx_form_stays_as_it_is():
    network = nn.Sequential(nn.Softplus(), nn.AdaptiveMaxPool2d(2, return_indices=True))
    assert [node.target for node in plain(fx.symbolic_trace(network)).graph.nodes][1:3] == ["0", "1"]


class Stumble(nn.Module):
    """What the format rounds, and what exporter or evaluators get wrong or refuse as it stands."""

    def __init__(self):
        super().__init__()
        self.pool, self.leaky = nn.MaxPool2d(3, 1, 1, ceil_mode=True), nn.LeakyReLU(0.3)
        self.norm, self.bare = nn.BatchNorm2d(3, eps=0.7), nn.BatchNorm2d(3, eps=0.3, affine=False)
        self.instance = nn.InstanceNorm2d(3, track_running_stats=True)
        self.same, self.adapt = nn.Conv2d(3, 6, 3, padding="same", dilation=2), nn.AdaptiveMaxPool2d((5, 3))

    def forward(self, x):
        x = F.elu(self.norm(self.pool(self.leaky(x - 2))), alpha=0.9)
        x = F.pad(self.same(self.instance(self.bare(x))), (-1, 2, 1, -2))
        return self.adapt(x).movedim(-1, 1).mT


def test_what_the_format_and_the_tools_round_miss_or_refuse_is_no_difference(tmp_path):
    torch.manual_seed(0)
    network = fx.symbolic_trace(Stumble())
    for norm in (network.norm, network.bare, network.instance):
        nn.init.uniform_(norm.running_var, 0.5, 2), nn.init.normal_(norm.running_mean)
    check = export_onnx(network.eval(), torch.zeros(1, 3, 9, 9), tmp_path / "x.onnx")
    assert check.float64_max_rel < 1e-14 and not check.fixed_size
    x = torch.randn(4, 3, 12, 14)
    assert oracles.difference(network(x).detach(), run(tmp_path / "x.onnx", x)["output"]) < 1e-5


MENDED = {
    "Erf": nn.GELU(),
    "Resize": nn.Upsample((7, 9), mode="bicubic"),
    "ConvTranspose": nn.ConvTranspose2d(6, 4, 3, 2, 1, groups=2).double(),
    "Pad": nn.ZeroPad2d((-1, 2, 1, -2)),
}


@pytest.mark.parametrize("name", MENDED)
def test_the_reference_evaluator_is_mended_only_where_it_is_wrong(name):
    """If the plain evaluator is right one day, the mend should go."""
    module = fx.symbolic_trace(nn.Sequential(MENDED[name]))
    model = onnx.load_from_string(onnxfile.exported(module, (plane(2),), {"x": {0: "batch"}}, torch.float64))
    assert name in {node.op_type for node in model.graph.node}
    with torch.no_grad():
        truth = module(plane(2)).numpy()
    assert difference(truth, evaluator(model)({"x": plane(2).numpy()})[0]) < 1e-14
    try:
        wrong = ReferenceEvaluator(model).run(None, {"x": plane(2).numpy()})[0]
    except ValueError:
        return
    assert wrong.shape != truth.shape or difference(truth, wrong) > 1e-9


def test_nan_infinity_and_other_shapes_never_pass():
    one, nan = np.ones((2, 3)), np.full((2, 3), np.nan)
    assert difference(one, nan) == np.inf and difference(one, one * np.inf) == np.inf and difference(one, one) == 0
    for theirs in (nan, one[:1], one + 1e-8):
        with pytest.raises(BadInput, match="must agree with the network"):
            onnxcheck.check([one], [theirs], 1e-9, "here")
    with pytest.raises(BadInput, match="the network must give finite numbers"):
        onnxcheck.check([nan], [nan], 1e-9, "here")


def test_top1_counts_only_where_the_network_itself_is_decided():
    a = np.array([[1.0, 0.0], [0.5, 0.5 - 1e-7], [0.0, 1.0], [0.2, 0.9]])
    assert agreement(a, a[:, ::-1], 1e-5) == 0
    b = a.copy()
    b[1] = b[1, ::-1]
    assert agreement(a, b, 1e-5) == 1 and agreement(a, b, 1e-9) == 0.75
    b[0] = b[0, ::-1]
    assert agreement(a, b, 1e-5) == 2 / 3
