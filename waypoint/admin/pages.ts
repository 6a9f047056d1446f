import type { AdminResponse, AdminServer } from '#common/http/admin-server.ts';
import type { LogLevels } from '#common/log/filter.ts';
import type { Logger } from '#common/log/logger.ts';
import type { MetricsRegistry } from '#common/metrics/registry.ts';
import { readVersion } from '#common/version.ts';
import { dumpConfig, dumpMesh } from '#dataplane/admin/config-dump.ts';
import type { Readiness } from '#dataplane/admin/readiness.ts';
import {
  localHosts,
  loggingControl,
  openAdmin,
  openReadiness,
  openStats,
} from '#dataplane/admin/servers.ts';
import type { CertificateManager } from '#dataplane/identity/certificates.ts';
import { type NamespacedHost, namespacedHost } from '#dataplane/state/names.ts';
import type { MeshStore } from '#dataplane/state/store.ts';

import { type Config, describeConfig } from '../config.ts';
import type { PolicySet } from '../policy/policy-set.ts';
import type { RouteTable } from '../routing/table.ts';
import type { Workers } from '../worker/workers.ts';
import { clustersOf, clustersText } from './clusters.ts';
import { dumpRules } from './dump-rules.ts';

/** Where the pages take what they show. */
export interface PageSources {
  readonly config: Config;
  readonly log: Logger;
  readonly levels: LogLevels;
  readonly readiness: Readiness;
  readonly workers: Workers;
  readonly mesh: MeshStore;
  readonly routes: RouteTable;
  readonly policies: PolicySet;
  readonly certificates: CertificateManager;
  readonly registry: MetricsRegistry;
  readonly shutDown: () => void;
}

/** Opens the HTTP pages of the process: readiness, metrics, administration. */
export async function openPages(from: PageSources): Promise<readonly AdminServer[]> {
  const { config, levels, workers, readiness, registry } = from;
  const { ports, ipv6Enabled: ipv6 } = config;
  const onError = (path: string, error: unknown): void =>
    from.log.error('a page failed', { path, error: String(error) });
  const logging = loggingControl(levels, (filter) =>
    workers.tellAll({ type: 'log-filter', filter }),
  );
  const about = 'services and their endpoints: health, load, connections; ?format=json';
  const clusters = { about, methods: ['GET'], handle: clustersPage.bind(undefined, from) };
  const admin = {
    program: 'waypoint',
    configDump: () => configDump(from),
    logging,
    shutDown: from.shutDown,
    more: new Map([['clusters', clusters]]),
  } as const;
  const render: Parameters<typeof openStats>[0] = async (format) => {
    await workers.collect();
    return registry.pieces(format);
  };
  return await Promise.all([
    openReadiness(readiness, { port: ports.readiness, ipv6, onError }),
    openStats(render, { port: ports.stats, ipv6, onError }),
    localHosts(ipv6).then((hosts) => openAdmin(admin, { port: ports.admin, hosts, onError })),
  ]);
}

function configDump({
  config,
  mesh,
  certificates,
  routes,
  policies,
}: PageSources): Promise<string> {
  return dumpConfig({
    mesh: () => dumpMesh(mesh),
    more: () => ({
      routes: Array.from(routes.routes(), dumpRules),
      waypointPolicies: Array.from(policies.policies(), dumpRules),
    }),
    staticConfig: () => null,
    build: { version: readVersion(), gitRevision: '' },
    config: () => describeConfig(config),
    certificates: () => certificates.states(),
    // A waypoint serves no pods of a node.
    pods: () => Promise.resolve([]),
  });
}

async function clustersPage(
  { config, workers, mesh, routes }: PageSources,
  { query }: { readonly query: URLSearchParams },
): Promise<AdminResponse> {
  const format = query.get('format') ?? 'text';
  if (format !== 'text' && format !== 'json') {
    const body = `Unknown format ${JSON.stringify(format)}: want text or json\n`;
    return { status: 400, body };
  }
  const { told, silent } = await workers.describe();
  const { podName: name, podNamespace: namespace, serviceAccount } = config;
  const clusters = clustersOf({
    mesh,
    self: mesh.localWorkload({ name, namespace, serviceAccount }),
    backends: backendsOf(routes),
    uses: told.map(({ endpoints }) => endpoints),
  });
  if (format === 'json') {
    const body = JSON.stringify({ silentWorkers: silent, clusters }, undefined, 2);
    return { status: 200, contentType: 'application/json', body };
  }
  const missing = silent === 0 ? '' : `# ${silent} workers did not answer: their load is missing\n`;
  return { status: 200, body: missing + clustersText(clusters) };
}

/** The services that routes lead to. */
function backendsOf(table: RouteTable): ReadonlySet<NamespacedHost> {
  const rules = Array.from(table.routes()).flatMap((route) => route.rules);
  const services = rules.flatMap(({ backends }) => backends.map(({ service }) => service));
  return new Set(services.map(({ namespace, hostname }) => namespacedHost(namespace, hostname)));
}
