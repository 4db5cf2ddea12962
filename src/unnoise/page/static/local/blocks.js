// Blocks of 8 x 8 pixels and the noise in the flattest of them: `noise/estimation.py`, in the browser.

import { mean, median, order } from "./arrays.js";
import settings from "./settings.js";

const { blocks: COUNT, shades: SHADES, clipped: CLIPPED, flattest: FLATTEST, rounding: ROUNDING, median: MEDIAN } = settings.white;
export const SIDE = 8; // of a block, pixels
export const AREA = SIDE * SIDE;
const HIGH = (SIDE * (SIDE - 1)) / 2; // number of the high frequencies: those whose orders sum to SIDE or more
const COSINES = Array.from({ length: SIDE }, (_, order) =>
  Float64Array.from({ length: SIDE / 2 }, (_, x) => Math.cos((Math.PI / SIDE) * order * (x + 0.5)) * Math.sqrt((order ? 2 : 1) / SIDE)),
); // of half a period: the other half mirrors it

/**
 * Return blocks on a regular grid, `{ total, channels, data, stride, starts }`: the places of their first pixels, those
 * of all channels next to each other, and the distance of their rows.
 */
export function blocksOf(image, count = COUNT) {
  const { width, height, channels, data } = image;
  const [rows, columns] = [Math.max(height - SIDE + 1, 0), Math.max(width - SIDE + 1, 0)];
  const step = Math.max(1, Math.floor(Math.sqrt((rows * columns) / count)));
  const total = Math.ceil(rows / step) * Math.ceil(columns / step);
  const starts = new Uint32Array(total * channels);
  let at = 0;
  for (let top = 0; top < rows; top += step) {
    for (let left = 0; left < columns; left += step) {
      for (let channel = 0; channel < channels; channel += 1) starts[at++] = (channel * height + top) * width + left;
    }
  }
  return { total, channels, data, stride: width, starts };
}

/** Return the pixels of a block of one channel, row by row. */
export function pixelsOf({ data, stride, starts }, number) {
  const pixels = new Float32Array(AREA);
  for (let place = 0; place < AREA; place += 1) pixels[place] = data[starts[number] + (place >> 3) * stride + (place & 7)];
  return pixels;
}

/** Return brightness and noise variance of the flat blocks of each brightness group, `[channel][group]`. */
export function shades(blocks, count = SHADES, flattest = FLATTEST) {
  const { total, channels } = blocks;
  const groups = total ? Math.min(count, Math.max(1, Math.floor(total / 8))) : 0;
  const measured = Array.from({ length: channels }, (_, channel) => measure(blocks, channel));
  const light = new Float64Array(total);
  for (const { mean: own } of measured) for (let block = 0; block < total; block += 1) light[block] += own[block];
  const byShade = order(light);
  const result = { brightness: [], variance: [] };
  for (const { mean: own, low, high, clipped } of measured) {
    const whole = byShade.filter((block) => clipped[block] <= CLIPPED || clipped[block] === 1);
    const parts = split(whole.length >= total / 8 ? whole : byShade, groups);
    const flats = parts.map((group) => order(low, group).slice(0, Math.ceil(flattest * group.length)));
    result.brightness.push(flats.map((flat) => mean(Array.from(flat, (block) => own[block]))));
    result.variance.push(flats.map((flat) => variance(Array.from(flat, (block) => high[block]))));
  }
  return result;
}

function variance(high) {
  const middle = median(high);
  return middle < ROUNDING ? 0 : middle / MEDIAN;
}

/** Divide a list into parts that are nearly equally long, the longer ones first. */
function split(list, parts) {
  const [length, longer] = [Math.floor(list.length / parts), list.length % parts];
  let start = 0;
  return Array.from({ length: parts }, (_, part) => list.slice(start, (start += length + (part < longer))));
}

/** Return, for each block of a channel, its mean, the energy of its low and high frequencies, and its clipped share. */
function measure({ total, channels, data, stride, starts }, channel) {
  const found = { mean: new Float32Array(total), low: new Float32Array(total), high: new Float32Array(total), clipped: new Float32Array(total) };
  const columns = new Float64Array(SIDE);
  for (let block = 0; block < total; block += 1) {
    const start = starts[block * channels + channel];
    let sum = 0;
    let energy = 0;
    let clipped = 0;
    for (let y = 0; y < SIDE; y += 1) {
      for (let x = 0; x < SIDE; x += 1) {
        const value = data[start + y * stride + x];
        sum += value;
        energy += value * value;
        if (value === 0 || value === 1) clipped += 1;
      }
    }
    const high = highEnergy(data, start, stride, columns);
    found.mean[block] = sum / AREA;
    found.low[block] = energy - (sum * sum) / AREA - high; // the transform keeps the energy
    found.high[block] = high / HIGH;
    found.clipped[block] = clipped / AREA;
  }
  return found;
}

/** Return the energy of the high frequencies of a block; `columns` is room for what is in between. */
function highEnergy(data, start, stride, columns) {
  let high = 0;
  for (let v = 1; v < SIDE; v += 1) {
    const column = COSINES[v];
    const sign = v & 1 ? -1 : 1; // a cosine mirrored is the same, or its negative
    for (let x = 0; x < SIDE; x += 1) {
      const at = start + x;
      columns[x] =
        column[0] * (data[at] + sign * data[at + 7 * stride]) +
        column[1] * (data[at + stride] + sign * data[at + 6 * stride]) +
        column[2] * (data[at + 2 * stride] + sign * data[at + 5 * stride]) +
        column[3] * (data[at + 3 * stride] + sign * data[at + 4 * stride]);
    }
    for (let u = SIDE - v; u < SIDE; u += 1) {
      const row = COSINES[u];
      const turn = u & 1 ? -1 : 1;
      const value =
        row[0] * (columns[0] + turn * columns[7]) +
        row[1] * (columns[1] + turn * columns[6]) +
        row[2] * (columns[2] + turn * columns[5]) +
        row[3] * (columns[3] + turn * columns[4]);
      high += value * value;
    }
  }
  return high;
}
