"use strict";
// Sends an image, shows its results, and asks for them again when a threshold is moved.
const find = (id) => document.getElementById(id);
const state = { key: "", image: "", name: "image", views: {}, shown: "", viewer: null, asked: 0 };
// Which sliders change which view.
const SLIDERS = { panoptic: ["object_mask", "overlap"], instances: ["score"], semantic: [] };

function tell(text) {
  find("status").textContent = text;
}

async function ask(url, options) {
  const response = await fetch(url, options);
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

function thresholds() {
  const values = {};
  for (const slider of document.querySelectorAll("[data-threshold]")) {
    values[slider.dataset.threshold] = slider.value;
  }
  return new URLSearchParams(values).toString();
}

async function send(file) {
  if (!file) return;
  tell("Segmenting ...");
  delete document.body.dataset.done;
  try {
    const answer = await ask(`/segment?${thresholds()}`, { method: "POST", body: file });
    Object.assign(state, { key: answer.key, image: answer.image, views: answer.views });
    state.name = file.name.replace(/\.[^.]*$/, "") || "image";
    if (!(state.shown in state.views)) state.shown = Object.keys(state.views)[0];
    find("result").hidden = false;
    await show();
    tell(`${answer.width} x ${answer.height} pixels`);
  } catch (error) {
    tell(error.message);
  }
  document.body.dataset.done = "true";
}

async function show() {
  const view = state.views[state.shown];
  const buttons = Object.keys(state.views).map((name) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.setAttribute("aria-pressed", String(name === state.shown));
    button.addEventListener("click", () => {
      state.shown = name;
      show();
    });
    return button;
  });
  find("views").replaceChildren(...buttons);
  for (const label of find("sliders").children) {
    label.hidden = !SLIDERS[state.shown].includes(label.dataset.of);
  }
  const opacity = state.viewer ? state.viewer.opacity : 0.55;
  const number = view.segments.length;
  const name = number === 1 ? "1 segment" : `${number} segments`;
  const layers = [{ name, map: view.map, segments: view.segments }];
  const viewer = new SegmentViewer(document.createElement("div"), { image: state.image, layers, opacity });
  await viewer.ready;
  // The picture before stays until this one is drawn.
  find("viewer").replaceChildren(viewer.root);
  state.viewer = viewer;
}

async function adjust() {
  for (const slider of document.querySelectorAll("[data-threshold]")) {
    slider.parentElement.querySelector("output").textContent = Number(slider.value);
  }
  if (!state.key) return;
  const number = ++state.asked;
  try {
    const answer = await ask(`/segment/${state.key}?${thresholds()}`);
    if (number !== state.asked) return; // moved on since
    state.views = answer.views;
    await show();
  } catch (error) {
    tell(error.message);
  }
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

for (const id of ["file", "camera"]) {
  find(id).addEventListener("change", (event) => {
    send(event.target.files[0]);
    event.target.value = ""; // the same file may be chosen again
  });
}
for (const slider of document.querySelectorAll("[data-threshold]")) {
  slider.addEventListener("input", adjust);
}
const drop = find("drop");
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault(); // else the browser would open the file
    drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind === "drop") send(event.dataTransfer.files[0]);
  });
}
find("save-png").addEventListener("click", () => {
  state.viewer.panes[0].canvas.toBlob((blob) => save(blob, `${state.name}_${state.shown}.png`));
});
find("save-json").addEventListener("click", () => {
  const text = JSON.stringify(state.views[state.shown].records, null, 1);
  save(new Blob([text], { type: "application/json" }), `${state.name}_${state.shown}.json`);
});
