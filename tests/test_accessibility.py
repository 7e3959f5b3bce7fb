"""Every page under axe-core: no serious finding in what is ours, in light and in dark."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import PATIENCE_MS
from playwright.sync_api import expect

from app.shell import pages

STREAMLITS_OWN = {("color-contrast", 'class="token')}
"""(rule, part of an element) of findings in Streamlit's own elements, which are not ours to mend: the colours of code."""
DARK = ("start", "structure")


def findings(page):
    """Serious and critical findings as (rule, selector, what is said)."""
    found = []
    for violation in Axe().run(page).response["violations"]:
        if violation["impact"] in ("serious", "critical"):
            for node in violation["nodes"]:
                target = str(node["target"])
                if not any(rule == violation["id"] and part in node["html"] for rule, part in STREAMLITS_OWN):
                    said = [check["message"] for check in (*node["any"], *node["all"], *node["none"])]
                    found.append((violation["id"], target, node["html"][:200], said[:1]))
    return found


ALWAYS = {
    ("structure", "dark"),
    *((name, "light") for name in ("start", "structure", "what-if", "trade-offs", "inspect")),
}
"""Looked at in every run of the tests; the others with `pytest -m slow`."""
EVERY = [*((name, "light") for name in pages()), *((name, "dark") for name in DARK)]


@pytest.mark.parametrize(
    ("name", "scheme"), [pytest.param(*one, marks=[] if one in ALWAYS else pytest.mark.slow) for one in EVERY]
)
def test_nobody_is_shut_out(name, scheme, browser, dashboard):
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    page.set_default_timeout(PATIENCE_MS)
    try:
        page.goto(f"{dashboard[0]}/{'' if name == 'start' else name}?run=demo")
        expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_be_visible(
            timeout=PATIENCE_MS
        )
        expect(page.get_by_text("Words here:").or_(page.get_by_role("heading")).first).to_be_visible(
            timeout=PATIENCE_MS
        )
        expect(page.locator('[data-stale="true"]')).to_have_count(0, timeout=PATIENCE_MS)
        page.wait_for_timeout(1000)  # what has just been drawn fades in
        assert not findings(page)
    finally:
        page.close()
