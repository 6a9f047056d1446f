import {
  type AdminRequest,
  type AdminResponse,
  type AdminRoute,
  type AdminServer,
  openAdminServer,
} from '#common/http/admin-server.ts';
import type { Logger } from '#common/log/logger.ts';
import {
  EXPOSITION_CONTENT_TYPES,
  expositionFormat,
  type MetricsRegistry,
} from '#common/metrics/registry.ts';
import { shortType } from '#xds/resource.ts';

import { dumpGraph } from '../krt/debug.ts';
import type { Graph } from '../krt/graph.ts';
import type { Client } from '../serve/clients.ts';

export interface AdminParts {
  readonly host: string;
  readonly ports: { readonly http: number; readonly monitoring: number };
  readonly metrics: MetricsRegistry;
  readonly graph: Graph;
  readonly clients: () => Iterable<Client>;
  /** What still has to happen before this process is of use; empty: it is ready. */
  readonly pending: () => readonly string[];
  readonly log: Logger;
}

/** 8080: liveness and readiness. 15014: metrics, and a look inside for whoever is on this machine. */
export async function openAdmin(parts: AdminParts): Promise<readonly AdminServer[]> {
  const { host, ports, log } = parts;
  const onError = (path: string, error: unknown): void => {
    const reason = error instanceof Error ? error.message : String(error);
    log.error('an admin page failed', { path, reason });
  };
  const readiness = await openAdminServer({
    name: 'readiness',
    hosts: [host],
    port: ports.http,
    portSetting: 'HTTP_PORT',
    routes: new Map([
      ['/ready', page(() => ready(parts))],
      // Who can answer lives; what it waits for is for readiness to say.
      ['/livez', page(() => ({ status: 200, body: 'ok\n' }))],
    ]),
    onError,
  });
  try {
    const monitoring = await openAdminServer({
      name: 'monitoring',
      hosts: [host],
      port: ports.monitoring,
      portSetting: 'MONITORING_PORT',
      routes: monitoringRoutes(parts),
      onError,
    });
    return [readiness, monitoring];
  } catch (error) {
    await readiness.close();
    throw error;
  }
}

function monitoringRoutes(parts: AdminParts): ReadonlyMap<string, AdminRoute> {
  return new Map([
    ['/metrics', page((request) => metrics(parts, request))],
    ['/debug/syncz', localPage(() => json(syncz(parts)))],
    ['/debug/adsz', localPage(() => json(adsz(parts)))],
    ['/debug/krtz', localPage((request) => json(krtz(parts, request)))],
  ]);
}

function ready({ pending }: AdminParts): AdminResponse {
  const tasks = pending();
  return tasks.length === 0
    ? { status: 200, body: 'ready\n' }
    : { status: 503, body: `not ready, pending: ${tasks.join(', ')}\n` };
}

async function metrics(parts: AdminParts, { headers }: AdminRequest): Promise<AdminResponse> {
  const format = expositionFormat(headers.accept);
  const body = await parts.metrics.render(format);
  return { status: 200, contentType: EXPOSITION_CONTENT_TYPES[format], body };
}

/** What each client was sent, and whether it took it. */
function syncz({ clients }: AdminParts): unknown {
  return [...clients()].map(({ description, stream }) => ({
    cluster_id: description.clusterId,
    proxy: description.name,
    proxy_type: description.type,
    istio_version: description.version,
    resources: Object.fromEntries(
      stream.status().map((status) => [
        shortType(status.typeUrl),
        {
          sent: status.sent,
          acked: status.acknowledged,
          sentTime: status.sentAtMs === 0 ? '' : new Date(status.sentAtMs).toISOString(),
          lastError: status.refusal ?? '',
        },
      ]),
    ),
  }));
}

/** Who is connected, and what they want. */
function adsz({ clients }: AdminParts): unknown {
  const all = [...clients()].map(({ id, connectedAtMs, description, stream }) => ({
    connectionId: id,
    connectedAt: new Date(connectedAtMs).toISOString(),
    address: description.peer,
    node: description.node,
    watches: Object.fromEntries(
      stream
        .status()
        .map(({ typeUrl, wildcard, names }) => [shortType(typeUrl), wildcard ? '*' : names]),
    ),
  }));
  return { totalClients: all.length, clients: all };
}

/** All collections, or those whose names contain `?collection=`. */
function krtz({ graph }: AdminParts, { query }: AdminRequest): unknown {
  const wanted = query.get('collection');
  return dumpGraph(graph, (name) => wanted === null || name.includes(wanted));
}

function json(value: unknown): AdminResponse {
  const body = `${JSON.stringify(value, undefined, 2)}\n`;
  return { status: 200, contentType: 'application/json', body };
}

type Handler = AdminRoute['handle'];

function page(handle: Handler): AdminRoute {
  return { methods: ['GET'], handle };
}

/** What the mesh looks like is nobody's business who has no access to this pod. */
function localPage(handle: Handler): AdminRoute {
  return page((request) =>
    request.local
      ? handle(request)
      : { status: 403, body: 'only from this machine: use kubectl port-forward\n' },
  );
}
