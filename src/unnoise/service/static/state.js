// What the modules of the page share: the list of images, the selected one, and what the service can do.

export const state = {
  items: [], // { file, name, settings, page, status, report, picture, output, saved }
  current: null,
  capabilities: null, // null until the service has answered
};

const DEFAULTS = { model: "auto", sigma: null, strength: 1, format: "" };

export function newItem(file) {
  return { file, name: file.name || "image.png", settings: { ...DEFAULTS }, page: 1, status: "", error: null };
}

/** Identify what a download of an image would contain. */
export function keyOf({ settings: { model, sigma, strength, format } }) {
  return JSON.stringify({ model, sigma, strength, format });
}

/** Tell whether an image has settings of its own that no download has. */
export function isUnsaved(item) {
  const key = keyOf(item);
  return !item.error && key !== item.saved && key !== keyOf({ settings: DEFAULTS });
}

/** What an image is denoised with: `{ model, sigma }`, or null if it is left unchanged. */
export function optionsOf({ settings: { model, sigma }, report }) {
  const automatic = model === "auto" && sigma === null;
  if (automatic && !report.model) return null;
  return { model: automatic ? report.model : model, sigma: sigma ?? report.sigma };
}

/** The facts of the model that an image is denoised with; undefined while it is not known. */
export function modelOf({ settings, report }) {
  const { models = [] } = state.capabilities ?? {};
  return models.find((one) => one.name === (settings.model === "auto" ? report?.model : settings.model));
}
