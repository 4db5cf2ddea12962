// Level and correlation of the noise by the learned estimator: `denoisers/noise_level.py`, in the browser.

import { mean } from "./arrays.js";
import { crop, planes, repeated } from "./image.js";
import { run } from "./networks.js";
import settings from "./settings.js";

const { name: NAME, multiple_of: MULTIPLE, halo: HALO, whole: WHOLE, window: WINDOW, windows: WINDOWS } = settings.level;

/** Return the root mean square level of the noise, and its correlation between neighboring pixels. */
export async function measure(image) {
  let found = await lookAt(sample(image));
  if (found.length > 1) found = await lookAt(sample(image), combined(found.map((one) => one.statistics)));
  const squares = found.map(({ level }) => mean(level.map((value) => value * value)));
  return { level: Math.sqrt(mean(squares)), correlation: found[0].correlation };
}

/** Return the statistics of an image, which every tile of it is looked at with. */
export async function statistics(image) {
  return combined((await lookAt(sample(image))).map((one) => one.statistics));
}

/** Return the noise level at each pixel, one plane. */
export async function levelMap(image, given, tiles, progress) {
  const map = planes(image.width, image.height, 1);
  for (const tile of tiles(image, { halo: HALO, multiple_of: MULTIPLE })) {
    const { level } = await look(crop(image, ...tile.outer), given);
    for (let row = 0; row < tile.height; row += 1) {
      const from = (tile.y - tile.outer[1] + row) * tile.outer[2] + tile.x - tile.outer[0];
      map.data.set(level.subarray(from, from + tile.width), (tile.y + row) * image.width + tile.x);
    }
    await progress(tile.done);
  }
  return map;
}

async function lookAt(parts, given = new Float32Array(settings.level.statistics)) {
  const found = [];
  for (const part of parts) found.push(await look(part, given));
  return found;
}

async function look(image, given) {
  const { width, height } = image;
  const [wide, high] = [width, height].map((side) => Math.ceil(side / MULTIPLE) * MULTIPLE);
  const colored = image.channels === 1 ? repeated(image, 3) : image;
  const inputs = { noisy: [crop(colored, 0, 0, wide, high).data, [1, 3, high, wide]], statistics: [given, [1, given.length]] };
  const found = await run(NAME, inputs);
  const level = new Float32Array(width * height);
  for (let row = 0; row < height; row += 1) {
    level.set(found.level.data.subarray(row * wide, row * wide + width), row * width);
  }
  return { level, statistics: found.own_statistics.data, correlation: found.correlation.data[0] };
}

/** Return mean and deviation of each feature over several windows. */
function combined(found) {
  if (found.length === 1) return found[0];
  const count = found[0].length / 2;
  const result = new Float32Array(2 * count);
  for (let feature = 0; feature < count; feature += 1) {
    const middle = mean(found.map((one) => one[feature]));
    const square = mean(found.map((one) => one[feature] ** 2 + one[count + feature] ** 2));
    result[feature] = middle;
    result[count + feature] = Math.sqrt(Math.max(square - middle ** 2, 0));
  }
  return result;
}

/** Return windows of a large image, a small one as a whole, without parts that show no noise. */
function sample(image) {
  const { width, height } = image;
  const small = width * height <= WHOLE;
  const all = small ? grid(width, height) : windows(width, height);
  let chosen = all.filter((window) => flatFraction(crop(image, ...window)) < 0.5);
  if (small && (chosen.length === all.length || !chosen.length)) return [image];
  if (!chosen.length) chosen = all;
  const step = Math.ceil(chosen.length / WINDOWS ** 2);
  return chosen.filter((_, place) => place % step === 0).map((window) => crop(image, ...window));
}

/** Return squares of half a window, but for what is left at the right and lower ends. */
function grid(width, height) {
  const side = WINDOW / 2;
  const corners = (length) => Array.from({ length: Math.max(Math.floor(length / side), 0) }, (_, place) => place * side);
  return corners(height).flatMap((top) => corners(width).map((left) => [left, top, side, side]));
}

function windows(width, height) {
  const [wide, high] = [Math.min(WINDOW, width), Math.min(WINDOW, height)];
  return spread(height).flatMap((top) => spread(width).map((left) => [left, top, wide, high]));
}

function spread(length) {
  const last = Math.max(length - WINDOW, 0);
  const count = Math.min(WINDOWS, Math.ceil(length / WINDOW));
  return Array.from({ length: count }, (_, place) => Math.floor(Math.floor((place * last) / Math.max(count - 1, 1)) / 16) * 16);
}

/** Return the share of pixels that equal the next ones to the right and below, in all channels. */
export function flatFraction({ width, height, channels, data }) {
  if (width < 2 || height < 2) return 0;
  let flat = 0;
  for (let y = 0; y < height - 1; y += 1) {
    for (let x = 0; x < width - 1; x += 1) {
      let equal = true;
      for (let channel = 0; channel < channels && equal; channel += 1) {
        const here = (channel * height + y) * width + x;
        equal = data[here] === data[here + 1] && data[here] === data[here + width];
      }
      flat += equal;
    }
  }
  return flat / ((width - 1) * (height - 1));
}
