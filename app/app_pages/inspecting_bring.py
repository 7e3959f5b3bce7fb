"""Inspect: what is looked at, a finished run or a file that a person brought, and what is known beside it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.typing import UploadedFile

from app import sentences, theme
from app.app_pages import parts
from app.asking import BUSY, WAKING
from app.guard import guarded
from app.runs import row_of, store, view_of
from core.data import NORMALISATIONS, missing
from core.data.names import DATASETS
from core.errors import BadInput
from core.networks.names import NAMES, SPECS
from core.runs.home import data_dir
from core.runs.lane_client import ask
from core.runs.recorded import is_recorded
from core.runs.uploads import LARGEST_MIB, Upload, forget, keep, kept

KINDS = {"run": "A run of mine", "file": "A file"}
TYPES = ["safetensors", "pt", "pth", "th", "bin", "ckpt"]
VERSION = 1  # of the kept documents: those of another are made anew
BELONGS, REFUSED = "inspect-belongs", "inspect-refused"
NONE, OWN = "no data set", "the data set's own"
ZEROS = {"": "as assumed", "both": "half on each side", "behind": "all behind"}
FACTORY = """A file of weights holds numbers alone, and is read without running anything. A network that is none of the built-in
ones needs its code, and code can do anything: this page takes none. On the command line you name a function of
yours, `module:function`, that returns the network with its weights, and so say that you trust it:"""


@dataclass(frozen=True)
class Brought:
    """SOURCE and the options beside it, as `python -m core inspect` takes them; `stamp` changes when SOURCE itself has."""

    source: str
    name: str
    options: tuple[str, ...] = ()
    stamp: str = ""

    @property
    def key(self) -> str:
        """Of exactly this question: what was found is kept under it."""
        told = json.dumps([VERSION, self.source, self.options, self.stamp])
        return hashlib.sha256(told.encode()).hexdigest()[:12]

    @property
    def folder(self) -> Path:
        """Where what was found, and what was cut, is kept."""
        return store().root / "inspected" / self.key

    def look(self) -> dict[str, Any] | None:
        """What `inspect --json` said of it; None before it was asked."""
        try:
            return json.loads((self.folder / "look.json").read_text())
        except (OSError, ValueError):
            return None

    def command(self, verb: str, *more: str) -> str:
        """The same by command, to copy."""
        words = [f'"{word}"' if " " in word else word for word in (self.source, *self.options, *more)]
        return f"python -m core {verb} {' '.join(words)}"


def brought() -> Brought | None:
    """The card; None while there is nothing to look at yet."""
    with theme.card(
        "Bring a model",
        "A run of yours, or a file of weights trained anywhere. A file is read, never run: one that would need unpickling is refused.",
        key="inspect-bring",
    ):
        kind = st.segmented_control(
            "From", list(KINDS), default="file", format_func=KINDS.__getitem__, key="model-from", required=True,
            bind="query-params", label_visibility="collapsed",
        )  # fmt: skip
        found = _of_run() if kind == "run" else _of_file()
        with st.popover("A network of your own code", type="tertiary", icon=":material/code:"):
            st.markdown(FACTORY)
            st.code("python -m core inspect mynets:trained --input 1,3,32,32\npython -m core cut mynets:trained --input 1,3,32,32 --target macs=0.6 -o compact.safetensors", language="bash")  # fmt: skip
    return found


def _of_run() -> Brought | None:
    run = parts.chosen_run()
    if run is None or is_recorded(run):
        st.caption(
            "A recorded run has no row in your store. Choose a run on the left, or start one."
            if run
            else "No run yet: start one, or bring a file."
        )
        return None
    row, view = row_of(run), view_of(run)
    assert row is not None
    newest = max(view.folder.checkpoints.glob("[0-9]*.safetensors"), default=None)
    st.markdown(f"**{row.name or row.id}** {parts.STATES[row.state]}. {parts.about(row.config)}")
    if newest is None:
        st.caption("It has no checkpoint yet; the first one comes with its start.")
        return None
    name = row.config["dataset"]
    accuracy = st.toggle("Accuracy on its test images", value=True, key="run-accuracy", bind="query-params")
    return Brought(row.id, row.name or row.id, ("--dataset", name) if accuracy else (), newest.stem)


# a file


def _of_file() -> Brought | None:
    left, right = st.columns([3, 2], vertical_alignment="top")
    with left:
        file = st.file_uploader(
            "A file of weights, or a compact file of Espalier", type=TYPES, key="inspect-upload", max_upload_size=LARGEST_MIB,
            help=f"A state_dict as .safetensors, or as torch.save wrote it; at most {LARGEST_MIB} MiB. It stays on this machine.",
        )  # fmt: skip
    if (
        file is not None and st.session_state.get("inspect-taken") != file.file_id
    ):  # once, whichever rerun sees it first
        st.session_state["inspect-taken"] = file.file_id
        _keep(file)
    if sentence := st.session_state.get(REFUSED):
        st.error(f"Refused: {sentence}", icon=":material/block:")
    files = {upload.key: upload for upload in kept(store().root)}
    if not files:
        right.caption("Files you bring are kept with your runs and listed here.")
        return None
    with right:
        key = st.selectbox(
            "Files brought so far", list(files), index=None, format_func=lambda k: _label(files[k]), key="file",
            bind="query-params", placeholder="Choose one of them, or bring another",
        )  # fmt: skip
        if key is None:
            return None
        if st.button("Forget this file", key="forget-file", icon=":material/delete:", type="tertiary"):
            forget(store().root, key)
            st.rerun()
    told = _belonging(files[key])
    return None if told is None else _chosen(files[key], told)


def _label(upload: Upload) -> str:
    return f"{upload.name} ({upload.bytes / 2**20:.2g} MiB, {upload.key[:6]})"


def _keep(file: UploadedFile) -> None:
    """A file was brought: it becomes the chosen one."""
    st.session_state.pop(REFUSED, None)
    try:
        st.session_state["file"] = keep(store().root, file.name, file.getvalue()).key
    except BadInput as error:
        st.session_state[REFUSED] = str(error)


def _belonging(upload: Upload) -> dict[str, Any] | None:
    """What the file holds; None while the lane looks at it. A file that is refused is not kept."""
    answers = st.session_state.setdefault(BELONGS, {})
    if upload.key not in answers:
        st.fragment(guarded(_ask), run_every=1.0)(upload)
        return None
    return answers[upload.key]


def _ask(upload: Upload) -> None:
    told = ask(store().root, "belongs", file=str(upload.path), timeout_s=5.0)
    if told is None or told.get("busy"):
        st.caption(WAKING if told is None else BUSY)
        return
    if "refused" in told:
        forget(store().root, upload.key)
        st.session_state[REFUSED] = told["refused"]
    else:
        st.session_state[BELONGS][upload.key] = told
    st.rerun()


def _chosen(upload: Upload, told: dict[str, Any]) -> Brought | None:
    """The file with the network, the data set and the normalisation that a person chose; None where no network here can be its own."""
    source = Brought(str(upload.path), upload.name)
    if told["kind"] == "compact":
        st.caption("A compact file of Espalier: it brings its own graph, its input and its certificate.")
        return source
    likely = {one["network"]: one for one in told["candidates"]}
    if not likely:
        st.warning(
            f"{_held(told)} No built-in network has a layer of these shapes: bring the network's own code, on the command line (below).",
            icon=":material/help:",
        )
        return None
    first, second, third = st.columns([3, 3, 2], vertical_alignment="top")
    with first:
        network = st.selectbox(
            "Network", [*likely, *(n for n in NAMES if n not in likely)], format_func=lambda n: _network_label(n, likely),
            key=f"network-{upload.key}", bind="query-params", help="The best matches first; you may take any.",
        )  # fmt: skip
        st.caption(_why(network, likely, told))
    names = _data_for(told)
    with second:
        dataset = st.selectbox(
            "Accuracy on", [NONE, *names], format_func=lambda n: n if n == NONE else f"the test images of {n}",
            key=f"data-{upload.key}", bind="query-params",
        )  # fmt: skip
        if not names:
            st.caption(
                f"No data set here has {sentences.plural(told['classes'], 'class')} and {sentences.plural(told['channels'], 'channel')}."
            )
    if dataset == NONE:
        side = likely[network]["side"] if network in likely else None
        shape = () if side is None else ("--input", f"1,{told['channels']},{side},{side}")
        return replace(source, options=("--network", network, *shape))
    with third:
        fitting = [n for n, (mean, _) in NORMALISATIONS.items() if n == "none" or len(mean) == told["channels"]]
        scale = st.selectbox(
            "Images normalised as", [OWN, *fitting], key=f"normalised-{upload.key}", bind="query-params",
            help="As the network's training did it: its numbers are of no use on images scaled otherwise.",
        )  # fmt: skip
    options = ("--network", network, "--dataset", dataset, *(() if scale == OWN else ("--normalize", scale)))
    return _with_zeros(replace(source, options=options))


def _with_zeros(found: Brought) -> Brought:
    """Asks where the shortcuts' zero channels stand, once accuracy at chance says that the assumption may be wrong."""
    look = found.look()
    if look is None or not look["padded"] or not at_chance(look):
        return found
    st.warning(
        f"It answers {sentences.percent(look['accuracy']['dense'], 1)} of the images rightly: chance. Its shortcuts have no weights; where the "
        "channels grow they add zeros, and a file does not say where. Try the other way below; else another normalisation.",
        icon=":material/help:",
    )
    chosen = st.segmented_control(
        "The added zero channels stand", list(ZEROS), default="", format_func=ZEROS.__getitem__, key="zeros-stand",
        required=True, bind="query-params",
    )  # fmt: skip
    return replace(found, options=(*found.options, "--shortcut-zeros", chosen)) if chosen else found


def at_chance(look: dict[str, Any]) -> bool:
    """Whether the network answers hardly better than one that guesses: under twice one in so many classes."""
    return "accuracy" in look and look["accuracy"]["dense"] < 2 / look["classes"]


def _network_label(name: str, likely: dict[str, Any]) -> str:
    if name not in likely:
        return f"{name}: {SPECS[name].title}"
    return f"{name}: {'fits' if likely[name]['fits'] else sentences.percent(likely[name]['share']) + ' alike'}"


def _held(told: dict[str, Any]) -> str:
    return f"The file holds {sentences.plural(told['tensors'], 'tensor')}, {told['params']:,} numbers, {told['classes']} classes."


def _why(name: str, likely: dict[str, Any], told: dict[str, Any]) -> str:
    """Why the network was proposed, or that it is unlikely."""
    held = _held(told)
    if name not in likely:
        return f"{held} Its shapes are less like {name}'s than those of the networks listed first."
    reason = likely[name]["reason"]
    return f"{held} {SPECS[name].title}: {reason}."


def _data_for(told: dict[str, Any]) -> list[str]:
    """The data sets that are here and have the file's classes and channels."""
    return [
        name
        for name, info in DATASETS.items()
        if (info.num_classes, info.shape[0]) == (told["classes"], told["channels"]) and not missing(name, data_dir())
    ]
