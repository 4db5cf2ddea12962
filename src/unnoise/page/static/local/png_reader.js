// PNG files of 8 and 16 bits to samples, as they are stored: browsers would reduce them to 8 bits and convert colors.

import { crc32 } from "../zip.js";
import { Failure, damaged } from "./failure.js";
import settings from "./settings.js";

const CHANNELS = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }; // color type -> samples of a pixel
const DEPTHS = { 0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16] };
const WHOLE = [[0, 0, 1, 1]];
const INTERLACED = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

export const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** Return `{ width, height, channels, alpha, depth, samples, chunks }`, with the chunks other than those of the pixels. */
export async function readPng(bytes) {
  const chunks = [...chunksOf(bytes)];
  const first = (name) => chunks.find((chunk) => chunk.name === name)?.data;
  const head = header(first("IHDR"));
  const parts = chunks.filter((chunk) => chunk.name === "IDAT").map((chunk) => chunk.data);
  const passes = head.interlaced ? INTERLACED : WHOLE;
  const sizes = passes.map(([x, y, right, down]) => [Math.ceil((head.width - x) / right), Math.ceil((head.height - y) / down)]);
  const rowBytes = (width) => Math.ceil((width * head.stored * head.depth) / 8);
  const length = sizes.reduce((sum, [width, height]) => sum + (width ? height * (1 + rowBytes(width)) : 0), 0);
  const packed = await inflate(parts, length);
  const stored = new (head.depth === 16 ? Uint16Array : Uint8Array)(head.width * head.height * head.stored);
  let at = 0;
  passes.forEach(([x, y, right, down], pass) => {
    const [width, height] = sizes[pass];
    if (!width || !height) return;
    const size = height * (1 + rowBytes(width));
    const rows = unfilter(packed.subarray(at, at + size), height, rowBytes(width), Math.max(1, (head.stored * head.depth) >> 3));
    at += size;
    unpack(rows, rowBytes(width), width, height, head, (column, row) => ((y + row * down) * head.width + x + column * right) * head.stored, stored);
  });
  return { ...interpret(stored, head, first("PLTE"), first("tRNS")), chunks };
}

/** Yield `{ name, data }` of each chunk whose checksum is right; those of the pixels must be. */
function* chunksOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let place = SIGNATURE.length; place + 12 <= bytes.length; ) {
    const length = view.getUint32(place);
    if (place + 12 + length > bytes.length) throw damaged("it is cut off");
    const name = String.fromCharCode(...bytes.subarray(place + 4, place + 8));
    const right = crc32(bytes.subarray(place + 4, place + 8 + length)) === view.getUint32(place + 8 + length);
    if (!right && name[0] < "a") throw damaged(`the checksum of ${name} is wrong`);
    if (right) yield { name, data: bytes.subarray(place + 8, place + 8 + length) };
    if (name === "IEND") return;
    place += 12 + length;
  }
  throw damaged("it is cut off");
}

function header(data) {
  if (data?.length !== 13) throw damaged("it has no header");
  const view = new DataView(data.buffer, data.byteOffset, 13);
  const [width, height, depth, kind] = [view.getUint32(0), view.getUint32(4), data[8], data[9]];
  if (!width || !height || !DEPTHS[kind]?.includes(depth) || data[12] > 1) throw damaged("its header is invalid");
  if (width * height > settings.limits.pixels) throw new Failure(413, `${width} x ${height} pixels`);
  return { width, height, depth, kind, stored: CHANNELS[kind], interlaced: data[12] === 1 };
}

/** Inflate the pixels, and not more than there are. */
async function inflate(parts, length) {
  const result = new Uint8Array(length);
  const reader = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  let filled = 0;
  while (filled < length) {
    const { done, value } = await reader.read().catch(() => ({ done: true }));
    if (done) throw damaged("pixels are missing");
    result.set(value.subarray(0, length - filled), filled);
    filled += value.length;
  }
  reader.cancel().catch(() => {});
  return result;
}

/** Undo the filters of the rows, and return the rows without the bytes that name them. */
function unfilter(packed, height, width, back) {
  const rows = new Uint8Array(height * width);
  for (let row = 0; row < height; row += 1) {
    const [from, to] = [row * (width + 1), row * width];
    const kind = packed[from];
    if (kind > 4) throw damaged("a row has an unknown filter");
    for (let x = 0; x < width; x += 1) {
      const left = x >= back ? rows[to + x - back] : 0;
      const above = row ? rows[to + x - width] : 0;
      const corner = row && x >= back ? rows[to + x - width - back] : 0;
      rows[to + x] = packed[from + 1 + x] + predicted(kind, left, above, corner);
    }
  }
  return rows;
}

/** Return what a filter predicts of a byte; the kinds are none, left, above, their mean, and Paeth's. */
export function predicted(kind, left, above, corner) {
  if (kind === 0) return 0;
  if (kind === 1) return left;
  if (kind === 2) return above;
  if (kind === 3) return (left + above) >> 1;
  const [near, high, across] = [Math.abs(above - corner), Math.abs(left - corner), Math.abs(left + above - 2 * corner)];
  if (near <= high && near <= across) return left;
  return high <= across ? above : corner;
}

function unpack(rows, rowBytes, width, height, { depth, stored }, place, samples) {
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1) {
      const to = place(column, row);
      for (let sample = 0; sample < stored; sample += 1) {
        const index = column * stored + sample;
        if (depth === 16) {
          const at = row * rowBytes + 2 * index;
          samples[to + sample] = (rows[at] << 8) | rows[at + 1];
        } else {
          const bit = index * depth;
          samples[to + sample] = (rows[row * rowBytes + (bit >> 3)] >> (8 - depth - (bit & 7))) & ((1 << depth) - 1);
        }
      }
    }
  }
}

/** Return samples without a palette, of at least 8 bits, with the transparency of `tRNS` as alpha. */
function interpret(stored, { width, height, depth, kind, stored: count }, palette, transparent) {
  const size = width * height;
  const wide = depth === 16;
  if (kind === 4 || kind === 6) return { width, height, channels: count - 1, alpha: true, depth, samples: stored };
  const channels = kind === 3 ? 3 : count;
  const alpha = Boolean(transparent);
  if (!alpha && kind !== 3 && depth >= 8) return { width, height, channels, alpha, depth, samples: stored };
  if (kind === 3 && !palette) throw damaged("it has no palette");
  const samples = new (wide ? Uint16Array : Uint8Array)(size * (channels + alpha));
  const [most, top] = [wide ? 65535 : 255, depth < 8 && kind !== 3 ? 255 / (2 ** depth - 1) : 1];
  const key = alpha && kind !== 3 ? Array.from({ length: count }, (_, sample) => (transparent[2 * sample] << 8) | transparent[2 * sample + 1]) : null;
  for (let pixel = 0; pixel < size; pixel += 1) {
    const to = pixel * (channels + alpha);
    const own = stored.subarray(pixel * count, (pixel + 1) * count);
    for (let channel = 0; channel < channels; channel += 1) {
      samples[to + channel] = kind === 3 ? palette[3 * own[0] + channel] : own[channel] * top;
    }
    if (alpha) samples[to + channels] = kind === 3 ? (transparent[own[0]] ?? 255) : own.every((value, sample) => value === key[sample]) ? 0 : most;
  }
  return { width, height, channels, alpha, depth: wide ? 16 : 8, samples };
}
