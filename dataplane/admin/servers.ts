import { readFile } from 'node:fs/promises';
import type {
  AdminRequest,
  AdminResponse,
  AdminRoute,
  AdminServer,
} from '#common/http/admin-server.ts';
import { openAdminServer } from '#common/http/admin-server.ts';
import type { LogFilterResult, LogLevels } from '#common/log/filter.ts';
import type { ExpositionFormat } from '#common/metrics/registry.ts';
import { EXPOSITION_CONTENT_TYPES, expositionFormat } from '#common/metrics/registry.ts';

import type { Readiness } from './readiness.ts';

/** The log filter of the whole process, workers too. */
export interface LoggingControl {
  readonly current: () => string;
  readonly set: (filter: string) => LogFilterResult;
  readonly reset: () => void;
}

/** Changes the filter here, and tells the workers of it. */
export function loggingControl(levels: LogLevels, tell: (filter: string) => void): LoggingControl {
  return {
    current: () => levels.current(),
    set: (filter) => {
      const result = levels.set(filter);
      if (result.kind === 'ok') tell(filter);
      return result;
    },
    reset: () => {
      levels.reset();
      tell(levels.current());
    },
  };
}

/** A page of one kind of proxy. */
export interface AdminPage extends AdminRoute {
  /** For the index. */
  readonly about: string;
}

export interface AdminParts {
  readonly program: 'ztunnel' | 'waypoint';
  /** The answer to `/config_dump`, as JSON text. */
  readonly configDump: () => Promise<string>;
  readonly logging: LoggingControl;
  /** Starts the graceful end of the process, and returns at once. */
  readonly shutDown: () => void;
  /** By path without its slash. */
  readonly more?: ReadonlyMap<string, AdminPage>;
}

interface Listening {
  readonly port: number;
  readonly onError: (path: string, error: unknown) => void;
}

/** 15000, this machine only: look inside, change the log filter, end the process. */
export async function openAdmin(
  parts: AdminParts,
  listening: Listening & { readonly hosts: readonly string[] },
): Promise<AdminServer> {
  return await openAdminServer({
    ...listening,
    name: 'administration',
    portSetting: 'ADMIN_PORT',
    routes: new Map<string, AdminRoute>([
      ['/', { methods: ['GET'], handle: () => index(parts) }],
      [
        '/config_dump',
        {
          methods: 'any',
          handle: async () => ({
            status: 200,
            contentType: 'application/json',
            body: await parts.configDump(),
          }),
        },
      ],
      [
        '/logging',
        { methods: ['POST'], handle: (request) => changeLogging(parts.logging, request) },
      ],
      [
        '/quitquitquit',
        {
          methods: ['POST'],
          handle: () => {
            parts.shutDown();
            return { status: 200, body: 'shutdown now\n' };
          },
        },
      ],
      ...Array.from(parts.more ?? [], ([path, page]) => [`/${path}`, page] as const),
    ]),
  });
}

/** 15020: metrics for Prometheus, under the two paths that scrape configurations use. */
export async function openStats(
  render: (format: ExpositionFormat) => Promise<AdminResponse['body']>,
  listening: Listening & { readonly ipv6: boolean },
): Promise<AdminServer> {
  const route: AdminRoute = {
    methods: ['GET'],
    handle: async (request) => {
      const format = expositionFormat(request.headers.accept);
      const contentType = EXPOSITION_CONTENT_TYPES[format];
      return { status: 200, contentType, body: await render(format) };
    },
  };
  return await openAdminServer({
    ...listening,
    hosts: [wildcard(listening.ipv6)],
    name: 'metrics',
    portSetting: 'STATS_PORT',
    routes: new Map([
      ['/metrics', route],
      ['/stats/prometheus', route],
    ]),
  });
}

/** 15021: the readiness probe. */
export async function openReadiness(
  readiness: Readiness,
  listening: Listening & { readonly ipv6: boolean },
): Promise<AdminServer> {
  const handle = (): AdminResponse => {
    const { ready, text } = readiness.report();
    return { status: ready ? 200 : 500, body: text };
  };
  return await openAdminServer({
    ...listening,
    hosts: [wildcard(listening.ipv6)],
    name: 'readiness',
    portSetting: 'READINESS_PORT',
    routes: new Map([['/healthz/ready', { methods: ['GET'], handle }]]),
  });
}

/** This machine's own addresses: IPv4, and IPv6 unless it is off by setting or in the kernel. */
export async function localHosts(ipv6Enabled: boolean): Promise<readonly string[]> {
  if (!ipv6Enabled || (await isIpv6OffInKernel())) return ['127.0.0.1'];
  return ['127.0.0.1', '::1'];
}

async function isIpv6OffInKernel(): Promise<boolean> {
  try {
    return (await readFile('/proc/sys/net/ipv6/conf/lo/disable_ipv6', 'utf8')).trim() === '1';
  } catch {
    return true; // no such file: a kernel without IPv6
  }
}

function wildcard(ipv6: boolean): string {
  return ipv6 ? '::' : '0.0.0.0';
}

function changeLogging(logging: LoggingControl, { query }: AdminRequest): AdminResponse {
  const unknown = [...query.keys()].find((name) => name !== 'level' && name !== 'reset');
  if (unknown !== undefined) {
    const body = `Unknown parameter ${JSON.stringify(unknown)}: want level=FILTER, or reset\n`;
    return { status: 400, body };
  }
  const filter = query.get('level');
  if (query.has('reset')) {
    logging.reset();
  } else if (filter) {
    const result = logging.set(filter);
    if (result.kind === 'refused') return { status: 400, body: `${result.problem}\n` };
  }
  return { status: 200, body: `current log level is ${logging.current()}\n` };
}

function index({ program, more }: AdminParts): AdminResponse {
  const further = Array.from(
    more ?? [],
    ([path, { about }]) => `<li><a href="${path}">${path}</a>: ${about}\n`,
  );
  const body = `<!DOCTYPE html>
<title>${program}</title>
<h1>${program}</h1>
<ul>
<li><a href="config_dump">config_dump</a>: what this proxy knows, as JSON
${further.join('')}<li>POST logging?level=info,access=debug: set the log filter; ?reset: as at the start
<li>POST quitquitquit: end gracefully
</ul>
`;
  return { status: 200, contentType: 'text/html; charset=utf-8', body };
}
