// The tree itself: nodes are made once for a network and a level of detail, and then only moved. Joined with espalier.js.

const DETAILS = ["stage", "block", "convolution", "filter"];

// The boxes of a stage at a level of detail, and the bars in each: a bar is always one step finer than its box.
function boxesOf(stage, detail) {
  const whole = (block) => ({ block, convs: block.convs, label: block.label });
  if (detail === "stage") {
    const first = stage.blocks[0];
    const skip = stage.blocks.every((block) => block.skip === "none") ? "none" : "identity";
    return [{ blocks: stage.blocks, block: first, label: stage.name, skip, bars: stage.blocks.map(whole) }];
  }
  return stage.blocks.map((block) => {
    const fine = block.convs.map((conv) => ({ block, convs: [conv], label: conv.label ?? conv.path }));
    return { blocks: [block], block, label: block.label, skip: block.skip, bars: detail === "block" ? [whole(block)] : fine };
  });
}

function build(view) {
  const { history } = view;
  view.svg.replaceChildren();
  view.root.classList.add("fresh");  // what is new stands where it belongs; only what was there moves
  requestAnimationFrame(() => requestAnimationFrame(() => view.root.classList.remove("fresh")));
  view.slots = [];
  view.stages = [];
  const svg = view.svg;
  view.trunk = element(svg, "path", { class: "trunk" });
  view.image = element(svg, "g");
  for (let i = 0; i < 9; i++) element(view.image, "rect", { class: "pixel", x: (i % 3) * 6 - 9, y: Math.floor(i / 3) * 6 - 9, width: 5, height: 5, rx: 1, opacity: [0.35, 0.9, 0.55, 0.9, 0.4, 0.95, 0.5, 0.95, 0.75][i] });
  view.imageText = element(svg, "text", { class: "soft end" }, history.input ?? "image");
  const number = Number(String(history.classes ?? "").match(/\d+/)?.[0] ?? 10);
  view.classes = element(svg, "g");
  view.fan = clamp(number, 2, 10);
  for (let i = 0; i < view.fan; i++) element(view.classes, "circle", { class: "class", r: 2.6, cx: 0, cy: 0 });
  view.fanLines = element(view.classes, "path", { class: "branch", "stroke-width": 1.2, opacity: 0.55 });
  const classes = String(history.classes ?? "classes");
  view.classText = element(svg, "text", { class: "soft end" }, /^\d+$/.test(classes) ? `${classes} classes` : classes);
  for (const stage of history.stages) {
    const head = {
      rule: element(svg, "path", { class: "stage-rule" }),
      name: element(svg, "text", { class: "stage-name" }),
      note: element(svg, "text", { class: "soft" }),
      words: [view.detail === "stage" ? "" : stage.name, stage.note ?? ""],
      foot: element(svg, "text", { class: "soft" }),
      slots: [],
    };
    view.stages.push(head);
    for (const box of boxesOf(stage, view.detail)) {
      const slot = branch(view, box);
      head.slots.push(slot);
      view.slots.push(slot);
    }
  }
  let before = null;
  view.limbs = history.stages.flatMap((stage) => stage.blocks).map((block) => (before = { block, before }));
  const convs = view.limbs.flatMap((limb) => limb.block.convs), root = view.root;
  const widths = view.slots.flatMap((slot) => slot.bars.map((bar) => bar.total));
  view.widest = Math.max(1, ...widths);
  // Heights go with the root of the width; with a lower power where the narrowest would otherwise vanish.
  view.power = Math.min(0.5, Math.log(0.25) / Math.min(-1e-9, Math.log(Math.min(...widths) / view.widest)));
  root.classList.toggle("no-fixed", convs.every((conv) => conv.site));
  root.classList.toggle("no-skip", view.limbs.every((limb) => limb.block.skip === "none"));
  root.classList.toggle("no-taps", !Object.keys(history.taps ?? {}).length);
  root.classList.toggle("no-strips", !convs.some((conv) => conv.site?.endsWith("/group")));
  root.classList.toggle("crowded", view.slots.length > 40 || view.detail === "filter");
  view.width = null;
}

function branch(view, box) {
  const g = element(view.svg, "g", { class: "block", role: "button", tabindex: 0 });
  const slot = { ...box, g };
  slot.hit = element(g, "rect", { class: "hit" });
  slot.gap = element(g, "path", { class: "gap" });
  if (slot.skip === "none") slot.wire = element(g, "path", { class: "branch" });
  slot.box = element(g, "rect", { class: "box" });
  slot.ring = element(g, "rect", { class: "ring" });
  slot.wire ??= element(g, "path", { class: "branch" });
  slot.join = element(g, "circle", { class: "join" });
  if (slot.skip === "projection") slot.mark = element(g, "rect", { class: "mark" });
  if (slot.skip === "pad") slot.mark = element(g, "path", { class: "mark" });
  slot.bars = box.bars.map((bar, index) => grown(view, g, bar, index));
  slot.cross = element(g, "path", { class: "cross" });
  slot.words = element(g, "g", { class: "label" });
  slot.name = element(slot.words, "text", { class: "name" });
  slot.count = element(slot.words, "text", { class: "soft state" });
  const barAt = (target) => target?.closest?.("[data-bar]")?.dataset.bar;
  g.onclick = (event) => pick(view, slot, barAt(event.target), unitAt(view, slot, barAt(event.target), event));
  g.onkeydown = (event) => walk(view, slot, event);
  g.onpointermove = (event) => card(view, slot, barAt(event.target), unitAt(view, slot, barAt(event.target), event));
  g.onpointerleave = () => card(view, null);
  g.onfocus = () => g.matches(":focus-visible") && card(view, slot);
  g.onblur = () => card(view, null);
  return slot;
}

// One bar: its outline, the other run behind it, what lives of it as a bar or unit by unit, levels as tints, and its taps.
function grown(view, g, bar, index) {
  const sited = bar.convs.filter((conv) => conv.site);
  const conv = bar.convs.length === 1 ? bar.convs[0] : null;
  const total = (sited.length ? sited : bar.convs).reduce((sum, c) => sum + c.total, 0);
  const fine = conv?.site && view.units[conv.site] && (view.detail === "filter" || (view.detail === "convolution" && conv.site.endsWith("/group")));
  const form = !fine ? "bar" : conv.site.endsWith("/group") ? "strips" : "squares";
  const fixed = sited.length ? "" : " fixed";
  const entry = { ...bar, conv, total, form, site: conv?.site ?? null };
  entry.other = element(g, "rect", { class: "other" });
  entry.outline = element(g, "rect", { class: `outline${fixed} as-${form}`, "data-bar": index });
  entry.bar = element(g, "rect", { class: `bar${fixed}` });
  const kept = conv ? view.levels?.kept[conv.path] : null;
  entry.kept = form === "bar" ? kept ?? null : null;
  entry.tints = (entry.kept ?? []).map((_, i) => element(g, "path", { class: `tint level${hue(view, entry.kept.length - 1 - i)}` }));
  if (fine) entry.marks = marks(view, g, view.levels?.units?.[conv.path]);
  const taps = conv && view.detail !== "block" ? view.history.taps?.[conv.path] : null;
  if (taps) entry.taps = { ...taps, group: element(g, "g", { class: "taps" }), cells: [] };
  return entry;
}

// Levels have six hues, the core's and the full level's always the same; halves go down, as in the figures.
function hue(view, level) {
  return Math.ceil((level * 5) / Math.max(1, view.levels.count - 1) - 0.5);
}

// Where everything stands, from the width there is: full, medium or compact boxes; below that the tree scrolls in itself.
function place(view) {
  const width = view.scroll.clientWidth || 1100;
  if (view.width === width) return;
  view.width = width;
  const chain = view.slots.every((slot) => slot.skip === "none"), filter = view.detail === "filter";
  const left = 52, right = chain ? 78 : 62, between = 16;
  const side = Math.ceil(Math.sqrt(view.widest));
  let cell = clamp(Math.floor(118 / side), 4, 11);
  const weigh = (slot) => {
    if (filter) return slot.bars.reduce((sum, entry) => sum + entry.wide + 6, 22);
    return view.detail === "stage" ? 2.6 + 0.4 * slot.bars.length : 1.1 + slot.bars.length;
  };
  const weightAt = (size) => {
    view.slots.forEach((slot) => slot.bars.forEach((entry) => grid(entry, size)));
    return view.slots.reduce((sum, slot) => sum + weigh(slot), 0);
  };
  const free = width - left - right - between * (view.stages.length - 1);
  while (filter && cell > 6 && weightAt(cell) > free) cell--;
  const weight = weightAt(cell);
  const smallest = 14 / Math.min(...view.slots.map(weigh));
  const unit = filter ? clamp(free / weight, 1, 1.5) : clamp(free / weight, smallest, view.slots.length < 8 ? 84 : 62);
  const spread = view.stages.length > 1 ? clamp((free - unit * weight) / (view.stages.length - 1), 0, 60) : 0;
  const pitch = (unit * weight) / view.slots.length;
  const compact = pitch < 40;
  view.svg.classList.toggle("compact", compact);
  const head = 50, label = compact ? 18 : 36, pad = compact ? 4 : 9;
  const tall = filter ? cell * side : compact ? 108 : 118;
  view.slots.forEach((slot) => measure(view, slot, unit * weigh(slot), { tall, pad, compact }));
  const highest = Math.max(...view.slots.map((slot) => slot.highest));
  const ground = head + label + pad + Math.max(highest, 60);
  const rise = compact ? 20 : 30;
  const trunkY = chain ? ground - highest / 2 : ground + rise;
  const footY = chain ? ground + pad + 22 : trunkY + 31;
  const full = left + right + unit * weight + (between + spread) * (view.stages.length - 1);
  const total = Math.max(width, full);
  const start = left + Math.max(0, width - full) / 2;
  view.trunkY = trunkY;
  const height = footY + 9;
  put(view.svg, { width: round(total), height, viewBox: `0 0 ${round(total)} ${height}` });
  let x = start;
  view.stages.forEach((stage, index) => {
    const from = x;
    stage.slots.forEach((slot) => {
      seat(slot, x, { ground: chain ? trunkY + slot.highest / 2 : slot.skip === "none" ? trunkY : ground, trunkY, pad, compact, chain });
      x += slot.width;
    });
    stage.width = x - from;
    title(stage, stage.width + (index < view.stages.length - 1 ? between : 40));
    put(stage.rule, { d: `M${round(from + 2)} ${head - 3}H${round(x - 2)}` });
    put(stage.name, { x: round(from + 2), y: 16 });
    put(stage.note, { x: round(from + 2), y: 34 });
    put(stage.foot, { x: round((from + x) / 2), y: footY, "text-anchor": "middle" });
    if (index < view.stages.length - 1) x += between + spread;
  });
  thinNames(view, compact);
  view.from = start - 26;
  view.to = x + (chain ? 36 : 20);
  put(view.image, { transform: `translate(${round(view.from - 9)} ${trunkY})` });
  put(view.imageText, { x: round(view.from - 18), y: trunkY + 31, "text-anchor": "start" });
  fan(view);
  put(view.classText, { x: round(view.to + 34), y: trunkY + 31, "text-anchor": "end" });
}

// A stage's name and note, as much as there is room for: its number alone, and no note, where it is narrow.
function title(stage, room) {
  const [name, note] = stage.words;
  stage.name.textContent = 7.4 * name.length <= room ? name : name.replace("Stage ", "");
  stage.note.textContent = 6.4 * note.length <= room ? note : "";
}

// Names thin out when they would touch.
function thinNames(view, compact) {
  let free = -1e9;
  view.slots.forEach((slot) => {
    const name = compact ? String(slot.label).split(".").pop() : String(slot.label);
    const half = compact ? name.length * 3.4 : 0;
    const shown = !compact || slot.mid - half > free + 2;
    if (shown) free = slot.mid + half;
    slot.short = shown ? name : "";
    slot.narrow = slot.width < 72;
  });
}

function fan(view) {
  const x = view.to, step = Math.min(6.4, 36 / view.fan), first = (-step * (view.fan - 1)) / 2;
  let lines = "";
  [...view.classes.querySelectorAll("circle")].forEach((dot, i) => {
    const y = first + i * step;
    put(dot, { cx: round(x + 30), cy: round(view.trunkY + y), r: Math.min(2.6, step * 0.42) });
    lines += `M${round(x)} ${view.trunkY}C${round(x + 14)} ${view.trunkY} ${round(x + 14)} ${round(view.trunkY + y)} ${round(x + 26)} ${round(view.trunkY + y)}`;
  });
  put(view.fanLines, { d: lines });
}

// How large the bars of a box are in the width it has.
function measure(view, slot, width, { tall, pad, compact }) {
  const margin = compact ? clamp(width * 0.08, 1, 3) : clamp(width * 0.07, 4, 9);
  const boxWidth = width - 2 * margin, inner = boxWidth - 2 * (compact ? 1.5 : pad), many = slot.bars.length;
  const space = compact ? Math.max(0.8, inner * 0.06) : view.detail === "stage" ? clamp(inner * 0.012, 1.5, 6) : clamp(inner * 0.1, 4, 12);
  const barWidth = clamp((inner - space * (many - 1)) / many, 1.5, { stage: 56, block: 40 }[view.detail] ?? (view.slots.length < 8 ? 40 : 28));
  let highest = 20;
  slot.bars.forEach((entry) => {
    const squares = entry.form === "squares";
    entry.width = view.detail === "filter" ? entry.wide : barWidth;
    entry.height = squares ? entry.rows * entry.cell : Math.max(6, tall * (entry.total / view.widest) ** view.power);
    if (entry.form === "strips") entry.height = Math.max(entry.height, Math.min(tall, 2.8 * entry.total));
    if (entry.taps) tapCells(entry, clamp(entry.width / entry.taps.side, 1.5, 5));
    highest = Math.max(highest, entry.height + (entry.taps ? entry.taps.size + 6 : 0));
  });
  Object.assign(slot, { width, margin, boxWidth, space: view.detail === "filter" ? 6 : space, highest });
}

function seat(slot, x, room) {
  const { ground, trunkY, pad, compact, chain } = room;
  const { width, boxWidth } = slot, boxX = x + slot.margin;
  const barsWidth = slot.bars.reduce((sum, entry) => sum + entry.width + slot.space, -slot.space);
  let barX = boxX + (boxWidth - barsWidth) / 2;
  Object.assign(slot, { x, mid: x + width / 2, ground, trunkY, compact, chain, boxY: ground - slot.highest - pad - 2, boxHeight: slot.highest + 2 * pad + 2, pad });
  const above = compact ? 16 : 36;
  put(slot.hit, { x: round(x), y: round(slot.boxY - above), width: round(width), height: round(Math.max(trunkY + 8, ground + pad) - slot.boxY + above) });
  const corner = compact ? Math.min(4, boxWidth / 3) : 11;
  put(slot.box, { x: round(boxX), width: round(boxWidth), rx: round(corner) });
  put(slot.ring, { x: round(boxX - 3.5), width: round(boxWidth + 7), rx: round(corner + 3) });
  slot.bars.forEach((entry) => {
    const rx = entry.form === "squares" ? 2 : round(Math.min(4.5, entry.width / 3.2)), top = round(ground - 3 - entry.height);
    const around = entry.form === "squares" ? 2 : 0;
    Object.assign(entry, { x: barX, top, ground: ground - 3 });
    put(entry.outline, { x: round(barX - around), width: round(entry.width + 2 * around), rx, y: round(top - around), height: round(entry.height + 2 * around) });
    put(entry.bar, { x: round(barX), width: round(entry.width), rx });
    const rim = Math.min(3, slot.space / 2.2);
    put(entry.other, { x: round(barX - rim), width: round(entry.width + 2 * rim), rx: round(rx + 1) });
    if (entry.taps) put(entry.taps.group, { transform: `translate(${round(barX + (entry.width - entry.taps.size) / 2)} ${round(top - 5 - entry.taps.size)})` });
    barX += entry.width + slot.space;
  });
  const bend = Math.min(compact ? 7 : 16, width * 0.2), end = x + width;
  if (slot.skip === "none") {
    put(slot.wire, { d: `M${round(x)} ${trunkY}H${round(end)}` });
    put(slot.join, { r: 0 });
    put(slot.gap, { d: `M${round(x + 2)} ${trunkY}H${round(end - 2)}` });
  } else {
    put(slot.wire, { d: `M${round(x)} ${trunkY}C${round(x + bend * 0.7)} ${trunkY} ${round(x + bend * 0.5)} ${ground} ${round(x + bend * 1.2)} ${ground}H${round(end - bend * 1.2 - 2)}C${round(end - bend * 0.5 - 2)} ${ground} ${round(end - bend * 0.7 - 2)} ${trunkY} ${round(end - 2)} ${trunkY}` });
    put(slot.join, { cx: round(end - (compact ? 1.5 : 3)), cy: trunkY, r: compact ? 1.8 : 3.6 });
    put(slot.gap, { d: "" });
  }
  const size = compact ? 5 : 8;
  if (slot.skip === "projection") put(slot.mark, { x: round(slot.mid - size / 2), y: round(trunkY - size / 2), width: size, height: size, rx: 1.5, transform: `rotate(45 ${round(slot.mid)} ${trunkY})` });
  if (slot.skip === "pad") put(slot.mark, { d: `M${round(slot.mid - size / 2)} ${trunkY - size * 0.75}v${size * 1.5}l${size} ${-size * 0.75}z` });
}
