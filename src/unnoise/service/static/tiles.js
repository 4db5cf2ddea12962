// The denoised side of the view: tiles of the image, denoised when they come into view, and kept.

import { encode } from "./png.js";
import { piece, uncertainty } from "./service.js";

const SIZE = 512;
const MARGIN = 48; // pixels of context around a tile
const AT_ONCE = 2;
const GAIN = 4; // of the noise map
const ERROR_GAIN = 16; // of the uncertainty map

/** What a tile can show: a value from the noisy and the denoised one, the map that it needs, if any, and its name in `words.js`. */
export const VIEWS = {
  clean: { tag: "after", value: (noisy, clean) => clean },
  noise: { tag: "tag-noise", value: (noisy, clean) => 128 + GAIN * (noisy - clean) },
  error: { tag: "tag-error", value: (noisy, clean, map) => map, needs: "error" },
  level: { tag: "tag-level", value: (noisy, clean, map) => map, needs: "level" },
};

export class Tiles {
  /** `changed` is called when a tile is ready, `failed` with an error. */
  constructor(changed, failed) {
    this.changed = changed;
    this.failed = failed;
    this.view = "clean";
    this.held = false;
    this.clear();
  }

  clear() {
    for (const tile of this.tiles?.values() ?? []) tile.stop?.abort();
    this.tiles = new Map();
    this.wanted = [];
    this.picture = this.options = null;
    this.stuck = false;
  }

  /**
   * Set the image, `{ bitmap, width, height, grey, level }`, and the options of its denoising, `{ model, sigma }`, or null
   * to leave it unchanged. `level()` returns a promise of the map of the noise level of the whole image, a bitmap.
   */
  use(picture, options) {
    this.clear();
    this.picture = picture;
    this.options = options;
  }

  /** Return the tiles in a rectangle of the image, those nearest to its center first. */
  within(left, top, right, bottom) {
    const found = [];
    if (!this.picture) return found;
    for (let y = Math.floor(Math.max(top, 0) / SIZE) * SIZE; y < Math.min(bottom, this.picture.height); y += SIZE) {
      for (let x = Math.floor(Math.max(left, 0) / SIZE) * SIZE; x < Math.min(right, this.picture.width); x += SIZE) {
        found.push(this.tile(x, y));
      }
    }
    const far = (tile) => Math.hypot(tile.x + SIZE / 2 - (left + right) / 2, tile.y + SIZE / 2 - (top + bottom) / 2);
    return found.sort((one, other) => far(one) - far(other));
  }

  tile(x, y) {
    const key = `${x},${y}`;
    if (!this.tiles.has(key)) {
      const { width, height } = this.picture;
      this.tiles.set(key, { x, y, width: Math.min(SIZE, width - x), height: Math.min(SIZE, height - y), parts: {}, painted: {} });
    }
    return this.tiles.get(key);
  }

  /** Set the visible tiles; requests for others are aborted. */
  want(tiles) {
    this.wanted = tiles;
    for (const tile of this.tiles.values()) if (tile.stop && !tiles.includes(tile)) tile.stop.abort();
    this.work();
  }

  /** Set what the tiles show, a key of `VIEWS`. */
  setView(view) {
    this.view = view;
    this.work();
  }

  /** Tell whether everything is there that a tile shows. */
  has(tile) {
    const { needs } = VIEWS[this.view];
    return Boolean(tile.clean && (!needs || tile[needs]));
  }

  get missing() {
    return this.stuck ? 0 : this.wanted.filter((tile) => !this.has(tile)).length;
  }

  /** Request nothing more while something else needs the service. */
  hold(held) {
    this.held = held;
    this.work();
  }

  work() {
    const open = () => this.wanted.filter((tile) => tile.stop).length;
    for (const tile of this.wanted) {
      if (this.stuck || this.held || open() >= AT_ONCE) return;
      if (!this.has(tile) && !tile.stop) this.fetch(tile);
    }
  }

  async fetch(tile) {
    const { picture, options } = this;
    tile.stop = new AbortController();
    try {
      const left = Math.max(tile.x - MARGIN, 0);
      const top = Math.max(tile.y - MARGIN, 0);
      const right = Math.min(tile.x + tile.width + MARGIN, picture.width);
      const bottom = Math.min(tile.y + tile.height + MARGIN, picture.height);
      const { signal } = tile.stop;
      const inner = async (blob) => {
        const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
        const cut = pixels(bitmap, tile.x - left, tile.y - top, tile.width, tile.height);
        bitmap.close();
        return cut;
      };
      if (options) {
        const around = await encode(pixels(picture.bitmap, left, top, right - left, bottom - top), picture.grey);
        tile.clean ??= await inner(await piece(around, options, signal));
        if (!this.has(tile) && VIEWS[this.view].needs === "error") {
          tile.error = await inner(await uncertainty(around, options, ERROR_GAIN, signal));
        }
      } else {
        tile.clean = this.part(tile, "noisy", 1);
        tile.error = new ImageData(tile.width, tile.height);
      }
      if (!this.has(tile) && VIEWS[this.view].needs === "level") {
        tile.level = pixels(await picture.level(), tile.x, tile.y, tile.width, tile.height);
      }
      if (this.options === options && this.picture === picture) this.changed();
    } catch (error) {
      if (error.name !== "AbortError" && this.options === options && this.picture === picture) {
        this.stuck = true;
        this.failed(error);
      }
    } finally {
      tile.stop = null;
    }
    this.work();
  }

  /** Return the pixels of a tile, "noisy", "clean" or a map, reduced by a power of two. */
  part(tile, name, reduce) {
    const size = [Math.max(1, Math.round(tile.width / reduce)), Math.max(1, Math.round(tile.height / reduce))];
    if (name !== "noisy" && reduce === 1) return tile[name];
    const whole = () => (name === "noisy" ? this.picture.bitmap : painted(tile[name]));
    const [x, y] = name === "noisy" ? [tile.x, tile.y] : [0, 0];
    return (tile.parts[`${name} ${reduce}`] ??= pixels(whole(), x, y, tile.width, tile.height, ...size));
  }

  /** Return the canvas of a tile, reduced by a power of two, and repainted only when what it shows has changed. */
  canvas(tile, strength, reduce = 1) {
    const now = `${this.view} ${strength}`;
    if (tile.painted[reduce]?.now !== now) {
      const { value, needs } = VIEWS[this.view];
      const [noisy, clean, map] = ["noisy", "clean", needs].map((name) => name && this.part(tile, name, reduce));
      const shown = new ImageData(noisy.width, noisy.height);
      const { data } = shown;
      for (let index = 0; index < data.length; index += 1) {
        const before = noisy.data[index];
        const after = before + strength * (clean.data[index] - before);
        data[index] = index % 4 === 3 ? before : value(before, after, map?.data[index]);
      }
      tile.painted[reduce] = { now, canvas: painted(shown, tile.painted[reduce]?.canvas) };
    }
    return tile.painted[reduce].canvas;
  }
}

/** Return a canvas of pixels. */
function painted(shown, canvas = blank(shown.width, shown.height)) {
  canvas.getContext("2d").putImageData(shown, 0, 0);
  return canvas;
}

function blank(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

/** Return a part of an image as pixels, in its own size or in another. */
function pixels(image, x, y, width, height, wide = width, high = height) {
  const context = blank(wide, high).getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(image, x, y, width, height, 0, 0, wide, high);
  return context.getImageData(0, 0, wide, high);
}
