import type { AdminServer } from '#common/http/admin-server.ts';
import type { LogLevels } from '#common/log/filter.ts';
import type { Logger } from '#common/log/logger.ts';
import { processFamilies } from '#common/metrics/process.ts';
import { type MetricFamily, MetricsRegistry, single } from '#common/metrics/registry.ts';
import { readVersion } from '#common/version.ts';
import { dumpConfig, dumpMesh, type PodDump } from '#dataplane/admin/config-dump.ts';
import type { Readiness } from '#dataplane/admin/readiness.ts';
import {
  localHosts,
  loggingControl,
  openAdmin,
  openReadiness,
  openStats,
} from '#dataplane/admin/servers.ts';
import type { CertificateManager } from '#dataplane/identity/certificates.ts';
import type { MeshStore } from '#dataplane/state/store.ts';
import {
  buildFamilies,
  socketFamilies,
  trafficFamilies,
  workloadManagerFamilies,
} from '#dataplane/telemetry/exposition.ts';

import { type Config, describeConfig } from './config.ts';
import type { WorkerPodHost } from './pod-host.ts';
import type { TrafficTotals } from './traffic-totals.ts';
import type { Workers } from './worker/workers.ts';

/** Where the pages take what they show. */
export interface AdminSources {
  readonly config: Config;
  readonly log: Logger;
  readonly levels: LogLevels;
  readonly readiness: Readiness;
  readonly workers: Workers;
  readonly totals: TrafficTotals;
  readonly mesh: MeshStore;
  readonly certificates: CertificateManager;
  readonly host: WorkerPodHost;
  readonly pendingPods: () => number;
  readonly lostLines: () => number;
  readonly sourceFamilies: readonly MetricFamily[];
  readonly shutDown: () => void;
}

type Page = keyof Config['ports'];
const pages: readonly Page[] = ['readiness', 'stats', 'admin'];

/** The HTTP pages of the process: administration, metrics, readiness. */
export class AdminPages {
  readonly #from: AdminSources;
  readonly #registry: MetricsRegistry;
  readonly #version = readVersion();
  readonly #servers = new Map<Page, AdminServer>();

  constructor(from: AdminSources) {
    this.#from = from;
    const { totals, host, pendingPods, lostLines } = from;
    this.#registry = new MetricsRegistry([
      ...buildFamilies('ztunnel', this.#version),
      ...processFamilies(),
      ...trafficFamilies(totals.metrics),
      ...socketFamilies(() => totals.socketsOpen),
      ...workloadManagerFamilies(() => ({
        active: [...host.pods()].filter(({ state }) => state === 'up').length,
        pending: pendingPods(),
        started: host.started,
        stopped: host.stopped,
      })),
      single(
        'counter',
        'ambit_handler_faults_total',
        'Connections that were closed by a fault of this program',
        () => totals.faults,
      ),
      single(
        'counter',
        'ambit_log_lines_lost_total',
        'Log lines that nobody read in time',
        lostLines,
      ),
      ...from.sourceFamilies,
    ]);
  }

  get isOpen(): boolean {
    return pages.every((page) => this.#servers.has(page));
  }

  /** Where they listen. */
  get ports(): readonly number[] {
    return pages.map((page) => this.#from.config.ports[page]);
  }

  /** Opens those that are not open, but for those with `others` ports. A port in use throws with what to do. */
  async open(others: readonly number[] = []): Promise<void> {
    for (const page of pages) {
      if (this.#servers.has(page) || others.includes(this.#from.config.ports[page])) continue;
      this.#servers.set(page, await this.#open(page));
    }
  }

  async #open(page: Page): Promise<AdminServer> {
    const { config, log, readiness, levels, shutDown, workers } = this.#from;
    const { ports, ipv6Enabled: ipv6 } = config;
    const port = ports[page];
    const onError = (path: string, error: unknown): void => {
      log.error('a page failed', { path, error: String(error) });
    };
    if (page === 'readiness') return openReadiness(readiness, { port, ipv6, onError });
    if (page === 'stats') {
      const render = async (format: Parameters<MetricsRegistry['render']>[0]): Promise<string> => {
        await this.#from.totals.refresh();
        return await this.#registry.render(format);
      };
      return openStats(render, { port, ipv6, onError });
    }
    const logging = loggingControl(levels, (filter) =>
      workers.broadcast({ kind: 'log-filter', filter }),
    );
    const configDump = (): Promise<string> => this.#configDump();
    const parts = { program: 'ztunnel', configDump, logging, shutDown } as const;
    return openAdmin(parts, { port, hosts: await localHosts(ipv6), onError });
  }

  /** Frees the ports at once; answers under way may finish. */
  closeListeners(): void {
    this.close().catch((error: unknown) => {
      this.#from.log.warn('cannot close a page', { error: String(error) });
    });
  }

  async close(): Promise<void> {
    const servers = [...this.#servers.values()];
    this.#servers.clear();
    await Promise.all(servers.map((server) => server.close()));
  }

  #configDump(): Promise<string> {
    const { mesh, config, certificates } = this.#from;
    return dumpConfig({
      mesh: () => dumpMesh(mesh),
      staticConfig: () => null,
      build: { version: this.#version, gitRevision: '' },
      config: () => describeConfig(config),
      certificates: () => certificates.states(),
      pods: () => this.#podDumps(),
    });
  }

  async #podDumps(): Promise<readonly PodDump[]> {
    const described = await this.#from.workers.askAll({ kind: 'describe' });
    const connections = new Map(described.flat().map((each) => [each.uid, each.connections]));
    return [...this.#from.host.pods()].map(({ uid, pod, state }) => ({
      uid,
      state: state === 'up' ? 'Up' : 'Pending',
      name: pod.name,
      namespace: pod.namespace,
      serviceAccount: pod.serviceAccount,
      connections: connections.get(uid) ?? [],
    }));
  }
}
