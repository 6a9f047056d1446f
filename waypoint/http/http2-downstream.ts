import type { Header } from '#codec/http2/field.ts';
import type { Http2Stream } from '#codec/http2/stream-state.ts';

import type { Channel, ChannelUser } from '../channel/channel.ts';
import { type DownstreamOwner, IDLE_DEADLINE_MS } from './http1-downstream.ts';
import { Http2ClientEnd } from './http2-client-end.ts';
import { Http2Request } from './http2-messages.ts';
import { Http2Session, type SessionHost, type SessionOwner } from './http2-session.ts';

/** A client that speaks HTTP/2, many exchanges at once. */
export class Http2Downstream implements SessionOwner {
  readonly #session: Http2Session;
  readonly #owner: DownstreamOwner;
  /** Since when no request has been in progress, as far as anybody has looked. */
  #idleSinceMs: number | undefined;

  constructor(host: SessionHost, open: (user: ChannelUser) => Channel, owner: DownstreamOwner) {
    this.#owner = owner;
    this.#session = new Http2Session('server', host, open, this);
  }

  /** Takes no new requests, and ends with the last one. */
  drain(): void {
    this.#session.drain();
  }

  close(reason: string): void {
    this.#session.close(reason);
  }

  /** Comes now and then. */
  look(nowMs: number): void {
    this.#session.look(nowMs);
    if (this.#session.streamCount > 0) this.#idleSinceMs = undefined;
    else {
      this.#idleSinceMs ??= nowMs;
      if (nowMs - this.#idleSinceMs >= IDLE_DEADLINE_MS) this.drain();
    }
  }

  onSessionRequest(stream: Http2Stream, headers: readonly Header[], endStream: boolean): void {
    this.#idleSinceMs = undefined;
    const client = new Http2ClientEnd(this.#session, stream, endStream);
    this.#owner.onRequest(client, new Http2Request(headers, endStream));
  }

  onSessionRoom(): void {
    // Only clients open streams.
  }

  onSessionFault(reason: string): void {
    this.#owner.onBadRequest(reason);
  }

  onSessionEnd(): void {
    this.#owner.onDownstreamClosed();
  }
}
