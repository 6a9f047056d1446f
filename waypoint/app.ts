import { Worker } from 'node:worker_threads';

import { systemClock } from '#common/clock.ts';
import { saveCompiledCode } from '#common/compile-cache.ts';
import type { AdminServer } from '#common/http/admin-server.ts';
import { LogLevels } from '#common/log/filter.ts';
import { Logger } from '#common/log/logger.ts';
import { LineWriter } from '#common/log/writer.ts';
import { processFamilies } from '#common/metrics/process.ts';
import { MetricsRegistry, single } from '#common/metrics/registry.ts';
import { dumpMesh } from '#dataplane/admin/config-dump.ts';
import { Readiness } from '#dataplane/admin/readiness.ts';
import { localHosts, openAdmin, openReadiness, openStats } from '#dataplane/admin/servers.ts';
import { CaClient } from '#dataplane/identity/ca-client.ts';
import { type CertificateChange, CertificateManager } from '#dataplane/identity/certificates.ts';
import type { MeshDelta } from '#dataplane/state/delta.ts';
import { MeshStore } from '#dataplane/state/store.ts';
import { trafficFamilies } from '#dataplane/telemetry/exposition.ts';
import { TrafficMetrics } from '#dataplane/telemetry/metrics.ts';
import { XdsSource } from '#dataplane/xds-source.ts';
import { raiseOpenFilesLimit } from '#linux/limits.ts';
import { allocateOwnedDescriptors } from '#reactor/owned-descriptors.ts';
import { selfTestOpenssl } from '#reactor/tls/self-test.ts';
import type { ReceivedResource, Rejection } from '#xds/client.ts';

import type { Config } from './config.ts';
import { decodePolicy } from './policy/decode.ts';
import { decodeRoute } from './routing/decode.ts';
import { requestFamilies } from './telemetry/request-families.ts';
import { RequestMetrics } from './telemetry/request-metrics.ts';
import { waypointTunnelOptions } from './upstream/tunnel-options.ts';
import type { FromWorker, NamedBytes, ToWorker, WorkerData } from './worker/protocol.ts';

const ROUTE_TYPE = 'type.googleapis.com/ambit.waypoint.Route';
const POLICY_TYPE = 'type.googleapis.com/ambit.waypoint.Policy';
const MESH_TASK = 'the mesh is known';
const CERTIFICATE_TASK = 'our certificate';
const LISTEN_TASK = 'data workers listen';
/** A worker answers within milliseconds. */
const COLLECT_DEADLINE_MS = 2_000;

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
  readonly #counts: Counts[] = [];
  readonly #workers: Worker[] = [];
  /** Who waits for an answer of each worker. */
  readonly #waiting = new Map<string, Set<() => void>>();
  readonly #ended = Promise.withResolvers<string | undefined>();
  readonly #hasCertificate = Promise.withResolvers<void>();
  #servers: readonly AdminServer[] = [];
  #listening = 0;

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
        {
          typeUrl: ROUTE_TYPE,
          apply: (resources, removed) => this.#onResources('routes', resources, removed),
        },
        {
          typeUrl: POLICY_TYPE,
          apply: (resources, removed) => this.#onResources('policies', resources, removed),
        },
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
    const sum = (pick: (counts: Counts) => number) => (): number =>
      this.#counts.reduce((total, counts) => total + pick(counts), 0);
    this.#registry = new MetricsRegistry([
      ...processFamilies(),
      ...requestFamilies(this.#requests),
      ...trafficFamilies(this.#tcp, () => this.#requests.overflowed),
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
        sum((each) => each.faults),
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
    await this.#openPages();
    await Promise.all(Array.from({ length: config.workers }, (_, index) => this.#spawn(index)));
    this.#certificates.want(config.identity, 'real-time');
    await this.#source.load();
    if (this.stopping) return;
    this.#readiness.done(MESH_TASK);
    await this.#hasCertificate.promise;
    if (this.stopping) return;
    this.#tellAll({ type: 'listen' });
    saveCompiledCode();
  }

  async #end(why: string): Promise<void> {
    const { drainDeadlineMs } = this.#config;
    this.#log.info('draining', { reason: why, deadline: `${drainDeadlineMs}ms` });
    const drained = this.#answers('drained', drainDeadlineMs);
    this.#tellAll({ type: 'drain' });
    await drained;
    this.#tellAll({ type: 'cut', reason: 'the waypoint ends' });
    await this.#collect();
    await Promise.all(this.#servers.map((server) => server.close()));
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
    this.#log.info('ended');
  }

  // --- What is known

  #onMesh(delta: MeshDelta): void {
    this.#mesh.apply(delta);
    this.#tellAll({ type: 'mesh', delta });
  }

  /** What can't be carried out is refused here, and does not reach the workers: what was there before stays. */
  #onResources(
    type: 'routes' | 'policies',
    resources: readonly ReceivedResource[],
    remove: readonly string[],
  ): readonly Rejection[] {
    const rejections: Rejection[] = [];
    const update: NamedBytes[] = [];
    for (const { name, bytes } of resources) {
      const decoded = type === 'routes' ? decodeRoute(name, bytes) : decodePolicy(name, bytes);
      if (decoded.kind === 'refused') rejections.push({ name, reason: decoded.reason });
      else update.push({ name, bytes });
    }
    this.#tellAll({ type, update, remove });
    return rejections;
  }

  #onCertificate(change: CertificateChange): void {
    if (change.kind !== 'available') {
      this.#readiness.pending(CERTIFICATE_TASK);
      return;
    }
    this.#tellAll({ type: 'certificate', material: change.material });
    this.#readiness.done(CERTIFICATE_TASK);
    this.#hasCertificate.resolve();
  }

  // --- Workers

  async #spawn(index: number): Promise<void> {
    const config = this.#config;
    const workerData: WorkerData = {
      owned: allocateOwnedDescriptors(),
      settings: {
        port: config.ports.tunnel,
        ipv6: config.ipv6Enabled,
        log: config.log,
        plane: {
          network: config.network,
          pod: {
            name: config.podName,
            namespace: config.podNamespace,
            serviceAccount: config.serviceAccount,
          },
          identity: config.identity,
          tunnels: waypointTunnelOptions,
        },
      },
    };
    const worker = new Worker(new URL('./worker/main.ts', import.meta.url), { workerData });
    const ready = Promise.withResolvers<void>();
    worker.on('message', (message: FromWorker) => {
      if (message.type === 'ready') ready.resolve();
      else this.#onWorker(index, message);
    });
    worker.on('error', (error: Error) => {
      ready.reject(error);
      // Its tunnels are gone; Kubernetes starts a whole waypoint again sooner than we could mend half of one.
      this.#ended.resolve(`data worker ${index} has died: ${error.stack ?? error.message}`);
    });
    await ready.promise;
    this.#workers[index] = worker;
  }

  #onWorker(index: number, message: Exclude<FromWorker, { readonly type: 'ready' }>): void {
    switch (message.type) {
      case 'listening':
        if (message.problem !== undefined) this.#ended.resolve(message.problem);
        else if (++this.#listening === this.#workers.length) {
          this.#readiness.done(LISTEN_TASK);
          this.#log.info('serving', {
            workers: this.#workers.length,
            identity: this.#config.identity,
          });
        }
        return;
      case 'collected': {
        const { requests, tcp, tunnels, connections, faults } = message;
        this.#requests.absorb(requests);
        this.#tcp.absorb(tcp);
        this.#tcp.dropUnused();
        this.#counts[index] = { tunnels, connections, faults };
        this.#answered('collected');
        return;
      }
      case 'drained':
        this.#answered('drained');
        return;
      case 'log':
        this.#writer.writeBatch(message.batch);
        return;
      case 'report':
        this.#log.warn(message.problem);
    }
  }

  #tellAll(message: ToWorker): void {
    for (const worker of this.#workers) worker.postMessage(message);
  }

  async #collect(): Promise<void> {
    const collected = this.#answers('collected', COLLECT_DEADLINE_MS);
    this.#tellAll({ type: 'collect' });
    await collected;
  }

  /** Settles when every worker has answered so, or at the deadline. */
  async #answers(type: 'collected' | 'drained', deadlineMs: number): Promise<void> {
    let missing = this.#workers.length;
    if (missing === 0) return;
    const done = Promise.withResolvers<void>();
    const timer = setTimeout(done.resolve, deadlineMs);
    const answered = (): void => {
      if (--missing === 0) done.resolve();
    };
    const waiting = this.#waiting.get(type) ?? new Set();
    this.#waiting.set(type, waiting.add(answered));
    await done.promise;
    clearTimeout(timer);
    waiting.delete(answered);
  }

  #answered(type: 'collected' | 'drained'): void {
    for (const answered of this.#waiting.get(type) ?? []) answered();
  }

  // --- Pages

  async #openPages(): Promise<void> {
    const { ports, ipv6Enabled: ipv6 } = this.#config;
    const onError = (path: string, error: unknown): void =>
      this.#log.error('a page failed', { path, error: String(error) });
    const logging = {
      current: () => this.#levels.current(),
      set: (text: string) => {
        const result = this.#levels.set(text);
        if (result.kind === 'ok') this.#tellAll({ type: 'log-filter', filter: text });
        return result;
      },
      reset: () => {
        this.#levels.reset();
        this.#tellAll({ type: 'log-filter', filter: this.#levels.current() });
      },
    };
    const configDump = (): Promise<string> =>
      Promise.resolve(JSON.stringify({ mesh: dumpMesh(this.#mesh) }, undefined, 2));
    const shutDown = (): void => this.shutDown('/quitquitquit');
    const render: Parameters<typeof openStats>[0] = async (format) => {
      await this.#collect();
      return await this.#registry.render(format);
    };
    this.#servers = await Promise.all([
      openReadiness(this.#readiness, { port: ports.readiness, ipv6, onError }),
      openStats(render, { port: ports.stats, ipv6, onError }),
      localHosts(ipv6).then((hosts) =>
        openAdmin({ configDump, logging, shutDown }, { port: ports.admin, hosts, onError }),
      ),
    ]);
  }
}
