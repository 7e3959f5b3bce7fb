// One epoch of one box, and the trunk. Joined with espalier.js.

function draw(view, slot, now, epoch) {
  const { block, g, ground } = slot;
  const picked = view.data.selected?.site ?? null;
  const holds = picked != null && slot.blocks.some((b) => picked === b.block_site || picked === b.path || b.convs.some((c) => c.site === picked || c.path === picked));
  mark(g, "dead", now.dead);
  mark(g, "dying", now.dying);
  mark(g, "selected", holds);
  // A dead box shrinks, unless the run behind it still lives there.
  const height = now.dead && !(view.ghost && ghostKept(view, slot, epoch)) ? Math.min(slot.boxHeight, slot.compact ? 22 : 38) : slot.boxHeight;
  const top = now.dead && slot.chain ? slot.trunkY - height / 2 : ground + slot.pad - height;
  put(slot.box, { y: round(top), height: round(height) });
  put(slot.ring, { y: round(top - 3.5), height: round(height + 7) });
  for (const entry of slot.bars) drawBar(view, slot, entry, now, epoch, picked);
  const arm = slot.compact ? 2.6 : 6, middle = top + height / 2;
  put(slot.cross, { d: `M${round(slot.mid - arm)} ${round(middle - arm)}l${2 * arm} ${2 * arm}m0 ${-2 * arm}l${-2 * arm} ${2 * arm}` });
  // The branch thins with the factor that scales it.
  const vigour = now.start > 0 ? clamp(Math.abs(now.factor) / now.start, 0, 1.3) : 1;
  put(slot.wire, { "stroke-width": round((slot.compact ? 0.7 : 1.1) + (slot.compact ? 1 : 1.9) * vigour) });
  const sign = now.dead ? "†" : now.dying ? "▼" : "";
  const died = now.dead ? deathOf(view, slot, epoch) : null;
  say(slot.name, slot.compact ? (now.dead ? (slot.short && "†") : slot.short) : slot.short);
  const counted = now.dead ? `† ${slot.narrow ? "" : "epoch "}${died}` : now.sited ? `${sign && sign + " "}${now.alive}/${now.total}` : now.factor != null ? `${sign && sign + " "}${now.factor.toPrecision(2)}` : sign;
  say(slot.count, slot.compact ? "" : counted);
  put(slot.name, { y: slot.compact ? -4 : -20 });
  put(slot.count, { y: -5 });
  const shift = `translate(${round(slot.mid)}px, ${round(top - (slot.compact ? 1 : 4))}px)`;
  if (slot.shift !== shift) slot.words.style.transform = slot.shift = shift;
  const units = now.sited ? `${now.alive} of ${now.total} ${unitsOf(slot.blocks)} alive` : now.dead ? "" : "alive";
  const fate = now.dead ? `dead since epoch ${died}` : now.dying ? "dying" : "";
  const name = slot.blocks.length > 1 ? slot.label : `Block ${block.label}`;
  put(g, { "aria-label": `${name}: ${[units, fate].filter(Boolean).join(", ")}`, "aria-pressed": holds });
}

function drawBar(view, slot, entry, now, epoch, picked) {
  const gone = slot.blocks.length > 1 ? state(view, entry.block, epoch).dead : now.dead;
  const tall = gone ? 0 : entry.height * shareOf(view, entry, epoch);
  mark(entry.outline, "gone", gone && !now.dead);
  mark(entry.outline, "selected", picked != null && entry.convs.some((conv) => picked === conv.site || picked === conv.path) && view.detail !== "stage" && !now.dead);
  if (entry.form === "bar") put(entry.bar, { y: round(entry.ground - tall), height: round(tall) });
  else drawUnits(view, entry, now.dead, epoch);
  entry.tints.forEach((path, i) => {
    const high = Math.min(tall, entry.height * entry.kept[entry.kept.length - 1 - i]);
    put(path, { d: now.dead || high < 0.3 ? "" : box(entry.x, entry.ground - high, entry.width, high) });
  });
  if (entry.taps) drawTaps(view, entry.taps, epoch, now.dead);
  const other = view.ghost && entry.form !== "squares" && entry.convs.some((conv) => view.ghost.alive[conv.site]) ? entry.height * shareOf(view, entry, epoch, view.ghost.alive) : 0;
  put(entry.other, { y: round(entry.ground - other), height: round(other), visibility: other > 0.5 ? "visible" : "hidden" });
}

const box = (x, y, width, height) => `M${round(x)} ${round(y)}h${round(width)}v${round(height)}h${round(-width)}z`;

// The trunk as one shape that swells where the skip path alone carries the signal.
function trunk(view, epoch) {
  const y = view.trunkY, points = [[view.from, 2.4]];
  for (const slot of view.slots) {
    const { dead } = slot.now;
    const bare = slot.skip === "none";
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
