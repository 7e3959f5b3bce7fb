"""Changes of figures: what Python tells is put together again by the script, in a browser, as it was."""

import json

from conftest import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.components.changes import SAME, change

SINGLE = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b", 0.5])
VALUES = st.recursive(
    SINGLE, lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.sampled_from("abcd"), inside, max_size=4), max_leaves=12
)  # fmt: skip


def put_together(old, told):
    """The oracle: the change as its definition reads."""
    if told == 0 and not isinstance(told, (list, dict)):
        return old
    if isinstance(told, list):
        return told[0]
    if "k" in told:
        return old[: told["k"]] + told["a"]
    if "n" in told:
        return [put_together(old[i] if i < len(old) else None, told["i"].get(str(i), 0)) for i in range(told["n"])]
    kept = {key: value for key, value in old.items() if key not in told.get("x", [])}
    return kept | {key: put_together(old.get(key), one) for key, one in told["o"].items()}


def written(value):
    """As it travels; 1, 1.0 and true are three values there."""
    return json.dumps(value, sort_keys=True)


@given(VALUES, VALUES)
@settings(max_examples=400, deadline=None)
def test_old_and_change_give_the_new(old, new):
    assert written(put_together(old, json.loads(json.dumps(change(old, new))))) == written(new)


@given(VALUES)
def test_nothing_changes_from_a_value_to_itself(value):
    assert change(value, json.loads(json.dumps(value))) == SAME


def test_a_growing_line_costs_its_new_point():
    old = {"data": [{"y": list(range(1000)), "name": "a"}] * 50}
    new = {"data": [{"y": list(range(1001)), "name": "a"}] * 50}
    assert len(json.dumps(change(old, new))) < 50 * 60


def test_the_script_puts_together_what_python_tells(browser):
    pairs = []

    @given(VALUES, VALUES)
    @settings(max_examples=300, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def gather(old, new):
        pairs.append((old, change(old, new), new))

    gather()
    script = (ROOT / "app" / "components" / "live_chart.js").read_text()
    page = browser.new_page()
    page.add_script_tag(content=script.replace("export default", ""))
    wrong = """(pairs) => pairs.filter(([old, told, now]) => JSON.stringify(sorted(changed(old, told))) !== JSON.stringify(sorted(now)));
    """
    page.add_script_tag(
        content="const sorted = (v) => Array.isArray(v) ? v.map(sorted) : v && typeof v === 'object' ? Object.fromEntries(Object.keys(v).sort().map((k) => [k, sorted(v[k])])) : v;"
    )
    assert page.evaluate(wrong.strip().rstrip(";"), pairs) == []
    page.close()
