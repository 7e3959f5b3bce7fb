// The card of one box: what lives, what it costs, its norm, when it died and why. Joined with espalier.js.

const SKIPS = {
  identity: "identity skip", pad: "padded skip", projection: "1×1 projection on the skip", none: "no skip",
  concat: "its input goes on beside what it adds (concatenation)", way: "one of several ways side by side (concatenation)", gate: "a gate: its input goes on, multiplied by what it gives",
};

function card(view, slot, bar, unit) {
  const anew = view.hovered !== slot;
  view.hovered = slot;
  view.hoveredBar = bar;
  view.hoveredUnit = unit;
  const paper = view.card;
  paper.classList.toggle("on", Boolean(slot));
  if (!slot) return;
  const { block } = slot, epoch = view.epoch, now = stateOf(view, slot, epoch), several = slot.blocks.length > 1;
  const told = [slot.label, epoch, bar, unit].join();
  if (!anew && view.cardTold === told) return;
  view.cardTold = told;
  paper.replaceChildren();
  element(paper, "h4", {}, /^\d/.test(slot.label) ? `Block ${slot.label}` : slot.label);
  element(paper, "p", {}, several ? `${now.living} of ${slot.blocks.length} blocks alive` : `${block.path} · ${SKIPS[slot.skip] ?? slot.skip}`);
  fate(view, paper, slot, now, epoch);
  const entry = slot.bars[bar ?? -1], units = entry?.site && view.units[entry.site];
  if (units && unit != null) element(paper, "p", { class: "unit-line" }, unitWords(units, unitOf(entry.conv), unit, epoch));
  (several ? stageTable : blockTable)(view, paper, slot, now, bar, epoch);
  if (now.factor != null) element(paper, "p", {}, `factor ${Number(now.factor.toPrecision(3))} (started at ${Number(now.start.toPrecision(3))})`);
  if (entry?.taps) element(paper, "p", {}, tapWords(view, entry.taps, epoch));
  if (view.ghost && now.sited) element(paper, "p", { class: "other-line" }, `${view.ghost.name}: ${ghostKept(view, slot, epoch)} of ${now.total}`);
  spark(view, paper, slot);
  beside(view, slot, paper);
}

function fate(view, paper, slot, now, epoch) {
  const { block } = slot;
  if (now.dead) {
    const on = { none: "", concat: "; its input goes on without it", way: "; the other ways go on without it", gate: "; its input goes on without it" }[slot.skip] ?? "; the skip carries the signal";
    const why = slot.blocks.length > 1 ? "" : `: ${cause(now, block)}`;
    element(paper, "p", { class: "alarm" }, `† died at epoch ${deathOf(view, slot, epoch)}${why}${on}`);
  } else if (now.dying) element(paper, "p", { class: "alarm" }, now.fading ? `▼ dying: factor at ${percent(Math.abs(now.factor) / now.start)} of its start` : `▼ dying: lost ${now.lost} of ${now.total} in ${LOST_EPOCHS} epochs`);
}

function tabled(paper, titles) {
  const table = element(paper, "table");
  const row = (cells, tag = "td", here = false) => {
    const line = element(table, "tr", here ? { class: "here" } : {});
    cells.forEach((text) => element(line, tag, {}, text));
  };
  row(titles, "th");
  return row;
}

function blockTable(view, paper, slot, now, bar, epoch) {
  const { block } = slot, costs = cost(view, view.limbs.find((limb) => limb.block === block), epoch);
  const normed = block.convs.some((c) => view.history_norms[c.site]);
  const row = tabled(paper, ["", "alive", "MACs", "params", ...(normed ? [view.history.noun ?? "norm"] : [])]);
  let macs = 0, allMacs = 0, params = 0, allParams = 0;
  block.convs.forEach((c, i) => {
    const alive = now.dead ? 0 : c.site ? (at(view.alive[c.site], epoch) ?? c.total) : c.total;
    const here = view.detail !== "block" && String(i) === String(bar);
    row([c.label ?? c.path, c.site || now.dead ? `${alive}/${c.total}` : `${c.total}, fixed`, short(costs[i].macs), short(costs[i].params), ...(normed ? [normWords(view, c.site, epoch, now.dead)] : [])], "td", here);
    macs += costs[i].macs;
    params += costs[i].params;
    allMacs += c.macs ?? 0;
    allParams += c.params ?? 0;
  });
  const pad = normed ? [""] : [];
  if (block.convs.length > 1) row(["all", now.sited ? `${now.alive}/${now.total}` : "", short(macs), short(params), ...pad]);
  row(["dense", "", short(allMacs), short(allParams), ...pad]);
}

function stageTable(view, paper, slot, now, bar, epoch) {
  const row = tabled(paper, ["block", "alive", "MACs", "of dense"]);
  slot.blocks.forEach((block, i) => {
    if (slot.blocks.length > 9 && String(i) !== String(bar)) return;
    const s = state(view, block, epoch), macs = cost(view, view.limbs.find((limb) => limb.block === block), epoch).reduce((sum, c) => sum + c.macs, 0);
    const dense = block.convs.reduce((sum, c) => sum + (c.macs ?? 0), 0);
    row([block.label, s.dead ? `† ${deathEpoch(view, block, epoch)}` : s.sited ? `${s.alive}/${s.total}` : "whole", short(macs), dense ? percent(macs / dense) : ""], "td", String(i) === String(bar));
  });
  if (now.sited) row(["all", `${now.alive}/${now.total}`, "", ""]);
}

// The mean norm of the living units, in percent of what it started with.
function normWords(view, site, epoch, dead) {
  const norm = view.history_norms[site];
  if (!norm || dead) return "–";
  const share = at(norm.percents, epoch);
  return share >= 255 ? `>${Number((norm.start * 2.55).toPrecision(2))}` : `${Number((norm.start * share / 100).toPrecision(2))}`;
}

function ghostKept(view, slot, epoch) {
  const convs = slot.blocks.flatMap((block) => block.convs).filter((conv) => conv.site && view.ghost.alive[conv.site]);
  return convs.reduce((sum, conv) => sum + at(view.ghost.alive[conv.site], epoch), 0);
}

// Beside the box, never over it; inside the view.
function beside(view, slot, paper) {
  const stage = view.root.getBoundingClientRect(), seat = slot.box.getBoundingClientRect(), wide = paper.offsetWidth;
  let x = seat.right - stage.left + 12;
  if (x + wide > stage.width) x = seat.left - stage.left - wide - 12;
  const tall = paper.offsetHeight, y = seat.bottom - stage.top - tall + 10;
  paper.style.left = `${round(clamp(x, 0, Math.max(0, stage.width - wide)))}px`;
  paper.style.top = `${round(clamp(y, 0, Math.max(0, stage.height - tall)))}px`;
}

function spark(view, paper, slot) {
  const length = view.history.epoch_now + 1;
  if (length < 2) return;
  const factors = slot.blocks.length === 1 && slot.block.block_site ? view.factor[slot.block.block_site] : null;
  const shares = Array.from({ length }, (_, e) => {
    const s = stateOf(view, slot, e);
    return s.dead ? 0 : s.total ? s.alive / s.total : factors?.length ? Math.abs(s.factor) / (s.start || 1) : 1;
  });
  const told = slot.blocks.some((block) => block.convs.some((c) => c.site)) ? `share of ${unitsOf(slot.blocks)} alive, over the epochs` : "factor as a share of its start, over the epochs";
  element(paper, "p", { class: "label" }, told);
  const svg = element(paper, "svg", { viewBox: "0 0 100 34", preserveAspectRatio: "none" });
  const x = (e) => (100 * e) / (length - 1), y = (share) => 33 - 30 * Math.min(1.05, share);
  element(svg, "path", { class: "base", d: "M0 33H100" });
  element(svg, "path", { class: "spark", d: shares.map((s, e) => `${e ? "L" : "M"}${x(e).toFixed(1)} ${y(s).toFixed(1)}`).join("") });
  element(svg, "path", { class: "here", d: `M${x(view.epoch).toFixed(1)} 0V34` });
}
