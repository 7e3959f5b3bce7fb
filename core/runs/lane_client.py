"""Asking the inference lane: quick questions about a run's network, from a process without torch.

The lane (`core.runs.lane`) listens on this machine only; its port and a secret stand in `RUNS/lane.json`, readable by
the owner alone. Questions and answers are one line of JSON each.
"""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from core.errors import WrongMoment
from core.runs.home import data_dir, is_alive, spawn

_started: dict[Path, float] = {}
START_S = 30.0


def ask(root: Path, question: str, *, timeout_s: float = 10.0, **details: Any) -> dict[str, Any] | None:
    """The lane's answer; None while it is still waking up, {"busy": True} while it works on another question.

    Raises WrongMoment with the lane's own sentence when it cannot answer.
    """
    contact = _contact(root)
    if contact is None:
        _wake(root)
        return None
    message = json.dumps({"token": contact["token"], "question": question, **details}) + "\n"
    try:
        with socket.create_connection(("127.0.0.1", contact["port"]), timeout=timeout_s) as line:
            line.sendall(message.encode())
            answer = json.loads(line.makefile("rb").readline() or b"{}")
    except TimeoutError:
        return {"busy": True}
    except (OSError, json.JSONDecodeError):  # just gone
        return None
    if "error" in answer:
        raise WrongMoment(answer["error"])
    return answer


def _contact(root: Path) -> dict[str, Any] | None:
    try:
        contact = json.loads((root / "lane.json").read_text())
    except (OSError, json.JSONDecodeError):
        return None
    return contact if is_alive(contact["pid"], contact["created"]) else None


def _wake(root: Path) -> None:
    """Start the lane, at most once in half a minute."""
    if time.monotonic() - _started.get(root, -START_S) >= START_S:
        _started[root] = time.monotonic()
        data = data_dir()
        spawn("core.runs.lane", str(root), *([str(data)] if data else []), log=root / "lane.log")


def publish(root: Path, contact: dict[str, Any]) -> None:
    """Write how to reach the lane, for the owner's eyes only."""
    beside = root / f".lane.{os.getpid()}.tmp"
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        json.dump(contact, out)
    os.replace(beside, root / "lane.json")
