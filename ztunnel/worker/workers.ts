import type { LineBatch } from '#common/log/writer.ts';
import { WorkerThreads } from '#dataplane/workers/threads.ts';
import { closeOwned, type OwnedDescriptors } from '#reactor/owned-descriptors.ts';
import { closeSocket, resetSocket } from '#reactor/socket.ts';

import { packedBuffers } from './packed-pod.ts';
import type {
  Answers,
  Collected,
  FromWorker,
  Notice,
  Question,
  ToWorker,
  WorkerData,
  WorkerSettings,
  WorkerState,
} from './protocol.ts';

/** What the control thread does about its workers. */
export interface WorkersEvents {
  onLog(batch: LineBatch): void;
  onReport(problem: string): void;
  onIdentityWanted(identity: string): void;
  /** Connections of a worker wait to hear who has these names. */
  onNamesWanted(index: number, names: readonly string[]): void;
  /** What a worker has counted, told when nobody waited for it any more. It is told once. */
  onLateCounts(index: number, collected: Collected): void;
  /** A worker does not answer, for seconds, or does again. */
  onSilent(index: number, silent: boolean): void;
  /** A worker has died: nobody serves its pods. */
  onDied(index: number): void;
  /** A worker has died and a new one stands in its place: it knows nothing yet. */
  onReplaced(index: number, reason: string): void;
  /** A worker dies again and again: without it this process is of no use. */
  onHopeless(problem: string): void;
}

interface Pending {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** The worker can't answer any more, and has nothing open any more. */
export class WorkerDied extends Error {
  override readonly name = 'WorkerDied';
}

/** Answers come within milliseconds; a worker that is silent for this long is stuck. */
const ANSWER_DEADLINE_MS = 4_000;
/**
 * These come with a descriptor that the worker uses until it has answered, however late that is: whoever gave
 * up waiting and closed it would leave a number that may stand for another pod's namespace by then.
 */
const ANSWERED_OR_DEAD: ReadonlySet<Question['kind']> = new Set(['start-pod', 'stop-pod']);

/** The data workers, seen from the control thread. */
export class Workers {
  readonly #events: WorkersEvents;
  readonly #threads: WorkerThreads<ToWorker, FromWorker>;
  /** By worker, who waits for which answer. */
  readonly #pending: Map<number, Pending>[] = [];
  /** From `export` to the word to go on or to let go: the descriptors of a dead worker may be on their way. */
  #moving = false;
  /** What workers left that died meanwhile. */
  readonly #diedMoving: OwnedDescriptors[] = [];
  /** Another process has the pods: dead workers are not missed. */
  #released = false;
  #nextId = 1;

  constructor(settings: WorkerSettings, events: WorkersEvents) {
    this.#events = events;
    this.#threads = new WorkerThreads(new URL('./main.ts', import.meta.url), {
      bear: (_index, owned): WorkerData => ({ settings, owned }),
      onMessage: (index, message) => this.#receive(index, message),
      onReport: (problem) => events.onReport(problem),
      onSilent: (index, silent) => events.onSilent(index, silent),
      onEnded: (index, owned, reason) => {
        this.#bury(index, owned, new WorkerDied(`Data worker ${index} has died: ${reason}`));
      },
      onDied: (index) => events.onDied(index),
      onReplaced: (index, reason) => events.onReplaced(index, reason),
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

  /** Tells every worker; each hears everything in this order. */
  broadcast(notice: Notice): void {
    if (notice.kind === 'thaw') this.#moved(resetSocket);
    for (let index = 0; index < this.count; index++) this.tell(index, notice);
  }

  tell(index: number, notice: Notice): void {
    this.#threads.post(index, { type: 'notice', notice });
  }

  /**
   * Asks one worker. Rejects with {@link WorkerDied} when it has died, and when it is silent for too long;
   * `start-pod` and `stop-pod` wait for as long as it takes.
   */
  ask<Kind extends Question['kind']>(
    index: number,
    question: Extract<Question, { readonly kind: Kind }>,
  ): Promise<Answers[Kind]> {
    if (index >= this.count) return Promise.reject(new Error(`There is no data worker ${index}`));
    if (question.kind === 'export') this.#moving = true;
    if (question.kind === 'release') {
      this.#released = true;
      this.#threads.retire();
      // Another process has copies: its connections live on.
      this.#moved(closeSocket);
    }
    if (this.#threads.isDead(index)) {
      return Promise.reject(new WorkerDied(`Data worker ${index} has died and is being replaced`));
    }
    const id = this.#nextId++;
    const pending = this.#pendingOf(index);
    return new Promise<Answers[Kind]>((resolve, reject) => {
      const onLate = (): void => {
        pending.set(id, {
          resolve: (answer) => this.#takeLate(index, question.kind, answer),
          reject: () => undefined,
        });
        reject(new Error(`Data worker ${index} has not answered "${question.kind}" in time`));
      };
      const timer = ANSWERED_OR_DEAD.has(question.kind)
        ? undefined
        : setTimeout(onLate, ANSWER_DEADLINE_MS);
      pending.set(id, {
        resolve: (answer) => {
          clearTimeout(timer);
          resolve(answer as Answers[Kind]);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      });
      const moved = 'pods' in question ? packedBuffers(question.pods) : [];
      this.#threads.post(index, { type: 'question', id, question }, moved);
    });
  }

  /** Asks all of them the same. */
  askAll<Kind extends Question['kind']>(
    question: Extract<Question, { readonly kind: Kind }>,
  ): Promise<Answers[Kind][]> {
    return Promise.all(Array.from({ length: this.count }, (_, index) => this.ask(index, question)));
  }

  /** Ends the threads at once. */
  stop(): Promise<void> {
    return this.#threads.stop();
  }

  #pendingOf(index: number): Map<number, Pending> {
    return (this.#pending[index] ??= new Map());
  }

  /** Descriptors are the process's: they are closed before anybody hears of the death. */
  #bury(index: number, owned: OwnedDescriptors, death: WorkerDied): void {
    if (this.#moving) this.#diedMoving.push(owned);
    else closeOwned(owned, this.#released ? closeSocket : resetSocket);
    const pending = [...this.#pendingOf(index).values()];
    this.#pendingOf(index).clear();
    for (const { reject } of pending) reject(death);
  }

  #moved(close: (fd: number) => void): void {
    this.#moving = false;
    for (const owned of this.#diedMoving.splice(0)) closeOwned(owned, close);
  }

  #takeLate(index: number, kind: Question['kind'], answer: unknown): void {
    if (kind === 'collect') this.#events.onLateCounts(index, answer as Collected);
    if (kind === 'export') this.#events.onLateCounts(index, (answer as WorkerState).collected);
  }

  #receive(index: number, message: FromWorker): void {
    switch (message.type) {
      case 'answer':
        this.#takePending(index, message.id)?.resolve(message.answer);
        return;
      case 'failed':
        this.#takePending(index, message.id)?.reject(new Error(message.reason));
        return;
      case 'log':
        this.#events.onLog(message.batch);
        this.tell(index, { kind: 'log-taken', lines: message.batch.lines });
        return;
      case 'identity-wanted':
        this.#events.onIdentityWanted(message.identity);
        return;
      case 'names-wanted':
        this.#events.onNamesWanted(index, message.names);
        return;
      case 'report':
        this.#events.onReport(message.problem);
    }
  }

  #takePending(index: number, id: number): Pending | undefined {
    const pending = this.#pendingOf(index);
    const taken = pending.get(id);
    pending.delete(id);
    return taken;
  }
}
