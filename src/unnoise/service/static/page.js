// The page: the list of images, the selected one, and its settings.

import { paint } from "./scene.js";
import * as service from "./service.js";
import { Tiles, VIEWS } from "./tiles.js";
import { STEP, View } from "./view.js";
import { FORMATS, KINDS, errorText, noiseText, progressText } from "./words.js";
import { zip } from "./zip.js";

const $ = (id) => document.getElementById(id);
const DEBOUNCE = 180; // milliseconds that a control must rest before a request is sent

const items = [];
let current = null;
let capabilities = null;
let running = null; // the AbortController of a download

const tiles = new Tiles(() => { view.draw(); showBusy(); }, (error) => { showError(error); showBusy(); });
const view = new View({ stage: $("stage"), canvas: $("canvas"), divider: $("divider") }, tiles, () => { showZoom(); showBusy(); });

// Images

function add(files) {
  const before = items.length;
  for (const file of files) {
    const settings = { model: "auto", sigma: null, strength: 1, format: "" };
    items.push({ file, name: file.name || "image", settings, page: 1, state: "" });
  }
  if (items.length === before) return;
  $("welcome").hidden = true;
  $("work").hidden = $("add").hidden = false;
  listPictures();
  if (!current) select(items[before]);
  drawThumbs(items.slice(before));
}

function remove(item) {
  const at = items.indexOf(item);
  items.splice(at, 1);
  item.loading?.abort();
  listPictures();
  if (item !== current) return;
  current = null;
  tiles.clear();
  if (items.length) return select(items[Math.min(at, items.length - 1)]);
  view.show(null);
  $("welcome").hidden = false;
  $("work").hidden = $("add").hidden = true;
  $("choose").focus();
}

/** Draw the thumbnails of the strip, one after the other. */
async function drawThumbs(added) {
  for (const item of added) {
    const small = await createImageBitmap(item.file, { resizeWidth: 200, resizeQuality: "medium" }).catch(() => null);
    if (small) drawThumb(item, small);
    small?.close();
  }
}

function drawThumb(item, bitmap) {
  const canvas = item.entry?.querySelector("canvas");
  if (!canvas) return;
  [canvas.width, canvas.height] = [200, 116];
  const scale = Math.max(200 / bitmap.width, 116 / bitmap.height);
  const [width, height] = [bitmap.width * scale, bitmap.height * scale];
  canvas.getContext("2d").drawImage(bitmap, (200 - width) / 2, (116 - height) / 2, width, height);
  item.drawn = true;
}

function select(item) {
  if (current && current !== item) {
    current.loading?.abort();
    current.picture?.bitmap.close();
    current.picture = null;
  }
  current = item;
  tiles.clear();
  view.show(null);
  hideAlert();
  for (const one of items) one.entry.querySelector(".thumb").setAttribute("aria-current", one === item);
  showSettings();
  load(item);
}

/** Decode an image and estimate its noise, both at once. */
async function load(item, stay = false) {
  item.loading?.abort();
  const loading = (item.loading = new AbortController());
  const mine = () => current === item && item.loading === loading && !loading.signal.aborted;
  showNoise(item);
  try {
    if (capabilities && item.file.size > capabilities.limits.body_bytes) throw new service.ServiceError(413);
    const inspecting = item.report ?? service.inspect(item.file, loading.signal);
    const opening = open(item, loading.signal).then((bitmap) => {
      if (!mine()) return bitmap.close();
      tiles.clear(); // those of another page
      item.picture?.bitmap.close();
      item.picture = { bitmap, width: bitmap.width, height: bitmap.height, grey: false, level: levels(item) };
      view.show(item.picture, stay);
      if (!item.drawn) drawThumb(item, bitmap);
    });
    const [report] = await Promise.all([inspecting, opening]);
    if (!mine()) return;
    item.report = report;
    item.picture.grey = report.colours === 1;
    showNoise(item);
    showSettings();
    clean(item);
  } catch (error) {
    if (mine() && error.name !== "AbortError") {
      setState(item, "Failed");
      showNoise(item, true);
      showError(error);
    }
  }
}

async function open(item, signal) {
  if (item.page === 1) {
    const opened = await createImageBitmap(item.file).catch(() => null);
    if (opened) return opened;
  }
  return createImageBitmap(await service.rendered(item.file, item.page, signal));
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
  if (item !== current || !item.picture || !item.report) return;
  hideAlert();
  const { model, sigma } = item.settings;
  const { report } = item;
  const untouched = model === "auto" && sigma === null && !report.model;
  tiles.use(item.picture, untouched ? null : { model: model === "auto" && sigma === null ? report.model : model, sigma: sigma ?? report.sigma });
  view.strength = item.settings.strength;
  view.ask();
  view.draw();
}

// Downloads

function query({ settings: { model, sigma, strength, format } }) {
  return { model, sigma, strength, format };
}

async function denoised(item, onProgress, signal) {
  const key = JSON.stringify(query(item));
  if (item.output?.key !== key) {
    setState(item, "Denoising…");
    try {
      item.output = { key, blob: await service.denoise(item.file, query(item), onProgress, signal) };
    } catch (error) {
      setState(item, error.name === "AbortError" ? "" : "Failed");
      throw error;
    }
  }
  setState(item, "Denoised");
  return item.output.blob;
}

/** Run a download with a progress bar and a cancel button. */
async function run(work) {
  if (running) return;
  running = new AbortController();
  hideAlert();
  $("download").disabled = $("download-all").disabled = true;
  $("progress").hidden = false;
  try {
    await work(running.signal);
  } catch (error) {
    if (error.name === "AbortError") announce("Canceled.");
    else showError(error);
  } finally {
    running = null;
    $("download").disabled = $("download-all").disabled = false;
    $("progress").hidden = true;
  }
}

function showProgress(text, share) {
  $("doing").textContent = text;
  if (share === null) $("bar").removeAttribute("value");
  else $("bar").value = share;
}

function download() {
  const item = current;
  run(async (signal) => {
    showProgress("Uploading…", null);
    const onProgress = (progress) => showProgress(progressText(progress), progress?.state === "working" ? progress.share : null);
    save(await denoised(item, onProgress, signal), cleanName(item));
    announce(`${cleanName(item)} has been downloaded.`);
  });
}

function downloadAll() {
  run(async (signal) => {
    const files = [];
    const failed = [];
    for (const [index, item] of items.entries()) {
      const place = `${index + 1} of ${items.length}`;
      const onProgress = (progress) => {
        const share = progress?.state === "working" ? progress.share : 0;
        showProgress(`${place}: ${progressText(progress)}`, (index + share) / items.length);
      };
      onProgress(null);
      try {
        files.push({ name: uniqueName(cleanName(item), files), blob: await denoised(item, onProgress, signal) });
      } catch (error) {
        if (error.name === "AbortError") throw error;
        failed.push(`${item.name}: ${errorText(error, capabilities?.limits)}`);
      }
    }
    if (files.length) save(await zip(files), "unnoise.zip");
    if (failed.length) showAlert(failed.join(" "));
    announce(`${files.length} images have been downloaded.`);
  });
}

function cleanName(item) {
  const dot = item.name.lastIndexOf(".");
  const [stem, suffix] = dot > 0 ? [item.name.slice(0, dot), item.name.slice(dot + 1)] : [item.name, item.report?.format ?? "png"];
  return `${stem}.clean.${item.settings.format || suffix}`;
}

/** Return a name that no other file of the zip has. */
function uniqueName(name, files) {
  const taken = new Set(files.map((file) => file.name));
  const dot = name.lastIndexOf(".");
  let free = name;
  for (let number = 2; taken.has(free); number += 1) free = `${name.slice(0, dot)}.${number}${name.slice(dot)}`;
  return free;
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// Display

function listPictures() {
  const entries = items.map((item) => {
    if (item.entry) return item.entry;
    item.entry = element("li");
    const thumb = element("button", { type: "button", className: "thumb", title: item.name });
    thumb.append(element("canvas"), element("span", { textContent: item.name }), element("span", { className: "state" }));
    thumb.addEventListener("click", () => item !== current && select(item));
    const away = element("button", { type: "button", className: "remove plain", textContent: "×" });
    away.setAttribute("aria-label", `Remove ${item.name}`);
    away.addEventListener("click", () => remove(item));
    item.entry.append(thumb, away);
    setState(item, item.state);
    return item.entry;
  });
  $("pictures").replaceChildren(...entries);
  $("same").hidden = $("download-all").hidden = items.length < 2;
}

function setState(item, state) {
  item.state = state;
  const megabytes = (item.file.size / 1e6).toFixed(1);
  item.entry.querySelector(".state").textContent = state || `${megabytes} MB`;
}

function showNoise(item, failed = false) {
  const { report } = item;
  if (!report) {
    const wait = element("span", { className: "wait", textContent: failed ? "The noise could not be estimated." : "Estimating the noise…" });
    return $("found").replaceChildren(wait);
  }
  const size = `${report.width} × ${report.height}${report.pages > 1 ? `, ${report.pages} pages` : ""}`;
  const rest = [element("span", { textContent: noiseText(report) }), element("span", { className: "small", textContent: size })];
  $("found").replaceChildren(element("b", { textContent: KINDS[report.noise] }), ...rest);
  announce(`${KINDS[report.noise]}: ${noiseText(report)}`);
}

function showSettings() {
  const { settings, report, page } = current;
  $("model").value = settings.model;
  const model = capabilities?.models.find((one) => one.name === settings.model);
  const chosen = settings.model === "auto" ? capabilities?.models.find((one) => one.name === report?.model) : model;
  $("about").textContent = chosen ? `${chosen.name}: ${chosen.summary}` : "";
  $("strength").value = Math.round(100 * settings.strength);
  $("strength-said").textContent = `${$("strength").value} %`;
  $("level-row").hidden = !model?.wants_sigma || !report;
  $("level").value = settings.sigma ?? report?.sigma ?? 0;
  $("level-said").textContent = settings.sigma === null ? `estimated, ${(report?.sigma ?? 0).toFixed(1)}` : settings.sigma.toFixed(1);
  $("level-found").hidden = settings.sigma === null;
  $("page-row").hidden = !(report?.pages > 1);
  $("page").max = report?.pages ?? 1;
  $("page").value = page;
  $("page-said").textContent = `${page} of ${report?.pages ?? 1}`;
  $("format").value = settings.format;
}

function showZoom() {
  $("scale").textContent = view.picture ? `${Math.round(100 * view.scale)} %` : "";
}

function showBusy() {
  const { missing } = tiles;
  $("busy").hidden = !missing;
  const done = tiles.wanted.length - missing;
  $("busy").textContent = tiles.wanted.length > 1 ? `Denoising the visible part, ${done} of ${tiles.wanted.length}` : "Denoising the visible part";
  $("stage").setAttribute("aria-busy", missing > 0);
  $("stage").dataset.tiles = done; // denoised, of those in view
}

function announce(text) {
  $("live").textContent = text;
}

function showError(error) {
  showAlert(error instanceof service.ServiceError ? errorText(error, capabilities?.limits) : error.message);
}

function showAlert(text) {
  $("alert").textContent = text;
  $("alert").hidden = false;
}

function hideAlert() {
  $("alert").hidden = true;
}

function element(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}

// Controls

/** Return a function that calls `action` once it has not been called for a while. */
function debounced(action) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, DEBOUNCE);
  };
}

function listen() {
  const cleanSoon = debounced(() => current && clean(current));
  const pageSoon = debounced(() => current && load(current, true));
  const change = (name, value) => {
    current.settings[name] = value;
    showSettings();
  };
  $("model").addEventListener("change", () => { change("model", $("model").value); clean(current); });
  $("strength").addEventListener("input", () => {
    change("strength", $("strength").value / 100);
    view.strength = current.settings.strength;
    view.draw();
  });
  $("level").addEventListener("input", () => { change("sigma", Number($("level").value)); cleanSoon(); });
  $("level-found").addEventListener("click", () => { change("sigma", null); clean(current); $("level").focus(); });
  $("page").addEventListener("input", () => { current.page = Number($("page").value); showSettings(); pageSoon(); });
  $("format").addEventListener("change", () => change("format", $("format").value));
  $("download").addEventListener("click", download);
  $("download-all").addEventListener("click", downloadAll);
  $("cancel").addEventListener("click", () => running?.abort());
  $("same").addEventListener("click", () => {
    for (const item of items) item.settings = { ...current.settings };
    announce("The settings of this image are applied to all images.");
  });
  $("in").addEventListener("click", () => view.zoom(STEP));
  $("out").addEventListener("click", () => view.zoom(1 / STEP));
  $("fit").addEventListener("click", () => view.fit());
  $("full").addEventListener("click", () => view.full());
  for (const button of ["add", "choose"]) $(button).addEventListener("click", () => $("files").click());
  $("files").addEventListener("change", () => { add($("files").files); $("files").value = ""; });
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

function addViews() {
  for (const [name, { label, tag }] of Object.entries(VIEWS)) {
    const choice = element("input", { type: "radio", name: "view", value: name, checked: name === tiles.view });
    choice.addEventListener("change", () => {
      tiles.setView(name);
      $("after").textContent = tag;
      view.draw();
      showBusy();
    });
    const row = element("label");
    row.append(choice, element("span", { textContent: label }));
    $("views").append(row);
  }
}

function addChoices() {
  const group = (label, models) => {
    const optgroup = element("optgroup", { label });
    optgroup.append(...models.map(({ name }) => new Option(name, name)));
    return optgroup;
  };
  const networks = capabilities.models.filter((model) => model.network);
  const filters = capabilities.models.filter((model) => !model.network && model.name !== "auto");
  $("model").replaceChildren(new Option("Automatic", "auto"), group("Networks", networks), group("Classical filters", filters));
  $("format").replaceChildren(...["", ...capabilities.formats].map((format) => new Option(FORMATS[format], format)));
}

/** Ask the user for the key of the service, once for all requests that wait for it. */
let asking = null;
function askForKey(wrong) {
  asking ??= new Promise((resolve, reject) => {
    const dialog = $("key-dialog");
    const use = () => { dialog.close(); resolve($("key").value); };
    $("key-title").textContent = wrong ? "Wrong key" : "This service requires a key";
    $("key").value = "";
    $("key-use").onclick = use;
    $("key").onkeydown = (event) => event.key === "Enter" && use();
    dialog.oncancel = () => reject(new service.ServiceError(401));
    dialog.showModal();
  }).finally(() => (asking = null));
  return asking;
}

service.onKey(askForKey);
paint($("scene"));
addViews();
listen();
try {
  capabilities = await service.capabilities();
  addChoices();
  if (current) showSettings();
} catch (error) {
  showError(error);
}
