// Samples to a JPEG file with given quantization tables and chroma sampling, as `io/jpeg_encoder.py` does it.

import { huffman } from "./huffman.js";
import settings from "./settings.js";

const ZIGZAG = settings.jpeg.zigzag;
const COSINES = Float64Array.from({ length: 64 }, (_, place) => {
  const [frequency, x] = [place >> 3, place & 7];
  return Math.cos((Math.PI / 8) * frequency * (x + 0.5)) * Math.sqrt((frequency ? 2 : 1) / 8);
});

/** Encode 8-bit samples; `segments` are `{ marker, data }` of metadata. Returns a Blob. */
export function writeJpeg({ width, height, channels, samples }, { tables, sampling: [across, down] }, segments) {
  const [right, below] = channels === 3 ? [across, down] : [1, 1];
  const units = [Math.ceil(width / (8 * right)), Math.ceil(height / (8 * below))];
  const parts = components(samples, width, height, channels, units, [right, below]).map((part, number) => ({
    ...part,
    table: tables[Math.min(number, tables.length - 1)].map((value) => Math.min(value, 255)),
    kind: number ? 1 : 0,
  }));
  for (const part of parts) part.blocks = quantized(part);
  const kinds = channels === 3 ? [0, 1] : [0];
  const coders = kinds.map((kind) => {
    const counts = [new Array(256).fill(0), new Array(256).fill(0)];
    scan(parts, units, (part, table, symbol) => part.kind === kind && (counts[table][symbol] += 1));
    return counts.map(huffman);
  });
  const bits = new Bits(width * height);
  scan(parts, units, (part, table, symbol, size, value) => {
    const coder = coders[part.kind][table];
    bits.write(coder.codes[symbol], coder.sizes[symbol]);
    bits.write(value, size);
  });
  const frame = [8, height >> 8, height & 255, width >> 8, width & 255, channels];
  parts.forEach((part, number) => frame.push(number + 1, (part.right << 4) | part.below, number));
  const own = [
    ...parts.map((part, number) => [0xdb, [number, ...ZIGZAG.map((place) => part.table[place])]]),
    [0xc0, frame],
    ...coders.flatMap((tables, kind) => tables.map(({ counts, symbols }, table) => [0xc4, [(table << 4) | kind, ...counts, ...symbols]])),
    [0xda, [channels, ...parts.flatMap((part, number) => [number + 1, part.kind * 0x11]), 0, 63, 0]],
  ].map(([marker, data]) => ({ marker, data }));
  const headers = [...segments, ...own].map(({ marker, data }) => Uint8Array.from([0xff, marker, (data.length + 2) >> 8, (data.length + 2) & 255, ...data]));
  return new Blob([Uint8Array.of(0xff, 0xd8), ...headers, bits.end(), Uint8Array.of(0xff, 0xd9)], { type: "image/jpeg" });
}

/** Return luma and chroma, or gray, as planes of whole units, the border repeated; chroma is averaged. */
function components(samples, width, height, channels, [columns, rows], [right, below]) {
  const [wide, high] = [8 * right * columns, 8 * below * rows];
  const full = Array.from({ length: channels }, () => new Float32Array(wide * high));
  for (let y = 0; y < high; y += 1) {
    for (let x = 0; x < wide; x += 1) {
      const from = (Math.min(y, height - 1) * width + Math.min(x, width - 1)) * channels;
      const to = y * wide + x;
      if (channels === 1) {
        full[0][to] = samples[from];
        continue;
      }
      const [red, green, blue] = [samples[from], samples[from + 1], samples[from + 2]];
      const luma = 0.299 * red + 0.587 * green + 0.114 * blue;
      full[0][to] = Math.round(luma);
      full[1][to] = Math.round(128 + (blue - luma) / 1.772);
      full[2][to] = Math.round(128 + (red - luma) / 1.402);
    }
  }
  return full.map((plane, number) => {
    if (!number) return { plane, width: wide, height: high, right, below };
    return { plane: shrunk(plane, wide, high, right, below), width: wide / right, height: high / below, right: 1, below: 1 };
  });
}

function shrunk(plane, width, height, right, below) {
  if (right * below === 1) return plane;
  const small = new Float32Array((width / right) * (height / below));
  for (let y = 0, to = 0; y < height; y += below) {
    for (let x = 0; x < width; x += right, to += 1) {
      let sum = 0;
      for (let down = 0; down < below; down += 1) for (let across = 0; across < right; across += 1) sum += plane[(y + down) * width + x + across];
      small[to] = Math.round(sum / (right * below));
    }
  }
  return small;
}

/** Return the quantized frequencies of all blocks, in the order of the file. */
function quantized({ plane, width, height, table }) {
  const blocks = new Int16Array(width * height);
  const rows = new Float64Array(64);
  let to = 0;
  for (let top = 0; top < height; top += 8) {
    for (let left = 0; left < width; left += 8, to += 64) {
      for (let y = 0; y < 8; y += 1) {
        for (let u = 0; u < 8; u += 1) {
          let value = 0;
          for (let x = 0; x < 8; x += 1) value += COSINES[u * 8 + x] * (plane[(top + y) * width + left + x] - 128);
          rows[y * 8 + u] = value;
        }
      }
      for (let index = 0; index < 64; index += 1) {
        const place = ZIGZAG[index];
        const [v, u] = [place >> 3, place & 7];
        let value = 0;
        for (let y = 0; y < 8; y += 1) value += COSINES[v * 8 + y] * rows[y * 8 + u];
        blocks[to + index] = Math.round(value / table[place]);
      }
    }
  }
  return blocks;
}

/** Call `emit(part, table, symbol, size, value)` for each code of the scan; table 0 is for means, 1 for the others. */
function scan(parts, [columns, rows], emit) {
  const means = parts.map(() => 0);
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      parts.forEach((part, number) => {
        for (let y = 0; y < part.below; y += 1) {
          for (let x = 0; x < part.right; x += 1) {
            const start = 64 * ((row * part.below + y) * (part.width >> 3) + column * part.right + x);
            const difference = part.blocks[start] - means[number];
            means[number] = part.blocks[start];
            const size = sizeOf(difference);
            emit(part, 0, size, size, bitsOf(difference, size));
            scanRest(part, start, emit);
          }
        }
      });
    }
  }
}

function scanRest(part, start, emit) {
  let zeros = 0;
  for (let index = 1; index < 64; index += 1) {
    const value = part.blocks[start + index];
    if (value === 0) {
      zeros += 1;
      continue;
    }
    for (; zeros > 15; zeros -= 16) emit(part, 1, 0xf0, 0, 0);
    const size = sizeOf(value);
    emit(part, 1, (zeros << 4) | size, size, bitsOf(value, size));
    zeros = 0;
  }
  if (zeros) emit(part, 1, 0, 0, 0);
}

function sizeOf(value) {
  return 32 - Math.clz32(Math.abs(value));
}

function bitsOf(value, size) {
  return value < 0 ? value + (1 << size) - 1 : value;
}

/** Bits to bytes, with a zero after each byte of ones. */
class Bits {
  constructor(size) {
    this.bytes = new Uint8Array(size + 1024);
    [this.length, this.held, this.count] = [0, 0, 0];
  }

  write(value, size) {
    if (!size) return;
    this.held = (this.held << size) | value;
    this.count += size;
    while (this.count >= 8) {
      this.count -= 8;
      this.put((this.held >> this.count) & 255);
    }
    this.held &= (1 << this.count) - 1;
  }

  put(byte) {
    if (this.length + 2 > this.bytes.length) {
      const longer = new Uint8Array(2 * this.bytes.length);
      longer.set(this.bytes);
      this.bytes = longer;
    }
    this.bytes[this.length++] = byte;
    if (byte === 255) this.bytes[this.length++] = 0;
  }

  end() {
    if (this.count) this.write((1 << (8 - this.count)) - 1, 8 - this.count);
    return this.bytes.subarray(0, this.length);
  }
}
