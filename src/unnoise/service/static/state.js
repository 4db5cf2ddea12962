// What the modules of the page share: the list of images, the selected one, and what the service can do.

export const state = {
  items: [], // { file, name, settings, page, status, report, picture, output, saved }
  current: null,
  capabilities: null, // null until the service has answered
};

/** What is adjusted by hand, each from 0 to 1, and where it changes nothing. */
export const ADJUSTMENTS = { luma: 1, color: 1, detail: 0, grain: 0 };

const DEFAULTS = { model: "auto", sigma: null, strength: 1, ...ADJUSTMENTS, format: "" };

export function newItem(file) {
  return { file, name: file.name || "image.png", settings: { ...DEFAULTS }, page: 1, status: "", error: null };
}

/** Identify what a download of an image would contain. */
export function keyOf({ settings }) {
  const { model, sigma, strength, format } = settings;
  return JSON.stringify({ model, sigma, strength, ...adjusted(settings), format });
}

/** Return the adjustments that change something. */
function adjusted(settings) {
  const names = Object.keys(ADJUSTMENTS).filter((name) => settings[name] !== ADJUSTMENTS[name]);
  return Object.fromEntries(names.map((name) => [name, settings[name]]));
}

/** Tell whether an image has settings of its own that no download has. */
export function isUnsaved(item) {
  const key = keyOf(item);
  return !item.error && key !== item.saved && key !== keyOf({ settings: DEFAULTS });
}

/** What an image is denoised with, `{ model, sigma }` and adjustments, or null if it is left unchanged. */
export function optionsOf({ settings, report }) {
  const { model, sigma } = settings;
  const automatic = model === "auto" && sigma === null;
  if (automatic && !report.model) return null;
  return { model: automatic ? report.model : model, sigma: sigma ?? report.sigma, ...adjusted(settings) };
}

/** The facts of the model that an image is denoised with; undefined while it is not known. */
export function modelOf({ settings, report }) {
  const { models = [] } = state.capabilities ?? {};
  return models.find((one) => one.name === (settings.model === "auto" ? report?.model : settings.model));
}
