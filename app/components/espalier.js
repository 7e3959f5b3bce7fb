// The espalier: a network drawn as a trained tree, scrubbed through its epochs in the browser.
// The trunk is the skip path. A residual block is a branch that leaves the trunk, carries its convolutions as shoots, and
// joins it again. Plain JavaScript: the same file draws inside the dashboard and in a page of its own.

const SVG = "http://www.w3.org/2000/svg";
const PLAY = "M3 1.5v11l9.5-5.5z";
const PAUSE = "M2.5 1.5h3.2v11H2.5zM8.3 1.5h3.2v11H8.3z";

export default function espalier({ data, parentElement, setStateValue, setTriggerValue }) {
  if (!data) return;
  let root = parentElement.querySelector(".espalier");
  if (!root) {
    root = frame();
    parentElement.append(root);
  }
  const view = root.view;
  view.setState = setStateValue ?? (() => {});
  view.setTrigger = setTriggerValue ?? (() => {});
  theme(root);
  arrive(view, data);
  return () => {
    clearInterval(view.timer);
    view.observer.disconnect();
  };
}

// Bytes are opened once; what is known already is shown at once, and a later message overtakes an earlier one.
async function arrive(view, data) {
  view.arriving = data;
  const texts = [data.bytes, data.near, data.ghost?.data.bytes].filter(Boolean);
  const fresh = texts.filter((text) => !view.open.has(text));
  if (fresh.length) {
    const found = await Promise.all(fresh.map(opened));
    fresh.forEach((text, i) => view.open.set(text, found[i]));
    if (view.arriving !== data) return;
  }
  for (const text of view.open.keys()) if (!texts.includes(text)) view.open.delete(text);
  receive(view, data);
}

// --- the frame: everything that exists once

function frame() {
  const root = document.createElement("div");
  root.className = "espalier";
  root.tabIndex = -1;
  const view = { root, epoch: 0, detail: "convolution", following: true, playing: false, dragging: false, sent: new Set(), open: new Map(), slots: [] };
  root.view = view;
  view.picture = () => picture(view); // for who shows the tree within a picture of its own
  view.say = element(root, "p", { class: "say" });
  view.sayOther = element(root, "p", { class: "say other-say", hidden: "" });
  view.scroll = element(root, "div", { class: "scroll" });
  view.svg = element(view.scroll, "svg", { class: "tree", role: "group" });
  view.near = element(root, "div", { class: "near", hidden: "" });
  const told = element(view.near, "p", { class: "near-say" });
  view.nearName = element(told, "b");
  view.nearNote = element(told, "span");
  view.nearSvg = element(view.near, "svg", { class: "closeup", role: "img" });
  view.nearUnit = element(view.near, "p", { class: "near-unit", "aria-live": "polite" });
  nearListen(view);

  const controls = element(root, "div", { class: "controls" });
  view.play = element(controls, "button", { class: "play", type: "button", "aria-label": "Play" });
  view.playIcon = element(element(view.play, "svg", { viewBox: "0 0 14 14" }), "path", { d: PLAY });
  const now = element(controls, "span", { class: "now" });
  now.append("epoch ");
  view.now = element(now, "b");
  view.of = element(now, "span");
  view.track = element(controls, "div", { class: "track" });
  view.deaths = element(view.track, "svg", { viewBox: "0 0 100 22", preserveAspectRatio: "none", "aria-hidden": "true" });
  view.lost = element(view.deaths, "path", { class: "lost" });
  view.lostPast = element(view.deaths, "path", { class: "lost past" });
  view.range = element(view.track, "input", { type: "range", min: 0, step: 1, "aria-label": "Epoch" });
  view.newest = element(controls, "button", { class: "newest", type: "button", hidden: "" }, "Newest");
  const zoom = element(controls, "div", { class: "zoom", role: "group", "aria-label": "Level of detail, keys + and -" });
  view.zoom = DETAILS.map((detail) => {
    const button = element(zoom, "button", { type: "button", title: `Show ${detail}s (keys + and −)` }, detail);
    button.onclick = () => zoomTo(view, detail);
    return button;
  });

  const foot = element(root, "div", { class: "foot" });
  view.readout = element(foot, "span", { class: "readout", "aria-live": "off" });
  view.legend = element(foot, "span", { class: "legend", role: "group", "aria-label": "Legend" });
  view.save = element(foot, "button", { class: "save", type: "button" }, "Save SVG");
  view.card = element(root, "div", { class: "card", role: "tooltip" });

  view.range.oninput = () => {
    stop(view);
    view.dragging = true;
    go(view, Number(view.range.value));
  };
  view.range.onchange = () => {
    view.dragging = false;
    release(view);
  };
  view.play.onclick = () => (view.playing ? pause(view) : play(view));
  view.newest.onclick = () => {
    stop(view);
    view.following = true;
    show(view, view.history.epoch_now);
    view.setState("epoch", null);
  };
  view.save.onclick = () => save(view);
  root.onkeydown = (event) => key(view, event);
  view.observer = new ResizeObserver(() => {
    if (view.history && view.width !== view.scroll.clientWidth) {
      place(view);
      show(view, view.epoch);
    }
  });
  view.observer.observe(view.scroll);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => theme(root));
  return root;
}

function legend(view) {
  view.legend.replaceChildren();
  const entry = (text, draw, name = "") => {
    const item = element(view.legend, "span", { class: name });
    draw(element(item, "svg", { viewBox: "0 0 18 14", "aria-hidden": "true" }));
    item.append(text);
  };
  const { levels } = view;
  if (levels) {
    for (let k = 0; k < levels.count; k++) entry(k === 0 ? (levels.what === "weights" ? "core, of the weights" : "core") : k === levels.count - 1 ? "full level" : `level ${k}`, (s) => element(s, "rect", { x: 4, y: 1, width: 10, height: 12, rx: 2.5, class: `level${hue(view, k)}` }));
  } else {
    entry("alive of all", (s) => {
      element(s, "rect", { x: 4, y: 1, width: 10, height: 12, rx: 2.5, style: "fill:none;stroke:var(--ghost)" });
      element(s, "rect", { x: 4, y: 5, width: 10, height: 8, rx: 2.5, style: "fill:var(--leaf)" });
    });
  }
  entry("fixed width", (s) => element(s, "rect", { x: 4, y: 1, width: 10, height: 12, rx: 2.5, style: "fill:var(--leaf-pale)" }), "if-fixed");
  entry("conv groups", (s) => element(s, "path", { d: "M3 3h12M3 7h12M3 11h12", style: "stroke:var(--leaf);stroke-width:2.6" }), "if-strips");
  entry("taps of the kernel", (s) => element(s, "path", { d: "M3 1h3.4v3.4H3zM7.3 1h3.4v3.4H7.3zM7.3 5.3h3.4v3.4H7.3zM11.6 5.3H15v3.4h-3.4zM3 9.6h3.4V13H3z", style: "fill:var(--wood)" }), "if-taps");
  entry("▼ dying", (s) => element(s, "rect", { x: 2, y: 1, width: 14, height: 12, rx: 4, style: "fill:none;stroke:var(--dying);stroke-width:2" }));
  entry("† dead", (s) => {
    element(s, "rect", { x: 2, y: 1, width: 14, height: 12, rx: 4, style: "fill:none;stroke:var(--ghost);stroke-width:1.3;stroke-dasharray:3 3" });
    element(s, "path", { d: "M6.5 4.5l5 5m0-5l-5 5", style: "stroke:var(--soft);stroke-width:1.5" });
  });
  entry("skip path", (s) => element(s, "path", { d: "M0 7h18", style: "stroke:var(--wood);stroke-width:5" }), "if-skip");
  if (view.ghost) entry(view.ghost.name, (s) => element(s, "rect", { x: 3, y: 2, width: 12, height: 11, rx: 2.5, class: "other" }), "other-entry");
  entry("lost in an epoch", (s) => element(s, "path", { d: "M3 13V9M7.5 13V3M12 13V6", style: "stroke:var(--ghost);stroke-width:3" }));
}

// --- data in

function receive(view, data) {
  const history = view.open.get(data.bytes), more = data.near ? view.open.get(data.near).units : {};
  const shape = JSON.stringify([history.run ?? null, history.network, history.stages.map((s) => s.blocks.map((b) => [b.path, b.convs.length]))]);
  const anew = view.shape !== shape, changed = view.history !== history;
  view.data = data;
  view.levels = data.levels ?? null;
  view.history = history;
  view.alive = history.alive;
  view.factor = history.factor;
  view.history_norms = history.norms;
  view.units = { ...history.units, ...more };
  const ghost = data.ghost ? view.open.get(data.ghost.data.bytes) : null;
  view.ghost = ghost && { name: data.ghost.name, alive: ghost.alive };
  const picked = data.selected?.epoch ?? null;
  const parts = [Object.keys(view.units), data.levels?.count].join();
  if (!anew && view.parts !== parts) build(view); // other units, or levels, are known now
  view.parts = parts;
  if (anew) {
    stop(view);
    view.shape = shape;
    view.following = picked == null || picked >= history.epoch_now;
    view.epoch = view.following ? history.epoch_now : picked;
    view.picked = picked;
    if (data.detail) view.detail = data.detail;
    build(view);
    if (data.playing) view.epoch = 0;
  } else if (picked !== view.picked) {
    view.picked = picked;
    if (picked != null && !view.sent.has(picked) && !view.dragging) {
      stop(view);
      view.following = picked >= history.epoch_now;
      view.epoch = picked;
    }
  }
  view.sent.delete(view.picked);
  const follow = data.follow !== false && view.following && !view.playing && !view.dragging && !(anew && data.playing);
  if (follow) view.epoch = history.epoch_now;
  view.steps = JSON.stringify(history.markers ?? []);
  const key = [view.ghost?.name, view.levels?.count, view.shape].join();
  if (view.legendKey !== key) legend(view);
  view.legendKey = key;
  view.sayOther.hidden = !data.ghost?.say;
  say(view.sayOther, data.ghost?.say ?? "");
  place(view);
  if (changed || anew) timeline(view);
  show(view, clamp(view.epoch, 0, history.epoch_now));
  if (data.playing && view.wasPlaying !== true) play(view);
  if (data.playing === false && view.wasPlaying === true) stop(view);
  view.wasPlaying = data.playing;
}

function zoomTo(view, detail) {
  if (!detail || detail === view.detail) return;
  card(view, null);
  view.detail = detail;
  build(view);
  place(view);
  show(view, view.epoch);
}

// --- one epoch on screen

function show(view, epoch) {
  const { history } = view;
  view.epoch = epoch;
  let macs = 0, dense = 0;
  const convs = view.limbs.flatMap((limb) => limb.block.convs);
  for (const stage of view.stages) {
    for (const slot of stage.slots) {
      slot.now = stateOf(view, slot, epoch);
      draw(view, slot, slot.now, epoch);
    }
    stageFoot(view, stage);
  }
  trunk(view, epoch);
  near(view, epoch);
  if (!history.macs_share) {
    for (const limb of view.limbs) cost(view, limb, epoch).forEach((c) => (macs += c.macs));
    convs.forEach((c) => (dense += c.macs ?? 0));
  }
  const share = history.macs_share ? at(history.macs_share, epoch) : dense ? macs / dense : null;
  const states = view.slots.map((slot) => slot.now), limbs = view.limbs.length;
  const sum = (what) => states.reduce((total, s) => total + s[what], 0), units = sum("alive"), all = sum("total");
  const blocks = view.slots.reduce((total, slot) => total + (slot.now.living ?? (slot.now.dead ? 0 : 1)), 0);
  const residual = view.limbs.some((limb) => limb.block.skip !== "none");
  say(view.readout, [residual ? `${blocks} of ${limbs} blocks` : null, all ? `${count(units)} of ${count(all)} ${unitsOf(view.limbs.map((limb) => limb.block))} alive` : null, share == null ? null : `${percent(share)} of the MACs`].filter(Boolean).join(" · "));
  const sentence = history.says?.[epoch] ?? history.say ?? "";
  say(view.say, sentence);
  view.say.hidden = !sentence;
  put(view.svg, { "aria-label": `${history.network ?? "Network"} at epoch ${epoch}, ${view.detail} by ${view.detail}. ${sentence}` });
  const last = Math.max(history.total_epochs ?? 0, history.epoch_now, 1);
  say(view.now, String(epoch));
  say(view.of, ` of ${last}`);
  if (view.range.max !== String(last)) view.range.max = last;
  if (view.range.value !== String(epoch)) view.range.value = epoch;
  put(view.range, { "aria-valuetext": `epoch ${epoch} of ${last}` });
  view.range.style.setProperty("--at", `${(100 * epoch) / last}%`);
  view.range.style.setProperty("--known", `${(100 * history.epoch_now) / last}%`);
  put(view.lostPast, { d: view.losses.slice(0, epoch + 1).join("") });
  view.zoom.forEach((button, i) => put(button, { "aria-pressed": DETAILS[i] === view.detail }));
  view.newest.hidden = epoch >= history.epoch_now || view.playing;
  if (view.hovered) card(view, view.hovered, view.hoveredBar, view.hoveredUnit);
}

function stageFoot(view, stage) {
  const sum = (what) => stage.slots.reduce((total, slot) => total + what(slot), 0);
  const residual = stage.slots.some((slot) => slot.skip !== "none"), wide = stage.width > 190, parts = [];
  const noun = unitsOf(stage.slots.flatMap((slot) => slot.blocks)), kept = sum((s) => s.now.alive), width = sum((s) => s.now.total);
  const alive = sum((s) => s.now.living ?? (s.now.dead ? 0 : 1)), blocks = sum((s) => s.blocks.length);
  if (residual) parts.push(wide ? `${alive} of ${blocks} blocks` : `${alive}/${blocks} blocks`);
  if (width && wide) parts.push(`${count(kept)} of ${count(width)} ${noun}`);
  else if (width && !residual) parts.push(stage.width > 110 ? `${percent(kept / width)} of ${noun}` : percent(kept / width));
  if (view.data.large) stage.note.style.visibility = 7.6 * stage.note.textContent.length > stage.width + 14 ? "hidden" : "";
  const text = parts.join(" · "), room = stage.width > 60 && !(view.data.large && 7.6 * text.length > stage.width + 12);
  say(stage.foot, room ? text : view.data.large && residual ? parts[0] : "");
}

// Deaths per epoch above the scrubber, and a flag for every steering event.
function timeline(view) {
  const { history } = view;
  const last = Math.max(history.total_epochs ?? 0, history.epoch_now, 1);
  const lost = new Array(history.epoch_now + 1).fill(0);
  const drawn = new Set(view.limbs.flatMap((limb) => [limb.block.block_site, ...limb.block.convs.map((c) => c.site)]));
  for (const [site, series] of Object.entries(view.alive)) {
    if (drawn.has(site)) for (let e = 1; e < series.length; e++) lost[e] += Math.max(0, series[e - 1] - series[e]);
  }
  const most = Math.sqrt(Math.max(1, ...lost));
  const wide = Math.max(0.4, Math.min(1.4, 62 / last));
  view.losses = lost.map((died, epoch) => {
    const tall = (21 * Math.sqrt(died)) / most, x = (100 * epoch) / last - wide / 2;
    return died ? `M${x.toFixed(2)} 22V${round(22 - tall)}h${wide.toFixed(2)}V22z` : "";
  });
  put(view.lost, { d: view.losses.join("") });
  if (view.flags === view.steps + last) return;
  view.flags = view.steps + last;
  view.track.querySelectorAll(".marker").forEach((node) => node.remove());
  for (const marker of history.markers ?? []) {
    const share = clamp(marker.epoch / last, 0, 1);
    element(view.track, "span", { class: "marker", style: `left:calc(8px + ${share} * (100% - 16px))`, tabindex: 0, role: "note", "aria-label": `epoch ${marker.epoch}: ${marker.label}`, "data-label": `epoch ${marker.epoch}: ${marker.label}` });
  }
}

// --- moving through the epochs

function go(view, epoch) {
  const target = clamp(epoch, 0, view.history.epoch_now);
  view.following = target >= view.history.epoch_now;
  view.root.classList.add("brisk");
  show(view, target);
}

function release(view) {
  view.root.classList.remove("brisk");
  view.sent.add(view.epoch);
  view.setState("epoch", view.following ? null : view.epoch);
}

function stop(view) {
  clearInterval(view.timer);
  view.playing = false;
  view.root.classList.remove("brisk");
  put(view.playIcon, { d: PLAY });
  put(view.play, { "aria-label": "Play" });
}

function pause(view) {
  stop(view);
  show(view, view.epoch);
  release(view);
}

function play(view) {
  stop(view);
  view.playing = true;
  put(view.playIcon, { d: PAUSE });
  put(view.play, { "aria-label": "Pause" });
  if (view.epoch >= view.history.epoch_now) show(view, 0);
  const pace = clamp(9000 / Math.max(1, view.history.epoch_now), 70, 450);
  view.root.classList.toggle("brisk", pace < 330);
  view.timer = setInterval(() => {
    if (view.epoch >= view.history.epoch_now) {
      view.following = true;
      pause(view);
    } else {
      view.following = false;
      show(view, view.epoch + 1);
    }
  }, pace);
}

// --- clicks and keys

function pick(view, slot, bar, unit) {
  const entry = slot.bars[bar ?? -1], block = entry?.block ?? slot.block;
  const site = entry?.site ?? block.block_site ?? block.convs.find((c) => c.site)?.site ?? null;
  view.sent.add(view.epoch);
  view.data.selected = { ...view.data.selected, site, unit: unit ?? null };
  view.setTrigger("picked", { site, path: entry?.conv?.path ?? block.path, unit: unit ?? null, epoch: view.epoch });
  show(view, view.epoch);
}

// In a box: up and down go through its bars, Enter selects.
function walk(view, slot, event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) {
    event.preventDefault();
    event.stopPropagation();
    const bar = view.hovered === slot && view.hoveredBar != null ? Number(view.hoveredBar) + step : step > 0 ? 0 : slot.bars.length - 1;
    card(view, slot, clamp(bar, 0, slot.bars.length - 1));
  } else if (event.key === "Enter") {
    event.preventDefault();
    event.stopPropagation();
    pick(view, slot, view.hovered === slot ? view.hoveredBar : null);
  }
}

function key(view, event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const moves = { ArrowLeft: view.epoch - 1, ArrowRight: view.epoch + 1, Home: 0, End: view.history.epoch_now };
  const zooms = { "+": 1, "=": 1, "-": -1 };
  if (event.shiftKey && event.key.startsWith("Arrow")) {
    const found = chosen(view), unit = found && unitPicked(view, found.conv), step = { ArrowLeft: -1, ArrowRight: 1 }[event.key] ?? 0;
    event.preventDefault();
    if (found && step) pickUnit(view, unit == null ? 0 : clamp(unit + step, 0, found.conv.total - 1));
  } else if (event.key in moves) {
    event.preventDefault();
    stop(view);
    go(view, moves[event.key]);
    clearTimeout(view.rest);
    view.rest = setTimeout(() => release(view), 350);
  } else if (event.key in zooms) {
    event.preventDefault();
    zoomTo(view, DETAILS[DETAILS.indexOf(view.detail) + zooms[event.key]]);
  } else if (event.key === " " && event.target.tagName !== "BUTTON") {
    event.preventDefault();
    view.play.onclick();
  } else if (event.key === "Escape") {
    card(view, null);
  }
}
