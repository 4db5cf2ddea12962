// The stage: an image that can be panned and zoomed, noisy left of the divider and denoised right of it.

import { Loupe } from "./loupe.js";
import { text } from "./words.js";

const LARGEST = 16; // device pixels per image pixel
const STEP = 1.25;
const PAN = 60; // device pixels for an arrow key
const STILL = 5; // device pixels up to which a press is a click
const REDUCED = 8; // most by which tiles are reduced before they are drawn

export class View {
  /** `tiles` provides the denoised side; `moved` is called when the visible part changes. */
  constructor({ stage, canvas, divider, lens, mark }, tiles, moved) {
    Object.assign(this, { stage, canvas, divider, tiles, moved });
    this.context = canvas.getContext("2d");
    this.loupe = new Loupe({ lens, mark }, this);
    this.picture = null;
    this.fitted = true; // and stays so when the window changes
    this.share = 0.5; // of the stage, left of the divider
    this.strength = 1;
    this.pointers = new Map();
    new ResizeObserver(() => this.resize()).observe(stage);
    this.listen();
    this.divide(0.5);
  }

  /** Show an image, `{ bitmap, width, height }`, as a whole; or with the same part in view if it is to stay. */
  show(picture, stay = false) {
    this.picture = picture;
    this.stage.classList.toggle("empty", !picture);
    if (!picture) return this.draw();
    this.measure();
    if (stay) return this.update();
    [this.x, this.y] = [picture.width / 2, picture.height / 2];
    this.loupe.begin();
    this.enclose();
  }

  fitting() {
    return Math.min(this.canvas.width / this.picture.width, this.canvas.height / this.picture.height);
  }

  fit() {
    if (this.picture) this.enclose();
  }

  /** Show the whole image, a small one enlarged. */
  enclose() {
    this.scale = Math.min(this.fitting(), 4);
    this.fitted = true;
    this.update();
  }

  full() {
    this.zoom(1 / this.scale);
  }

  /** Zoom about a point of the stage, in device pixels from its center. */
  zoom(factor, [right, down] = [0, 0]) {
    if (!this.picture) return;
    const before = this.scale;
    const least = Math.min(this.fitting(), 1);
    this.scale = Math.min(Math.max(this.scale * factor, least), LARGEST);
    if (Math.abs(this.scale - 1) < 0.02) this.scale = 1;
    this.fitted = this.scale === least && least < 1;
    this.x += right / before - right / this.scale;
    this.y += down / before - down / this.scale;
    this.update();
  }

  /** Move the image, or the loupe where all of the image is in view; in device pixels. */
  pan(right, down) {
    if (this.fitted && this.loupe.active) return this.loupe.shift(right, down);
    this.x += right / this.scale;
    this.y += down / this.scale;
    this.update();
  }

  /** Move the divider to a share of the stage. */
  divide(share) {
    this.share = Math.min(Math.max(share, 0), 1);
    this.divider.style.left = `${100 * this.share}%`;
    const percent = Math.round(100 * this.share);
    this.divider.setAttribute("aria-valuenow", percent);
    this.translate();
    this.ask();
    this.draw();
  }

  /** Say in the language of the page where the divider is. */
  translate() {
    const before = Math.round(100 * this.share);
    this.divider.setAttribute("aria-valuetext", text("divider-at", { before, after: 100 - before }));
  }

  /** Keep the visible part inside the image, and request the tiles that are missing. */
  update() {
    if (!this.picture) return;
    for (const [place, side, visible] of [["x", this.picture.width, this.canvas.width], ["y", this.picture.height, this.canvas.height]]) {
      const half = visible / this.scale / 2;
      this[place] = side <= 2 * half ? side / 2 : Math.min(Math.max(this[place], half), side - half);
      this.loupe[place] = Math.min(Math.max(this.loupe[place], this[place] - half), this[place] + half);
    }
    this.ask();
    this.draw();
  }

  /** Request the tiles under the loupe and right of the divider. */
  ask() {
    if (!this.picture) return;
    const [wide, high] = [this.canvas.width / this.scale / 2, this.canvas.height / this.scale / 2];
    const left = this.x - wide + 2 * wide * this.share;
    const first = this.loupe.active ? this.tiles.within(...this.loupe.edges) : [];
    const all = this.share < 1 ? this.tiles.within(left, this.y - high, this.x + wide, this.y + high) : [];
    this.tiles.want([...new Set([...first, ...all])]);
    this.moved();
  }

  /** Take the size of the stage; returns whether it has changed. */
  measure() {
    const { clientWidth, clientHeight } = this.stage;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
    if (!width || (width === this.canvas.width && height === this.canvas.height)) return false;
    [this.canvas.width, this.canvas.height] = [width, height];
    return true;
  }

  resize() {
    if (!this.measure() || !this.picture) return;
    if (this.fitted) this.enclose();
    else this.update();
  }

  /** The place of the left and upper edge of the image, in device pixels of the stage. */
  get origin() {
    return [Math.round(this.canvas.width / 2 - this.x * this.scale), Math.round(this.canvas.height / 2 - this.y * this.scale)];
  }

  draw() {
    this.due ??= requestAnimationFrame(() => {
      this.due = null;
      this.paint();
    });
  }

  paint() {
    const { context, canvas, picture } = this;
    context.clearRect(0, 0, canvas.width, canvas.height);
    this.loupe.paint();
    if (!picture) return;
    const [left, top] = this.origin;
    const place = (x, y, width, height) => {
      const [from, above] = [left + Math.round(x * this.scale), top + Math.round(y * this.scale)];
      return [from, above, left + Math.round((x + width) * this.scale) - from, top + Math.round((y + height) * this.scale) - above];
    };
    context.imageSmoothingEnabled = this.scale < 1;
    context.imageSmoothingQuality = "high";
    context.drawImage(picture.bitmap, ...place(0, 0, picture.width, picture.height));
    const border = Math.round(this.share * canvas.width);
    context.save();
    context.beginPath();
    context.rect(border, 0, canvas.width - border, canvas.height);
    context.clip();
    const reduce = Math.min(2 ** Math.floor(Math.log2(Math.max(1 / this.scale, 1))), REDUCED);
    for (const tile of this.tiles.wanted) {
      if (!this.tiles.has(tile)) continue;
      const square = place(tile.x, tile.y, tile.width, tile.height);
      context.clearRect(...square);
      context.drawImage(this.tiles.canvas(tile, this.strength, reduce), ...square);
    }
    context.restore();
  }

  point(event) {
    const box = this.stage.getBoundingClientRect();
    const ratio = this.canvas.width / box.width;
    return [(event.clientX - box.left - box.width / 2) * ratio, (event.clientY - box.top - box.height / 2) * ratio];
  }

  listen() {
    const { stage, divider, pointers } = this;
    divider.addEventListener("pointerdown", (event) => {
      divider.setPointerCapture(event.pointerId);
      event.stopPropagation();
    });
    divider.addEventListener("pointermove", (event) => {
      if (!divider.hasPointerCapture(event.pointerId)) return;
      const box = stage.getBoundingClientRect();
      this.divide((event.clientX - box.left) / box.width);
    });
    divider.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 }[event.key];
      if (!step) return;
      this.divide(this.share + step);
      event.preventDefault();
      event.stopPropagation();
    });
    stage.addEventListener("pointerdown", (event) => {
      if (event.target.closest("button, #divider")) return;
      stage.setPointerCapture(event.pointerId);
      stage.classList.add("moving");
      pointers.set(event.pointerId, this.point(event));
      this.pressed = pointers.size === 1 ? this.point(event) : null;
    });
    stage.addEventListener("pointermove", (event) => {
      if (pointers.has(event.pointerId) && this.picture) this.drag(event);
    });
    stage.addEventListener("pointerup", (event) => {
      if (pointers.has(event.pointerId) && this.pressed && this.picture) this.loupe.put(...this.point(event));
    });
    for (const end of ["pointerup", "pointercancel"]) {
      stage.addEventListener(end, (event) => {
        pointers.delete(event.pointerId);
        stage.classList.toggle("moving", pointers.size > 0);
      });
    }
    stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), this.point(event));
    }, { passive: false });
    stage.addEventListener("dblclick", (event) => {
      if (event.target.closest("button, #divider") || !this.picture) return;
      const target = this.scale === 1 ? this.fitting() : 1;
      this.zoom(target / this.scale, this.point(event));
    });
    stage.addEventListener("keydown", (event) => this.press(event));
  }

  /** One pointer pans the image, two also zoom it. */
  drag(event) {
    const now = this.point(event);
    const before = this.pointers.get(event.pointerId);
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.pointers.set(event.pointerId, now);
    if (this.pressed && Math.hypot(now[0] - this.pressed[0], now[1] - this.pressed[1]) > STILL) this.pressed = null;
    if (!other && this.fitted && this.loupe.active) return this.loupe.put(...now);
    if (!other) return this.pan(before[0] - now[0], before[1] - now[1]);
    const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
    this.pan((before[0] - now[0]) / 2, (before[1] - now[1]) / 2);
    this.zoom(apart(now) / Math.max(apart(before), 1), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("button")) return;
    const keys = {
      ArrowLeft: () => this.pan(-PAN, 0),
      ArrowRight: () => this.pan(PAN, 0),
      ArrowUp: () => this.pan(0, -PAN),
      ArrowDown: () => this.pan(0, PAN),
      "+": () => this.zoom(STEP),
      "=": () => this.zoom(STEP),
      "-": () => this.zoom(1 / STEP),
      0: () => this.fit(),
      1: () => this.full(),
      l: () => this.loupe.toggle(),
    };
    const key = event.key.toLowerCase() === "l" ? "l" : event.key;
    if (!keys[key] || !this.picture) return;
    keys[key]();
    event.preventDefault();
  }
}

export { STEP };
