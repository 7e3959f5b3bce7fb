"""One story told end to end in a browser: a researcher, a finished run, and a checkpoint from elsewhere."""

import re

import torch
from conftest import DEMO, finished_run
from on_screen import plot, settled
from playwright.sync_api import expect
from safetensors.torch import load_file

from core.runs.lane_client import ask
from core.runs.store import Store
from core.structure import load


def stranger(file):
    """The demo's trained weights as somebody else would save them: factors folded, other names, a pickle around them."""
    kept = load_file(DEMO / "checkpoints" / "00120.safetensors")
    weights = {key.removeprefix("weights/"): value for key, value in kept.items() if key.startswith("weights/")}
    for key in [key for key in weights if key.endswith(".factor")]:
        factor, norm = weights.pop(key), key.removesuffix(".factor")
        for part in ("weight", "bias"):
            weights[f"{norm}.{part}"] = weights[f"{norm}.{part}"] * factor
    torch.save({"state_dict": {f"module.{key}": value for key, value in weights.items()}, "epoch": 120}, file)
    return file


def test_a_researcher_finds_what_fell_first_crosses_out_one_more_block_and_leaves_with_a_strangers_network(
    tab, dashboard, tmp_path
):
    store = Store(dashboard[1])
    run = finished_run(store)
    ask(store.root, "ready")  # the lane wakes up meanwhile
    tab.goto(f"/live?run={run}")

    tab.get_by_role("link", name="Structure").click()
    card = tab.locator(".st-key-card-structure")
    expect(
        card.get_by_text(re.compile("^Stage 2 block 2 went first, at epoch 35, and took conv1 and conv2 along"))
    ).to_be_visible()
    assert plot(tab, "collapses", "data.length") > 1
    card.get_by_role("button", name=re.compile(r"^Block 1\.2")).first.click()
    tab.wait_for_url("**site=stage1.1*")

    tab.get_by_role("link", name=re.compile("^What if more of it went")).click()
    blocks = tab.get_by_role("group", name="Residual blocks")
    blocks.get_by_role("checkbox", name="block 1.2: kept").click()
    expect(tab.get_by_text(re.compile(r"^Without 1 block, "))).to_be_visible()
    expect(tab.get_by_text(re.compile("^Removal exact: compared with the network with the crossed"))).to_be_visible()
    epochs = tab.get_by_role("spinbutton", name="Epochs")
    epochs.fill("1")
    epochs.press("Tab")
    tab.get_by_role("button", name="Fine-tune from here").click()
    tree = tab.locator(".st-key-card-family-tree")
    expect(tree.get_by_text(re.compile("2 runs in the family, 2 finished.* one seed each"))).to_be_visible()
    expect(tree.get_by_text("1 block out, 1 epoch")).to_be_visible()
    (tuned,) = [row for row in store.family(run) if row.parent == run]
    assert tuned.result["certificate"]["verdict"] == "exact"
    settled(tab)
    tree.locator(".js-plotly-plot .points path").nth(1).click(force=True)
    tab.wait_for_url(f"**run={tuned.id}**")

    tab.get_by_role("link", name="Inspect").click()
    tab.locator("input[type=file]").first.set_input_files(str(stranger(tmp_path / "stranger.pt")))
    expect(tab.get_by_text(re.compile("the (names and )?shapes of all .* layers agree"))).to_be_visible()
    tab.get_by_role("button", name="Look at it").click()
    expect(tab.get_by_text(re.compile("units leave without changing an answer")).first).to_be_visible()
    tab.get_by_role("button", name="Cut", exact=True).click()
    expect(tab.get_by_text(re.compile("^against the (masked )?network"))).to_be_visible()
    settled(tab)
    with tab.expect_download() as getting:
        tab.get_by_role("button", name="Compact network").click()
    getting.value.save_as(tmp_path / "compact.safetensors")
    network = load(tmp_path / "compact.safetensors")
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    assert sum(p.numel() for p in network.parameters()) < 0.8 * 269_434, "the cut went beyond what was dead"
    for row in store.family(run):
        store.set_deleted(row.id, True)
