// Huffman codes of at most 16 bits, the best for given counts (ITU-T T.81, annex K.2).

/** Return `{ counts, symbols, codes, sizes }`: symbols by length of their codes, and code and length of each symbol. */
export function huffman(frequencies) {
  const counts = limited(lengths([...frequencies, 1])); // the last one takes the code of ones only, which is not allowed
  const symbols = frequencies.map((_, symbol) => symbol).filter((symbol) => frequencies[symbol]);
  symbols.sort((one, other) => frequencies[other] - frequencies[one] || one - other);
  const [codes, sizes] = [new Uint16Array(256), new Uint8Array(256)];
  let [code, next] = [0, 0];
  counts.forEach((count, index) => {
    for (let one = 0; one < count; one += 1, code += 1, next += 1) [codes[symbols[next]], sizes[symbols[next]]] = [code, index + 1];
    code *= 2;
  });
  return { counts, symbols, codes, sizes };
}

/** Return the number of codes of each length, from 1 bit, without a limit. */
function lengths(frequencies) {
  const trees = frequencies.map((count, symbol) => ({ count, symbols: [symbol] })).filter(({ count }) => count);
  const size = new Map(trees.map(({ symbols: [symbol] }) => [symbol, 0]));
  while (trees.length > 1) {
    trees.sort((one, other) => other.count - one.count);
    const [second, first] = [trees.pop(), trees.pop()];
    const symbols = [...first.symbols, ...second.symbols];
    for (const symbol of symbols) size.set(symbol, size.get(symbol) + 1);
    trees.push({ count: first.count + second.count, symbols });
  }
  const counts = new Array(Math.max(16, ...size.values())).fill(0);
  for (const length of size.values()) counts[Math.max(length, 1) - 1] += 1;
  return counts;
}

/** Return the counts with no code longer than 16 bits, and without the code of ones only. */
function limited(counts) {
  for (let length = counts.length - 1; length > 15; length -= 1) {
    while (counts[length] > 0) {
      let shorter = length - 2;
      while (!counts[shorter]) shorter -= 1;
      counts[length] -= 2;
      counts[length - 1] += 1;
      counts[shorter + 1] += 2;
      counts[shorter] -= 1;
    }
  }
  const kept = counts.slice(0, 16);
  let longest = 15;
  while (!kept[longest]) longest -= 1;
  kept[longest] -= 1;
  return kept;
}
