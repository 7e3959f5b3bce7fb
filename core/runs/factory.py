"""A trusted factory, `module:function`: a person's own code that makes a network. It is imported and run.

Whatever goes wrong in it ends as one sentence; what it prints goes to standard error.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import BadInput, one_of


def make(text: str, example: Tensor) -> nn.Module:
    """The network that `module:function` returns, in eval mode, on the CPU, in float32; it must take `example`."""
    module, _, name = text.partition(":")
    with _here(), contextlib.redirect_stdout(sys.stderr):
        function = _function(text, module, name)
        network = _tried(f"{text} must return a network", function)
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
def _here() -> Iterator[None]:
    """Inside, modules are found in the current folder first."""
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _function(text: str, module: str, name: str) -> Callable[[], Any]:
    try:
        found = _tried(f"module {module} of {text} must import", importlib.import_module, module)
    except BadInput as error:
        missing = error.__cause__
        if isinstance(missing, ModuleNotFoundError) and f"{module}.".startswith(f"{missing.name}."):
            raise BadInput(
                f"module {module} of {text} must be in the current folder or on Python's path; got no module named "
                f"{missing.name} in {os.getcwd()}; check the name, or change to its folder"
            ) from None
        raise
    if not hasattr(found, name):
        raise one_of(f"the function of {text}", name, [key for key, value in vars(found).items() if callable(value)])
    function = getattr(found, name)
    if not callable(function):
        raise BadInput(f"{text} must be a function; got {type(function).__name__}; name one that returns a network")
    return function


def _tried(rule: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """The answer of a person's own code; whatever it raises becomes a sentence."""
    try:
        return function(*arguments)
    except (Exception, SystemExit) as error:  # anything at all: it is not our code
        told = " ".join(str(error).split())[:200]
        raise BadInput(
            f"{rule}; got {type(error).__name__}{f': {told}' if told else ''}; run it by itself first"
        ) from error
