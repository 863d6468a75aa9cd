"use strict";
// Shows an image with segments over it: hover to read one, click a name to switch it on or off.
// A layer has `name`, `map` (a URL of a PNG whose colours are ids, R + 256 G + 65536 B; 0 is no
// segment) and `segments` ({id, name, color, score?}).
class SegmentViewer {
  constructor(root, { image, layers, opacity = 0.55 }) {
    this.root = root;
    this.opacity = opacity;
    this.panes = [];
    root.classList.add("viewer");
    root.replaceChildren();
    const controls = root.appendChild(document.createElement("div"));
    const label = controls.appendChild(document.createElement("label"));
    label.append("Opacity");
    this.slider = label.appendChild(document.createElement("input"));
    Object.assign(this.slider, { type: "range", min: 0, max: 1, step: 0.05, value: opacity });
    this.slider.addEventListener("input", () => this.setOpacity(Number(this.slider.value)));
    const panes = root.appendChild(document.createElement("div"));
    panes.className = "panes";
    this.ready = this.load(image, layers, panes);
  }

  async load(image, layers, panes) {
    const picture = await loadPixels(image);
    for (const layer of layers) {
      const pane = panes.appendChild(document.createElement("div"));
      pane.className = "pane";
      this.panes.push(await SegmentPane.make(pane, picture, layer, this.opacity));
    }
    this.root.dataset.ready = "true";
  }

  setOpacity(value) {
    this.opacity = value;
    for (const pane of this.panes) pane.draw(value);
  }
}

class SegmentPane {
  static async make(root, picture, layer, opacity) {
    const pane = new SegmentPane();
    pane.picture = picture;
    pane.opacity = opacity;
    pane.ids = await loadIds(layer.map, picture);
    pane.segments = new Map(layer.segments.map((segment) => [segment.id, segment]));
    pane.hidden = new Set();
    pane.hovered = 0;
    root.appendChild(document.createElement("strong")).textContent = layer.name;
    const stage = root.appendChild(document.createElement("div"));
    stage.className = "stage";
    pane.canvas = stage.appendChild(document.createElement("canvas"));
    pane.canvas.width = picture.width;
    pane.canvas.height = picture.height;
    pane.tip = stage.appendChild(document.createElement("div"));
    pane.tip.className = "tip";
    pane.canvas.addEventListener("pointermove", (event) => pane.hover(event));
    pane.canvas.addEventListener("pointerdown", (event) => pane.hover(event));
    pane.canvas.addEventListener("pointerleave", () => pane.mark(0));
    pane.addChips(root);
    pane.draw(opacity);
    return pane;
  }

  addChips(root) {
    const chips = root.appendChild(document.createElement("div"));
    chips.className = "chips";
    for (const segment of this.segments.values()) {
      const chip = chips.appendChild(document.createElement("button"));
      chip.type = "button";
      chip.setAttribute("aria-pressed", "true");
      const swatch = chip.appendChild(document.createElement("span"));
      swatch.className = "swatch";
      swatch.style.background = `rgb(${segment.color})`;
      chip.append(segment.name);
      chip.addEventListener("click", () => {
        const hide = !this.hidden.has(segment.id);
        this.hidden[hide ? "add" : "delete"](segment.id);
        chip.setAttribute("aria-pressed", String(!hide));
        this.draw(this.opacity);
      });
      chip.addEventListener("pointerenter", () => this.mark(segment.id));
      chip.addEventListener("pointerleave", () => this.mark(0));
    }
  }

  hover(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) * this.canvas.width) / box.width);
    const y = Math.floor(((event.clientY - box.top) * this.canvas.height) / box.height);
    const inside = x >= 0 && y >= 0 && x < this.canvas.width && y < this.canvas.height;
    this.mark(inside ? this.ids[y * this.canvas.width + x] : 0);
  }

  mark(id) {
    if (id === this.hovered) return;
    this.hovered = id;
    const segment = this.hidden.has(id) ? undefined : this.segments.get(id);
    this.tip.textContent = segment
      ? segment.name + (segment.score === undefined ? "" : `, ${segment.score.toFixed(2)}`)
      : "";
    this.draw(this.opacity);
  }

  draw(opacity) {
    this.opacity = opacity;
    // Frames are made in memory, so a canvas in memory is the faster one.
    const context = this.canvas.getContext("2d", { willReadFrequently: true });
    const frame = context.createImageData(this.canvas.width, this.canvas.height);
    const from = this.picture.data;
    const to = frame.data;
    const width = this.canvas.width;
    for (let i = 0, p = 0; i < this.ids.length; i++, p += 4) {
      const id = this.ids[i];
      const segment = this.hidden.has(id) ? undefined : this.segments.get(id);
      let share = segment ? opacity : 0;
      if (segment && id === this.hovered) share = Math.min(1, opacity + 0.25);
      const color = segment ? segment.color : [0, 0, 0];
      const edge = segment && ((i % width && this.ids[i - 1] !== id) || (i >= width && this.ids[i - width] !== id));
      for (let c = 0; c < 3; c++) {
        to[p + c] = edge && opacity > 0 ? 255 : from[p + c] + share * (color[c] - from[p + c]);
      }
      to[p + 3] = 255;
    }
    context.putImageData(frame, 0, 0);
  }
}

async function loadPixels(url, size) {
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = size ? size.width : image.naturalWidth;
  canvas.height = size ? size.height : image.naturalHeight;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = !size;
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

async function loadIds(url, size) {
  const { data } = await loadPixels(url, size);
  const ids = new Uint32Array(data.length / 4);
  for (let i = 0, p = 0; i < ids.length; i++, p += 4) {
    ids[i] = data[p] + 256 * data[p + 1] + 65536 * data[p + 2];
  }
  return ids;
}
