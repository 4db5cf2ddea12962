// The denoised side of the view: tiles of the image, denoised when they come into view, and kept.

import { encode } from "./png.js";
import { piece, uncertainty } from "./service.js";

const SIZE = 512;
const MARGIN = 48; // pixels of context around a tile
const AT_ONCE = 2;
const GAIN = 4; // of the noise map
const ERROR_GAIN = 16; // of the uncertainty map

/** What a tile can show: a value from the noisy and the denoised one, and the map that it needs, if any. */
export const VIEWS = {
  clean: { label: "Denoised", tag: "After", value: (noisy, clean) => clean },
  noise: { label: "Noise map", tag: "Removed noise, × 4", value: (noisy, clean) => 128 + GAIN * (noisy - clean) },
  error: { label: "Error map", tag: "Expected error, × 16", value: (noisy, clean, map) => map, needs: "error" },
  level: { label: "Noise level", tag: "Noise level, 0.5 to 64", value: (noisy, clean, map) => map, needs: "level" },
};

export class Tiles {
  /** `changed` is called when a tile is ready, `failed` with an error. */
  constructor(changed, failed) {
    this.changed = changed;
    this.failed = failed;
    this.view = "clean";
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
      this.tiles.set(key, { x, y, width: Math.min(SIZE, width - x), height: Math.min(SIZE, height - y) });
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

  work() {
    const open = () => this.wanted.filter((tile) => tile.stop).length;
    for (const tile of this.wanted) {
      if (this.stuck || open() >= AT_ONCE) return;
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
      tile.noisy ??= pixels(picture.bitmap, tile.x, tile.y, tile.width, tile.height);
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
        tile.clean = tile.noisy;
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

  /** Return the canvas of a tile, repainted only when what it shows has changed. */
  painted(tile, strength) {
    const now = `${this.view} ${strength}`;
    if (tile.now !== now) {
      tile.canvas ??= blank(tile.width, tile.height);
      const shown = new ImageData(tile.width, tile.height);
      const { value, needs } = VIEWS[this.view];
      const [noisy, clean, map, data] = [tile.noisy.data, tile.clean.data, tile[needs]?.data, shown.data];
      for (let index = 0; index < data.length; index += 1) {
        const before = noisy[index];
        data[index] = index % 4 === 3 ? before : value(before, before + strength * (clean[index] - before), map?.[index]);
      }
      tile.canvas.getContext("2d").putImageData(shown, 0, 0);
      tile.now = now;
    }
    return tile.canvas;
  }
}

function blank(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

function pixels(bitmap, x, y, width, height) {
  const context = blank(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, x, y, width, height, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}
