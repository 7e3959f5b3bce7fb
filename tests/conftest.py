"""What several tests share: a runs folder of one's own, runs in every state, a dashboard and a browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is there: test processes share the cores

import pytest
from xdist.scheduler import LoadFileScheduling

from core.presets import preset
from core.runs import home
from core.runs.control import new_run
from core.runs.store import Store

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "assets" / "demo"
PATIENCE_MS = 60_000
"""How long a look at the page may wait before it is a failure: no promise of speed, a busy machine is no fault."""
NO_CHROMIUM = (
    "Chromium is not there: `apt-get install -y chromium` (or set CHROMIUM to its path) to run the browser tests"
)


def pytest_xdist_auto_num_workers(config):
    """One worker more than there are cores, four at most: browser tests mostly wait."""
    return min(4, (os.cpu_count() or 1) + 1)


def shown_in_a_browser(file: Path) -> bool:
    """Whether a test of that file opens a page."""
    return re.search(r"^def test_\w+\([^)]*\b(tab|browser)\b", file.read_text(), re.M) is not None


def pytest_collection_modifyitems(items):
    """Files with a browser first."""
    shown = {path: shown_in_a_browser(path) for path in {item.path for item in items}}
    items.sort(key=lambda item: not shown[item.path])


class OneBrowser(LoadFileScheduling):
    """A file is one worker's, and all files with a browser are the same worker's, from the beginning.

    Two browsers at once on two cores wait for one another; one beside what only computes does not.
    """

    def _split_scope(self, nodeid):
        file = super()._split_scope(nodeid)
        return "browser" if shown_in_a_browser(ROOT / file) else file


def pytest_xdist_make_scheduler(config, log):
    """Who gets which file."""
    return OneBrowser(config, log)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """An empty runs folder that everything in this process uses."""
    monkeypatch.setenv("ESPALIER_RUNS", str(tmp_path))
    return Store(tmp_path)


def run_in(store: Store, state: str) -> str:
    """A run in that state, with the records of the demo where one would have any."""
    name = new_run(store, preset("digits-sss").config)
    if state == "queued":
        return name
    folder = store.root / name
    for file in DEMO.iterdir():
        if file.is_file() and file.name != "run.json" and (state == "finished" or file.name != "compact.safetensors"):
            shutil.copyfile(file, folder / file.name)
    if state != "finished":
        lines = (folder / "events.jsonl").read_text().splitlines(keepends=True)
        (folder / "events.jsonl").write_text("".join(line for line in lines if '"type": "finished"' not in line))
    store.claim(name, *home.identity())
    result = None
    if state == "finished":
        result = json.loads((DEMO / "run.json").read_text())["result"]
    error = {
        "failed": "phase learning, epoch 3: the loss must stay finite; got nan; lower lr",
        "lost": "the process that trained it ended without a word",
    }
    store.beat(
        name, {"step": 90, "epoch": 10, "epochs": 120, "images_per_s": 2000.0, "seconds_left": 65.0, "fraction": 0.1}
    )
    store.set_state(name, state, error=error.get(state), result=result)
    return name


def finished_run(store: Store) -> str:
    """A finished run that still has its weights."""
    run = run_in(store, "finished")
    (store.root / run / "checkpoints").mkdir()
    (store.root / run / "checkpoints" / "00120.safetensors").symlink_to(DEMO / "checkpoints" / "00120.safetensors")
    return run


@pytest.fixture
def run_state(runs):
    """Makes a run in a state."""
    return lambda state: run_in(runs, state)


def chromium() -> str | None:
    """The browser's path."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def free_port() -> int:
    """A port nobody uses now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture(scope="session")
def dashboard(tmp_path_factory):
    """A served dashboard with a runs folder of its own: (address, runs folder)."""
    if chromium() is None:
        pytest.skip(NO_CHROMIUM)
    folder, port = tmp_path_factory.mktemp("runs"), free_port()
    environment = {**os.environ, "ESPALIER_RUNS": str(folder)}
    server = subprocess.Popen(
        [sys.executable, "-m", "app", "--port", str(port), "--no-browser"], cwd=ROOT, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(1200):
            try:
                with urllib.request.urlopen(f"{address}/_stcore/health", timeout=1) as answer:
                    if answer.read() == b"ok":
                        break
            except OSError:
                time.sleep(0.1)
        else:
            raise RuntimeError("the dashboard did not come up within 2 minutes")
        yield address, folder
    finally:
        server.terminate()
        server.wait(timeout=10)
        store = Store(folder)
        for row in store.all():
            if row.state == "queued":
                store.ask(row.id, "stop")
            home.end(row.pid, row.pid_created)
        if (folder / "lane.json").exists():
            contact = json.loads((folder / "lane.json").read_text())
            home.end(contact["pid"], contact["created"])


@pytest.fixture(scope="session")
def browser():
    """Debian's Chromium under Playwright."""
    if chromium() is None:
        pytest.skip(NO_CHROMIUM)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield started
        started.close()


@pytest.fixture(scope="session")
def context(browser, dashboard):
    """One visitor, so that the page's scripts are fetched and compiled once."""
    visitor = browser.new_context(viewport={"width": 1280, "height": 900}, base_url=dashboard[0])
    yield visitor
    visitor.close()


@pytest.fixture
def tab(context, dashboard):
    """A fresh page of the dashboard that must not call out and must not show a traceback."""
    page = context.new_page()
    from playwright.sync_api import expect

    page.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    outside = []
    page.on(
        "request",
        lambda r: (
            outside.append(r.url)
            if not r.url.startswith((dashboard[0], "data:", "blob:", dashboard[0].replace("http", "ws")))
            else None
        ),
    )
    yield page
    assert not outside, f"the page called out: {outside}"
    assert page.get_by_test_id("stException").count() == 0
    page.close()
