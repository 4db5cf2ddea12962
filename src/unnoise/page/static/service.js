// In place of the service's own file of this name: the same functions, done in a worker of this browser.

import { createWorker, forbidConnections, load, settle } from "./local/files.js";
import settings from "./local/settings.js";

/** Views of the page that only the service has. */
export const LACKS = ["error", "adjustments"];

/** A failed operation, with the status that the service would answer with. */
export class ServiceError extends Error {
  constructor(status, detail = "") {
    super(detail || `status ${status}`);
    this.status = status;
    this.detail = detail;
  }
}

const keys = new WeakMap(); // file -> number by which the worker knows it
const waiting = new Map(); // number of an operation -> what to do with its messages
let worker = null;
let next = 0;
let isUsed = false;
let started = null;

/** There is no key. */
export function onKey() {}

/** Return the models, formats and limits of this page. */
export async function capabilities() {
  return settings.capabilities;
}

/** Return the properties of an image and its estimated noise. */
export function inspect(file, signal) {
  return call("inspect", { file, key: keyOf(file) }, signal);
}

/** Images that the browser cannot show are for the service. */
export async function rendered() {
  throw new ServiceError(422, settings.only);
}

/** Return a tile of an image, denoised. */
export function piece(blob, { model, sigma }, signal) {
  return call("clean", { file: blob, key: null, model, sigma: sigma ?? null, strength: 1, format: "png" }, signal);
}

/** The map of the expected error is not computed here. */
export async function uncertainty() {
  throw new ServiceError(422, "this page has no error map");
}

/** Return the map of the noise level of an image. */
export function noiseMap(file) {
  return call("noiseMap", { file, key: keyOf(file) });
}

/** Return the whole image, denoised; `onProgress` is called with the share that is done. */
export function denoise(file, { model, sigma, strength, format }, onProgress, signal) {
  const values = { file, key: keyOf(file), model, sigma: sigma ?? null, strength, format: format || "" };
  return call("clean", values, signal, (share) => onProgress({ state: "working", share }));
}

/** Return the number of a file; parts of images, which are blobs, have none. */
function keyOf(file) {
  if (!(file instanceof File)) return null;
  if (!keys.has(file)) keys.set(file, (next += 1));
  return keys.get(file);
}

async function call(operation, values, signal, onShare = () => {}) {
  isUsed = true;
  await started;
  signal?.throwIfAborted();
  return ask(operation, values, signal, onShare);
}

function ask(operation, values, signal, onShare = () => {}, transfer = []) {
  const id = (next += 1);
  return new Promise((resolve, reject) => {
    const cancel = () => {
      worker.postMessage({ cancel: id });
      reject(signal.reason);
    };
    signal?.addEventListener("abort", cancel, { once: true });
    waiting.set(id, ({ result, share, error }) => {
      if (share !== undefined) return onShare(share);
      waiting.delete(id);
      signal?.removeEventListener("abort", cancel);
      if (error) reject(new ServiceError(error.status === 415 ? 422 : error.status, error.status === 415 ? settings.only : error.message));
      else resolve(result);
    });
    worker.postMessage({ id, operation, values }, transfer);
  });
}

async function start() {
  await settle(() => isUsed);
  const values = await load();
  forbidConnections();
  worker = createWorker();
  await new Promise((resolve, reject) => {
    worker.addEventListener("message", resolve, { once: true });
    worker.addEventListener("error", reject, { once: true });
  });
  worker.addEventListener("message", ({ data }) => waiting.get(data.id)?.(data));
  worker.addEventListener("error", ({ message }) => {
    for (const done of [...waiting.values()]) done({ error: { status: 500, message } });
  });
  const buffers = [values.binary, ...Object.values(values.models)].map((bytes) => bytes.buffer);
  const { gpu } = await ask("start", values, undefined, undefined, buffers);
  document.documentElement.dataset.engine = gpu ? "webgpu" : `wasm, threads: ${values.threads}`;
}

started = start().catch((error) => {
  throw new ServiceError(500, `the page could not be loaded: ${error.message ?? error}`);
});
started.catch(() => {}); // every operation fails with it
