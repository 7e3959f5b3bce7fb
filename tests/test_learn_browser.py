"""A journey in a real browser: a student learns why zeros alone do not speed anything up."""

import re

from on_screen import plot
from playwright.sync_api import expect


def test_a_student_predicts_wrongly_sees_why_times_it_here_and_comes_back_by_the_link(tab):
    tab.goto("/")
    tab.get_by_role("button", name="Learn in 3 minutes").click()
    card = tab.locator(".st-key-lesson-card-zeros")
    expect(card.get_by_text("Why zeros alone do not speed anything up")).to_be_visible()
    card.get_by_role("button", name="Begin").click()
    tab.wait_for_url("**lesson=zeros&step=1**")
    share = tab.get_by_role("slider", name="Zeros in the layer")
    share.focus()
    share.press("ArrowLeft")
    expect(tab.get_by_text(re.compile("^85 % of the weights are zero"))).to_be_visible()
    assert "step=1" in tab.url, "an arrow on a slider moves the slider, not the lesson"
    tab.get_by_role("button", name="Next").click()
    tab.wait_for_url("**step=2**")

    expect(tab.get_by_text(re.compile("is for you to guess"))).to_be_visible()
    assert plot(tab, "zeros-2", "layout.annotations[0].text") == "<b>?</b>"
    expect(tab.get_by_role("button", name="Time it here")).to_have_count(0)
    tab.get_by_role("button", name="About 10 times as fast").click()
    expect(tab.get_by_text("About 10 times as fast (your prediction)")).to_be_visible()
    expect(tab.get_by_text(re.compile("Not this time. It runs .* multiplies by zero as carefully"))).to_be_visible()
    expect(tab.get_by_role("img", name=re.compile("step 2 answered otherwise"))).to_be_visible()

    tab.get_by_role("button", name="Time it here").click()
    expect(tab.get_by_text(re.compile(r"Dots, this machine: .*1 thread, 50 pairs"))).to_be_visible()
    expect(tab.get_by_role("button", name="Time it again")).to_be_enabled()
    assert "this machine" in tab.evaluate(
        "() => [...document.querySelector('.st-key-card-zeros-2 .js-plotly-plot').data].map((t) => t.name)"
    )

    link = tab.url
    tab.goto("/")
    tab.goto(link)
    expect(tab.get_by_text("About 10 times as fast (your prediction)")).to_be_visible()
    expect(tab.get_by_role("button", name="About 10 times as fast")).to_have_count(0)
    tab.locator("body").press("ArrowRight")
    tab.wait_for_url("**step=3**")
