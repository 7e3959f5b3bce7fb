"""What journeys in a browser look for on a page."""

import time

WATCH = """() => {
  window.seen = {frames: 0, blank: 0};
  const nodes = () => [document.querySelector('.st-key-card-accuracy .js-plotly-plot'), document.querySelector('.st-key-card-survival .js-plotly-plot')];
  const tree = () => { for (const el of document.querySelectorAll('.st-key-card-tree *')) { const root = el.shadowRoot; if (root && root.querySelector('svg')) return root.querySelector('svg'); } return null; };
  window.first = [...nodes(), tree()];
  window.same = () => { const now = [...nodes(), tree()]; return now.every((n, i) => n && n === window.first[i] && n.isConnected); };
  const look = () => { window.seen.frames++; const now = [...nodes(), tree()]; if (now.some(n => !n || n.getBoundingClientRect().height < 50)) window.seen.blank++; requestAnimationFrame(look); };
  requestAnimationFrame(look);
}"""
"""Counts frames of the live page in which a figure or the tree is blank, and tells whether all are still the same nodes."""


def tree_epoch(tab):
    """The epoch the espalier says it shows; -1 before it has drawn one."""
    return int(tab.locator(".st-key-card-tree .espalier .now b").inner_text() or -1)


def wait_for_epoch(tab, epoch, timeout_s=120):
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if tree_epoch(tab) >= epoch:
            return
        tab.wait_for_timeout(200)
    raise AssertionError(f"epoch {epoch} did not appear within {timeout_s} s")


def plot(tab, card, value):
    """A value of a card's Plotly figure, e.g. "layout.shapes.length", as soon as there is one (0 and null are none)."""
    found = "(card) => document.querySelector(`.st-key-card-${card} .js-plotly-plot`)?."
    return tab.wait_for_function(found + value.replace(".", "?.").replace("[", "?.["), arg=card).json_value()


def settled(tab):
    """Waits until the page has been at rest for half a second: what is offered to be saved is offered anew with every drawing."""
    tab.wait_for_function("""() => {
      const app = document.querySelector("[data-testid=stApp]");
      if (app.dataset.testScriptState !== "notRunning") window.atRest = null;
      else window.atRest ??= performance.now();
      return window.atRest !== null && performance.now() - window.atRest > 500;
    }""")
