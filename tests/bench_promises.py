"""What the screen promises, measured: `python tests/bench_promises.py` on an idle machine writes assets/evidence/promises.json.

A run of ResNet-164 that has 200 epochs behind it and writes one more every second (its structure is real, its history made up: what is
timed is the screen), watched in headless Chromium: frames in which a live view is blank or another node (60 s), bytes of the web
socket a tick, processor time of the web process a tick and tab, requests that leave the machine, and the time from a click on a page's name to its
drawn content, over all pages in turn. `--markdown` prints the table.
"""

import argparse
import datetime
import json
import platform
import tempfile
import threading
from pathlib import Path

import numpy as np
import psutil
from bench_minute import ROOT, browser_of, serve
from conftest import free_port
from on_screen import tree_epoch
from playwright.sync_api import expect, sync_playwright
from test_browser_live import WATCH

from core import events as ev
from core.atomic import replacing
from core.config import with_settings
from core.controls import Controls
from core.latency import processor
from core.presets import preset
from core.runs import home
from core.runs.control import new_run
from core.runs.folder import Recorder, RunFolder
from core.runs.store import Store
from core.training import Training

FILE = ROOT / "assets" / "evidence" / "promises.json"
BEHIND, SECONDS, ROUNDS = 200, 60, 5
PAGES = ("Live", "Structure", "Levels", "What if", "Attribution", "Speed", "Trade-offs", "Inspect", "Runs", "Take away", "Glossary")  # fmt: skip
SWITCH = """(name) => new Promise((done) => {
  const main = () => document.querySelector("[data-testid=stMain]");
  const before = main().querySelector("[data-testid=stVerticalBlock] > *");
  const began = performance.now(), links = [...document.querySelectorAll("[data-testid=stTopNavLink]")];
  links.find((link) => link.innerText.trim() === name).click();
  let first = null;
  const look = () => {
    const app = document.querySelector("[data-testid=stApp]");
    const drawn = main().querySelector("h1, h2, h3, [data-testid=stMarkdown]");
    const stale = document.querySelectorAll('[data-stale="true"]').length;
    if (first === null && drawn && !before.isConnected) first = performance.now() - began;
    if (app.dataset.testScriptState === "notRunning" && !stale && drawn && performance.now() - began > 30)
      return done([first ?? performance.now() - began, performance.now() - began]);
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})"""


class MadeUp:
    """A run whose history is drawn: factors fall, units die at their own epochs."""

    def __init__(self, store):
        config = with_settings(
            preset("digits-sss").config, {"network": "resnet164", "epochs": 2 * BEHIND, "measure_every": 0}
        )
        self.store, self.name = store, new_run(store, config)
        happens = Training(config, None, None, Controls(())).run(resume=False)
        self.started, self.done = next(happens), next(e for e in happens if isinstance(e, ev.EpochDone))
        self.recorder = Recorder(RunFolder(store.root / self.name))
        self.recorder.record(self.started)
        self.total = sum(site["total"] for site in self.started.sites)
        self.death = np.random.default_rng(0).integers(20, 4 * BEHIND, self.total)
        self.epoch, self.ended = 0, threading.Event()
        store.claim(self.name, *home.identity())
        store.set_state(self.name, "running")
        for _ in range(BEHIND + 1):
            self.write()

    def write(self):
        """One more epoch."""
        epoch, living, offset, alive = self.epoch, self.death > self.epoch, 0, {}
        for site in self.started.sites:
            alive[site["site"]] = int(living[offset : offset + site["total"]].sum())
            offset += site["total"]
        accuracy = 1 - np.exp(-epoch / 40) * 0.9
        numbers = {
            "train_loss": 2 - accuracy,
            "train_accuracy": accuracy,
            "val_loss": 2 - accuracy,
            "val_accuracy": accuracy,
            "lr": 0.1,
        }
        where = {"step": epoch * 9, "epoch": epoch, "phase": 0}
        done = {
            "strengths": self.done.strengths,
            "macs": self.done.macs * living.mean(),
            "seconds": 1.0,
            "alive": alive,
        }
        self.recorder.record(ev.EpochDone(**where, **numbers, **done))
        values = (np.exp(-epoch / 90) * living).astype("f4")
        self.recorder.record(ev.Structure(**where, values=values, effective=values, alive=living.astype("u1")))
        progress = {
            "step": epoch * 9,
            "epoch": epoch,
            "epochs": 2 * BEHIND,
            "images_per_s": 400.0,
            "seconds_left": 900.0,
            "fraction": epoch / 2 / BEHIND,
        }
        self.store.beat(self.name, progress)
        self.epoch += 1

    def grow(self):
        """An epoch a second until told to end."""
        while not self.ended.wait(1.0):
            self.write()


def watched(page, server, run, address):
    """One minute of the live page."""
    received, outside = [], []
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.webSocketFrameReceived", lambda e: received.append(size_of(e["response"])))
    page.on("request", lambda r: outside.append(r.url) if not r.url.startswith((address, "data:", "blob:")) else None)
    page.goto(f"{address}/live?run={run}")
    expect(page.locator(".st-key-card-accuracy .js-plotly-plot")).to_be_visible(timeout=60_000)
    page.wait_for_timeout(8000)
    page.evaluate(WATCH)
    began, spent, at = tree_epoch(page), cpu_of(server), len(received)
    page.wait_for_timeout(SECONDS * 1000)
    ticks = tree_epoch(page) - began
    seen, same = page.evaluate("() => window.seen"), page.evaluate("() => window.same()")
    return {
        "seconds": SECONDS, "ticks": ticks, "frames": seen["frames"], "blank_frames": seen["blank"], "same_nodes": same,
        "bytes_a_tick": round(sum(received[at:]) / ticks), "web_cpu_ms_a_tick": round(1000 * (cpu_of(server) - spent) / ticks, 1),
        "requests_outside": len(outside),
    }  # fmt: skip


def size_of(frame):
    """Bytes of a web socket frame; binary ones come as base64."""
    return len(frame["payloadData"]) * (3 / 4 if frame["opcode"] == 2 else 1)


def cpu_of(server):
    """Seconds of processor time of the web process and what it started."""
    family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    web = [p for p in family if not any("core.runs" in part for part in p.cmdline())]
    return sum(sum(p.cpu_times()[:2]) for p in web)


def switches(page):
    """Milliseconds from a click on a page's name: (first content, whole page), for every page, ROUNDS times; the first round warms up."""
    times = {name: [] for name in PAGES}
    for number in range(ROUNDS + 1):
        for name in PAGES:
            page.wait_for_timeout(700)
            took = page.evaluate(SWITCH, name)
            if number:
                times[name].append(took)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--markdown", action="store_true")
    if parser.parse_args().markdown:
        return print(markdown())
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        made, port = MadeUp(Store(Path(folder))), free_port()
        server, browser = serve(Path(folder), port), browser_of(playwright)
        writer = threading.Thread(target=made.grow, daemon=True)
        writer.start()
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.set_default_timeout(60_000)
            live = watched(page, server, made.name, f"http://127.0.0.1:{port}")
            times = switches(page)
        finally:
            made.ended.set()
            browser.close()
            server.terminate()
            server.wait()
    pages = {
        name: {"first_ms": [round(t[0]) for t in took], "whole_ms": [round(t[1]) for t in took]}
        for name, took in times.items()
    }
    about = {
        "title": "What the screen promises, on a run of ResNet-164 with 200 epochs behind it", "live": live, "pages": pages, "rounds": ROUNDS,
        "cpu": processor(), "cores": psutil.cpu_count(), "load": psutil.getloadavg()[0], "python": platform.python_version(),
        "date": datetime.date.today().isoformat(),
    }  # fmt: skip
    with replacing(FILE) as beside:
        Path(beside).write_text(json.dumps(about, indent=1) + "\n")
    return print(markdown())


def markdown():
    """The table as README shows it."""
    told = json.loads(FILE.read_text())
    live = told["live"]
    first, whole = (
        float(np.percentile([t for page in told["pages"].values() for t in page[key]], 95)) for key in ("first_ms", "whole_ms")
    )  # fmt: skip
    n = sum(len(page["first_ms"]) for page in told["pages"].values())
    rows = [
        ("blank frames in live views", "0", f"{live['blank_frames']} of {live['frames']:,} in {live['seconds']} s"),
        ("bytes a tick", "< 50 kB", f"{live['bytes_a_tick'] / 1000:.1f} kB, mean of {live['ticks']} ticks"),
        ("web process a tick and tab", "≤ 30 ms", f"{live['web_cpu_ms_a_tick']:.0f} ms of processor time"),
        ("requests that leave the machine", "0", str(live["requests_outside"])),
        (
            "a click on a page's name until it is there, p95",
            "< 300 ms",
            f"{first:.0f} ms to its first content, {whole:.0f} ms to all of it, n = {n}",
        ),
    ]
    lines = ["| promise | at most | measured |", "|---|---|---|", *(f"| {a} | {b} | {c} |" for a, b, c in rows)]
    return "\n".join(
        [
            *lines,
            "",
            f"{told['cpu']}, {told['cores']} cores, {told['date']}; ResNet-164, {BEHIND} epochs behind it, one more a second.",
        ]
    )


if __name__ == "__main__":
    main()
