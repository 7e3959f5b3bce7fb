"""The first minute: from the click to the first live point, and to the certified, measured compact network.

`python tests/bench_minute.py [N]` serves a dashboard with an empty runs folder, clicks "Train this here" in Chromium N times,
and prints the seconds of each, with the conditions. Run it on an idle machine.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from core.runs.store import Store  # noqa: E402


def serve(folder: Path, port: int) -> subprocess.Popen:
    server = subprocess.Popen(
        [sys.executable, "-m", "app", "--port", str(port), "--no-browser"], cwd=ROOT, env={**os.environ, "ESPALIER_RUNS": str(folder)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    for _ in range(300):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1)
            return server
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the dashboard did not come up")


def browser_of(playwright):
    """Debian's Chromium, headless."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    return playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])


def one(page, address: str, store: Store) -> tuple[float, float]:
    """(seconds to the first live point, seconds to the finished run on screen)."""
    page.goto(address)
    button = page.get_by_role("button", name="Train this here")
    expect(button).to_be_enabled(timeout=30_000)
    page.wait_for_timeout(3000)
    clicked = time.monotonic()
    button.click()
    page.wait_for_url("**/live**")
    expect(page.locator(".st-key-card-accuracy .js-plotly-plot")).to_be_visible(timeout=60_000)
    first = time.monotonic() - clicked
    expect(page.get_by_text("largest difference").first).to_be_visible(timeout=300_000)
    whole = time.monotonic() - clicked
    assert store.all()[0].result["certificate"]["verdict"] == "exact"
    return first, whole


def main(runs: int) -> None:
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder, port = Path(name), 8971
        server = serve(folder, port)
        browser = browser_of(playwright)
        try:
            times = []
            for _ in range(runs):
                page = browser.new_page(viewport={"width": 1280, "height": 800})
                times.append(one(page, f"http://127.0.0.1:{port}/", Store(folder)))
                page.close()
                print(f"first live point {times[-1][0]:.1f} s, certified and measured {times[-1][1]:.1f} s", flush=True)
            told = Store(folder).all()[0].result["conditions"]
            medians = [statistics.median(column) for column in zip(*times, strict=True)]
            print(
                f"median of {runs}: {medians[0]:.1f} s and {medians[1]:.1f} s; {told['cpu']}, {told['cores']} cores, torch {told['torch']}"
            )
        finally:
            browser.close()
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
