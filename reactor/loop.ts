import { Socket } from 'node:net';

import koffi from 'koffi';

import { invariant } from '#common/assert.ts';
import {
  EINTR,
  epollCreate1,
  epollCtlAt,
  epollWaitAt,
  errno,
  errnoName,
  SOCK_CLOEXEC,
} from '#linux/libc.ts';
import { openSocketPair } from '#linux/socket-pair.ts';

import { allocateSlab } from './memory.ts';
import { own } from './owned-descriptors.ts';
import { closeSocket, sendFrom } from './socket.ts';
import { type Timer, TimerWheel } from './timers.ts';

// Bits of epoll_event.events (epoll_ctl(2)).
export const READABLE = 0x1;
export const WRITABLE = 0x4;
/** Always reported, asked for or not: an error waits, or both directions have ended. */
export const FAILED = 0x8;
export const HUNG_UP = 0x10;
/** The peer has sent FIN. */
export const PEER_FINISHED = 0x2000;

/** A descriptor's owner. One handler has one descriptor for as long as it is in the loop. */
export interface EventHandler {
  readonly fd: number;
  onEvents(events: number): void;
  /** `onEvents` threw. Close what is yours and nothing else; the loop goes on. */
  onFault?(error: unknown): void;
}

/** Work that is done once at the end of a turn, however often it was asked for. */
export interface TurnEnd {
  onTurnEnd(): void;
  /** `onTurnEnd` threw; as with {@link EventHandler.onFault}. */
  onFault?(error: unknown): void;
}

const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;
/** Events taken per turn: enough to batch the writes of a turn, few enough to keep a turn short. */
const EVENTS_PER_TURN = 512;
/** `struct epoll_event` is packed on x86-64 only. */
const EVENT_SIZE = process.arch === 'x64' ? 12 : 16;
const EVENT_DATA = process.arch === 'x64' ? 4 : 8;
/** How often the end of a turn may ask for more work before it is left to the next turn. */
const TURN_END_PASSES = 8;
/** An upper bound of one wait, so that a lost wake-up could cost no more than this. */
const WAIT_MS_MAX = 1_000;

const node = koffi.load(null);
const uvBackendFd: (loop: bigint) => number = node.func('int uv_backend_fd(uint64_t)');
const uvBackendTimeout: (loop: bigint) => number = node.func('int uv_backend_timeout(uint64_t)');
const uvUpdateTime: (loop: bigint) => void = node.func('void uv_update_time(uint64_t)');

/** What a thread knows of a descriptor in its loop. */
interface Registration {
  readonly handler: EventHandler;
  /** Tells an event for this registration from one for an earlier user of the same descriptor. */
  readonly generation: number;
  interest: number;
}

/**
 * One thread, two worlds: a blocking `epoll_wait` in which Node's own loop is one more descriptor. Sockets
 * of the data path are served here, synchronously; promises, timers and messages of the same thread run
 * whenever Node's loop has something to do, and cost nothing while it has not.
 */
export class Loop {
  readonly timers: TimerWheel;
  /** Milliseconds on the scale of `performance.now()`, sampled once a turn. */
  nowMs: number;
  /** Times that the loop has waited for events since the start. */
  turns = 0;
  /** Handlers and timers that threw since the start. */
  faults = 0;
  /** Told of everything that a handler, a timer or the end of a turn throws. */
  onFault: (error: unknown) => void = () => undefined;

  readonly #epoll: number;
  readonly #events = allocateSlab(EVENT_SIZE * EVENTS_PER_TURN);
  readonly #event = allocateSlab(16);
  readonly #kickByte = allocateSlab(1);
  readonly #registrations: (Registration | undefined)[] = [];
  #turnEnd = new Set<TurnEnd>();
  #turnEndSpare = new Set<TurnEnd>();
  readonly #uvLoop: bigint;
  readonly #uvFd: number;
  #generation = 0;
  #returnToNode = false;
  #state: 'new' | 'running' | 'stopped' = 'new';
  #kickFd = -1;
  #kicked: Socket | undefined;

  /** `uvLoop` is the address of this thread's `uv_loop_t`. */
  constructor(uvLoop: bigint) {
    this.nowMs = performance.now();
    this.timers = new TimerWheel(this.nowMs);
    this.#uvLoop = uvLoop;
    this.#uvFd = uvBackendFd(uvLoop);
    this.#epoll = epollCreate1(SOCK_CLOEXEC);
    invariant(this.#epoll >= 0, `epoll_create1: ${errnoName(errno())}`);
    own(this.#epoll);
    this.#control(EPOLL_CTL_ADD, this.#uvFd, READABLE, 0);
  }

  /** Watches `handler.fd`, level-triggered. */
  add(handler: EventHandler, interest: number): void {
    const { fd } = handler;
    if (this.#registrations[fd] !== undefined) {
      throw new Error(`Descriptor ${fd} is in the loop already: remove it before it is closed`);
    }
    this.#generation = (this.#generation + 1) >>> 0;
    this.#control(EPOLL_CTL_ADD, fd, interest, this.#generation);
    this.#registrations[fd] = { handler, generation: this.#generation, interest };
    own(fd);
  }

  /** Changes what is watched for; no system call when nothing changes. */
  setInterest(handler: EventHandler, interest: number): void {
    const registration = this.#registrations[handler.fd];
    if (registration === undefined || registration.handler !== handler) return;
    if (registration.interest === interest) return;
    this.#control(EPOLL_CTL_MOD, handler.fd, interest, registration.generation);
    registration.interest = interest;
  }

  has(handler: EventHandler): boolean {
    return this.#registrations[handler.fd]?.handler === handler;
  }

  /** Stops watching. Call it before the descriptor is closed; harmless when it is not in the loop. */
  remove(handler: EventHandler): void {
    const registration = this.#registrations[handler.fd];
    if (registration === undefined || registration.handler !== handler) return;
    this.#registrations[handler.fd] = undefined;
    if (this.#state === 'stopped') return;
    epollCtlAt(this.#epoll, EPOLL_CTL_DEL, handler.fd, this.#event.address);
  }

  /** Runs `task` once at the end of this turn. */
  atTurnEnd(task: TurnEnd): void {
    this.#turnEnd.add(task);
  }

  /**
   * Lets Node's loop run after this turn. Needed by handlers that settle promises or call into Node: nothing
   * else tells Node's loop that there is work for it.
   */
  returnToNode(): void {
    this.#returnToNode = true;
  }

  /** Begins to serve, and returns: the loop runs in turns of Node's own. */
  start(): void {
    invariant(this.#state === 'new', 'a loop starts once');
    this.#state = 'running';
    const [nodeFd, kickFd] = openSocketPair();
    // A byte through a socket pair is the one way back into this loop that neither spins (setImmediate keeps
    // Node's timeout at 0) nor starves Node (a MessagePort is drained many times per turn).
    this.#kickFd = kickFd;
    own(this.#kickFd);
    this.#kicked = new Socket({
      fd: nodeFd,
      onread: {
        buffer: Buffer.alloc(64),
        callback: () => {
          this.#run();
          return true;
        },
      },
    });
    this.#kicked.resume();
    this.#kick();
  }

  /** Ends serving, for good; what is in the loop stays open. From a handler: no other handler is called. */
  stop(): void {
    if (this.#state === 'stopped') return;
    this.#state = 'stopped';
    this.#kicked?.destroy();
    if (this.#kickFd >= 0) closeSocket(this.#kickFd);
    closeSocket(this.#epoll);
  }

  #kick(): void {
    sendFrom(this.#kickFd, this.#kickByte, 0, 1);
  }

  /** Turns, until Node's loop has something to do. */
  #run(): void {
    while (this.#state === 'running') {
      this.#endTurn();
      uvUpdateTime(this.#uvLoop);
      const nodeWaitMs = uvBackendTimeout(this.#uvLoop);
      const waitMs = this.#waitMs(nodeWaitMs);
      const count = epollWaitAt(this.#epoll, this.#events.address, EVENTS_PER_TURN, waitMs);
      if (count < 0) invariant(errno() === EINTR, `epoll_wait: ${errnoName(errno())}`);
      this.nowMs = performance.now();
      this.turns++;
      let nodeIsDue = nodeWaitMs === 0 || (count <= 0 && nodeWaitMs > 0 && nodeWaitMs <= waitMs);
      for (let index = 0; index < count && this.#isRunning(); index++) {
        if (!this.#dispatch(index * EVENT_SIZE)) nodeIsDue = true;
      }
      if (this.#isRunning()) this.timers.advance(this.nowMs, this.#taskFault);
      if (this.#isRunning()) this.#endTurn();
      if (nodeIsDue || this.#returnToNode || count < 0) {
        this.#returnToNode = false;
        if (this.#isRunning()) this.#kick();
        return;
      }
    }
  }

  /** A handler, a timer or a task may have stopped the loop. */
  #isRunning(): boolean {
    return this.#state === 'running';
  }

  /** Serves one event; false when it is Node's loop that is ready. */
  #dispatch(at: number): boolean {
    const { bytes } = this.#events;
    const fd = bytes.readInt32LE(at + EVENT_DATA);
    if (fd === this.#uvFd) return false;
    const registration = this.#registrations[fd];
    // Closed by an earlier handler of this turn, and perhaps in use again by a new one.
    if (registration?.generation !== bytes.readUInt32LE(at + EVENT_DATA + 4)) return true;
    try {
      registration.handler.onEvents(bytes.readUInt32LE(at));
    } catch (error) {
      this.#fault(error);
      this.#ownFault(registration.handler, error);
    }
    return true;
  }

  #endTurn(): void {
    // A task may ask for another one, or for itself again. Tasks that never come to an end get the next turn.
    for (let pass = 0; this.#turnEnd.size > 0 && pass < TURN_END_PASSES; pass++) {
      const tasks = this.#turnEnd;
      this.#turnEnd = this.#turnEndSpare;
      this.#turnEndSpare = tasks;
      for (const task of tasks) {
        try {
          task.onTurnEnd();
        } catch (error) {
          this.#taskFault(task, error);
        }
      }
      tasks.clear();
    }
  }

  #ownFault(handler: EventHandler, error: unknown): void {
    try {
      if (handler.onFault === undefined) this.remove(handler);
      else handler.onFault(error);
    } catch (second) {
      this.#fault(second);
      this.remove(handler);
    }
  }

  readonly #taskFault = (task: Timer | TurnEnd, error: unknown): void => {
    this.#fault(error);
    try {
      task.onFault?.(error);
    } catch (second) {
      this.#fault(second);
    }
  };

  #fault(error: unknown): void {
    this.faults++;
    this.onFault(error);
  }

  #waitMs(nodeWaitMs: number): number {
    // Asked for between two turns: by a task of the turn's end, or from Node's own loop.
    if (this.#returnToNode || this.#turnEnd.size > 0) return 0;
    let waitMs = nodeWaitMs < 0 ? WAIT_MS_MAX : Math.min(nodeWaitMs, WAIT_MS_MAX);
    const dueMs = this.timers.nextDueMs();
    if (dueMs !== undefined) {
      waitMs = Math.max(0, Math.min(waitMs, Math.ceil(dueMs - performance.now())));
    }
    return waitMs;
  }

  #control(operation: number, fd: number, interest: number, generation: number): void {
    invariant(this.#state !== 'stopped', 'a stopped loop watches nothing');
    const { bytes, address } = this.#event;
    bytes.writeUInt32LE(interest >>> 0, 0);
    bytes.writeInt32LE(fd, EVENT_DATA);
    bytes.writeUInt32LE(generation, EVENT_DATA + 4);
    if (epollCtlAt(this.#epoll, operation, fd, address) === 0) return;
    throw new Error(`epoll_ctl ${operation} of descriptor ${fd}: ${errnoName(errno())}`);
  }
}
