import type { Http1Events } from '#codec/http1/events.ts';
import { faultStatus, HTTP1_FAULTS, type Http1Fault } from '#codec/http1/faults.ts';
import { Head } from '#codec/http1/head.ts';
import type { HeadTables } from '#codec/http1/message-reader.ts';
import { Http1Server } from '#codec/http1/server.ts';
import { trailersToHttp2 } from '#codec/http1/to-http2.ts';
import type { ResponsePlan } from '#codec/http1/write.ts';
import type { Header } from '#codec/http2/field.ts';
import type { ByteBudget } from '#reactor/byte-budget.ts';
import type { Loop, TurnEnd } from '#reactor/loop.ts';
import { PendingBytes } from '#reactor/pending.ts';
import type { Timer } from '#reactor/timers.ts';

import type { Channel, ChannelUser } from '../channel/channel.ts';
import type { ClientEnd, ClientUser } from '../exchange/ends.ts';
import type { RequestMessage, ResponseMessage } from '../request/head.ts';
import { Http1Request } from './http1-messages.ts';
import { Http1Output, type Http1OutputHost } from './http1-output.ts';

/** What the HTTP/1 connections of a worker share. */
export interface Http1Host extends Http1OutputHost {
  readonly loop: Loop;
  readonly requestTables: HeadTables;
  /** What waits for clients and endpoints counts in it. */
  readonly waiting: ByteBudget | undefined;
  readonly responseTables: HeadTables;
}

/** How long a client may take for a head … */
const HEAD_DEADLINE_MS = 60_000;
/** … and how long it may keep a connection without asking for anything. */
export const IDLE_DEADLINE_MS = 3_600_000;

/** A client that has ended its side, and to which nothing was said for so long, waits for nothing any more. */
const GONE_MS = 5_000;

/** Told of the requests of a client, and of the end of its connection. */
export interface DownstreamOwner {
  /** A request. Its exchange is the user of `client` from now on. */
  onRequest(client: ClientEnd & { user: ClientUser }, request: RequestMessage): void;
  /** The client broke a rule. */
  onBadRequest(fault: string): void;
  /** Once. */
  onDownstreamClosed(): void;
}

/** A client that speaks HTTP/1.1, one exchange after the other. */
export class Http1Downstream implements ChannelUser, Http1Events, ClientEnd {
  /** Of the exchange in progress. */
  user!: ClientUser;
  readonly #host: Http1Host;
  readonly #owner: DownstreamOwner;
  readonly #channel: Channel;
  readonly #codec: Http1Server;
  readonly #output: Http1Output;
  /** Of the request in progress: there is one at a time. */
  readonly #head = new Head('request', 0);
  /** Bytes that belong behind the response in progress. */
  readonly #held: PendingBytes;
  /** An exchange has begun, and its end has not been told to its user, nor by it. */
  #inExchange = false;
  /** Its end has come; what was held back before has not been looked at yet. */
  #clientFinished = false;
  /** It has ended its side in the middle of an exchange: it may have gone, or wait for the answer. */
  #mayBeGone = false;
  /** Something was sent to it since the last look. */
  #said = false;
  #bodyless = false;
  /** Bytes of bodies in the present call of receive(). */
  #delivered = 0;
  #closed = false;
  #phase: Http1Server['phase'] = 'idle';
  #phaseSinceMs: number;
  readonly #tasks = new Tasks(this);

  constructor(host: Http1Host, open: (user: ChannelUser) => Channel, owner: DownstreamOwner) {
    this.#host = host;
    this.#owner = owner;
    this.#codec = new Http1Server({}, host.requestTables, this);
    this.#channel = open(this);
    this.#output = new Http1Output(host, this.#channel);
    this.#held = new PendingBytes(host.waiting);
    this.#phaseSinceMs = host.loop.nowMs;
  }

  /** Ends after the exchange in progress. */
  drain(): void {
    this.#codec.closeAfterResponse();
    this.#endIfSent();
  }

  /** Cuts the connection. */
  close(reason: string): void {
    this.#channel.abort();
    this.#gone(reason);
  }

  // --- ChannelUser

  onBytes(bytes: Buffer, start: number, end: number): void {
    if (this.#closed) {
      this.#channel.consume(end - start);
      return;
    }
    const waits = this.#held.length > 0 || this.#isBehind;
    const taken = waits ? start : this.#receive(bytes, start, end);
    if (taken === end) return;
    // What comes behind a fault, or behind the last request, is nobody's.
    if (this.#closed) {
      this.#channel.consume(end - taken);
      return;
    }
    this.#held.append(bytes, taken, end);
    if (this.#held.overflows) {
      this.close('the client sends more requests ahead than there is memory for');
    }
  }

  onFinished(): void {
    // It has said something else before.
    if (this.#held.length > 0) this.#clientFinished = true;
    else this.#receiveEnd();
  }

  onDrained(): void {
    if (this.#inExchange) this.user.onClientDrained();
    else if (this.#held.length > 0) this.#host.loop.atTurnEnd(this.#tasks);
  }

  onBroken(reason: string): void {
    this.#gone(reason);
  }

  // --- Http1Events

  onHead(head: Head): void {
    head.copyTo(this.#head);
    const request = new Http1Request(this.#head);
    this.#inExchange = true;
    this.#bodyless = request.method === 'HEAD';
    this.#owner.onRequest(this, request);
  }

  onBody(bytes: Buffer, start: number, end: number): void {
    if (!this.#inExchange) return;
    this.#delivered += end - start;
    this.user.onRequestBody(bytes, start, end);
  }

  onEnd(trailers: Head | undefined): void {
    if (this.#inExchange)
      this.user.onRequestEnd(trailers === undefined ? undefined : trailersToHttp2(trailers));
  }

  onFault(fault: Http1Fault): void {
    const reason = HTTP1_FAULTS[fault];
    this.#owner.onBadRequest(fault);
    const answers = this.#codec.canRespond;
    this.#leaveExchange(reason);
    if (!answers) {
      this.close(reason);
      return;
    }
    const status = faultStatus(fault);
    const headers: Header[] = [
      [':status', String(status)],
      ['content-length', '0'],
    ];
    this.#sent(this.#codec.sendHeaders(this.#output.room, headers, true));
    this.#sent(this.#codec.sendEnd(this.#output.room));
    this.#endIfSent();
  }

  // --- ClientEnd

  get queued(): number {
    return this.#channel.queued;
  }

  get overflows(): boolean {
    return this.#channel.overflows;
  }

  interim(status: number, fields: readonly Header[]): void {
    if (this.#closed) return;
    const headers: Header[] = [[':status', String(status)], ...fields];
    this.#sent(this.#codec.sendHeaders(this.#output.room, headers, false));
  }

  respond(response: ResponseMessage, plan: ResponsePlan): void {
    if (this.#closed) return;
    const { http1, status } = response;
    this.#bodyless ||= status === 204 || status === 304;
    if (http1 !== undefined) {
      this.#sent(this.#codec.sendHead(this.#output.room, http1, plan));
      // What the client has said already, to whom takes over.
      if (status === 101 && this.#held.length > 0) this.#host.loop.atTurnEnd(this.#tasks);
      return;
    }
    const headers: Header[] = [[':status', String(status)], ...response.fields()];
    this.#sent(this.#codec.sendHeaders(this.#output.room, headers, !response.hasBody, plan));
  }

  body(bytes: Buffer, start: number, end: number): void {
    if (this.#closed || !this.#inExchange || this.#bodyless) return;
    this.#said = true;
    this.#output.body(this.#codec, bytes, start, end);
  }

  finish(trailers: readonly Header[] | undefined): void {
    if (!this.#inExchange) return;
    // When another protocol has taken over, the client ends for itself.
    this.#inExchange = this.#codec.phase === 'raw';
    if (!this.#closed) this.#sent(this.#codec.sendEnd(this.#output.room, trailers));
    if (this.#inExchange) this.#channel.finish();
    if (this.#codec.finished) this.#inExchange = false;
    this.#endIfSent();
    // What was held back is looked at when nobody is in the middle of a call any more.
    if (this.#held.length > 0) this.#host.loop.atTurnEnd(this.#tasks);
  }

  consume(length: number): void {
    this.#channel.consume(length);
  }

  abort(): void {
    this.#inExchange = false;
    this.close('the response was cut');
  }

  // --- Tasks

  /** Looks at what was held back. */
  goOn(): void {
    if (this.#closed || !this.#codec.wantsInput || this.#isBehind) return;
    const { length } = this.#held;
    if (length === 0) return;
    const bytes = Buffer.allocUnsafeSlow(length);
    this.#held.peekTo(bytes, 0, length);
    this.#held.clear();
    const taken = this.#receive(bytes, 0, length);
    if (this.#closed) return;
    if (taken < length) this.#held.append(bytes, taken, length);
    else if (this.#clientFinished) this.#receiveEnd();
  }

  /** Looks how long it has been in its phase. Comes now and then. */
  look(nowMs: number): void {
    if (this.#closed) return;
    if (this.#inExchange) this.user.look(nowMs);
    // Looked at more often already.
    if (this.#mayBeGone && this.#inExchange) return;
    const { phase } = this.#codec;
    if (phase !== this.#phase) {
      this.#phase = phase;
      this.#phaseSinceMs = nowMs;
    }
    const sinceMs = nowMs - this.#phaseSinceMs;
    // Of a body, too, of which the answer does not wait for the rest.
    const isUnfinished = phase === 'head' || (phase === 'body' && !this.#inExchange);
    if (isUnfinished && sinceMs >= HEAD_DEADLINE_MS) {
      this.close('the client did not finish its request');
    } else if (phase === 'idle' && sinceMs >= IDLE_DEADLINE_MS) this.drain();
  }

  /** Whatever is sent to a client that has gone breaks the connection; so it is only silence that has to be watched. */
  lookWhetherGone(nowMs: number): void {
    if (this.#closed || !this.#mayBeGone || !this.#inExchange) return;
    if (!this.#said && this.#channel.queued === 0) {
      this.close('the client has gone');
      return;
    }
    this.#said = false;
    this.#host.loop.timers.schedule(this.#tasks, nowMs + GONE_MS);
  }

  // ---

  /** The client has not taken the last answer: its next request waits, or its answers would pile up here. */
  get #isBehind(): boolean {
    return !this.#inExchange && this.#channel.queued > 0;
  }

  #receive(bytes: Buffer, start: number, end: number): number {
    this.#delivered = 0;
    const taken = this.#codec.receive(bytes, start, end);
    // The exchange gives credit for the bodies.
    const rest = taken - start - this.#delivered;
    this.#delivered = 0;
    if (rest > 0) this.#channel.consume(rest);
    return taken;
  }

  #receiveEnd(): void {
    if (this.#closed) return;
    this.#codec.receiveEnd();
    this.#endIfSent();
    if (this.#closed || !this.#inExchange || this.#codec.phase === 'raw') return;
    this.#mayBeGone = true;
    this.#said = false;
    const { loop } = this.#host;
    loop.timers.schedule(this.#tasks, loop.nowMs + GONE_MS);
  }

  /** What was written goes out, if it is complete. */
  #sent(complete: boolean): void {
    this.#said = true;
    if (complete) this.#output.send();
    else this.close('the head of the response is too large');
  }

  #endIfSent(): void {
    if (this.#closed || !this.#codec.finished) return;
    this.#channel.finish();
    this.#gone('closed');
  }

  #leaveExchange(reason: string): void {
    if (!this.#inExchange) return;
    this.#inExchange = false;
    this.user.onClientGone(reason);
  }

  #gone(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#host.loop.timers.cancel(this.#tasks);
    this.#held.clear();
    this.#leaveExchange(reason);
    this.#owner.onDownstreamClosed();
  }
}

/** What a connection does later. Apart from it because the codec has an `onFault`, too. */
class Tasks implements TurnEnd, Timer {
  readonly #connection: Http1Downstream;

  constructor(connection: Http1Downstream) {
    this.#connection = connection;
  }

  onTurnEnd(): void {
    this.#connection.goOn();
  }

  onTimer(nowMs: number): void {
    this.#connection.lookWhetherGone(nowMs);
  }

  onFault(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#connection.close(`internal error: ${reason}`);
  }
}
