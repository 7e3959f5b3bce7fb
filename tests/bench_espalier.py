"""How smoothly the espalier is scrubbed: `python tests/bench_espalier.py [stage|block|convolution|filter …]`, in headless Chromium.

ResNet-164 (54 blocks, 162 convolutions) over 200 epochs, one epoch a frame, there and back: time between frames, n frames, and the size of
what is sent. The history is made up (tests/espalier_parts.py).
"""

import json
import os
import platform
import sys
import tempfile
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from espalier_parts import EPOCHS, resnet164

from app.components.espalier import packed, standalone_html

REPEATS = 3
SCRUB = """(epochs) => new Promise((done) => {
  const range = document.querySelector(".espalier input[type=range]"), times = [];
  const order = [...Array(epochs).keys(), ...[...Array(epochs).keys()].reverse()];
  let frame = 0;
  const step = (now) => {
    times.push(now);
    if (frame === order.length) return done(times);
    range.value = order[frame++];
    range.dispatchEvent(new Event("input"));
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})"""


def main(details):
    data = resnet164()
    sent = packed(data)
    plain = {k: (v if k != "units" else {}) for k, v in data.items()}
    counts = {k: [int(n) for n in v] for k, v in data["alive"].items()}
    as_json = json.dumps(
        {**plain, "alive": counts, "norms": {}, "factor": {k: list(v) for k, v in data["factor"].items()}}
    )
    print(
        f"sent: {len(json.dumps(sent)):,} bytes with every unit's history (counts alone as plain JSON: {len(as_json):,} bytes)"
    )
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        file = Path(folder) / "tree.html"
        file.write_text(standalone_html(data, "ResNet-164"), encoding="utf-8")
        browser = play.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"]
        )
        print(
            f"Chromium {browser.version} headless, {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
        )
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.goto(file.as_uri())
        page.wait_for_selector(".espalier .block")
        for detail in details:
            page.locator(".zoom button", has_text=detail).first.click()
            gaps = np.concatenate([np.diff(page.evaluate(SCRUB, EPOCHS + 1)) for _ in range(REPEATS)])
            low, middle, high = np.percentile(gaps, (5, 50, 95))
            print(
                f"{detail:12s} {1000 / gaps.mean():5.1f} frames a second; a frame {middle:.1f} ms (median), {low:.1f}–{high:.1f} (5–95 %), "
                f"worst {gaps.max():.0f}, n = {len(gaps)}"
            )
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:] or ["stage", "block", "convolution", "filter"])
