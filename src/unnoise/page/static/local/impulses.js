// Impulses, salt and pepper, in blocks of an image: `noise/impulses.py`, in the browser.

import { AREA, SIDE, pixelsOf } from "./blocks.js";
import settings from "./settings.js";

const { rare: RARE, spread: SPREAD, near: NEAR, uneven: UNEVEN, sound: SOUND, judged: JUDGED } = settings.impulses;

/** Return the mask of impulses, the pixels of one block after those of another, and their share; 0 if they are rare. */
export function find(blocks) {
  if (!blocks.total) return { lost: new Uint8Array(0), share: 0 };
  const data = packed(blocks);
  const found = besideShades(data);
  return found.share ? found : onWhite(data);
}

function besideShades(data) {
  const lost = new Uint8Array(data.length);
  const totals = { judged: 0, black: 0, white: 0 };
  for (let start = 0; start < data.length; start += AREA) {
    const pixels = data.subarray(start, start + AREA);
    const sound = pixels.filter((value) => value > 0 && value < 1);
    const black = pixels.reduce((sum, value) => sum + (value <= 0), 0);
    const white = AREA - sound.length - black;
    if (sound.length < SOUND || Math.abs(white - black) > UNEVEN * Math.sqrt(white + black)) continue;
    const middle = middleOf(sound);
    const far = Math.max(SPREAD * 1.4826 * middleOf(sound.map((value) => Math.abs(value - middle))), NEAR);
    if (!(middle > far && middle < 1 - far)) continue;
    totals.judged += 1;
    totals.black += black;
    totals.white += white;
    for (let place = 0; place < AREA; place += 1) lost[start + place] = pixels[place] <= 0 || pixels[place] >= 1;
  }
  if (totals.judged <= (JUDGED * data.length) / AREA) return { lost: new Uint8Array(data.length), share: 0 };
  const share = Math.min((2 * Math.min(totals.black, totals.white)) / (totals.judged * AREA), 1);
  return { lost, share: share > RARE ? share : 0 };
}

/** Count black pixels that only white ones surround, as on a printed page. */
function onWhite(data) {
  const counted = { surrounded: 0, pepper: 0, all: 0 };
  for (let start = 0; start < data.length; start += AREA) {
    for (let y = 1; y < SIDE - 1; y += 1) {
      for (let x = 1; x < SIDE - 1; x += 1) {
        counted.all += 1;
        const here = start + y * SIDE + x;
        const around = [-SIDE - 1, -SIDE, -SIDE + 1, -1, 1, SIDE - 1, SIDE, SIDE + 1];
        if (!around.every((step) => data[here + step] >= 1)) continue;
        counted.surrounded += 1;
        counted.pepper += data[here] <= 0;
      }
    }
  }
  if (counted.surrounded <= JUDGED * counted.all) return { lost: new Uint8Array(data.length), share: 0 };
  const share = Math.min((2 * counted.pepper) / counted.surrounded, 1);
  return { lost: Uint8Array.from(data, (value) => value <= 0 || value >= 1), share: share > RARE ? share : 0 };
}

/** Return blocks with the median of each one in place of its impulses, and the variance of the others kept. */
export function without(blocks, lost) {
  const data = packed(blocks);
  const filled = new Float32Array(data.length);
  for (let start = 0; start < data.length; start += AREA) {
    const pixels = data.subarray(start, start + AREA);
    const rest = pixels.filter((_, place) => !lost[start + place]);
    const middle = rest.length ? middleOf(rest) : pixels.reduce((sum, value) => sum + value, 0) / AREA;
    const scale = Math.sqrt(Math.max(rest.length, 1) / AREA);
    for (let place = 0; place < AREA; place += 1) {
      filled[start + place] = lost[start + place] ? middle : middle + (pixels[place] - middle) / scale;
    }
  }
  return { ...blocks, data: filled, stride: SIDE, starts: blocks.starts.map((_, number) => number * AREA) };
}

/** Return the pixels of all blocks, one after the other. */
function packed(blocks) {
  const data = new Float32Array(blocks.starts.length * AREA);
  for (let number = 0; number < blocks.starts.length; number += 1) data.set(pixelsOf(blocks, number), number * AREA);
  return data;
}

function middleOf(values) {
  const ordered = values.slice().sort();
  return (ordered[(ordered.length - 1) >> 1] + ordered[ordered.length >> 1]) / 2;
}
