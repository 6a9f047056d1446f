const BLOCK_BYTES = 64 * 1024;

/** `count` bytes in blocks, every block different: a lost, doubled or swapped block changes the digest. */
export function* pattern(count: number): Generator<Buffer> {
  for (let sent = 0, block = 0; sent < count; block++) {
    const bytes = Buffer.alloc(Math.min(BLOCK_BYTES, count - sent), `block ${block};`);
    sent += bytes.length;
    yield bytes;
  }
}
