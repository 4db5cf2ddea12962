// A file to a picture and back: samples of 8 or 16 bits in [0, 1], transparency, and metadata.

import { impossible, unsupported } from "./failure.js";
import { planes, turned } from "./image.js";
import { readJpeg } from "./jpeg_reader.js";
import { writeJpeg } from "./jpeg_writer.js";
import { chunksFor, orientation, segmentsFor } from "./metadata.js";
import { SIGNATURE, readPng } from "./png_reader.js";
import { writePng } from "./png_writer.js";
import settings from "./settings.js";

/** Read a file; returns what it holds and, as `image`, its colors as planes, upright. */
export async function read(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const format = formatOf(bytes);
  const stored = await (format === "png" ? readPng : readJpeg)(bytes);
  const turn = orientation(stored);
  return { ...stored, format, file, orientation: turn, image: turned(toPlanes(stored), turn) };
}

function formatOf(bytes) {
  if (SIGNATURE.every((byte, place) => bytes[place] === byte)) return "png";
  if (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) return "jpeg";
  throw unsupported("this page reads PNG and JPEG");
}

/** Encode a picture with other colors in a format, "" for its own; null for the colors that it has. */
export async function encode(picture, clean, format) {
  const target = format || picture.format;
  if (!clean && target === picture.format) return picture.file;
  const result = { ...picture, samples: clean ? toSamples(clean, picture) : picture.samples };
  if (target === "png") return writePng(result, await chunksFor(picture));
  if (picture.alpha) throw impossible("JPEG has no transparency: choose PNG");
  if (picture.depth > 8) throw impossible("JPEG has 8 bits, this image has 16: choose PNG");
  return writeJpeg(result, picture.encoding ?? settings.jpeg, await segmentsFor(picture));
}

function toPlanes({ width, height, channels, alpha, depth, samples }) {
  const image = planes(width, height, channels);
  const [size, step, top] = [width * height, channels + alpha, 2 ** depth - 1];
  for (let channel = 0; channel < channels; channel += 1) {
    for (let pixel = 0; pixel < size; pixel += 1) image.data[channel * size + pixel] = samples[pixel * step + channel] / top;
  }
  return image;
}

function toSamples(image, { width, height, channels, alpha, depth, samples }) {
  const result = samples.slice();
  const [size, step, top] = [width * height, channels + alpha, 2 ** depth - 1];
  for (let channel = 0; channel < channels; channel += 1) {
    for (let pixel = 0; pixel < size; pixel += 1) {
      result[pixel * step + channel] = Math.round(Math.min(Math.max(image.data[channel * size + pixel], 0), 1) * top);
    }
  }
  return result;
}
