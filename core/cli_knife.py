"""The commands for any network, learned here or elsewhere: `inspect` looks at it, `cut` makes it small."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from core.cli_shared import Data, Json, Runs, emit, say
from core.errors import BadInput
from core.runs import home

if TYPE_CHECKING:
    from core.cut import Cut
    from core.knife import Aim
    from core.runs.sources import Source
    from core.structure import Certificate

SourceName = Annotated[
    str,
    typer.Argument(metavar="SOURCE", help="A run, a factory module:function, a file of weights, or a compact file."),
]
Network = Annotated[str | None, typer.Option("--network", help="The network that a file of weights belongs to.")]
Input = Annotated[str | None, typer.Option("--input", help="Shape of an input, batch first: 1,3,32,32.")]
DatasetName = Annotated[
    str | None, typer.Option("--dataset", help="A data set: real images for the proof, accuracy on its test images.")
]
Zeros = Annotated[
    str | None,
    typer.Option("--shortcut-zeros", help="Where a foreign file's parameter-free shortcuts pad: both sides or behind."),
]
Normalize = Annotated[
    str | None, typer.Option("--normalize", help="imagenet, cifar10, …, none; without it the data set's own.")
]
Measure = Annotated[
    int | None,
    typer.Option("--measure", min=1, help="Also time dense against compact, with batches of so many inputs."),
]


FORMS = "File to write: .safetensors, .onnx, or .py with its weights beside it."


def inspect(
    source: SourceName,
    network: Network = None,
    input_: Input = None,
    dataset: DatasetName = None,
    normalize: Normalize = None,
    zeros: Zeros = None,
    measure: Measure = None,
    json_: Json = False,
    runs: Runs = None,
    data: Data = None,
) -> None:
    """Show what could be removed, what cannot, and why."""
    from core.knife import Aim, accuracies, cut_towards, looked_at, timed

    with redirect_stdout(sys.stderr):  # a person's own network may print
        found = _resolved(source, network, input_, dataset, normalize, runs, data, zeros)
        document = _about(found) | looked_at(found.network, found.example)
        zeros_gone = cut_towards(found.network, found.example, Aim(), found.words)
        document["compact"] = {"macs": zeros_gone.compact_cost.macs, "params": zeros_gone.compact_cost.params}
        if dataset is not None and found.dataset is not None:
            left = zeros_gone.compact if any(zeros_gone.plan.counts().values()) else found.network
            document["accuracy"] = accuracies(found.network, left, found.dataset, found.words)
        if measure is not None:
            document["speed"] = timed(zeros_gone, found.example, measure)
    units = ", ".join(f"{count:,} {verdict}" for verdict, count in document["units"].items())
    words = [
        f"{found.words}: {document['macs']:,} MACs, {document['params']:,} parameters",
        f"units: {units}; removable: {_counted(document['removable'])}",
        f"without what is removable: {document['compact']['macs']:,} MACs, {document['compact']['params']:,} parameters",
        *_refills(document),
        *_accuracy(document),
        *_speed(document),
    ]
    emit(document, json_, Text("\n".join(words)))


def cut(
    source: SourceName,
    output: Annotated[Path, typer.Option("-o", "--output", help=FORMS)],
    plan: Annotated[Path | None, typer.Option("--plan", help="A removal plan (JSON) made before.")] = None,
    target: Annotated[str | None, typer.Option("--target", help="macs=0.5, params=0.5 or ms=3.5.")] = None,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", help="Units go whose importance, over their layer's mean, is at most this."),
    ] = None,
    importance: Annotated[
        str | None, typer.Option("--importance", help="How units are ranked: l1 (if not said), l2, scale or effect.")
    ] = None,
    save_plan: Annotated[Path | None, typer.Option("--save-plan", help="File for the removal plan (JSON).")] = None,
    network: Network = None,
    input_: Input = None,
    dataset: DatasetName = None,
    normalize: Normalize = None,
    zeros: Zeros = None,
    measure: Measure = None,
    json_: Json = False,
    runs: Runs = None,
    data: Data = None,
) -> None:
    """Remove what is exactly zero, or what a plan or a target says; prove it and write the compact network."""
    from core import cut as cutting
    from core.knife import accuracies, cut_towards, one_input, timed
    from core.proof import prove

    _check_output(output, source)
    if save_plan is not None:
        _check_plan_file(save_plan, output, source)
    aim = _aim(plan, target, threshold, importance)
    with redirect_stdout(sys.stderr):
        found = _resolved(source, network, input_, dataset, normalize, runs, data, zeros)
        done = cut_towards(found.network, found.example, aim, found.words)
        certificate = prove(found.network, done.plan, done.compact, found.example, found.dataset)
        document = {"file": str(output.resolve()), **_about(found), **cutting.counts(done)}
        document["sites"] = {site: len(units) for site, units in done.plan.removed.items()}
        document["certificate"] = certificate.model_dump(mode="json")
        if found.dataset is not None:
            document["accuracy"] = accuracies(found.network, done.compact, found.dataset, found.words)
        if aim.target and "ms" in aim.target:
            document["milliseconds"] = {"limit": aim.target["ms"], **one_input(done, found.example)}
        if measure is not None:
            document["speed"] = timed(done, found.example, measure)
        if certificate.reference == "masked":
            document["note"] = _masked_note(certificate.verdict, document.get("accuracy"))
        document |= _write(output, found, done, certificate)
        if save_plan is not None:
            _write_plan(save_plan, done)
    emit(document, json_, Text(_words_of_cut(output, document, chosen=aim.chosen)))
    if certificate.verdict == "failed":
        raise typer.Exit(1)


def _check_output(output: Path, source: str) -> None:
    """BadInput, before any work is done, for a place that the compact network must not be written to."""
    from core.forms import check_suffix

    if output.is_dir():
        raise BadInput(
            f"--output must be a file; got the folder {output}; write for example {output / 'compact.safetensors'}"
        )
    if output.exists() and Path(source).exists() and output.samefile(source):
        raise BadInput(
            f"--output must not be the file that is read; got {output}, which is SOURCE; choose another name"
        )
    check_suffix(output)


def _check_plan_file(file: Path, output: Path, source: str) -> None:
    """BadInput, before any work is done, where the plan would replace what is read or what is written."""
    for other, what in ((Path(source), "SOURCE"), (output, "--output")):
        if file.resolve() == other.resolve() or (file.exists() and other.exists() and file.samefile(other)):
            raise BadInput(f"--save-plan must be a file of its own; got {file}, which is {what}; choose another name")
    if file.is_dir():
        raise BadInput(f"--save-plan must be a file; got the folder {file}; write for example {file / 'plan.json'}")


def _resolved(
    source: str, network: str | None, shape: str | None, dataset: str | None, normalize: str | None,
    runs: Path | None, data: Path | None, zeros: str | None,
) -> Source:  # fmt: skip
    from core.data import load
    from core.runs.sources import Wish, parse_shape, resolve
    from core.weightmatch import in_words

    if normalize is not None and dataset is None:
        raise BadInput(
            f"--normalize must come with a data set to normalise; got {normalize!r} alone; add --dataset NAME"
        )
    folder = home.data_dir(data)
    loaded = None if dataset is None else load(dataset, folder, normalize=normalize)
    wish = Wish(network, None if shape is None else parse_shape(shape), loaded, runs, folder, zeros)
    found = resolve(source, wish)
    if found.renamed:
        say.print(in_words(found.renamed), markup=False)
    if found.note:
        say.print(found.note, markup=False)
    return found


def _aim(plan: Path | None, target: str | None, threshold: float | None, importance: str | None) -> Aim:
    from core.knife import Aim, parse_target
    from core.structure import RemovalPlan

    given = [
        f"--{name}"
        for name, value in (("plan", plan), ("target", target), ("threshold", threshold))
        if value is not None
    ]
    if len(given) > 1:
        raise BadInput(f"cut must have one aim; got {' and '.join(given)}; leave out all but one")
    if threshold is not None and not 0 <= threshold < float("inf"):
        raise BadInput(f"--threshold must be a number of at least 0; got {threshold}; for example 0.01")
    if importance is not None and target is None and threshold is None:
        raise BadInput(
            f"--importance must come with --target or --threshold; got {importance!r} alone; add one of them"
        )
    made = None
    if plan is not None:
        try:
            made = RemovalPlan.from_json(plan.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            got = "no such file" if isinstance(error, FileNotFoundError) else type(error).__name__
            raise BadInput(
                f"--plan must be a file that --save-plan wrote; got {got} at {plan}; check the path"
            ) from None
    return Aim(made, None if target is None else parse_target(target), threshold, importance or "l1")


def _about(found: Source) -> dict[str, Any]:
    about: dict[str, Any] = {"source": found.words, "input": list(found.example.shape)}
    if found.dataset is not None:
        about |= {"dataset": found.dataset.name, "classes": found.dataset.num_classes}
        about["test_images"] = len(found.dataset.test.labels)
        about["normalised"] = {"mean": list(found.dataset.mean), "std": list(found.dataset.std)}
    if found.note:
        about["assumed"] = found.note
    return about | {"padded": found.padded} | ({"matched": found.renamed} if found.renamed else {})


def _write(output: Path, found: Source, done: Cut, certificate: Certificate) -> dict[str, Any]:
    from core.forms import write_form

    about = {"source": found.words, "network": found.network_name, "input": list(found.example.shape)}
    if found.dataset is not None:
        about["dataset"] = found.dataset.name
    return write_form(
        output.resolve(), done.compact, found.example, source=about, plan=done.plan, certificate=certificate
    )


def _write_plan(file: Path, done: Cut) -> None:
    from core.atomic import replacing

    with replacing(file.resolve()) as beside:
        beside.write_text(done.plan.to_json(), encoding="utf-8")


def _masked_note(verdict: str, accuracy: dict[str, float] | None) -> str:
    said = f"{verdict!r} is said against the network with the chosen units masked: the removal is right, not free; "
    if accuracy is None:
        return said + "name a --dataset to see the accuracy before and after"
    return said + f"accuracy goes from {accuracy['dense']:.2%} to {accuracy['compact']:.2%}"


def _accuracy(document: dict[str, Any]) -> list[str]:
    """The accuracy before and after, where there is one."""
    if "accuracy" not in document:
        return []
    found = document["accuracy"]
    where = f"accuracy on the test images of {document['dataset']}"
    return [f"{where}: {found['dense']:.2%} before, {found['compact']:.2%} after"]


def _speed(document: dict[str, Any]) -> list[str]:
    """The measured speed, with its spread and conditions, where it was asked for."""
    if "speed" not in document:
        return []
    speed = document["speed"]
    spread = f"{speed['low']:.2f}-{speed['high']:.2f}, n = {speed['n']} pairs"
    where = f"batch {speed['batch']}, {speed['threads']} threads, {speed['cpu']}"
    return [f"{speed['measured']:.2f} x measured ({spread}, {where}), {speed['promised']:.2f} x promised by MACs"]


def _milliseconds(document: dict[str, Any]) -> list[str]:
    """One pass before and after, where a target of milliseconds was asked for."""
    if "milliseconds" not in document:
        return []
    told = document["milliseconds"]
    return [
        f"one input: {told['dense']:.3g} ms before, {told['compact']:.3g} ms after (median); asked for at most {told['limit']:g} ms"
    ]


def _refills(document: dict[str, Any], shown: int = 5) -> list[str]:
    """Where the full width is rebuilt, and why: the first of them."""
    lines = [f"refilled at {r['site']} ({r['operation']}): {r['reason']}" for r in document["refilled"]]
    return lines[:shown] + ([f"and {len(lines) - shown} more; --json lists them all"] if len(lines) > shown else [])


def _counted(kinds: dict[str, int]) -> str:
    """`3 filters, 1 layer`."""
    return ", ".join(f"{count:,} {kind}{'s' * (count != 1)}" for kind, count in kinds.items() if count) or "nothing"


def _words_of_cut(output: Path, document: dict[str, Any], chosen: bool) -> str:
    macs, params, proof = document["macs"], document["params"], document["certificate"]
    what = f"{output}: removal {proof['verdict']}, removed {_counted(document['removed'])}"
    if proof["verdict"] == "nothing-removed":
        what = f"NOTHING WAS REMOVED: no unit is {'as unimportant as that' if chosen else 'exactly zero'}"
    lines = [
        f"{what}; {macs['compact']:,} of {macs['dense']:,} MACs, {params['compact']:,} of {params['dense']:,} parameters",
        *_refills(document),
    ]
    return "\n".join(
        [
            *lines,
            *_accuracy(document),
            *_milliseconds(document),
            *_speed(document),
            *filter(None, [document.get("note")]),
        ]
    )
