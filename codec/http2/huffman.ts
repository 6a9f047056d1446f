/**
 * The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B).
 *
 * The code is canonical: ordered by length and then by symbol, the codes are consecutive numbers. So
 * the lengths alone say everything, and both tables below are computed from them when the module loads.
 */

/** Bits of the code of each byte value; the last one is EOS, which must never be sent. */
const CODE_LENGTHS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
  28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5,
  6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6,
  7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23,
  23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22,
  22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22,
  23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27,
  27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25,
  24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const EOS = 256;
/** The longest code; also the largest growth of a text: 30 bits for one byte. */
const CODE_BITS_MAX = 30;

/** By byte value: the code, right-aligned. */
const CODES = new Uint32Array(257);
const LENGTHS = Uint8Array.from(CODE_LENGTHS);

/**
 * Decoding walks the code tree four bits at a time. A row per inner node of the tree (there are 256 of
 * them: one fewer than symbols), a column per value of the four bits. No code is shorter than five bits,
 * so one step ends at most one symbol. An entry holds the next node in bits 0-7, the symbol in bits 8-15,
 * and the flags below.
 */
const STEPS = new Uint32Array(256 * 16);
const EMITS = 1 << 16;
const FAILS = 1 << 17;
/** A text may end here: the bits since the last symbol are at most 7 and all ones (RFC 7541 section 5.2). */
const MAY_END = 1 << 18;

buildTables();

/** Bytes that `text` (latin1) takes when coded. */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let i = 0; i < text.length; i++) bits += LENGTHS[text.charCodeAt(i) & 0xff] ?? 0;
  return (bits + 7) >>> 3;
}

/** Writes the code of `text` (latin1) at `at`; the caller made room for `huffmanLength(text)`. Returns the end. */
export function huffmanEncode(text: string, target: Buffer, at: number): number {
  let position = at;
  let pending = 0;
  let bits = 0;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i) & 0xff;
    const code = CODES[symbol] ?? 0;
    let length = LENGTHS[symbol] ?? 0;
    // `pending` never holds more than 7 bits here; a code of up to 30 is fed in two parts to stay inside 32.
    if (length > 24) {
      length -= 16;
      pending = (pending << length) | (code >>> 16);
      bits += length;
      while (bits >= 8) {
        bits -= 8;
        target[position++] = pending >>> bits;
      }
      pending &= (1 << bits) - 1;
      pending = (pending << 16) | (code & 0xffff);
      bits += 16;
    } else {
      pending = (pending << length) | code;
      bits += length;
    }
    while (bits >= 8) {
      bits -= 8;
      target[position++] = pending >>> bits;
    }
    pending &= (1 << bits) - 1;
  }
  if (bits > 0) target[position++] = (pending << (8 - bits)) | (0xff >>> bits);
  return position;
}

/** Room that decoding `length` coded bytes can need: the shortest code has five bits. */
export function huffmanDecodedMax(length: number): number {
  return Math.ceil((length * 8) / 5);
}

/**
 * Decodes `source[start, end)` to `target` from `at` on. Returns the end in `target`, or -1 when the text
 * holds EOS or is padded with anything else than up to 7 one-bits.
 */
// oxlint-disable-next-line max-params -- once per text: an object would be an allocation each
export function huffmanDecode(
  source: Buffer,
  start: number,
  end: number,
  target: Buffer,
  at: number,
): number {
  let position = at;
  let step = MAY_END;
  for (let i = start; i < end; i++) {
    const byte = source[i] ?? 0;
    step = STEPS[((step & 0xff) << 4) | (byte >>> 4)] ?? FAILS;
    if ((step & (EMITS | FAILS)) !== 0) {
      if ((step & FAILS) !== 0) return -1;
      target[position++] = step >>> 8;
    }
    step = STEPS[((step & 0xff) << 4) | (byte & 0xf)] ?? FAILS;
    if ((step & (EMITS | FAILS)) !== 0) {
      if ((step & FAILS) !== 0) return -1;
      target[position++] = step >>> 8;
    }
  }
  return (step & MAY_END) !== 0 ? position : -1;
}

function buildTables(): void {
  const tree = buildCodes();
  const padding = paddingNodes(tree);
  for (let node = 0; node < 256; node++)
    for (let bits = 0; bits < 16; bits++)
      STEPS[(node << 4) | bits] = stepFrom(tree, padding, node, bits);
}

/** Fills CODES and returns the code tree: `tree[2 * node + bit]` is an inner node, or -1 - symbol. */
function buildCodes(): Int32Array {
  const tree = new Int32Array(2 * 256);
  let nodes = 1;
  let code = 0;
  for (let length = 1; length <= CODE_BITS_MAX; length++, code *= 2)
    for (let symbol = 0; symbol <= EOS; symbol++) {
      if (LENGTHS[symbol] !== length) continue;
      CODES[symbol] = code;
      let node = 0;
      for (let bit = length - 1; bit > 0; bit--) {
        const branch = 2 * node + ((code >>> bit) & 1);
        if (tree[branch] === 0) tree[branch] = nodes++;
        node = tree[branch] ?? 0;
      }
      tree[2 * node + (code & 1)] = -1 - symbol;
      code++;
    }
  return tree;
}

/** The nodes that are reached from the root by at most 7 one-bits. */
function paddingNodes(tree: Int32Array): Set<number> {
  const nodes = new Set([0]);
  let node = 0;
  for (let i = 0; i < 7; i++) {
    node = tree[2 * node + 1] ?? 0;
    nodes.add(node);
  }
  return nodes;
}

function stepFrom(tree: Int32Array, padding: Set<number>, from: number, bits: number): number {
  let node = from;
  let emitted = 0;
  for (let bit = 3; bit >= 0; bit--) {
    const next = tree[2 * node + ((bits >>> bit) & 1)] ?? 0;
    if (next >= 0) {
      node = next;
      continue;
    }
    const symbol = -1 - next;
    if (symbol === EOS) return FAILS;
    emitted = EMITS | (symbol << 8);
    node = 0;
  }
  return node | emitted | (padding.has(node) ? MAY_END : 0);
}
