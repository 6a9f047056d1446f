import { existsSync } from 'node:fs';

import type { Logger } from '#common/log/logger.ts';
import type { Identity } from '#common/tls/spiffe.ts';
import type { CertificateManager } from '#dataplane/identity/certificates.ts';
import type { IdentityMaterial } from '#dataplane/identity/material.ts';
import type { TrafficCounts } from '#dataplane/telemetry/metrics.ts';
import type { Loop } from '#reactor/loop.ts';

import { type Giver, type Handed, HandOverServer, takeOver } from './hand-over.ts';
import { Phases } from './phases.ts';
import type { WorkerPodHost } from './pod-host.ts';
import type { TrafficTotals } from './traffic-totals.ts';
import { type PackedPod, withDescriptors } from './worker/packed-pod.ts';
import type { WorkerState } from './worker/protocol.ts';
import type { Workers } from './worker/workers.ts';

/** Everything that a process hands to its successor. */
interface ProcessState {
  readonly pods: readonly PackedPod[];
  readonly counts: TrafficCounts;
}

/** What it tells before anything stands still. */
interface EarlyState {
  readonly certificates: readonly {
    readonly identity: Identity;
    readonly material: IdentityMaterial;
  }[];
  /** Of its pages: those are free when it goes. */
  readonly ports: readonly number[];
}

/** What a hand-over needs of the process around it. */
export interface Process {
  /** The end has begun. */
  readonly stopping: boolean;
  /** Those that {@link letGo} frees. */
  readonly ports: readonly number[];
  /** Opens what it has for itself, all but `others` ports: what fails then fails while the predecessor serves. */
  openOwn(others: readonly number[]): Promise<void>;
  /** Lets go of what two processes can't both have: the ports of the pages, the agent. */
  letGo(): void;
  /** ... and has it again. */
  takeBack(): void;
  /** The host has the pods of a predecessor. */
  adopted(): void;
  /** Another process has everything: nothing is renewed or followed any more. */
  retire(): void;
  /** `later`: with the next signal. */
  end(later: boolean): Promise<void>;
  shutDown(why: string): void;
}

interface Parts {
  /** Where processes meet; undefined: nothing is handed over. */
  readonly path: string | undefined;
  /** Who has handed everything over waits for a signal to end. */
  readonly staysAfterwards: boolean;
  readonly log: Logger;
  readonly workers: Pick<Workers, 'count' | 'ask' | 'askAll' | 'broadcast'>;
  readonly host: Pick<WorkerPodHost, 'deal'>;
  readonly totals: TrafficTotals;
  readonly certificates: Pick<CertificateManager, 'materials' | 'seed'>;
  readonly process: Process;
  /** Of all threads, as `setThreadPriorities()`: false when it could not be done. */
  readonly setPriorities: (nice: number) => boolean;
}

/** Priority of a start beside a process that serves, and of an end beside one. */
const STARTING_NICE = 10;
/** ... and while connections stand still, until both ends have caught up with what arrived meanwhile. */
const MOVING_NICE = -15;
const CATCH_UP_MS = 250;
/** The directory may come only with the agent, or whoever has the path may go. */
const LISTEN_AGAIN_MS = 1_000;

/** A process between its predecessor, from which it takes everything over, and its successor, to which it gives it. */
export class Succession implements Giver {
  /** Everything is another process's: this one may end at any moment. */
  isOver = false;
  /** Everything came from a predecessor. */
  hasSucceeded = false;
  /** There seems to be a predecessor. */
  isExpected = false;
  /** Why a predecessor does not hand over to us. */
  refusedBecause: string | undefined;
  readonly #parts: Parts;
  readonly #log: Logger;
  #phases = new Phases();
  /** What was told to a successor. */
  #exported: readonly PackedPod[] = [];
  /** Connections are on their way from one process to another; whoever ends now would cut them. */
  #moving = false;
  /** Why this process should end when that is over. */
  #endAfterMove: string | undefined;
  /** The process has priority. */
  #hurries = false;
  #server: HandOverServer | undefined;
  #listening: NodeJS.Timeout | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#log = parts.log;
  }

  /** Is the end put off, because of `why`, until connections have an owner again? */
  defersEnd(why: string): boolean {
    if (this.#moving) this.#endAfterMove ??= why;
    return this.#moving;
  }

  // --- Taking over

  /** Whoever serves now needs the processor more: a start beside it may take its time. */
  prepare(): void {
    const { path } = this.#parts;
    this.isExpected = path !== undefined && existsSync(path);
    if (this.isExpected) this.#parts.setPriorities(STARTING_NICE);
  }

  /** Takes what a predecessor has, if there is one. A text says why this process must end. */
  async takeOver(loop: Loop): Promise<string | undefined> {
    const { path } = this.#parts;
    if (path === undefined) return undefined;
    this.#moving = true;
    if (this.isExpected) this.#hurry();
    const problem = await this.#takeOverFrom(loop, path).finally(() => this.#calmDown());
    // A process that does not get it touches nothing of it any more: it just ends.
    if (problem !== undefined) return problem;
    this.#moving = false;
    this.#endIfAsked();
    return undefined;
  }

  async #takeOverFrom(loop: Loop, path: string): Promise<string | undefined> {
    const { host, workers, totals } = this.#parts;
    const taken = await takeOver(loop, path, (early) => this.#takeEarly(early as EarlyState));
    if (taken.kind === 'nobody') return undefined;
    if (taken.kind === 'refused') {
      this.refusedBecause = taken.reason;
      this.#log.warn('a predecessor does not hand over, this process starts afresh beside it', {
        reason: taken.reason,
      });
      return undefined;
    }
    const { state, descriptors } = taken.handed as Handed & { readonly state: ProcessState };
    const phases = new Phases();
    try {
      let at = 0;
      const take = (count: number): readonly number[] => descriptors.slice(at, (at += count));
      const shares = host.deal(state.pods.map((pod) => withDescriptors(pod, take)));
      await Promise.all(
        shares.map((share, index) => workers.ask(index, { kind: 'adopt', pods: share })),
      );
      phases.end('adopt');
    } catch (error) {
      taken.taken.abandon();
      throw error;
    } finally {
      // The workers have had copies of their own.
      taken.wipe();
    }
    if (!(await taken.taken.confirm())) {
      return 'the hand-over broke off; the predecessor goes on serving';
    }
    this.hasSucceeded = true;
    workers.broadcast({ kind: 'go' });
    totals.continueFrom(state.counts);
    phases.end('confirm');
    this.#parts.process.adopted();
    const connections = state.pods.reduce((sum, pod) => sum + pod.connections, 0);
    const pods = state.pods.length;
    this.#log.info('took over from the predecessor', { pods, connections, ...phases.ended });
    return undefined;
  }

  /** What takes time, or may fail: the predecessor still serves. */
  async #takeEarly({ certificates, ports }: EarlyState): Promise<void> {
    await this.#parts.process.openOwn(ports);
    for (const { identity, material } of certificates) {
      this.#parts.certificates.seed(identity, material);
    }
    // An answer comes after everything that was told before.
    await this.#parts.workers.askAll({ kind: 'collect' });
  }

  // --- Handing over

  /** Waits for a successor: as soon as that is possible, and until it is closed. */
  listen(loop: Loop): void {
    const problem = this.#tryToListen(loop);
    if (problem === undefined) return;
    const line = 'connections will not survive an upgrade of this process until it can listen';
    this.#log.warn(line, { reason: problem });
    this.#listening = setInterval(() => {
      if (this.#tryToListen(loop) !== undefined) return;
      clearInterval(this.#listening);
      this.#log.info('connections will survive an upgrade of this process');
    }, LISTEN_AGAIN_MS);
  }

  #tryToListen(loop: Loop): string | undefined {
    const { path } = this.#parts;
    if (path === undefined) return undefined;
    const listening = HandOverServer.listen(loop, path, this);
    if (typeof listening === 'string') return listening;
    this.#server = listening;
    return undefined;
  }

  /** No successor any more. */
  close(): void {
    clearInterval(this.#listening);
    this.#server?.close();
  }

  early(): EarlyState {
    const { certificates, process } = this.#parts;
    return { certificates: certificates.materials(), ports: process.ports };
  }

  refused(successorPid: number, reason: string): void {
    const line = 'this process does not hand over to a successor, and goes on';
    this.#log.warn(line, { successor: successorPid, reason });
  }

  async freeze(): Promise<Handed> {
    if (this.#parts.process.stopping) throw new Error('this process is about to end');
    this.#phases = new Phases();
    this.#hurry();
    this.#moving = true;
    try {
      return await this.#export();
    } catch (error) {
      this.thaw(error instanceof Error ? error.message : String(error));
      throw error;
    }
  }

  async #export(): Promise<Handed> {
    const { workers, totals } = this.#parts;
    const indexes = Array.from({ length: workers.count }, (_, index) => index);
    const exported = await Promise.allSettled(
      indexes.map((index) => workers.ask(index, { kind: 'export' })),
    );
    const states: WorkerState[] = [];
    for (const [index, each] of exported.entries()) {
      if (each.status === 'rejected') continue;
      states.push(each.value);
      totals.add(index, each.value.collected);
    }
    if (states.length < indexes.length) {
      throw new Error('a data worker could not tell its state');
    }
    const pods = states.flatMap((each) => each.pods);
    const left = states.reduce((count, each) => count + each.leftBehind, 0);
    if (left > 0) this.#log.warn('connections in a handshake can not be moved', { count: left });
    const descriptors = pods.flatMap((pod) => pod.descriptors);
    const state: ProcessState = { pods, counts: totals.metrics.export() };
    this.#exported = pods;
    this.#phases.end('export');
    return { state, descriptors };
  }

  prepareToGo(): void {
    this.#phases.end('transfer');
    this.close();
    this.#parts.process.letGo();
  }

  thaw(reason: string): void {
    this.#calmDown();
    this.#wipeExported();
    this.#parts.workers.broadcast({ kind: 'thaw' });
    this.#moving = false;
    if (this.#endAfterMove === undefined) this.#parts.process.takeBack();
    // Whoever reads it may send the next successor.
    this.#log.warn('the hand-over broke off, this process goes on', { reason });
    this.#endIfAsked();
  }

  async released(successorPid: number): Promise<void> {
    this.#phases.end('confirm');
    // Nobody waits for what is left to do.
    this.#parts.setPriorities(STARTING_NICE);
    this.#wipeExported();
    this.#parts.process.retire();
    try {
      await this.#parts.workers.askAll({ kind: 'release' });
    } catch (error) {
      // Its copies are closed with the process at the latest.
      this.#log.error('a data worker did not let go', { error: String(error) });
    }
    this.#log.info('everything was handed over', {
      successor: successorPid,
      pause: this.#phases.total,
      ...this.#phases.ended,
    });
    this.isOver = true;
    // Its pod's container would be started again by Kubernetes, and take everything back.
    const later = this.#parts.staysAfterwards && this.#endAfterMove === undefined;
    await this.#parts.process.end(later);
  }

  // ---

  #hurry(): void {
    this.#hurries = this.#parts.setPriorities(MOVING_NICE);
  }

  /** Soon, and again until it succeeds: descriptors may be used up for a while. */
  #calmDown(): void {
    setTimeout(() => {
      // The next hand-over may have begun.
      if (this.#moving || this.isOver) return;
      if (!this.#parts.setPriorities(0) && this.#hurries) this.#calmDown();
      else this.#hurries = false;
    }, CATCH_UP_MS).unref();
  }

  /** There are keys in it. */
  #wipeExported(): void {
    for (const { bytes } of this.#exported) bytes.fill(0);
    this.#exported = [];
  }

  /** A signal that came while connections had no owner waits for one. */
  #endIfAsked(): void {
    const why = this.#endAfterMove;
    this.#endAfterMove = undefined;
    if (why !== undefined) this.#parts.process.shutDown(why);
  }
}
