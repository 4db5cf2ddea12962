// The value range of 16-bit images, such as 12 bits within 16: `io/value_range.py`, in the browser.

import { quantile } from "./arrays.js";
import settings from "./settings.js";

const { bits: BITS, outliers: OUTLIERS, overshoot: OVERSHOOT, beyond: BEYOND, samples: SAMPLES } = settings.range;
const TOP = 65535;

/** Return `{ white, scale }`: what is shown to networks as 1, and what 255 is in 8-bit units, as shares of 65535. */
export function estimateRange(image, depth) {
  if (depth === 8) return { white: 1, scale: 1 };
  const step = Math.floor(image.data.length / SAMPLES) | 1;
  let values = image.data.filter((_, place) => place % step === 0).sort();
  for (let end = 0; end < 2; end += 1) {
    const kept = withoutConstants(values);
    if (kept.length === values.length) break;
    values = kept;
  }
  const high = quantile(values, 1 - OUTLIERS);
  const exponent = Math.log2(Math.max((high * TOP) / OVERSHOOT, 1) + 0.5);
  const scale = (2 ** (BITS.find((bits) => exponent <= bits) ?? Math.ceil(exponent)) - 1) / TOP;
  return { white: Math.max(scale, high), scale };
}

/** Remove a constant at either end that lies further from the other values than these from each other. */
function withoutConstants(values) {
  const [lowest, highest] = [values[0], values.at(-1)];
  const inner = values.filter((value) => value > lowest && value < highest);
  if (!inner.length) return values;
  const [low, high] = [quantile(inner, OUTLIERS), quantile(inner, 1 - OUTLIERS)];
  const [apart, beyond] = [lowest < low - (high - low), highest > high + (high - low)];
  return values.filter((value) => !(apart && value === lowest) && !(beyond && value === highest));
}

/** Return an image with white at 1 and, in place of outliers, its median; `outliers` are their places. */
export function normalized(image, { white }) {
  const data = image.data.map((value) => value / white);
  const outliers = [];
  for (let place = 0; place < data.length; place += 1) if (data[place] > 1 + BEYOND) outliers.push(place);
  if (outliers.length) {
    const middle = quantile(data.filter((value) => value <= 1 + BEYOND), 0.5);
    for (const place of outliers) data[place] = middle;
  }
  return { image: { ...image, data }, outliers };
}
