"""Every page in a browser, in light and in dark: no traceback, nothing in the console, and no serious finding of axe-core in what is ours."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from app.shell import pages

STREAMLITS_OWN = {("color-contrast", 'class="token')}
"""(rule, part of an element) of findings in Streamlit's own elements, which are not ours to mend: the colours of code."""


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
    *(
        (name, "light")
        for name in ("start", "live", "structure", "what-if", "trade-offs", "inspect", "present", "learn")
    ),
}
EVERY = [
    pytest.param(name, scheme, marks=[] if (name, scheme) in ALWAYS else pytest.mark.slow)
    for name in pages()
    for scheme in ("light", "dark")
]
"""Some are looked at in every run of the tests, all of them with `pytest -m slow`."""


@pytest.mark.parametrize(("name", "scheme"), EVERY)
def test_every_page_shows_the_demo_without_a_traceback_a_word_in_the_console_or_a_barrier(name, scheme, tab):
    complaints = []
    tab.on("console", lambda m: complaints.append(m.text) if m.type == "error" and "404" not in m.text else None)
    tab.emulate_media(color_scheme=scheme)
    tab.goto(f"/{'' if name == 'start' else name}?run=demo")
    expect(tab.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_be_visible()
    expect(tab.get_by_text("Words here:").or_(tab.get_by_role("heading")).first).to_be_visible()
    expect(tab.locator('[data-stale="true"]')).to_have_count(0)
    tab.wait_for_timeout(1000)  # what has just been drawn fades in
    assert not findings(tab)
    assert tab.get_by_test_id("stAlert").count() == 0
    assert not complaints
