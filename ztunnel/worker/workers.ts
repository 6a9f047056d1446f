import { Worker } from 'node:worker_threads';

import type { LineBatch } from '#common/log/writer.ts';
import {
  allocateOwnedDescriptors,
  closeOwned,
  type OwnedDescriptors,
} from '#reactor/owned-descriptors.ts';
import { closeSocket, resetSocket } from '#reactor/socket.ts';

import { BEAT_MS, Heartbeat, STUCK_REASON } from './heartbeat.ts';
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
import { Replacement } from './replacement.ts';

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

interface Member {
  readonly worker: Worker;
  readonly pending: Map<number, Pending>;
  /** What its thread has open. */
  readonly owned: OwnedDescriptors;
  readonly heartbeat: Heartbeat;
  isReady: boolean;
  isDead: boolean;
  /** Why it ends, or has ended. */
  reason: string;
}

/** The worker can't answer any more, and has nothing open any more. */
export class WorkerDied extends Error {
  override readonly name = 'WorkerDied';
}

/** Answers come within milliseconds; a worker that is silent for this long is stuck. */
const ANSWER_DEADLINE_MS = 4_000;
/** A thread that is ended leaves what it computes at once; one inside a system call may never come back. */
const TERMINATE_DEADLINE_MS = 5_000;
/**
 * These come with a descriptor that the worker uses until it has answered, however late that is: whoever gave
 * up waiting and closed it would leave a number that may stand for another pod's namespace by then.
 */
const ANSWERED_OR_DEAD: ReadonlySet<Question['kind']> = new Set(['start-pod', 'stop-pod']);

/** The data workers, seen from the control thread. */
export class Workers {
  readonly #settings: WorkerSettings;
  readonly #events: WorkersEvents;
  readonly #members: Member[] = [];
  readonly #replacements: Replacement[] = [];
  /** From `export` to the word to go on or to let go: the descriptors of a dead worker may be on their way. */
  #moving = false;
  /** What workers left that died meanwhile. */
  readonly #diedMoving: OwnedDescriptors[] = [];
  /** Another process has the pods: dead workers are not missed. */
  #released = false;
  #nextId = 1;
  #beat: NodeJS.Timeout | undefined;
  #stopping = false;

  constructor(settings: WorkerSettings, events: WorkersEvents) {
    this.#settings = settings;
    this.#events = events;
  }

  get count(): number {
    return this.#members.length;
  }

  /** Starts `count` workers; done when all serve. A failure names its reason. */
  async start(count: number): Promise<void> {
    const started = Array.from({ length: count }, (_, index) => this.#spawn(index));
    await Promise.all(started);
    this.#beat = setInterval(() => this.#askForLife(), BEAT_MS).unref();
  }

  /** Tells every worker; each hears everything in this order. */
  broadcast(notice: Notice): void {
    if (notice.kind === 'thaw') this.#moved(resetSocket);
    for (let index = 0; index < this.#members.length; index++) this.tell(index, notice);
  }

  tell(index: number, notice: Notice): void {
    this.#post(index, { type: 'notice', notice });
  }

  /**
   * Asks one worker. Rejects with {@link WorkerDied} when it has died, and when it is silent for too long;
   * `start-pod` and `stop-pod` wait for as long as it takes.
   */
  ask<Kind extends Question['kind']>(
    index: number,
    question: Extract<Question, { readonly kind: Kind }>,
  ): Promise<Answers[Kind]> {
    const member = this.#members[index];
    if (member === undefined) return Promise.reject(new Error(`There is no data worker ${index}`));
    if (question.kind === 'export') this.#moving = true;
    if (question.kind === 'release') {
      this.#released = true;
      // Another process has copies: its connections live on.
      this.#moved(closeSocket);
    }
    if (member.isDead) {
      return Promise.reject(new WorkerDied(`Data worker ${index} has died and is being replaced`));
    }
    const id = this.#nextId++;
    return new Promise<Answers[Kind]>((resolve, reject) => {
      const onLate = (): void => {
        member.pending.set(id, {
          resolve: (answer) => this.#takeLate(index, question.kind, answer),
          reject: () => undefined,
        });
        reject(new Error(`Data worker ${index} has not answered "${question.kind}" in time`));
      };
      const timer = ANSWERED_OR_DEAD.has(question.kind)
        ? undefined
        : setTimeout(onLate, ANSWER_DEADLINE_MS);
      member.pending.set(id, {
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
      this.#post(index, { type: 'question', id, question }, moved);
    });
  }

  /** Asks all of them the same. */
  askAll<Kind extends Question['kind']>(
    question: Extract<Question, { readonly kind: Kind }>,
  ): Promise<Answers[Kind][]> {
    return Promise.all(this.#members.map((_, index) => this.ask(index, question)));
  }

  /** Ends the threads at once. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#beat);
    await Promise.all(this.#members.map(({ worker }) => worker.terminate()));
  }

  #post(index: number, message: ToWorker, moved: readonly ArrayBuffer[] = []): void {
    const member = this.#members[index];
    if (member?.isDead === false) member.worker.postMessage(message, moved);
  }

  #spawn(index: number): Promise<void> {
    const owned = allocateOwnedDescriptors();
    const data: WorkerData = { settings: this.#settings, owned };
    const worker = new Worker(new URL('./main.ts', import.meta.url), {
      workerData: data,
      // node:ffi tells a worker its own event loop; that it is experimental is known and tested at start.
      execArgv: ['--disable-warning=ExperimentalWarning'],
      name: `data-${index}`,
      resourceLimits: { maxYoungGenerationSizeMb: 8 },
    });
    const member: Member = {
      worker,
      pending: new Map(),
      owned,
      heartbeat: new Heartbeat(),
      isReady: false,
      isDead: false,
      reason: 'it ended by itself',
    };
    this.#members[index] = member;
    return new Promise<void>((resolve, reject) => {
      worker.on('message', (message: FromWorker) => {
        if (message.type === 'ready') {
          member.isReady = true;
          resolve();
        } else {
          this.#receive(index, message);
        }
      });
      worker.on('error', (error) => {
        member.reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
      });
      worker.on('exit', () => {
        const { reason } = member;
        this.#bury(member, new WorkerDied(`Data worker ${index} has died: ${reason}`));
        if (!member.isReady) reject(new Error(`Data worker ${index} can't start: ${reason}`));
        else {
          if (!this.#stopping && !this.#released) this.#events.onDied(index);
          this.#replaceSoon(index, reason);
        }
      });
    });
  }

  /** Descriptors are the process's: they are closed before anybody hears of the death. */
  #bury(member: Member, death: WorkerDied): void {
    member.isDead = true;
    if (this.#moving) this.#diedMoving.push(member.owned);
    else closeOwned(member.owned, this.#released ? closeSocket : resetSocket);
    for (const { reject } of member.pending.values()) reject(death);
    member.pending.clear();
  }

  #moved(close: (fd: number) => void): void {
    this.#moving = false;
    for (const owned of this.#diedMoving.splice(0)) closeOwned(owned, close);
  }

  #replaceSoon(index: number, reason: string): void {
    if (this.#stopping || this.#released) return;
    const replacement = (this.#replacements[index] ??= new Replacement());
    const delayMs = replacement.delayAfterDeathMs(performance.now());
    if (delayMs === undefined) {
      this.#events.onHopeless(
        `data worker ${index} dies again and again, the last time: ${reason}`,
      );
    } else {
      setTimeout(() => this.#replace(index, reason), delayMs);
    }
  }

  #replace(index: number, reason: string): void {
    if (this.#stopping || this.#released) return;
    this.#spawn(index).then(
      () => this.#events.onReplaced(index, reason),
      (error: unknown) => {
        const problem = error instanceof Error ? error.message : String(error);
        this.#events.onReport(problem);
        this.#replaceSoon(index, problem);
      },
    );
  }

  #takeLate(index: number, kind: Question['kind'], answer: unknown): void {
    if (kind === 'collect') this.#events.onLateCounts(index, answer as Collected);
    if (kind === 'export') this.#events.onLateCounts(index, (answer as WorkerState).collected);
  }

  #askForLife(): void {
    if (this.#stopping || this.#released) return;
    for (const [index, member] of this.#members.entries()) {
      if (!member.isReady || member.isDead || member.reason === STUCK_REASON) continue;
      switch (member.heartbeat.beat()) {
        case 'stuck':
          this.#end(index, member);
          break;
        case 'silent':
          this.#events.onSilent(index, true);
          break;
        case 'well':
          this.#post(index, { type: 'beat' });
      }
    }
  }

  /** Ends a worker that will not come back; it is replaced as one that died. */
  #end(index: number, member: Member): void {
    member.reason = STUCK_REASON;
    this.#events.onReport(`data worker ${index} is ended: ${STUCK_REASON}`);
    const hopeless = setTimeout(() => {
      this.#events.onHopeless(`data worker ${index} can't be ended: ${STUCK_REASON}`);
    }, TERMINATE_DEADLINE_MS);
    const over = (): void => clearTimeout(hopeless);
    member.worker.terminate().then(over, over);
  }

  #receive(index: number, message: FromWorker): void {
    const member = this.#members[index];
    switch (message.type) {
      case 'answer': {
        const pending = member?.pending.get(message.id);
        member?.pending.delete(message.id);
        pending?.resolve(message.answer);
        return;
      }
      case 'failed': {
        const pending = member?.pending.get(message.id);
        member?.pending.delete(message.id);
        pending?.reject(new Error(message.reason));
        return;
      }
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
        return;
      case 'beat':
        if (member?.heartbeat.heard() === true) this.#events.onSilent(index, false);
        return;
      case 'ready':
    }
  }
}
