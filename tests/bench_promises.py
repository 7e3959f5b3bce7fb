"""What the screen promises, measured: `python tests/bench_promises.py` on an idle machine writes assets/evidence/promises.json.

A run of ResNet-164 that has 200 epochs behind it and writes one more every second (its structure is real, its history made up: what is
timed is the screen), then one every 10 s, watched in headless Chromium: frames in which a live view is blank or another node (60 s), bytes of the web
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
BEHIND, SECONDS, ROUNDS, SLOW = 200, 60, 5, 10
PAGES = ("Live", "Structure", "Levels", "What if", "Attribution", "Speed", "Trade-offs", "Inspect", "Runs", "Take away", "Glossary")  # fmt: skip
SWITCH = """(name) => new Promise((done, fail) => {
  const main = () => document.querySelector("[data-testid=stMain]").textContent;
  const before = main(), began = performance.now();
  const link = [...document.querySelectorAll("[data-testid=stTopNavLink]")].find((one) => one.innerText.trim() === name);
  const there = new URL(link.href).pathname;
  link.click();
  let first = null;
  const look = () => {
    const app = document.querySelector("[data-testid=stApp]"), took = performance.now() - began;
    const came = location.pathname === there && took > 20 && main() !== before;
    if (came) first ??= took;
    if (came && app.dataset.testScriptState === "notRunning" && !document.querySelector('[data-stale="true"]')) return done([first, took]);
    if (took > 10_000) return fail(new Error(`${name} did not come`));
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
        self.epoch, self.ended, self.seconds = 0, threading.Event(), 1
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
            "seconds": float(self.seconds),
            "alive": alive,
        }
        self.recorder.record(ev.EpochDone(**where, **numbers, **done))
        values = (np.exp(-epoch / 90) * living).astype("f4")
        self.recorder.record(ev.Structure(**where, values=values, effective=values, alive=living.astype("u1")))
        self.progress = {
            "step": epoch * 9,
            "epoch": epoch,
            "epochs": 2 * BEHIND,
            "images_per_s": 400.0,
            "seconds_left": 900.0,
            "fraction": epoch / 2 / BEHIND,
        }
        self.store.beat(self.name, self.progress)
        self.epoch += 1

    def grow(self):
        """An epoch every `seconds` until told to end."""
        second = 0
        while not self.ended.wait(1.0):
            second += 1
            if second % self.seconds == 0:
                self.write()
            else:
                self.store.beat(self.name, self.progress)


def watched(page, server, made, address):
    """One minute of the live page with a new epoch every second, then one with an epoch every SLOW seconds."""
    received, outside = [], []
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.webSocketFrameReceived", lambda e: received.append(size_of(e["response"])))
    page.on("request", lambda r: outside.append(r.url) if not r.url.startswith((address, "data:", "blob:")) else None)
    page.goto(f"{address}/live?run={made.name}")
    expect(page.locator(".st-key-card-accuracy .js-plotly-plot")).to_be_visible(timeout=60_000)
    page.wait_for_timeout(8000)
    page.evaluate(WATCH)
    began, spent, at = tree_epoch(page), cpu_of(server), len(received)
    page.wait_for_timeout(SECONDS * 1000)
    ticks = tree_epoch(page) - began
    seen, same = page.evaluate("() => window.seen"), page.evaluate("() => window.same()")
    bytes_a_tick, cpu = sum(received[at:]) / ticks, (cpu_of(server) - spent) / ticks
    made.seconds = SLOW
    for _ in range(5):
        made.write()
    page.wait_for_timeout(4000)
    spent, at = cpu_of(server), len(received)
    page.wait_for_timeout(SECONDS * 1000)
    made.seconds = 1
    return {
        "seconds": SECONDS, "ticks": ticks, "frames": seen["frames"], "blank_frames": seen["blank"], "same_nodes": same, "requests_outside": len(outside),
        "fast": {"bytes": round(bytes_a_tick), "cpu_ms": round(1000 * cpu, 1)},
        "slow": {"bytes": round(sum(received[at:]) / SECONDS), "cpu_ms": round(1000 * (cpu_of(server) - spent) / SECONDS, 1)},
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
            live = watched(page, server, made, f"http://127.0.0.1:{port}")
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
    fast, slow = live["fast"], live["slow"]
    rows = [
        ("blank frames in live views", "0", f"{live['blank_frames']} of {live['frames']:,} in {live['seconds']} s"),
        (
            "a second of the live page",
            "< 50 kB",
            f"{slow['bytes'] / 1000:.0f} kB with an epoch every {SLOW} s, {fast['bytes'] / 1000:.0f} kB with one every second",
        ),
        (
            "web process, a second and tab",
            "≤ 30 ms",
            f"{slow['cpu_ms']:.0f} ms of processor time with an epoch every {SLOW} s, {fast['cpu_ms']:.0f} ms with one every second",
        ),
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
