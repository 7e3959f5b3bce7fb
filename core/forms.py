"""The forms in which a compact network leaves: a compact file, an ONNX file, Python source; the suffix names the form.

Each is checked against the network that it was written from before it is offered; a file that failed is not kept.
"""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from core.errors import BadInput
from core.structure import Certificate, RemovalPlan, export_onnx, load, read_header, save, write_source
from core.structure.onnxcheck import tensors_of
from core.structure.trace import eval_mode
from core.weightfile import our_own

SUFFIXES = {".safetensors": "compact file", ".onnx": "ONNX", ".py": "Python source"}


def write_form(
    output: Path,
    compact: fx.GraphModule,
    example: Tensor,
    *,
    source: dict[str, Any],
    plan: RemovalPlan,
    certificate: Certificate | None = None,
) -> dict[str, Any]:
    """Write `compact` to `output` in the form its suffix names; {form, check}: what was compared, None for a compact file.

    `example`: one input, batch first. Raises BadInput for another suffix, and where a form cannot say the network.
    """
    suffix = check_suffix(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    check: dict[str, Any] | None = None
    if suffix == ".onnx":
        check = export_onnx(compact, example, output).model_dump(mode="json")
    elif suffix == ".py":
        check = write_python(output, compact, example, source, certificate)
    else:
        save(output, compact, source=source, plan=plan, certificate=certificate)
    return {"form": SUFFIXES[suffix], "check": check}


def check_suffix(output: Path) -> str:
    """The suffix. BadInput where it names no form."""
    if output.suffix not in SUFFIXES:
        forms = ", ".join(f"{suffix} ({form})" for suffix, form in SUFFIXES.items())
        raise BadInput(
            f"the file's suffix must be one of {forms}; got {output.name!r}; name it for example compact.onnx"
        )
    return output.suffix


def write_python(
    output: Path, compact: fx.GraphModule, example: Tensor, source: dict[str, Any], certificate: Certificate | None
) -> dict[str, Any]:
    """The script and its weights, imported again and compared on random inputs at two batches: the same bits, or BadInput."""
    check_beside(output)
    words = ", ".join(f"{key} {value}" for key, value in source.items() if isinstance(value, str | int))
    verdict = "" if certificate is None else certificate.verdict

    def write(stem: Path) -> tuple[Path, Path]:
        return write_source(compact, stem, cut_from=words, verdict=verdict, example=example)

    with tempfile.TemporaryDirectory() as folder:
        again = imported(write(Path(folder) / output.stem)[0])
        batches = [2, 5]
        if not all(same_bits(compact, again, example, batch) for batch in batches):
            raise BadInput(
                f"{output.name} must answer with the network's own bits when it is imported again; it does not; "
                "keep this network as a compact file"
            )
    return {"weights": str(write(output.with_suffix(""))[1]), "batches": batches, "max_difference": 0.0}


def check_beside(output: Path) -> None:
    """BadInput where the weights of the script would replace a file that is not a script's weights."""
    weights = output.with_suffix(".safetensors")
    if weights.exists() and (not output.exists() or our_own(weights)):
        raise BadInput(
            f"{output.name} keeps its weights in {weights.name} beside it, which must not replace a file that is not "
            f"its own; {weights} is there already; choose another name"
        )


def same_bits(compact: fx.GraphModule, again: nn.Module, example: Tensor, batch: int) -> bool:
    """Whether both give equal tensors for normal numbers of the example's shape, in eval mode."""
    kind = next((p.dtype for p in compact.parameters() if p.is_floating_point()), torch.float32)
    draw = torch.Generator().manual_seed(batch)
    inputs = torch.randn((batch, *example.shape[1:]), generator=draw).to(kind)
    with eval_mode(compact), torch.no_grad():
        ours, theirs = tensors_of(compact.forward(inputs)), tensors_of(again(inputs))
    return len(ours) == len(theirs) and all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def imported(script: Path) -> nn.Module:
    """The network of a script that was just written here, in eval mode."""
    spec = importlib.util.spec_from_file_location(f"espalier_written_{script.stem}", script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load()


def rewrite(file: Path, output: Path, example: Tensor) -> dict[str, Any]:
    """A compact file in another form; as `write_form`. `example`: one input, batch first."""
    about = read_header(file)
    plan = RemovalPlan.model_validate(about["plan"])
    proof = None if about.get("certificate") is None else Certificate.model_validate(about["certificate"])
    return write_form(output, load(file).eval(), example, source=about["source"], plan=plan, certificate=proof)
