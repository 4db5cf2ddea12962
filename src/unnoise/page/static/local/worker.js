// The worker that denoises. It is created when all files have been loaded, and may not connect to anything.

import * as networks from "./networks.js";
import * as operations from "./operations.js";

const canceled = new Set();

/** Let messages in, such as that an operation has been canceled. */
const breathe = () => new Promise((resolve) => setTimeout(resolve));

async function start({ runtime, module, binary, threads, models, gpu }) {
  const ort = await import(runtime);
  Object.assign(ort.env.wasm, { wasmBinary: binary, wasmPaths: { mjs: module }, numThreads: threads });
  ort.env.logLevel = "error";
  networks.use(ort, models);
  return { gpu: gpu && (await networks.useGpu().catch(() => false)) };
}

async function answer({ id, operation, values }) {
  const progress = async (share) => {
    postMessage({ id, share });
    await breathe();
    if (canceled.has(id)) throw new DOMException("canceled", "AbortError");
  };
  try {
    await progress(0);
    const result = await (operation === "start" ? start(values) : operations[operation](values, progress));
    postMessage({ id, result });
  } catch (error) {
    const { name, message, status = 500 } = error;
    postMessage({ id, error: { name, message: message || String(error), status } });
  }
  canceled.delete(id);
}

addEventListener("message", ({ data }) => {
  if (data.cancel !== undefined) canceled.add(data.cancel);
  else answer(data);
});
postMessage({ ready: true });
