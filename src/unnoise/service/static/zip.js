// Files to one zip archive, uncompressed, since image files hardly get smaller.

const TABLE = new Uint32Array(256).map((_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});
const LARGEST = 0xffffffff; // beyond it, another format would be needed

export function crc32(bytes) {
  let value = 0xffffffff;
  for (let index = 0; index < bytes.length; index += 1) value = TABLE[(value ^ bytes[index]) & 255] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

/** Return a zip archive of files, `[{ name, blob }]` with distinct names. */
export async function zip(files) {
  const parts = [];
  const entries = [];
  let place = 0;
  for (const { name, blob } of files) {
    const bytes = new Uint8Array(await blob.arrayBuffer());
    const label = new TextEncoder().encode(name);
    const facts = { label, size: bytes.length, crc: crc32(bytes), place };
    const head = header(0x04034b50, facts, 30);
    parts.push(head, label, blob);
    place += head.length + label.length + bytes.length;
    if (place > LARGEST) throw Object.assign(new Error("too large for one zip file"), { key: "error-zip" });
    entries.push(header(0x02014b50, facts, 46), label);
  }
  const size = entries.reduce((sum, part) => sum + part.length, 0);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, files.length, true);
  end.setUint16(10, files.length, true);
  end.setUint32(12, size, true);
  end.setUint32(16, place, true);
  return new Blob([...parts, ...entries, end.buffer], { type: "application/zip" });
}

/** The header of a file, before its bytes (30 bytes) or in the directory (46), which has a few fields more. */
function header(signature, { label, size, crc, place }, length) {
  const view = new DataView(new ArrayBuffer(length));
  const directory = length === 46;
  const now = new Date();
  view.setUint32(0, signature, true);
  if (directory) view.setUint16(4, 20, true);
  const at = directory ? 6 : 4;
  view.setUint16(at, 20, true);
  view.setUint16(at + 2, 0x0800, true); // names are UTF-8
  view.setUint16(at + 6, (now.getHours() << 11) | (now.getMinutes() << 5) | (now.getSeconds() >> 1), true);
  view.setUint16(at + 8, ((now.getFullYear() - 1980) << 9) | ((now.getMonth() + 1) << 5) | now.getDate(), true);
  view.setUint32(at + 10, crc, true);
  view.setUint32(at + 14, size, true);
  view.setUint32(at + 18, size, true);
  view.setUint16(at + 22, label.length, true);
  if (directory) view.setUint32(42, place, true);
  return new Uint8Array(view.buffer);
}
