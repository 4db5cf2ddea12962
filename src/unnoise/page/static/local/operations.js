// What is done with an image: the operations of the service, in the browser.

import { denoise, resolve, tiles } from "./denoise.js";
import { estimateNoise, modelFor } from "./estimate.js";
import { turnedBack } from "./image.js";
import { levelMap, statistics } from "./level.js";
import { encode, read } from "./picture.js";
import { writePng } from "./png_writer.js";
import { estimateRange, normalized } from "./range.js";
import settings from "./settings.js";

const { black: BLACK, white: WHITE } = settings.map;

let last = { key: null }; // the picture that was opened last: it is inspected first, and denoised then

/** Return a file, which has no key if it is a tile, as `{ picture, image, outliers, white, contrast, noise }`; `noise()` returns its estimate. */
async function open(file, key) {
  if (key !== null && last.key === key) return last;
  if (key !== null) last = { key: null };
  const picture = await read(file);
  const values = estimateRange(picture.image, picture.depth);
  const { image, outliers } = normalized(picture.image, values);
  let noise = null;
  const opened = { key, picture, image, outliers, white: values.white, contrast: values.white / values.scale };
  opened.noise = () => (noise ??= estimateNoise(image));
  if (key !== null) last = opened;
  return opened;
}

/** Return the properties of an image, and the estimate of its noise; levels are in 8-bit units. */
export async function inspect({ file, key }) {
  const { picture, image, contrast, noise } = await open(file, key);
  const found = await noise();
  return {
    width: image.width,
    height: image.height,
    pages: 1,
    colours: picture.channels,
    format: picture.format,
    noise: found.kind,
    sigma: rounded(255 * contrast * found.sigma, 2),
    level: rounded(255 * contrast * found.level, 2),
    correlation: rounded(found.correlation, 3),
    impulses: rounded(found.impulses, 4),
    model: found.kind === "none" ? null : modelFor(found.kind, image),
    reason: found.reason,
  };
}

/** Return a file with the image denoised; `sigma` is in 8-bit units, or null to estimate it. */
export async function clean({ file, key, model, sigma, strength, format }, progress) {
  const { picture, image, outliers, white, contrast, noise } = await open(file, key);
  const how = strength === 0 ? null : await resolve(image, model, sigma === null ? null : sigma / 255 / contrast, noise);
  if (!how) return encode(picture, null, format);
  const result = await denoise(image, how, progress);
  for (const place of outliers) result.data[place] = image.data[place];
  const { data } = picture.image;
  for (let place = 0; place < data.length; place += 1) {
    result.data[place] = data[place] + strength * white * (result.data[place] - image.data[place]);
  }
  return encode(picture, turnedBack(result, picture.orientation), format);
}

/** Return the map of the noise level of an image, as an 8-bit gray PNG, on the scale of `pipeline/noise_maps.py`. */
export async function noiseMap({ file, key }, progress) {
  const { picture, image, contrast } = await open(file, key);
  const level = await levelMap(image, await statistics(image), tiles, progress);
  const samples = Uint8Array.from(level.data, (value) => {
    const shown = Math.min(Math.max(255 * contrast * value, BLACK), WHITE);
    return Math.round((255 * Math.log(shown / BLACK)) / Math.log(WHITE / BLACK));
  });
  return writePng({ ...level, alpha: false, depth: 8, samples });
}

function rounded(value, digits) {
  return Number(value.toFixed(digits));
}
