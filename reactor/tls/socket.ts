import { invariant, unreachable } from '#common/assert.ts';
import { EAGAIN, EIO, ETIMEDOUT, errnoName, errnoText } from '#linux/libc.ts';

import {
  type EventHandler,
  FAILED,
  HUNG_UP,
  type Loop,
  READABLE,
  type TurnEnd,
  WRITABLE,
} from '../loop.ts';
import type { Slab } from '../memory.ts';
import { SendWatch } from '../send-watch.ts';
import { closeSocket, receiveInto, shutdownWrite, socketError } from '../socket.ts';
import type { Timer } from '../timers.ts';
import { Alert, alertName } from './alert.ts';
import type { TlsBuffers } from './buffers.ts';
import { CLOSE_TIMEOUT_MS, CloseWait } from './close-wait.ts';
import type { TlsContext } from './context.ts';
import type { TlsEnd, TlsEvents } from './events.ts';
import { Handshake, type HandshakeDone, type TlsRole } from './handshake.ts';
import { type IncomingEnd, IncomingRecords, type IncomingState } from './incoming.ts';
import { type CipherSuite, cipherSuites } from './key-schedule.ts';
import { Outbox } from './outbox.ts';
import { OutgoingRecords, sealAlert } from './outgoing.ts';
import { RecordKeys } from './record.ts';

export type { TlsBuffers } from './buffers.ts';
export type { TlsEnd, TlsEvents } from './events.ts';

/** The keys of one direction. */
export interface DirectionState {
  /** The current traffic secret. */
  readonly secret: Uint8Array;
  /** Number of the next record under it. */
  readonly sequence: number;
}

/** An open connection as data, for another process; structured clone takes it as it is. Secret. */
export interface TlsSocketState {
  readonly role: TlsRole;
  readonly suite: CipherSuite['name'];
  readonly reading: DirectionState & IncomingState;
  readonly writing: DirectionState & {
    readonly recordsPerKeyMax: number;
    readonly keyUpdateOwed: boolean;
    /** Sealed records that the socket has not taken. */
    readonly waiting: Uint8Array;
  };
  readonly readingPaused: boolean;
}

type State = 'connecting' | 'handshaking' | 'open' | 'closing' | 'closed';

/** Bytes that a peer may send in a handshake: a full chain and the rest of its messages. */
const HANDSHAKE_BYTES_MAX = 131_072;
/** Bytes of one read in a handshake. What comes behind the last flight is at most this much. */
const HANDSHAKE_READ_MAX = 32_768;
/** Reads that are thrown away before a refused connection is closed, so that the alert is not lost. */
const DISCARD_READS_MAX = 4;

/**
 * A TLS 1.3 connection on a socket of ours: OpenSSL's handshake, then records of our own.
 *
 * connecting ──▶ handshaking ──▶ open ──end(), or close_notify with bytes waiting──▶ closing ──▶ closed
 *      └───────────────┴───────────┴─────────── any error, destroy(), release() ───────────────────▶
 */
export class TlsSocket implements EventHandler, Timer, TurnEnd {
  readonly fd: number;
  readonly #loop: Loop;
  readonly #buffers: TlsBuffers;
  readonly #events: TlsEvents;
  readonly #role: TlsRole;
  readonly #outbox: Outbox;
  #state: State;
  #frozen = false;
  #paused = false;
  /** Out of the loop until reading goes on: the kernel reports a hang-up again and again. */
  #parked = false;
  /** The owner has seen `blocked` and waits for onTlsDrained. */
  #drainedOwed = false;
  /** The peer has sent close_notify; nothing of it is read any more. */
  #peerClosed = false;
  #finSent = false;
  readonly #sending = new SendWatch();
  #closeWait: CloseWait | undefined;
  #handshakeBytes = 0;
  /** Until the handshake begins, so that a silent peer costs no TLS state. */
  #context: TlsContext | undefined;
  #handshake: Handshake | undefined;
  #incoming: IncomingRecords | undefined;
  #outgoing: OutgoingRecords | undefined;

  private constructor(
    loop: Loop,
    buffers: TlsBuffers,
    fd: number,
    events: TlsEvents,
    role: TlsRole,
    state: State,
  ) {
    this.fd = fd;
    this.#loop = loop;
    this.#buffers = buffers;
    this.#events = events;
    this.#role = role;
    this.#state = state;
    this.#outbox = new Outbox(fd, buffers.waiting);
  }

  /**
   * The client's side of `fd`, whose connect() is in progress or done. The handshake must be over
   * `deadlineMs` milliseconds from now.
   */
  static connect(
    loop: Loop,
    buffers: TlsBuffers,
    context: TlsContext,
    fd: number,
    events: TlsEvents,
    deadlineMs: number,
  ): TlsSocket {
    const socket = new TlsSocket(loop, buffers, fd, events, 'client', 'connecting');
    socket.#begin(context, deadlineMs);
    return socket;
  }

  /** The server's side of `fd`, which accept() gave; otherwise as {@link connect}. */
  static accept(
    loop: Loop,
    buffers: TlsBuffers,
    context: TlsContext,
    fd: number,
    events: TlsEvents,
    deadlineMs: number,
  ): TlsSocket {
    const socket = new TlsSocket(loop, buffers, fd, events, 'server', 'handshaking');
    socket.#begin(context, deadlineMs);
    return socket;
  }

  /** Continues another process's connection, frozen until {@link thaw}: its owner gets ready first. */
  static restore(
    loop: Loop,
    buffers: TlsBuffers,
    state: TlsSocketState,
    fd: number,
    events: TlsEvents,
  ): TlsSocket {
    const socket = new TlsSocket(loop, buffers, fd, events, state.role, 'open');
    socket.#import(state);
    return socket;
  }

  get state(): State {
    return this.#state;
  }

  /**
   * Ciphertext waits for the socket. Write only bounded control traffic until onTlsDrained: it queues, up
   * to 4 MiB in all, and more ends the connection.
   */
  get blocked(): boolean {
    return this.#outbox.waitingBytes > 0 && !this.#outbox.held;
  }

  /**
   * Sends `slab.bytes[start, end)`. `slab.bytes[end]` must exist; it changes during the call and is
   * restored. Ignored unless the connection is open. While frozen it queues, and only before `export()`.
   */
  write(slab: Slab, start: number, end: number): void {
    if (this.#state !== 'open' || this.#outgoing === undefined) return;
    this.#outgoing.write(slab, start, end);
    this.#afterSend();
  }

  /** No onPlaintext until resumeReading(). The connection may end all the same. */
  pauseReading(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.#updateInterest();
  }

  resumeReading(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#updateInterest();
    this.#readKept();
  }

  /**
   * Milliseconds since the peer took something of what waits for it, as far as the calls have seen it; undefined
   * when it has everything.
   */
  waitedMs(nowMs: number): number | undefined {
    if (this.#isClosed()) return undefined;
    return this.#sending.waitedMs(this.fd, this.#outbox.waitingBytes, nowMs);
  }

  /**
   * Says that we are done: close_notify and FIN behind what waits. Reads on until the peer's end: as long as it
   * takes something at least every minute, and for 1 s when it has everything and says nothing.
   */
  end(): void {
    if (this.#state === 'connecting' || this.#state === 'handshaking') {
      this.#finish({ kind: 'closed' });
    } else if (this.#state === 'open') {
      this.#close();
      this.#updateInterest();
    }
  }

  /** Closes the descriptor at once and forgets everything; no event follows. */
  destroy(): void {
    this.#shut();
  }

  /** No system call touches the connection until thaw(). Not from within onPlaintext. */
  freeze(): void {
    invariant(this.#state !== 'closed' && !this.#frozen, 'a live connection is frozen once');
    this.#frozen = true;
    this.#outbox.held = true;
    this.#loop.remove(this);
  }

  /** Goes on as if nothing had happened. */
  thaw(): void {
    invariant(this.#frozen, 'only a frozen connection is thawed');
    if (this.#state === 'closed') return;
    this.#frozen = false;
    this.#outbox.held = false;
    this.#parked = false;
    if (this.blocked) this.#drainedOwed = true;
    this.#loop.add(this, this.#interest());
    this.#readKept();
  }

  /** The connection as data. It stays usable: thaw() when the other process does not take it. */
  export(): TlsSocketState {
    const incoming = this.#incoming;
    const outgoing = this.#outgoing;
    invariant(
      this.#state === 'open' && this.#frozen && incoming !== undefined && outgoing !== undefined,
      'only an open, frozen connection is exported',
    );
    invariant(incoming.end === undefined, 'a connection that has ended is not exported');
    return {
      role: this.#role,
      suite: incoming.keys.suite.name,
      reading: { ...direction(incoming.keys), ...incoming.export() },
      writing: {
        ...direction(outgoing.keys),
        recordsPerKeyMax: outgoing.recordsPerKeyMax,
        keyUpdateOwed: outgoing.keyUpdateOwed,
        waiting: this.#outbox.export(),
      },
      readingPaused: this.#paused,
    };
  }

  /** Another process has the connection: closes our copy of the descriptor, sends nothing, no event. */
  release(): void {
    this.#shut();
  }

  onEvents(events: number): void {
    if (this.#state === 'connecting') {
      this.#connected();
      return;
    }
    if ((events & WRITABLE) !== 0) this.#drain();
    if ((events & ~WRITABLE) === 0 || this.#frozen) return;
    if (this.#state === 'handshaking') this.#readHandshake(events);
    else if (this.#state === 'open' || this.#state === 'closing') this.#readable(events);
  }

  /** Data that was kept is taken, and failed sends are told, outside of the owner's calls. */
  onTurnEnd(): void {
    if (this.#frozen || this.#incoming === undefined) return;
    if (this.#incoming.ready && !this.#paused) this.#open(this.#incoming.lay());
    if (this.#broken()) this.#tellBroken();
  }

  onTimer(nowMs: number): void {
    if (this.#state === 'closing') this.#awaitClose(nowMs);
    else if (this.#state === 'connecting') this.#failErrno(ETIMEDOUT);
    else this.#fail('TLS_TIMEOUT', 'The handshake has not ended in time');
  }

  onFault(): void {
    this.#fail('TLS_INTERNAL_ERROR', 'Our own code has failed');
  }

  #begin(context: TlsContext, deadlineMs: number): void {
    context.retain();
    this.#context = context;
    // `loop.nowMs` is as old as the loop's last turn, and this may be a call from Node's side.
    this.#loop.timers.schedule(this, performance.now() + deadlineMs);
    this.#loop.add(this, this.#interest());
  }

  #import(state: TlsSocketState): void {
    const suite = cipherSuites.find((one) => one.name === state.suite);
    invariant(suite !== undefined, `a suite that we know, not ${state.suite}`);
    const { reading, writing } = state;
    this.#incoming = new IncomingRecords(
      new RecordKeys(suite, reading.secret, false, reading.sequence),
      state.role === 'client',
      this.#buffers,
      reading,
    );
    this.#outgoing = this.#outgoingWith(
      new RecordKeys(suite, writing.secret, true, writing.sequence),
      writing.recordsPerKeyMax,
    );
    this.#outgoing.keyUpdateOwed = writing.keyUpdateOwed;
    this.#outbox.keep(writing.waiting, 0, writing.waiting.length);
    this.#paused = state.readingPaused;
    this.#frozen = true;
    this.#outbox.held = true;
  }

  #connected(): void {
    const error = socketError(this.fd);
    if (error !== 0) {
      this.#failErrno(error);
      return;
    }
    this.#state = 'handshaking';
    this.#advance();
  }

  #readHandshake(events: number): void {
    const { ciphertextIn } = this.#buffers;
    const received = receiveInto(this.fd, ciphertextIn, 0, HANDSHAKE_READ_MAX);
    if (received === -EAGAIN && (events & FAILED) === 0) return;
    if (received <= 0) {
      const error = received === -EAGAIN ? socketError(this.fd) : received;
      if (error < 0) this.#failErrno(error);
      else this.#fail('TLS_HANDSHAKE_CUT', 'The peer has closed during the handshake');
      return;
    }
    this.#handshakeBytes += received;
    if (this.#handshakeBytes > HANDSHAKE_BYTES_MAX) {
      this.#fail('TLS_HANDSHAKE_TOO_LARGE', `More than ${HANDSHAKE_BYTES_MAX} bytes of handshake`);
      return;
    }
    this.#startedHandshake().receive(ciphertextIn, 0, received);
    this.#advance();
  }

  #startedHandshake(): Handshake {
    if (this.#handshake === undefined) {
      invariant(this.#context !== undefined, 'a handshake has a context');
      this.#handshake = new Handshake(this.#context, this.#role);
    }
    return this.#handshake;
  }

  #advance(): void {
    const handshake = this.#startedHandshake();
    const step = handshake.step();
    // A client's last flight waits for the owner's word.
    this.#outbox.held =
      step.kind === 'done' || (step.kind === 'failed' && step.alert !== undefined);
    const out = this.#buffers.ciphertextOut;
    for (let length = handshake.takeOutput(out); length > 0; length = handshake.takeOutput(out)) {
      this.#outbox.send(out, 0, length);
    }
    switch (step.kind) {
      case 'continue':
        if (this.#outbox.failure !== 0) this.#failErrno(this.#outbox.failure);
        else this.#updateInterest();
        return;
      case 'done':
        this.#opened(handshake, step);
        return;
      case 'alert':
        this.#finish(step);
        return;
      case 'failed':
        if (step.alert !== undefined) this.#alertInHandshake(handshake, step.alert);
        this.#refuse(step.code, step.message);
        return;
      default:
        unreachable(step);
    }
  }

  #opened(handshake: Handshake, { suite, peer }: HandshakeDone): void {
    const { secrets } = handshake;
    const client = secrets.get('client');
    const server = secrets.get('server');
    invariant(client !== undefined && server !== undefined, 'OpenSSL has told the secrets');
    const isClient = this.#role === 'client';
    const reading = new RecordKeys(suite, isClient ? server : client, false);
    const writing = new RecordKeys(suite, isClient ? client : server, true);
    invariant(this.#context !== undefined, 'a handshake has a context');
    this.#incoming = new IncomingRecords(reading, isClient, this.#buffers);
    this.#outgoing = this.#outgoingWith(writing, this.#context.recordsPerKeyMax);
    const unread = handshake.takeUnread(this.#buffers.ciphertextIn);
    if (unread > 0) this.#incoming.keep(this.#buffers.ciphertextIn.bytes.subarray(0, unread));
    this.#loop.timers.cancel(this);
    this.#state = 'open';

    const refusal = this.#events.onTlsOpen(peer);
    if (this.#isClosed()) return;
    if (refusal !== undefined) {
      this.#alertInHandshake(handshake, Alert.accessDenied, suite);
      this.#refuse('TLS_PEER_REFUSED', refusal);
      return;
    }
    this.#endHandshake();
    this.#outbox.held = this.#frozen;
    this.#outbox.flush();
    this.#afterSend();
    this.#updateInterest();
    this.#readKept();
  }

  #outgoingWith(keys: RecordKeys, recordsPerKeyMax: number): OutgoingRecords {
    return new OutgoingRecords(keys, recordsPerKeyMax, this.#outbox, this.#buffers);
  }

  /**
   * Refuses a peer whose handshake OpenSSL has finished. A client has not sent its last flight, so the server
   * still reads with the handshake's keys.
   */
  #alertInHandshake(handshake: Handshake, alert: Alert, known?: CipherSuite): void {
    this.#outbox.clear();
    this.#outbox.held = false;
    const suite = known ?? handshake.suite();
    const name = this.#role === 'client' ? 'clientHandshake' : 'server';
    const secret = handshake.secrets.get(name);
    // Records that the owner has written meanwhile are gone, and a number is not used twice.
    const unused = this.#role === 'client' || (this.#outgoing?.keys.sequence ?? 0) === 0;
    if (secret === undefined || !unused) return;
    const keys = new RecordKeys(suite, secret, true);
    const out = this.#buffers.ciphertextOut;
    this.#outbox.send(out, 0, sealAlert(keys, alert, out));
    keys.free();
  }

  #readable(events: number): void {
    const incoming = this.#incoming;
    invariant(incoming !== undefined, 'an open connection has keys');
    if (this.#paused || this.#peerClosed) {
      this.#notReading(events);
      return;
    }
    // One read a turn: the slab holds as much as a turn should take, and the loop comes back.
    const { ciphertextIn } = this.#buffers;
    const kept = incoming.lay();
    const received = receiveInto(this.fd, ciphertextIn, kept, ciphertextIn.size - kept);
    if (this.#closeWait !== undefined && received > 0) this.#closeWait.heard = true;
    if (received > 0) this.#open(kept + received);
    else if (received === 0) this.#streamEnded();
    else if (received !== -EAGAIN) this.#failErrno(received);
    else if ((events & FAILED) !== 0) this.#failErrno(socketError(this.fd));
  }

  /** An error or a hang-up while nothing is read: it would be reported without end. */
  #notReading(events: number): void {
    if ((events & FAILED) !== 0) {
      this.#failErrno(socketError(this.fd));
    } else if ((events & HUNG_UP) !== 0) {
      this.#parked = true;
      this.#loop.remove(this);
    }
  }

  #open(length: number): void {
    const incoming = this.#incoming;
    const outgoing = this.#outgoing;
    invariant(incoming !== undefined && outgoing !== undefined, 'an open connection has keys');
    const filled = incoming.open(length);
    if (incoming.keyUpdateRequested) {
      incoming.keyUpdateRequested = false;
      outgoing.keyUpdateOwed = true;
    }
    if (filled > 0) this.#events.onPlaintext(this.#buffers.plaintext, 0, filled);
    if (incoming.end === undefined || this.#isClosed()) return;
    invariant(!this.#frozen, 'a connection is not frozen within onPlaintext');
    this.#ended(incoming.end, outgoing);
  }

  #ended(end: IncomingEnd, outgoing: OutgoingRecords): void {
    switch (end.kind) {
      case 'close-notify':
        this.#peerClosed = true;
        if (this.#state === 'open') this.#close();
        if (this.#outbox.waitingBytes === 0) this.#finish({ kind: 'closed' });
        else this.#updateInterest();
        return;
      case 'alert':
        this.#finish({ kind: 'alert', code: end.code, name: alertName(end.code) });
        return;
      case 'fault':
        if (!this.#finSent) outgoing.alert(end.alert);
        this.#refuse(end.code, end.message);
        return;
      default:
        unreachable(end);
    }
  }

  #streamEnded(): void {
    if (this.#broken()) {
      this.#tellBroken();
    } else if (this.#state === 'closing' && this.#outbox.waitingBytes > 0) {
      // It sends no more, and may still read.
      this.#peerClosed = true;
      this.#updateInterest();
    } else {
      this.#finish({ kind: 'truncated' });
    }
  }

  #readKept(): void {
    if (this.#incoming?.ready === true && !this.#paused) this.#loop.atTurnEnd(this);
  }

  /** Sends close_notify, and FIN behind what waits. */
  #close(): void {
    this.#state = 'closing';
    this.#closeWait = new CloseWait(this.#sending);
    this.#outgoing?.alert(Alert.closeNotify);
    this.#loop.timers.schedule(this, performance.now() + CLOSE_TIMEOUT_MS);
    this.#sendFin();
  }

  #awaitClose(nowMs: number): void {
    const queuedBytes = this.#outbox.waitingBytes;
    const socket = { fd: this.fd, queuedBytes, peerEnded: this.#peerClosed };
    if (this.#closeWait?.goesOn(socket, nowMs) === true) {
      this.#loop.timers.schedule(this, nowMs + CLOSE_TIMEOUT_MS);
    } else if (this.#peerClosed) {
      this.#finish({ kind: 'closed' });
    } else {
      this.#fail('TLS_TIMEOUT', 'The peer has not closed in time');
    }
  }

  #sendFin(): void {
    if (this.#finSent || this.#frozen || this.#outbox.waitingBytes > 0) return;
    this.#finSent = true;
    shutdownWrite(this.fd);
  }

  #drain(): void {
    if (!this.#outbox.flush()) return;
    this.#afterSend();
    if (this.#state === 'closing') {
      this.#sendFin();
      if (this.#peerClosed) {
        this.#finish({ kind: 'closed' });
        return;
      }
    }
    this.#updateInterest();
    if (this.#drainedOwed) {
      this.#drainedOwed = false;
      if (this.#state === 'open' && !this.#broken()) this.#events.onTlsDrained();
    }
  }

  #afterSend(): void {
    if (this.#broken()) this.#loop.atTurnEnd(this);
    else if (this.blocked) {
      this.#drainedOwed = true;
      this.#updateInterest();
    }
  }

  #broken(): boolean {
    return (this.#outbox.failure !== 0 || this.#outbox.overflown) && !this.#isClosed();
  }

  /** A send has failed. The peer's last bytes, and its reason, an alert, may have arrived before its reset. */
  #tellBroken(): void {
    if (this.#outbox.overflown) {
      this.#fail('TLS_WRITE_OVERFLOW', 'More was written than a blocked connection may keep');
      return;
    }
    const { ciphertextIn } = this.#buffers;
    for (;;) {
      const incoming = this.#incoming;
      if (incoming === undefined || this.#paused || this.#peerClosed) break;
      const kept = incoming.lay();
      const received = receiveInto(this.fd, ciphertextIn, kept, ciphertextIn.size - kept);
      if (received <= 0) break;
      this.#open(kept + received);
    }
    if (this.#peerClosed) this.#finish({ kind: 'closed' });
    else if (!this.#isClosed()) this.#failErrno(this.#outbox.failure);
  }

  /** Ends a connection whose peer has been sent an alert: it should arrive before a reset. */
  #refuse(code: string, message: string): void {
    if (this.#outbox.waitingBytes === 0) shutdownWrite(this.fd);
    const { ciphertextIn } = this.#buffers;
    for (let reads = 0; reads < DISCARD_READS_MAX; reads++) {
      if (receiveInto(this.fd, ciphertextIn, 0, ciphertextIn.size) <= 0) break;
    }
    this.#fail(code, message);
  }

  #failErrno(errno: number): void {
    const number = errno === 0 ? EIO : errno;
    this.#fail(errnoName(number), errnoText(number));
  }

  #fail(code: string, message: string): void {
    this.#finish({ kind: 'error', code, message });
  }

  #finish(end: TlsEnd): void {
    if (this.#isClosed()) return;
    this.#shut();
    this.#events.onTlsEnd(end);
  }

  #shut(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#loop.remove(this);
    this.#loop.timers.cancel(this);
    closeSocket(this.fd);
    this.#outbox.clear();
    this.#endHandshake();
    this.#incoming?.keys.free();
    this.#outgoing?.keys.free();
    this.#incoming = undefined;
    this.#outgoing = undefined;
  }

  #endHandshake(): void {
    this.#handshake?.free();
    this.#handshake = undefined;
    this.#context?.release();
    this.#context = undefined;
  }

  /** A method, so that the compiler does not remember the state across the owner's calls. */
  #isClosed(): boolean {
    return this.#state === 'closed';
  }

  #interest(): number {
    if (this.#state === 'connecting') return WRITABLE;
    const reads = this.#state === 'handshaking' || !(this.#paused || this.#peerClosed);
    return (reads ? READABLE : 0) | (this.blocked ? WRITABLE : 0);
  }

  #updateInterest(): void {
    if (this.#frozen || this.#state === 'closed') return;
    if (!this.#parked) {
      this.#loop.setInterest(this, this.#interest());
      return;
    }
    if (this.#paused || this.#peerClosed) return;
    this.#parked = false;
    this.#loop.add(this, this.#interest());
  }
}

function direction(keys: RecordKeys): DirectionState {
  return { secret: Uint8Array.from(keys.secret()), sequence: keys.sequence };
}
