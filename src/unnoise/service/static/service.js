// Requests to the service.

const POLL = 250; // milliseconds between two requests for the progress of a job
const TRIES = 20; // while the service is busy

/** A failed request; status 0 stands for a service that cannot be reached. */
export class ServiceError extends Error {
  constructor(status, detail = "") {
    super(detail || `status ${status}`);
    this.status = status;
    this.detail = detail;
  }
}

/** Views of the page that this service lacks, and "adjustments" if it lacks these. */
export const LACKS = [];

let askForKey = async () => "";

/** Set the function that asks the user for the key of the service. */
export function onKey(ask) {
  askForKey = ask;
}

/** Return the models, formats and limits of the service. */
export async function capabilities() {
  return (await call("models")).json();
}

/** Return the properties of an image and its estimated noise. */
export async function inspect(file, signal) {
  return (await send("inspect", {}, file, signal)).json();
}

/** Return an image that the browser cannot decode as a PNG. */
export async function rendered(file, page, signal) {
  return (await send("preview", { strength: 0, page }, file, signal)).blob();
}

/** Return a tile of an image, denoised. */
export async function piece(blob, options, signal) {
  return (await send("denoise", { ...options, format: "png" }, blob, signal)).blob();
}

/** Return the expected error in a tile of an image, times `gain`. */
export async function uncertainty(blob, { model, sigma }, gain, signal) {
  return (await send("uncertainty", { model, sigma, gain }, blob, signal)).blob();
}

/** Return the map of the noise level of an image. */
export async function noiseMap(file, page) {
  return (await send("noise-map", { page }, file)).blob();
}

/** Return the whole image, denoised; `onProgress` is called with the state of the job, or null. */
export async function denoise(file, query, onProgress, signal) {
  const job = name();
  let over = false;
  const poll = async () => {
    while (!over) {
      await pause(POLL);
      const answer = over || (await call(`jobs/${job}`).catch(() => null));
      if (answer?.ok) onProgress(await answer.json());
      else if (!over) onProgress(null);
    }
  };
  poll();
  try {
    return await (await send("denoise", { ...query, job }, file, signal)).blob();
  } finally {
    over = true;
  }
}

async function send(path, query, body, signal) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  for (let attempt = 1; ; attempt += 1) {
    const answer = await call(`${path}?${new URLSearchParams(given)}`, {
      method: "POST",
      body,
      headers: { "Content-Type": "application/octet-stream" },
      signal,
    });
    if (answer.ok) return answer;
    const problem = await answer.json().catch(() => ({}));
    const wait = Number(answer.headers.get("Retry-After"));
    if (!wait || attempt === TRIES) throw new ServiceError(answer.status, problem.detail);
    await pause(1000 * wait, signal);
  }
}

async function call(path, options = {}) {
  for (;;) {
    const key = sessionStorage.getItem("key");
    const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
    const answer = await fetch(`v1/${path}`, { ...options, headers }).catch((error) => {
      throw error.name === "AbortError" ? error : new ServiceError(0);
    });
    if (answer.status !== 401) return answer;
    sessionStorage.setItem("key", await askForKey(Boolean(key)));
  }
}

function name() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
