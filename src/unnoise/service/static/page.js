// The page: images are added, selected, opened and denoised as far as they are in view.

import { $, announce, debounced, hideAlert, showAlert } from "./dom.js";
import { listenToDownloads } from "./downloads.js";
import "./key.js";
import { addChoices, addViews, showFailure, showLeft, showNoise, showSettings, stronger, translatePanel } from "./panel.js";
import { Residue } from "./residue.js";
import { paint, sample } from "./scene.js";
import * as service from "./service.js";
import { ADJUSTMENTS, newItem, optionsOf, state } from "./state.js";
import { drawThumb, drawThumbs, listPictures, markCurrent, setStatus, showStates } from "./strip.js";
import { Tiles } from "./tiles.js";
import { STEP, View } from "./view.js";
import { countText, currentLanguage, errorText, setLanguage, text, translate } from "./words.js";

const REST = 180; // milliseconds that a control must rest before a request is sent

const tiles = new Tiles(() => { view.draw(); showBusy(); }, (error) => { showError(error); showBusy(); });
const parts = { stage: $("stage"), canvas: $("canvas"), divider: $("divider"), lens: $("lens"), mark: $("mark") };
const view = new View(parts, tiles, () => { showZoom(); showBusy(); });
const residue = new Residue(tiles, showLeft);

// Images

function add(files) {
  const added = Array.from(files, newItem);
  if (!added.length) return;
  state.items.push(...added);
  $("welcome").hidden = true;
  $("work").hidden = $("add").hidden = false;
  listPictures({ choose: select, remove });
  if (!state.current) {
    select(added[0]);
    $("stage").focus({ preventScroll: true }); // the button that had the focus is hidden
  }
  announce(countText("added", added.length));
  drawThumbs(added, fail);
}

function remove(item) {
  const { items } = state;
  const at = items.indexOf(item);
  items.splice(at, 1);
  item.loading?.abort();
  listPictures({ choose: select, remove });
  announce(text("removed", { name: item.name }));
  const next = items[Math.min(at, items.length - 1)];
  if (item === state.current) {
    state.current = null;
    item.picture?.bitmap.close();
    tiles.clear();
    view.show(null);
    showBusy(); // its noise is no longer looked at
    if (next) select(next);
  }
  if (next) return next.entry.querySelector(".thumb").focus();
  $("welcome").hidden = false;
  $("work").hidden = $("add").hidden = true;
  $("choose").focus();
}

function select(item) {
  const { current } = state;
  if (current === item) return;
  if (current) {
    current.loading?.abort();
    current.picture?.bitmap.close();
    current.picture = null;
  }
  state.current = item;
  markCurrent();
  load(item);
}

/** Decode an image and estimate its noise, both at once. */
async function load(item, stay = false) {
  item.loading?.abort();
  const loading = (item.loading = new AbortController());
  const mine = () => state.current === item && item.loading === loading && !loading.signal.aborted;
  item.error = null;
  if (item.status === "failed") setStatus(item, "");
  hideAlert();
  if (!stay) {
    tiles.clear();
    view.show(null);
  }
  showFailure(item);
  showNoise(item);
  showSettings();
  showBusy();
  try {
    const { limits } = state.capabilities ?? {};
    if (limits && item.file.size > limits.body_bytes) throw new service.ServiceError(413);
    const inspecting = item.report ?? service.inspect(item.file, loading.signal);
    const opening = open(item, loading.signal).then((bitmap) => {
      if (!mine()) return bitmap.close();
      tiles.clear(); // those of another page
      item.picture?.bitmap.close();
      item.picture = { bitmap, width: bitmap.width, height: bitmap.height, grey: false, level: levels(item) };
      view.show(item.picture, stay);
      if (!item.drawn) drawThumb(item, bitmap);
      showBusy();
    });
    const [report] = await Promise.all([inspecting, opening]);
    if (!mine()) return;
    const isNew = !item.report;
    item.report = report;
    item.picture.grey = report.colours === 1;
    showNoise(item, isNew);
    showSettings();
    clean(item);
  } catch (error) {
    if (mine() && error.name !== "AbortError") {
      loading.abort();
      fail(item, error);
    }
  }
}

async function open(item, signal) {
  if (item.page === 1) {
    const opened = await createImageBitmap(item.file).catch(() => null);
    if (opened) return opened;
  }
  const shown = await service.rendered(item.file, item.page, signal);
  return createImageBitmap(shown).catch(() => Promise.reject({ key: "error-browser" }));
}

/** Mark an image as failed, and say why if it is selected. */
function fail(item, error) {
  item.error = error;
  setStatus(item, "failed");
  if (item !== state.current) return;
  item.picture?.bitmap.close();
  item.picture = null;
  tiles.clear();
  view.show(null);
  showFailure(item);
}

/** Return a function that returns a promise of the map of the noise level of an image; it is requested once. */
function levels(item) {
  const { file, page } = item;
  let map = null;
  const request = async () => {
    const blob = await service.noiseMap(file, page);
    return createImageBitmap(blob, { colorSpaceConversion: "none" });
  };
  return () => {
    map ??= request().catch((error) => {
      map = null;
      throw error;
    });
    return map;
  };
}

/** Denoise the visible part of an image with the current settings. */
function clean(item) {
  if (item !== state.current || !item.picture || !item.report) return;
  hideAlert();
  tiles.use(item.picture, optionsOf(item));
  view.strength = item.settings.strength;
  view.ask();
  view.draw();
}

// Display

function showZoom() {
  $("scale").textContent = view.picture ? `${Math.round(100 * view.scale)} %` : "";
}

function showBusy() {
  const { missing } = tiles;
  const all = tiles.wanted.length;
  const item = state.current;
  const opening = Boolean(item && !item.picture && !item.error);
  $("busy").hidden = !missing && !opening;
  const visible = all > 1 ? text("visible-of", { done: all - missing, all }) : text("visible");
  $("busy").textContent = opening ? text("opening") : visible;
  $("stage").setAttribute("aria-busy", missing > 0 || opening);
  $("stage").dataset.tiles = all - missing; // denoised, of those in view
  const grained = item?.settings.grain > 0; // which would be taken for noise that is left
  residue.watch(item?.picture && item.report && !grained ? item : null, item?.settings.strength);
}

function showError(error) {
  showAlert(errorText(error, state.capabilities?.limits));
}

function useLanguage(language) {
  setLanguage(language);
  translate(document);
  addViews(tiles.view, show);
  translatePanel();
  showStates();
  showBusy();
  view.translate();
}

function show(name) {
  tiles.setView(name);
  view.draw();
  showBusy();
}

// Controls

function change(changes) {
  Object.assign(state.current.settings, changes);
  showSettings();
  view.strength = state.current.settings.strength;
  view.draw();
  showBusy();
}

function listenToSettings() {
  const cleanSoon = debounced(() => state.current && clean(state.current), REST);
  const pageSoon = debounced(() => state.current && load(state.current, true), REST);
  $("model").addEventListener("change", () => { change({ model: $("model").value }); clean(state.current); });
  $("strength").addEventListener("input", () => change({ strength: $("strength").value / 100 }));
  for (const name of Object.keys(ADJUSTMENTS)) {
    $(name).addEventListener("input", () => { change({ [name]: $(name).value / 100 }); cleanSoon(); });
  }
  $("level").addEventListener("input", () => { change({ sigma: Number($("level").value) }); cleanSoon(); });
  $("level-found").addEventListener("click", () => { change({ sigma: null }); clean(state.current); $("level").focus(); });
  $("page").addEventListener("input", () => { state.current.page = Number($("page").value); showSettings(); pageSoon(); });
  $("format").addEventListener("change", () => change({ format: $("format").value }));
  $("more").addEventListener("click", () => {
    const { change: changes, said } = stronger(state.current);
    $(changes.sigma ? "level" : "strength").focus(); // the button disappears
    change(changes);
    if (changes.sigma) clean(state.current);
    announce(said);
  });
  $("same").addEventListener("click", () => {
    for (const item of state.items) item.settings = { ...state.current.settings };
    announce(text("same-done"));
  });
}

function listenToStage() {
  $("in").addEventListener("click", () => view.zoom(STEP));
  $("out").addEventListener("click", () => view.zoom(1 / STEP));
  $("fit").addEventListener("click", () => view.fit());
  $("full").addEventListener("click", () => view.full());
  $("loupe").addEventListener("click", () => view.loupe.toggle());
  view.loupe.toggled = () => $("loupe").setAttribute("aria-pressed", view.loupe.on);
  $("retry").addEventListener("click", () => load(state.current));
  $("remove-it").addEventListener("click", () => remove(state.current));
}

function listenToFiles() {
  for (const button of ["add", "choose"]) $(button).addEventListener("click", () => $("files").click());
  $("files").addEventListener("change", () => { add($("files").files); $("files").value = ""; });
  $("sample").addEventListener("click", async () => add([await sample()]));
  document.addEventListener("paste", (event) => add(event.clipboardData?.files ?? []));
  let inside = 0;
  document.addEventListener("dragenter", () => { inside += 1; $("over").hidden = false; });
  document.addEventListener("dragleave", () => { inside -= 1; $("over").hidden = inside > 0; });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    inside = 0;
    $("over").hidden = true;
    add(event.dataTransfer.files);
  });
}

listenToSettings();
listenToStage();
listenToFiles();
listenToDownloads((held) => tiles.hold(held));
$("welcome").hidden = $("language").hidden = false; // they need JavaScript
$("language").value = currentLanguage();
$("language").addEventListener("change", () => useLanguage($("language").value));
useLanguage(currentLanguage());
paint($("scene"));
try {
  state.capabilities = await service.capabilities();
  addChoices();
  if (state.current) showSettings();
} catch (error) {
  showError(error);
}
