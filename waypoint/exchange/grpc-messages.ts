/** A flag and a length of 32 bits stand before each message (gRPC over HTTP/2, "Length-Prefixed-Message"). */
const PREFIX_BYTES = 5;

/** Counts the messages of a body as it goes by, without keeping any of it. A message counts once its prefix is there. */
export class MessageCounter {
  count = 0;
  /** Of the message that is going by. */
  #bytesLeft = 0;
  /** Bytes of the next one's prefix that have come, and its length as far as they tell. */
  #prefixBytes = 0;
  #length = 0;

  take(bytes: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end) {
      if (this.#bytesLeft > 0) {
        const step = Math.min(this.#bytesLeft, end - at);
        this.#bytesLeft -= step;
        at += step;
      } else if (this.#prefixBytes === 0 && end - at >= PREFIX_BYTES) {
        this.#begin(bytes.readUInt32BE(at + 1));
        at += PREFIX_BYTES;
      } else {
        const byte = bytes[at++] ?? 0;
        // The first one is the flag.
        this.#length = this.#prefixBytes === 0 ? 0 : this.#length * 256 + byte;
        if (++this.#prefixBytes === PREFIX_BYTES) this.#begin(this.#length);
      }
    }
  }

  /** The body is something else: nothing more counts. */
  stop(): void {
    this.#bytesLeft = Infinity;
  }

  #begin(length: number): void {
    this.count++;
    this.#bytesLeft = length;
    this.#prefixBytes = 0;
  }
}

/** Both ways of a gRPC call. */
export class GrpcMessages {
  readonly request: MessageCounter = new MessageCounter();
  readonly response: MessageCounter = new MessageCounter();
}
