// Samples of 8 or 16 bits to a PNG file, with the chunks of metadata that belong to it.

import { chunk } from "../png.js";
import { SIGNATURE, predicted } from "./png_reader.js";

const KINDS = { "1false": 0, "3false": 2, "1true": 4, "3true": 6 }; // channels and alpha -> color type

/** Encode `{ width, height, channels, alpha, depth, samples }`; returns a Blob. */
export async function writePng(picture, chunks = []) {
  const { width, height, channels, alpha, depth } = picture;
  const head = new DataView(new ArrayBuffer(13));
  head.setUint32(0, width);
  head.setUint32(4, height);
  head.setUint8(8, depth);
  head.setUint8(9, KINDS[`${channels}${alpha}`]);
  const packed = await deflate(filtered(picture));
  const all = [{ name: "IHDR", data: new Uint8Array(head.buffer) }, ...chunks, { name: "IDAT", data: packed }, { name: "IEND", data: new Uint8Array(0) }];
  return new Blob([Uint8Array.from(SIGNATURE), ...all.map(({ name, data }) => chunk(name, data))], { type: "image/png" });
}

export async function deflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Return rows of bytes, each with the filter that makes it smallest by the usual rule, the sum of absolute values. */
function filtered({ width, height, channels, alpha, depth, samples }) {
  const back = (channels + alpha) * (depth / 8);
  const length = width * back;
  const rows = new Uint8Array(height * (length + 1));
  let [above, own] = [new Uint8Array(length), new Uint8Array(length)];
  const tries = Array.from({ length: 5 }, () => new Uint8Array(length));
  for (let row = 0; row < height; row += 1) {
    const from = row * width * (channels + alpha);
    if (depth === 8) own.set(samples.subarray(from, from + length));
    else for (let at = 0; at < length; at += 1) own[at] = at % 2 ? samples[from + (at >> 1)] & 255 : samples[from + (at >> 1)] >> 8;
    const costs = tries.map((line, kind) => {
      let cost = 0;
      for (let at = 0; at < length; at += 1) {
        const before = at >= back;
        const value = (own[at] - predicted(kind, before ? own[at - back] : 0, above[at], before ? above[at - back] : 0)) & 255;
        line[at] = value;
        cost += value < 128 ? value : 256 - value;
      }
      return cost;
    });
    const best = costs.indexOf(Math.min(...costs));
    rows[row * (length + 1)] = best;
    rows.set(tries[best], row * (length + 1) + 1);
    [above, own] = [own, above];
  }
  return rows;
}
