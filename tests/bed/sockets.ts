import { closeSync } from 'node:fs';
import { invariant } from '#common/assert.ts';
import { formatSocketAddress, parseIp, type SocketAddress } from '#common/net/address.ts';
import { errnoName } from '#linux/libc.ts';
import { inNetns, openNetns } from '#linux/netns.ts';
import { acceptTcp, connectTcp, listenTcp, localAddress, peerAddress } from '#linux/socket.ts';
import { type EventHandler, type Loop, READABLE, WRITABLE } from '#reactor/loop.ts';
import { allocateSlab } from '#reactor/memory.ts';
import {
  closeSocket,
  receiveInto,
  sendFrom,
  setLinger0,
  shutdownWrite,
  socketError,
} from '#reactor/socket.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';

import type { Place } from './world.ts';

/** All that a socket needs to know of where it is made. */
type Home = Pick<Place, 'netns'>;

// Shorter than mocha's own, so that the message says what was missing.
const DEADLINE_MS = 20_000;
/** In which a way that is not full takes more. */
const FULL_MS = 20;

export interface ListenRequest {
  readonly port: number;
  /** Default `::`, which takes IPv4 too. */
  readonly ip?: string;
  readonly mark?: number;
}

export interface DialRequest {
  readonly ip: string;
  readonly port: number;
  /** Source address, one of the machine's or not. */
  readonly from?: string;
  readonly mark?: number;
}

/** TCP sockets inside the namespaces of the bed, held by the test itself. Closed with `dispose`. */
export class BedSockets implements Disposable {
  readonly #loop: Loop;
  readonly #open = new Set<number>();
  readonly #waiting = new Set<EventHandler>();
  readonly #slab = allocateSlab(4_096);

  private constructor(loop: Loop) {
    this.#loop = loop;
    loop.start();
  }

  static async open(): Promise<BedSockets> {
    return new BedSockets(await openThreadLoop());
  }

  /** Opens a listener; throws when the kernel refuses. */
  listen(place: Home, request: ListenRequest): number {
    const made = inside(place, () =>
      listenTcp({
        address: socketAddress(request.ip ?? '::', request.port),
        mark: request.mark,
        transparent: false,
        reusePort: false,
        backlog: 16,
      }),
    );
    if ('errno' in made) throw new Error(`${made.call}: ${errnoName(made.errno)}`);
    return this.#track(made.fd);
  }

  /** The next connection of a listener. */
  async accept(listener: number): Promise<number> {
    await this.#until(listener, READABLE, 'a connection');
    const fd = acceptTcp(listener);
    invariant(fd >= 0, `accept: ${errnoName(fd)}`);
    return this.#track(fd);
  }

  /** Is a connection waiting to be accepted? For what must not happen. */
  isIdle(listener: number): boolean {
    const fd = acceptTcp(listener);
    if (fd >= 0) closeSocket(fd);
    return fd < 0;
  }

  /** An established connection, or the name of the error. */
  async dial(place: Home, request: DialRequest): Promise<number | string> {
    const made = inside(place, () =>
      connectTcp({
        to: socketAddress(request.ip, request.port),
        from: request.from === undefined ? undefined : socketAddress(request.from, 0),
        mark: request.mark,
      }),
    );
    if ('errno' in made) return errnoName(made.errno);
    this.#track(made.fd);
    await this.#until(made.fd, WRITABLE, `an answer from ${request.ip}:${request.port}`);
    const error = socketError(made.fd);
    return error === 0 ? made.fd : errnoName(error);
  }

  /** The same for connections that must succeed. */
  async mustDial(place: Home, request: DialRequest): Promise<number> {
    const fd = await this.dial(place, request);
    if (typeof fd === 'number') return fd;
    throw new Error(`Cannot connect to ${request.ip}:${request.port}: ${fd}`);
  }

  /** Sends a short text through one end and returns what arrives at the other. */
  async carry(from: number, to: number, text: string): Promise<string> {
    this.send(from, text);
    return this.receive(to, `"${text}"`);
  }

  /** Sends a short text. */
  send(fd: number, text: string): void {
    const length = this.#slab.bytes.write(text);
    sendFrom(fd, this.#slab, 0, length);
  }

  /** Sends `count` bytes, as the socket takes them. */
  async sendBytes(fd: number, count: number): Promise<void> {
    for (let left = count; left > 0; ) {
      await this.#until(fd, WRITABLE, 'room');
      const sent = sendFrom(fd, this.#slab, 0, Math.min(left, this.#slab.size));
      if (sent < 0) throw new Error(`Instead of sending: ${errnoName(sent)}`);
      left -= sent;
    }
  }

  /** Sends until the way to a reader that does not read is full: for a while nothing is taken. */
  async fill(fd: number): Promise<void> {
    for (let idle = false; !idle; ) {
      idle = true;
      while (sendFrom(fd, this.#slab, 0, this.#slab.size) > 0) idle = false;
      await new Promise((resolve) => setTimeout(resolve, FULL_MS));
    }
  }

  /** What comes next: a text, empty at the end of the stream, or the name of an error. */
  async receive(fd: number, what = 'anything'): Promise<string> {
    await this.#until(fd, READABLE, what);
    const received = receiveInto(fd, this.#slab, 0, this.#slab.size);
    return received < 0 ? errnoName(received) : this.#slab.bytes.toString('utf8', 0, received);
  }

  /** The same for what is not text: empty at the end of the stream. */
  async receiveBytes(fd: number, what = 'anything'): Promise<Buffer> {
    await this.#until(fd, READABLE, what);
    const received = receiveInto(fd, this.#slab, 0, this.#slab.size);
    if (received < 0) throw new Error(`Instead of ${what} came ${errnoName(received)}`);
    return Buffer.from(this.#slab.bytes.subarray(0, received));
  }

  /** Ends our direction; the other stays open. */
  finish(fd: number): void {
    shutdownWrite(fd);
  }

  /** Closes it with a reset, as the kernel does for a program that dies. */
  reset(fd: number): void {
    setLinger0(fd);
    this.close(fd);
  }

  /** `ip:port` of both ends, as this one sees them. */
  ends(fd: number): { readonly local: string; readonly remote: string } {
    const [local, remote] = [localAddress(fd), peerAddress(fd)];
    invariant(local !== undefined && remote !== undefined, 'the socket is connected');
    return { local: formatSocketAddress(local), remote: formatSocketAddress(remote) };
  }

  close(fd: number): void {
    if (this.#open.delete(fd)) closeSocket(fd);
  }

  /** Closes all sockets, and stays usable. */
  closeAll(): void {
    for (const handler of this.#waiting) this.#loop.remove(handler);
    this.#waiting.clear();
    for (const fd of this.#open) closeSocket(fd);
    this.#open.clear();
  }

  [Symbol.dispose](): void {
    this.closeAll();
    this.#loop.stop();
  }

  #track(fd: number): number {
    this.#open.add(fd);
    return fd;
  }

  async #until(fd: number, interest: number, what: string): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const handler: EventHandler = {
      fd,
      onEvents: () => {
        this.#forget(handler);
        this.#loop.returnToNode(); // the promise below belongs to Node's loop
        resolve();
      },
    };
    this.#waiting.add(handler);
    this.#loop.add(handler, interest);
    const timer = setTimeout(() => {
      this.#forget(handler);
      reject(new Error(`Waited ${DEADLINE_MS} ms for ${what}`));
    }, DEADLINE_MS);
    await promise.finally(() => clearTimeout(timer));
  }

  #forget(handler: EventHandler): void {
    this.#waiting.delete(handler);
    this.#loop.remove(handler);
  }
}

function inside<T>(place: Home, work: () => T): T {
  const netns = openNetns(place.netns);
  try {
    return inNetns(netns, work);
  } finally {
    closeSync(netns);
  }
}

function socketAddress(text: string, port: number): SocketAddress {
  const ip = parseIp(text);
  invariant(ip !== undefined, `"${text}" is an IP address`);
  return { ip, port };
}
