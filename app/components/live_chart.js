// A Plotly figure that keeps its node, zoom and selection while its data grows: Plotly.react with a constant uirevision.

const known = (window.espalierFigures ??= new Map());  // by name: {number, data}, what was sent last, put together
const waiting = new Set();  // figures out of sight that are to be drawn

export default function liveChart({ data: told, parentElement, setTriggerValue }) {
  const data = told && whole(told, setTriggerValue);
  if (!data) return;
  let chart = parentElement.querySelector(".live-chart");
  if (!chart) {
    chart = document.createElement("div");
    chart.className = "live-chart";
    chart.setAttribute("role", "figure");
    parentElement.append(...words(chart, data.title));
    chart.observer = new ResizeObserver(() => chart.drawn && window.Plotly.Plots.resize(chart));
    chart.observer.observe(chart);
  }
  if (data.title) tellWords(chart.words, data);
  chart.style.height = `${data.height}px`;
  chart.setAttribute("aria-label", data.spec.alt ?? "");
  chart.trigger = setTriggerValue;
  chart.wanted = data;
  if (window.Plotly) drawInTurn(chart);
  else {
    chart.onready ??= () => drawInTurn(chart);
    window.addEventListener("plotly-ready", chart.onready, { once: true });
  }
  return () => {
    chart.observer.disconnect();
    window.removeEventListener("plotly-ready", chart.onready);
    waiting.delete(chart);
    if (window.Plotly && chart.drawn) window.Plotly.purge(chart);
    chart.drawn = false;
  };
}

// The title and the sentence above a figure, the figure, and the note below; the figure alone where it has no title.
function words(chart, title) {
  if (!title) return [chart];
  chart.words = Object.fromEntries(["title", "says", "note"].map((name) => [name, document.createElement("p")]));
  const { title: heading, says, note } = chart.words;
  heading.className = "card-title";
  heading.setAttribute("role", "heading");
  heading.setAttribute("aria-level", "3");
  says.className = "takeaway";
  note.className = "figure-note";
  return [heading, says, chart, note];
}

function tellWords(words, { title, spec, note }) {
  for (const [name, text] of [["title", title], ["says", spec.alt], ["note", note]]) if (words[name].textContent !== text) words[name].textContent = text;
  words.note.hidden = !note;
}

// What is on the screen is drawn at once, the rest as soon as the page has nothing else to do.
function drawInTurn(chart) {
  const { top, bottom } = chart.getBoundingClientRect();
  if (top < innerHeight && bottom > 0) {
    waiting.delete(chart);
    draw(chart);
  } else if (!waiting.has(chart)) {
    waiting.add(chart);
    requestIdleCallback(() => waiting.delete(chart) && draw(chart), { timeout: 1000 });
  }
}

// All of a figure, from what was known of it and what changed; where that is not known here, it is asked for.
function whole({ figure, number, since, change, whole }, ask) {
  const before = known.get(figure);
  if (!whole && before?.number === number) return before.data;
  if (!whole && before?.number !== since) {
    ask("missing", number);
    return before?.data;
  }
  const data = whole ?? changed(before.data, change);
  known.set(figure, { number, data });
  return data;
}

// changes.py says what a change is.
function changed(old, change) {
  if (change === 0) return old;
  if (Array.isArray(change)) return change[0];
  if ("k" in change) return [...old.slice(0, change.k), ...change.a];
  if ("n" in change) return Array.from({ length: change.n }, (_, i) => changed(old[i], change.i[i] ?? 0));
  const kept = { ...old };
  for (const key of change.x ?? []) delete kept[key];
  for (const [key, one] of Object.entries(change.o)) kept[key] = changed(kept[key], one);
  return kept;
}

function draw(chart) {
  const { spec, dark, revision } = chart.wanted;
  const style = getComputedStyle(chart);
  const paper = style.getPropertyValue("--st-background-color").trim();
  const swap = isDark(chart, paper) ? dark : {};
  const layout = recolour(spec.layout, swap);
  layout.uirevision ??= revision;
  layout.font = { ...layout.font, family: style.getPropertyValue("--st-font").trim() || "system-ui, sans-serif" };
  layout.autosize = true;
  delete layout.width;
  layout.height = chart.wanted.height;
  const brushes = chart.wanted.chosen ? [] : ["lasso2d", "select2d"];
  const config = { displaylogo: false, responsive: false, displayModeBar: spec.layout.dragmode === false ? false : "hover", modeBarButtonsToRemove: [...brushes, "autoScale2d", "zoomIn2d", "zoomOut2d", "sendChartToCloud"], toImageButtonOptions: { format: "svg", filename: revision } };
  const traces = recolour(spec.data, swap);
  if (chart.wanted.chosen) brush(traces, layout, new Set(chart.wanted.chosen));
  chart.drawing = true;  // what Plotly tells of a brush meanwhile is not a person's doing
  window.Plotly.react(chart, traces, layout, config).then(() => {
    setTimeout(() => (chart.drawing = false));
    if (chart.drawn) return;
    chart.drawn = true;
    chart.on("plotly_click", (event) => {
      const point = event.points?.[0];
      const ofLine = point?.data?.customdata?.length === 1 ? point.data.customdata[0] : null; // one for all its points
      if (point) chart.trigger("picked", { curve: point.curveNumber, x: point.x, y: point.y, customdata: point.customdata ?? ofLine });
    });
    chart.on("plotly_selected", (event) => tell(chart, event?.points ?? []));
    chart.on("plotly_deselect", () => tell(chart, []));
  });
}

// A brushed figure names its points by the first entry of their customdata.
function tell(chart, points) {
  if (chart.wanted.chosen && !chart.drawing) chart.trigger("selected", points.map((point) => point.customdata?.[0]).filter((name) => name !== undefined));
}

// The chosen points stand out, whatever trace they are in by now; with none the brush is lifted.
function brush(traces, layout, chosen) {
  layout.selectionrevision = chosen.size ? "brushed" : "all";
  if (!chosen.size) layout.selections = [];
  for (const trace of traces) {
    if (!trace.customdata) continue;
    const found = trace.customdata.flatMap((about, index) => (chosen.has(about[0]) ? [index] : []));
    trace.selectedpoints = chosen.size ? found : null;
  }
}

function isDark(chart, paper) {
  if (!paper) return matchMedia("(prefers-color-scheme: dark)").matches;
  const probe = document.createElement("i");
  probe.style.color = paper;
  chart.parentNode.append(probe);
  const [r, g, b] = getComputedStyle(probe).color.match(/[\d.]+/g).map(Number);
  probe.remove();
  return 0.3 * r + 0.59 * g + 0.11 * b < 128;
}

// A copy in which every colour of the light palette became its dark twin.
function recolour(value, swap) {
  if (typeof value === "string") return swap[value] ?? value;
  if (Array.isArray(value)) return value.map((item) => recolour(item, swap));
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, recolour(item, swap)]));
  return value;
}
