// Puts the scripts of the components, which arrive as this component's data, on the page once; what waits for one is drawn then.

export default function scripts({ data }) {
  const parts = (window.espalierParts ??= {});
  for (const [name, { js, css }] of Object.entries(data ?? {})) {
    const part = (parts[name] ??= { waits: [] });
    part.coming ??= import(URL.createObjectURL(new Blob([js], { type: "text/javascript" }))).then((script) => {
      part.draw = (told) => {
        dress(told.parentElement, css);
        return script.default(told);
      };
      part.waits.splice(0).forEach((draw) => draw());
    });
  }
}

function dress(root, css) {
  if (!css || root.querySelector("style.of-part")) return;
  const style = document.createElement("style");
  style.className = "of-part";
  style.textContent = css;
  root.prepend(style);
}
