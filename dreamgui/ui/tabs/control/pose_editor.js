// Editor of skeletons: `props.value` is the pose's JSON ("" without one, "[]" a blank board). Points are buttons of an
// SVG: dragged by mouse or finger, moved by arrow keys, removed by Delete.
const SIDE = 1000, RADIUS = 22, STEP = 0.01, MOST = 10;
const NAMES = ["nose", "neck", "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow",
  "left wrist", "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle", "right eye",
  "left eye", "right ear", "left ear"];
const LIMBS = [[1, 2], [1, 5], [2, 3], [3, 4], [5, 6], [6, 7], [1, 8], [8, 9], [9, 10], [1, 11], [11, 12], [12, 13],
  [1, 0], [0, 14], [14, 16], [0, 15], [15, 17]];
const PAIRS = [[2, 5], [3, 6], [4, 7], [8, 11], [9, 12], [10, 13], [14, 15], [16, 17]];
const STANDING = [[.5, .16], [.5, .28], [.39, .28], [.34, .44], [.33, .58], [.61, .28], [.66, .44], [.67, .58],
  [.44, .56], [.44, .75], [.44, .94], [.56, .56], [.56, .75], [.56, .94], [.47, .135], [.53, .135], [.43, .15],
  [.57, .15]];
let people = null, chosen = 0, dragged = null;

const parsed = () => { try { return props.value ? JSON.parse(props.value) : null; } catch { return null; } };
const inside = value => Math.min(0.999, Math.max(0, Math.round(value * 1e4) / 1e4));
const colour = i => `hsl(${i * 20} 100% 50%)`;
const at = point => `cx="${point[0] * SIDE}" cy="${point[1] * SIDE}"`;

function limbs() {
  return people.flatMap(person => LIMBS.map(([a, b], i) => {
    if (!person[a] || !person[b]) return "";
    const [x1, y1, x2, y2] = [...person[a], ...person[b]].map(value => value * SIDE);
    return `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke="${colour(i)}" stroke-width="12"
      stroke-opacity=".6" stroke-linecap="round"/>`;
  })).join("");
}

function svg() {
  const parts = [`<g>${limbs()}</g>`];
  people.forEach((person, p) => {
    person.forEach((point, i) => point && parts.push(`<circle ${at(point)} r="${RADIUS}" fill="${colour(i)}"
      tabindex="0" role="button" data-person="${p}" data-point="${i}"
      aria-label="Person ${p + 1}: ${NAMES[i]}"><title>${NAMES[i]}</title></circle>`));
  });
  return `<svg viewBox="0 0 ${SIDE} ${SIDE}" role="group" aria-label="Skeletons, points move by dragging or arrow keys">
    ${parts.join("")}</svg>`;
}

function bar() {
  const person = people[chosen], missing = person ? NAMES.map((name, i) => [name, i]).filter(([, i]) => !person[i]) : [];
  const options = missing.map(([name, i]) => `<option value="${i}">${name}</option>`).join("");
  const who = people.map((_, i) => `<option value="${i}"${i === chosen ? " selected" : ""}>Person ${i + 1}</option>`);
  const button = (act, label, off) => `<button type="button" data-act="${act}"${off ? " disabled" : ""}>${label}</button>`;
  return `<div class="dg-pose-bar">${button("person", "Add person", people.length >= MOST)}
    ${button("mirror", "Mirror", !people.length)}${button("blank", "Blank board")}${button("close", "Drop the points")}
    ${person ? `<select data-act="who" aria-label="Person">${who.join("")}</select>
    ${button("leave", "Remove person")}` : ""}
    ${missing.length ? `<select data-missing aria-label="Missing point">${options}</select>
    ${button("point", "Add point")}` : ""}</div>`;
}

function show() {
  const box = element.querySelector(".dg-pose");
  if (!box) return;
  if (!people) {
    box.innerHTML = `<div class="dg-pose-bar"><button type="button" data-act="person">Add person</button>
      <button type="button" data-act="blank">Blank board</button></div>`;
    return;
  }
  chosen = Math.min(chosen, Math.max(0, people.length - 1));
  const held = element.contains(document.activeElement) ? document.activeElement : null;
  const focus = held?.dataset.point !== undefined ? [held.dataset.person, held.dataset.point] : null;
  box.innerHTML = svg() + bar();
  if (focus) circle(...focus)?.focus();
}

const circle = (p, i) => element.querySelector(`circle[data-person="${p}"][data-point="${i}"]`);

function changed() {
  show();
  props.value = people ? JSON.stringify(people) : "";
  trigger("input");
}

function moved(p, i, x, y) {
  people[p][i] = [inside(x), inside(y)];
}

function missingPlace(person, i) {
  // Beside the neck as on a standing person, as large as the shoulders are apart.
  const neck = person[1] ?? person.find(Boolean) ?? STANDING[1];
  const scale = person[2] && person[5] ? Math.hypot(person[2][0] - person[5][0], person[2][1] - person[5][1]) / .22 : 1;
  return [0, 1].map(axis => inside(neck[axis] + scale * (STANDING[i][axis] - STANDING[1][axis])));
}

const ACTS = {
  person: () => { people = [...(people ?? []), STANDING.map(point => [...point])]; chosen = people.length - 1; },
  leave: () => people.splice(chosen, 1),
  blank: () => { people = []; },
  close: () => { people = null; },
  mirror: () => { people = people.map(person => {
    const turned = person.map(point => point && [inside(1 - point[0]), point[1]]);
    PAIRS.forEach(([a, b]) => { [turned[a], turned[b]] = [turned[b], turned[a]]; });
    return turned;
  }); },
  point: () => {
    const i = Number(element.querySelector("[data-missing]").value);
    people[chosen][i] = missingPlace(people[chosen], i);
  },
};

element.addEventListener("click", event => {
  const act = event.target.closest("button[data-act]")?.dataset.act;
  if (act) { ACTS[act](); changed(); }
});
element.addEventListener("change", event => {
  if (event.target.dataset.act === "who") { chosen = Number(event.target.value); show(); }
});
element.addEventListener("pointerdown", event => {
  const target = event.target.closest("circle[data-point]");
  if (!target) return;
  event.preventDefault();
  target.focus();
  dragged = {p: Number(target.dataset.person), i: Number(target.dataset.point), id: event.pointerId};
  chosen = dragged.p;
});
window.addEventListener("pointermove", event => {
  if (!dragged || event.pointerId !== dragged.id) return;
  const box = element.querySelector(".dg-pose svg").getBoundingClientRect();
  moved(dragged.p, dragged.i, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  // In place: a finger's events end with the element that it touched.
  const [x, y] = people[dragged.p][dragged.i], held = circle(dragged.p, dragged.i);
  held.setAttribute("cx", x * SIDE);
  held.setAttribute("cy", y * SIDE);
  element.querySelector(".dg-pose svg g").innerHTML = limbs();
});
for (const end of ["pointerup", "pointercancel"]) window.addEventListener(end, event => {
  if (!dragged || event.pointerId !== dragged.id) return;
  dragged = null;
  changed();
});
element.addEventListener("keydown", event => {
  const {person: p, point: i} = event.target.dataset;
  if (i === undefined) return;
  const way = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
  if (way) {
    const [x, y] = people[p][i], step = event.shiftKey ? 5 * STEP : STEP;
    moved(p, i, x + way[0] * step, y + way[1] * step);
  } else if (event.key === "Delete" || event.key === "Backspace") people[p][i] = null;
  else return;
  event.preventDefault();
  changed();
});
watch("value", () => { if (dragged) return; people = parsed(); show(); });
people = parsed();
show();
