import type { AppProtocol } from '#dataplane/state/service.ts';
import type { Timer } from '#reactor/timers.ts';

import type { Channel, ChannelUser } from '../channel/channel.ts';
import type { ConnectionFacts } from '../exchange/decision.ts';
import type { ClientEnd, ClientUser } from '../exchange/ends.ts';
import { Exchange, type ExchangeHost } from '../exchange/exchange.ts';
import { type DownstreamOwner, Http1Downstream, type Http1Host } from '../http/http1-downstream.ts';
import { Http2Downstream } from '../http/http2-downstream.ts';
import type { SessionHost } from '../http/http2-session.ts';
import type { RequestMessage } from '../request/head.ts';
import { TcpForward, type TcpHost } from '../tcp/tcp-forward.ts';
import type { PlaneLimits } from '../worker/limits.ts';
import { currentTarget, type DestinationContext } from './destination.ts';
import { type Sniffed, sniff } from './sniff.ts';

/** What the connections inside tunnels share. */
export interface InnerHost extends SessionHost, Http1Host, ExchangeHost, TcpHost {
  readonly limits: PlaneLimits;
  /** The connections that are open, for the drain and the end. */
  readonly inner: Set<InnerConnection>;
  /** A client broke a rule of HTTP; `fault` names which. */
  badRequest(facts: ConnectionFacts, fault: string): void;
  /** Our own code has failed at a request. */
  fault(error: unknown): void;
}

/** What a tunnel says of a connection in it. */
export interface InnerOptions {
  /** Undefined: to be found out from what comes. */
  readonly protocol: AppProtocol | undefined;
  /** The end of the client's certificate, on the clock of the loop. */
  readonly validUntilMs: number;
}

/** How often {@link InnerConnection.look} comes. */
export const LOOK_MS = 15_000;
/** How long a client may take for the first bytes that tell the protocol, when it has begun with them … */
const SNIFF_DEADLINE_MS = 60_000;
/** … and how long it may say nothing at all. */
const SILENT_DEADLINE_MS = 3_600_000;

/** How long a drain waits for the first bytes of a connection: longer than they take from any node. */
const FIRST_DEADLINE_MS = 1_000;

/** One connection of a client inside a tunnel, from its CONNECT to its end. */
export class InnerConnection implements ChannelUser, DownstreamOwner {
  readonly #host: InnerHost;
  #facts: ConnectionFacts;
  readonly #options: InnerOptions;
  readonly #startMs: number;
  readonly #channel: Channel;
  /** What came before the protocol was known. */
  #first: Buffer = NOTHING;
  #use: Http1Downstream | Http2Downstream | TcpForward | undefined;
  #ended = false;
  /** Set while it drains and nothing has come yet. */
  #firstDeadline: Timer | undefined;

  constructor(
    host: InnerHost,
    facts: ConnectionFacts,
    options: InnerOptions,
    open: (user: ChannelUser) => Channel,
  ) {
    this.#host = host;
    this.#facts = facts;
    this.#options = options;
    this.#startMs = host.loop.nowMs;
    host.inner.add(this);
    this.#channel = open(this);
    const { protocol } = options;
    if (protocol === 'TCP' || protocol === 'TLS') this.#begin('other');
  }

  /** Ends with what is in progress. */
  drain(): void {
    if (this.#use === undefined) this.close('nothing is in progress');
    else this.#use.drain();
  }

  /** The same, but a first request that may be on its way already is answered: who sent it could not know. */
  drainAfterFirst(): void {
    if (this.#use !== undefined || this.#ended) {
      this.drain();
      return;
    }
    if (this.#firstDeadline !== undefined) return;
    const close = (): void => this.close('nothing is in progress');
    this.#firstDeadline = { onTimer: close, onFault: close };
    const { loop } = this.#host;
    loop.timers.schedule(this.#firstDeadline, loop.nowMs + FIRST_DEADLINE_MS);
  }

  /** What comes from now on is for what the mesh has now; for what is bound to us no more the connection ends. */
  meshChanged(context: DestinationContext): void {
    const before = this.#facts.target;
    const target = currentTarget(before, context);
    if (target === before) return;
    if (target !== undefined) this.#facts = { ...this.#facts, target };
    // Nothing tells where bytes end that nobody looks into: they go on.
    else if (!(this.#use instanceof TcpForward)) this.drain();
  }

  /** The policies have changed. Requests are judged one by one: what is not looked into is judged again. */
  judgeAgain(): void {
    if (this.#use instanceof TcpForward) this.#use.judgeAgain();
  }

  /** Comes every {@link LOOK_MS}. */
  look(nowMs: number): void {
    if (this.#ended) return;
    // What comes next would come from somebody whose certificate has ended by then.
    if (nowMs + LOOK_MS >= this.#options.validUntilMs) this.drain();
    if (this.#ended) return;
    if (this.#use !== undefined) {
      this.#use.look(nowMs);
      return;
    }
    const mostMs = this.#first.length > 0 ? SNIFF_DEADLINE_MS : SILENT_DEADLINE_MS;
    if (nowMs - this.#startMs >= mostMs) this.close('the client did not begin a request');
  }

  close(reason: string): void {
    if (this.#ended) return;
    if (this.#use === undefined) this.#channel.abort();
    else this.#use.close(reason);
    this.#end();
  }

  // --- ChannelUser, until the protocol is known

  onBytes(bytes: Buffer, start: number, end: number): void {
    if (this.#ended) return;
    if (this.#first.length === 0) {
      const kind = sniff(bytes, start, end);
      if (kind === 'more') this.#first = Buffer.from(bytes.subarray(start, end));
      else {
        this.#begin(kind).onBytes(bytes, start, end);
        this.#drainIfAsked();
      }
      return;
    }
    const first = Buffer.concat([this.#first, bytes.subarray(start, end)]);
    this.#first = first;
    const kind = sniff(first, 0, first.length);
    if (kind !== 'more') this.#replay(kind);
  }

  onFinished(): void {
    if (this.#ended) return;
    // Whatever it began to say is over: the other side may have something to say all the same.
    this.#replay('other').onFinished();
  }

  onDrained(): void {
    // Nothing is written before the protocol is known.
  }

  onBroken(): void {
    this.#end();
  }

  // --- DownstreamOwner

  onRequest(client: ClientEnd & { user: ClientUser }, request: RequestMessage): void {
    // Nobody hears what comes before there is an exchange.
    client.user = NOBODY;
    let exchange: Exchange | undefined;
    try {
      exchange = new Exchange(this.#host, this.#facts, client, request);
      client.user = exchange;
      exchange.begin();
    } catch (error) {
      // It ends this request, and not all others that came by the same tunnel.
      this.#host.fault(error);
      if (exchange === undefined) client.abort();
      else exchange.onFault(error);
    }
  }

  onBadRequest(fault: string): void {
    this.#host.badRequest(this.#facts, fault);
  }

  onDownstreamClosed(): void {
    this.#end();
  }

  // ---

  #replay(kind: Sniffed): ChannelUser {
    const first = this.#first;
    this.#first = NOTHING;
    const user = this.#begin(kind);
    if (first.length > 0) user.onBytes(first, 0, first.length);
    this.#drainIfAsked();
    return user;
  }

  /** Gives the channel to who speaks the protocol; on a port for HTTP whatever else comes is a bad request. */
  #begin(kind: Sniffed): ChannelUser {
    const host = this.#host;
    const channel = this.#channel;
    const open = (user: ChannelUser): Channel => {
      channel.user = user;
      return channel;
    };
    const { protocol } = this.#options;
    const isHttpPort = protocol === 'HTTP/1.1' || protocol === 'HTTP/2' || protocol === 'gRPC';
    if (kind === 'HTTP/2') this.#use = new Http2Downstream(host, open, this);
    else if (kind === 'HTTP/1' || isHttpPort) this.#use = new Http1Downstream(host, open, this);
    else this.#use = new TcpForward(host, this.#facts, open, () => this.#end());
    return channel.user;
  }

  #drainIfAsked(): void {
    if (this.#firstDeadline === undefined) return;
    this.#forgetDeadline();
    if (!this.#ended) this.drain();
  }

  #forgetDeadline(): void {
    if (this.#firstDeadline === undefined) return;
    this.#host.loop.timers.cancel(this.#firstDeadline);
    this.#firstDeadline = undefined;
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#forgetDeadline();
    this.#host.inner.delete(this);
  }
}

const NOTHING: Buffer = Buffer.alloc(0);
const NOBODY: ClientUser = {
  onRequestBody: () => undefined,
  onRequestEnd: () => undefined,
  onClientDrained: () => undefined,
  onClientGone: () => undefined,
  look: () => undefined,
};
