"""Structure: what was cut, the certificate number by number, and why no more could go."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from app import proof_words, sentences, theme
from app.app_pages import parts, run_tiles
from app.runs import RunView


def proof(view: RunView) -> None:
    """What was cut, and the certificate."""
    if view.result is None:
        with theme.card("Cut and proof", "The cut is made and proved when training ends.", key="proof"):
            st.caption("Take away can also cut what is dead at the newest checkpoint of a run that ended early.")
        return
    result = view.result
    with theme.card("Cut and proof", run_tiles.proof(view), key="proof"):
        removed = removal(result)
        macs, params = result["macs_per_image"], result["params"]
        st.markdown(
            f"Removed: **{removed}**.{also_gone(result)} MACs {sentences.amount(macs['dense'])} → **{sentences.amount(macs['compact'])}**, "
            f"parameters {sentences.amount(params['dense'])} → **{sentences.amount(params['compact'])}**. "
            + accuracies(result["accuracy"])
        )
        _certificate(result["certificate"])
    if result.get("why"):
        with theme.card("Why not more", proof_words.why_not(result), key="why-not"):
            _why_not(result)


def removal(result: dict[str, Any]) -> str:
    """`248 of 336 filters and 2 of 9 blocks (with them 4 whole layers)`."""
    words = []
    for kind, noun in (("filter", "filter"), ("neuron", "neuron"), ("group", "conv group"), ("block", "block")):
        rows = [r for r in result["survival"] if r["kind"] == kind]
        dead, total = sum(r["total"] - r["alive"] for r in rows), sum(r["total"] for r in rows)
        if dead:
            words.append(f"{dead} of {sentences.plural(total, noun)}")
    layers = result["removed"].get("layer", 0)
    return (
        (sentences.listing(words) + (f" (with them {sentences.plural(layers, 'whole layer')})" if layers else ""))
        if words
        else "nothing"
    )


def also_gone(result: dict[str, Any]) -> str:
    """` With that went 16 filter shapes, and what nothing reads any more: 1 filter and 186 neurons.`; nothing where only what died left."""
    unread: dict[str, int] = {}
    for site in (result.get("why") or {"sites": []})["sites"]:
        kind = site["site"].rpartition("/")[2]
        unread[kind] = unread.get(kind, 0) + site["unread"]
    cut = result["removed"]
    channels = cut.get("channel", 0) - sum(unread.values())  # beyond those that read the unread units
    slices = [
        sentences.plural(n, noun) for noun, n in (("channel", channels), ("filter shape", cut.get("shape", 0))) if n > 0
    ]
    units = [sentences.plural(n, kind) for kind, n in unread.items() if n]
    parts = ([sentences.listing(slices)] if slices else []) + (
        ["what nothing reads any more: " + sentences.listing(units)] if units else []
    )
    return f" With that went {', and '.join(parts)}." if parts else ""


def accuracies(accuracy: dict[str, float | None]) -> str:
    """Test accuracy before and after the cut, and after fine-tuning where there was any."""
    before, after = (sentences.percent(accuracy[key] or 0.0, 2) for key in ("test", "compact"))
    tuned = accuracy.get("finetuned")
    more = "" if tuned is None else f", after fine-tuning {sentences.percent(tuned, 2)}"
    return f"Test accuracy before {before}, after the cut {after}{more}."


def _certificate(proof: dict[str, Any]) -> None:
    """Every number of the certificate, with what it has to be."""
    with st.expander("Certificate, number by number", icon=":material/verified:"):
        st.dataframe(pd.DataFrame(proof_words.certificate_rows(proof)), hide_index=True, key="certificate-rows")


def _why_not(result: dict[str, Any]) -> None:
    """What the units of each layer were, what left, and what had to stay at full width."""
    table = pd.DataFrame(result["why"]["sites"])
    table["layer"] = [parts.short(site.partition("/")[0]) for site in table["site"]]
    table["stay"] = table["total"] - table["removed"]
    st.dataframe(
        table, hide_index=True, key="why-table", height=min(36 * (len(table) + 1) + 2, 280),
        column_order=("layer", "total", *(k for k in ("zero", "uniform", "field", "unread") if table[k].any()), "alive", "removed", "stay"),
        column_config={
            "total": st.column_config.NumberColumn("units"),
            "zero": st.column_config.NumberColumn("zero", help="says 0 to every image, at every position"),
            "uniform": st.column_config.NumberColumn("uniform", help="says one other number to every image, at every position"),
            "field": st.column_config.NumberColumn("field", help="the same for every image, another number at the border"),
            "alive": st.column_config.NumberColumn("alive", help="its answer depends on the image"),
            "unread": st.column_config.NumberColumn("unread", help="alive, but nothing that lives reads it any more"),
            "removed": st.column_config.NumberColumn("leave", help="cut out: no longer computed for an image"),
            "stay": st.column_config.NumberColumn("stay", help="alive and read"),
        },
    )  # fmt: skip
    if result["refilled"]:
        st.markdown("Kept at full width in front of an operation that needs every channel:")
        st.dataframe(pd.DataFrame(result["refilled"]), hide_index=True, key="refilled")
