// The service, as the page asks it.

const PATIENCE = 250; // milliseconds between two looks at a job
const TRIES = 20; // when the service is busy

/** What went wrong; status 0 stands for a service that cannot be reached. */
export class Trouble extends Error {
  constructor(status, detail = "") {
    super(detail || `status ${status}`);
    this.status = status;
    this.detail = detail;
  }
}

let askForKey = async () => "";

/** Say who is asked for a key when the service wants one. */
export function onKey(ask) {
  askForKey = ask;
}

/** What can be asked for, and how much of it. */
export async function offer() {
  return (await call("models")).json();
}

/** What a picture is, and what noise is in it. */
export async function inspect(file, signal) {
  return (await send("inspect", {}, file, signal)).json();
}

/** A picture that the browser cannot open, as one that it can. */
export async function rendered(file, page, signal) {
  return (await send("preview", { strength: 0, page }, file, signal)).blob();
}

/** A piece of a picture, cleaned. */
export async function piece(blob, { model, sigma }, signal) {
  return (await send("denoise", { model, sigma, format: "png" }, blob, signal)).blob();
}

/** The error to be expected in a piece of a picture, times `gain`. */
export async function uncertainty(blob, { model, sigma }, gain, signal) {
  return (await send("uncertainty", { model, sigma, gain }, blob, signal)).blob();
}

/** The whole picture, cleaned; `told` hears how far it is. */
export async function denoise(file, query, told, signal) {
  const job = name();
  let over = false;
  const look = async () => {
    while (!over) {
      await pause(PATIENCE);
      const answer = over || (await call(`jobs/${job}`).catch(() => null));
      if (answer?.ok) told(await answer.json());
      else if (!over) told(null);
    }
  };
  look();
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
    if (!wait || attempt === TRIES) throw new Trouble(answer.status, problem.detail);
    await pause(1000 * wait, signal);
  }
}

async function call(path, options = {}) {
  for (;;) {
    const key = sessionStorage.getItem("key");
    const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
    const answer = await fetch(`v1/${path}`, { ...options, headers }).catch((error) => {
      throw error.name === "AbortError" ? error : new Trouble(0);
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
