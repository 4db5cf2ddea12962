// Metadata of PNG and JPEG files: what is carried over, byte for byte, and from one format to the other.

import { isApplication, startsWith } from "./jpeg_reader.js";
import { deflate } from "./png_writer.js";
import settings from "./settings.js";

const EXIF = "Exif\0\0";
const XMP = "http://ns.adobe.com/xap/1.0/\0";
const XMP_CHUNK = "XML:com.adobe.xmp\0\0\0\0\0";
const ICC = "ICC_PROFILE\0";
const LONGEST = 65533; // bytes in a segment
const OF_THE_ENCODER = ["sBIT", "bKGD"]; // which have another form if there was a palette

/** Return the chunks of a PNG file with the metadata of a picture. */
export async function chunksFor({ chunks, segments }) {
  return chunks ? ownChunks(chunks) : chunksOf(segments);
}

/** Return the segments of a JPEG file with the metadata of a picture. */
export async function segmentsFor({ chunks, segments, encoding }) {
  return segments ? ownSegments(segments, encoding) : segmentsOf(chunks);
}

function ownChunks(chunks) {
  const palette = chunks.some(({ name }) => name === "PLTE" || name === "tRNS");
  const small = chunks.find(({ name }) => name === "IHDR").data[8] < 8;
  return chunks.filter(({ name }) => {
    if (name[0] < "a" || settings.png.not_carried.includes(name)) return false;
    if (OF_THE_ENCODER.includes(name) && (palette || small)) return false;
    return settings.png.known.includes(name) || name[3] >= "a"; // by the specification, safe to copy
  });
}

function ownSegments(segments, encoding) {
  const isSigned = segments.some(({ marker, data }) => marker === 0xeb && includes(data, "c2pa"));
  const kept = segments.filter(({ marker, data }) => {
    if (!isApplication(marker) && marker !== 0xfe) return false;
    if (startsWith(data, "JFXX\0") || startsWith(data, "MPF\0") || (marker === 0xeb && isSigned)) return false;
    return !(startsWith(data, "Adobe") && encoding.rgb);
  });
  return kept.map(({ marker, data }) => {
    const thumbnail = startsWith(data, "JFIF\0") && data.length > 14;
    return { marker, data: thumbnail ? Uint8Array.of(...data.subarray(0, 12), 0, 0) : data };
  });
}

async function chunksOf(segments) {
  const found = [];
  const profile = joined(segments);
  const add = (name, ...parts) => found.push({ name, data: together(...parts) });
  if (profile.length) add("iCCP", "icc\0\0", await deflate(profile));
  const density = segments.find(({ data }) => startsWith(data, "JFIF\0"))?.data;
  const perMeter = { 1: 100 / 2.54, 2: 100 }[density?.[7]];
  if (perMeter) {
    const sides = new DataView(new ArrayBuffer(9));
    [8, 10].forEach((at, side) => sides.setUint32(4 * side, Math.max(1, Math.round(((density[at] << 8) | density[at + 1]) * perMeter))));
    sides.setUint8(8, 1);
    add("pHYs", new Uint8Array(sides.buffer));
  }
  const exif = content(segments, EXIF);
  if (exif) add("eXIf", exif);
  const xmp = content(segments, XMP);
  if (xmp) add("iTXt", XMP_CHUNK, xmp);
  return found;
}

async function segmentsOf(chunks) {
  const chunk = (name) => chunks.find((one) => one.name === name)?.data;
  const found = [];
  const exif = chunk("eXIf");
  if (exif) found.push({ marker: 0xe1, data: together(startsWith(exif, EXIF) ? "" : EXIF, exif) });
  const xmp = chunks.find(({ name, data }) => name === "iTXt" && startsWith(data, XMP_CHUNK))?.data;
  if (xmp) found.push({ marker: 0xe1, data: together(XMP, xmp.subarray(XMP_CHUNK.length)) });
  const packed = chunk("iCCP");
  const profile = packed ? await inflated(packed.subarray(packed.indexOf(0) + 2)) : new Uint8Array(0);
  const size = LONGEST - ICC.length - 2;
  const count = Math.ceil(profile.length / size);
  for (let number = 0; number < count; number += 1) {
    const part = profile.subarray(number * size, (number + 1) * size);
    found.push({ marker: 0xe2, data: together(ICC, Uint8Array.of(number + 1, count), part) });
  }
  return found.filter(({ data }) => data.length <= LONGEST);
}

/** Return the orientation in the EXIF block of a picture, 1 to 8. */
export function orientation({ chunks, segments }) {
  const found = segments ? content(segments, EXIF) : chunks.find(({ name }) => name === "eXIf")?.data;
  if (!found || found.length < 14) return 1;
  const exif = startsWith(found, EXIF) ? found.subarray(EXIF.length) : found;
  const view = new DataView(exif.buffer, exif.byteOffset, exif.length);
  const little = view.getUint16(0) === 0x4949;
  const start = view.getUint32(4, little);
  if (start + 2 > exif.length) return 1;
  for (let entry = 0; entry < view.getUint16(start, little); entry += 1) {
    const at = start + 2 + 12 * entry;
    if (at + 12 > exif.length) break;
    if (view.getUint16(at, little) === 0x0112) return view.getUint16(at + 8, little);
  }
  return 1;
}

/** Return the color profile in the segments of a file, empty if there is none or a part of it is missing. */
function joined(segments) {
  const parts = segments.filter(({ marker, data }) => marker === 0xe2 && startsWith(data, ICC)).map(({ data }) => data.subarray(ICC.length));
  parts.sort((one, other) => one[0] - other[0]);
  return parts.length && parts.length === parts[0][1] ? together(...parts.map((part) => part.subarray(2))) : new Uint8Array(0);
}

function content(segments, mark) {
  const found = segments.find(({ marker, data }) => marker === 0xe1 && startsWith(data, mark));
  return found?.data.subarray(mark.length);
}

function includes(data, text) {
  return new TextDecoder("latin1").decode(data).includes(text);
}

/** Return texts of single bytes, and bytes, one after the other. */
function together(...parts) {
  const bytes = parts.map((part) => (typeof part === "string" ? Uint8Array.from(part, (letter) => letter.charCodeAt(0)) : part));
  const whole = new Uint8Array(bytes.reduce((sum, part) => sum + part.length, 0));
  let place = 0;
  for (const part of bytes) {
    whole.set(part, place);
    place += part.length;
  }
  return whole;
}

async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer().catch(() => new ArrayBuffer(0)));
}
