// The networks, run by ONNX Runtime one after the other.

import settings from "./settings.js";

let runtime = null; // the module of ONNX Runtime
let files = null; // name of a network -> its file
let provider = "wasm";
const sessions = new Map();
let last = Promise.resolve();

/** Set ONNX Runtime, and the files of the networks, name -> bytes. */
export function use(ort, models) {
  [runtime, files] = [ort, models];
}

/**
 * Use WebGPU from now on if its results agree with those of the processor, and say whether they do. Drivers differ, and
 * a wrong image would not be noticed.
 */
export async function useGpu() {
  const noisy = new Float32Array(3 * 64 * 64).map((_, place) => ((place * 7919) % 1000) / 1000);
  const inputs = { noisy: [noisy, [1, 3, 64, 64]], sigma: [new Float32Array(64 * 64).fill(0.1), [1, 1, 64, 64]] };
  const { clean: expected } = await run("color", inputs);
  sessions.clear();
  provider = "webgpu";
  const found = await run("color", inputs).catch(() => null);
  const agrees = found && found.clean.data.every((value, place) => Math.abs(value - expected.data[place]) < settings.gpu_tolerance);
  if (agrees) return true;
  sessions.clear();
  provider = "wasm";
  return false;
}

/** Return the longest side of tiles without their margin, in pixels; the buffers of GPUs are limited. */
export function tileSide() {
  return provider === "wasm" ? settings.tile : settings.gpu_tile;
}

/** Run a network on inputs, name -> [values, shape]; returns its outputs, name -> `{ data, dims }`. */
export function run(name, inputs) {
  const result = last.then(async () => {
    const feeds = {};
    for (const [input, [values, shape]] of Object.entries(inputs)) feeds[input] = new runtime.Tensor("float32", values, shape);
    return (await open(name)).run(feeds);
  });
  last = result.catch(() => {});
  return result;
}

async function open(name) {
  if (!sessions.has(name)) {
    const options = { executionProviders: [provider], logSeverityLevel: 3, enableCpuMemArena: false, enableMemPattern: false };
    sessions.set(name, await runtime.InferenceSession.create(files[name], options));
  }
  return sessions.get(name);
}
