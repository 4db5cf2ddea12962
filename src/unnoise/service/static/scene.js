// A landscape that is drawn: on the start page with a noisy left half, and as the sample picture, noisy all over.

const SIZE = [1440, 960]; // of the sample, in pixels
const SIGMA = 25; // of its noise, 8-bit units
const HILLS = [
  ["#7d8ca3", "#66788f", 0.58, 0.1, 2.1],
  ["#44607a", "#2f4a62", 0.7, 0.09, 3.4],
  ["#1d3a4c", "#0d2230", 0.83, 0.07, 5.2],
]; // upper and lower color, height, swing and waves

/** Paint it on a canvas. */
export function paint(canvas) {
  const { width, height } = canvas;
  const context = canvas.getContext("2d");
  landscape(context, width, height);
  addNoise(context, width / 2, height, 65);
  context.fillStyle = "#ffffff";
  context.fillRect(width / 2 - 1, 0, 2, height);
}

/** Return the sample as a PNG file. */
export async function sample() {
  const canvas = Object.assign(document.createElement("canvas"), { width: SIZE[0], height: SIZE[1] });
  const context = canvas.getContext("2d");
  landscape(context, ...SIZE);
  addNoise(context, ...SIZE, SIGMA);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  return new File([blob], "sample.png", { type: "image/png" });
}

function landscape(context, width, height) {
  const uniform = generator(7);
  const wash = (colors, top, bottom) => {
    const gradient = context.createLinearGradient(0, top, 0, bottom);
    colors.forEach((color, index) => gradient.addColorStop(index / (colors.length - 1), color));
    context.fillStyle = gradient;
  };
  wash(["#12355b", "#4f7cac", "#f6bd60", "#f7ede2"], 0, 0.8 * height);
  context.fillRect(0, 0, width, height);
  for (let star = 0; star < 150; star += 1) {
    context.fillStyle = `rgb(255 250 235 / ${0.3 + 0.6 * uniform()})`;
    context.fillRect(width * uniform(), 0.3 * height * uniform() ** 2, 0.003 * height, 0.003 * height);
  }
  context.fillStyle = "#fff3d6";
  context.beginPath();
  context.arc(0.64 * width, 0.5 * height, 0.12 * height, 0, 7);
  context.fill();
  for (const [light, dark, level, swing, waves] of HILLS) {
    const ridge = (x) => {
      const turn = (waves * x) / width;
      return height * (level - swing * (Math.sin(2 * turn + waves) + 0.4 * Math.sin(5.3 * turn)));
    };
    wash([light, dark], (level - swing) * height, height);
    context.beginPath();
    context.moveTo(0, height);
    for (let x = 0; x <= width; x += 4) context.lineTo(x, ridge(x));
    context.lineTo(width, height);
    context.fill();
    context.fillStyle = dark;
    for (let x = 0; x < width; x += (0.004 + 0.03 * uniform()) * width) pine(context, x, ridge(x) + 2, level ** 3 * (0.06 + 0.08 * uniform()) * height);
  }
}

function pine(context, x, foot, tall) {
  for (const [start, end, wide] of [[0, 0.45, 0.22], [0.25, 0.75, 0.16], [0.5, 1, 0.1]]) {
    context.beginPath();
    context.moveTo(x - wide * tall, foot - start * tall);
    context.lineTo(x, foot - end * tall);
    context.lineTo(x + wide * tall, foot - start * tall);
    context.fill();
  }
}

/** Add Gaussian noise to the left part of a canvas, always the same. */
function addNoise(context, width, height, sigma) {
  const uniform = generator(1);
  const part = context.getImageData(0, 0, width, height);
  for (let index = 0; index < part.data.length; index += 1) {
    if (index % 4 !== 3) part.data[index] += sigma * Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
  }
  context.putImageData(part, 0, 0);
}

/** Return a generator of numbers between 0 and 1 (Park and Miller, CACM 31(10), 1988). */
function generator(seed) {
  return () => (seed = (seed * 16807) % 2147483647) / 2147483647;
}
