import { type AdminRoute, type AdminServer, openAdminServer } from '#common/http/admin-server.ts';
import type { Logger } from '#common/log/logger.ts';
import {
  EXPOSITION_CONTENT_TYPES,
  expositionFormat,
  type MetricFamily,
  MetricsRegistry,
  single,
} from '#common/metrics/registry.ts';

import type { Enrolment } from './enrolment.ts';

/** What has happened since the start. */
export class AgentCounts {
  readonly pluginRequests: Map<string, number> = new Map<string, number>();
  readonly reconciliations: Map<string, number> = new Map<string, number>();
  readonly installs: Map<string, number> = new Map<string, number>();
  readonly repairs: Map<string, number> = new Map<string, number>();
  tunnels = 0;

  static add(counts: Map<string, number>, key: string): void {
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
}

export interface AgentPagesOptions {
  readonly healthPort: number;
  readonly metricsPort: number | undefined;
  readonly counts: AgentCounts;
  readonly enrolment: Enrolment;
  /** Why the agent is not ready; undefined when it is. */
  readonly notReadyBecause: () => string | undefined;
  readonly isInstalled: () => boolean;
  readonly log: Logger;
}

export interface AgentPages {
  close(): Promise<void>;
}

/** Opens the pages for probes and metrics. Throws an error that names the port when it is taken. */
export async function openPages(options: AgentPagesOptions): Promise<AgentPages> {
  const onError = (path: string, error: unknown): void =>
    options.log.error('a page failed', { path, error: String(error) });
  const open = (
    name: string,
    port: number,
    portSetting: string,
    routes: [string, AdminRoute][],
  ): Promise<AdminServer> =>
    openAdminServer({
      name,
      hosts: ['0.0.0.0'],
      port,
      portSetting,
      routes: new Map(routes),
      onError,
    });
  const health = await open('health', options.healthPort, 'HEALTH_PORT', [
    ['/healthz', { methods: ['GET'], handle: () => ({ status: 200, body: 'ok\n' }) }],
    ['/readyz', { methods: ['GET'], handle: () => readiness(options.notReadyBecause()) }],
  ]);
  const { metricsPort } = options;
  if (metricsPort === undefined) return health;
  const registry = new MetricsRegistry(families(options));
  const metrics = await open('metrics', metricsPort, 'MONITORING_PORT', [
    [
      '/metrics',
      { methods: ['GET'], handle: ({ headers }) => exposition(registry, headers.accept) },
    ],
  ]);
  return {
    async close() {
      await Promise.all([health.close(), metrics.close()]);
    },
  };
}

function readiness(because: string | undefined): { status: number; body: string } {
  return because === undefined
    ? { status: 200, body: 'ready\n' }
    : { status: 503, body: `not ready: ${because}\n` };
}

async function exposition(
  registry: MetricsRegistry,
  accept: string | undefined,
): Promise<{ status: number; contentType: string; body: string }> {
  const format = expositionFormat(accept);
  const contentType = EXPOSITION_CONTENT_TYPES[format];
  return { status: 200, contentType, body: await registry.render(format) };
}

function families({ counts, enrolment, isInstalled }: AgentPagesOptions): readonly MetricFamily[] {
  return [
    counted(
      'istio_cni_plugin_requests_total',
      'Requests of CNI plugins, by the answer.',
      'response_code',
      counts.pluginRequests,
    ),
    counted(
      'nodeagent_reconcile_events_total',
      'Pods that were enrolled (add), refreshed (update) or let go (delete).',
      'type',
      counts.reconciliations,
    ),
    counted(
      'istio_cni_installs_total',
      'Attempts to put the plugin in place, by result.',
      'result',
      counts.installs,
    ),
    counted(
      'ambit_cni_repairs_total',
      'Rules that had been changed by others and were put right, in a pod or on the node.',
      'where',
      counts.repairs,
    ),
    single('gauge', 'istio_cni_install_ready', 'Whether the plugin is in place.', () =>
      Number(isInstalled()),
    ),
    single('gauge', 'ztunnel_connected', 'Node tunnels that are connected.', () => counts.tunnels),
    single(
      'gauge',
      'ambit_cni_enrolled_pods',
      'Pods of this node whose traffic passes through the node tunnel.',
      () => enrolment.count('enrolled'),
    ),
  ];
}

function counted(
  name: string,
  help: string,
  label: string,
  from: ReadonlyMap<string, number>,
): MetricFamily {
  return {
    kind: 'counter',
    name,
    help,
    read: () => Array.from(from, ([key, value]) => ({ labels: { [label]: key }, value })),
  };
}
