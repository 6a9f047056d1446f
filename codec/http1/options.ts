import { invariant } from '#common/assert.ts';

export interface Http1Options {
  /** Bytes of one head, from the start line to the empty line. 256 to 1 MiB; default 64 KiB, as for HTTP/2 lists. */
  readonly maxHeadBytes?: number;
  /** Bytes of one trailer section. 64 to 1 MiB; default 8 KiB: checksums, a status, timings. */
  readonly maxTrailerBytes?: number;
  /** Bytes of one chunk. 1 to 2^40; default 2^31-1, the most that every other implementation can count. */
  readonly maxChunkBytes?: number;
  /** Bytes of all chunk extensions of one message. Nobody uses them. 0 to 1 MiB; default 4,096. */
  readonly maxChunkExtensionBytes?: number;
  /** Interim responses (1xx) before the final one. 1 to 1,000; default 32: early hints and progress come a few at a time. */
  readonly maxInterimResponses?: number;
  /**
   * Bytes of a request body that are read and dropped after the response has ended, so that the connection can
   * be used again. A longer rest costs more than a new connection. 0 to 2^31-1; default 64 KiB.
   */
  readonly maxDrainBytes?: number;
}

/** Fills in the defaults. Throws when a value is out of its range: that is a mistake in the program's configuration. */
export function http1Options(given: Http1Options): Required<Http1Options> {
  const options: Required<Http1Options> = {
    maxHeadBytes: given.maxHeadBytes ?? 65_536,
    maxTrailerBytes: given.maxTrailerBytes ?? 8192,
    maxChunkBytes: given.maxChunkBytes ?? 2 ** 31 - 1,
    maxChunkExtensionBytes: given.maxChunkExtensionBytes ?? 4096,
    maxInterimResponses: given.maxInterimResponses ?? 32,
    maxDrainBytes: given.maxDrainBytes ?? 65_536,
  };
  checkRange('maxHeadBytes', options.maxHeadBytes, 256, MEBIBYTE);
  checkRange('maxTrailerBytes', options.maxTrailerBytes, 64, MEBIBYTE);
  checkRange('maxChunkBytes', options.maxChunkBytes, 1, 2 ** 40);
  checkRange('maxChunkExtensionBytes', options.maxChunkExtensionBytes, 0, MEBIBYTE);
  checkRange('maxInterimResponses', options.maxInterimResponses, 1, 1000);
  checkRange('maxDrainBytes', options.maxDrainBytes, 0, 2 ** 31 - 1);
  return options;
}

const MEBIBYTE = 1_048_576;

function checkRange(name: string, value: number, least: number, most: number): void {
  invariant(
    Number.isInteger(value) && value >= least && value <= most,
    `HTTP/1 option ${name} is ${value}: want an integer from ${least} to ${most}`,
  );
}
