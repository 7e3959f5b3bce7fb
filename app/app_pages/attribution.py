"""Attribution: where each network of a run looks, and whether the filters that carried the answer were kept."""

from __future__ import annotations

from app.app_pages import parts
from app.app_pages.attribution_kept import kept
from app.app_pages.attribution_looks import looks
from app.components.live_chart import plotly_loader
from app.glossary import glossary_row


def page() -> None:
    """The selected run's attributions."""
    plotly_loader(key="plotly-loader-attribution")
    found = parts.run_or_invitation("where its network looks, and whether it kept what mattered,")
    if found is None:
        return
    row, view = found
    parts.header(row, view)
    kept(view.name)
    looks(view.name)
    glossary_row(
        "conductance",
        "first-order Taylor",
        "rank correlation",
        "integrated gradients",
        "Grad-CAM",
        "dense control",
        "level",
    )
