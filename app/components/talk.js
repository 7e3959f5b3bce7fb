// A talk: slides of 1280 x 720, scaled to the room there is. The same file shows them in the dashboard, in a page of its own, and
// draws their pictures (talk_picture.js). Figures are Plotly's, trees are the espalier's own.

const WIDE = 1280, TALL = 720;
const ZOOM = 2;       // a figure is laid out at half of its size on the slide,
const SMALLEST = 12;  // so that no text in it is smaller than 24 of the slide's 720 lines
const TREE_ZOOM = 1.5; // the tree's texts are 16 and more

export default function talk({ data, parentElement, setStateValue, setTriggerValue }) {
  if (!data) return;
  let root = parentElement.querySelector(":scope > .talk");
  if (!root) {
    root = made(data);
    parentElement.append(root);
  }
  const view = root.view;
  view.setState = setStateValue ?? (() => {});
  view.setTrigger = setTriggerValue ?? (() => {});
  root.dataset.look = data.look ?? "light";
  tell(view, data);
  return () => {
    view.observer.disconnect();
    clearTimeout(view.waking);
    clearTimeout(view.resting);
  };
}

function made(data) {
  const root = document.createElement("div");
  root.className = "talk";
  const view = { root, at: 0, asked: 0, sent: new Set(), dismissed: false, sections: [] };
  root.view = view;
  view.stage = data.alone ? root : add(root, "dialog", { class: "stage", "aria-label": "The talk" });
  view.hall = data.alone ? root : add(view.stage, "div", { tabindex: -1 }); // what can fill the screen: a dialog itself cannot
  view.inline = data.alone ? root : add(root, "div", { class: "inline", tabindex: 0, role: "group", "aria-label": "The talk, slide by slide" });
  view.room = add(view.inline, "div", { class: "room" });
  view.steps = add(view.inline, "div", { class: "steps" });
  const button = (text, label, act) => {
    const made = add(view.steps, "button", { type: "button", "aria-label": label, title: label }, text);
    made.onclick = act;
    return made;
  };
  view.back = button("←", "Slide before (left arrow)", () => go(view, view.at - 1));
  view.place = add(view.steps, "span", { class: "place", "aria-live": "polite" });
  view.on = button("→", "Next slide (right arrow)", () => go(view, view.at + 1));
  view.full = button("Full screen", "Full screen (F)", () => fullScreen(view));
  view.leave = button("Leave", "Leave (Escape)", () => view.stage.close?.());
  view.full.hidden = view.leave.hidden = true;
  if (data.alone) {
    document.addEventListener("keydown", (event) => key(view, event));
    whole(view, true);
  } else {
    for (const place of [view.stage, view.inline]) place.addEventListener("keydown", (event) => key(view, event));
    view.stage.addEventListener("close", () => left(view));
  }
  root.addEventListener("pointermove", () => awake(view));
  view.observer = new ResizeObserver(() => fit(view));
  view.observer.observe(view.room);
  return root;
}

function add(parent, name, attributes, text = "") {
  const node = document.createElement(name);
  for (const key in attributes) node.setAttribute(key, attributes[key]);
  node.textContent = text;
  parent.append(node);
  return node;
}

// What is shown now: sections that have not changed stay as they are drawn.
function tell(view, data) {
  const look = data.look ?? "light", known = new Map(view.sections.map((section) => [section.told, section]));
  view.data = data;
  view.sections = data.slides.map((slide) => {
    const told = JSON.stringify([slide, look]);
    const section = known.get(told) ?? sectionOf(slide);
    known.delete(told);
    section.told = told;
    return section;
  });
  known.forEach((section) => section.remove());
  view.sections.forEach((section, place) => view.room.children[place] !== section && view.room.insertBefore(section, view.room.children[place] ?? null));
  const asked = data.at ?? 0;
  if (asked !== view.asked && !view.sent.delete(asked)) view.at = asked; // an echo of one's own step is late news
  if (asked === view.at) view.sent.clear();
  view.asked = asked;
  show(view, Math.min(view.at, data.slides.length - 1));
  if (!data.open) view.dismissed = false;
  if (data.alone) return;
  if (data.open && !view.stage.open && !view.dismissed) enter(view);
  if (data.open) view.entering = false;
  if (!data.open && view.stage.open && !view.entering) view.stage.close(); // what was on its way when the key was pressed closes nothing
}

function sectionOf(slide) {
  const section = document.createElement("section");
  section.className = "slide";
  section.setAttribute("aria-label", slide.title);
  section.slide = slide;
  add(section, "h2", {}, slide.title);
  add(section, "p", { class: "sentence" }, slide.sentence);
  section.drawn = add(section, "div", { class: "drawn" });
  add(section, "p", { class: "foot" }, slide.footer);
  return section;
}

function show(view, at) {
  view.at = Math.max(0, at);
  view.sections.forEach((section, place) => {
    section.classList.toggle("now", place === view.at);
    section.inert = place !== view.at;
  });
  view.place.textContent = `${view.at + 1} of ${view.sections.length}`;
  view.back.disabled = view.at === 0;
  view.on.disabled = view.at === view.sections.length - 1;
  fit(view);
  if (view.sections[view.at]) paint(view, view.sections[view.at]);
  clearTimeout(view.waking);
  view.waking = setTimeout(() => view.sections.forEach((section) => paint(view, section)), 400); // the others, for print and the next step
}

function fit(view) {
  const large = view.root.classList.contains("whole"), wide = view.room.clientWidth;
  if (!large) view.room.style.height = `${Math.round((wide * TALL) / WIDE)}px`;
  else view.room.style.height = "";
  const scale = Math.min(wide / WIDE, (large ? view.room.clientHeight : Infinity) / TALL);
  const aside = [(wide - WIDE * scale) / 2, large ? (view.room.clientHeight - TALL * scale) / 2 : 0];
  for (const section of view.sections) section.style.transform = `translate(${aside[0]}px, ${aside[1]}px) scale(${scale})`;
}

function paint(view, section) {
  if (section.filled) return;
  const { slide, drawn } = section, dark = view.root.dataset.look === "dark" ? view.data.dark : {};
  if (slide.espalier) {
    section.filled = true;
    tree(drawn, slide, drawn.clientWidth, drawn.clientHeight, view.data.part);
  } else if (window.Plotly) {
    section.filled = true;
    const holder = add(drawn, "div", { class: "zoomed", role: "figure", "aria-label": slide.figure.alt });
    holder.style.transform = `scale(${ZOOM})`;
    const { data, layout } = plotted(slide.figure, dark, drawn.clientWidth / ZOOM, drawn.clientHeight / ZOOM);
    window.Plotly.newPlot(holder, data, layout, { displayModeBar: false, responsive: false });
  } else window.addEventListener("plotly-ready", () => paint(view, section), { once: true });
}

// A figure as it stands on a slide: in its colours, no text too small, at its size.
function plotted(figure, dark, width, height) {
  const data = legible(recoloured(figure.data, dark)), layout = legible(recoloured(figure.layout, dark));
  const font = { ...layout.font, family: '"Helvetica Neue", Arial, "Liberation Sans", sans-serif' };
  return { data, layout: { ...layout, font, width, height, autosize: false, dragmode: false } };
}

function recoloured(value, dark) {
  if (typeof value === "string") return dark[value] ?? value;
  if (Array.isArray(value)) return value.map((item) => recoloured(item, dark));
  if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, recoloured(item, dark)]));
  return value;
}

function legible(value, of = "") {
  if (Array.isArray(value)) return value.map((item) => legible(item, of));
  if (!value || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, name === "size" && /font/.test(of) ? Math.max(SMALLEST, item) : legible(item, name)]));
}

// The espalier in a box of so many of the slide's pixels; what is too tall is drawn smaller.
function tree(box, slide, wide, tall, part, zoom = TREE_ZOOM) {
  const holder = add(box, "div", { class: `zoomed${slide.still ? " still-tree" : ""}` });
  const draw = () => {
    window.espalierParts[part].draw({ data: slide.espalier, parentElement: holder });
    const settle = new ResizeObserver(() => {
      const scale = Math.min(zoom, tall / holder.offsetHeight);
      holder.style.transform = `translate(${(wide - holder.offsetWidth * scale) / 2}px, ${Math.max(0, (tall - holder.offsetHeight * scale) / 2)}px) scale(${scale})`;
    });
    settle.observe(holder);
  };
  holder.style.width = `${wide / zoom}px`;
  const waits = ((window.espalierParts ??= {})[part] ??= { waits: [] });
  if (waits.draw) draw();
  else waits.waits.push(draw);
  return holder;
}

// --- moving

function go(view, at) {
  if (at < 0 || at >= view.sections.length) return;
  show(view, at);
  view.sent.add(at);
  view.setState("at", at);
}

function key(view, event) {
  if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey) return;
  const inside = event.target.closest?.(".espalier") && !event.target.matches(".slide");
  const to = { ArrowRight: view.at + 1, PageDown: view.at + 1, ArrowLeft: view.at - 1, PageUp: view.at - 1, Home: 0, End: view.sections.length - 1 }[event.key];
  if (to !== undefined && !inside) {
    event.preventDefault();
    go(view, to);
  } else if (event.key === " " && !inside && !event.target.matches?.("button")) {
    const play = view.sections[view.at].querySelector(".espalier .play");
    if (play) play.click();
    else go(view, view.at + 1);
    event.preventDefault();
  } else if (event.key === "f" || event.key === "F") {
    if (view.data.alone || view.stage.open) return fullScreen(view);
    enter(view);
    view.entering = true;
    view.setTrigger("entered", view.at);
  }
}

function whole(view, large) {
  view.root.classList.toggle("whole", large);
  view.full.hidden = !large;
  awake(view);
  fit(view);
}

function enter(view) {
  view.hall.append(view.room, view.steps);
  view.stage.showModal();
  view.leave.hidden = false;
  whole(view, true);
  view.hall.focus();
  view.hall.requestFullscreen?.().catch(() => {}); // only a click of late may ask for it
}

function left(view) {
  view.inline.append(view.room, view.steps);
  view.dismissed = view.leave.hidden = true;
  view.entering = false;
  whole(view, false);
  if (document.fullscreenElement) document.exitFullscreen();
  view.setTrigger("left", view.at);
}

function fullScreen(view) {
  if (document.fullscreenElement) document.exitFullscreen();
  else view.hall.requestFullscreen?.().catch(() => {});
}

// The bar and the pointer go after three seconds of rest.
function awake(view) {
  view.root.classList.remove("still");
  clearTimeout(view.resting);
  view.resting = setTimeout(() => view.root.classList.add("still"), 3000);
}
