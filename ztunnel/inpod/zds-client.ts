import { close, errnoName } from '#linux/libc.ts';
import { connectSeqpacket, type Received, receivePacket, sendPacket } from '#linux/seqpacket.ts';
import { type EventHandler, type Loop, READABLE } from '#reactor/loop.ts';
import type { Timer } from '#reactor/timers.ts';

import type { Outcome, Pods, PodsLog } from './pods.ts';
import { decodeRequest, encodeAck, encodeHello, PACKET_BYTES_MAX } from './zds-protocol.ts';

export interface ZdsClientOptions {
  readonly loop: Loop;
  /** The agent's SEQPACKET socket. */
  readonly path: string;
  readonly pods: Pods;
  readonly log: PodsLog;
  /** From 0 to 1; spreads the attempts of many nodes. Default `Math.random`. */
  readonly random?: () => number;
}

/** First delay before another attempt; it doubles with each one that fails. */
const RETRY_MS_MIN = 10;
/** Short enough that a restarted agent finds us before a pod's set-up gives up. */
const RETRY_MS_MAX = 15_000;
/** After an agent that broke the protocol: it would do so again at once. */
const VIOLATION_RETRY_MS_MIN = 1_000;
/** Attempts in a row that are logged; of those after them only each tenth, until there is a snapshot. */
const LOGGED_ATTEMPTS = 3;
const LOGGED_EACH = 10;
/** Of a delay, in either direction. */
const JITTER = 0.2;

/**
 * The conversation with the CNI agent, on the control thread: connects, says hello, and then answers each
 * request with one ack, in order. It never sends anything else. When the connection ends, for whatever
 * reason, pods go on running and the next connection brings a new snapshot.
 *
 * waiting ──timer──▶ connected ──request──▶ busy ──ack──▶ connected
 *    ▲  └──refused──┐    │ end, violation     │ violation
 *    └──────────────┴────┴────────────────────┘
 */
export class ZdsClient implements Timer {
  readonly #options: ZdsClientOptions;
  #connection: Connection | undefined;
  #attempts = 0;
  #stopped = true;

  constructor(options: ZdsClientOptions) {
    this.#options = options;
  }

  start(): void {
    this.#stopped = false;
    this.#connect();
  }

  /** Leaves the agent; pods go on running. */
  stop(): void {
    this.#stopped = true;
    this.#options.loop.timers.cancel(this);
    this.#connection?.close();
  }

  onTimer(): void {
    this.#connect();
  }

  #connect(): void {
    if (this.#stopped) return;
    const { path, pods, log, loop } = this.#options;
    const opened = connectSeqpacket(path);
    if ('errno' in opened) {
      this.#retry(
        `Cannot connect to the CNI agent at "${path}" (INPOD_UDS): ${errnoName(opened.errno)}; ${WHAT_TO_DO}`,
        0,
      );
      return;
    }
    const sent = sendPacket(opened.fd, encodeHello(), []);
    if (sent < 0) {
      close(opened.fd);
      this.#retry(`Cannot greet the CNI agent at "${path}": ${errnoName(sent)}`, 0);
      return;
    }
    log('info', `Connected to the CNI agent at "${path}"`);
    pods.onConnected();
    this.#connection = new Connection(opened.fd, loop, pods, {
      // A snapshot shows that this agent works; a bare connection does not.
      onSnapshot: () => {
        this.#attempts = 0;
      },
      onClosed: (why, violation) => this.#onClosed(why, violation),
    });
  }

  #onClosed(why: string, violation: boolean): void {
    this.#connection = undefined;
    this.#options.pods.onDisconnected();
    if (!this.#stopped) this.#retry(why, violation ? VIOLATION_RETRY_MS_MIN : 0);
  }

  #retry(why: string, delayMsMin: number): void {
    const { loop, log, random = Math.random } = this.#options;
    const doubledMs = RETRY_MS_MIN * 2 ** Math.min(this.#attempts++, 20);
    const delayMs = Math.max(Math.min(doubledMs, RETRY_MS_MAX), delayMsMin);
    const jitteredMs = Math.round(delayMs * (1 - JITTER + 2 * JITTER * random()));
    if (this.#attempts <= LOGGED_ATTEMPTS || this.#attempts % LOGGED_EACH === 0) {
      log('warn', `${why}; attempt ${this.#attempts}, next attempt in ${jitteredMs} ms`);
    }
    loop.timers.schedule(this, loop.nowMs + jitteredMs);
  }
}

const WHAT_TO_DO = 'start the agent, or set INPOD_UDS to its socket';

interface ConnectionEvents {
  onSnapshot(): void;
  /** The connection is over and its descriptor closed. `violation`: the agent broke the protocol. */
  onClosed(why: string, violation: boolean): void;
}

class Connection implements EventHandler {
  readonly fd: number;
  readonly #loop: Loop;
  readonly #pods: Pods;
  readonly #events: ConnectionEvents;
  #closed = false;

  constructor(fd: number, loop: Loop, pods: Pods, events: ConnectionEvents) {
    this.fd = fd;
    this.#loop = loop;
    this.#pods = pods;
    this.#events = events;
    loop.add(this, READABLE);
  }

  onEvents(): void {
    const received = receivePacket(this.fd, PACKET_BYTES_MAX, 1);
    if (received.kind === 'packet') this.#serve(received);
    else if (received.kind === 'end') this.#end('The CNI agent has closed the connection', false);
    else if (received.kind === 'failed') {
      this.#end(`Cannot read from the CNI agent: ${errnoName(received.errno)}`, false);
    } else if (received.kind === 'truncated') {
      this.#refuse(
        `Cannot read the packet: want up to ${PACKET_BYTES_MAX} bytes and 1 file descriptor`,
      );
    }
  }

  onFault(error: unknown): void {
    this.#end(`Cannot serve the CNI agent: ${String(error)}`, true);
  }

  /** Ends the conversation without a word. */
  close(): void {
    this.#end('', false);
  }

  #serve({ bytes, fds }: Received & { kind: 'packet' }): void {
    const request = decodeRequest(bytes, fds.length);
    if (typeof request === 'string') {
      for (const fd of fds) close(fd);
      this.#refuse(request);
      return;
    }
    // One request at a time: until it is answered nothing is read, nor is a hang-up reported over and over.
    this.#loop.remove(this);
    this.#pods.handle(request, fds[0] ?? -1, (outcome) => {
      if (request.kind === 'snapshot-sent' && !outcome.violation) this.#events.onSnapshot();
      this.#answer(outcome);
    });
    this.#loop.returnToNode();
  }

  #answer({ error, violation }: Outcome): void {
    if (this.#closed) return;
    if (violation) {
      this.#refuse(error);
      return;
    }
    const sent = sendPacket(this.fd, encodeAck(error), []);
    if (sent < 0) this.#end(`Cannot answer the CNI agent: ${errnoName(sent)}`, false);
    else this.#loop.add(this, READABLE);
  }

  /** After a violation it is open which request an answer belongs to: say what was wrong, and start afresh. */
  #refuse(error: string): void {
    sendPacket(this.fd, encodeAck(error), []);
    this.#end(`The CNI agent broke the protocol: ${error}`, true);
  }

  #end(why: string, violation: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#loop.remove(this);
    close(this.fd);
    this.#events.onClosed(why, violation);
  }
}
