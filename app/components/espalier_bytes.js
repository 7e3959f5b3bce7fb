// A run's history as bytes, opened once (espalier_bytes.py says what is in it). Joined with espalier.js.

async function opened(text) {
  const squeezed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([squeezed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const whole = await new Response(stream).arrayBuffer();
  const length = new DataView(whole).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(whole, 4, length)));
  const arrays = {};
  let from = 4 + length;
  for (const [name, kind, shape] of head.arrays) {
    const Kind = kind === "u1" ? Uint8Array : Uint16Array;
    const size = shape.reduce((product, n) => product * n, 1) * Kind.BYTES_PER_ELEMENT;
    arrays[name] = new Kind(whole.slice(from, from + size));
    from += size;
  }
  const epochs = head.arrays.find(([name]) => name === "counts")[2][1];
  const norms = head.norm_sites.length ? rows(arrays.norms, head.norm_sites, epochs) : {};
  return {
    ...head,
    alive: rows(arrays.counts, head.sites, epochs),
    factor: Object.fromEntries(Object.entries(head.factor).map(([site, series]) => [site, unthinned(series)])),
    norms: Object.fromEntries(head.norm_sites.map((site, i) => [site, { start: head.starts[i], percents: norms[site] }])),
    units: head.units.length ? unitsByName(head.units, arrays.flips, arrays.moments) : {},
  };
}

// Differences back into counts, one row a site.
function rows(differences, names, length) {
  for (let i = 0; i < names.length; i++) {
    for (let e = 1; e < length; e++) differences[i * length + e] += differences[i * length + e - 1];
  }
  return Object.fromEntries(names.map((name, i) => [name, differences.subarray(i * length, (i + 1) * length)]));
}

// A sampled series is {every, count, values}: each value holds until the next, and the last one is the newest.
function unthinned(series) {
  if (Array.isArray(series)) return series;
  return Array.from({ length: series.count }, (_, e) => (e === series.count - 1 ? series.values.at(-1) : series.values[Math.floor(e / series.every)]));
}

// By site, of every unit the epochs at which it became weak or recovered, and those at which it died or came back.
function unitsByName(names, flips, moments) {
  const all = flips.length / 2, starts = new Uint32Array(flips.length + 1);
  for (let i = 0; i < flips.length; i++) starts[i + 1] = starts[i] + flips[i];
  const found = {};
  let unit = 0;
  for (const [name, total] of names) {
    const first = unit;
    const moment = (plane, i) => moments.subarray(starts[plane * all + first + i], starts[plane * all + first + i + 1]);
    found[name] = { total, weak: (i) => moment(0, i), dead: (i) => moment(1, i) };
    unit += total;
  }
  return found;
}

function flipped(moments, epoch) {
  let times = 0;
  while (times < moments.length && moments[times] <= epoch) times++;
  return times;
}

const DEAD = 0, DYING = 1, ALIVE = 2;

function unitState(units, i, epoch) {
  if (flipped(units.dead(i), epoch) % 2) return DEAD;
  return flipped(units.weak(i), epoch) % 2 ? DYING : ALIVE;
}

// The epoch since which a unit is what it is.
function unitSince(units, i, epoch) {
  const dead = units.dead(i), deaths = flipped(dead, epoch), weak = units.weak(i), weaknesses = flipped(weak, epoch);
  if (deaths % 2) return dead[deaths - 1];
  return Math.max(deaths ? dead[deaths - 1] : 0, weaknesses ? weak[weaknesses - 1] : 0);
}
