import type { Header } from '#codec/http2/field.ts';
import type { Http2Stream } from '#codec/http2/stream-state.ts';
import { parseIp, type SocketAddress } from '#common/net/address.ts';
import { selfSigned } from '#common/tls/self-signed.ts';
import type { Leftover } from '#hbone/leftover.ts';
import { type StreamObserver, StreamRelay } from '#hbone/stream.ts';
import { Tunnel, type TunnelHost, type TunnelOwner } from '#hbone/tunnel.ts';
import { openSocketPair } from '#linux/socket-pair.ts';
import { type EventHandler, type Loop, READABLE } from '#reactor/loop.ts';
import type { Slab } from '#reactor/memory.ts';
import { closeSocket, EAGAIN, receiveInto, sendFrom } from '#reactor/socket.ts';
import { TlsContext } from '#reactor/tls/context.ts';

/** Enough for the engine to compile what the data path runs for every request, and every moved connection. */
const STREAMS = 40;
const ROUNDS = 60;
const MOVES = 6;
const MESSAGE_BYTES = 1_024;
/** A machine that can't do it in this time has other worries; the process serves all the same. */
const DEADLINE_MS = 3_000;

const NAME = 'spiffe://warm-up/ns/warm-up/sa/warm-up';

/**
 * Relays through itself: two tunnels over a socket pair, streams with an application at each end, everything
 * moved a few times as in a hand-over. Cold code is slow code: without this, the first thing that a successor
 * does with its predecessor's connections takes several times as long.
 */
export async function warmUp(host: TunnelHost, scratch: Slab): Promise<void> {
  const course = new Course(host, scratch);
  try {
    const untilMs = performance.now() + DEADLINE_MS;
    for (let moves = 0; moves < MOVES && performance.now() < untilMs; ) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      if (!course.isOpen || course.rounds < (STREAMS * ROUNDS * moves) / MOVES) continue;
      course.move();
      moves++;
    }
  } finally {
    course.close();
  }
}

class Course implements StreamObserver {
  rounds = 0;
  readonly #host: TunnelHost;
  readonly #loop: Loop;
  readonly #context: TlsContext;
  readonly #ends: AppEnd[] = [];
  #relays: StreamRelay[] = [];
  #client: Tunnel;
  #server: Tunnel;
  readonly #owner: TunnelOwner;

  constructor(host: TunnelHost, scratch: Slab) {
    this.#host = host;
    this.#loop = host.loop;
    const notAfterMs = Date.now() + 3_600_000;
    const { certificatePem, privateKeyPem } = selfSigned({ uris: [NAME], notAfterMs });
    this.#context = new TlsContext({
      chainPem: [certificatePem],
      privateKeyPem,
      rootsPem: certificatePem,
    });
    this.#owner = {
      onTunnelPeer: () => undefined,
      onTunnelOpen: (tunnel) => this.#openStreams(tunnel, scratch),
      onTunnelRequest: (tunnel, stream) => this.#answer(tunnel, stream, scratch),
      onTunnelRoom: () => undefined,
      onTunnelEnd: () => undefined,
      onTunnelClosed: () => undefined,
    };
    const [clientFd, serverFd] = openSocketPair();
    const nowhere: SocketAddress = { ip: parseIp('127.0.0.1') as SocketAddress['ip'], port: 0 };
    const ends = { local: nowhere, remote: nowhere };
    this.#server = Tunnel.accept(host, this.#owner, this.#context, { fd: serverFd, ...ends });
    this.#client = Tunnel.dial(host, this.#owner, this.#context, { fd: clientFd, ...ends });
  }

  get isOpen(): boolean {
    return this.#relays.length === 2 * STREAMS && this.#client.canMove && this.#server.canMove;
  }

  /** Freezes everything, and goes on with copies made from its state. */
  move(): void {
    for (const relay of this.#relays) relay.freeze();
    const moved = new Map(
      [this.#client, this.#server].map((tunnel) => [tunnel, this.#moved(tunnel)]),
    );
    const relays = this.#relays.map((relay) => {
      const tunnel = moved.get(relay.tunnel) as Tunnel;
      const state = structuredClone(relay.export());
      const stream = tunnel.streamById(state.streamId);
      return StreamRelay.restore(this.#loop, tunnel, stream, state, relay.fd, this);
    });
    this.#client = moved.get(this.#client) as Tunnel;
    this.#server = moved.get(this.#server) as Tunnel;
    this.#relays = relays;
    for (const tunnel of moved.values()) tunnel.thaw();
    for (const relay of relays) relay.start();
  }

  close(): void {
    const end = { failed: false, reason: 'warm', stage: 'open' } as const;
    for (const relay of this.#relays) relay.abort();
    this.#client.close(end);
    this.#server.close(end);
    for (const each of this.#ends) each.close();
    this.#context.free();
  }

  onResponse(): string | undefined {
    return undefined;
  }

  onConnected(): void {
    for (const relay of this.#relays) {
      if (relay.phase !== 'open' || relay.tunnel !== this.#server || relay.stream.headersSent)
        continue;
      relay.tunnel.respond(relay.stream, [[':status', '200']], false);
    }
  }

  onRelayEnd(): void {
    // Only when the course is closed.
  }

  onTunnelOutlived(rest: Leftover): void {
    rest.abort();
  }

  #moved(tunnel: Tunnel): Tunnel {
    tunnel.freeze();
    const state = structuredClone(tunnel.export());
    return Tunnel.restore(this.#host, this.#owner, state, tunnel.fd);
  }

  #openStreams(tunnel: Tunnel, scratch: Slab): void {
    if (tunnel.role !== 'client') return;
    const headers: readonly Header[] = [
      [':method', 'CONNECT'],
      [':authority', '127.0.0.1:80'],
    ];
    for (let count = 0; count < STREAMS; count++) {
      const stream = tunnel.openStream(headers);
      if (stream === undefined) return;
      this.#relay(
        tunnel,
        stream,
        'requested',
        new Asking(this.#loop, scratch, () => this.rounds++),
      );
    }
  }

  #answer(tunnel: Tunnel, stream: Http2Stream, scratch: Slab): void {
    this.#relay(tunnel, stream, 'connecting', new Echo(this.#loop, scratch));
  }

  #relay(
    tunnel: Tunnel,
    stream: Http2Stream,
    phase: 'requested' | 'connecting',
    end: AppEnd,
  ): void {
    const [appFd, fd] = openSocketPair();
    this.#ends.push(end);
    end.begin(appFd);
    const relay = new StreamRelay(this.#loop, tunnel, stream, { fd, phase }, this);
    this.#relays.push(relay);
    relay.start();
  }
}

/** The application's end of one relay. */
abstract class AppEnd implements EventHandler {
  fd = -1;
  readonly #loop: Loop;
  readonly #scratch: Slab;

  constructor(loop: Loop, scratch: Slab) {
    this.#loop = loop;
    this.#scratch = scratch;
  }

  begin(fd: number): void {
    this.fd = fd;
    this.#loop.add(this, READABLE);
    this.onBegin();
  }

  onEvents(): void {
    const length = receiveInto(this.fd, this.#scratch, 0, MESSAGE_BYTES);
    if (length === -EAGAIN) return;
    if (length <= 0) this.#loop.remove(this);
    else this.onBytes(length);
  }

  send(length: number): void {
    sendFrom(this.fd, this.#scratch, 0, length);
  }

  close(): void {
    this.#loop.remove(this);
    closeSocket(this.fd);
  }

  abstract onBegin(): void;
  abstract onBytes(length: number): void;
}

/** Sends a message, and the next one when it has come back. */
class Asking extends AppEnd {
  readonly #onRound: () => void;
  #left = MESSAGE_BYTES;

  constructor(loop: Loop, scratch: Slab, onRound: () => void) {
    super(loop, scratch);
    this.#onRound = onRound;
  }

  onBegin(): void {
    this.send(MESSAGE_BYTES);
  }

  onBytes(length: number): void {
    this.#left -= length;
    if (this.#left > 0) return;
    this.#left = MESSAGE_BYTES;
    this.#onRound();
    this.send(MESSAGE_BYTES);
  }
}

class Echo extends AppEnd {
  onBegin(): void {
    // Waits to be asked.
  }

  onBytes(length: number): void {
    this.send(length);
  }
}
