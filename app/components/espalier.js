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
  receive(view, data);
  return () => {
    clearInterval(view.timer);
    view.observer.disconnect();
  };
}

// --- the frame: everything that exists once

function frame() {
  const root = document.createElement("div");
  root.className = "espalier";
  root.tabIndex = -1;
  const view = { root, epoch: 0, following: true, playing: false, dragging: false, sent: new Set(), slots: [] };
  root.view = view;
  view.say = element(root, "p", { class: "say" });
  view.scroll = element(root, "div", { class: "scroll" });
  view.svg = element(view.scroll, "svg", { class: "tree", role: "group" });

  const controls = element(root, "div", { class: "controls" });
  view.play = element(controls, "button", { class: "play", type: "button", "aria-label": "Play" });
  view.playIcon = element(element(view.play, "svg", { viewBox: "0 0 14 14" }), "path", { d: PLAY });
  const now = element(controls, "span", { class: "now" });
  now.append("epoch ");
  view.now = element(now, "b");
  view.of = element(now, "span");
  view.track = element(controls, "div", { class: "track" });
  view.deaths = element(view.track, "svg", { viewBox: "0 0 100 22", preserveAspectRatio: "none", "aria-hidden": "true" });
  view.range = element(view.track, "input", { type: "range", min: 0, step: 1, "aria-label": "Epoch" });
  view.newest = element(controls, "button", { class: "newest", type: "button", hidden: "" }, "Newest");

  const foot = element(root, "div", { class: "foot" });
  view.readout = element(foot, "span", { class: "readout", "aria-live": "off" });
  legend(foot);
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
    show(view, view.data.epoch_now);
    view.setState("epoch", null);
  };
  view.save.onclick = () => save(view);
  root.onkeydown = (event) => key(view, event);
  view.observer = new ResizeObserver(() => {
    if (view.data && view.width !== view.scroll.clientWidth) {
      place(view);
      show(view, view.epoch);
    }
  });
  view.observer.observe(view.scroll);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => theme(root));
  return root;
}

function legend(parent) {
  const box = element(parent, "span", { class: "legend", "aria-label": "Legend" });
  const entry = (text, draw, name = "") => {
    const item = element(box, "span", { class: name });
    draw(element(item, "svg", { viewBox: "0 0 18 14", "aria-hidden": "true" }));
    item.append(text);
  };
  entry("alive of all", (s) => {
    element(s, "rect", { x: 4, y: 1, width: 10, height: 12, rx: 2.5, style: "fill:none;stroke:var(--ghost)" });
    element(s, "rect", { x: 4, y: 5, width: 10, height: 8, rx: 2.5, style: "fill:var(--leaf)" });
  });
  entry("fixed width", (s) => element(s, "rect", { x: 4, y: 1, width: 10, height: 12, rx: 2.5, style: "fill:var(--leaf-pale)" }), "if-fixed");
  entry("▼ dying", (s) => element(s, "rect", { x: 2, y: 1, width: 14, height: 12, rx: 4, style: "fill:none;stroke:var(--dying);stroke-width:2" }));
  entry("† dead", (s) => {
    element(s, "rect", { x: 2, y: 1, width: 14, height: 12, rx: 4, style: "fill:none;stroke:var(--ghost);stroke-width:1.3;stroke-dasharray:3 3" });
    element(s, "path", { d: "M6.5 4.5l5 5m0-5l-5 5", style: "stroke:var(--soft);stroke-width:1.5" });
  });
  entry("skip path", (s) => element(s, "path", { d: "M0 7h18", style: "stroke:var(--wood);stroke-width:5" }), "if-skip");
  entry("lost in an epoch", (s) => element(s, "path", { d: "M3 13V9M7.5 13V3M12 13V6", style: "stroke:var(--ghost);stroke-width:3" }));
}

// --- data in

function receive(view, data) {
  const shape = JSON.stringify([data.run ?? null, data.network, data.stages.map((s) => s.blocks.map((b) => [b.path, b.convs.length]))]);
  const anew = view.shape !== shape;
  view.data = data;
  view.alive = Object.fromEntries(Object.entries(data.alive ?? {}).map(([site, series]) => [site, unpack(series)]));
  view.factor = Object.fromEntries(Object.entries(data.factor ?? {}).map(([site, series]) => [site, unpack(series)]));
  const picked = data.selected?.epoch ?? null;
  if (anew) {
    stop(view);
    view.shape = shape;
    view.following = picked == null || picked >= data.epoch_now;
    view.epoch = view.following ? data.epoch_now : picked;
    view.picked = picked;
    build(view);
    if (data.playing) view.epoch = 0;
  } else if (picked !== view.picked) {
    view.picked = picked;
    if (picked != null && !view.sent.has(picked) && !view.dragging) {
      stop(view);
      view.following = picked >= data.epoch_now;
      view.epoch = picked;
    }
  }
  view.sent.delete(view.picked);
  const follow = data.follow !== false && view.following && !view.playing && !view.dragging && !(anew && data.playing);
  if (follow) view.epoch = data.epoch_now;
  view.steps = JSON.stringify(data.markers ?? []);
  place(view);
  timeline(view);
  show(view, clamp(view.epoch, 0, data.epoch_now));
  if (data.playing && view.wasPlaying !== true) play(view);
  if (data.playing === false && view.wasPlaying === true) stop(view);
  view.wasPlaying = data.playing;
}

// --- one epoch on screen

function show(view, epoch) {
  const { data } = view;
  view.epoch = epoch;
  let blocks = 0, units = 0, all = 0, macs = 0, dense = 0;
  for (const stage of view.stages) {
    let alive = 0, kept = 0, width = 0;
    for (const slot of stage.slots) {
      const now = state(view, slot.block, epoch);
      draw(view, slot, now, epoch);
      alive += !now.dead;
      kept += now.alive;
      width += now.total;
      cost(view, slot, epoch).forEach((c) => (macs += c.macs));
      slot.block.convs.forEach((c) => (dense += c.macs ?? 0));
    }
    const residual = stage.slots.some((slot) => slot.block.skip !== "none");
    const wide = stage.width > 190, parts = [], noun = unitsOf(stage.slots.map((slot) => slot.block));
    if (residual) parts.push(wide ? `${alive} of ${stage.slots.length} blocks` : `${alive}/${stage.slots.length} blocks`);
    if (width && wide) parts.push(`${count(kept)} of ${count(width)} ${noun}`);
    else if (width && !residual) parts.push(stage.width > 110 ? `${percent(kept / width)} of ${noun}` : percent(kept / width));
    say(stage.foot, stage.width > 60 ? parts.join(" · ") : "");
    blocks += alive;
    units += kept;
    all += width;
  }
  trunk(view, epoch);
  const share = data.macs_share ? at(data.macs_share, epoch) : dense ? macs / dense : null;
  const residual = view.slots.some((slot) => slot.block.skip !== "none");
  say(view.readout, [residual ? `${blocks} of ${view.slots.length} blocks` : null, all ? `${count(units)} of ${count(all)} ${unitsOf(view.slots.map((slot) => slot.block))} alive` : null, share == null ? null : `${percent(share)} of the MACs`].filter(Boolean).join(" · "));
  const sentence = data.says?.[epoch] ?? data.say ?? "";
  say(view.say, sentence);
  view.say.style.display = sentence ? "" : "none";
  put(view.svg, { "aria-label": `${data.network ?? "Network"} at epoch ${epoch}. ${sentence}` });
  const last = Math.max(data.total_epochs ?? 0, data.epoch_now, 1);
  say(view.now, String(epoch));
  say(view.of, ` of ${last}`);
  if (view.range.max !== String(last)) view.range.max = last;
  if (view.range.value !== String(epoch)) view.range.value = epoch;
  put(view.range, { "aria-valuetext": `epoch ${epoch} of ${last}` });
  view.range.style.setProperty("--at", `${(100 * epoch) / last}%`);
  view.range.style.setProperty("--known", `${(100 * data.epoch_now) / last}%`);
  for (const rect of view.deaths.children) rect.classList.toggle("past", Number(rect.dataset.epoch) <= epoch);
  view.newest.hidden = epoch >= data.epoch_now || view.playing;
  if (view.hovered) card(view, view.hovered, view.hoveredConv);
}

// Deaths per epoch above the scrubber, and a flag for every steering event.
function timeline(view) {
  const { data } = view;
  const last = Math.max(data.total_epochs ?? 0, data.epoch_now, 1);
  const lost = new Array(data.epoch_now + 1).fill(0);
  for (const series of Object.values(view.alive)) {
    for (let e = 1; e < series.length; e++) lost[e] += Math.max(0, series[e - 1] - series[e]);
  }
  const most = Math.sqrt(Math.max(1, ...lost));
  const wide = Math.max(0.4, Math.min(1.4, 62 / last));
  lost.forEach((count, epoch) => {
    let rect = view.deaths.children[epoch];
    if (!rect) rect = element(view.deaths, "rect", { "data-epoch": epoch });
    const tall = (21 * Math.sqrt(count)) / most;
    put(rect, { x: ((100 * epoch) / last - wide / 2).toFixed(2), width: wide.toFixed(2), y: round(22 - tall), height: round(tall) });
  });
  while (view.deaths.children.length > lost.length) view.deaths.lastChild.remove();
  if (view.flags === view.steps + last) return;
  view.flags = view.steps + last;
  view.track.querySelectorAll(".marker").forEach((node) => node.remove());
  for (const marker of data.markers ?? []) {
    const share = clamp(marker.epoch / last, 0, 1);
    element(view.track, "span", { class: "marker", style: `left:calc(8px + ${share} * (100% - 16px))`, tabindex: 0, role: "note", "aria-label": `epoch ${marker.epoch}: ${marker.label}`, "data-label": `epoch ${marker.epoch}: ${marker.label}` });
  }
}

// --- the card of one block

function card(view, slot, conv) {
  view.hovered = slot;
  view.hoveredConv = conv;
  const box = view.card;
  box.classList.toggle("on", Boolean(slot));
  if (!slot) return;
  const { block } = slot, epoch = view.epoch, now = state(view, block, epoch), costs = cost(view, slot, epoch);
  box.replaceChildren();
  const skips = { identity: "identity skip", pad: "padded skip", projection: "1×1 projection on the skip", concat: "its input goes on beside what it adds (concatenation)", gate: "a gate: its input goes on, multiplied by what it gives", none: "no skip" };
  element(box, "h4", {}, /^\d/.test(block.label) ? `Block ${block.label}` : block.label);
  element(box, "p", {}, `${block.path} · ${skips[block.skip] ?? block.skip}`);
  if (now.dead) element(box, "p", { class: "alarm" }, `† died at epoch ${deathEpoch(view, block, epoch)}${block.skip === "none" ? "" : block.skip === "concat" || block.skip === "gate" ? "; its input goes on without it" : "; the skip carries the signal"}`);
  else if (now.dying) element(box, "p", { class: "alarm" }, now.fading ? `▼ dying: factor at ${percent(Math.abs(now.factor) / now.start)} of its start` : `▼ dying: lost ${now.lost} of ${now.total} in ${LOST_EPOCHS} epochs`);
  const table = element(box, "table");
  const row = (cells, tag = "td", here = false) => {
    const line = element(table, "tr", here ? { class: "here" } : {});
    cells.forEach((text) => element(line, tag, {}, text));
  };
  row(["", "alive", "MACs", "params"], "th");
  let macs = 0, allMacs = 0, params = 0, allParams = 0;
  block.convs.forEach((c, i) => {
    const alive = now.dead ? 0 : c.site ? (at(view.alive[c.site], epoch) ?? c.total) : c.total;
    row([c.label ?? c.path, c.site || now.dead ? `${alive}/${c.total}` : `${c.total}, fixed`, short(costs[i].macs), short(costs[i].params)], "td", String(i) === conv);
    macs += costs[i].macs;
    params += costs[i].params;
    allMacs += c.macs ?? 0;
    allParams += c.params ?? 0;
  });
  if (block.convs.length > 1) row(["all", now.sited ? `${now.alive}/${now.total}` : "", short(macs), short(params)]);
  row(["dense", "", short(allMacs), short(allParams)]);
  if (now.factor != null) element(box, "p", {}, `factor ${Number(now.factor.toPrecision(3))} (started at ${Number(now.start.toPrecision(3))})`);
  spark(view, box, block);
  // Beside the block, never over it; inside the view.
  const stage = view.root.getBoundingClientRect(), seat = slot.box.getBoundingClientRect();
  let x = seat.right - stage.left + 12;
  if (x + 268 > stage.width) x = seat.left - stage.left - 268 - 12;
  const tall = box.offsetHeight, y = seat.bottom - stage.top - tall + 10;
  box.style.left = `${round(Math.max(0, x))}px`;
  box.style.top = `${round(clamp(y, 0, Math.max(0, stage.height - tall)))}px`;
}

function spark(view, box, block) {
  const count = view.data.epoch_now + 1;
  if (count < 2) return;
  const factors = block.block_site ? view.factor[block.block_site] : null;
  const shares = Array.from({ length: count }, (_, e) => {
    const s = state(view, block, e);
    return s.dead ? 0 : s.total ? s.alive / s.total : factors?.length ? Math.abs(s.factor) / (s.start || 1) : 1;
  });
  const told = block.convs.some((c) => c.site) ? `share of ${unitsOf([block])} alive, over the epochs` : "factor as a share of its start, over the epochs";
  element(box, "p", { class: "label" }, told);
  const svg = element(box, "svg", { viewBox: "0 0 100 34", preserveAspectRatio: "none" });
  const x = (e) => (100 * e) / (count - 1), y = (share) => 33 - 30 * Math.min(1.05, share);
  element(svg, "path", { class: "base", d: "M0 33H100" });
  element(svg, "path", { class: "spark", d: shares.map((s, e) => `${e ? "L" : "M"}${x(e).toFixed(1)} ${y(s).toFixed(1)}`).join("") });
  element(svg, "path", { class: "here", d: `M${x(view.epoch).toFixed(1)} 0V34` });
}

// --- moving through the epochs

function go(view, epoch) {
  const target = clamp(epoch, 0, view.data.epoch_now);
  view.following = target >= view.data.epoch_now;
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
  if (view.epoch >= view.data.epoch_now) show(view, 0);
  const pace = clamp(9000 / Math.max(1, view.data.epoch_now), 70, 450);
  view.root.classList.toggle("brisk", pace < 330);
  view.timer = setInterval(() => {
    if (view.epoch >= view.data.epoch_now) {
      view.following = true;
      pause(view);
    } else {
      view.following = false;
      show(view, view.epoch + 1);
    }
  }, pace);
}

function key(view, event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const moves = { ArrowLeft: view.epoch - 1, ArrowRight: view.epoch + 1, Home: 0, End: view.data.epoch_now };
  if (event.key in moves) {
    event.preventDefault();
    stop(view);
    go(view, moves[event.key]);
    clearTimeout(view.rest);
    view.rest = setTimeout(() => release(view), 350);
  } else if (event.key === " " && event.target.tagName !== "BUTTON") {
    event.preventDefault();
    view.play.onclick();
  } else if (event.key === "Escape") {
    card(view, null);
  }
}

// --- a picture to keep: the tree with every computed style written into it

const KEPT = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "opacity", "font-family", "font-size", "font-weight", "text-anchor", "transform"];

function picture(view) {
  const copy = view.svg.cloneNode(true);
  const from = view.svg.querySelectorAll("*"), to = copy.querySelectorAll("*");
  from.forEach((node, i) => {
    const style = getComputedStyle(node);
    to[i].setAttribute("style", KEPT.map((name) => `${name}:${style.getPropertyValue(name).replace(/"/g, "'")}`).join(";"));
    for (const name of ["class", "tabindex", "role", "data-conv", "aria-pressed"]) to[i].removeAttribute(name);
  });
  copy.querySelectorAll("rect").forEach((rect, i) => {
    if (view.svg.querySelectorAll("rect")[i].classList.contains("hit")) rect.setAttribute("style", "fill:none");
  });
  const box = view.svg.viewBox.baseVal;
  const paper = document.createElementNS(SVG, "rect");
  put(paper, { width: box.width, height: box.height, fill: getComputedStyle(view.root).getPropertyValue("--paper").trim() });
  copy.prepend(paper);
  const title = document.createElementNS(SVG, "title");
  title.textContent = view.svg.getAttribute("aria-label");
  copy.prepend(title);
  copy.setAttribute("xmlns", SVG);
  copy.removeAttribute("class");
  return new XMLSerializer().serializeToString(copy);
}

function save(view) {
  const address = URL.createObjectURL(new Blob([picture(view)], { type: "image/svg+xml" }));
  const name = `${String(view.data.network ?? "network").replace(/[^\w-]+/g, "-")}-epoch-${view.epoch}.svg`;
  const link = element(view.root, "a", { href: address, download: name, hidden: "" });
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
