// The image on the start page: a landscape whose left half is noisy.

/** Paint it on a canvas, always with the same noise. */
export function paint(canvas) {
  const { width, height } = canvas;
  const context = canvas.getContext("2d");
  const wash = (colours, top, bottom) => {
    const gradient = context.createLinearGradient(0, top, 0, bottom);
    colours.forEach((colour, index) => gradient.addColorStop(index / (colours.length - 1), colour));
    context.fillStyle = gradient;
  };
  wash(["#12355b", "#4f7cac", "#f6bd60", "#f7ede2"], 0, 0.8 * height);
  context.fillRect(0, 0, width, height);
  context.fillStyle = "#fff3d6";
  context.beginPath();
  context.arc(0.64 * width, 0.5 * height, 0.12 * height, 0, 7);
  context.fill();
  const hills = [["#7d8ca3", "#66788f", 0.58, 0.1, 2.1], ["#44607a", "#2f4a62", 0.7, 0.09, 3.4], ["#1d3a4c", "#0d2230", 0.83, 0.07, 5.2]];
  for (const [light, dark, level, swing, waves] of hills) {
    wash([light, dark], (level - swing) * height, height);
    context.beginPath();
    context.moveTo(0, height);
    for (let x = 0; x <= width; x += 4) {
      const turn = (waves * x) / width;
      context.lineTo(x, height * (level - swing * (Math.sin(2 * turn + waves) + 0.4 * Math.sin(5.3 * turn))));
    }
    context.lineTo(width, height);
    context.fill();
  }
  const half = context.getImageData(0, 0, width / 2, height);
  let seed = 1;
  const uniform = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  for (let index = 0; index < half.data.length; index += 1) {
    if (index % 4 !== 3) half.data[index] += 130 * (uniform() + uniform() + uniform() - 1.5);
  }
  context.putImageData(half, 0, 0);
  context.fillStyle = "#ffffff";
  context.fillRect(width / 2 - 1, 0, 2, height);
}
