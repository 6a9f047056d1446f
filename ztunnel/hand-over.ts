import { rmSync, statSync } from 'node:fs';

import { EAGAIN, errnoName } from '#linux/libc.ts';
import {
  acceptSeqpacket,
  connectSeqpacket,
  listenSeqpacket,
  peerCredentials,
} from '#linux/seqpacket.ts';
import { receiveState, sendState } from '#reactor/hand-over.ts';
import { type EventHandler, type Loop, READABLE } from '#reactor/loop.ts';
import { ChannelError, PacketChannel } from '#reactor/packet-channel.ts';
import { closeSocket } from '#reactor/socket.ts';
import type { Timer } from '#reactor/timers.ts';

/** Raise it whenever the state changes shape: processes of different versions don't exchange states. */
export const HAND_OVER_VERSION = 5;

/** A state and the descriptors that it names. */
export interface Handed {
  readonly state: unknown;
  readonly descriptors: readonly number[];
}

/** What the old process does; each step is awaited. */
export interface Giver {
  /** What can be told while everything goes on. */
  early(): unknown;
  /** Somebody asked who does not get it; nothing has changed. */
  refused(successorPid: number, reason: string): void;
  /** Freezes everything and tells it. A throw leaves nothing frozen. */
  freeze(): Promise<Handed>;
  /** The successor is ready: let go of what two processes can't both have. Must not fail. */
  prepareToGo(): void;
  /** It did not come to that after all, or the successor broke off: go on as before. */
  thaw(reason: string): void;
  /** The successor has everything: close our copies and end. Must not fail: there is no way back. */
  released(successorPid: number): Promise<void>;
}

type Message =
  | { readonly kind: 'hello'; readonly version: number }
  | { readonly kind: 'welcome' }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'request' }
  | { readonly kind: 'adopted' }
  | { readonly kind: 'go' }
  | { readonly kind: 'taken' };

const GREETING_DEADLINE_MS = 2_000;
/** The successor takes up what it was told early. Nothing stands still meanwhile. */
const EARLY_DEADLINE_MS = 4_000;
const ACCEPT_PAUSE_MS = 100;
/** From the freeze until the successor serves. Everything stands still meanwhile. */
const TRANSFER_DEADLINE_MS = 3_000;
/** The old process has stopped its handshakes and collects its state before it sends the first packet. */
const STATE_DEADLINE_MS = 10_000;

interface Listening {
  readonly fd: number;
  readonly path: string;
}

/**
 * The old process's side: listens on a socket that only its own user can connect to, and gives everything to
 * whoever asks for it and speaks our version.
 *
 * ```
 * successor            predecessor
 *   hello      ─────▶
 *              ◀─────  welcome (or refused, with the reason), early state
 *   takes that up
 *   request    ─────▶
 *                      freezes
 *              ◀─────  state, descriptors
 *   builds it all, frozen
 *   adopted    ─────▶
 *                      lets go of its ports and of the agent
 *              ◀─────  go
 *   taken      ─────▶                        ── the one point of no return ──
 *   serves             closes its copies, ends
 * ```
 *
 * Whoever lives decides: the successor serves once the kernel has accepted its `taken`, and a predecessor that
 * has not got it shuts the channel first, so that it can't come any more, and goes on. There is no moment in
 * which both, or neither, own a connection, wherever either of them stops or dies.
 */
export class HandOverServer implements EventHandler, Timer {
  readonly fd: number;
  readonly #loop: Loop;
  readonly #giver: Giver;
  readonly #path: string;
  readonly #place: string | undefined;
  #busy = false;
  #closed = false;

  private constructor(loop: Loop, { fd, path }: Listening, giver: Giver) {
    this.#loop = loop;
    this.fd = fd;
    this.#path = path;
    this.#place = placeOf(path);
    this.#giver = giver;
    loop.add(this, READABLE);
  }

  /** Listens at `path`; a text says why that can't be. */
  static listen(loop: Loop, path: string, giver: Giver): HandOverServer | string {
    const opened = listenSeqpacket(path, { mode: 0o600 });
    if (!('fd' in opened)) {
      return `cannot listen for a successor at "${path}": ${opened.call}: ${errnoName(opened.errno)}`;
    }
    return new HandOverServer(loop, { fd: opened.fd, path }, giver);
  }

  onEvents(): void {
    const fd = acceptSeqpacket(this.fd);
    if (fd === -EAGAIN) return;
    if (fd < 0) {
      // Out of descriptors: the listener stays ready, so looking away is the only way not to spin.
      this.#loop.remove(this);
      this.#loop.timers.schedule(this, this.#loop.nowMs + ACCEPT_PAUSE_MS);
      return;
    }
    // What follows is promises, which need Node's loop.
    this.#loop.returnToNode();
    const credentials = peerCredentials(fd);
    const allowed = credentials !== undefined && credentials.uid === process.geteuid?.();
    if (!allowed || this.#busy) {
      closeSocket(fd);
      return;
    }
    this.#busy = true;
    const channel = new PacketChannel(this.#loop, fd);
    this.#serve(channel, credentials.pid)
      .catch(() => undefined)
      .finally(() => {
        channel.close();
        this.#busy = false;
      });
  }

  onTimer(): void {
    this.#loop.add(this, READABLE);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#loop.timers.cancel(this);
    this.#loop.remove(this);
    closeSocket(this.fd);
    // Left behind, it would look like somebody who serves. Another process may have the path by now.
    if (this.#place === undefined || placeOf(this.#path) !== this.#place) return;
    try {
      rmSync(this.#path);
    } catch {
      // Then the next process finds that nobody listens.
    }
  }

  async #serve(channel: PacketChannel, pid: number): Promise<void> {
    const greetingMs = performance.now() + GREETING_DEADLINE_MS;
    const hello = await receive(channel, greetingMs);
    if (hello.kind !== 'hello') return;
    if (hello.version !== HAND_OVER_VERSION) {
      const reason = `it hands over in version ${HAND_OVER_VERSION}, and was asked in version ${hello.version}`;
      this.#giver.refused(pid, reason);
      await send(channel, { kind: 'refused', reason }, greetingMs);
      return;
    }
    await send(channel, { kind: 'welcome' }, greetingMs);
    const earlyMs = performance.now() + EARLY_DEADLINE_MS;
    await sendState(channel, this.#giver.early(), [], earlyMs);
    const request = await receive(channel, earlyMs);
    if (request.kind !== 'request') return;
    const handed = await this.#giver.freeze();
    try {
      const deadlineMs = performance.now() + TRANSFER_DEADLINE_MS;
      await sendState(channel, handed.state, handed.descriptors, deadlineMs);
      const adopted = await receive(channel, deadlineMs);
      if (adopted.kind !== 'adopted') throw new ChannelError(`got "${adopted.kind}" for "adopted"`);
      this.#giver.prepareToGo();
      await send(channel, { kind: 'go' }, deadlineMs);
      await receiveTaken(channel, deadlineMs);
    } catch (error) {
      this.#giver.thaw(error instanceof Error ? error.message : String(error));
      return;
    }
    await this.#giver.released(pid);
  }
}

/** Which file stands at a path; undefined: none that can be seen. */
function placeOf(path: string): string | undefined {
  try {
    const { dev, ino } = statSync(path);
    return `${dev} ${ino}`;
  } catch {
    return undefined;
  }
}

async function receiveTaken(channel: PacketChannel, deadlineMs: number): Promise<void> {
  let answer: Message;
  try {
    answer = await receive(channel, deadlineMs);
  } catch (error) {
    // It may be sending it just now: after this it has, or can't any more.
    channel.refuseMore();
    answer = await receive(channel, deadlineMs).catch(() => {
      throw error;
    });
  }
  if (answer.kind !== 'taken') throw new ChannelError(`got "${answer.kind}" for "taken"`);
}

/** How asking a predecessor ended before anything was taken. */
export type TakeOver =
  /** Nobody listens: this process is the first. */
  | { readonly kind: 'nobody' }
  /** There is one, and it does not hand over to us. It goes on. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** Everything is here and is served by nobody until {@link TakenOver.confirm}. */
  | {
      readonly kind: 'taken';
      readonly handed: Handed;
      /** Overwrites the received keys; call it when the state's byte arrays have been copied. */
      readonly wipe: () => void;
      readonly taken: TakenOver;
    };

export interface TakenOver {
  /**
   * Says that everything has been built, waits for the predecessor's word, and takes it. True: it is ours.
   * False: it is the predecessor's; nothing of it may be touched, only closed.
   */
  confirm(): Promise<boolean>;
  /** It can't be built: the predecessor goes on. */
  abandon(): void;
}

/**
 * The new process's side: asks whoever listens at `path` for everything. `takeEarly` gets what the predecessor
 * tells while it still serves, and is awaited. Throws when it breaks off.
 */
export async function takeOver(
  loop: Loop,
  path: string,
  takeEarly: (early: unknown) => Promise<void>,
): Promise<TakeOver> {
  const opened = connectSeqpacket(path);
  if (!('fd' in opened)) {
    const name = errnoName(opened.errno);
    if (name === 'ENOENT' || name === 'ECONNREFUSED') return { kind: 'nobody' };
    throw new ChannelError(`cannot reach the predecessor at "${path}": ${opened.call}: ${name}`);
  }
  const channel = new PacketChannel(loop, opened.fd);
  try {
    const greetingMs = performance.now() + GREETING_DEADLINE_MS;
    await send(channel, { kind: 'hello', version: HAND_OVER_VERSION }, greetingMs);
    const welcome = await receive(channel, greetingMs);
    if (welcome.kind === 'refused') {
      channel.close();
      return { kind: 'refused', reason: welcome.reason };
    }
    if (welcome.kind !== 'welcome') throw new ChannelError(`got "${welcome.kind}" for "welcome"`);
    const early = await receiveState(channel, performance.now() + EARLY_DEADLINE_MS);
    await takeEarly(early.state).finally(early.wipe);
    await send(channel, { kind: 'request' }, performance.now() + GREETING_DEADLINE_MS);
    const { wipe, ...handed } = await receiveState(channel, performance.now() + STATE_DEADLINE_MS);
    return { kind: 'taken', handed, wipe, taken: new Confirmation(channel) };
  } catch (error) {
    channel.close();
    throw error;
  }
}

class Confirmation implements TakenOver {
  readonly #channel: PacketChannel;

  constructor(channel: PacketChannel) {
    this.#channel = channel;
  }

  async confirm(): Promise<boolean> {
    const deadlineMs = performance.now() + TRANSFER_DEADLINE_MS;
    try {
      await send(this.#channel, { kind: 'adopted' }, deadlineMs);
      const answer = await receive(this.#channel, deadlineMs);
      if (answer.kind !== 'go') return false;
      await send(this.#channel, { kind: 'taken' }, deadlineMs);
      return true;
    } catch {
      // Whatever went wrong, our word is not on its way, and the predecessor goes on.
      return false;
    } finally {
      this.#channel.close();
    }
  }

  abandon(): void {
    this.#channel.close();
  }
}

function send(channel: PacketChannel, message: Message, deadlineMs: number): Promise<void> {
  return channel.send(Buffer.from(JSON.stringify(message)), [], deadlineMs);
}

const kinds: ReadonlySet<unknown> = new Set([
  'hello',
  'welcome',
  'refused',
  'request',
  'adopted',
  'go',
  'taken',
]);

async function receive(channel: PacketChannel, deadlineMs: number): Promise<Message> {
  const { bytes, fds } = await channel.receive(deadlineMs);
  for (const fd of fds) closeSocket(fd);
  let message: unknown;
  try {
    message = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    throw new ChannelError('got a packet that is not a message');
  }
  if (typeof message !== 'object' || message === null || !('kind' in message)) {
    throw new ChannelError('got a packet that is not a message');
  }
  if (!kinds.has(message.kind)) throw new ChannelError('got an unknown message');
  return message as Message;
}
