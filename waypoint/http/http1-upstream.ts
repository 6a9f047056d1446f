import { Http1Client } from '#codec/http1/client.ts';
import type { Http1Events } from '#codec/http1/events.ts';
import { HTTP1_FAULTS, type Http1Fault } from '#codec/http1/faults.ts';
import type { Head } from '#codec/http1/head.ts';
import { trailersToHttp2 } from '#codec/http1/to-http2.ts';
import type { RequestPlan } from '#codec/http1/write.ts';
import type { Header } from '#codec/http2/field.ts';
import type { Timer } from '#reactor/timers.ts';

import type { Channel, ChannelUser } from '../channel/channel.ts';
import type { ServerEnd, ServerFailure, ServerUser } from '../exchange/ends.ts';
import type { RequestMessage } from '../request/head.ts';
import type { Http1Host } from './http1-downstream.ts';
import { Http1Response } from './http1-messages.ts';
import { Http1Output } from './http1-output.ts';
import { requestHeaders } from './http2-messages.ts';

/** Whoever keeps the connection between two exchanges. */
export interface UpstreamOwner {
  /** The exchange is over, and another may begin. */
  onIdle(): void;
  /** Once: it can't be used any more. */
  onClosed(): void;
}

/** A server that speaks HTTP/1.1, one exchange after the other. */
export class Http1Upstream implements ChannelUser, Http1Events, ServerEnd {
  readonly #host: Http1Host;
  readonly #owner: UpstreamOwner;
  readonly #channel: Channel;
  readonly #codec: Http1Client;
  readonly #output: Http1Output;
  readonly #idleTimer: Timer = { onTimer: () => this.close(), onFault: () => this.close() };
  /** Of the exchange in progress. */
  #user: ServerUser | undefined;
  /** Exchanges that were complete: the connection has lain idle since. */
  #served = 0;
  #requestEnded = true;
  #responseEnded = true;
  #delivered = 0;
  #closed = false;

  constructor(host: Http1Host, open: (user: ChannelUser) => Channel, owner: UpstreamOwner) {
    this.#host = host;
    this.#owner = owner;
    this.#codec = new Http1Client({}, host.responseTables, this);
    this.#channel = open(this);
    this.#output = new Http1Output(host, this.#channel);
  }

  /** For one exchange, whose answer goes to `user`. */
  begin(user: ServerUser): ServerEnd {
    this.#host.loop.timers.cancel(this.#idleTimer);
    this.#user = user;
    return this;
  }

  /** Nobody uses it: it is closed at that time. */
  closeAt(atMs: number): void {
    this.#host.loop.timers.schedule(this.#idleTimer, atMs);
  }

  /** Cuts the connection; nobody is told but its owner. */
  close(): void {
    if (this.#closed) return;
    this.#user = undefined;
    this.#channel.abort();
    this.#gone({ kind: 'broken', reason: 'closed' });
  }

  // --- ServerEnd

  get queued(): number {
    return this.#channel.queued;
  }

  get overflows(): boolean {
    return this.#channel.overflows;
  }

  request(request: RequestMessage, plan: RequestPlan): boolean {
    if (this.#closed || !this.#codec.reusable) return false;
    this.#requestEnded = false;
    this.#responseEnded = false;
    const { http1 } = request;
    if (http1 !== undefined) {
      return this.#sent(this.#codec.sendHead(this.#output.room, http1, plan));
    }
    const headers = requestHeaders(request, plan);
    return this.#sent(this.#codec.sendHeaders(this.#output.room, headers, !request.hasBody));
  }

  body(bytes: Buffer, start: number, end: number): void {
    if (this.#user === undefined || this.#requestEnded) return;
    this.#output.body(this.#codec, bytes, start, end);
  }

  finish(trailers: readonly Header[] | undefined): void {
    if (this.#user === undefined || this.#requestEnded) return;
    this.#requestEnded = true;
    this.#sent(this.#codec.sendEnd(this.#output.room, trailers));
    if (this.#codec.sendingEnded) this.#channel.finish();
    this.#endExchange();
  }

  consume(length: number): void {
    this.#channel.consume(length);
  }

  /** What is in the middle can't be used for anything else. */
  cancel(): void {
    this.close();
  }

  // --- ChannelUser

  onBytes(bytes: Buffer, start: number, end: number): void {
    if (this.#closed) {
      this.#channel.consume(end - start);
      return;
    }
    this.#delivered = 0;
    this.#codec.receive(bytes, start, end);
    // The exchange gives credit for the bodies.
    const rest = end - start - this.#delivered;
    this.#delivered = 0;
    if (rest > 0) this.#channel.consume(rest);
    this.#endExchange();
  }

  onFinished(): void {
    if (this.#closed) return;
    this.#codec.receiveEnd();
    this.#endExchange();
  }

  onDrained(): void {
    this.#user?.onServerDrained();
  }

  onBroken(reason: string): void {
    this.#gone({ kind: this.#isStale ? 'stale' : 'broken', reason });
  }

  // --- Http1Events

  onHead(head: Head): void {
    const user = this.#user;
    if (user === undefined) return;
    const response = new Http1Response(head);
    const { status } = response;
    if (status < 200 && status !== 101) {
      user.onInterim(status, response.fields());
      return;
    }
    // Another protocol takes over: the request was its beginning.
    if (status === 101) this.#requestEnded = false;
    user.onResponse(response);
  }

  onBody(bytes: Buffer, start: number, end: number): void {
    if (this.#user === undefined) return;
    this.#delivered += end - start;
    this.#user.onResponseBody(bytes, start, end);
  }

  onEnd(trailers: Head | undefined): void {
    this.#responseEnded = true;
    this.#user?.onResponseEnd(trailers === undefined ? undefined : trailersToHttp2(trailers));
  }

  onFault(fault: Http1Fault): void {
    const kind = fault === 'noResponse' && this.#isStale ? 'stale' : 'broken';
    this.#channel.abort();
    this.#gone({ kind, reason: HTTP1_FAULTS[fault] });
  }

  // ---

  /** It has served before, and has not said anything to the request of now. */
  get #isStale(): boolean {
    return this.#served > 0 && !this.#codec.responseBegun;
  }

  /** What was written goes out, if it is complete. */
  #sent(complete: boolean): boolean {
    if (complete) this.#output.send();
    else {
      this.#channel.abort();
      this.#gone({ kind: 'broken', reason: 'the head of the request is too large' });
    }
    return complete;
  }

  #endExchange(): void {
    if (this.#closed) return;
    if (this.#codec.finished) {
      this.#channel.finish();
      this.#user = undefined;
      this.#gone({ kind: 'broken', reason: 'closed' });
      return;
    }
    if (!this.#requestEnded || !this.#responseEnded || !this.#codec.reusable) return;
    if (this.#user === undefined) return;
    this.#user = undefined;
    this.#served++;
    this.#owner.onIdle();
  }

  #gone(failure: ServerFailure): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#host.loop.timers.cancel(this.#idleTimer);
    const user = this.#user;
    this.#user = undefined;
    this.#owner.onClosed();
    user?.onServerGone(failure);
  }
}
