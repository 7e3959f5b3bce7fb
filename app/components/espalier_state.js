// What lived when: reading the series, and the state and cost of a block at an epoch. Joined with espalier.js.

const LOST_SHARE = 0.1; // a block that lost more than this share of its units in LOST_EPOCHS is dying
const LOST_EPOCHS = 2;
const FACTOR_SHARE = 0.02; // so is one whose factor fell under this share of its start

function element(parent, name, attributes = {}, text = null) {
  const isSvg = parent instanceof SVGElement || name === "svg";
  const node = isSvg ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  if (text != null) node.textContent = text;
  parent.append(node);
  return node;
}

// Writes an attribute only when it changed, so that an update that changes nothing costs nothing.
function put(node, attributes) {
  for (const key in attributes) {
    const value = String(attributes[key]);
    if (node.getAttribute(key) !== value) node.setAttribute(key, value);
  }
}

function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const round = (value) => Math.round(value * 10) / 10;
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const count = (value) => value.toLocaleString("en");
const percent = (share) => `${Math.round(share * 100)} %`;

function short(value) {
  if (value == null || !isFinite(value)) return "–";
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (value >= size * 0.9995) return `${(value / size).toPrecision(3).replace(/\.?0+$/, "")} ${unit}`;
  }
  return String(Math.round(value));
}

// A series arrives as plain values, as runs {runs: [value, length, value, length, …]}, or sampled {every, count, values},
// where each value holds until the next and the last one is the newest.
function unpack(series) {
  if (!series || Array.isArray(series)) return series ?? [];
  if (series.every) return Array.from({ length: series.count }, (_, e) => (e === series.count - 1 ? series.values.at(-1) : series.values[Math.floor(e / series.every)]));
  const values = [];
  for (let i = 0; i < series.runs.length; i += 2) {
    for (let n = series.runs[i + 1]; n > 0; n--) values.push(series.runs[i]);
  }
  return values;
}

function theme(root) {
  const paper = getComputedStyle(root).getPropertyValue("--st-background-color").trim();
  let dark = matchMedia("(prefers-color-scheme: dark)").matches;
  if (paper) {
    const probe = element(root, "i", { style: `color:${paper};display:none` });
    const [r, g, b] = getComputedStyle(probe).color.match(/[\d.]+/g).map(Number);
    probe.remove();
    dark = 0.3 * r + 0.59 * g + 0.11 * b < 128;
  }
  root.dataset.theme = dark ? "dark" : "light";
}

const at = (series, epoch) => (series?.length ? series[Math.min(epoch, series.length - 1)] : null);

// Everything a picture of one block at one epoch needs.
function state(view, block, epoch) {
  let alive = 0, total = 0, lost = 0, empty = false, sited = false;
  for (const conv of block.convs) {
    if (!conv.site) continue;
    const now = at(view.alive[conv.site], epoch) ?? conv.total;
    const then = at(view.alive[conv.site], Math.max(0, epoch - LOST_EPOCHS)) ?? conv.total;
    sited = true;
    alive += now;
    total += conv.total;
    lost += Math.max(0, then - now);
    empty ||= now === 0;
  }
  const factors = block.block_site ? view.factor[block.block_site] : null;
  const factor = at(factors, epoch);
  const start = factors?.length ? Math.abs(factors[0]) : null;
  const off = block.block_site ? at(view.alive[block.block_site], epoch) === 0 : false;
  const dead = off || empty || factor === 0;
  const fading = start > 0 && Math.abs(factor) < FACTOR_SHARE * start;
  return { alive: dead ? 0 : alive, total, sited, factor, start, dead, dying: !dead && ((total > 0 && lost > LOST_SHARE * total) || fading), lost, fading };
}

function deathEpoch(view, block, epoch) {
  const told = view.data.died?.[block.block_site] ?? null;
  if (told != null && told <= epoch) return told;
  while (epoch > 0 && state(view, block, epoch - 1).dead) epoch--;
  return epoch;
}

// Surviving share of a convolution's multiply-accumulates: outputs kept times inputs kept.
function cost(view, slot, epoch) {
  const dead = state(view, slot.block, epoch).dead;
  let inputs = slot.block.skip === "none" && slot.before ? keptOut(view, slot.before, epoch) : 1;
  return slot.block.convs.map((conv) => {
    const outputs = conv.site ? (at(view.alive[conv.site], epoch) ?? conv.total) / conv.total : 1;
    const share = dead ? 0 : inputs * outputs;
    inputs = outputs;
    return { macs: (conv.macs ?? 0) * share, params: (conv.params ?? 0) * share };
  });
}

function keptOut(view, slot, epoch) {
  const conv = slot.block.convs[slot.block.convs.length - 1];
  return slot.block.skip === "none" && conv?.site ? (at(view.alive[conv.site], epoch) ?? conv.total) / conv.total : 1;
}

// What the counted units of these blocks are.
function unitsOf(blocks) {
  const sites = blocks.flatMap((b) => b.convs).map((c) => c.site).filter(Boolean);
  const groups = sites.filter((site) => site.endsWith("/group")).length;
  return !groups ? "filters" : groups === sites.length ? "conv groups" : "filters and conv groups";
}
