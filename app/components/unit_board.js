// Units as squares that a click, space or enter crosses out or takes back. The arrow keys move, Home and End go to the ends.

export default function unitBoard({ data, parentElement, setTriggerValue }) {
  if (!data) return;
  let board = parentElement.querySelector(".board");
  if (!board) {
    board = document.createElement("div");
    board.className = "board";
    board.setAttribute("role", "group");
    board.turn = data.turn;
    board.onclick = (event) => toggle(board, event.target.closest("button"));
    board.onkeydown = (event) => move(board, event);
    parentElement.append(board);
  }
  board.trigger = setTriggerValue;
  if (board.of === data.of && data.turn < board.turn) return; // a click is on its way: what comes is older
  board.turn = data.turn;
  draw(board, data);
}

function draw(board, data) {
  const focused = board.of === data.of ? [...board.children].indexOf(board.getRootNode().activeElement) : -1;
  if (board.of !== data.of || board.children.length !== data.cells.length) board.replaceChildren(...data.cells.map(() => made()));
  board.of = data.of;
  board.setAttribute("aria-label", data.label);
  for (const [name, colour] of Object.entries(data.colours)) board.style.setProperty(`--${name}`, colour);
  board.style.setProperty("--cell", `${data.cells.length > 256 ? 15 : data.cells.length > 96 ? 20 : 28}px`);
  data.cells.forEach((cell, index) => {
    const button = board.children[index];
    button.setAttribute("aria-checked", cell.crossed);
    button.setAttribute("aria-label", cell.label);
    button.title = cell.label;
    button.setAttribute("aria-disabled", cell.dead);
    button.classList.toggle("picked", cell.picked);
    button.classList.toggle("named", Boolean(cell.name));
    button.querySelector("span").textContent = cell.name;
    button.style.setProperty("--share", cell.share);
  });
  const stop = focused >= 0 ? focused : Math.max(0, data.cells.findIndex((cell) => cell.picked));
  [...board.children].forEach((button, index) => (button.tabIndex = index === stop ? 0 : -1));
}

function made() {
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("role", "checkbox");
  button.append(document.createElement("i"), document.createElement("span"));
  return button;
}

function toggle(board, button) {
  if (!button || button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-checked", button.getAttribute("aria-checked") !== "true");
  focusOn(board, button);
  board.turn += 1;
  const cells = [...board.children];
  const crossed = cells.flatMap((cell, index) => (cell.getAttribute("aria-checked") === "true" ? [index] : []));
  board.trigger("crossed", { of: board.of, crossed, cell: cells.indexOf(button), turn: board.turn });
}

function move(board, event) {
  const cells = [...board.children];
  const at = cells.indexOf(event.target.closest("button"));
  const across = Math.max(1, cells.filter((cell) => cell.offsetTop === cells[0].offsetTop).length);
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - across, ArrowDown: at + across, Home: 0, End: cells.length - 1 }[event.key];
  if (to === undefined || at < 0) return;
  event.preventDefault();
  if (cells[to]) focusOn(board, cells[to]);
}

function focusOn(board, button) {
  for (const other of board.children) other.tabIndex = -1;
  button.tabIndex = 0;
  button.focus();
}
