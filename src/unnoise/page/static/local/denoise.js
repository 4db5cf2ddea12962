// Denoising of whole images in tiles: `denoisers/base.py`, `blind.py` and `tiling.py`, in the browser.

import { correctClipping } from "./clipping.js";
import { modelFor } from "./estimate.js";
import { gaussian } from "./filters.js";
import { averaged, channel, channelCount, crop, paste, planes, repeated } from "./image.js";
import { statistics } from "./level.js";
import { run, tileSide } from "./networks.js";
import settings from "./settings.js";
import { sigmaAt } from "./white_noise.js";

const { smoothing: SMOOTHING } = settings;

/**
 * Return how an image is to be denoised, `{ model, sigma, noise, statistics, halo }`, or null if it has no noise.
 * `model` is a name or "auto", `sigma` a number in [0, 1] units, or null for that of `estimated()`.
 */
export async function resolve(image, model, sigma, estimated) {
  const isAutomatic = model === "auto";
  let noise = null;
  if (sigma === null && (isAutomatic || settings.models[model].wants_sigma)) {
    noise = await estimated();
    sigma = noise.sigma;
  }
  const name = isAutomatic ? modelFor(noise?.kind ?? "gaussian", image) : model;
  const facts = settings.models[name];
  if (noise?.kind === "none" || (facts.wants_sigma && sigma < settings.min_sigma)) return null;
  const dependent = facts.corrects_clipping && noise?.kind === "signal-dependent" ? noise : null;
  const halo = facts.halo + (dependent ? Math.round(4 * SMOOTHING) : 0);
  return { ...facts, name, sigma, noise: dependent, halo, statistics: facts.blind ? await statistics(image) : null };
}

/** Return an image denoised, tile by tile; `progress` is called, and waited for, with the share that is done. */
export async function denoise(image, how, progress = async () => {}) {
  const clean = planes(image.width, image.height, image.channels);
  for (const tile of tiles(image, how)) {
    const part = await denoisePart(crop(image, ...tile.outer), how);
    paste(clean, tile.x, tile.y, part, tile.x - tile.outer[0], tile.y - tile.outer[1], tile.width, tile.height);
    await progress(tile.done);
  }
  return clean;
}

/** Yield tiles that cover an image once; `outer` is the rectangle with the margin, `[left, top, width, height]`. */
export function* tiles({ width, height }, { halo, multiple_of: step }, size = tileSide()) {
  const margin = Math.ceil(halo / step) * step;
  const [wide, high] = [share(width, size, step), share(height, size, step)];
  for (let y = 0; y < height; y += high) {
    for (let x = 0; x < width; x += wide) {
      const [right, bottom] = [Math.min(x + wide, width), Math.min(y + high, height)];
      const [left, top] = [Math.max(x - margin, 0), Math.max(y - margin, 0)];
      const outer = [left, top, Math.min(right + margin, width) - left, Math.min(bottom + margin, height) - top];
      const done = (y * width + (bottom - y) * right) / (height * width);
      yield { x, y, width: right - x, height: bottom - y, outer, done };
    }
  }
}

/** Return the length of parts, as few as `longest` allows; all but the last are multiples of `step`. */
function share(length, longest, step) {
  const parts = Math.ceil(length / Math.max(longest - (longest % step), step));
  return Math.ceil(Math.ceil(length / parts) / step) * step;
}

async function denoisePart(noisy, how) {
  const size = noisy.width * noisy.height;
  let sigma = new Float32Array(size).fill(how.sigma ?? 0);
  if (how.noise) sigma = sigmaMap(gaussian(noisy, SMOOTHING), how.noise);
  const clean = await fitChannels(noisy, sigma, how);
  if (how.corrects_clipping) {
    const own = how.noise ? clean.data.map((value) => sigmaAt(how.noise, value)) : sigma;
    correctClipping(noisy, clean, own);
  }
  return clean;
}

/** Return the root mean square of sigma over the channels at each pixel. */
function sigmaMap(light, noise) {
  const size = light.width * light.height;
  return new Float32Array(size).map((_, place) => {
    let sum = 0;
    for (let number = 0; number < light.channels; number += 1) sum += sigmaAt(noise, light.data[number * size + place]) ** 2;
    return Math.sqrt(sum / light.channels);
  });
}

async function fitChannels(noisy, sigma, how) {
  if (how.channels === noisy.channels) return fitSize(noisy, sigma, how);
  if (how.channels === 3) {
    // Three copies share their noise: in their mean it is as strong as independent noise of sqrt(3) sigma.
    const louder = sigma.map((value) => value * Math.sqrt(3));
    return averaged(await fitSize(repeated(noisy, 3), louder, how));
  }
  if (channelCount(noisy) === 1) return repeated(await fitSize(channel(noisy, 0), sigma, how), noisy.channels);
  const clean = planes(noisy.width, noisy.height, noisy.channels);
  for (let number = 0; number < noisy.channels; number += 1) {
    const part = await fitSize(channel(noisy, number), sigma, how);
    clean.data.set(part.data, number * part.data.length);
  }
  return clean;
}

/** Run the network, with mirrored pixels beyond the borders. */
async function fitSize(noisy, sigma, how) {
  const { width, height, channels } = noisy;
  const step = how.multiple_of;
  const margin = Math.ceil(how.margin / step) * step;
  const [wide, high] = [width, height].map((side) => 2 * margin + Math.ceil(side / step) * step);
  const padded = (image) => crop(image, -margin, -margin, wide, high).data;
  const inputs = { noisy: [padded(noisy), [1, channels, high, wide]] };
  if (how.wants_sigma) inputs.sigma = [padded({ width, height, channels: 1, data: sigma }), [1, 1, high, wide]];
  if (how.statistics) inputs.statistics = [how.statistics, [1, how.statistics.length]];
  const { data } = (await run(how.name, inputs)).clean;
  return crop({ width: wide, height: high, channels, data }, margin, margin, width, height);
}
