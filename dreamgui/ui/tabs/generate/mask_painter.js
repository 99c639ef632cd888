// Painter of a mask over the start image: `props.value` is {picture, size, strokes, inverted}, or null without an image.
// A stroke is {points: [[x, y], ...], width, erase}: shares of the picture's width and height.
const LEAST_WAY = 0.004;
let brush = 0.12, erase = false, stroke = null;

const value = () => props.value && props.value.picture ? props.value : null;
const place = (event, board) => {
  const box = board.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]
    .map(share => Math.round(Math.min(1.5, Math.max(-0.5, share)) * 1e4) / 1e4);
};

function paint() {
  const canvas = element.querySelector("canvas"), now = value();
  if (!canvas || !now) return;
  const board = canvas.getContext("2d"), {width, height} = canvas;
  board.globalCompositeOperation = "source-over";
  board.clearRect(0, 0, width, height);
  board.fillStyle = board.strokeStyle = "#fff";
  board.lineCap = board.lineJoin = "round";
  if (now.inverted) board.fillRect(0, 0, width, height);
  for (const {points, width: share, erase: erases} of [...now.strokes, ...(stroke ? [stroke] : [])]) {
    board.globalCompositeOperation = erases === Boolean(now.inverted) ? "source-over" : "destination-out";
    board.lineWidth = share * width;
    board.beginPath();
    board.moveTo(points[0][0] * width, points[0][1] * height);
    for (const [x, y] of points) board.lineTo(x * width + 0.01, y * height);
    board.stroke();
  }
}

function bar() {
  const now = value(), none = !now.strokes.length;
  const button = (act, label, off, on) => `<button type="button" data-act="${act}"${off ? " disabled" : ""}
    ${on === undefined ? "" : ` aria-pressed="${on}"`}>${label}</button>`;
  return `${button("erase", "Eraser", false, erase)}${button("undo", "Undo stroke", none)}
    ${button("invert", "Invert", false, Boolean(now.inverted))}${button("clear", "Clear", none && !now.inverted)}
    <label>Brush <input type="range" min="2" max="40" value="${Math.round(brush * 100)}" data-brush></label>`;
}

function show() {
  const box = element.querySelector(".dg-paint"), now = value();
  if (!box) return;
  if (!now) {
    box.innerHTML = "<p>Add a start image, then paint over the part to generate anew.</p>";
    return;
  }
  if (box.querySelector("img")?.getAttribute("src") !== now.picture.url) {
    box.innerHTML = `<div class="dg-paint-board"><img alt="Start image"><canvas role="img"
      aria-label="Painted mask"></canvas></div><div class="dg-paint-bar"></div>`;
    box.querySelector("img").src = now.picture.url;
    const canvas = box.querySelector("canvas");
    [canvas.width, canvas.height] = now.size;
  }
  box.querySelector(".dg-paint-bar").innerHTML = bar();
  paint();
}

function changed(changes) {
  props.value = {...value(), ...changes};
  show();
  trigger("input");
}

const ACTS = {
  erase: () => { erase = !erase; show(); },
  undo: () => changed({strokes: value().strokes.slice(0, -1)}),
  invert: () => changed({inverted: !value().inverted}),
  clear: () => changed({strokes: [], inverted: false}),
};

element.addEventListener("click", event => {
  const act = event.target.closest("button[data-act]")?.dataset.act;
  if (act && value()) ACTS[act]();
});
element.addEventListener("input", event => {
  if (event.target.matches("[data-brush]")) brush = Number(event.target.value) / 100;
});
element.addEventListener("pointerdown", event => {
  if (!event.target.matches("canvas") || event.button) return;
  event.preventDefault();
  event.target.setPointerCapture(event.pointerId);
  stroke = {points: [place(event, event.target)], width: brush, erase, id: event.pointerId};
  paint();
});
element.addEventListener("pointermove", event => {
  if (!stroke || event.pointerId !== stroke.id) return;
  const [x, y] = place(event, element.querySelector("canvas")), [lastX, lastY] = stroke.points.at(-1);
  if (Math.hypot(x - lastX, y - lastY) < LEAST_WAY) return;
  stroke.points.push([x, y]);
  paint();
});
for (const end of ["pointerup", "pointercancel"]) element.addEventListener(end, event => {
  if (!stroke || event.pointerId !== stroke.id) return;
  const {points, width, erase: erases} = stroke;
  stroke = null;
  if (end === "pointerup") changed({strokes: [...value().strokes, {points, width, erase: erases}]});
  else paint();
});
watch("value", () => { if (!stroke) show(); });
show();
