// The kind of the noise in an image, and the model for it: `denoisers/noise_estimation.py` and `auto.py`, in the browser.

import { channelCount } from "./image.js";
import { flatFraction, measure } from "./level.js";
import settings from "./settings.js";
import { equivalentSigma, estimate, estimateWhiteNoise } from "./white_noise.js";

const { min_level: LIMIT, correlated: CORRELATED, impulses: IMPULSES, beside: BESIDE, uneven: UNEVEN } = settings.decision;
const { below: BELOW, flat: FLAT, bilevel: BILEVEL, uneven: UNEVEN_REASON } = settings.reasons;

/** Return the estimate of the noise, `{ kind, sigma, level, correlation, impulses, line, power, reason }`, in [0, 1] units. */
export async function estimateNoise(image) {
  const { level, correlation } = await measure(image);
  const found = decide(image, level, correlation);
  return { ...found, level, correlation, reason: explained(found.reason || settings.evidence[found.kind], level, correlation) };
}

function decide(image, level, correlation) {
  if (level < LIMIT) return estimate("none", 0, { reason: BELOW });
  const white = estimateWhiteNoise(image);
  if (white.impulses) {
    if (level < (IMPULSES * Math.sqrt(white.impulses)) / 2) return estimate("other", level);
    return white.sigma < BESIDE ? { ...white, kind: "impulse" } : white;
  }
  if (image.data.every((value) => value <= 0 || value >= 1)) return estimate("none", 0, { reason: BILEVEL });
  if (white.sigma < LIMIT && flatFraction(image) > 0.5) return estimate("none", 0, { reason: FLAT });
  if (correlation < CORRELATED && white.sigma > 0) {
    return white.sigma < level / UNEVEN ? estimate("other", level, { reason: UNEVEN_REASON }) : white;
  }
  return estimate("correlated", equivalentSigma(level, correlation));
}

function explained(reason, level, correlation) {
  const said = (value) => `${Number((255 * value).toPrecision(2))}/255`;
  const filled = reason.replace("{level}", said(level)).replace("{limit}", said(LIMIT));
  return filled.replace("{correlation:.2f}", correlation.toFixed(2));
}

/** Return the name of the model for an image with noise of a kind. */
export function modelFor(kind, image) {
  const [forColor, forGray] = settings.model_for_noise[kind];
  return (channelCount(image) === 1 ? forGray : forColor).find((name) => name in settings.models) ?? "color";
}
