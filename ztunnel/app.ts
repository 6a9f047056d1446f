import { setTimeout as sleep } from 'node:timers/promises';

import { systemClock } from '#common/clock.ts';
import { saveCompiledCode } from '#common/compile-cache.ts';
import { LogLevels } from '#common/log/filter.ts';
import { textLine } from '#common/log/format.ts';
import { Logger } from '#common/log/logger.ts';
import { LineWriter } from '#common/log/writer.ts';
import type { Identity } from '#common/tls/spiffe.ts';
import { letYoungGenerationGrow } from '#common/young-generation.ts';
import { Readiness } from '#dataplane/admin/readiness.ts';
import type { MeshConfiguration } from '#dataplane/config-source.ts';
import { CaClient } from '#dataplane/identity/ca-client.ts';
import { type CertificateChange, CertificateManager } from '#dataplane/identity/certificates.ts';
import { diff, EMPTY_SNAPSHOT, type MeshDelta } from '#dataplane/state/delta.ts';
import { MeshStore } from '#dataplane/state/store.ts';
import { XdsSource } from '#dataplane/xds-source.ts';
import { openFilesLimit, raiseOpenFilesLimit } from '#linux/limits.ts';
import { keepFreedMemory } from '#linux/malloc.ts';
import { netnsId, selfCheckNetns } from '#linux/netns.ts';
import { setThreadPriorities } from '#linux/priority.ts';
import type { Loop } from '#reactor/loop.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';
import { selfTestOpenssl } from '#reactor/tls/self-test.ts';

import { AdminPages } from './admin-pages.ts';
import type { Config } from './config.ts';
import { Pods, READINESS_TASK } from './inpod/pods.ts';
import { ZdsClient } from './inpod/zds-client.ts';
import { MeshSource } from './mesh-source.ts';
import { WorkerPodHost } from './pod-host.ts';
import { type Process, Succession } from './succession.ts';
import { TrafficTotals } from './traffic-totals.ts';
import { wantedIdentities } from './wanted-identities.ts';
import type { IdentityUpdate } from './worker/identities.ts';
import { Workers } from './worker/workers.ts';
import { workerSettings } from './worker-settings.ts';

/** Compiled code is saved when nobody waits for the processor any more. */
const SETTLED_MS = 3_000;
const STATE_TASK = 'state manager';
const DRAIN_POLL_MS = 50;
const READINESS_POLL_MS = 200;
/** The predecessor closes its ports before it says "go"; the kernel may need a moment. */
const PORTS_FREE_MS = 2_000;
/** ... and who took one from a process that has succeeded may take its time. */
const PORTS_RETRY_MS = 5_000;

/** The node tunnel: the control thread's parts, wired in the order in which they depend on each other. */
export class App implements Process {
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
  readonly #succession: Succession;
  readonly #ended = Promise.withResolvers<string | undefined>();
  readonly #identities = new Map<Identity, IdentityUpdate>();
  #wanted: ReadonlyMap<Identity, unknown> = new Map();
  /** By worker, how often it has died. */
  #pagesLater: NodeJS.Timeout | undefined;
  readonly #deaths: number[] = [];
  /** From here on there may be connections that an end has to care for. */
  #mayServe = false;
  #loop: Loop | undefined;
  #pods: Pods | undefined;
  #zds: ZdsClient | undefined;

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
      onNamesWanted: (index, names) => {
        if (!(this.#source instanceof XdsSource)) return;
        const answered = this.#source.demand(names);
        if (answered.length > 0)
          this.#workers.tell(index, { kind: 'demands', answered, forgotten: [] });
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
    this.#succession = new Succession({
      path: config.inpod.handOverSocketPath,
      staysAfterwards: config.waitAfterHandOver,
      log: this.#log,
      workers: this.#workers,
      host: this.#host,
      totals: this.#totals,
      certificates: this.#certificates,
      process: this,
      setPriorities: setThreadPriorities,
    });
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
      // A start that is ended half-way fails of that, and nobody needs to know how.
      if (this.stopping) return await this.#ended.promise;
      return error instanceof Error ? error.message : String(error);
    } finally {
      await this.#writer.flush();
      this.#writer.flushSync();
    }
  }

  /** Takes nothing new, lets connections finish until the deadline, then ends. */
  shutDown(why: string): void {
    if (this.#succession.isOver) {
      this.#ended.resolve(undefined);
      return;
    }
    if (this.#succession.defersEnd(why) || this.stopping) return;
    this.stopping = true;
    this.#end(why).then(
      () => this.#ended.resolve(undefined),
      (error: unknown) => this.#ended.resolve(String(error)),
    );
  }

  async #end(why: string): Promise<void> {
    if (this.#mayServe) {
      this.#log.info('draining', { reason: why, deadline: `${this.#config.drainDeadlineMs}ms` });
      await this.#drain();
      return;
    }
    // Workers that are still starting would not answer in time.
    this.#source.close();
    await this.#admin.close();
    await this.#workers.stop();
    this.#log.info('ended before anything was served', { reason: why });
  }

  async #start(): Promise<string | undefined> {
    // Whoever serves now needs the processor more: this start may take its time.
    this.#succession.prepare();
    raiseOpenFilesLimit();
    selfTestOpenssl();
    selfCheckNetns();

    // 1. What the mesh looks like. Without it nothing can be decided.
    // A control plane may be away for long: whoever looks at this process meanwhile should see why it waits.
    if (this.#config.state.kind === 'xds' && !this.#succession.isExpected) await this.#openAdmin();
    const problems = await this.#source.load();
    if (problems.length > 0)
      return `cannot use the local configuration:\n  ${problems.join('\n  ')}`;
    // The wait for a control plane may be long.
    if (this.stopping) return undefined;
    if (this.#config.state.kind === 'xds') this.#logMesh('the mesh is known');

    // 2. The data workers, with everything known so far.
    const loop = await openThreadLoop();
    if (this.stopping) return undefined;
    this.#loop = loop;
    loop.onFault = (error) =>
      this.#log.error('fault on the control thread', { error: String(error) });
    await this.#workers.start(this.#config.workerThreads);
    if (this.stopping) return undefined;
    this.#tellAll(undefined);
    loop.start();
    this.#readiness.done(STATE_TASK);

    // 3. What a predecessor on this node has: its listeners, tunnels and connections.
    this.#pods = new Pods({
      host: this.#host,
      loop,
      log: (level, message) => this.#log[level](message),
    });
    if (this.#succession.isExpected) {
      await this.#workers.askAll({ kind: 'warm-up' });
    }
    if (this.stopping) return undefined;
    this.#mayServe = true;
    const problem = await this.#succession.takeOver(loop);
    if (problem !== undefined) return problem;
    if (this.stopping) return undefined;

    // 4. The pages. Whoever can't have their ports ends before it has served anybody; a successor has those already
    // that its predecessor did not have.
    if (!this.#admin.isOpen) await this.#openAdmin();
    if (this.stopping) return undefined;

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
    this.#succession.listen(loop);
    setTimeout(() => {
      saveCompiledCode();
      letYoungGenerationGrow();
      keepFreedMemory();
    }, SETTLED_MS).unref();
    // The next hand-over should find us warm, too.
    if (!this.#succession.isExpected) {
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
      const onAnswered = (answered: readonly string[], forgotten: readonly string[]): void =>
        this.#workers.broadcast({ kind: 'demands', answered, forgotten });
      return new XdsSource(state, { onDelta, onAnswered, log: this.#log.scoped('xds') });
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
    const delta = diff(EMPTY_SNAPSHOT, this.#mesh.snapshot());
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
    const because = this.stopping ? 'it ends' : this.#pods?.notReadyBecause;
    if (because === undefined) this.#readiness.done(READINESS_TASK);
    else this.#readiness.pending(READINESS_TASK, because);
  }

  // --- Process: what a hand-over needs of it

  get ports(): readonly number[] {
    return this.#admin.ports;
  }

  async openOwn(others: readonly number[]): Promise<void> {
    await this.#admin.open(others);
  }

  letGo(): void {
    this.#zds?.stop();
    clearTimeout(this.#pagesLater);
    this.#admin.closeListeners();
  }

  takeBack(): void {
    if (this.#admin.isOpen) return;
    this.#zds?.start();
    this.#openAdmin().catch((error: unknown) => this.#log.error(String(error)));
    if (this.#loop !== undefined) this.#succession.listen(this.#loop);
  }

  adopted(): void {
    for (const placed of this.#host.pods()) {
      this.#pods?.adopt(placed.uid, placed.pod, netnsId(placed.netnsFd));
    }
  }

  retire(): void {
    this.stopping = true;
    this.#source.close();
    // The successor renews them now.
    this.#certificates[Symbol.dispose]();
  }

  async end(later: boolean): Promise<void> {
    // Tunnels that have ended can't move; what their peers have not taken yet goes out from here.
    await this.#untilIdle(performance.now() + this.#config.drainDeadlineMs);
    if (later) await this.#writer.flush();
    else this.#ended.resolve(undefined);
  }

  // ---

  async #openAdmin(): Promise<void> {
    const untilMs = performance.now() + PORTS_FREE_MS;
    for (;;) {
      try {
        await this.#admin.open();
        return;
      } catch (error) {
        const { refusedBecause, hasSucceeded } = this.#succession;
        if (refusedBecause !== undefined) throw beside(refusedBecause, error);
        if (!hasSucceeded) throw inUse(error);
        if (performance.now() > untilMs) {
          this.#openAdminLater(error);
          return;
        }
        await sleep(20);
      }
    }
  }

  /** Nobody else has the connections any more: whatever the pages lack is no reason to end. */
  #openAdminLater(error: unknown): void {
    if (this.stopping) return;
    this.#log.error('not all pages are open yet', { error: String(error) });
    this.#pagesLater = setTimeout(() => void this.#openAdminAgain(), PORTS_RETRY_MS);
  }

  async #openAdminAgain(): Promise<void> {
    try {
      await this.#admin.open();
      this.#log.info('all pages are open');
    } catch (error) {
      this.#openAdminLater(error);
    }
  }

  async #drain(): Promise<void> {
    clearTimeout(this.#pagesLater);
    this.#readiness.pending('draining');
    this.#zds?.stop();
    this.#succession.close();
    this.#source.close();
    this.#workers.broadcast({ kind: 'drain' });
    const untilMs = performance.now() + this.#config.drainDeadlineMs;
    await this.#untilIdle(untilMs);
    const { connections: cut, tunnelsSending } = this.#totals;
    if (cut > 0)
      this.#log.warn('connections did not end in time and are cut', { connections: cut });
    if (tunnelsSending > 0) {
      const line = 'tunnels could not send everything in time and are cut';
      this.#log.warn(line, { tunnels: tunnelsSending });
    }
    const reason = 'connection failed to drain within the timeout';
    this.#workers.broadcast({ kind: 'cut', reason });
    // An answer comes after all log lines before it.
    await this.#totals.refresh();
    await this.#admin.close();
    await this.#workers.stop();
    this.#log.info('drained', { cut });
  }

  /** Waits for connections, and for tunnels whose peers still take what the last ones have sent. */
  async #untilIdle(untilMs: number): Promise<void> {
    await this.#totals.refresh();
    while (
      this.#totals.connections + this.#totals.tunnelsSending > 0 &&
      performance.now() < untilMs
    ) {
      await sleep(DRAIN_POLL_MS);
      await this.#totals.refresh();
    }
  }
}

/** Readiness waits for it: a replaced worker serves the pods of the one that died. */
function podsTask(worker: number): string {
  return `data worker ${worker} serves its pods`;
}

/** Both want the same ports, and nothing is handed over: one has to end, and it is not the one that serves. */
function beside(refused: string, error: unknown): Error {
  const why = error instanceof Error ? error.message : String(error);
  return new Error(
    `the process that serves this node does not hand over to this one (${refused}), and both need the same ports: end it first, or let this one have others. ${why}`,
  );
}

/** Whoever stops what listens there, as advised, may cut all of a node's connections. */
function inUse(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { code } = (error.cause ?? {}) as NodeJS.ErrnoException;
  if (code !== 'EADDRINUSE') return error;
  return new Error(
    `${error.message}. If a node tunnel that serves listens there, ending it cuts its connections: first see in its log, and in HANDOVER_UDS of both, why it does not hand over to this one`,
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
