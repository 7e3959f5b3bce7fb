// A slide, or its figure alone, as one SVG. Joined with talk.js.

const SVG_NS = "http://www.w3.org/2000/svg";
const FONT = '"Helvetica Neue", Arial, "Liberation Sans", sans-serif';
const COLUMN_FIGURE = 440; // lines of a figure in a paper's column

// Sizes of a slide's words, and of those in a column of 720 units, 89 mm on paper: lines of title, sentence and footer, and how much a figure is enlarged.
const SLIDE = { title: [42, 48], sentence: [27, 35], foot: [24, 30], zoom: ZOOM, tree: TREE_ZOOM, side: 48, top: 34, bottom: 26 };
const COLUMN = { title: [26, 32], sentence: [21, 27], foot: [18, 23], zoom: 1.6, tree: 1.15, side: 8, top: 8, bottom: 8 };

// `wide` x `tall`; without `tall` the text decides. `bare`: the figure alone.
async function picture(slide, { wide, tall, look, bare, part, dark }) {
  const ink = look === "dark" ? "#e6ece8" : "#1b2622", soft = look === "dark" ? "#b3c0b9" : "#4f5d56", paper = look === "dark" ? "#14191a" : "#ffffff";
  const sizes = tall ? SLIDE : COLUMN, side = bare ? 0 : sizes.side, inside = wide - 2 * side;
  const set = (text, name, weight) => (bare ? [] : text.split("\n").flatMap((line) => wrapped(line, inside, `${weight} ${sizes[name][0]}px ${FONT}`)));
  const title = set(slide.title, "title", 700), sentence = set(slide.sentence, "sentence", 400), foot = set(slide.footer, "foot", 400);
  const head = sizes.top + title.length * sizes.title[1] + 8;
  const above = bare ? 0 : head + sentence.length * sizes.sentence[1] + 14;
  const below = bare ? 0 : 10 + foot.length * sizes.foot[1] + sizes.bottom;
  const height = tall || above + COLUMN_FIGURE + below, room = height - above - below;
  const sheet = document.createElementNS(SVG_NS, "svg");
  for (const [name, value] of Object.entries({ xmlns: SVG_NS, viewBox: `0 0 ${wide} ${height}`, width: wide, height, role: "img" })) sheet.setAttribute(name, value);
  const put = (name, attributes, text = null) => {
    const node = document.createElementNS(SVG_NS, name);
    for (const key in attributes) node.setAttribute(key, attributes[key]);
    if (text !== null) node.textContent = text;
    sheet.append(node);
  };
  put("title", {}, slide.title);
  put("desc", {}, [slide.sentence, slide.footer, slide.notes].filter(Boolean).join("\n"));
  put("rect", { width: wide, height, fill: paper });
  const lines = (words, top, [size, step], fill, weight) => words.forEach((line, k) => put("text", { x: side, y: top + size * 0.86 + k * step, "font-family": FONT, "font-size": size, "font-weight": weight, fill }, line));
  lines(title, sizes.top, sizes.title, ink, 700);
  lines(sentence, head, sizes.sentence, ink, 400);
  lines(foot, height - below + 10, sizes.foot, soft, 400);
  const box = { x: side, y: above, wide: inside, tall: room };
  sheet.append(slide.espalier ? await treePicture(slide, box, sizes.tree, part) : await figurePicture(slide, box, sizes.zoom, look === "dark" ? dark : {}));
  return new XMLSerializer().serializeToString(sheet);
}

// Words in lines no longer than `wide`, measured in the font they are drawn in.
function wrapped(text, wide, font) {
  const pen = (wrapped.pen ??= document.createElement("canvas").getContext("2d"));
  pen.font = font;
  const lines = [];
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const longer = lines.length ? `${lines[lines.length - 1]} ${word}` : word;
    if (lines.length && pen.measureText(longer).width <= wide) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

async function figurePicture(slide, { x, y, wide, tall }, zoom, dark) {
  const width = wide / zoom, height = tall / zoom, { data, layout } = plotted(slide.figure, dark, width, height);
  if (width < 500 && layout.legend?.orientation === "v") { // in a column there is no room beside
    layout.legend = { ...layout.legend, orientation: "h", x: 0, y: -0.24 };
    layout.margin = { ...layout.margin, r: 14 };
  }
  const text = await window.Plotly.toImage({ data, layout }, { format: "svg", width, height, imageDataOnly: true });
  return nested(new DOMParser().parseFromString(text, "image/svg+xml").documentElement, x, y, wide, tall, width, height);
}

async function treePicture(slide, { x, y, wide, tall }, zoom, part) {
  const box = add(document.querySelector(".talk"), "div", { class: "picturing", style: "position:absolute;left:-9999px;top:0" });
  const holder = tree(box, { ...slide, still: true }, wide, tall, part, zoom);
  for (let k = 0; k < 400 && !holder.querySelector(".espalier")?.view.history; k++) await new Promise((done) => setTimeout(done, 20));
  await new Promise((done) => setTimeout(done, 60));
  const node = new DOMParser().parseFromString(holder.querySelector(".espalier").view.picture(), "image/svg+xml").documentElement;
  const { width, height } = holder.querySelector("svg.tree").viewBox.baseVal;
  box.remove();
  const scale = Math.min(wide / width, tall / height);
  return nested(node, x + (wide - width * scale) / 2, y + (tall - height * scale) / 2, width * scale, height * scale, width, height);
}

function nested(node, x, y, wide, tall, width, height) {
  for (const [name, value] of Object.entries({ x, y, width: wide, height: tall, viewBox: `0 0 ${width} ${height}` })) node.setAttribute(name, value);
  return document.adoptNode(node);
}
