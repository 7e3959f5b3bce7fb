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
from made_up import BEHIND, MadeUp
from on_screen import WATCH, tree_epoch
from playwright.sync_api import expect, sync_playwright

from core.atomic import replacing
from core.latency import processor
from core.runs.store import Store

FILE = ROOT / "assets" / "evidence" / "promises.json"
SECONDS, ROUNDS, SLOW = 60, 5, 10
PAGES = ("Live", "Structure", "Levels", "What if", "Attribution", "Speed", "Trade-offs", "Inspect", "Runs", "Take away", "Present", "Learn", "Glossary")  # fmt: skip
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
