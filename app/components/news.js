// What is new is told by one part of a page, every second, and heard by another, which then draws itself anew.

export default function news({ data, parentElement, setTriggerValue }) {
  if (!data) return;
  const { name, told, drawn } = data, word = `espalier-news-${name}`;
  if (told !== undefined) {
    window.dispatchEvent(new CustomEvent(word, { detail: told }));
    return;
  }
  let asked = drawn;
  const hear = ({ detail }) => {
    if (detail !== asked) setTriggerValue("new", (asked = detail));
  };
  window.addEventListener(word, hear);
  return () => window.removeEventListener(word, hear);
}
