"""Work that takes longer than a look: a command of `core`, or of `app.talk`, in a process of its own, asked after while the page goes on.

A job belongs to a browser session and has a key. What it prints goes to files, which never fill up.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import IO, Any, Literal

import streamlit as st

from core.runs.home import PROJECT

JOBS, FAILED = "jobs", "jobs-failed"


@dataclass
class Job:
    """A command under way: its process, its one JSON document, and its words for people."""

    process: subprocess.Popen[bytes]
    answer: IO[bytes]
    words: IO[bytes]

    @property
    def failed(self) -> bool | None:
        """Whether it ended badly; None while it is at work."""
        ended = self.process.poll()
        return None if ended is None else bool(ended)

    def said(self) -> str:
        """Its last line of words."""
        self.words.seek(0)
        lines = self.words.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def document(self) -> dict[str, Any]:
        """What it answered."""
        self.answer.seek(0)
        return json.loads(self.answer.read())


def start(key: str, *arguments: str, module: str = "core") -> None:
    """Begin `python -m MODULE ARGUMENTS --json` as job `key`; a failure before it is forgotten."""
    st.session_state.setdefault(FAILED, {}).pop(key, None)
    answer, words = tempfile.TemporaryFile("a+b"), tempfile.TemporaryFile("a+b")  # noqa: SIM115, they live as long as the job
    command = [sys.executable, "-m", module, *arguments, "--json"]
    process = subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=answer, stderr=words)
    st.session_state.setdefault(JOBS, {})[key] = Job(process, answer, words)


def at_work(key: str) -> str | None:
    """What job `key` said last while it is at work; None where there is none."""
    job = st.session_state.setdefault(JOBS, {}).get(key)
    return job.said() if job is not None and job.failed is None else None


def begun(key: str) -> bool:
    """Whether job `key` is at work, or has ended and was not taken yet: a page then looks again soon."""
    return key in st.session_state.setdefault(JOBS, {})


def take(key: str) -> dict[str, Any] | None:
    """The answer of job `key`, once, when it has ended well; of one that ended badly `failure` tells why."""
    job = st.session_state.setdefault(JOBS, {}).get(key)
    if job is None or job.failed is None:
        return None
    del st.session_state[JOBS][key]
    if job.failed:
        st.session_state.setdefault(FAILED, {})[key] = job.said() or "it ended without a word; try again"
        return None
    return job.document()


def button(key: str, label: str, *, widget: str, ready: bool, primary: bool = False) -> bool:
    """A button that starts job `key`, greyed while it is at work, with the reason under it where it failed; True when pressed.

    What such a job measures lies in a run's folder: its answer is not looked at.
    """
    if at_work(key) is not None:
        st.button("Measuring…", key=widget, icon=":material/timer:", disabled=True)
        return False
    if begun(key):
        take(key)
        st.rerun()
    if failed := failure(key):
        st.error(failed, icon=":material/error:")
    look: Literal["primary", "secondary"] = "primary" if primary else "secondary"
    return st.button(label, key=widget, icon=":material/timer:", type=look, disabled=not ready)


def failure(key: str) -> str | None:
    """Why the newest job `key` ended badly, in its own last sentence; None where it did not."""
    return st.session_state.setdefault(FAILED, {}).get(key)
