import type { LineBatch } from '#common/log/writer.ts';
import { WorkerThreads } from '#dataplane/workers/threads.ts';
import { closeOwned, giveTo, type OwnedDescriptors } from '#reactor/owned-descriptors.ts';
import { resetSocket } from '#reactor/socket.ts';

import { placeTunnel } from './placement.ts';
import type {
  Collected,
  Described,
  FromWorker,
  ToWorker,
  WorkerData,
  WorkerSettings,
} from './protocol.ts';

/** What the control thread does about its data workers. */
export interface WorkersEvents {
  onLog(batch: LineBatch): void;
  onReport(problem: string): void;
  onCollected(index: number, collected: Collected): void;
  /** A worker has died; its tunnels are reset. */
  onDied(index: number): void;
  /** A new one stands in the place of one that has died: it knows nothing yet. */
  onReplaced(index: number, reason: string): void;
  /** From now on there is somebody who takes tunnels, or nobody. */
  onTaking(isTaking: boolean): void;
  onHopeless(problem: string): void;
}

type Answer = 'collected' | 'described' | 'drained';

interface Waiter {
  readonly answer: Answer;
  /** Workers that have not answered. */
  readonly missing: Set<number>;
  readonly done: () => void;
}

/** A worker answers within milliseconds. */
const ANSWER_DEADLINE_MS = 2_000;

/** The data workers, seen from the control thread, which hands them their tunnels. */
export class Workers {
  readonly #events: WorkersEvents;
  readonly #threads: WorkerThreads<ToWorker, FromWorker>;
  readonly #owned: OwnedDescriptors[] = [];
  /** By worker, the tunnels that it has: written by it as well. */
  readonly #tunnels: Int32Array[] = [];
  readonly #silent = new Set<number>();
  readonly #waiters = new Set<Waiter>();
  /** What those who ask now have heard so far, by worker. */
  readonly #describing = new Set<Map<number, Described>>();
  #last = -1;

  constructor(settings: WorkerSettings, events: WorkersEvents) {
    this.#events = events;
    this.#threads = new WorkerThreads(new URL('./main.ts', import.meta.url), {
      bear: (index, owned): WorkerData => {
        const tunnels = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
        this.#owned[index] = owned;
        this.#tunnels[index] = new Int32Array(tunnels);
        return { settings, owned, tunnels };
      },
      onMessage: (index, message) => this.#receive(index, message),
      onReport: (problem) => events.onReport(problem),
      onSilent: (index, silent) => this.#onSilent(index, silent),
      onEnded: (index, owned) => this.#onEnded(index, owned),
      onDied: (index) => {
        events.onDied(index);
        events.onTaking(this.#isTaking);
      },
      onReplaced: (index, reason) => {
        events.onReplaced(index, reason);
        events.onTaking(this.#isTaking);
      },
      onHopeless: (problem) => events.onHopeless(problem),
    });
  }

  get count(): number {
    return this.#threads.count;
  }

  /** Starts `count` workers; done when all serve. A failure names its reason. */
  start(count: number): Promise<void> {
    return this.#threads.start(count);
  }

  /** Tells one worker, which hears everything in this order. */
  tell(index: number, message: ToWorker): void {
    this.#threads.post(index, message);
  }

  tellAll(message: ToWorker): void {
    for (let index = 0; index < this.count; index++) this.tell(index, message);
  }

  /** Hands on an accepted tunnel, to the worker that has fewest. */
  give(fd: number): void {
    const index = placeTunnel(this.#loads(), this.#last);
    const [owned, tunnels] = [this.#owned[index ?? -1], this.#tunnels[index ?? -1]];
    if (index === undefined || owned === undefined || tunnels === undefined) {
      resetSocket(fd);
      return;
    }
    this.#last = index;
    // Before it is told: a worker that dies first leaves it to be closed with the rest.
    giveTo(owned, fd);
    Atomics.add(tunnels, 0, 1);
    this.tell(index, { type: 'tunnel', fd });
  }

  /** Asks every worker for what it has counted; done when all have told, or one does not answer in time. */
  async collect(): Promise<void> {
    await this.#ask({ type: 'collect' }, 'collected', ANSWER_DEADLINE_MS);
  }

  /** Asks every worker what it has open. `silent`: workers that have not answered in time. */
  async describe(): Promise<{ readonly told: readonly Described[]; readonly silent: number }> {
    const described = new Map<number, Described>();
    this.#describing.add(described);
    const silent = await this.#ask({ type: 'describe' }, 'described', ANSWER_DEADLINE_MS);
    this.#describing.delete(described);
    return { told: [...described.values()], silent };
  }

  /** Takes nothing new; done when what was in progress has ended everywhere, or at the deadline. */
  async drain(deadlineMs: number): Promise<void> {
    this.#threads.retire();
    await this.#ask({ type: 'drain' }, 'drained', deadlineMs);
  }

  /** Ends the threads at once. */
  stop(): Promise<void> {
    return this.#threads.stop();
  }

  // ---

  get #isTaking(): boolean {
    return this.#loads().some((load) => load !== undefined);
  }

  #loads(): readonly (number | undefined)[] {
    const loads = this.#tunnels.map((tunnels, index) =>
      this.#threads.serves(index) ? Atomics.load(tunnels, 0) : undefined,
    );
    const without = loads.map((load, index) => (this.#silent.has(index) ? undefined : load));
    // One that is slow to answer is better than none.
    return without.some((load) => load !== undefined) ? without : loads;
  }

  #onSilent(index: number, isSilent: boolean): void {
    if (isSilent && !this.#silent.has(index)) {
      this.#events.onReport(`data worker ${index} does not answer, and gets no tunnels meanwhile`);
    }
    if (isSilent) this.#silent.add(index);
    else this.#silent.delete(index);
  }

  #onEnded(index: number, owned: OwnedDescriptors): void {
    this.#silent.delete(index);
    closeOwned(owned, resetSocket);
    for (const answer of ['collected', 'described', 'drained'] as const)
      this.#answered(index, answer);
  }

  #receive(index: number, message: FromWorker): void {
    switch (message.type) {
      case 'collected':
        this.#events.onCollected(index, message);
        this.#answered(index, 'collected');
        return;
      case 'described':
        for (const described of this.#describing) described.set(index, message);
        this.#answered(index, 'described');
        return;
      case 'drained':
        this.#answered(index, 'drained');
        return;
      case 'log':
        this.#events.onLog(message.batch);
        this.tell(index, { type: 'log-taken', lines: message.batch.lines });
        return;
      case 'report':
        this.#events.onReport(message.problem);
    }
  }

  /** How many have not answered in time. */
  async #ask(question: ToWorker, answer: Answer, deadlineMs: number): Promise<number> {
    const missing = new Set<number>();
    for (let index = 0; index < this.count; index++) {
      if (this.#threads.serves(index)) missing.add(index);
    }
    if (missing.size === 0) return 0;
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiter: Waiter = { answer, missing, done: resolve };
    this.#waiters.add(waiter);
    const timer = setTimeout(resolve, deadlineMs);
    this.tellAll(question);
    await promise;
    clearTimeout(timer);
    this.#waiters.delete(waiter);
    return missing.size;
  }

  #answered(index: number, answer: Answer): void {
    for (const waiter of this.#waiters) {
      if (waiter.answer !== answer) continue;
      waiter.missing.delete(index);
      if (waiter.missing.size === 0) waiter.done();
    }
  }
}
