import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { systemClock } from '#common/clock.ts';
import { saveCompiledCode } from '#common/compile-cache.ts';
import { LogLevels } from '#common/log/filter.ts';
import { textLine } from '#common/log/format.ts';
import { Logger } from '#common/log/logger.ts';
import { LineWriter } from '#common/log/writer.ts';
import type { Identity } from '#common/tls/spiffe.ts';
import { Readiness } from '#dataplane/admin/readiness.ts';
import { CaClient } from '#dataplane/identity/ca-client.ts';
import { type CertificateChange, CertificateManager } from '#dataplane/identity/certificates.ts';
import type { IdentityMaterial } from '#dataplane/identity/material.ts';
import type { MeshDelta } from '#dataplane/state/delta.ts';
import { MeshStore } from '#dataplane/state/store.ts';
import type { TrafficCounts } from '#dataplane/telemetry/metrics.ts';
import { openFilesLimit, raiseOpenFilesLimit } from '#linux/limits.ts';
import { netnsId, selfCheckNetns } from '#linux/netns.ts';
import { setThreadPriorities } from '#linux/priority.ts';
import type { Loop } from '#reactor/loop.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';
import { selfTestOpenssl } from '#reactor/tls/self-test.ts';

import { AdminPages } from './admin-pages.ts';
import type { Config } from './config.ts';
import { type Giver, type Handed, HandOverServer, takeOver } from './hand-over.ts';
import { Pods, READINESS_TASK } from './inpod/pods.ts';
import { ZdsClient } from './inpod/zds-client.ts';
import { type MeshConfiguration, MeshSource } from './mesh-source.ts';
import { Phases } from './phases.ts';
import { WorkerPodHost } from './pod-host.ts';
import { TrafficTotals } from './traffic-totals.ts';
import { wantedIdentities } from './wanted-identities.ts';
import type { IdentityUpdate } from './worker/identities.ts';
import { type PackedPod, withDescriptors } from './worker/packed-pod.ts';
import { Workers } from './worker/workers.ts';
import { workerSettings } from './worker-settings.ts';
import { XdsSource } from './xds-source.ts';

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
}

/** Priority of a start beside a process that serves, and of an end beside one. */
const STARTING_NICE = 10;
/** ... and while connections stand still, until both ends have caught up with what arrived meanwhile. */
const MOVING_NICE = -15;
const CATCH_UP_MS = 250;
/** Compiled code is saved when nobody waits for the processor any more. */
const SETTLED_MS = 3_000;
const STATE_TASK = 'state manager';
const DRAIN_POLL_MS = 50;
const READINESS_POLL_MS = 200;
/** The predecessor closes its ports before it says "go"; the kernel may need a moment. */
const PORTS_FREE_MS = 2_000;

/** The node tunnel: the control thread's parts, wired in the order in which they depend on each other. */
export class App implements Giver {
  /** The end has begun. */
  stopping = false;
  readonly #config: Config;
  readonly #levels: LogLevels;
  readonly #writer: LineWriter;
  readonly #log: Logger;
  readonly #workers: Workers;
  readonly #mesh = new MeshStore();
  readonly #source: MeshConfiguration;
  readonly #certificates: CertificateManager;
  readonly #host: WorkerPodHost;
  readonly #totals: TrafficTotals;
  readonly #readiness = new Readiness([STATE_TASK, READINESS_TASK]);
  readonly #admin: AdminPages;
  readonly #ended = Promise.withResolvers<string | undefined>();
  readonly #identities = new Map<Identity, IdentityUpdate>();
  #wanted: ReadonlyMap<Identity, unknown> = new Map();
  #hasPredecessor = false;
  /** By worker, how often it has died. */
  readonly #deaths: number[] = [];
  #phases = new Phases();
  /** What was told to a successor. */
  #exported: readonly PackedPod[] = [];
  /** Why a predecessor does not hand over to us. */
  #refused: string | undefined;
  /** There seems to be a predecessor. */
  #succeeds = false;
  /** Connections are on their way from one process to another; whoever ends now would cut them. */
  #moving = false;
  /** Why this process should end when that is over. */
  #endAfterMove: string | undefined;
  #handedOver = false;
  #loop: Loop | undefined;
  #pods: Pods | undefined;
  #zds: ZdsClient | undefined;
  #handOver: HandOverServer | undefined;

  constructor(config: Config, warnings: readonly string[]) {
    this.#config = config;
    this.#levels = new LogLevels(config.log.filter);
    this.#writer = new LineWriter(1, (lines) => lostLines(lines));
    const { format } = config.log;
    const output = { levels: this.#levels, format, sink: this.#writer, now: () => Date.now() };
    this.#log = new Logger(output, 'ztunnel');
    for (const warning of warnings) this.#log.warn(warning);

    this.#workers = new Workers(workerSettings(config, openFilesLimit().hard), {
      onLog: (batch) => this.#writer.writeBatch(batch),
      onReport: (problem) => this.#log.error(problem),
      // Cuts a long back-off short. What no pod of this node has is not asked for.
      onIdentityWanted: (identity) => {
        const wanted = identity as Identity;
        if (this.#wanted.has(wanted)) this.#certificates.want(wanted, 'real-time');
      },
      onLateCounts: (index, collected) => this.#totals.add(index, collected),
      onSilent: (index, silent) => {
        const task = `data worker ${index} answers`;
        if (silent) this.#readiness.pending(task);
        else this.#readiness.done(task);
      },
      onDied: (index) => {
        this.#totals.forgetOpen(index);
        this.#deaths[index] = (this.#deaths[index] ?? 0) + 1;
        this.#readiness.done(`data worker ${index} answers`);
        this.#readiness.pending(podsTask(index));
      },
      onReplaced: (index, reason) => this.#refill(index, reason),
      onHopeless: (problem) => this.#ended.resolve(problem),
    });
    this.#source = this.#newSource();
    this.#certificates = new CertificateManager({
      signer: new CaClient({ ...config.ca, clusterId: config.self.clusterId }),
      clock: systemClock,
      random: Math.random,
      onChange: (identity, change) => this.#onIdentity(identity, change),
      onFailure: (identity, { reason, nextAttemptMs }) => {
        const again = new Date(nextAttemptMs).toISOString();
        this.#log.warn('cannot get a certificate', { identity, reason, again });
      },
    });
    const facts = { node: config.self.nodeName, clusterId: config.self.clusterId };
    this.#host = new WorkerPodHost(this.#workers, facts, (problem) => this.#log.error(problem));
    this.#host.onChange = () => this.#updateWanted();
    this.#totals = new TrafficTotals(this.#workers);
    this.#admin = new AdminPages({
      config,
      log: this.#log,
      levels: this.#levels,
      readiness: this.#readiness,
      workers: this.#workers,
      totals: this.#totals,
      mesh: this.#mesh,
      certificates: this.#certificates,
      host: this.#host,
      pendingPods: () => this.#pods?.pendingCount ?? 0,
      lostLines: () => this.#writer.lost,
      sourceFamilies: this.#source instanceof XdsSource ? this.#source.families() : [],
      shutDown: () => this.shutDown('/quitquitquit'),
    });
  }

  /** Serves until the end; a text says why it could not. */
  async run(): Promise<string | undefined> {
    try {
      const problem = await this.#start();
      if (problem !== undefined) return problem;
      return await this.#ended.promise;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    } finally {
      await this.#writer.flush();
      this.#writer.flushSync();
    }
  }

  /** Takes nothing new, lets connections finish until the deadline, then ends. */
  shutDown(why: string): void {
    if (this.#handedOver) {
      this.#ended.resolve(undefined);
      return;
    }
    if (this.#moving) {
      this.#endAfterMove ??= why;
      return;
    }
    if (this.stopping) return;
    this.stopping = true;
    this.#log.info('draining', { reason: why, deadline: `${this.#config.drainDeadlineMs}ms` });
    this.#drain().then(
      () => this.#ended.resolve(undefined),
      (error: unknown) => this.#ended.resolve(String(error)),
    );
  }

  async #start(): Promise<string | undefined> {
    // Whoever serves now needs the processor more: this start may take its time.
    const { handOverSocketPath } = this.#config.inpod;
    this.#succeeds = handOverSocketPath !== undefined && existsSync(handOverSocketPath);
    if (this.#succeeds) setThreadPriorities(STARTING_NICE);
    raiseOpenFilesLimit();
    selfTestOpenssl();
    selfCheckNetns();

    // 1. What the mesh looks like. Without it nothing can be decided.
    // A control plane may be away for long: whoever looks at this process meanwhile should see why it waits.
    if (this.#config.state.kind === 'xds' && !this.#succeeds) await this.#openAdmin();
    const problems = await this.#source.load();
    if (problems.length > 0)
      return `cannot use the local configuration:\n  ${problems.join('\n  ')}`;
    // The wait for a control plane may be long.
    if (this.stopping) return undefined;
    if (this.#config.state.kind === 'xds') this.#logMesh('the mesh is known');

    // 2. The data workers, with everything known so far.
    const loop = await openThreadLoop();
    this.#loop = loop;
    loop.onFault = (error) =>
      this.#log.error('fault on the control thread', { error: String(error) });
    await this.#workers.start(this.#config.workerThreads);
    this.#tellAll(undefined);
    loop.start();
    this.#readiness.done(STATE_TASK);

    // 3. What a predecessor on this node has: its listeners, tunnels and connections.
    this.#pods = new Pods({
      host: this.#host,
      loop,
      log: (level, message) => this.#log[level](message),
    });
    if (this.#succeeds) {
      await this.#workers.askAll({ kind: 'warm-up' });
    }
    const problem = await this.#takeOver(loop);
    if (problem !== undefined) return problem;

    // 4. The pages. Whoever can't have their ports ends before it has served anybody.
    if (!this.#admin.isOpen) await this.#openAdmin();

    // 5. Pods, as the CNI agent announces them.
    const { agentSocketPath: path } = this.#config.inpod;
    const log = (level: 'info' | 'warn', message: string): void => this.#log[level](message);
    this.#zds = new ZdsClient({ loop, path, pods: this.#pods, log });
    this.#zds.start();
    const poll = setInterval(() => this.#pollReadiness(), READINESS_POLL_MS);
    poll.unref();

    // 6. Changes of the configuration, a successor.
    this.#source.follow();
    this.#totals.follow();
    this.#listenForSuccessor(loop);
    setTimeout(saveCompiledCode, SETTLED_MS).unref();
    // The next hand-over should find us warm, too.
    if (!this.#succeeds) {
      this.#workers.askAll({ kind: 'warm-up' }).catch((error: unknown) => {
        if (!this.stopping) this.#log.warn('workers are not warm', { error: String(error) });
      });
    }
    this.#log.info('serving', { workers: this.#workers.count, node: this.#config.self.nodeName });
    return undefined;
  }

  // --- What workers must know

  #newSource(): MeshConfiguration {
    const { state } = this.#config;
    if (state.kind === 'xds') {
      const onDelta = (delta: MeshDelta): void => this.#onMesh(delta);
      return new XdsSource(state, { onDelta, log: this.#log.scoped('xds') });
    }
    return new MeshSource(state, {
      onDelta: (delta) => {
        this.#onMesh(delta);
        this.#logMesh('local configuration taken up');
      },
      onWarning: (warning) => this.#log.warn(warning),
      onRefused: (problems) => {
        const line = 'local configuration refused, the one before it stays in force';
        for (const problem of problems) this.#log.error(line, { problem });
      },
    });
  }

  #onMesh(delta: MeshDelta): void {
    this.#mesh.apply(delta);
    this.#workers.broadcast({ kind: 'mesh', delta });
    if (delta.upsertWorkloads.length + delta.removeWorkloads.length > 0) this.#updateWanted();
  }

  #logMesh(line: string): void {
    const { workloads, services, policies } = this.#mesh.snapshot();
    this.#log.info(line, {
      workloads: workloads.length,
      services: services.length,
      policies: policies.length,
    });
  }

  #onIdentity(identity: Identity, update: CertificateChange): void {
    if (update.kind === 'forgotten') this.#identities.delete(identity);
    else this.#identities.set(identity, update);
    this.#workers.broadcast({ kind: 'identity', identity, update });
  }

  /** Asks for the certificates that are needed now, and lets go of those that are not. */
  #updateWanted(): void {
    const { nodeName } = this.#config.self;
    const workloads = this.#mesh.workloads();
    const wanted = wantedIdentities(this.#host.pods(), workloads, this.#mesh, nodeName);
    this.#certificates.wantOnly(wanted);
    this.#wanted = wanted;
  }

  /** Everything known so far, for one worker or (undefined) all. */
  #tellAll(index: number | undefined): void {
    const { workloads, services, policies } = this.#mesh.snapshot();
    const delta: MeshDelta = {
      upsertWorkloads: workloads,
      removeWorkloads: [],
      upsertServices: services,
      removeServices: [],
      upsertPolicies: policies,
      removePolicies: [],
    };
    const tell = (notice: Parameters<Workers['broadcast']>[0]): void => {
      if (index === undefined) this.#workers.broadcast(notice);
      else this.#workers.tell(index, notice);
    };
    tell({ kind: 'mesh', delta });
    tell({ kind: 'log-filter', filter: this.#levels.current() });
    for (const [identity, update] of this.#identities) tell({ kind: 'identity', identity, update });
  }

  /** A worker has died: the new one gets the mesh, the certificates and the pods of the old one. */
  #refill(index: number, reason: string): void {
    this.#log.error('a data worker died and was replaced', { worker: index, reason });
    this.#tellAll(index);
    this.#serveAgain(index).catch((error: unknown) => this.#log.error(String(error)));
  }

  async #serveAgain(index: number): Promise<void> {
    const deaths = this.#deaths[index];
    await this.#host.restart(index);
    if (this.#deaths[index] === deaths) this.#readiness.done(podsTask(index));
  }

  #pollReadiness(): void {
    if (this.stopping || this.#pods?.notReadyBecause !== undefined) {
      this.#readiness.pending(READINESS_TASK);
    } else {
      this.#readiness.done(READINESS_TASK);
    }
  }

  // --- Taking over

  async #takeOver(loop: Loop): Promise<string | undefined> {
    const path = this.#config.inpod.handOverSocketPath;
    if (path === undefined) return undefined;
    this.#moving = true;
    if (this.#succeeds) setThreadPriorities(MOVING_NICE);
    const problem = await this.#takeOverFrom(loop, path).finally(calmDown);
    // A process that does not get it touches nothing of it any more: it just ends.
    if (problem !== undefined) return problem;
    this.#moving = false;
    this.#endIfAsked();
    return undefined;
  }

  async #takeOverFrom(loop: Loop, path: string): Promise<string | undefined> {
    const taken = await takeOver(loop, path, (early) => this.#takeEarly(early as EarlyState));
    if (taken.kind === 'nobody') return undefined;
    if (taken.kind === 'refused') {
      this.#refused = taken.reason;
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
      const shares = this.#host.deal(state.pods.map((pod) => withDescriptors(pod, take)));
      await Promise.all(
        shares.map((share, index) => this.#workers.ask(index, { kind: 'adopt', pods: share })),
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
    this.#hasPredecessor = true;
    this.#workers.broadcast({ kind: 'go' });
    this.#totals.continueFrom(state.counts);
    phases.end('confirm');
    for (const placed of this.#host.pods()) {
      this.#pods?.adopt(placed.uid, placed.pod, netnsId(placed.netnsFd));
    }
    const connections = state.pods.reduce((sum, pod) => sum + pod.connections, 0);
    const pods = state.pods.length;
    this.#log.info('took over from the predecessor', { pods, connections, ...phases.ended });
    return undefined;
  }

  /** Certificates are costly to load, and the predecessor still serves. */
  async #takeEarly({ certificates }: EarlyState): Promise<void> {
    for (const { identity, material } of certificates) this.#certificates.seed(identity, material);
    // An answer comes after everything that was told before.
    await this.#workers.askAll({ kind: 'collect' });
  }

  // --- Handing over

  #listenForSuccessor(loop: Loop): void {
    const path = this.#config.inpod.handOverSocketPath;
    if (path === undefined) return;
    const listening = HandOverServer.listen(loop, path, this);
    if (typeof listening === 'string') {
      this.#log.warn('connections will not survive an upgrade of this process', {
        reason: listening,
      });
    } else {
      this.#handOver = listening;
    }
  }

  early(): EarlyState {
    return { certificates: this.#certificates.materials() };
  }

  refused(successorPid: number, reason: string): void {
    const line = 'this process does not hand over to a successor, and goes on';
    this.#log.warn(line, { successor: successorPid, reason });
  }

  async freeze(): Promise<Handed> {
    if (this.stopping) throw new Error('this process is about to end');
    this.#phases = new Phases();
    setThreadPriorities(MOVING_NICE);
    this.#moving = true;
    try {
      return await this.#export();
    } catch (error) {
      this.thaw(error instanceof Error ? error.message : String(error));
      throw error;
    }
  }

  async #export(): Promise<Handed> {
    const indexes = Array.from({ length: this.#workers.count }, (_, index) => index);
    const exported = await Promise.allSettled(
      indexes.map((index) => this.#workers.ask(index, { kind: 'export' })),
    );
    const states = exported.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    for (const [index, { collected }] of states.entries()) this.#totals.add(index, collected);
    if (states.length < indexes.length) {
      throw new Error('a data worker could not tell its state');
    }
    const pods = states.flatMap((each) => each.pods);
    const left = states.reduce((count, each) => count + each.leftBehind, 0);
    if (left > 0) this.#log.warn('connections in a handshake can not be moved', { count: left });
    const descriptors = pods.flatMap((pod) => pod.descriptors);
    const state: ProcessState = { pods, counts: this.#totals.metrics.export() };
    this.#exported = pods;
    this.#phases.end('export');
    return { state, descriptors };
  }

  prepareToGo(): void {
    this.#phases.end('transfer');
    this.#zds?.stop();
    this.#handOver?.close();
    this.#admin.closeListeners();
  }

  thaw(reason: string): void {
    calmDown();
    this.#wipeExported();
    this.#workers.broadcast({ kind: 'thaw' });
    this.#moving = false;
    if (!this.#admin.isOpen && this.#endAfterMove === undefined) {
      this.#zds?.start();
      this.#openAdmin().catch((error: unknown) => this.#log.error(String(error)));
      if (this.#loop !== undefined) this.#listenForSuccessor(this.#loop);
    }
    // Whoever reads it may send the next successor.
    this.#log.warn('the hand-over broke off, this process goes on', { reason });
    this.#endIfAsked();
  }

  async released(successorPid: number): Promise<void> {
    this.#phases.end('confirm');
    // Nobody waits for what is left to do.
    setThreadPriorities(STARTING_NICE);
    this.#wipeExported();
    this.stopping = true;
    this.#source.close();
    // The successor renews them now.
    this.#certificates[Symbol.dispose]();
    try {
      await this.#workers.askAll({ kind: 'release' });
    } catch (error) {
      // Its copies are closed with the process at the latest.
      this.#log.error('a data worker did not let go', { error: String(error) });
    }
    this.#log.info('everything was handed over', {
      successor: successorPid,
      pause: this.#phases.total,
      ...this.#phases.ended,
    });
    this.#handedOver = true;
    // Its pod's container would be started again by Kubernetes, and take everything back.
    if (this.#config.waitAfterHandOver && this.#endAfterMove === undefined) {
      await this.#writer.flush();
      return;
    }
    this.#ended.resolve(undefined);
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
    if (why !== undefined) this.shutDown(why);
  }

  // ---

  async #openAdmin(): Promise<void> {
    const untilMs = performance.now() + PORTS_FREE_MS;
    for (;;) {
      try {
        await this.#admin.open();
        return;
      } catch (error) {
        if (this.#refused !== undefined) throw beside(this.#refused, error);
        if (performance.now() > untilMs || !this.#hasPredecessor) throw error;
        await sleep(20);
      }
    }
  }

  async #drain(): Promise<void> {
    this.#readiness.pending('draining');
    this.#zds?.stop();
    this.#handOver?.close();
    this.#source.close();
    this.#workers.broadcast({ kind: 'drain' });
    const untilMs = performance.now() + this.#config.drainDeadlineMs;
    await this.#totals.refresh();
    while (this.#totals.connections > 0 && performance.now() < untilMs) {
      await sleep(DRAIN_POLL_MS);
      await this.#totals.refresh();
    }
    const cut = this.#totals.connections;
    if (cut > 0)
      this.#log.warn('connections did not end in time and are cut', { connections: cut });
    const reason = 'connection failed to drain within the timeout';
    this.#workers.broadcast({ kind: 'cut', reason });
    // An answer comes after all log lines before it.
    await this.#totals.refresh();
    await this.#admin.close();
    await this.#workers.stop();
    this.#log.info('drained', { cut });
  }
}

/** Readiness waits for it: a replaced worker serves the pods of the one that died. */
function podsTask(worker: number): string {
  return `data worker ${worker} serves its pods`;
}

function calmDown(): void {
  setTimeout(() => setThreadPriorities(0), CATCH_UP_MS).unref();
}

/** Both want the same ports, and nothing is handed over: one has to end, and it is not the one that serves. */
function beside(refused: string, error: unknown): Error {
  const why = error instanceof Error ? error.message : String(error);
  return new Error(
    `the process that serves this node does not hand over to this one (${refused}), and both need the same ports: end it first, or let this one have others. ${why}`,
  );
}

function lostLines(lines: number): string {
  return textLine({
    timeMs: Date.now(),
    level: 'warn',
    scope: 'ztunnel',
    spans: [],
    message: 'log lines were lost, the reader is too slow',
    fields: { lines },
  });
}
