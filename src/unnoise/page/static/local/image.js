// Images as the networks take them: `{ width, height, channels, data }`, one plane after the other, in [0, 1].

/** Return the place of a pixel beyond the border, mirrored as often as is needed; the border itself is repeated. */
export function mirrored(place, length) {
  const turn = ((place % (2 * length)) + 2 * length) % (2 * length);
  return turn < length ? turn : 2 * length - 1 - turn;
}

export function planes(width, height, channels) {
  return { width, height, channels, data: new Float32Array(width * height * channels) };
}

/** Return a rectangle of an image, which may reach beyond its borders. */
export function crop(image, left, top, width, height) {
  const cut = planes(width, height, image.channels);
  const columns = Uint32Array.from({ length: width }, (_, x) => mirrored(left + x, image.width));
  const inside = left >= 0 && left + width <= image.width;
  let to = 0;
  for (let channel = 0; channel < image.channels; channel += 1) {
    for (let y = 0; y < height; y += 1) {
      const row = (channel * image.height + mirrored(top + y, image.height)) * image.width;
      if (inside) cut.data.set(image.data.subarray(row + left, row + left + width), to);
      else for (let x = 0; x < width; x += 1) cut.data[to + x] = image.data[row + columns[x]];
      to += width;
    }
  }
  return cut;
}

/** Copy a rectangle of `from`, at `left, top` in it, into `image` at `x, y`. */
export function paste(image, x, y, from, left, top, width, height) {
  for (let channel = 0; channel < image.channels; channel += 1) {
    for (let row = 0; row < height; row += 1) {
      const source = (channel * from.height + top + row) * from.width + left;
      const target = (channel * image.height + y + row) * image.width + x;
      image.data.set(from.data.subarray(source, source + width), target);
    }
  }
}

export function channel(image, number) {
  const size = image.width * image.height;
  return { ...image, channels: 1, data: image.data.subarray(number * size, (number + 1) * size) };
}

/** Return the same plane several times. */
export function repeated(image, channels) {
  const copies = planes(image.width, image.height, channels);
  for (let number = 0; number < channels; number += 1) copies.data.set(image.data, number * image.data.length);
  return copies;
}

/** Return the mean of the channels. */
export function averaged(image) {
  const mean = planes(image.width, image.height, 1);
  const size = mean.data.length;
  for (let place = 0; place < size; place += 1) {
    let sum = 0;
    for (let number = 0; number < image.channels; number += 1) sum += image.data[number * size + place];
    mean.data[place] = sum / image.channels;
  }
  return mean;
}

/** Return the number of channels; three equal ones, gray stored as RGB, count as one. */
export function channelCount({ channels, data }) {
  if (channels !== 3) return channels;
  const size = data.length / 3;
  for (let place = 0; place < size; place += 1) {
    if (data[place] !== data[size + place] || data[place] !== data[2 * size + place]) return 3;
  }
  return 1;
}

const PLACES = {
  2: (x, y, right) => [right - x, y],
  3: (x, y, right, bottom) => [right - x, bottom - y],
  4: (x, y, right, bottom) => [x, bottom - y],
  5: (x, y) => [y, x],
  6: (x, y, right, bottom) => [y, bottom - x],
  7: (x, y, right, bottom) => [right - y, bottom - x],
  8: (x, y, right) => [right - y, x],
}; // EXIF orientation -> where the pixel at x, y of the upright image is stored

/** Return an image upright, given its EXIF orientation. */
export function turned(image, orientation) {
  const place = PLACES[orientation];
  if (!place) return image;
  const { width, height, channels, data } = image;
  const result = orientation > 4 ? planes(height, width, channels) : planes(width, height, channels);
  let to = 0;
  for (let channel = 0; channel < channels; channel += 1) {
    for (let y = 0; y < result.height; y += 1) {
      for (let x = 0; x < result.width; x += 1) {
        const [column, row] = place(x, y, width - 1, height - 1);
        result.data[to++] = data[(channel * height + row) * width + column];
      }
    }
  }
  return result;
}

/** Return an upright image as it is stored with an EXIF orientation. */
export function turnedBack(image, orientation) {
  return turned(image, { 6: 8, 8: 6 }[orientation] ?? orientation);
}
