"""`python -m app [--port N] [--no-browser]`: opens the dashboard."""

from __future__ import annotations

import sys
from pathlib import Path

import typer
from streamlit.web import cli as streamlit_cli

HERE = Path(__file__).resolve().parent


def serve(
    port: int = typer.Option(8501, help="Port on this machine."),
    browser: bool = typer.Option(True, "--browser/--no-browser", help="Open a browser window."),
) -> None:
    """Serve the dashboard on this machine until Ctrl-C."""
    sys.argv = [
        "streamlit", "run", str(HERE / "main.py"), f"--server.port={port}", f"--server.headless={str(not browser).lower()}",
    ]  # fmt: skip
    streamlit_cli.main()


if __name__ == "__main__":
    typer.run(serve)
