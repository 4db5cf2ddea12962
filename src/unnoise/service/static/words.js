// The texts of the page.

export const KINDS = {
  none: "No noise",
  gaussian: "Gaussian noise",
  "signal-dependent": "Signal-dependent noise",
  impulse: "Impulse noise",
  correlated: "Correlated noise",
  mixed: "Impulse and other noise",
  other: "Noise",
};

/** Describe the estimated noise in one line; the level is in 8-bit units. */
export function noiseText(report) {
  if (report.noise === "none") return `The image is left unchanged unless you choose a model: ${report.reason}.`;
  const parts = [];
  if (report.noise !== "impulse") parts.push(`Level ${report.sigma.toFixed(1)}.`);
  if (report.impulses) parts.push(`${(100 * report.impulses).toFixed(1)} % of the pixels are corrupted.`);
  return [...parts, `Suggested model: ${report.model}.`].join(" ");
}

/** Explain an error, and what to do about it. */
export function errorText(error, limits) {
  const detail = error.detail ? ` (${error.detail})` : "";
  switch (error.status) {
    case 0:
      return "Cannot reach the service. Is unnoise serve still running?";
    case 401:
      return "The key is missing or wrong.";
    case 408:
      return "The upload was too slow. Try again on a faster connection.";
    case 413:
      return `The image is too large for this service${detail}. ${limitText(limits)}`;
    case 415:
      return "This file is not a supported image. Use JPEG, PNG, TIFF, WebP, AVIF or GIF.";
    case 422:
      return `The image cannot be processed: ${error.detail}.`;
    case 429:
      return "The service is busy. Try again in a minute.";
    case 503:
      return "The service is not ready. Try again in a moment.";
    case 504:
      return `Processing took too long. ${limitText(limits)}`;
    default:
      return `Something went wrong${detail}.`;
  }
}

function limitText(limits) {
  if (!limits) return "Use a smaller image.";
  const megabytes = Math.floor(limits.body_bytes / 1e6);
  const megapixels = Math.floor(limits.pixels / 1e6);
  return `The limits are ${megabytes} MB and ${megapixels} megapixels.`;
}

/** Describe the progress of a job; null while the service has not seen it yet. */
export function progressText(progress) {
  if (!progress) return "Receiving…";
  const percent = `${Math.round(100 * progress.share)} %`;
  return { receiving: `Uploading… ${percent}`, waiting: "Waiting in the queue…", working: `Denoising… ${percent}` }[progress.state];
}

export const FORMATS = {
  "": "Original",
  jpeg: "JPEG",
  png: "PNG",
  tiff: "TIFF",
  webp: "WebP",
  avif: "AVIF",
  gif: "GIF",
};
