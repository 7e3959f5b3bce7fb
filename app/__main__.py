"""`python -m app [--port N] [--no-browser]`: opens the dashboard."""

from __future__ import annotations

import socket
import sys
import threading
import time
import webbrowser
from pathlib import Path

import typer
from streamlit.web import cli as streamlit_cli

HERE = Path(__file__).resolve().parent


def first_free(port: int) -> int:
    """`port`, or the first of the next twenty that nobody listens on."""
    for candidate in range(port, port + 20):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", candidate)):
                return candidate
    sys.exit(
        f"--port must be free, or one of the nineteen after it; {port} to {port + 19} are all taken; choose another"
    )


def open_when_up(port: int, timeout_s: float = 60.0) -> None:
    """Open a browser window as soon as somebody answers at `port`; give up after a minute."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                webbrowser.open(f"http://127.0.0.1:{port}")
                return
        time.sleep(0.2)


def serve(
    port: int = typer.Option(8501, help="Port on this machine."),
    browser: bool = typer.Option(True, "--browser/--no-browser", help="Open a browser window."),
) -> None:
    """Serve the dashboard on this machine until Ctrl-C."""
    port = first_free(port)
    if browser:
        threading.Thread(target=open_when_up, args=(port,), daemon=True).start()
    # Headless always: otherwise Streamlit shows its own advice to app developers over the dashboard.
    sys.argv = ["streamlit", "run", str(HERE / "main.py"), f"--server.port={port}", "--server.headless=true"]
    streamlit_cli.main()


if __name__ == "__main__":
    typer.run(serve)
