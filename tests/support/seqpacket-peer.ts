import { close } from '#linux/libc.ts';
import {
  acceptSeqpacket,
  listenSeqpacket,
  type Received,
  receivePacket,
  sendPacket,
} from '#linux/seqpacket.ts';
import { type EventHandler, type Loop, READABLE } from '#reactor/loop.ts';

/** What arrives, for a test to await in order. */
class Inbox<T> {
  readonly #arrived: T[] = [];
  readonly #waiting: ((item: T) => void)[] = [];
  readonly #loop: Loop;

  constructor(loop: Loop) {
    this.#loop = loop;
  }

  get length(): number {
    return this.#arrived.length;
  }

  put(item: T): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#arrived.push(item);
    else waiting(item);
    this.#loop.returnToNode();
  }

  take(): Promise<T> {
    const item = this.#arrived.shift();
    if (item !== undefined) return Promise.resolve(item);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

/** One accepted connection: says whatever a test wants, protocol or not. */
export class SeqpacketPeer implements EventHandler {
  readonly fd: number;
  /** Descriptors that have come with packets; closed with the peer. */
  readonly received: number[] = [];
  readonly #loop: Loop;
  readonly #inbox: Inbox<Received>;

  constructor(fd: number, loop: Loop) {
    this.fd = fd;
    this.#loop = loop;
    this.#inbox = new Inbox(loop);
    loop.add(this, READABLE);
  }

  onEvents(): void {
    const received = receivePacket(this.fd, 4_096, 1);
    if (received.kind === 'packet') this.received.push(...received.fds);
    else this.#loop.remove(this);
    this.#inbox.put(received);
  }

  send(bytes: Uint8Array | string, fds: readonly number[] = []): void {
    const packet = typeof bytes === 'string' ? Buffer.from(bytes, 'hex') : bytes;
    if (sendPacket(this.fd, packet, fds) < 0) throw new Error('The peer takes nothing');
  }

  /** The next packet as hexadecimal text, or the kind of what came instead. */
  async next(): Promise<string> {
    const received = await this.#inbox.take();
    return received.kind === 'packet' ? Buffer.from(received.bytes).toString('hex') : received.kind;
  }

  /** Packets that have arrived and were not taken. */
  get unread(): number {
    return this.#inbox.length;
  }

  close(): void {
    this.#loop.remove(this);
    for (const fd of [...this.received, this.fd]) close(fd);
  }
}

/** A SEQPACKET server that a test speaks for. */
export class SeqpacketServer implements EventHandler {
  readonly fd: number;
  readonly #loop: Loop;
  readonly #accepted: Inbox<SeqpacketPeer>;

  constructor(path: string, loop: Loop) {
    const opened = listenSeqpacket(path, { mode: 0o600 });
    if ('errno' in opened) throw new Error(`Cannot listen at ${path}: ${opened.errno}`);
    this.fd = opened.fd;
    this.#loop = loop;
    this.#accepted = new Inbox(loop);
    loop.add(this, READABLE);
  }

  onEvents(): void {
    const fd = acceptSeqpacket(this.fd);
    if (fd >= 0) this.#accepted.put(new SeqpacketPeer(fd, this.#loop));
  }

  accept(): Promise<SeqpacketPeer> {
    return this.#accepted.take();
  }

  close(): void {
    this.#loop.remove(this);
    close(this.fd);
  }
}
