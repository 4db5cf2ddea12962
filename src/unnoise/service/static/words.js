// The texts of the page, in the language of the user.

import german from "./words-de.js";
import english from "./words-en.js";
import french from "./words-fr.js";

/** Language -> its table of texts. */
export const LANGUAGES = { en: english, de: german, fr: french };

const KEPT = "language"; // in the storage of the browser, once the user has chosen one
let language = preferred();

function preferred() {
  const wanted = [kept(), ...navigator.languages].map((tag) => String(tag).slice(0, 2).toLowerCase());
  return wanted.find((one) => one in LANGUAGES) ?? "en";
}

function kept() {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null; // a browser that keeps nothing
  }
}

export function currentLanguage() {
  return language;
}

/** Use a language of `LANGUAGES` from now on, and the next time. */
export function setLanguage(chosen) {
  language = chosen;
  try {
    localStorage.setItem(KEPT, chosen);
  } catch {
    // then for this visit only
  }
}

/** Return a text, with values in its places: `{name}`. */
export function text(key, values = {}) {
  return LANGUAGES[language][key].replace(/\{(\w+)\}/g, (place, name) => values[name] ?? place);
}

/** Return the text for a number of things: `key-one`, `key-other`. */
export function countText(key, count) {
  const one = new Intl.PluralRules(language).select(count) === "one";
  return text(`${key}-${one ? "one" : "other"}`, { count });
}

export function number(value, digits = 1) {
  return new Intl.NumberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: false }).format(value);
}

/** Fill in the texts of all elements that name them: `data-text`, `data-label` and `data-title`. */
export function translate(root) {
  root.documentElement.lang = language;
  for (const element of root.querySelectorAll("[data-text]")) element.textContent = text(element.dataset.text);
  for (const element of root.querySelectorAll("[data-label]")) element.setAttribute("aria-label", text(element.dataset.label));
  for (const element of root.querySelectorAll("[data-title]")) element.title = text(element.dataset.title);
}

/** Name the estimated noise in one line; the level is in 8-bit units. */
export function noiseText(report) {
  return text(`noise-${report.noise}`, { sigma: number(report.sigma), share: number(100 * report.impulses) });
}

/** Say what is done about it. */
export function remedyText(report) {
  return report.noise === "none" ? text("unchanged") : text("suggested", { model: report.model });
}

export function sizeText({ width, height, pages }) {
  return text(pages > 1 ? "size-pages" : "size", { width, height, pages });
}

/** Describe a model, `{ name, summary }`. */
export function modelText({ name, summary }) {
  return LANGUAGES[language][`model-${name}`] ?? summary;
}

/** Explain an error, and say what to do about it. */
export function errorText(error, limits) {
  if (error.key) return text(error.key);
  const key = `error-${error.status}`;
  const parts = [text(key in english ? key : "error-other")];
  if (error.status === 413 && limits) parts.push(limitText(limits));
  if (error.detail) parts.push(text("detail", { detail: error.detail.replace(/\.$/, "") }));
  return parts.join(" ");
}

function limitText(limits) {
  return text("limits", { megabytes: Math.floor(limits.body_bytes / 1e6), megapixels: Math.floor(limits.pixels / 1e6) });
}

/** Describe the progress of a job; null while the service has not seen it yet. */
export function progressText(progress) {
  return text(`progress-${progress?.state ?? "none"}`, { percent: Math.round(100 * (progress?.share ?? 0)) });
}

/** The name of a file format; that of the file itself for "". */
export function formatText(format) {
  return { "": text("original"), webp: "WebP" }[format] ?? format.toUpperCase();
}
