import { invariant } from '#common/assert.ts';

import { MAX_31_BITS } from './frame.ts';
import { FRAME_SIZE_MAX, INITIAL_SETTINGS } from './settings.ts';

export type Role = 'client' | 'server';

export interface Http2Options {
  /** Bytes that the peer may send on one stream before the application took some. 1 to 2^31-1; default 4 MiB. */
  readonly initialWindowSize?: number;
  /**
   * The same for all streams together. 65,535 to 2^31-1; default 16 MiB. It must be larger than the window of
   * a stream, or an application that leaves one stream unread stops all others.
   */
  readonly connectionWindow?: number;
  /** Payload bytes of one frame that we take. 16,384 to 2^24-1; default 1 MiB. */
  readonly maxFrameSize?: number;
  /**
   * Streams that the peer may have open at once; a client gets none from a server. No more are kept that both
   * sides have ended and the application has not read: beyond that new ones are refused. Default 200.
   */
  readonly maxConcurrentStreams?: number;
  /** Decoded bytes of one header list, each field counted with 32 more. Default 65,536 (server), 16,384 (client). */
  readonly maxHeaderListSize?: number;
  /** Bytes of the table that the peer's HPACK encoder may use. 0 to 65,536; default 4,096. */
  readonly headerTableSize?: number;
  /** Consumed bytes are announced to the peer when they are this part of the window. Above 0, to 0.5; default 0.25. */
  readonly windowUpdateShare?: number;
  /** Write texts in the Huffman code where it is shorter. Fewer bytes, more work for both sides. Default true. */
  readonly huffman?: boolean;
}

/** The table is memory that a peer can make us hold, per connection. */
const HEADER_TABLE_SIZE_MAX = 65_536;

/** Fills in the defaults. Throws when a value is out of its range: that is a mistake in the program's configuration. */
export function http2Options(role: Role, given: Http2Options): Required<Http2Options> {
  const options: Required<Http2Options> = {
    initialWindowSize: given.initialWindowSize ?? 4_194_304,
    connectionWindow: given.connectionWindow ?? 16_777_216,
    maxFrameSize: given.maxFrameSize ?? 1_048_576,
    maxConcurrentStreams: given.maxConcurrentStreams ?? 200,
    maxHeaderListSize: given.maxHeaderListSize ?? (role === 'server' ? 65_536 : 16_384),
    headerTableSize: given.headerTableSize ?? INITIAL_SETTINGS.headerTableSize,
    windowUpdateShare: given.windowUpdateShare ?? 0.25,
    huffman: given.huffman ?? true,
  };
  checkRange('initialWindowSize', options.initialWindowSize, 1, MAX_31_BITS);
  checkRange(
    'connectionWindow',
    options.connectionWindow,
    INITIAL_SETTINGS.initialWindowSize,
    MAX_31_BITS,
  );
  checkRange('maxFrameSize', options.maxFrameSize, INITIAL_SETTINGS.maxFrameSize, FRAME_SIZE_MAX);
  checkRange('maxConcurrentStreams', options.maxConcurrentStreams, 0, MAX_31_BITS);
  checkRange('maxHeaderListSize', options.maxHeaderListSize, 1, MAX_31_BITS);
  checkRange('headerTableSize', options.headerTableSize, 0, HEADER_TABLE_SIZE_MAX);
  invariant(
    options.windowUpdateShare > 0 && options.windowUpdateShare <= 0.5,
    `HTTP/2 option windowUpdateShare is ${options.windowUpdateShare}: want above 0, to 0.5`,
  );
  return options;
}

function checkRange(name: string, value: number, least: number, most: number): void {
  invariant(
    Number.isInteger(value) && value >= least && value <= most,
    `HTTP/2 option ${name} is ${value}: want an integer from ${least} to ${most}`,
  );
}
