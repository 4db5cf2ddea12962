// Filters along rows and columns, mirrored at the borders, as `scipy.ndimage` has them.

import { mirrored } from "./image.js";

/** Return an image convolved with a Gaussian, cut off at four sigmas. */
export function gaussian(image, sigma) {
  const radius = Math.floor(4 * sigma + 0.5);
  const weights = Array.from({ length: 2 * radius + 1 }, (_, place) => Math.exp(-0.5 * ((place - radius) / sigma) ** 2));
  const sum = weights.reduce((one, other) => one + other);
  const kernel = weights.map((weight) => weight / sum);
  return bothWays(image, (line, result) => {
    for (let place = 0; place < line.length; place += 1) {
      let value = 0;
      const inside = place >= radius && place + radius < line.length;
      for (let tap = -radius; tap <= radius; tap += 1) {
        value += kernel[tap + radius] * line[inside ? place + tap : mirrored(place + tap, line.length)];
      }
      result[place] = value;
    }
  });
}

/** Return the mean of each square of `2 * radius + 1` pixels. */
export function uniform(image, radius) {
  const size = 2 * radius + 1;
  return bothWays(image, (line, result) => {
    let sum = 0;
    for (let tap = -radius; tap <= radius; tap += 1) sum += line[mirrored(tap, line.length)];
    for (let place = 0; place < line.length; place += 1) {
      result[place] = sum / size;
      sum += line[mirrored(place + radius + 1, line.length)] - line[mirrored(place - radius, line.length)];
    }
  });
}

function bothWays(image, filter) {
  const { width, height, channels } = image;
  const filtered = { ...image, data: new Float32Array(image.data.length) };
  const column = new Float32Array(height);
  const result = new Float32Array(height);
  for (let channel = 0; channel < channels; channel += 1) {
    const start = channel * width * height;
    for (let y = 0; y < height; y += 1) {
      const row = start + y * width;
      filter(image.data.subarray(row, row + width), filtered.data.subarray(row, row + width));
    }
    for (let x = 0; x < width; x += 1) {
      for (let y = 0; y < height; y += 1) column[y] = filtered.data[start + y * width + x];
      filter(column, result);
      for (let y = 0; y < height; y += 1) filtered.data[start + y * width + x] = result[y];
    }
  }
  return filtered;
}
