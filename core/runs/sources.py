"""SOURCE of `inspect` and `cut`: whatever a person may name, as a network in eval mode with an example of its input.

A run (its name or an unambiguous beginning of it), a trusted factory `module:function`, a file of weights together with
the name of its network, or a compact file of Espalier. One text that fits two of these is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core.data.dataset import Dataset
from core.data.names import DATASETS
from core.errors import BadInput, one_of
from core.networks import NAMES, build, factory
from core.networks.names import FACTORY, shown
from core.runs import home
from core.runs.folder import RunFolder
from core.runs.jobs import newest
from core.runs.recorded import is_recorded, recorded
from core.runs.store import Store
from core.structure import load as load_compact
from core.structure import read_header
from core.weightcentre import has_padded_shortcuts, renumber
from core.weightfile import our_own, read_weights
from core.weightguess import natural_side
from core.weightmatch import classes_and_channels, load_into


@dataclass(frozen=True)
class Source:
    """A network to look at or to cut: in eval mode, on the CPU, with an example of its input, (1, C, H, W) as a rule.

    `words` say what it is. `dataset`: the one given, or the one a run learned from. `network_name`: of the networks
    that are built in. `renamed`: modules of a file of weights that were matched to others here; `padded`: it has shortcuts
    without parameters, whose zero channels such a file may number otherwise; `note`: what was assumed of them.
    """

    network: nn.Module
    example: Tensor
    words: str
    dataset: Dataset | None = None
    network_name: str | None = None
    renamed: dict[str, str] = field(default_factory=dict)
    note: str = ""
    padded: bool = False


@dataclass(frozen=True)
class Wish:
    """What was said beside SOURCE: --network, --input, the loaded --dataset, --runs, --data and --shortcut-zeros."""

    network: str | None = None
    shape: tuple[int, ...] | None = None
    dataset: Dataset | None = None
    runs: Path | None = None
    data: Path | None = None
    zeros: str | None = None

    @property
    def input(self) -> tuple[int, ...] | None:
        """The input that was asked for, or that of the data set."""
        return self.shape or (None if self.dataset is None else (1, *self.dataset.shape))


def resolve(text: str, wish: Wish) -> Source:
    """The network that `text` names. Raises BadInput where it names nothing, or two things at once."""
    run = _run_named(text, wish.runs)
    found = {
        "a file here": Path(text).is_file(),
        f"a run ({run})": run is not None,
        "a factory": FACTORY.fullmatch(text) is not None,
    }
    kinds = [kind for kind, there in found.items() if there]
    if len(kinds) > 1:
        raise BadInput(
            f"SOURCE must name one thing; got {text!r}, which is {' and '.join(kinds)}; write ./{text} for the file"
        )
    if not kinds:
        raise _unknown(text)
    if run is not None:
        return _of_run(run, wish)
    source = _of_file(Path(text), wish) if found["a file here"] else _of_factory(text, wish)
    return _checked(source)


def parse_shape(text: str) -> tuple[int, ...]:
    """`1,3,32,32` as numbers: a batch, then what one input is."""
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if len(shape) < 2 or min(shape) < 1:
        raise BadInput(
            f"--input must be two or more whole numbers of at least 1, the batch first; got {text!r}; for example 1,3,32,32"
        )
    return shape


def _unknown(text: str) -> BadInput:
    kinds = "a run, a file of weights, a compact file or module:function"
    if ":" in text:
        return BadInput(
            f"SOURCE must be {kinds}; got {text!r}, neither a file nor two names with a colon between; write for example nets:make"
        )
    got = "a folder" if Path(text).is_dir() else "neither a file here nor a run"
    return BadInput(f"SOURCE must be {kinds}; got {text!r}, which is {got}; `python -m core runs` lists the runs")


def _run_named(text: str, runs: Path | None) -> str | None:
    """The run that `text` is, or is the only one to begin with; None where there is none."""
    if not text or not re.fullmatch(r"[\w.-]+", text):
        return None
    if is_recorded(text):
        return text
    root = home.runs_root(runs)
    if not (root / "store.db").exists():
        return None
    names = [row.id for row in Store(root).all()]
    near = [text] if text in names else [name for name in names if name.startswith(text)]
    if len(near) > 1:
        raise BadInput(
            f"SOURCE must begin the name of one run only; got {text!r}, which begins {', '.join(near[:3])}; write more of it"
        )
    return near[0] if near else None


def _of_run(run: str, wish: Wish) -> Source:
    _refuse(wish, "a run knows its network and its input", network=True, shape=True)
    folder = recorded()[run].folder if is_recorded(run) else home.runs_root(wish.runs) / run
    network, config, own, epoch = newest(RunFolder(folder), wish.data)
    dataset = wish.dataset or own
    if dataset.shape != own.shape:
        raise _unlike(run, own.shape, dataset)
    words = f"run {run} after epoch {epoch}"
    return Source(network.cpu(), torch.zeros(1, *own.shape), words, dataset, shown(config.network))


def _of_factory(text: str, wish: Wish) -> Source:
    _refuse(wish, f"{text} makes its own network", network=True)
    shape = wish.input
    if shape is None:
        raise BadInput(
            f"--input must give the shape of what {text} takes; got none; for example --input 1,3,32,32, or --dataset"
        )
    example = torch.zeros(shape)
    return Source(factory.make(text, example), example, f"factory {text}", wish.dataset)


def _of_file(file: Path, wish: Wish) -> Source:
    if our_own(file) == "compact":
        return _of_compact(file, wish)
    if wish.network is None:
        read_weights(file)  # a file that cannot be read needs no network
        raise BadInput(
            f"--network must name the network that {file} holds the weights of; got none; there are {', '.join(NAMES)}"
        )
    if wish.network not in NAMES:
        raise one_of("--network", wish.network, NAMES)
    tensors = read_weights(file)
    classes, channels = classes_and_channels(tensors, str(file))
    side = natural_side(wish.network)
    shape = wish.input or (1, channels, side, side)
    if len(shape) != 4 or shape[1] != channels:
        raise BadInput(
            f"the input of {wish.network} must be (N, {channels}, H, W) for the weights in {file}; got {shape}; change --input or --dataset"
        )
    network = build(wish.network, num_classes=classes, in_channels=channels, image_size=min(shape[2:]))
    matched = load_into(network, tensors, f"{file} as {wish.network}")
    words = f"{wish.network} from {file.name}"
    note = _centred(network, matched.renamed, wish.zeros)
    padded = has_padded_shortcuts(network)
    return Source(network.eval(), torch.zeros(shape), words, wish.dataset, wish.network, matched.renamed, note, padded)


def _centred(network: nn.Module, renamed: dict[str, str], zeros: str | None) -> str:
    """Where parameter-free shortcuts put their zero channels: names cannot tell, so it is assumed, and said."""
    if zeros not in (None, "both", "behind"):
        raise BadInput(f"--shortcut-zeros must be both or behind; got {zeros!r}")
    if not has_padded_shortcuts(network):
        return ""
    assumed = zeros is None and bool(renamed)
    if zeros == "both" or assumed:
        renumber(network)
    if not assumed:
        return ""
    return (
        "its shortcuts without parameters are taken to put half of their zero channels on each side, as public code with "
        "such names does; if accuracy is at chance, say --shortcut-zeros behind"
    )


def _of_compact(file: Path, wish: Wish) -> Source:
    _refuse(wish, f"{file} is a compact network and brings its own graph", network=True)
    shape = wish.input or _shape_told(read_header(file)["source"])
    if shape is None:
        raise BadInput(
            f"--input must give the shape of what {file} takes, which the file does not say; got none; "
            "for example --input 1,3,32,32"
        )
    return Source(load_compact(file).eval(), torch.zeros(shape), f"compact network {file.name}", wish.dataset)


def _shape_told(about: dict[str, Any]) -> tuple[int, ...] | None:
    """The input that a compact file says it takes, by shape or by data set."""
    shape, name = about.get("input"), about.get("dataset")
    if isinstance(shape, list) and len(shape) > 1 and all(isinstance(size, int) and size > 0 for size in shape):
        return tuple(shape)
    return (1, *DATASETS[name].shape) if isinstance(name, str) and name in DATASETS else None


def _checked(source: Source) -> Source:
    """The source, if its example is what its data set holds."""
    if source.dataset is not None and tuple(source.example.shape[1:]) != source.dataset.shape:
        raise _unlike(source.words, tuple(source.example.shape[1:]), source.dataset)
    return source


def _unlike(what: str, shape: tuple[int, ...], dataset: Dataset) -> BadInput:
    return BadInput(
        f"--dataset must hold inputs of {what}, {shape}; got {dataset.name} with {dataset.shape}; choose another, or leave it out"
    )


def _refuse(wish: Wish, why: str, *, network: bool = False, shape: bool = False) -> None:
    """BadInput for an option that this kind of source has no use for."""
    if network and wish.network is not None:
        raise BadInput(f"--network must be left out: {why}; got {wish.network!r}; it is for files of weights")
    if shape and wish.shape is not None:
        raise BadInput(f"--input must be left out: {why}; got {wish.shape}; it is for files and factories")
