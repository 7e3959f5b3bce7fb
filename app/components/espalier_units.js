// Unit by unit: filters as squares, conv groups as strips, filter shapes as grids of taps. Joined with espalier.js.

// Paths for the living (one for each nested level), the dying and the dead; one path draws them all.
function marks(view, parent, levels) {
  const living = levels ? [...levels, Infinity].map((kept, k) => ({ kept, path: element(parent, "path", { class: `unit level${hue(view, Math.min(k, view.levels.count - 1))}` }) })) : [{ kept: Infinity, path: element(parent, "path", { class: "unit alive" }) }];
  return { living, dying: element(parent, "path", { class: "unit dying-unit" }), dead: element(parent, "path", { class: "unit dead-unit" }) };
}

// Rows and columns of a bar's squares; what is no square has the width of a strip.
function grid(entry, cell) {
  if (entry.form !== "squares") return (entry.wide = entry.form === "strips" ? 28 : 14);
  entry.rows = Math.ceil(Math.sqrt(entry.total));
  if (entry.rows * cell > 150) entry.rows = Math.floor(150 / cell);
  entry.columns = Math.ceil(entry.total / entry.rows);
  entry.cell = cell;
  return (entry.wide = entry.columns * cell);
}

function seatOf(place, unit) {
  const { x, top } = place;
  if (place.form === "strips") return [x, top + (unit * place.height) / place.total, place.width, place.height / place.total];
  return [x + (unit % place.columns) * place.cell, top + Math.floor(unit / place.columns) * place.cell, place.cell, place.cell];
}

// The unit under a point of the drawing; null where there is none.
function unitIn(place, x, y) {
  const column = Math.floor((x - place.x) / place.cell), row = Math.floor((y - place.top) / place.cell);
  if (place.form !== "strips" && (column < 0 || column >= place.columns)) return null;
  const unit = place.form === "strips" ? Math.floor(((y - place.top) * place.total) / place.height) : row * place.columns + column;
  return unit >= 0 && unit < place.total ? unit : null;
}

function unitAt(view, slot, bar, event) {
  const entry = slot.bars[bar ?? -1];
  if (!entry?.marks) return null;
  const corner = view.svg.getBoundingClientRect();
  return unitIn(entry, event.clientX - corner.left, event.clientY - corner.top);
}

function drawUnits(view, place, hidden, epoch) {
  const units = view.units[place.site];
  const states = new Uint8Array(units.total), seat = [place.x, place.top, place.cell, place.width].join();
  for (let i = 0; i < units.total; i++) states[i] = hidden ? 3 : unitState(units, i, epoch);
  if (place.seat === seat && place.states?.every((s, i) => s === states[i])) return;
  Object.assign(place, { states, seat });
  const living = place.marks.living.map(() => ""), gap = place.form === "strips" ? 0.18 : place.cell >= 6 ? 0.14 : 0.2;
  let dying = "", dead = "";
  for (let i = 0; i < units.total; i++) {
    const [x, y, wide, high] = seatOf(place, i), thin = Math.max(0.5, gap * high);
    const side = place.form === "strips" ? wide : wide - thin;
    if (states[i] === ALIVE) living[place.marks.living.findIndex(({ kept }) => i < kept)] += box(x, y, side, high - thin);
    if (states[i] === DYING) dying += place.form === "strips" ? box(x, y, side * 0.5, high - thin) : box(x + wide * 0.22, y + high * 0.22, wide * 0.48, high * 0.48);
    if (states[i] === DEAD) dead += crossed(place, x, y, wide, high);
  }
  place.marks.living.forEach(({ path }, k) => put(path, { d: living[k] }));
  put(place.marks.dying, { d: dying });
  put(place.marks.dead, { d: dead });
}

function crossed(place, x, y, wide, high) {
  if (place.form === "strips") return `M${round(x + wide * 0.3)} ${round(y + high / 2)}h${round(wide * 0.4)}`;
  const arm = high * 0.2, cx = x + wide * 0.43, cy = y + high * 0.43;
  return `M${round(cx - arm)} ${round(cy - arm)}l${round(2 * arm)} ${round(2 * arm)}m0 ${round(-2 * arm)}l${round(-2 * arm)} ${round(2 * arm)}`;
}

// --- filter shapes: one cell for each tap of the kernel, as strong as the share of its shapes that live

function tapCells(entry, cell) {
  const { taps } = entry;
  taps.size = taps.side * cell;
  taps.sites.forEach((_, i) => {
    taps.cells[i] ??= element(taps.group, "rect", { class: "tap" });
    put(taps.cells[i], { x: round((i % taps.side) * cell), y: round(Math.floor(i / taps.side) * cell), width: round(cell * 0.86), height: round(cell * 0.86) });
  });
}

function drawTaps(view, taps, epoch, hidden) {
  taps.sites.forEach((site, i) => {
    const share = hidden ? 0 : at(view.alive[site], epoch) / taps.total;
    mark(taps.cells[i], "gone", share === 0);
    put(taps.cells[i], { "fill-opacity": share ? Math.round(100 * (0.12 + 0.88 * share ** 1.5)) / 100 : 0 });
  });
}

function tapWords(view, taps, epoch) {
  const alive = taps.sites.reduce((sum, site) => sum + at(view.alive[site], epoch), 0), all = taps.total * taps.sites.length;
  const whole = taps.sites.filter((site) => at(view.alive[site], epoch) === 0).length;
  return `${count(alive)} of ${count(all)} filter shapes alive${whole ? `; ${whole} of ${taps.sites.length} taps need no look at the image` : ""}`;
}
