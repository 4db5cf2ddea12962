// Correction of clipping at black and white after a network: `denoisers/clipping.py`, in the browser.

import { uniform } from "./filters.js";
import settings from "./settings.js";

const { reach: REACH, steps: STEPS, end: END, min_share: MIN_SHARE, min_sigma: MIN_SIGMA } = settings.clipping;
const [BIAS, SHARE] = [floats(settings.clipping.bias), floats(settings.clipping.share)];

function floats(text) {
  return new Float32Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
}

/** Correct a denoised image in place; `sigma` holds that of each pixel, for each channel or for all. */
export function correctClipping(noisy, clean, sigma) {
  const own = noisy.data;
  const change = [
    [1, own.some((value) => value === 0) && bias(clean, sigma, (place) => own[place] === 0, (value) => value)],
    [-1, own.some((value) => value === 1) && bias(clean, sigma, (place) => own[place] === 1, (value) => 1 - value)],
  ];
  for (const [sign, excess] of change) {
    if (excess) for (let place = 0; place < own.length; place += 1) clean.data[place] -= sign * excess[place];
  }
}

/** Return by how much the mean of noise that is clipped at 0 exceeds the true value. */
function bias(clean, sigma, isClipped, mean) {
  const length = clean.data.length;
  const index = new Uint32Array(length);
  const clipped = { ...clean, data: new Float32Array(length) };
  const share = { ...clean, data: new Float32Array(length) };
  for (let place = 0; place < length; place += 1) {
    const step = mean(clean.data[place]) * (STEPS / Math.max(sigma[place % sigma.length], MIN_SIGMA));
    index[place] = Math.round(Math.min(Math.max(step, 0), END * STEPS));
    clipped.data[place] = isClipped(place);
    share.data[place] = SHARE[index[place]];
  }
  const [observed, expected] = [uniform(clipped, REACH).data, uniform(share, REACH).data];
  return Float32Array.from(index, (step, place) => {
    if (expected[place] <= MIN_SHARE) return 0;
    const weight = Math.min(Math.max(observed[place] / expected[place], 0), 1);
    return weight * BIAS[step] * Math.max(sigma[place % sigma.length], MIN_SIGMA);
  });
}
