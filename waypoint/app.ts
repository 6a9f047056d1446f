import { systemClock } from '#common/clock.ts';
import { collectGarbage } from '#common/collect-garbage.ts';
import { saveCompiledCode } from '#common/compile-cache.ts';
import type { AdminServer } from '#common/http/admin-server.ts';
import { LogLevels } from '#common/log/filter.ts';
import { Logger } from '#common/log/logger.ts';
import { LineWriter } from '#common/log/writer.ts';
import { availableMemoryBytes } from '#common/memory.ts';
import { processFamilies } from '#common/metrics/process.ts';
import { MetricsRegistry, single } from '#common/metrics/registry.ts';
import { readVersion } from '#common/version.ts';
import { letYoungGenerationGrow } from '#common/young-generation.ts';
import { Readiness } from '#dataplane/admin/readiness.ts';
import { CaClient } from '#dataplane/identity/ca-client.ts';
import { type CertificateChange, CertificateManager } from '#dataplane/identity/certificates.ts';
import { diff, EMPTY_SNAPSHOT, type MeshDelta } from '#dataplane/state/delta.ts';
import { MeshStore } from '#dataplane/state/store.ts';
import { buildFamilies, trafficFamilies } from '#dataplane/telemetry/exposition.ts';
import { TrafficMetrics } from '#dataplane/telemetry/metrics.ts';
import { XdsSource } from '#dataplane/xds-source.ts';
import { openFilesLimit, raiseOpenFilesLimit } from '#linux/limits.ts';
import { keepFreedMemory } from '#linux/malloc.ts';
import type { Listener } from '#reactor/listener.ts';
import type { Loop } from '#reactor/loop.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';
import type { TlsMaterial } from '#reactor/tls/context.ts';
import { selfTestOpenssl } from '#reactor/tls/self-test.ts';
import type { ReceivedResource, Rejection } from '#xds/client.ts';

import { openPages } from './admin/pages.ts';
import type { Config } from './config.ts';
import { openTunnelPort } from './listener/tunnel-port.ts';
import { decodePolicy } from './policy/decode.ts';
import type { Policy } from './policy/model.ts';
import { PolicySet } from './policy/policy-set.ts';
import { separate } from './received.ts';
import { decodeRoute } from './routing/decode.ts';
import type { Route } from './routing/model.ts';
import { RouteTable } from './routing/table.ts';
import { Refusals } from './telemetry/refusals.ts';
import { requestFamilies } from './telemetry/request-families.ts';
import { RequestMetrics } from './telemetry/request-metrics.ts';
import { waypointTunnelOptions } from './upstream/tunnel-options.ts';
import { planeLimits } from './worker/limits.ts';
import type { WorkerSettings } from './worker/protocol.ts';
import { Workers } from './worker/workers.ts';

const ROUTE_TYPE = 'type.googleapis.com/ambit.waypoint.Route';
const POLICY_TYPE = 'type.googleapis.com/ambit.waypoint.Policy';
const MESH_TASK = 'the mesh is known';
const CERTIFICATE_TASK = 'our certificate';
const LISTEN_TASK = 'tunnels can come in';
const WORKER_TASK = 'a data worker takes tunnels';

interface Counts {
  readonly tunnels: number;
  readonly connections: number;
  readonly faults: number;
}

/** The waypoint: the control thread's parts, and its data workers. */
export class App {
  /** The end has begun. */
  stopping = false;
  readonly #config: Config;
  readonly #levels: LogLevels;
  readonly #writer: LineWriter;
  readonly #log: Logger;
  readonly #mesh = new MeshStore();
  readonly #source: XdsSource;
  readonly #certificates: CertificateManager;
  readonly #readiness = new Readiness([MESH_TASK, CERTIFICATE_TASK, LISTEN_TASK]);
  readonly #registry: MetricsRegistry;
  readonly #requests = new RequestMetrics();
  readonly #tcp = new TrafficMetrics();
  readonly #refusals = new Refusals();
  readonly #counts: Counts[] = [];
  #faultsOfDead = 0;
  readonly #workers: Workers;
  /** What a worker that begins later must know, beside the mesh: what requests are decided from, … */
  readonly #routes = new RouteTable();
  readonly #policies = new PolicySet();
  /** … and the certificate. */
  #material: TlsMaterial | undefined;
  #port: Listener | undefined;
  readonly #ended = Promise.withResolvers<string | undefined>();
  readonly #hasCertificate = Promise.withResolvers<void>();
  #servers: readonly AdminServer[] = [];

  constructor(config: Config) {
    this.#config = config;
    this.#levels = new LogLevels(config.log.filter);
    this.#writer = new LineWriter(1, (lines) => `${lines} log lines were lost: nobody read them\n`);
    const { format } = config.log;
    const output = { levels: this.#levels, format, sink: this.#writer, now: () => Date.now() };
    this.#log = new Logger(output, 'waypoint');
    this.#source = new XdsSource(config.xds, {
      onDelta: (delta) => this.#onMesh(delta),
      onAnswered: () => undefined,
      log: this.#log.scoped('xds'),
      more: [
        { typeUrl: ROUTE_TYPE, apply: (given, removed) => this.#onRoutes(given, removed) },
        { typeUrl: POLICY_TYPE, apply: (given, removed) => this.#onPolicies(given, removed) },
      ],
    });
    this.#certificates = new CertificateManager({
      signer: new CaClient({ ...config.ca, clusterId: config.clusterId, forItself: true }),
      clock: systemClock,
      random: Math.random,
      onChange: (_identity, change) => this.#onCertificate(change),
      onFailure: (identity, { reason, nextAttemptMs }) => {
        const again = new Date(nextAttemptMs).toISOString();
        this.#log.warn('cannot get a certificate', { identity, reason, again });
      },
    });
    this.#workers = new Workers(workerSettings(config), {
      onLog: (batch) => this.#writer.writeBatch(batch),
      onReport: (problem) => this.#log.warn(problem),
      onCollected: (index, collected) => {
        this.#requests.absorb(collected.requests);
        this.#tcp.absorb(collected.tcp);
        this.#refusals.absorb(collected.refusals);
        this.#tcp.dropUnused();
        const { tunnels, connections, faults } = collected;
        this.#counts[index] = { tunnels, connections, faults };
      },
      onDied: (index) => this.#onDied(index),
      onReplaced: (index, reason) => {
        this.#log.error('a data worker died and was replaced', { worker: index, reason });
        this.#fill(index);
      },
      onTaking: (isTaking) => this.#onTaking(isTaking),
      onHopeless: (problem) => this.#ended.resolve(problem),
    });
    const sum = (pick: (counts: Counts) => number) => (): number =>
      this.#counts.reduce((total, counts) => total + pick(counts), 0);
    this.#registry = new MetricsRegistry([
      ...buildFamilies('waypoint', readVersion()),
      ...processFamilies(),
      ...requestFamilies(this.#requests),
      ...trafficFamilies(this.#tcp, () => this.#requests.overflowed),
      ...this.#refusals.families(),
      ...this.#source.families(),
      single(
        'gauge',
        'ambit_tunnels_open',
        'Tunnels that have come in and are open',
        sum((each) => each.tunnels),
      ),
      single(
        'gauge',
        'ambit_connections_open',
        'Connections inside of tunnels that are open',
        sum((each) => each.connections),
      ),
      single(
        'counter',
        'ambit_handler_faults_total',
        'Connections that were closed by a fault of this program',
        () => this.#faultsOfDead + sum((each) => each.faults)(),
      ),
      single(
        'counter',
        'ambit_log_lines_lost_total',
        'Log lines that nobody read in time',
        () => this.#writer.lost,
      ),
    ]);
  }

  /** Serves until the end; a text says why it could not. */
  async run(): Promise<string | undefined> {
    try {
      await this.#start();
      return await this.#ended.promise;
    } catch (error) {
      if (this.stopping) return await this.#ended.promise;
      return error instanceof Error ? error.message : String(error);
    } finally {
      this.#source.close();
      await this.#writer.flush();
      this.#writer.flushSync();
    }
  }

  /** Takes nothing new, lets what is in progress finish until the deadline, then ends. */
  shutDown(why: string): void {
    if (this.stopping) return;
    this.stopping = true;
    this.#readiness.pending('not ending');
    this.#end(why).then(
      () => this.#ended.resolve(undefined),
      (error: unknown) => this.#ended.resolve(String(error)),
    );
  }

  async #start(): Promise<void> {
    const config = this.#config;
    raiseOpenFilesLimit();
    selfTestOpenssl();
    this.#servers = await openPages({
      config,
      log: this.#log,
      levels: this.#levels,
      readiness: this.#readiness,
      workers: this.#workers,
      mesh: this.#mesh,
      routes: this.#routes,
      policies: this.#policies,
      certificates: this.#certificates,
      registry: this.#registry,
      shutDown: () => this.shutDown('/quitquitquit'),
    });
    const loop = await openThreadLoop();
    loop.onFault = (error) =>
      this.#log.error('fault on the control thread', { error: String(error) });
    await this.#workers.start(config.workers);
    loop.start();
    this.#certificates.want(config.identity, 'real-time');
    await this.#source.load();
    if (this.stopping) return;
    this.#readiness.done(MESH_TASK);
    await this.#hasCertificate.promise;
    if (this.stopping) return;
    this.#listen(loop);
    saveCompiledCode();
    await collectGarbage();
    letYoungGenerationGrow();
    keepFreedMemory();
  }

  async #end(why: string): Promise<void> {
    const { drainDeadlineMs } = this.#config;
    this.#log.info('draining', { reason: why, deadline: `${drainDeadlineMs}ms` });
    this.#port?.close();
    await this.#workers.drain(drainDeadlineMs);
    this.#workers.tellAll({ type: 'cut', reason: 'the waypoint ends' });
    await this.#workers.collect();
    await Promise.all(this.#servers.map((server) => server.close()));
    await this.#workers.stop();
    this.#log.info('ended');
  }

  // --- What is known

  #onMesh(delta: MeshDelta): void {
    this.#mesh.apply(delta);
    this.#workers.tellAll({ type: 'mesh', delta });
  }

  #onRoutes(given: readonly ReceivedResource[], remove: readonly string[]): readonly Rejection[] {
    const { update, rejections } = separate<Route>(
      given,
      (name, bytes) => {
        const decoded = decodeRoute(name, bytes);
        return decoded.kind === 'refused' ? decoded : decoded.route;
      },
      () => true,
    );
    this.#routes.apply(update, remove);
    this.#workers.tellAll({ type: 'routes', update, remove });
    return rejections;
  }

  #onPolicies(given: readonly ReceivedResource[], remove: readonly string[]): readonly Rejection[] {
    const { update, rejections } = separate<Policy>(
      given,
      (name, bytes) => {
        const decoded = decodePolicy(name, bytes);
        return decoded.kind === 'refused' ? decoded : decoded.policy;
      },
      (name) => this.#policies.has(name) && !remove.includes(name),
    );
    this.#policies.apply(update, remove);
    this.#workers.tellAll({ type: 'policies', update, remove });
    return rejections;
  }

  #onCertificate(change: CertificateChange): void {
    if (change.kind !== 'available') {
      this.#readiness.pending(CERTIFICATE_TASK);
      return;
    }
    this.#material = change.material;
    this.#workers.tellAll({ type: 'certificate', material: change.material });
    this.#readiness.done(CERTIFICATE_TASK);
    this.#hasCertificate.resolve();
  }

  // --- Workers

  /** What it had open is gone; what it had counted stays. */
  #onDied(index: number): void {
    const counts = this.#counts[index];
    if (counts === undefined) return;
    this.#faultsOfDead += counts.faults;
    this.#counts[index] = { tunnels: 0, connections: 0, faults: 0 };
  }

  /** Everything that is known so far, for a worker that has just begun. */
  #fill(index: number): void {
    const delta = diff(EMPTY_SNAPSHOT, this.#mesh.snapshot());
    this.#workers.tell(index, { type: 'log-filter', filter: this.#levels.current() });
    this.#workers.tell(index, { type: 'mesh', delta });
    const routes = [...this.#routes.routes()];
    this.#workers.tell(index, { type: 'routes', update: routes, remove: [] });
    const known = [...this.#policies.policies()];
    this.#workers.tell(index, { type: 'policies', update: known, remove: [] });
    const material = this.#material;
    if (material !== undefined) this.#workers.tell(index, { type: 'certificate', material });
  }

  #listen(loop: Loop): void {
    const opened = openTunnelPort(
      loop,
      { port: this.#config.ports.tunnel, ipv6: this.#config.ipv6Enabled },
      (fd) => this.#workers.give(fd),
      (name) => this.#log.warn('cannot accept connections for a moment', { error: name }),
    );
    if ('problem' in opened) {
      this.#ended.resolve(opened.problem);
      return;
    }
    this.#port = opened;
    opened.resume();
    this.#readiness.done(LISTEN_TASK);
    const { identity } = this.#config;
    this.#log.info('serving', { workers: this.#workers.count, identity });
  }

  /** While nobody takes tunnels, whoever comes waits in the kernel: a new worker begins within moments. */
  #onTaking(isTaking: boolean): void {
    if (isTaking) this.#readiness.done(WORKER_TASK);
    else this.#readiness.pending(WORKER_TASK);
    if (this.stopping) return;
    if (isTaking) this.#port?.resume();
    else this.#port?.pause();
  }
}

function workerSettings(config: Config): WorkerSettings {
  const { network, podName: name, podNamespace: namespace, serviceAccount, identity } = config;
  const pod = { name, namespace, serviceAccount };
  const { workers, limits: given, log } = config;
  const machine = { openFilesMax: openFilesLimit().hard, memoryBytes: availableMemoryBytes() };
  const limits = planeLimits(machine, workers, given);
  return { plane: { network, pod, identity, tunnels: waypointTunnelOptions, limits }, log };
}
