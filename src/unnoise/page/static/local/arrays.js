// Arithmetic on lists of numbers, as NumPy has it.

export function mean(values) {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

export function sorted(values) {
  return Float64Array.from(values).sort();
}

export function median(values) {
  return quantile(values, 0.5);
}

/** Return a quantile, linear between two values. */
export function quantile(values, share) {
  const ordered = sorted(values);
  const place = share * (ordered.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, ordered.length - 1);
  return ordered[below] + (place - below) * (ordered[above] - ordered[below]);
}

export function span(values) {
  return values.length ? Math.max(...values) - Math.min(...values) : 0;
}

/** Return places in the order that sorts their values, those with equal values as they were. */
export function order(values, places = Uint32Array.from(values, (_, place) => place)) {
  return places.slice().sort((one, other) => values[one] - values[other]);
}
