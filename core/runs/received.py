"""A checkpoint that came with a run from elsewhere: is its document sound, and are its weights those that the run ended with? No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from core.checkpoint_file import VERSION, facts_in, fingerprint
from core.config import RunConfig, checked
from core.errors import BadInput, DamagedFile


def check_received(files: list[Path], config: RunConfig, result: dict[str, Any] | None, called: str) -> None:
    """Every checkpoint is one of this run; the last one's weights have the fingerprint that `result` names, where it names one.

    BadInput or DamagedFile in one sentence, which calls the file they came in `called`.
    """
    last: tuple[int, Path] | None = None
    for file in files:
        where = f"checkpoints/{file.name} in {called}"
        facts = _document(file, where)
        try:
            theirs = checked(facts["config"])
        except (BadInput, KeyError, TypeError, AttributeError) as error:
            raise BadInput(
                f"{where} must hold the settings of its run; got {_told(error)}; nothing was taken in"
            ) from None
        if theirs != config:
            raise BadInput(f"{where} must be of the settings in run.json; they differ; nothing was taken in")
        for key, most in (("phase", len(config.phases) - 1), ("epoch", config.epochs)):
            if type(facts.get(key)) is not int or not 0 <= facts[key] <= most:
                raise BadInput(
                    f"{where} must have {key} in 0 to {most}; got {str(facts.get(key))[:40]!r}; nothing was taken in"
                )
        last = max(last or (-1, file), (facts["epoch"], file))
    expected = (result or {}).get("weights_sha256")
    if last and last[0] == config.epochs and expected and fingerprint(last[1]) != expected:
        raise DamagedFile(
            f"checkpoints/{last[1].name} in {called} must hold the weights that the run ended with; got others, so its certificate and "
            "accuracy are not theirs; export the run again"
        )


def _document(file: Path, where: str) -> dict[str, Any]:
    try:
        with safe_open(file, "np") as opened:
            facts = facts_in(opened.metadata())
    except (OSError, SafetensorError, ValueError) as error:
        raise DamagedFile(f"{where} must be a whole checkpoint; got {_told(error)}; export the run again") from None
    if facts["version"] > VERSION:
        raise BadInput(
            f"{where} must be a checkpoint of version {VERSION} or older; got {facts['version']}; nothing was taken in"
        )
    return facts


def _told(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
