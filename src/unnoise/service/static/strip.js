// The strip of images: thumbnails, what state each is in, and a button to remove it.

import { $, element } from "./dom.js";
import { rendered } from "./service.js";
import { state } from "./state.js";
import { number, text } from "./words.js";

const [WIDTH, HEIGHT] = [200, 116]; // of a thumbnail, in pixels
const SMALL = 2e7; // bytes of a file up to which the service is asked for an image that the browser cannot open

/** Show an entry for each image; `choose` and `remove` are called with the image. */
export function listPictures({ choose, remove }) {
  for (const item of state.items) item.entry ??= entry(item, choose, remove);
  $("pictures").replaceChildren(...state.items.map((item) => item.entry));
  $("all").hidden = state.items.length < 2;
  showStates();
}

function entry(item, choose, remove) {
  const label = element("span", { className: "state" });
  const thumb = element("button", { type: "button", className: "thumb", title: item.name }, element("canvas"), element("span", { textContent: item.name }), label);
  thumb.addEventListener("click", () => choose(item));
  const away = element("button", { type: "button", className: "remove plain", textContent: "×" });
  away.addEventListener("click", () => remove(item));
  return element("li", {}, thumb, away);
}

/** Set the status of an image: "", "working", "done" or "failed". */
export function setStatus(item, status) {
  item.status = status;
  showStates();
}

/** Write the status of each image, in the language of the page. */
export function showStates() {
  for (const { entry: shown, status, file, name } of state.items) {
    const size = text("megabytes", { size: number(file.size / 1e6) });
    shown.querySelector(".state").textContent = status ? text(`state-${status}`) : size;
    shown.querySelector(".remove").setAttribute("aria-label", text("remove", { name }));
    shown.classList.toggle("failed", status === "failed");
  }
}

export function markCurrent() {
  for (const item of state.items) item.entry.querySelector(".thumb").setAttribute("aria-current", item === state.current);
}

/** Draw the thumbnails of images, one after the other; `failed` is called with an image that cannot be opened, and why. */
export async function drawThumbs(added, failed) {
  for (const item of added) {
    if (item.drawn || item.error || !item.entry?.isConnected) continue;
    const options = { resizeWidth: WIDTH, resizeQuality: "medium" };
    let small = await createImageBitmap(item.file, options).catch(() => null);
    // the selected image is opened anyway
    if (!small && item !== state.current && item.file.size < SMALL) {
      const shown = await rendered(item.file, 1).catch((error) => {
        if (error.status >= 413) failed(item, error); // and not while the service is busy or away
      });
      small = shown && (await createImageBitmap(shown, options).catch(() => null));
    }
    if (small) drawThumb(item, small);
    small?.close();
  }
}

export function drawThumb(item, bitmap) {
  const canvas = item.entry?.querySelector("canvas");
  if (!canvas) return;
  [canvas.width, canvas.height] = [WIDTH, HEIGHT];
  const scale = Math.max(WIDTH / bitmap.width, HEIGHT / bitmap.height);
  const [width, height] = [bitmap.width * scale, bitmap.height * scale];
  canvas.getContext("2d").drawImage(bitmap, (WIDTH - width) / 2, (HEIGHT - height) / 2, width, height);
  item.drawn = true;
}
