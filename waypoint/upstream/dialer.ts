import type { Header } from '#codec/http2/field.ts';
import type { Http2Stream } from '#codec/http2/stream-state.ts';
import { formatSocketAddress, type SocketAddress } from '#common/net/address.ts';
import { newTraceparent, TRACEPARENT_HEADER } from '#hbone/headers.ts';
import type { TunnelPool, TunnelTarget, TunnelWaiter } from '#hbone/pool.ts';
import type { StreamUser, Tunnel, TunnelEnd } from '#hbone/tunnel.ts';
import { errnoText } from '#linux/libc.ts';
import { connectTcp } from '#linux/socket.ts';
import type { ByteBudget } from '#reactor/byte-budget.ts';
import { type EventHandler, type Loop, WRITABLE } from '#reactor/loop.ts';
import { own } from '#reactor/owned-descriptors.ts';
import { resetSocket, socketError } from '#reactor/socket.ts';
import type { Timer } from '#reactor/timers.ts';

import type { Channel, ChannelUser } from '../channel/channel.ts';
import { SocketChannel, type SocketChannelHost } from '../channel/socket-channel.ts';
import { TunnelChannel } from '../channel/tunnel-channel.ts';
import type { UpstreamEndpoint } from './endpoint.ts';

/** From the beginning to a connection on which bytes can be sent. */
const CONNECT_DEADLINE_MS = 10_000;
const TUNNEL_PORT = 15_008;
// RFC 9113 section 7.
const CANCEL = 0x8;

/** Called once, perhaps before `dial` returns. */
export interface ChannelWaiter {
  /** The channel's user, from its first byte on. */
  onChannel(channel: (user: ChannelUser) => Channel): void;
  onChannelFailed(reason: string): void;
}

export interface DialerHost extends SocketChannelHost {
  readonly loop: Loop;
  readonly pool: TunnelPool;
  /** Our own identity, with which tunnels are opened. */
  readonly identity: string;
  /** What waits for servers counts in it. */
  readonly waiting: ByteBudget | undefined;
}

/** Opens connections to endpoints: streams of tunnels, or plain TCP. */
export class Dialer {
  readonly #host: DialerHost;

  constructor(host: DialerHost) {
    this.#host = host;
  }

  /** Begins to connect. The result takes it back. */
  dial(endpoint: UpstreamEndpoint, waiter: ChannelWaiter): Dialing {
    const { expectedIdentities } = endpoint;
    if (expectedIdentities === undefined) return new SocketDialing(this.#host, endpoint, waiter);
    return new TunnelDialing(this.#host, endpoint.address, expectedIdentities, waiter);
  }
}

/** A connection on its way. */
export interface Dialing {
  /** Nobody wants it any more: the waiter is not called. */
  cancel(): void;
}

class SocketDialing implements Dialing, EventHandler, Timer {
  readonly fd: number = -1;
  readonly #host: DialerHost;
  readonly #waiter: ChannelWaiter;
  #over = false;

  constructor(host: DialerHost, { address }: UpstreamEndpoint, waiter: ChannelWaiter) {
    this.#host = host;
    this.#waiter = waiter;
    const dialed = connectTcp({ to: address });
    if (!('fd' in dialed)) {
      this.#over = true;
      waiter.onChannelFailed(`connection failed: ${errnoText(dialed.errno)}`);
      return;
    }
    this.fd = dialed.fd;
    own(dialed.fd);
    host.loop.add(this, WRITABLE);
    host.loop.timers.schedule(this, host.loop.nowMs + CONNECT_DEADLINE_MS);
  }

  cancel(): void {
    if (this.#leave()) resetSocket(this.fd);
  }

  onEvents(): void {
    const error = socketError(this.fd);
    if (error !== 0) {
      this.#fail(errnoText(error));
      return;
    }
    if (!this.#leave()) return;
    const host = this.#host;
    this.#waiter.onChannel((user) => new SocketChannel(host, this.fd, user, host.waiting));
  }

  onTimer(): void {
    this.#fail(`no answer for ${CONNECT_DEADLINE_MS / 1_000} s`);
  }

  onFault(error: unknown): void {
    this.#fail(`internal error: ${error instanceof Error ? error.message : String(error)}`);
  }

  #fail(reason: string): void {
    if (!this.#leave()) return;
    resetSocket(this.fd);
    this.#waiter.onChannelFailed(`connection failed: ${reason}`);
  }

  #leave(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#host.loop.remove(this);
    this.#host.loop.timers.cancel(this);
    return true;
  }
}

/** waits for a tunnel ─▶ CONNECT sent ─▶ 2xx: a channel */
class TunnelDialing implements Dialing, TunnelWaiter, StreamUser, Timer {
  readonly #host: DialerHost;
  readonly #address: SocketAddress;
  readonly #target: TunnelTarget;
  readonly #waiter: ChannelWaiter;
  #tunnel: Tunnel | undefined;
  #stream: Http2Stream | undefined;
  #over = false;

  constructor(
    host: DialerHost,
    address: SocketAddress,
    expectedIdentities: readonly string[],
    waiter: ChannelWaiter,
  ) {
    this.#host = host;
    this.#address = address;
    this.#waiter = waiter;
    this.#target = {
      sourceIdentity: host.identity,
      expectedIdentities,
      address: { ip: address.ip, port: TUNNEL_PORT },
      sourceIp: '',
    };
    host.loop.timers.schedule(this, host.loop.nowMs + CONNECT_DEADLINE_MS);
    host.pool.acquire(this.#target, this);
  }

  cancel(): void {
    if (!this.#leave()) return;
    if (this.#stream === undefined) this.#host.pool.cancel(this.#target, this);
    else this.#tunnel?.reset(this.#stream, CANCEL);
  }

  // --- TunnelWaiter

  onTunnelReady(tunnel: Tunnel): void {
    if (this.#over) return;
    const headers: Header[] = [
      [':method', 'CONNECT'],
      [':authority', formatSocketAddress(this.#address)],
      [TRACEPARENT_HEADER, newTraceparent()],
    ];
    const stream = tunnel.openStream(headers);
    if (stream === undefined) {
      // It was given to us because it had room; its state changed in between. Wait for another.
      this.#host.pool.acquire(this.#target, this);
      return;
    }
    this.#tunnel = tunnel;
    this.#stream = stream;
    stream.owner = this;
  }

  onTunnelFailed(end: TunnelEnd): void {
    this.#fail(end.reason);
  }

  // --- StreamUser, until the answer

  onStreamHeaders(headers: readonly Header[], endStream: boolean): void {
    const status = headers.find(([name]) => name === ':status')?.[1] ?? '';
    if (status.startsWith('1')) return;
    const { tunnel, stream } = { tunnel: this.#tunnel, stream: this.#stream };
    if (tunnel === undefined || stream === undefined) return;
    if (!status.startsWith('2') || endStream) {
      tunnel.reset(stream, CANCEL);
      this.#fail(`the endpoint's tunnel answered CONNECT with ${status}`);
      return;
    }
    if (!this.#leave()) return;
    const { waiting } = this.#host;
    this.#waiter.onChannel((user) => new TunnelChannel(tunnel, stream, user, waiting));
  }

  onStreamData(): void {
    // Nothing can come before the answer.
  }

  onStreamEnd(): void {
    this.#fail('the endpoint ended the connection at once');
  }

  onStreamReset(code: number): void {
    this.#fail(`the endpoint's tunnel reset the stream (HTTP/2 code ${code})`);
  }

  onStreamRoom(): void {
    // Nothing is sent before the answer.
  }

  onTunnelGone(end: TunnelEnd): void {
    this.#fail(end.reason);
  }

  // --- Timer

  onTimer(): void {
    if (this.#over) return;
    this.cancel();
    this.#waiter.onChannelFailed(`no connection for ${CONNECT_DEADLINE_MS / 1_000} s`);
  }

  onFault(error: unknown): void {
    this.#fail(`internal error: ${error instanceof Error ? error.message : String(error)}`);
  }

  #fail(reason: string): void {
    if (this.#leave()) this.#waiter.onChannelFailed(`connection failed: ${reason}`);
  }

  #leave(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.#host.loop.timers.cancel(this);
    return true;
  }
}
