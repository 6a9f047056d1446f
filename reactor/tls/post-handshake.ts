/**
 * Handshake messages that come after the handshake (RFC 8446 section 4.6), read from a stream of bytes that
 * records may cut anywhere. Nothing of them is kept: a ticket is skipped, and a KeyUpdate has one byte.
 */
export interface PostHandshakeState {
  /** Bytes of a message's header (4) and of a KeyUpdate's body (1) seen so far. */
  readonly head: Uint8Array;
  /** Bytes of a ticket that are still to come. */
  readonly skip: number;
}

export type PostHandshakeResult =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'key-update'; readonly requested: boolean }
  | {
      readonly kind: 'refused';
      readonly why: 'unexpected' | 'malformed' | 'illegal';
      readonly message: string;
    };

const NEW_SESSION_TICKET = 4;
const KEY_UPDATE = 24;
const HEADER_LENGTH = 4;
/** Bytes. Real tickets have some hundred; one that is larger is not worth waiting for. */
const TICKET_LENGTH_MAX = 65_536;

const nothing: PostHandshakeResult = { kind: 'nothing' };

export class PostHandshakeReader {
  readonly #peerIsServer: boolean;
  readonly #head = new Uint8Array(HEADER_LENGTH + 1);
  #have = 0;
  #skip = 0;

  /** Only a server sends tickets. */
  constructor(peerIsServer: boolean, state?: PostHandshakeState) {
    this.#peerIsServer = peerIsServer;
    if (state === undefined) return;
    this.#head.set(state.head.subarray(0, HEADER_LENGTH));
    this.#have = Math.min(state.head.length, HEADER_LENGTH);
    this.#skip = state.skip;
  }

  /** In the middle of a message: no other record may come now (RFC 8446 section 5.1). */
  get inMessage(): boolean {
    return this.#have > 0 || this.#skip > 0;
  }

  export(): PostHandshakeState {
    return { head: this.#head.slice(0, this.#have), skip: this.#skip };
  }

  /** Takes what one record carries, `bytes[start, end)`. */
  take(bytes: Uint8Array, start: number, end: number): PostHandshakeResult {
    let at = start;
    while (at < end) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, end - at);
        this.#skip -= skipped;
        at += skipped;
        continue;
      }
      this.#head[this.#have++] = bytes[at++] as number;
      if (this.#have < HEADER_LENGTH) continue;
      if (this.#have === HEADER_LENGTH) {
        const problem = this.#header();
        if (problem !== undefined) return problem;
        continue;
      }
      return this.#keyUpdate(at === end);
    }
    return nothing;
  }

  #header(): PostHandshakeResult | undefined {
    const type = this.#head[0] as number;
    const length =
      ((this.#head[1] as number) << 16) |
      ((this.#head[2] as number) << 8) |
      (this.#head[3] as number);
    if (type === KEY_UPDATE) {
      if (length === 1) return undefined;
      return refused('malformed', `a KeyUpdate of ${length} bytes`);
    }
    if (type === NEW_SESSION_TICKET && this.#peerIsServer) {
      if (length > TICKET_LENGTH_MAX) return refused('malformed', `a ticket of ${length} bytes`);
      this.#have = 0;
      this.#skip = length;
      return undefined;
    }
    return refused('unexpected', `handshake message ${type} after the handshake`);
  }

  #keyUpdate(lastInRecord: boolean): PostHandshakeResult {
    const request = this.#head[HEADER_LENGTH] as number;
    this.#have = 0;
    if (request > 1) return refused('illegal', `a KeyUpdate that requests ${request}`);
    // What follows would be under other keys than its record.
    if (!lastInRecord) return refused('unexpected', 'a KeyUpdate that does not end its record');
    return { kind: 'key-update', requested: request === 1 };
  }
}

function refused(
  why: 'unexpected' | 'malformed' | 'illegal',
  message: string,
): PostHandshakeResult {
  return { kind: 'refused', why, message };
}
