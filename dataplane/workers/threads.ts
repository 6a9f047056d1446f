import { Worker } from 'node:worker_threads';

import { allocateOwnedDescriptors, type OwnedDescriptors } from '#reactor/owned-descriptors.ts';

import { BEAT_MS, Heartbeat, STUCK_REASON } from './heartbeat.ts';
import { Replacement } from './replacement.ts';

/** What the control thread does about its data workers. */
export interface ThreadsEvents<FromWorker> {
  /** What a worker is born with. */
  bear(index: number, owned: OwnedDescriptors): unknown;
  onMessage(index: number, message: FromWorker): void;
  /** Something that the operator should know. */
  onReport(problem: string): void;
  /** A worker does not answer, for seconds, or does again. */
  onSilent(index: number, silent: boolean): void;
  /** A thread has ended; what it had open is to be closed now. Always the first that is said of an end. */
  onEnded(index: number, owned: OwnedDescriptors, reason: string): void;
  /** A worker has died that had served: nobody does what it did. */
  onDied(index: number): void;
  /** A worker has died and a new one stands in its place: it knows nothing yet. */
  onReplaced(index: number, reason: string): void;
  /** A worker dies again and again: without it this process is of no use. */
  onHopeless(problem: string): void;
}

/** Beside what its user says, every worker hears this, … */
export interface Beat {
  /** Show that you live. */
  readonly type: 'beat';
}

/** … answers it in the same way, and begins with this. */
export interface Ready {
  readonly type: 'ready';
}

interface Member {
  readonly worker: Worker;
  /** What its thread has open. */
  readonly owned: OwnedDescriptors;
  readonly heartbeat: Heartbeat;
  isReady: boolean;
  isDead: boolean;
  /** Why it ends, or has ended. */
  reason: string;
}

/** A thread that is ended leaves what it computes at once; one inside a system call may never come back. */
const TERMINATE_DEADLINE_MS = 5_000;
/** Megabytes: what moves bytes makes little garbage. */
const YOUNG_GENERATION_MB = 8;

/** The life of data workers, seen from the control thread: started, watched, and replaced when they die. */
export class WorkerThreads<ToWorker, FromWorker extends { readonly type: string }> {
  readonly #program: URL;
  readonly #events: ThreadsEvents<FromWorker>;
  readonly #members: Member[] = [];
  readonly #replacements: Replacement[] = [];
  #beat: NodeJS.Timeout | undefined;
  /** Dead workers are not missed any more. */
  #retired = false;
  #stopping = false;

  /** `program`: the module that a worker runs. */
  constructor(program: URL, events: ThreadsEvents<FromWorker>) {
    this.#program = program;
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

  /** Has said that it serves, and has not died since. */
  serves(index: number): boolean {
    const member = this.#members[index];
    return member?.isReady === true && !member.isDead;
  }

  /** It has died, and nothing stands in its place yet. */
  isDead(index: number): boolean {
    return this.#members[index]?.isDead ?? true;
  }

  /** Each worker hears everything in the order in which it was said; a dead one hears nothing. */
  post(index: number, message: ToWorker | Beat, moved: readonly ArrayBuffer[] = []): void {
    const member = this.#members[index];
    if (member?.isDead === false) member.worker.postMessage(message, moved);
  }

  /** From now on dead workers stay dead. */
  retire(): void {
    this.#retired = true;
  }

  /** Ends the threads at once. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#beat);
    await Promise.all(this.#members.map(({ worker }) => worker.terminate()));
  }

  #spawn(index: number): Promise<void> {
    const owned = allocateOwnedDescriptors();
    const worker = new Worker(this.#program, {
      workerData: this.#events.bear(index, owned),
      // node:ffi tells a worker its own event loop; that it is experimental is known and tested at start.
      execArgv: ['--disable-warning=ExperimentalWarning'],
      name: `data-${index}`,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
    });
    const member: Member = {
      worker,
      owned,
      heartbeat: new Heartbeat(),
      isReady: false,
      isDead: false,
      reason: 'it ended by itself',
    };
    this.#members[index] = member;
    return new Promise<void>((resolve, reject) => {
      worker.on('message', (message: FromWorker | Beat | Ready) => {
        if (isKind<Ready>(message, 'ready')) {
          member.isReady = true;
          resolve();
        } else if (isKind<Beat>(message, 'beat')) {
          if (member.heartbeat.heard()) this.#events.onSilent(index, false);
        } else this.#events.onMessage(index, message);
      });
      worker.on('error', (error) => {
        member.reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
      });
      worker.on('exit', () => {
        const { reason } = member;
        member.isDead = true;
        this.#events.onEnded(index, member.owned, reason);
        if (!member.isReady) reject(new Error(`Data worker ${index} can't start: ${reason}`));
        else {
          if (!this.#stopping && !this.#retired) this.#events.onDied(index);
          this.#replaceSoon(index, reason);
        }
      });
    });
  }

  #replaceSoon(index: number, reason: string): void {
    if (this.#stopping || this.#retired) return;
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
    if (this.#stopping || this.#retired) return;
    this.#spawn(index).then(
      () => this.#events.onReplaced(index, reason),
      (error: unknown) => {
        const problem = error instanceof Error ? error.message : String(error);
        this.#events.onReport(problem);
        this.#replaceSoon(index, problem);
      },
    );
  }

  #askForLife(): void {
    if (this.#stopping || this.#retired) return;
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
          this.post(index, { type: 'beat' });
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
}

function isKind<Kind extends { readonly type: string }>(
  message: { readonly type: string },
  type: Kind['type'],
): message is Kind {
  return message.type === type;
}
