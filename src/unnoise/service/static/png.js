// Pixels to a PNG without a color profile, gray if the image is gray.

import { crc32 } from "./zip.js";

/** Encode pixels as RGBA, as RGB if none is transparent, or as gray. */
export async function encode({ width, height, data }, grey) {
  const opaque = !data.some((value, index) => index % 4 === 3 && value !== 255);
  const channels = grey && opaque ? 1 : opaque ? 3 : 4;
  const rows = new Uint8Array(height * (1 + width * channels));
  let to = 0;
  for (let from = 0, column = 0; from < data.length; from += 4, column += 1) {
    if (column % width === 0) to += 1; // the filter of a row: none
    for (let channel = 0; channel < channels; channel += 1) rows[to++] = data[from + channel];
  }
  const packed = new Blob([rows]).stream().pipeThrough(new CompressionStream("deflate"));
  const pixels = new Uint8Array(await new Response(packed).arrayBuffer());
  const head = new DataView(new ArrayBuffer(13));
  head.setUint32(0, width);
  head.setUint32(4, height);
  head.setUint8(8, 8);
  head.setUint8(9, { 1: 0, 3: 2, 4: 6 }[channels]);
  const signature = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const parts = [chunk("IHDR", new Uint8Array(head.buffer)), chunk("IDAT", pixels), chunk("IEND", new Uint8Array(0))];
  return new Blob([signature, ...parts], { type: "image/png" });
}

/** Return a chunk of a PNG: length, name, data, checksum. */
export function chunk(name, data) {
  const whole = new Uint8Array(12 + data.length);
  const view = new DataView(whole.buffer);
  view.setUint32(0, data.length);
  whole.set(new TextEncoder().encode(name), 4);
  whole.set(data, 8);
  view.setUint32(8 + data.length, crc32(whole.subarray(4, 8 + data.length)));
  return whole;
}
