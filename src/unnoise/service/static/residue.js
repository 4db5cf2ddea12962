// Whether noise is left in what is shown: the noise of a denoised tile is estimated, once all is at rest.

import { debounced } from "./dom.js";
import { encode } from "./png.js";
import { inspect } from "./service.js";

const REST = 500; // milliseconds
const SHARE = 0.2; // of the noise of the image that may be left: what estimates of clean photographs stay below
const LEAST = 3.5; // sigma in 8-bit units below which nothing is said, for textures of clean images have as much

export class Residue {
  /** `found` is called with the level of the noise that is left, or null. */
  constructor(tiles, found) {
    Object.assign(this, { tiles, found });
    this.check = debounced(() => this.run(), REST);
    this.now = "";
  }

  /** Estimate it anew if what is shown has changed: an image with its noise report, at a strength; null for none. */
  watch(item, strength) {
    const { options, view, missing } = this.tiles;
    const now = item && options && view === "clean" ? JSON.stringify([options, strength]) : "";
    if (this.item !== item || this.now !== now) {
      Object.assign(this, { item, now, strength, done: false });
      this.stop?.abort();
      this.found(null);
    }
    if (now && !missing && !this.done) this.check();
  }

  async run() {
    const { item, now, tiles, strength } = this;
    const tile = tiles.wanted.find((one) => tiles.has(one));
    if (!now || this.done || !tile || tiles.missing) return;
    this.done = true;
    this.stop = new AbortController();
    const { width, height } = tile;
    const pixels = tiles.canvas(tile, strength).getContext("2d").getImageData(0, 0, width, height);
    const report = await inspect(await encode(pixels, item.picture.grey), this.stop.signal).catch(() => null);
    if (!report || this.item !== item || this.now !== now) return;
    const { level } = report;
    this.found(level > Math.max(LEAST, SHARE * item.report.level) && report.noise !== "none" ? level : null);
  }
}
