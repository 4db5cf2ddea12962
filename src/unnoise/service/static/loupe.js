// The loupe: while the image is reduced, a part of it at 100 %, before and after side by side.

import { debounced } from "./dom.js";

const REST = 120; // milliseconds that the loupe must rest before its tiles are requested

export class Loupe {
  /** `lens` holds the canvas of the loupe, `mark` frames the part on the image of the view. */
  constructor({ lens, mark }, view) {
    Object.assign(this, { lens, mark, view });
    this.canvas = lens.querySelector("canvas");
    this.on = true;
    this.toggled = () => {}; // called when it is turned on or off
    [this.x, this.y] = [0, 0]; // of the center of the part, in pixels of the image
    this.askSoon = debounced(() => view.ask(), REST);
  }

  get active() {
    return Boolean(this.on && this.view.picture && this.view.scale < 1);
  }

  toggle() {
    this.on = !this.on;
    this.toggled();
    this.view.ask();
    this.view.draw();
  }

  /** Put it near the center of the image, beside the handle of the divider. */
  begin() {
    const { width, height } = this.view.picture;
    [this.x, this.y] = [0.62 * width, 0.4 * height];
  }

  /** Move it to a point of the stage, in device pixels from its center. */
  put(right, down) {
    const { x, y, scale } = this.view;
    this.move(x + right / scale, y + down / scale);
  }

  /** Move it by a distance on the stage, in device pixels. */
  shift(right, down) {
    this.move(this.x + right / this.view.scale, this.y + down / this.view.scale);
  }

  move(x, y) {
    if (!this.active) return;
    [this.x, this.y] = [x, y];
    this.view.draw();
    this.askSoon();
  }

  /** The edges of the part, in pixels of the image: left, top, right, bottom. */
  get edges() {
    const { width, height } = this.view.picture;
    const [wide, high] = [Math.min(this.half, width), Math.min(this.canvas.height, height)];
    const left = Math.round(Math.min(Math.max(this.x - wide / 2, 0), width - wide));
    const top = Math.round(Math.min(Math.max(this.y - high / 2, 0), height - high));
    return [left, top, left + wide, top + high];
  }

  /** Device pixels of each side of the lens, which equal pixels of the image. */
  get half() {
    return Math.max((this.canvas.width - 2) >> 1, 1);
  }

  paint() {
    const { canvas, lens, mark, view } = this;
    lens.hidden = mark.hidden = !this.active;
    if (!this.active) return;
    const ratio = window.devicePixelRatio || 1;
    const size = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (size[0] !== canvas.width || size[1] !== canvas.height) {
      [canvas.width, canvas.height] = size;
      this.askSoon();
    }
    const [left, top, right, bottom] = this.edges;
    const [wide, high] = [right - left, bottom - top];
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.drawImage(view.picture.bitmap, left, top, wide, high, 0, 0, wide, high);
    context.save();
    context.beginPath();
    context.rect(this.half + 2, 0, wide, high);
    context.clip();
    context.translate(this.half + 2 - left, -top);
    context.drawImage(view.picture.bitmap, left, top, wide, high, left, top, wide, high);
    for (const tile of view.tiles.within(left, top, right, bottom)) {
      if (!view.tiles.has(tile)) continue;
      context.clearRect(tile.x, tile.y, tile.width, tile.height);
      context.drawImage(view.tiles.canvas(tile, view.strength), tile.x, tile.y);
    }
    context.restore();
    this.place(ratio);
  }

  /** Frame the part on the image, and keep the lens from covering it. */
  place(ratio) {
    const { lens, mark, view } = this;
    const [left, top, right, bottom] = this.edges;
    const [x, y] = view.origin;
    const box = [x + left * view.scale, y + top * view.scale, (right - left) * view.scale, (bottom - top) * view.scale].map((side) => side / ratio);
    ["left", "top", "width", "height"].forEach((name, index) => (mark.style[name] = `${box[index]}px`));
    const covers = (start) => box[0] < start + lens.offsetWidth && box[0] + box[2] > start && box[1] + box[3] > lens.offsetTop;
    const there = view.stage.clientWidth - lens.offsetWidth - 12;
    if (covers(lens.offsetLeft)) lens.classList.toggle("right", covers(12) && !covers(there));
  }
}
