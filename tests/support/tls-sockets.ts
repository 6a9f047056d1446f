import { parseSocketAddress, type SocketAddress } from '#common/net/address.ts';
import { SOCK_SEQPACKET } from '#linux/libc.ts';
import { receivePacket, sendPacket } from '#linux/seqpacket.ts';
import { acceptTcp, connectTcp, listenTcp, localAddress } from '#linux/socket.ts';
import { openSocketPair } from '#linux/socket-pair.ts';
import { type EventHandler, type Loop, READABLE } from '#reactor/loop.ts';
import { allocateSlab, type Slab } from '#reactor/memory.ts';
import { closeSocket } from '#reactor/socket.ts';
import { allocateTlsBuffers, type TlsBuffers } from '#reactor/tls/buffers.ts';
import type { TlsContext } from '#reactor/tls/context.ts';
import type { TlsEnd, TlsEvents } from '#reactor/tls/events.ts';
import type { PeerCertificate } from '#reactor/tls/peer-certificate.ts';
import { TlsSocket } from '#reactor/tls/socket.ts';

import { useLoop } from './running-loop.ts';

/** What TLS sockets need of their thread, for one `describe`. */
export interface TlsBench {
  readonly loop: Loop;
  readonly buffers: TlsBuffers;
}

/** A running loop for the tests of this `describe`; its fields may be read once they run. */
export function useTlsBench(): TlsBench {
  const running = useLoop();
  const buffers = allocateTlsBuffers();
  return {
    get loop(): Loop {
      return running.loop;
    },
    buffers,
  };
}

/** A listener of ours on a free port of 127.0.0.1 that hands every descriptor on, until it is closed. */
export class Listener implements EventHandler {
  readonly fd: number;
  readonly port: number;
  readonly #loop: Loop;
  readonly #accepted: (fd: number) => void;

  constructor(loop: Loop, accepted: (fd: number) => void) {
    const address = parseSocketAddress('127.0.0.1:0') as SocketAddress;
    const opened = listenTcp({ address, transparent: false, reusePort: false, backlog: 1_024 });
    if (!('fd' in opened)) throw new Error(`listen: ${opened.call}`);
    this.fd = opened.fd;
    this.port = localAddress(this.fd)?.port ?? 0;
    this.#loop = loop;
    this.#accepted = accepted;
    loop.add(this, READABLE);
  }

  onEvents(): void {
    for (let fd = acceptTcp(this.fd); fd >= 0; fd = acceptTcp(this.fd)) this.#accepted(fd);
  }

  close(): void {
    this.#loop.remove(this);
    closeSocket(this.fd);
  }
}

/** Begins to connect to a port of 127.0.0.1. */
export function connectTo(port: number): number {
  const opened = connectTcp({ to: parseSocketAddress(`127.0.0.1:${port}`) as SocketAddress });
  if (!('fd' in opened)) throw new Error(`connect: ${opened.call}`);
  return opened.fd;
}

/** A client of ours for a port of 127.0.0.1. */
export function clientOf(bench: TlsBench, context: TlsContext, port: number): Recorder {
  const client = new Recorder(bench);
  const { loop, buffers } = bench;
  client.socket = TlsSocket.connect(loop, buffers, context, connectTo(port), client, 10_000);
  return client;
}

/** A server of ours: the next connection to its port, then it listens no more. */
export function serveOne(
  bench: TlsBench,
  context: TlsContext,
): { readonly port: number; readonly server: Recorder } {
  const server = new Recorder(bench);
  const { loop, buffers } = bench;
  const listener = new Listener(loop, (fd) => {
    server.socket = TlsSocket.accept(loop, buffers, context, fd, server, 10_000);
    listener.close();
  });
  return { port: listener.port, server };
}

/** `bytes` in a slab with the spare byte that `write` wants. */
export function slabOf(bytes: Uint8Array | string): Slab {
  const content = Buffer.from(bytes);
  const slab = allocateSlab(content.length + 1);
  slab.bytes.set(content);
  return slab;
}

/** Another descriptor of the same connection, as it arrives in another process. */
export function passedDescriptor(fd: number): number {
  const [near, far] = openSocketPair(SOCK_SEQPACKET);
  sendPacket(near, Buffer.from('x'), [fd]);
  const received = receivePacket(far, 10, 1);
  for (const end of [near, far]) closeSocket(end);
  if (received.kind !== 'packet') throw new Error(`No packet but ${received.kind}`);
  return received.fds[0] as number;
}

/** Moves the connection of `owner` as to another process: frozen, exported, released, restored. */
export function handOver(bench: TlsBench, owner: Recorder): void {
  const old = owner.socket;
  old.freeze();
  const state = structuredClone(old.export());
  const fd = passedDescriptor(old.fd);
  old.release();
  owner.socket = TlsSocket.restore(bench.loop, bench.buffers, state, fd, owner);
  owner.socket.thaw();
}

/** An owner that keeps what it is told, and lets a test wait for it. */
export class Recorder implements TlsEvents {
  socket!: TlsSocket;
  peer: PeerCertificate | undefined;
  end: TlsEnd | undefined;
  drained = 0;
  bytes = 0;
  /** What was received; empty when `onData` takes it. */
  readonly received: Buffer[] = [];
  /** The answer to onTlsOpen. */
  refusal: string | undefined;
  onOpen: (() => void) | undefined;
  onData: ((slab: Slab, start: number, end: number) => void) | undefined;
  onDrained: (() => void) | undefined;
  readonly #bench: TlsBench;
  #waiters: { readonly holds: () => boolean; readonly settle: () => void }[] = [];

  constructor(bench: TlsBench) {
    this.#bench = bench;
  }

  get text(): string {
    return Buffer.concat(this.received).toString();
  }

  onTlsOpen(peer: PeerCertificate): string | undefined {
    this.peer = peer;
    this.onOpen?.();
    this.#changed();
    return this.refusal;
  }

  onPlaintext(slab: Slab, start: number, end: number): void {
    this.bytes += end - start;
    if (this.onData === undefined) this.received.push(Buffer.from(slab.bytes.subarray(start, end)));
    else this.onData(slab, start, end);
    this.#changed();
  }

  onTlsDrained(): void {
    this.drained++;
    this.onDrained?.();
    this.#changed();
  }

  onTlsEnd(end: TlsEnd): void {
    if (this.end !== undefined) throw new Error('onTlsEnd comes once');
    this.end = end;
    this.#changed();
  }

  write(bytes: Uint8Array | string): void {
    const slab = slabOf(bytes);
    this.socket.write(slab, 0, slab.size - 1);
  }

  /** Settles when `holds` does, which is looked at after every event. */
  until(holds: () => boolean): Promise<void> {
    if (holds()) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiters.push({ holds, settle: resolve });
    return promise;
  }

  untilOpen(): Promise<void> {
    return this.until(() => this.peer !== undefined);
  }

  async untilEnd(): Promise<TlsEnd> {
    await this.until(() => this.end !== undefined);
    return this.end as TlsEnd;
  }

  #changed(): void {
    const met = this.#waiters.filter(({ holds }) => holds());
    if (met.length === 0) return;
    this.#waiters = this.#waiters.filter((waiter) => !met.includes(waiter));
    for (const { settle } of met) settle();
    this.#bench.loop.returnToNode();
  }
}

export interface Pair {
  readonly client: Recorder;
  readonly server: Recorder;
}

/** A client and a server of ours on a pair of descriptors; their handshake begins with the next turn. */
export function tlsPair(
  bench: TlsBench,
  context: TlsContext,
  serverContext: TlsContext = context,
  fds: readonly [number, number] = openSocketPair(),
): Pair {
  const { loop, buffers } = bench;
  const client = new Recorder(bench);
  const server = new Recorder(bench);
  client.socket = TlsSocket.connect(loop, buffers, context, fds[0], client, 10_000);
  server.socket = TlsSocket.accept(loop, buffers, serverContext, fds[1], server, 10_000);
  return { client, server };
}

/** The same, open. */
export async function openTlsPair(bench: TlsBench, context: TlsContext): Promise<Pair> {
  const pair = tlsPair(bench, context);
  await Promise.all([pair.client.untilOpen(), pair.server.untilOpen()]);
  return pair;
}
