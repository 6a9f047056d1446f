import type { ByteOutput } from '#codec/http1/byte-output.ts';

import type { Channel } from '../channel/channel.ts';

/** Larger pieces of a body are not copied once more to be framed. */
const COPY_BYTES_MAX = 2_048;

/** Where messages are written, shared by the HTTP/1 connections of a worker. */
export interface Http1OutputHost {
  /** Points at `scratch` for one call at a time. */
  readonly output: ByteOutput;
  /** Holds the largest head that we pass on. */
  readonly scratch: Buffer;
}

/** Either side's codec, as far as it frames a body. */
interface BodyCodec {
  sendBody(output: ByteOutput, bytes: Buffer, start: number, end: number): number;
  beginChunk(output: ByteOutput, length: number): boolean;
  endChunk(output: ByteOutput): boolean;
}

/** Brings what a codec writes to a channel. */
export class Http1Output {
  readonly #host: Http1OutputHost;
  readonly #channel: Channel;

  constructor(host: Http1OutputHost, channel: Channel) {
    this.#host = host;
    this.#channel = channel;
  }

  /** Empty room for the codec; whatever it writes goes out with {@link send}. */
  get room(): ByteOutput {
    const { output, scratch } = this.#host;
    return output.point(scratch, 0, scratch.length);
  }

  /** Sends what was written to {@link room}. */
  send(): void {
    const { output, scratch } = this.#host;
    if (output.end > 0) this.#channel.write(scratch, 0, output.end);
  }

  /** Sends a piece of a body with its framing. */
  body(codec: BodyCodec, bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    if (length <= COPY_BYTES_MAX) {
      codec.sendBody(this.room, bytes, start, end);
      this.send();
      return;
    }
    codec.beginChunk(this.room, length);
    this.send();
    this.#channel.write(bytes, start, end);
    codec.endChunk(this.room);
    this.send();
  }
}
