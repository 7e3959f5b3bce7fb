// The close-up: the selected convolution, unit by unit, under the tree. Joined with espalier.js.

function chosen(view) {
  const site = view.data.selected?.site;
  for (const { block } of view.limbs ?? []) {
    const conv = block.convs.find((c) => c.site && c.site === site);
    if (conv && view.units[site]) return { block, conv };
  }
  return null;
}

function near(view, epoch) {
  const found = chosen(view);
  view.near.hidden = !found;
  if (!found) return (view.nearPlace = null);
  const { conv } = found, wide = view.root.clientWidth || 1100, key = [conv.site, wide, view.shape, conv.total].join();
  if (view.nearPlace?.key !== key) nearBuild(view, conv, wide, key);
  const place = view.nearPlace, units = view.units[conv.site];
  drawUnits(view, place, false, epoch);
  if (place.taps) drawTaps(view, place.taps, epoch, false);
  const found_ = [0, 0, 0];
  place.states.forEach((s) => found_[s]++);
  const noun = unitOf(conv), unit = unitPicked(view, conv);
  const path = conv.path.replace(/\.?[^.]+$/, "");
  say(view.nearName, `${found.block.label}${conv.label && conv.label !== found.block.label ? ` ${conv.label}` : ""}`);
  const parts = [`${found_[ALIVE] + found_[DYING]} of ${conv.total} ${noun}s alive`, found_[DYING] ? `${found_[DYING]} of them dying` : null, place.taps ? tapWords(view, place.taps, epoch) : null];
  say(view.nearNote, ` ${path ? conv.path + " · " : ""}${parts.filter(Boolean).join(" · ")}`);
  put(view.nearSvg, { "aria-label": `${conv.path} at epoch ${epoch}: ${parts.filter(Boolean).join(", ")}` });
  const shown = view.nearHover ?? unit;
  say(view.nearUnit, shown == null ? `Choose a ${noun}: click, or Shift and the arrow keys.` : unitWords(units, noun, shown, epoch));
  const seat = unit == null ? null : seatOf(place, unit);
  put(view.nearRing, seat ? { x: round(seat[0] - 2), y: round(seat[1] - 2), width: round(seat[2] + 2), height: round(seat[3] + 2), visibility: "visible" } : { visibility: "hidden" });
}

function unitPicked(view, conv) {
  const unit = view.data.selected?.unit;
  return unit != null && Number(unit) < conv.total ? Number(unit) : null;
}

function unitWords(units, noun, unit, epoch) {
  const now = unitState(units, unit, epoch), since = unitSince(units, unit, epoch), name = `${noun[0].toUpperCase()}${noun.slice(1)} ${unit}`;
  if (now === DEAD) return `${name}: † dead since epoch ${since}`;
  if (now === DYING) return `${name}: ▼ dying since epoch ${since}: at this pace it is zero within 5 epochs`;
  return `${name}: alive${flipped(units.dead(unit), epoch) ? `, back since epoch ${since}` : ""}`;
}

function nearBuild(view, conv, wide, key) {
  const svg = view.nearSvg, taps = view.history.taps?.[conv.path];
  svg.replaceChildren();
  const side = taps ? 78 : 0, room = wide - side - 46;
  const cell = clamp(Math.floor(Math.sqrt((room * 96) / conv.total)), 6, 20), fit = Math.floor(room / cell), columns = Math.min(conv.total, fit < 16 ? fit : fit - (fit % 8));
  const lines = Math.ceil(conv.total / columns);
  const place = { key, form: "squares", site: conv.site, total: conv.total, x: 34, top: 4, cell, columns, rows: lines, width: columns * cell };
  for (let line = 0; line < lines; line++) {
    if (cell >= 10 || line % 3 === 0) element(svg, "text", { class: "soft", x: 28, y: round(4 + line * cell + cell * 0.72), "text-anchor": "end" }, String(line * columns));
  }
  place.marks = marks(view, svg, view.levels?.units?.[conv.path]);
  if (taps) {
    place.taps = { ...taps, group: element(svg, "g", { class: "taps", transform: `translate(${wide - side} 4)` }), cells: [] };
    tapCells(place, clamp(70 / taps.side, 4, 14));
  }
  view.nearRing = element(svg, "rect", { class: "ring", rx: 3 });
  const height = Math.max(lines * cell, place.taps?.size ?? 0) + 10;
  put(svg, { width: wide, height, viewBox: `0 0 ${wide} ${height}` });
  view.nearPlace = place;
}

function nearListen(view) {
  const unit = (event) => {
    const corner = view.nearSvg.getBoundingClientRect();
    return view.nearPlace && unitIn(view.nearPlace, event.clientX - corner.left, event.clientY - corner.top);
  };
  view.nearSvg.onpointermove = (event) => {
    view.nearHover = unit(event);
    near(view, view.epoch);
  };
  view.nearSvg.onpointerleave = () => {
    view.nearHover = null;
    near(view, view.epoch);
  };
  view.nearSvg.onclick = (event) => pickUnit(view, unit(event));
}

// A unit of the selected convolution, chosen here at once and then everywhere.
function pickUnit(view, unit) {
  const found = chosen(view);
  if (!found || unit == null) return;
  view.data.selected = { ...view.data.selected, unit };
  view.sent.add(view.epoch);
  view.setTrigger("picked", { site: found.conv.site, path: found.conv.path, unit, epoch: view.epoch });
  near(view, view.epoch);
}
