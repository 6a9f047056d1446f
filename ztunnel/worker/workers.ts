import { Worker } from 'node:worker_threads';

import type { LineBatch } from '#common/log/writer.ts';

import type {
  Answers,
  FromWorker,
  Notice,
  Question,
  ToWorker,
  WorkerSettings,
} from './protocol.ts';

/** What the control thread does about its workers. */
export interface WorkersEvents {
  onLog(batch: LineBatch): void;
  onReport(problem: string): void;
  onIdentityWanted(identity: string): void;
  /** A worker has died and a new one stands in its place: it knows nothing yet. */
  onReplaced(index: number, reason: string): void;
}

interface Pending {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

interface Member {
  readonly worker: Worker;
  readonly pending: Map<number, Pending>;
}

/** Answers come within milliseconds; a worker that is silent for this long is stuck. */
const ANSWER_DEADLINE_MS = 4_000;

/** The data workers, seen from the control thread. */
export class Workers {
  readonly #settings: WorkerSettings;
  readonly #events: WorkersEvents;
  readonly #members: Member[] = [];
  #nextId = 1;
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
  }

  /** Tells every worker; each hears everything in this order. */
  broadcast(notice: Notice): void {
    for (let index = 0; index < this.#members.length; index++) this.tell(index, notice);
  }

  tell(index: number, notice: Notice): void {
    this.#post(index, { type: 'notice', notice });
  }

  /** Asks one worker. Rejects when it has died, or is silent for too long. */
  ask<Kind extends Question['kind']>(
    index: number,
    question: Extract<Question, { readonly kind: Kind }>,
  ): Promise<Answers[Kind]> {
    const member = this.#members[index];
    if (member === undefined) return Promise.reject(new Error(`There is no data worker ${index}`));
    const id = this.#nextId++;
    return new Promise<Answers[Kind]>((resolve, reject) => {
      const timer = setTimeout(() => {
        member.pending.delete(id);
        reject(new Error(`Data worker ${index} has not answered "${question.kind}" in time`));
      }, ANSWER_DEADLINE_MS);
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
      this.#post(index, { type: 'question', id, question });
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
    await Promise.all(this.#members.map(({ worker }) => worker.terminate()));
  }

  #post(index: number, message: ToWorker): void {
    this.#members[index]?.worker.postMessage(message);
  }

  #spawn(index: number): Promise<void> {
    const worker = new Worker(new URL('./main.ts', import.meta.url), {
      workerData: this.#settings,
      // node:ffi tells a worker its own event loop; that it is experimental is known and tested at start.
      execArgv: ['--disable-warning=ExperimentalWarning'],
      name: `data-${index}`,
      resourceLimits: { maxYoungGenerationSizeMb: 8 },
    });
    const member: Member = { worker, pending: new Map() };
    this.#members[index] = member;
    return new Promise<void>((resolve, reject) => {
      let ready = false;
      let reason = 'it ended by itself';
      worker.on('message', (message: FromWorker) => {
        if (message.type === 'ready') {
          ready = true;
          resolve();
        } else {
          this.#receive(index, message);
        }
      });
      worker.on('error', (error) => {
        reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
      });
      worker.on('exit', () => {
        for (const { reject: fail } of member.pending.values()) {
          fail(new Error(`Data worker ${index} has died: ${reason}`));
        }
        member.pending.clear();
        if (!ready) reject(new Error(`Data worker ${index} can't start: ${reason}`));
        else if (!this.#stopping) this.#replace(index, reason);
      });
    });
  }

  #replace(index: number, reason: string): void {
    this.#spawn(index).then(
      () => this.#events.onReplaced(index, reason),
      (error: unknown) => this.#events.onReport(String(error)),
    );
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
      case 'report':
        this.#events.onReport(message.problem);
        return;
      case 'ready':
    }
  }
}
