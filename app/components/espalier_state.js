// What lived when: the state and cost of blocks and boxes at an epoch. Joined with espalier.js.

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
  const had = (node.had ??= {});
  for (const key in attributes) {
    if (had[key] !== attributes[key]) node.setAttribute(key, (had[key] = attributes[key]));
  }
}

function say(node, text) {
  if (node.said !== text) node.textContent = node.said = text;
}

function mark(node, name, on) {
  const had = (node.marked ??= {});
  if (had[name] !== on) node.classList.toggle(name, (had[name] = on));
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
  let alive = 0, total = 0, lost = 0, empty = null, sited = false;
  for (const conv of block.convs) {
    if (!conv.site) continue;
    const now = at(view.alive[conv.site], epoch) ?? conv.total;
    const then = at(view.alive[conv.site], Math.max(0, epoch - LOST_EPOCHS)) ?? conv.total;
    sited = true;
    alive += now;
    total += conv.total;
    lost += Math.max(0, then - now);
    if (now === 0) empty ??= conv;
  }
  const factors = block.block_site ? view.factor[block.block_site] : null;
  const factor = at(factors, epoch);
  const start = factors?.length ? Math.abs(factors[0]) : null;
  const off = block.block_site ? at(view.alive[block.block_site], epoch) === 0 : false;
  const dead = off || empty != null || factor === 0;
  const fading = start > 0 && Math.abs(factor) < FACTOR_SHARE * start;
  return { alive: dead ? 0 : alive, total, sited, factor, start, dead, off, empty, dying: !dead && ((total > 0 && lost > LOST_SHARE * total) || fading), lost, fading };
}

// A box may hold several blocks: a stage is dead when all of them are.
function stateOf(view, slot, epoch) {
  const states = slot.blocks.map((block) => state(view, block, epoch));
  if (states.length === 1) return states[0];
  const sum = (what) => states.reduce((total, s) => total + s[what], 0);
  const dead = states.every((s) => s.dead), total = sum("total"), lost = sum("lost");
  const dying = !dead && total > 0 && lost > LOST_SHARE * total;
  return { alive: sum("alive"), total, sited: states.some((s) => s.sited), factor: null, start: null, dead, dying, lost, fading: false, living: states.filter((s) => !s.dead).length };
}

function deathEpoch(view, block, epoch) {
  const told = view.history.died?.[block.block_site] ?? null;
  if (told != null && told <= epoch) return told;
  while (epoch > 0 && state(view, block, epoch - 1).dead) epoch--;
  return epoch;
}

const deathOf = (view, slot, epoch) => Math.max(...slot.blocks.map((block) => deathEpoch(view, block, epoch)));

// Why a dead block died: its own factor or norm, or a convolution that lost everything and cut the branch.
function cause(now, block) {
  if (now.empty && !now.off && now.factor !== 0) return `${now.empty.label ?? now.empty.path} lost all its ${unitsOf([block])}`;
  return now.factor === 0 || (now.off && now.factor != null) ? "its factor reached exactly zero" : "its group reached exactly zero";
}

// Living share of a bar, of whatever it stands for.
function shareOf(view, bar, epoch, alive = view.alive) {
  let kept = 0, total = 0;
  for (const conv of bar.convs) {
    if (!conv.site || !alive[conv.site]) continue;
    kept += at(alive[conv.site], epoch);
    total += conv.total;
  }
  return total ? kept / total : 1;
}

// Surviving share of a block's multiply-accumulates, convolution by convolution: outputs kept times inputs kept.
function cost(view, limb, epoch) {
  const dead = state(view, limb.block, epoch).dead;
  let inputs = limb.block.skip === "none" && limb.before ? keptOut(view, limb.before, epoch) : 1;
  return limb.block.convs.map((conv) => {
    if (conv.reads) inputs = 1 - Object.entries(conv.reads).reduce((lost, [path, share]) => lost + share * (1 - living(view, path, epoch)), 0);
    const outputs = conv.site ? (at(view.alive[conv.site], epoch) ?? conv.total) / conv.total : 1;
    const share = dead ? 0 : inputs * outputs;
    inputs = outputs;
    return { macs: (conv.macs ?? 0) * share, params: (conv.params ?? 0) * share };
  });
}

// Living share of the outputs of a layer, by whichever site of it is watched.
function living(view, path, epoch) {
  const site = ["filter", "neuron", "group"].map((kind) => `${path}/${kind}`).find((name) => view.alive[name]);
  const conv = site && view.limbs.flatMap((limb) => limb.block.convs).find((one) => one.path === path);
  return conv ? (at(view.alive[site], epoch) ?? conv.total) / conv.total : 1;
}

function keptOut(view, limb, epoch) {
  const conv = limb.block.convs[limb.block.convs.length - 1];
  return limb.block.skip === "none" && conv?.site ? (at(view.alive[conv.site], epoch) ?? conv.total) / conv.total : 1;
}

// What the counted units of these blocks are.
function unitsOf(blocks) {
  const sites = blocks.flatMap((b) => b.convs).map((c) => c.site).filter(Boolean);
  const kinds = [["/group", "conv groups"], ["/neuron", "neurons"]].filter(([end]) => sites.some((site) => site.endsWith(end)));
  const named = sites.length && kinds.length === 1 && sites.every((site) => site.endsWith(kinds[0][0]));
  if (named) return kinds[0][1];
  return [...(sites.length ? ["filters"] : []), ...kinds.map(([, words]) => words)].join(" and ") || "filters";
}

const unitOf = (conv) => (conv.site.endsWith("/group") ? "conv group" : conv.site.endsWith("/neuron") ? "neuron" : "filter");
