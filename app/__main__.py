"""`python -m app [--port N] [--no-browser]`: opens the dashboard."""

from __future__ import annotations

import socket
import sys
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


def serve(
    port: int = typer.Option(8501, help="Port on this machine."),
    browser: bool = typer.Option(True, "--browser/--no-browser", help="Open a browser window."),
) -> None:
    """Serve the dashboard on this machine until Ctrl-C."""
    port = first_free(port)
    sys.argv = [
        "streamlit", "run", str(HERE / "main.py"), f"--server.port={port}", f"--server.headless={str(not browser).lower()}",
    ]  # fmt: skip
    streamlit_cli.main()


if __name__ == "__main__":
    typer.run(serve)
