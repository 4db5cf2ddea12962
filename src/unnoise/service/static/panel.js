// The panel: the noise that was found, and the settings of the selected image.

import { $, announce, element, hideAlert } from "./dom.js";
import { LACKS } from "./service.js";
import { ADJUSTMENTS, modelOf, state } from "./state.js";
import { VIEWS } from "./tiles.js";
import { errorText, formatText, modelText, noiseText, number, remedyText, sizeText, text } from "./words.js";

const RAISE = 1.3; // of the noise level, when noise is left
const STEP = 0.25; // of the strength
const STRONGEST = 1.5;

let left = null; // level of the noise that is left

/** Show the noise of an image, or that it is being estimated. */
export function showNoise(item, aloud = false) {
  const { report } = item;
  if (!report) return $("found").replaceChildren(element("span", { className: "wait", textContent: text("estimating") }));
  const said = [noiseText(report), remedyText(report)];
  const size = element("span", { className: "small", textContent: sizeText(report) });
  $("found").replaceChildren(element("b", { textContent: said[0] }), element("span", { textContent: said[1] }), size);
  if (aloud) announce(said.join(". "));
}

/** Say how much noise is left, in 8-bit units, or nothing for null. */
export function showLeft(level, aloud = true) {
  left = level;
  $("left").hidden = level === null;
  if (level === null) return;
  $("left-text").textContent = text("left", { left: number(level), level: number(state.current.report.level) });
  $("more").hidden = !stronger(state.current);
  if (aloud) announce($("left-text").textContent);
}

/** Return settings with which more noise is removed, and what to say of them; null if there are none. */
export function stronger({ settings, report }) {
  if (settings.strength < 1) return { change: { strength: 1 }, said: text("more-strength", { value: 100 }) };
  const sigma = Math.min(RAISE * (settings.sigma ?? report.sigma), Number($("level").max));
  const model = modelOf({ settings, report });
  if (model?.wants_sigma && sigma > (settings.sigma ?? report.sigma)) {
    const value = Math.round(2 * sigma) / 2;
    return { change: { sigma: value }, said: text("more-level", { value: number(value) }) };
  }
  const strength = Math.min(settings.strength + STEP, STRONGEST);
  if (strength === settings.strength) return null;
  return { change: { strength }, said: text("more-strength", { value: Math.round(100 * strength) }) };
}

export function showSettings() {
  const { settings, report, page } = state.current;
  const model = modelOf({ settings, report });
  $("model").value = settings.model;
  $("about").textContent = model ? [settings.model === "auto" ? `${model.name}: ` : "", modelText(model)].join("") : "";
  $("strength").value = Math.round(100 * settings.strength);
  $("strength-said").textContent = `${$("strength").value} %`;
  for (const name of Object.keys(ADJUSTMENTS)) {
    $(name).value = Math.round(100 * settings[name]);
    $(`${name}-said`).textContent = `${$(name).value} %`;
  }
  $("level-row").hidden = !model?.wants_sigma || !report;
  $("level").value = settings.sigma ?? report?.sigma ?? 0;
  const sigma = number(settings.sigma ?? report?.sigma ?? 0);
  $("level-said").textContent = settings.sigma === null ? text("level-estimated", { sigma }) : sigma;
  $("level-found").hidden = settings.sigma === null;
  $("page-row").hidden = !(report?.pages > 1);
  $("page").max = report?.pages ?? 1;
  $("page").value = page;
  $("page-said").textContent = text("page-of", { page, pages: report?.pages ?? 1 });
  $("format").value = settings.format;
}

/** Show why the selected image failed, and what to do, or its settings if it did not. */
export function showFailure({ name, error }) {
  const within = $("work").contains(document.activeElement) && !$("strip").contains(document.activeElement);
  for (const id of ["bar", "stage", "panel"]) $(id).hidden = Boolean(error);
  $("failure").hidden = !error;
  if (!error) return;
  hideAlert();
  $("failure-title").textContent = text("failure-title", { name });
  $("failure-why").textContent = errorText(error, state.capabilities?.limits);
  if (within) $("failure").focus(); // what had the focus is hidden
}

/** Offer the models and formats of the service. */
export function addChoices() {
  const { models, formats } = state.capabilities;
  const group = (label, found) => element("optgroup", { label }, ...found.map(({ name }) => new Option(name, name)));
  const networks = models.filter((model) => model.network);
  const filters = models.filter((model) => !model.network && model.name !== "auto");
  const automatic = new Option(text("automatic"), "auto");
  $("model").replaceChildren(automatic, group(text("networks"), networks), group(text("filters"), filters));
  $("fine").hidden = LACKS.includes("adjustments");
  $("format").replaceChildren(...["", ...formats].map((format) => new Option(formatText(format), format)));
}

/** Offer what the tiles can show; `choose` is called with a key of `VIEWS`. */
export function addViews(chosen, choose) {
  const offered = Object.keys(VIEWS).filter((name) => !LACKS.includes(name));
  const rows = offered.map((name) => {
    const choice = element("input", { type: "radio", name: "view", value: name, checked: name === chosen });
    choice.addEventListener("change", () => {
      $("after").textContent = text(VIEWS[name].tag);
      choose(name);
    });
    return element("label", {}, choice, element("span", { textContent: text(`view-${name}`) }));
  });
  $("views").replaceChildren(...rows);
  $("after").textContent = text(VIEWS[chosen].tag);
}

/** Write all of it in the language of the page. */
export function translatePanel() {
  if (state.capabilities) addChoices();
  if (!state.current) return;
  showNoise(state.current);
  showLeft(left, false);
  showSettings();
  showFailure(state.current);
}
