"""Glossary: the field's words in plain sentences."""

from __future__ import annotations

import streamlit as st

from app.glossary import TERMS


def page() -> None:
    """All terms, searchable."""
    st.title("Glossary", anchor=False)
    st.caption("Plain words first; the literature's term beside them.")
    wanted = st.text_input(
        "Find", key="term", bind="query-params", placeholder="factor, MAC, certificate …", label_visibility="collapsed"
    ).lower()
    shown = {t: d for t, d in TERMS.items() if wanted in t.lower() or wanted in d.lower()}
    if not shown:
        st.caption(f"No term has {wanted!r} in it; shorten the word.")
    for term, meaning in sorted(shown.items(), key=lambda item: item[0].lower()):
        with st.container(border=True):
            st.markdown(f"**{term}** — {meaning}".replace("$", "\\$"))
