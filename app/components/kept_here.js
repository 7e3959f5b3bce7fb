// Keeps the answers to the lessons in this browser: told once what was kept, then given every change to keep.

const NAME = "espalier-lessons";

export default function keptHere({ data, setStateValue }) {
  if (!data) return;
  if (data.known) return keep(data.answers);
  setStateValue("kept", kept());
}

function kept() {
  try {
    return JSON.parse(localStorage.getItem(NAME) ?? "{}");
  } catch {
    return {};  // a browser that keeps nothing, or something else under this name
  }
}

function keep(answers) {
  try {
    localStorage.setItem(NAME, JSON.stringify(answers));
  } catch {
    return;  // kept for the session alone
  }
}
