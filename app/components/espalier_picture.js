// A picture to keep: the tree with every computed style written into it. Joined with espalier.js.

const KEPT = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "opacity", "visibility", "font-family", "font-size", "font-weight", "text-anchor", "transform"];

function picture(view) {
  const copy = view.svg.cloneNode(true);
  const from = view.svg.querySelectorAll("*"), to = copy.querySelectorAll("*");
  from.forEach((node, i) => {
    const style = getComputedStyle(node);
    const written = KEPT.map((name) => `${name}:${style.getPropertyValue(name).replace(/"/g, "'")}`).join(";");
    to[i].setAttribute("style", node.classList.contains("hit") ? "fill:none" : written);
    for (const name of ["class", "tabindex", "role", "data-bar", "aria-pressed"]) to[i].removeAttribute(name);
  });
  const size = view.svg.viewBox.baseVal;
  const paper = document.createElementNS(SVG, "rect");
  put(paper, { width: size.width, height: size.height, fill: getComputedStyle(view.root).getPropertyValue("--paper").trim() });
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
  const name = `${String(view.history.network ?? "network").replace(/[^\w-]+/g, "-")}-epoch-${view.epoch}.svg`;
  const link = element(view.root, "a", { href: address, download: name, hidden: "" });
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
