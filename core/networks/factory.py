"""A trusted factory, `module:function`: a person's own code that makes a network. It is imported and run.

Whatever goes wrong in it ends as one sentence; what it prints goes to standard error.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import importlib.machinery
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import BadInput, one_of

PROJECT = Path(__file__).resolve().parents[2]


def make(text: str, example: Tensor, folder: Path | None = None, seed: int | None = None, **known: int) -> nn.Module:
    """The network that `module:function` returns, in eval mode, on the CPU, in float32; it must take `example`.

    `folder` (the current one) is where modules are looked for first. Of `known` (num_classes, in_channels, image_size) the
    function is given those that it names. `seed` seeds torch's numbers while it runs; afterwards they go on as before.
    """
    module, _, name = text.partition(":")
    folder = Path.cwd() if folder is None else folder
    with modules_of(folder, module), contextlib.redirect_stdout(sys.stderr), torch.random.fork_rng(devices=[]):
        function = _function(text, module, name, folder)
        if seed is not None:
            torch.manual_seed(seed)
        network = _tried(f"{text} must return a network", function, **_taken(function, known))
        if not isinstance(network, nn.Module):
            raise BadInput(
                f"{text} must return a torch.nn.Module; got {type(network).__name__}; return the network itself"
            )
        network = network.cpu().float().eval()
        with torch.inference_mode():
            _tried(f"the network of {text} must take an input of {tuple(example.shape)}", network, example)
        _tried(f"the network of {text} must allow a copy", copy.deepcopy, network)
    return network


@contextlib.contextmanager
def modules_of(folder: Path, name: str) -> Iterator[None]:
    """Inside, modules are found in `folder` first. Afterwards none from there stays imported: its files may change, and
    another folder may hold others of the same name."""
    top = name.partition(".")[0]
    hidden: dict[str, ModuleType] = {}
    spec = importlib.machinery.PathFinder.find_spec(top, [str(folder)])
    if spec is not None and not _is_ours(spec.origin):
        names = [key for key in sys.modules if key == top or key.startswith(f"{top}.")]
        hidden = {key: sys.modules.pop(key) for key in names}
    before = set(sys.modules)
    importlib.invalidate_caches()
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for key, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if key not in before and file and Path(file).is_relative_to(folder) and not _is_ours(file):
                del sys.modules[key]
        sys.modules.update(hidden)


def _is_ours(file: str | None) -> bool:
    """Whether a module is a part of this program."""
    return file is not None and any(Path(file).is_relative_to(PROJECT / part) for part in ("core", "app"))


def _taken(function: Callable[..., Any], known: dict[str, int]) -> dict[str, int]:
    """Those of `known` that the function names as parameters."""
    try:
        names = inspect.signature(function).parameters
    except (TypeError, ValueError):  # not a Python function
        return {}
    return {name: value for name, value in known.items() if name in names}


def _function(text: str, module: str, name: str, folder: Path) -> Callable[..., Any]:
    try:
        found = _tried(f"module {module} of {text} must import", importlib.import_module, module)
    except BadInput as error:
        missing = error.__cause__
        if isinstance(missing, ModuleNotFoundError) and f"{module}.".startswith(f"{missing.name}."):
            raise BadInput(
                f"module {module} of {text} must be in the current folder or on Python's path; got no module named "
                f"{missing.name} in {folder}; check the name, or change to its folder"
            ) from None
        raise
    if not hasattr(found, name):
        raise one_of(f"the function of {text}", name, [key for key, value in vars(found).items() if callable(value)])
    function = getattr(found, name)
    if not callable(function):
        raise BadInput(f"{text} must be a function; got {type(function).__name__}; name one that returns a network")
    return function


def _tried(rule: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """The answer of a person's own code; whatever it raises becomes a sentence."""
    try:
        return function(*arguments, **named)
    except (Exception, SystemExit) as error:  # anything at all: it is not our code
        told = " ".join(str(error).split())[:200]
        raise BadInput(
            f"{rule}; got {type(error).__name__}{f': {told}' if told else ''}; run it by itself first"
        ) from error
