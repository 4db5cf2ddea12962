// JPEG files: their segments, how they were encoded, and their samples, which the browser decodes.

import { Failure, damaged, impossible } from "./failure.js";
import settings from "./settings.js";

const ADOBE = "Adobe";
const ZIGZAG = settings.jpeg.zigzag; // place in a file -> place in a block, row by row

/** Return `{ width, height, channels, alpha, depth, samples, segments, encoding }`. */
export async function readJpeg(bytes) {
  const segments = [...segmentsOf(bytes)];
  const encoding = encodingOf(segments);
  const { width, height, channels } = encoding;
  if (channels > 3) throw impossible("CMYK images are for the command line and the service");
  if (encoding.precision !== 8) throw impossible("JPEG of 12 bits is for the command line");
  if (width * height > settings.limits.pixels) throw new Failure(413, `${width} x ${height} pixels`);
  const rgba = await decode(bytes, segments, encoding);
  const samples = new Uint8Array(width * height * channels);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    for (let channel = 0; channel < channels; channel += 1) samples[to++] = rgba[from + channel];
  }
  return { width, height, channels, alpha: false, depth: 8, samples, segments, encoding };
}

/** Yield `{ marker, data, start, end }` of the segments before the pixels; the last one is the start of the first scan. */
function* segmentsOf(bytes) {
  for (let place = 2; place + 4 <= bytes.length && bytes[place] === 0xff; ) {
    const marker = bytes[place + 1];
    if (marker === 0xff) {
      place += 1; // a fill byte
      continue;
    }
    const end = place + 2 + ((bytes[place + 2] << 8) | bytes[place + 3]);
    if (end > bytes.length || end < place + 4) break;
    yield { marker, data: bytes.subarray(place + 4, end), start: place, end };
    if (marker === 0xda) return;
    place = end;
  }
  throw damaged("it has no pixels");
}

/** Decode without the segments of color and orientation, so that samples are those of the file. */
async function decode(bytes, segments, { width, height }) {
  const kept = segments.filter(({ marker, data }) => !isApplication(marker) || startsWith(data, ADOBE));
  const parts = kept.map(({ start, end }) => bytes.subarray(start, end));
  const blob = new Blob([bytes.subarray(0, 2), ...parts, bytes.subarray(segments.at(-1).end)], { type: "image/jpeg" });
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" }).catch(() => {
    throw damaged("the browser cannot decode it");
  });
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, width, height).data;
}

export function isApplication(marker) {
  return marker >= 0xe0 && marker < 0xf0;
}

export function startsWith(data, text) {
  return [...text].every((letter, place) => data[place] === letter.charCodeAt(0));
}

/** Return size, quantization tables, and the pixels for each chroma sample. */
function encodingOf(segments) {
  const tables = {};
  for (const { data } of segments.filter(({ marker }) => marker === 0xdb)) Object.assign(tables, tablesOf(data));
  const frame = segments.find(({ marker }) => marker >= 0xc0 && marker < 0xd0 && ![0xc4, 0xc8, 0xcc].includes(marker))?.data;
  if (!frame || frame.length < 6 + 3 * frame[5] || !frame[5]) throw damaged("it has no frame");
  const parts = Array.from({ length: frame[5] }, (_, part) => frame.subarray(6 + 3 * part, 9 + 3 * part));
  const adobe = segments.find(({ marker, data }) => marker === 0xee && startsWith(data, ADOBE))?.data;
  const named = String.fromCharCode(...parts.map(([name]) => name));
  const factor = (shift) => {
    const [luma, ...chroma] = parts.map(([, sampling]) => (sampling >> shift) & 15);
    return Math.min(2, ...chroma.map((own) => Math.floor(luma / Math.max(own, 1))));
  };
  return {
    precision: frame[0],
    height: (frame[1] << 8) | frame[2],
    width: (frame[3] << 8) | frame[4],
    channels: frame[5],
    tables: parts.map(([, , table]) => tables[table] ?? settings.jpeg.tables[0]),
    sampling: parts.length === 3 ? [factor(4), factor(0)] : [1, 1],
    rgb: parts.length === 3 && (adobe?.[11] === 0 || named === "RGB"),
  };
}

/** Return the quantization tables of a segment by number, row by row. */
function tablesOf(data) {
  const found = {};
  for (let place = 0; place < data.length; ) {
    const [bytes, number] = [data[place] >> 4 ? 2 : 1, data[place] & 15];
    const table = new Array(64);
    for (let index = 0; index < 64; index += 1) {
      const at = place + 1 + index * bytes;
      table[ZIGZAG[index]] = bytes === 2 ? (data[at] << 8) | data[at + 1] : data[at];
    }
    found[number] = table;
    place += 1 + 64 * bytes;
  }
  return found;
}
