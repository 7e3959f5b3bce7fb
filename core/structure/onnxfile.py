"""An ONNX file of a compact network, written only after two evaluators agreed with it at sizes it was not traced at.

torch.onnx has two exporters; this uses the older one (`dynamo=False`). Tried on 69 compact networks, 25 of torchvision and
250 single operations: the newer one takes 10 to 50 times as long (densenet121 35 s, the older 0.7 s), needs onnxscript,
and writes adaptive pooling with the window of the traced size, without a word, where the older one says that it cannot.
"""

from __future__ import annotations

import importlib
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, fx

from core.atomic import replacing
from core.errors import BadInput
from core.structure.onnxcheck import BATCHES, OnnxCheck, Probe, Run, answer, compare, other_sizes, tensors_of
from core.structure.onnxplain import copy_as, plain, round_settings
from core.structure.onnxreference import evaluator
from core.structure.trace import Example, example_tuple

OPSET = 18
PINS = {"onnx": "1.23.2", "onnxruntime": "1.31.1"}
TRACED_BATCH = 3  # a batch of 1 may be taken for a constant
AXES = {0: (), 1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
# what torch.onnx was seen to raise; its own errors are RuntimeErrors
FAILURES = (RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError, AssertionError)


def export_onnx(compact: fx.GraphModule, example: Example, file: str | Path) -> OnnxCheck:
    """Write `compact` (from `apply`) in float32 to `file`; batch, height and width stay free where the network lets them.

    Raises BadInput, and writes nothing, if an operation has no ONNX form or the form does not agree with the network.
    """
    for name in PINS:
        package(name)
    if not isinstance(compact, fx.GraphModule):
        raise BadInput(f"compact must be a network made by apply(plan, model, example); got {type(compact).__name__}")
    network, examples = copy_as(compact, torch.float32), example_tuple(example)
    given = (example[0] if isinstance(example, tuple) else example).shape[0]
    first, second = [batch for batch in BATCHES if batch != given][:2]
    sizes = other_sizes(network, examples)
    reason = (
        "it was not seen to run at two other sizes" if examples[0].dim() > 2 else "its input has no height and width"
    )
    if sizes:
        try:
            data, check = checked(network, examples, [Probe(first, sizes[0]), Probe(second, sizes[1]), Probe(1)], "")
        except BadInput as error:
            sizes, reason = [], f"with free sizes, {error}"
    if not sizes:
        data, check = checked(network, examples, [Probe(first), Probe(second), Probe(1)], reason)
    with replacing(Path(file)) as beside:
        beside.write_bytes(data)
    return check


def checked(
    network: fx.GraphModule, examples: tuple[Tensor, ...], probes: list[Probe], fixed_size: str
) -> tuple[bytes, OnnxCheck]:
    """The bytes of the file and the record of their check; `fixed_size`: why only the batch is free, or empty."""
    onnx = package("onnx")
    names = [str(node.target) for node in network.graph.nodes if node.op == "placeholder"]
    axes = {name: axes_of(example, free=not fixed_size) for name, example in zip(names, examples, strict=True)}
    double = round_settings(copy_as(network, torch.float64))
    model = onnx.load_from_string(exported(double, examples, axes, torch.float64))
    float64, _, spread = compare(double, lambda: evaluator(model), names, examples, probes, torch.float64)
    data = exported(network, examples, axes, torch.float32)
    float32, top1, _ = compare(network, lambda: session(data), names, examples, probes, torch.float32)
    return data, OnnxCheck(
        sizes=[list(probe.size or examples[0].shape[2:]) for probe in probes],
        batches=[probe.batch for probe in probes],
        float64_max_rel=float64,
        float32_max_rel=float32,
        top1_agreement=top1,
        spread=spread,
        opset=OPSET,
        dynamic={name: list(free.values()) for name, free in axes.items()},
        fixed_size=fixed_size,
        versions={"torch": torch.__version__, **{name: package(name).__version__ for name in PINS}},
    )


def session(data: bytes) -> Run:
    """ONNX Runtime on one core."""
    runtime = package("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    started = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return lambda inputs: started.run(None, inputs)


def package(name: str) -> ModuleType:
    """A package that only this file needs."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        wanted = " ".join(f"{other}=={version}" for other, version in PINS.items())
        raise BadInput(
            f"an ONNX file needs the package {name}, which is not installed; pip install {wanted}"
        ) from error


def axes_of(example: Tensor, free: bool) -> dict[int, str]:
    """The names of an input's free axes."""
    sides = AXES.get(example.dim() - 2, ()) if free else ()
    return {0: "batch"} | {2 + i: name for i, name in enumerate(sides)}


def exported(
    network: fx.GraphModule, examples: tuple[Tensor, ...], axes: dict[str, dict[int, str]], dtype: torch.dtype
) -> bytes:
    """The network's ONNX form. BadInput names the operation that has none."""
    inputs, buffer = Probe(TRACED_BATCH).inputs(examples, dtype), io.BytesIO()
    output = answer(network, inputs)
    outputs = output_names(output, set(axes))
    batched = {
        n: {0: "batch"} for n, t in zip(outputs, tensors_of(output), strict=True) if t.shape[:1] == (TRACED_BATCH,)
    }
    try:
        with quiet():
            torch.onnx.export(
                plain(network),
                inputs,
                buffer,  # type: ignore[arg-type]  # the older exporter writes to a buffer too
                dynamo=False,
                opset_version=OPSET,
                input_names=list(axes),
                output_names=outputs,
                dynamic_axes=axes | batched,
            )
    except FAILURES as error:
        raise BadInput(f"{operation(error)} cannot be written as ONNX; keep this network as a compact file") from error
    return count_axes_from_the_front(buffer.getvalue())


def count_axes_from_the_front(data: bytes) -> bytes:
    """torch writes `movedim(-1, 1)` as a Transpose with the axis -1, which ONNX Runtime refuses."""
    model = package("onnx").load_from_string(data)
    for node in model.graph.node:
        if node.op_type == "Transpose":
            for attribute in node.attribute:
                attribute.ints[:] = [axis % len(attribute.ints) for axis in attribute.ints]
    return model.SerializeToString()


def output_names(output: object, taken: set[str]) -> list[str]:
    """`output`, or the keys of a dict, or numbered; never an input's name."""
    count = len(tensors_of(output))
    names = [f"output_{i}" for i in range(count)] if count > 1 else ["output"]
    if isinstance(output, dict) and count == len(output):
        names = [str(key) for key in output]
    return [name + "_" * (name in taken) for name in names]


def operation(error: Exception) -> str:
    """The operation that an exporter's error is about, with its first sentence."""
    text = " ".join(str(error).split())
    patterns = (r"aten::(\w+)", r"operator (\w+)", r"translating (\w+)", r"ONNX export of (\w+)")
    name = next((found[1] for pattern in patterns if (found := re.search(pattern, text))), "unknown")
    return f"operation {name} ({text[:160]})"


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings and no printed graphs inside; torch's log switch, which its exporter leaves on, is put back."""
    log, enabled = torch._C._jit_onnx_log, torch._C._jit_is_onnx_log_enabled()
    torch._C._jit_onnx_log = lambda *_: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch._C._jit_onnx_log = log
        torch._C._jit_set_onnx_log_enabled(enabled)
