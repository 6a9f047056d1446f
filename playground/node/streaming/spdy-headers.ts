import { constants, createDeflate, createInflate } from 'node:zlib';

/** Name and value pairs; names are small letters. */
export type HeaderBlock = ReadonlyMap<string, string>;

/** Stream headers of these protocols are some names and numbers. */
const BLOCK_BYTES_MAX = 64 << 10;

/** Words of the dictionary of SPDY/3 (section 2.6.10.1), each with its length before it … */
const WORDS = [
  ...'options head post put delete trace accept accept-charset accept-encoding accept-language'.split(
    ' ',
  ),
  ...'accept-ranges age allow authorization cache-control connection content-base'.split(' '),
  ...'content-encoding content-language content-length content-location content-md5'.split(' '),
  ...'content-range content-type date etag expect expires from host if-match'.split(' '),
  ...'if-modified-since if-none-match if-range if-unmodified-since last-modified location'.split(
    ' ',
  ),
  ...'max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after'.split(
    ' ',
  ),
  ...'server te trailer transfer-encoding upgrade user-agent vary via warning'.split(' '),
  ...'www-authenticate method get status'.split(' '),
  '200 OK',
  ...'version HTTP/1.1 url public set-cookie keep-alive origin'.split(' '),
];
/** … and text that is often in values. */
const TEXT = [
  '100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505',
  '203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request',
  '401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented',
  '503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, ',
  'Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,',
  'application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,',
  'sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.',
].join('');

export const SPDY_DICTIONARY: Buffer = Buffer.concat([...WORDS.map(prefixed), Buffer.from(TEXT)]);

/** Compresses the header blocks of one connection: one stream of zlib, which is flushed after each block. */
export class HeaderCompressor {
  readonly #deflate = createDeflate({
    dictionary: SPDY_DICTIONARY,
    flush: constants.Z_SYNC_FLUSH,
  });

  async compress(headers: HeaderBlock): Promise<Buffer> {
    const count = Buffer.alloc(4);
    count.writeUInt32BE(headers.size);
    const pairs = Array.from(headers, ([name, value]) => [prefixed(name), prefixed(value)]).flat();
    return through(this.#deflate, Buffer.concat([count, ...pairs]));
  }

  close(): void {
    this.#deflate.close();
  }
}

export class HeaderDecompressor {
  readonly #inflate = createInflate({
    dictionary: SPDY_DICTIONARY,
    flush: constants.Z_SYNC_FLUSH,
  });

  /** @throws Error when the block is none */
  async decompress(block: Buffer): Promise<HeaderBlock> {
    return parseBlock(await through(this.#inflate, block));
  }

  close(): void {
    this.#inflate.close();
  }
}

function parseBlock(plain: Buffer): HeaderBlock {
  const headers = new Map<string, string>();
  let at = 4;
  const text = (): string => {
    const length = plain.readUInt32BE(at);
    if (length > plain.length - at - 4) throw new Error('a header is cut off');
    at += 4 + length;
    return plain.toString('utf8', at - length, at);
  };
  for (let left = plain.readUInt32BE(0); left > 0; left -= 1) {
    const name = text().toLowerCase();
    headers.set(name, text());
  }
  return headers;
}

function prefixed(text: string): Buffer {
  const bytes = Buffer.from(text);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

async function through(
  stream: ReturnType<typeof createDeflate> | ReturnType<typeof createInflate>,
  input: Buffer,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const onData = (chunk: Buffer): void => {
    chunks.push(chunk);
    length += chunk.length;
    if (length > BLOCK_BYTES_MAX) reject(new Error('a block of headers is too large'));
  };
  stream.on('data', onData).once('error', reject);
  stream.write(input, () => resolve());
  try {
    await promise;
  } finally {
    stream.off('data', onData).off('error', reject);
  }
  return Buffer.concat(chunks);
}
