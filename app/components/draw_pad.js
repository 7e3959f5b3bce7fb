// A pad of width x height cells: strokes are drawn fine and averaged cell by cell when the pen is lifted.

const SIDE = 224;

export default function drawPad({ data, parentElement, setStateValue }) {
  if (!data) return;
  let pad = parentElement.querySelector(".pad");
  if (!pad) pad = made(parentElement);
  const scale = Math.max(1, Math.round(SIDE / Math.max(data.width, data.height)));
  const canvas = pad.querySelector("canvas");
  pad.send = () => setStateValue("pixels", pixels(canvas, data.width, data.height, scale));
  pad.unset = () => setStateValue("pixels", "");
  const changed = !pad.data || pad.data.width !== data.width || pad.data.height !== data.height || pad.data.paper !== data.paper;
  pad.data = { ...data, scale };
  if (changed) wipe(pad);
}

function made(parent) {
  const pad = document.createElement("div");
  pad.className = "pad";
  const canvas = document.createElement("canvas");
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "Drawing pad. Draw with the mouse, or move with the arrow keys and paint with the space bar.");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Clear";
  const help = document.createElement("span");
  help.textContent = "Draw; or arrow keys to move, space to paint.";
  pad.append(canvas, button, help);
  parent.append(pad);
  button.onclick = () => { wipe(pad); pad.unset(); };
  canvas.onpointerdown = (event) => { canvas.setPointerCapture(event.pointerId); pad.pen = place(canvas, event); stroke(pad, pad.pen, pad.pen); };
  canvas.onpointermove = (event) => {
    if (!pad.pen) return;
    const to = place(canvas, event);
    stroke(pad, pad.pen, to);
    pad.pen = to;
  };
  canvas.onpointerup = canvas.onpointercancel = () => { if (pad.pen) { pad.pen = null; pad.send(); } };
  canvas.onkeydown = (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step && event.key !== " ") return;
    event.preventDefault();
    const { scale, width, height } = pad.data;
    pad.cell ??= [Math.floor(width / 2), Math.floor(height / 2)];
    if (step) pad.cell = [clamp(pad.cell[0] + step[0], width), clamp(pad.cell[1] + step[1], height)];
    help.textContent = `Column ${pad.cell[0] + 1}, row ${pad.cell[1] + 1}; space paints.`;
    if (event.key === " ") {
      const at = [(pad.cell[0] + 0.5) * scale, (pad.cell[1] + 0.5) * scale];
      stroke(pad, at, at);
      pad.send();
    }
  };
  return pad;
}

function clamp(value, size) {
  return Math.min(size - 1, Math.max(0, value));
}

function wipe(pad) {
  const canvas = pad.querySelector("canvas");
  canvas.width = pad.data.width * pad.data.scale;
  canvas.height = pad.data.height * pad.data.scale;
  const pen = canvas.getContext("2d");
  pen.fillStyle = pad.data.paper;
  pen.fillRect(0, 0, canvas.width, canvas.height);
}

function place(canvas, event) {
  const box = canvas.getBoundingClientRect();
  return [((event.clientX - box.left) * canvas.width) / box.width, ((event.clientY - box.top) * canvas.height) / box.height];
}

function stroke(pad, from, to) {
  const canvas = pad.querySelector("canvas");
  const pen = canvas.getContext("2d");
  pen.strokeStyle = pad.data.ink;
  pen.lineWidth = canvas.width / 9;
  pen.lineCap = pen.lineJoin = "round";
  pen.beginPath();
  pen.moveTo(...from);
  pen.lineTo(to[0] + 0.01, to[1]);
  pen.stroke();
}

function pixels(canvas, width, height, scale) {
  const fine = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  let bytes = "";
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let j = 0; j < scale; j++) for (let i = 0; i < scale; i++) sum += fine[((y * scale + j) * canvas.width + x * scale + i) * 4 + c];
        bytes += String.fromCharCode(Math.round(sum / (scale * scale)));
      }
  return btoa(bytes);
}
