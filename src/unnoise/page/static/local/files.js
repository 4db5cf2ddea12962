// What the page loads before it works, and what it allows itself afterwards: no connection to anywhere.

import settings from "./settings.js";

const RELOADED = "reloaded";
const url = (path) => new URL(`../${path}`, import.meta.url).href;

/**
 * Start the service worker, which keeps the page for use offline and gives it the headers that threads need. The first
 * time, the page is loaded again for them, unless it is in use already.
 */
export async function settle(isUsed) {
  if (!navigator.serviceWorker) return;
  const registration = await navigator.serviceWorker.register(url("sw.js"), { scope: url("") }).catch(() => null);
  if (!registration) return;
  if (!navigator.serviceWorker.controller) await controlled(registration);
  if (crossOriginIsolated || isUsed() || !navigator.serviceWorker.controller) return;
  if (sessionStorage.getItem(RELOADED)) return;
  sessionStorage.setItem(RELOADED, "yes");
  location.reload();
  await new Promise(() => {});
}

/** Wait until a service worker controls the page, or its installation has failed. */
function controlled(registration) {
  return new Promise((resolve) => {
    navigator.serviceWorker.addEventListener("controllerchange", resolve, { once: true });
    const installing = registration.installing ?? registration.waiting;
    installing?.addEventListener("statechange", () => installing.state === "redundant" && resolve());
    if (navigator.serviceWorker.controller || !installing) resolve();
  });
}

/** Load ONNX Runtime and the networks; returns what the worker is started with. */
export async function load() {
  const gpu = Boolean(await navigator.gpu?.requestAdapter().catch(() => null));
  const { runtime, module, binary } = settings.runtime[gpu ? "webgpu" : "wasm"];
  const names = Object.keys(settings.files);
  const [wasm, ...networks] = await Promise.all([binary, ...names.map((name) => settings.files[name])].map(bytes));
  const models = Object.fromEntries(names.map((name, index) => [name, networks[index]]));
  const threads = crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, settings.most_threads) : 1;
  return { runtime: url(runtime), module: url(module), binary: wasm, threads, models, gpu };
}

async function bytes(path) {
  const answer = await fetch(url(path));
  if (!answer.ok) throw new Error(`${path}: status ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
}

/** Forbid all connections from now on; workers that are created afterwards inherit it. */
export function forbidConnections() {
  const policy = document.createElement("meta");
  policy.httpEquiv = "Content-Security-Policy";
  policy.content = "connect-src 'none'";
  document.head.append(policy);
}

/** Create the worker by a URL of the page's own, with which it has the policy of the page. */
export function createWorker() {
  const source = new Blob([`import ${JSON.stringify(url("local/worker.js"))};`], { type: "text/javascript" });
  const address = URL.createObjectURL(source);
  const worker = new Worker(address, { type: "module" });
  worker.addEventListener("message", () => URL.revokeObjectURL(address), { once: true });
  return worker;
}
