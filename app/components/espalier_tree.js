// The tree itself: nodes are made once for a network and then only moved. Joined with espalier.js.

function build(view) {
  view.svg.replaceChildren();
  view.slots = [];
  view.stages = [];
  const svg = view.svg;
  view.trunk = element(svg, "path", { class: "trunk" });
  view.image = element(svg, "g");
  for (let i = 0; i < 9; i++) element(view.image, "rect", { class: "pixel", x: (i % 3) * 6 - 9, y: Math.floor(i / 3) * 6 - 9, width: 5, height: 5, rx: 1, opacity: [0.35, 0.9, 0.55, 0.9, 0.4, 0.95, 0.5, 0.95, 0.75][i] });
  view.imageText = element(svg, "text", { class: "soft" }, view.data.input ?? "image");
  const count = Number(String(view.data.classes ?? "").match(/\d+/)?.[0] ?? 10);
  view.classes = element(svg, "g");
  view.fan = clamp(count, 2, 10);
  for (let i = 0; i < view.fan; i++) element(view.classes, "circle", { class: "class", r: 2.6, cx: 0, cy: 0 });
  view.fanLines = element(view.classes, "path", { class: "branch", "stroke-width": 1.2, opacity: 0.55 });
  const classes = String(view.data.classes ?? "classes");
  view.classText = element(svg, "text", { class: "soft" }, /^\d+$/.test(classes) ? `${classes} classes` : classes);
  let before = null;
  for (const stage of view.data.stages) {
    const head = {
      rule: element(svg, "path", { class: "stage-rule" }),
      name: element(svg, "text", { class: "stage-name" }, stage.name),
      note: element(svg, "text", { class: "soft" }, stage.note ?? ""),
      foot: element(svg, "text", { class: "soft" }),
      slots: [],
    };
    view.stages.push(head);
    for (const block of stage.blocks) {
      const slot = branch(view, block, before);
      head.slots.push(slot);
      view.slots.push(slot);
      before = slot;
    }
  }
  const widths = view.slots.flatMap((slot) => slot.block.convs.map((conv) => conv.total));
  view.widest = Math.max(1, ...widths);
  const fixed = view.slots.some((slot) => slot.block.convs.some((conv) => !conv.site));
  view.root.classList.toggle("no-fixed", !fixed);
  view.root.classList.toggle("no-skip", view.slots.every((slot) => slot.block.skip === "none"));
}

function branch(view, block, before) {
  const g = element(view.svg, "g", { class: "block", role: "button", tabindex: 0 });
  const slot = { block, before, g };
  slot.hit = element(g, "rect", { class: "hit" });
  slot.gap = element(g, "path", { class: "gap" });
  slot.box = element(g, "rect", { class: "box" });
  slot.ring = element(g, "rect", { class: "ring" });
  slot.wire = element(g, "path", { class: "branch" });
  slot.join = element(g, "circle", { class: "join" });
  if (block.skip === "projection") slot.mark = element(g, "rect", { class: "mark" });
  if (block.skip === "pad") slot.mark = element(g, "path", { class: "mark" });
  slot.bars = block.convs.map((conv, index) => {
    const fixed = conv.site ? "" : " fixed";
    return {
      conv,
      outline: element(g, "rect", { class: `outline${fixed}`, "data-conv": index }),
      bar: element(g, "rect", { class: `bar${fixed}` }),
    };
  });
  slot.cross = element(g, "path", { class: "cross" });
  slot.label = element(g, "g", { class: "label" });
  slot.name = element(slot.label, "text", { class: "name" });
  slot.count = element(slot.label, "text", { class: "soft state" });
  const pick = (target) => {
    const conv = block.convs[Number(target?.closest?.("[data-conv]")?.dataset.conv ?? -1)];
    const site = conv?.site ?? block.block_site ?? block.convs.find((c) => c.site)?.site ?? null;
    view.sent.add(view.epoch);
    view.setTrigger("picked", { site, path: conv?.path ?? block.path, epoch: view.epoch });
  };
  g.onclick = (event) => pick(event.target);
  g.onkeydown = (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    event.stopPropagation();
    pick(null);
  };
  g.onpointermove = (event) => card(view, slot, event.target.dataset?.conv);
  g.onpointerleave = () => card(view, null);
  g.onfocus = () => g.matches(":focus-visible") && card(view, slot);
  g.onblur = () => card(view, null);
  return slot;
}

// Where everything stands, from the width there is: full, medium or compact boxes; below that the tree scrolls in itself.
function place(view) {
  const width = view.scroll.clientWidth || 1100;
  if (view.width === width && view.placed === view.shape) return;
  view.width = width;
  view.placed = view.shape;
  const left = 52, right = 62, between = 16;
  const weigh = (slot) => 1.1 + slot.bars.length;
  const weight = view.slots.reduce((sum, slot) => sum + weigh(slot), 0);
  const free = width - left - right - between * (view.stages.length - 1);
  const smallest = 14 / Math.min(...view.slots.map(weigh));
  const unit = clamp(free / weight, smallest, 62);
  const spread = view.stages.length > 1 ? clamp((free - unit * weight) / (view.stages.length - 1), 0, 60) : 0;
  const pitch = (unit * weight) / view.slots.length;
  const compact = pitch < 40;
  view.svg.classList.toggle("compact", compact);
  const head = 50, label = compact ? 18 : 36, tall = compact ? 108 : 118, pad = compact ? 4 : 9;
  const ground = head + label + pad + tall;
  const chain = view.slots.every((slot) => slot.block.skip === "none");
  const rise = compact ? 20 : 30;
  const trunkY = ground + (chain ? 0 : rise);
  const full = left + right + unit * weight + (between + spread) * (view.stages.length - 1);
  const total = Math.max(width, full);
  const start = left + Math.max(0, width - full) / 2;
  view.trunkY = trunkY;
  const height = trunkY + (chain ? 46 : 40);
  put(view.svg, { width: round(total), height, viewBox: `0 0 ${round(total)} ${height}` });
  let x = start;
  view.stages.forEach((stage, index) => {
    const from = x;
    stage.slots.forEach((slot) => {
      seat(slot, x, unit * weigh(slot), { ground: slot.block.skip === "none" ? trunkY : ground, trunkY, tall, pad, compact, widest: view.widest });
      x += unit * weigh(slot);
    });
    stage.width = x - from;
    put(stage.rule, { d: `M${round(from + 2)} ${head - 3}H${round(x - 2)}` });
    put(stage.name, { x: round(from + 2), y: 16 });
    put(stage.note, { x: round(from + 2), y: 34 });
    put(stage.foot, { x: round((from + x) / 2), y: trunkY + 31, "text-anchor": "middle" });
    if (index < view.stages.length - 1) x += between + spread;
  });
  // Names thin out when they would touch.
  let free_from = -1e9;
  view.slots.forEach((slot) => {
    const name = compact ? String(slot.block.label).split(".").pop() : String(slot.block.label);
    const half = compact ? name.length * 3.4 : 0;
    const shown = !compact || slot.mid - half > free_from + 2;
    if (shown) free_from = slot.mid + half;
    slot.short = shown ? name : "";
    slot.narrow = slot.width < 72;
  });
  view.from = start - 26;
  view.to = x + 20;
  put(view.image, { transform: `translate(${round(view.from - 9)} ${trunkY})` });
  put(view.imageText, { x: round(view.from - 18), y: trunkY + 31, "text-anchor": "start" });
  fan(view);
  put(view.classText, { x: round(view.to + 34), y: trunkY + 31, "text-anchor": "end" });
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

function seat(slot, x, width, room) {
  const { ground, trunkY, tall, pad, compact, widest } = room;
  const margin = compact ? clamp(width * 0.08, 1, 3) : clamp(width * 0.07, 4, 9);
  const boxX = x + margin, boxWidth = width - 2 * margin;
  const heights = slot.bars.map(({ conv }) => Math.max(6, tall * Math.sqrt(conv.total / widest)));
  const highest = Math.max(...heights, 20);
  const inner = boxWidth - 2 * (compact ? 1.5 : pad);
  const space = compact ? Math.max(0.8, inner * 0.06) : clamp(inner * 0.1, 4, 12);
  const barWidth = clamp((inner - space * (slot.bars.length - 1)) / slot.bars.length, 1.5, 28);
  const barsWidth = barWidth * slot.bars.length + space * (slot.bars.length - 1);
  const first = boxX + (boxWidth - barsWidth) / 2;
  Object.assign(slot, { x, width, mid: x + width / 2, ground, trunkY, compact, boxY: ground - highest - pad - 2, boxHeight: highest + 2 * pad + 2, pad });
  put(slot.hit, { x: round(x), y: round(slot.boxY - (compact ? 16 : 36)), width: round(width), height: round(trunkY + 8 - slot.boxY + (compact ? 16 : 36)) });
  const corner = compact ? Math.min(4, boxWidth / 3) : 11;
  put(slot.box, { x: round(boxX), width: round(boxWidth), rx: round(corner) });
  put(slot.ring, { x: round(boxX - 3.5), width: round(boxWidth + 7), rx: round(corner + 3) });
  slot.bars.forEach((entry, i) => {
    entry.height = heights[i];
    const box = { x: round(first + i * (barWidth + space)), width: round(barWidth), rx: round(Math.min(4.5, barWidth / 3.2)) };
    put(entry.outline, { ...box, y: round(ground - 3 - heights[i]), height: round(heights[i]) });
    put(entry.bar, box);
  });
  const bend = Math.min(compact ? 7 : 16, width * 0.2), end = x + width;
  if (slot.block.skip === "none") {
    put(slot.wire, { d: `M${round(x)} ${trunkY}H${round(end)}` });
    put(slot.join, { r: 0 });
    put(slot.gap, { d: `M${round(x + 2)} ${trunkY}H${round(end - 2)}` });
  } else {
    put(slot.wire, { d: `M${round(x)} ${trunkY}C${round(x + bend * 0.7)} ${trunkY} ${round(x + bend * 0.5)} ${ground} ${round(x + bend * 1.2)} ${ground}H${round(end - bend * 1.2 - 2)}C${round(end - bend * 0.5 - 2)} ${ground} ${round(end - bend * 0.7 - 2)} ${trunkY} ${round(end - 2)} ${trunkY}` });
    put(slot.join, { cx: round(end - (compact ? 1.5 : 3)), cy: trunkY, r: compact ? 1.8 : 3.6 });
    put(slot.gap, { d: "" });
  }
  const size = compact ? 5 : 8;
  if (slot.block.skip === "projection") put(slot.mark, { x: round(slot.mid - size / 2), y: round(trunkY - size / 2), width: size, height: size, rx: 1.5, transform: `rotate(45 ${round(slot.mid)} ${trunkY})` });
  if (slot.block.skip === "pad") put(slot.mark, { d: `M${round(slot.mid - size / 2)} ${trunkY - size * 0.75}v${size * 1.5}l${size} ${-size * 0.75}z` });
}

function draw(view, slot, now, epoch) {
  const { block, g, ground } = slot;
  const picked = view.data.selected?.site ?? null;
  const holds = picked != null && (picked === block.block_site || picked === block.path || block.convs.some((c) => c.site === picked || c.path === picked));
  g.classList.toggle("dead", now.dead);
  g.classList.toggle("dying", now.dying);
  g.classList.toggle("selected", holds);
  const height = now.dead ? Math.min(slot.boxHeight, slot.compact ? 22 : 38) : slot.boxHeight;
  const top = ground + slot.pad - height;
  put(slot.box, { y: round(top), height: round(height) });
  put(slot.ring, { y: round(top - 3.5), height: round(height + 7) });
  for (const entry of slot.bars) {
    const { conv, bar, outline } = entry;
    const share = conv.site ? (at(view.alive[conv.site], epoch) ?? conv.total) / conv.total : 1;
    const tall = now.dead ? 0 : entry.height * share;
    put(bar, { y: round(ground - 3 - tall), height: round(tall) });
    outline.classList.toggle("selected", picked != null && (picked === conv.site || picked === conv.path) && !now.dead);
  }
  const arm = slot.compact ? 2.6 : 6, middle = top + height / 2;
  put(slot.cross, { d: `M${round(slot.mid - arm)} ${round(middle - arm)}l${2 * arm} ${2 * arm}m0 ${-2 * arm}l${-2 * arm} ${2 * arm}` });
  // The branch thins with the factor that scales it.
  const vigour = now.start > 0 ? clamp(Math.abs(now.factor) / now.start, 0, 1.3) : 1;
  put(slot.wire, { "stroke-width": round((slot.compact ? 0.7 : 1.1) + (slot.compact ? 1 : 1.9) * vigour) });
  const mark = now.dead ? "†" : now.dying ? "▼" : "";
  const died = now.dead ? deathEpoch(view, block, epoch) : null;
  say(slot.name, slot.compact ? (now.dead ? (slot.short && "†") : slot.short) : slot.short);
  const counted = now.dead ? `† ${slot.narrow ? "" : "epoch "}${died}` : now.sited ? `${mark && mark + " "}${now.alive}/${now.total}` : now.factor != null ? `${mark && mark + " "}${now.factor.toPrecision(2)}` : mark;
  say(slot.count, slot.compact ? "" : counted);
  put(slot.name, { y: slot.compact ? -4 : -20 });
  put(slot.count, { y: -5 });
  const shift = `translate(${round(slot.mid)}px, ${round(top - (slot.compact ? 1 : 4))}px)`;
  if (slot.shift !== shift) slot.label.style.transform = slot.shift = shift;
  const units = now.sited ? `${now.alive} of ${now.total} ${unitsOf([block])} alive` : now.dead ? "" : "alive";
  const fate = now.dead ? `dead since epoch ${died}` : now.dying ? "dying" : "";
  put(g, { "aria-label": `Block ${block.label}: ${[units, fate].filter(Boolean).join(", ")}`, "aria-pressed": holds });
}

// The trunk as one shape that swells where the skip path alone carries the signal.
function trunk(view, epoch) {
  const y = view.trunkY, points = [[view.from, 2.4]];
  for (const slot of view.slots) {
    const { dead } = state(view, slot.block, epoch);
    const bare = slot.block.skip === "none";
    const half = bare ? (dead ? 0.01 : 1.7) : dead ? (slot.compact ? 3 : 4.2) : slot.compact ? 0.8 : 1.1;
    const bend = Math.min(slot.compact ? 5 : 14, slot.width * 0.2);
    points.push([slot.x + bend, half], [slot.x + slot.width - bend, half]);
  }
  points.push([view.to, 1.4]);
  const half = (list, side) => list.slice(1).map(([x, h], i) => {
    const [px, ph] = list[i], middle = round((px + x) / 2);
    return `C${middle} ${round(y + side * ph)} ${middle} ${round(y + side * h)} ${round(x)} ${round(y + side * h)}`;
  }).join("");
  const back = [...points].reverse();
  put(view.trunk, { d: `M${round(points[0][0])} ${round(y - points[0][1])}${half(points, -1)}L${round(back[0][0])} ${round(y + back[0][1])}${half(back, 1)}Z` });
}
