"""A compact network as Python: one readable file that needs torch and safetensors only, and its weights beside it."""

from __future__ import annotations

import keyword
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as save_tensors
from torch import Tensor, fx

from core.atomic import replacing
from core.errors import BadInput
from core.structure.pyforward import Forward, Shapes
from core.structure.pylayers import access, layer_lines
from core.structure.pytext import Call, comment, statement
from core.structure.trace import Example, eval_mode, example_tuple

TAKEN = ("torch", "safetensors", "numpy")  # a file of that name would hide what it imports
CLASSES = '''

class Group(nn.Module):
    """Layers under the names that they have in the weights file; it computes nothing itself."""

    def __getitem__(self, name: int | str) -> nn.Module:
        return getattr(self, str(name))

    def __setitem__(self, name: int | str, layer: nn.Module) -> None:
        self.add_module(str(name), layer)


class Compact(Group):
    def __init__(self) -> None:
        super().__init__()'''
LOAD = '''

def load(path: str | Path | None = None) -> Compact:
    """The network with its weights, in eval mode. Without a path: the .safetensors file beside this one."""
    weights = load_file(path or Path(__file__).with_suffix(".safetensors"))  # copied below to where torch aligns them
    with torch.device("meta"):
        network = Compact()
    network.load_state_dict({name: weight.clone() for name, weight in weights.items()}, assign=True)
    return network.eval()
'''


def write_source(
    compact: fx.GraphModule,
    file_stem: str | Path,
    *,
    cut_from: str = "",
    verdict: str = "",
    example: Example | None = None,
) -> tuple[Path, Path]:
    """Write `compact` (from `apply`) as `file_stem`.py and `file_stem`.safetensors, and return the two paths.

    `cut_from` and `verdict` are told in the header; shapes at the `example` stand behind the lines that make them.
    Raises BadInput for modules that are not plain torch.nn and for operations outside the vocabulary.
    """
    stem = check_stem(Path(file_stem))
    if not isinstance(compact, fx.GraphModule):
        raise BadInput(f"compact must be a network made by apply(plan, model, example); got {type(compact).__name__}")
    text = source(compact, stem.name, cut_from, verdict, shapes_of(compact, example))
    weights = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in compact.state_dict().items()}
    script, tensors = stem.with_name(f"{stem.name}.py"), stem.with_name(f"{stem.name}.safetensors")
    with replacing(script) as new_script, replacing(tensors) as new_tensors:
        new_tensors.write_bytes(save_tensors(weights))
        new_script.write_text(text, encoding="utf-8")
    return script, tensors


def check_stem(stem: Path) -> Path:
    """Its last part is a name that `import` takes and that hides nothing."""
    name = stem.name
    taken = keyword.iskeyword(name) or name in TAKEN or name in sys.stdlib_module_names
    if not name.isascii() or not name.isidentifier() or taken:
        raise BadInput(f"file_stem must end in a name that can be imported, such as compact_resnet20; got {name!r}")
    return stem


def source(compact: fx.GraphModule, name: str, cut_from: str, verdict: str, shapes: Shapes) -> str:
    """The text of the file."""
    forward = Forward(compact.graph, access, shapes)
    body = forward.lines()
    about = [
        f"# A compact network of {sum(p.numel() for p in compact.parameters()):,} parameters, written by Espalier."
    ]
    about += comment(f"Cut from: {cut_from}") * bool(cut_from) + comment(f"Verdict: {verdict}") * bool(verdict)
    about += [
        "#",
        f"#     from {name} import load",
        f"#     network = load()  # reads {name}.safetensors, which lies beside it",
    ]
    imports = [""] + ["import math"] * ("math" in forward.imports) + ["from pathlib import Path", "", "import torch"]
    imports += ["import torch.nn.functional as F"] * ("F" in forward.imports)
    imports += ["from safetensors.torch import load_file", "from torch import Tensor, nn"]
    returned = next(node.args[0] for node in compact.graph.nodes if node.op == "output")
    signature = Call("def forward(", ("self", *(f"{word}: Tensor" for word in forward.inputs)))
    head = statement(4, "", signature, f" -> {annotation(returned)}:")
    return "\n".join([*about, *imports, CLASSES, *layer_lines(compact), "", *head, *body, LOAD])


def annotation(returned: Any) -> str:
    kinds = ((dict, "dict[str, Tensor]"), (tuple, "tuple[Tensor, ...]"), (list, "list[Tensor]"))
    return next((text for kind, text in kinds if isinstance(returned, kind)), "Tensor")


class ShapeRecorder(fx.Interpreter):
    """Runs a network and keeps the shape of every tensor; N stands for the batch."""

    def __init__(self, network: fx.GraphModule, batch: int) -> None:
        super().__init__(network)
        self.batch, self.shapes = batch, Shapes()

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.shapes[n] = tuple(
                "N" if i == 0 and side == self.batch else side for i, side in enumerate(result.shape)
            )
        return result


def shapes_of(compact: fx.GraphModule, example: Example | None) -> Shapes:
    if example is None:
        return {}
    kind = next((p.dtype for p in compact.parameters() if p.is_floating_point()), torch.float32)
    inputs = [tensor.to(kind) if tensor.is_floating_point() else tensor for tensor in example_tuple(example)]
    recorder = ShapeRecorder(compact, len(inputs[0]))
    with eval_mode(compact):
        recorder.run(*inputs)
    return recorder.shapes
