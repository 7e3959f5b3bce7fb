// Puts plotly.js, which arrives gzipped as this component's data, on the page once; charts wait for "plotly-ready".
// A page that is sent nothing should have it already: where it does not, it asks.

export default function loader({ data, setTriggerValue }) {
  if (window.Plotly || window.plotlyComing) return;
  if (!data?.byteLength) {
    setTriggerValue("missing", true);
    return;
  }
  window.plotlyComing = true;
  const script = document.createElement("script");
  const text = new Response(new Blob([data]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  text.then((source) => {
    script.textContent = source;
    document.head.append(script);
    window.dispatchEvent(new Event("plotly-ready"));
  });
}
