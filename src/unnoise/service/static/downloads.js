// Downloads: one image, or all in a zip.

import { $, announce, hideAlert, showAlert } from "./dom.js";
import { denoise } from "./service.js";
import { isUnsaved, keyOf, state } from "./state.js";
import { setStatus } from "./strip.js";
import { countText, errorText, progressText, text } from "./words.js";
import { zip } from "./zip.js";

let running = null; // the AbortController of a download

/** Let the buttons work; `hold` is called with true when a download begins, and with false when it has ended. */
export function listenToDownloads(hold) {
  $("download").addEventListener("click", () => run(download, hold));
  $("download-all").addEventListener("click", () => run(downloadAll, hold));
  $("cancel").addEventListener("click", () => running?.abort());
  window.addEventListener("beforeunload", (event) => {
    if (running || state.items.some(isUnsaved)) event.preventDefault(); // the browser asks
  });
}

/** Run a download with a progress bar and a cancel button. */
async function run(work, hold) {
  if (running) return;
  running = new AbortController();
  hideAlert();
  $("download").disabled = $("download-all").disabled = true;
  $("progress").hidden = false;
  hold(true);
  try {
    await work(running.signal);
  } catch (error) {
    if (error.name === "AbortError") announce(text("canceled"));
    else showAlert(errorText(error, state.capabilities?.limits));
  } finally {
    const within = $("progress").contains(document.activeElement);
    running = null;
    $("download").disabled = $("download-all").disabled = false;
    $("progress").hidden = true;
    if (within) $("download").focus();
    hold(false);
  }
}

function showProgress(said, share) {
  $("doing").textContent = said;
  if (share === null) $("bar-done").removeAttribute("value");
  else $("bar-done").value = share;
}

async function denoised(item, onProgress, signal) {
  const key = keyOf(item);
  if (item.output?.key !== key) {
    setStatus(item, "working");
    try {
      item.output = { key, blob: await denoise(item.file, JSON.parse(key), onProgress, signal) };
    } catch (error) {
      setStatus(item, error.name === "AbortError" ? "" : "failed");
      throw error;
    }
  }
  setStatus(item, "done");
  return item.output.blob;
}

async function download(signal) {
  const item = state.current;
  showProgress(text("uploading"), null);
  const onProgress = (progress) => showProgress(progressText(progress), progress?.state === "working" ? progress.share : null);
  save(await denoised(item, onProgress, signal), cleanName(item));
  item.saved = item.output.key;
  announce(text("saved", { name: cleanName(item) }));
}

async function downloadAll(signal) {
  const files = [];
  const done = [];
  const failed = [];
  for (const [index, item] of state.items.entries()) {
    const onProgress = (progress) => {
      const share = progress?.state === "working" ? progress.share : 0;
      const place = { place: index + 1, all: state.items.length, text: progressText(progress) };
      showProgress(text("place-of", place), (index + share) / state.items.length);
    };
    onProgress(null);
    try {
      files.push({ blob: await denoised(item, onProgress, signal), name: uniqueName(cleanName(item), files) });
      done.push(item);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      failed.push(`${item.name}: ${errorText(error, state.capabilities?.limits)}`);
    }
  }
  if (files.length) save(await zip(files), "unnoise.zip");
  for (const item of done) item.saved = item.output.key;
  if (failed.length) showAlert(failed.join(" "));
  announce(countText("saved", files.length));
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
  for (let count = 2; taken.has(free); count += 1) free = `${name.slice(0, dot)}.${count}${name.slice(dot)}`;
  return free;
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
