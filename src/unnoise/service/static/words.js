// What the page says, in plain words.

export const KINDS = {
  none: "No noise",
  gaussian: "Even noise",
  "signal-dependent": "Noise that grows with the light",
  impulse: "Lost pixels",
  correlated: "Noise of a camera",
  mixed: "Lost pixels and other noise",
};

/** Tell in one line what was found; levels are in 8-bit units. */
export function found(report) {
  if (report.noise === "none") return "The picture is left as it is, unless you choose a model.";
  const parts = [];
  if (report.noise !== "impulse") parts.push(`Level ${report.sigma.toFixed(1)}.`);
  if (report.impulses) parts.push(`${(100 * report.impulses).toFixed(1)} % of the pixels are lost.`);
  return [...parts, `The model “${report.model}” fits.`].join(" ");
}

/** Tell what went wrong, and what to do. */
export function trouble(error, limits) {
  const detail = error.detail ? ` (${error.detail})` : "";
  switch (error.status) {
    case 0:
      return "The service cannot be reached. Is unnoise serve still running?";
    case 401:
      return "The key is missing or wrong.";
    case 408:
      return "The picture came too slowly. Try again on a faster connection.";
    case 413:
      return `The picture is too large for this service${detail}. ${bounds(limits)}`;
    case 415:
      return "This is no picture that unnoise reads. It takes JPEG, PNG, TIFF, WebP, AVIF and GIF.";
    case 422:
      return `This picture cannot be cleaned that way: ${error.detail}.`;
    case 429:
      return "The service has too much to do at the moment. Try again in a minute.";
    case 503:
      return "The service is not ready. Try again in a moment.";
    case 504:
      return `The picture took too long. ${bounds(limits)}`;
    default:
      return `Something went wrong${detail}.`;
  }
}

function bounds(limits) {
  if (!limits) return "Make it smaller.";
  const megabytes = Math.floor(limits.body_bytes / 1e6);
  const megapixels = Math.floor(limits.pixels / 1e6);
  return `It takes files up to ${megabytes} MB and ${megapixels} megapixels.`;
}

/** Tell what a job is doing. */
export function doing(progress) {
  if (!progress) return "Receiving…";
  const percent = `${Math.round(100 * progress.share)} %`;
  return { receiving: `Sending… ${percent}`, waiting: "Waiting for its turn…", working: `Cleaning… ${percent}` }[progress.state];
}

export const FORMATS = {
  "": "As it came",
  jpeg: "JPEG",
  png: "PNG",
  tiff: "TIFF",
  webp: "WebP",
  avif: "AVIF",
  gif: "GIF",
};
