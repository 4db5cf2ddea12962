// White noise in an image: its sigma, and how that depends on the brightness; `noise/estimation.py`, in the browser.

import { mean, median, quantile, span } from "./arrays.js";
import { blocksOf, shades } from "./blocks.js";
import * as impulses from "./impulses.js";
import settings from "./settings.js";

const { texture: TEXTURE, blocks: COUNT, flattest_of_many: FLATTEST_OF_MANY } = settings.white;

/** Return `{ kind, sigma, impulses, line, power }`: "gaussian", "signal-dependent" or "mixed". */
export function estimateWhiteNoise(image) {
  const blocks = blocksOf(image);
  const { lost, share } = impulses.find(blocks);
  if (share) return estimate("mixed", levelOf(shades(impulses.without(blocks, lost)).variance), { impulses: share });
  const { brightness, variance } = shades(blocksOf(image, 16 * COUNT), 16, FLATTEST_OF_MANY);
  const pairs = brightness.flat().map((light, place) => [light, variance.flat()[place]]).filter(([, noise]) => noise > 0);
  const [light, noise] = [pairs.map(([one]) => one), pairs.map(([, one]) => one)];
  const explained = [1, 2].map((power) => correlation(light.map((one) => one ** power), noise) ** 2);
  const power = explained[1] >= explained[0] ? 2 : 1;
  const [slope, start] = fitLine(light.map((one) => one ** power), noise);
  if (slope > 0 && explained[power - 1] > 0.5) {
    return estimate("signal-dependent", Math.sqrt(mean(noise)), { line: [slope, start, 0.05 * median(noise)], power });
  }
  return estimate("gaussian", levelOf(shades(blocks).variance));
}

export function estimate(kind, sigma, rest = {}) {
  return { kind, sigma, impulses: 0, line: [0, 0, 0], power: 1, reason: "", ...rest };
}

/** Return sigma of white noise that is as strong at low frequencies as correlated noise. */
export function equivalentSigma(level, correlated) {
  const near = Math.min(Math.max(correlated, 0), 0.97);
  let sum = 0;
  for (let distance = 1; distance <= 20; distance += 1) sum += near ** (distance * distance);
  return level * (1 + 2 * sum);
}

/** Return sigma of signal-dependent noise at a value. */
export function sigmaAt({ line: [slope, start, least], power }, light) {
  return Math.sqrt(Math.max(slope * Math.max(light, 0) ** power + start, least));
}

/** Return the mean sigma of the quieter brightness groups; groups without any noise are borders and clipped skies. */
function levelOf(variance) {
  const quiet = variance.map((one) => one.filter((value) => value > 0)).filter((one) => one.length);
  return quiet.length ? mean(quiet.map((one) => quantile(one.map(Math.sqrt), 0.25))) : 0;
}

/** Fit variance = slope * light + start, where the error of each variance is proportional to it. */
export function fitLine(light, variance) {
  if (!variance.length) return [0, 0];
  const flat = [0, median(variance)];
  let [slope, start] = flat;
  let fitted = variance;
  for (let round = 0; round < 10; round += 1) {
    const kept = variance.map((_, place) => place).filter((place) => variance[place] < TEXTURE * fitted[place]);
    if (kept.length < 4 || span(kept.map((place) => light[place])) < 0.05) return flat;
    const weight = kept.map((place) => 1 / fitted[place] ** 2);
    const all = weight.reduce((one, other) => one + other);
    const weighted = (values) => kept.reduce((sum, place, at) => sum + weight[at] * values[place], 0) / all;
    const [middle, level] = [weighted(light), weighted(variance)];
    let [up, across] = [0, 0];
    kept.forEach((place, at) => {
      const away = weight[at] * (light[place] - middle);
      up += away * variance[place];
      across += away * light[place];
    });
    slope = up / across;
    start = level - slope * middle;
    fitted = light.map((one) => Math.max(slope * one + start, 0.05 * flat[1]));
  }
  return slope > 0 ? [slope, start] : flat;
}

function correlation(one, other) {
  if (!(one.length > 1 && span(one) && span(other))) return 0;
  const [first, second] = [mean(one), mean(other)];
  let [both, own, its] = [0, 0, 0];
  one.forEach((value, place) => {
    both += (value - first) * (other[place] - second);
    own += (value - first) ** 2;
    its += (other[place] - second) ** 2;
  });
  return both / Math.sqrt(own * its);
}
