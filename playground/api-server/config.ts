import { parseArgs } from 'node:util';

import { type LogFilter, parseLogFilter } from '#common/log/filter.ts';
import { formatSocketAddress, parseSocketAddress } from '#common/net/address.ts';

import type { ServerEndpoint } from './bootstrap.ts';
import type { Listen } from './server.ts';

/** What the command line says. */
export interface Config {
  /** Where credentials are kept; the API server of one cluster has it for itself. */
  readonly stateDirectory: string;
  /** Name of the cluster in the kubeconfig. */
  readonly name: string;
  readonly listen: readonly Listen[];
  /** How pods reach this server. */
  readonly endpoint: ServerEndpoint | undefined;
  /** File for the administrator's kubeconfig, and the URL in it. Undefined: none is written. */
  readonly kubeconfig: string | undefined;
  /** Undefined: the address of the first `--listen`. */
  readonly serverUrl: string | undefined;
  /** Whether this process runs the cluster's controllers too. */
  readonly controllers: boolean;
  readonly log: LogFilter;
}

export type ConfigRead =
  | { readonly kind: 'config'; readonly config: Config }
  | { readonly kind: 'refused'; readonly problems: readonly string[] };

const CLUSTER_ADDRESS = '10.96.0.1';

export const usage = `Usage: node playground/api-server/main.ts --state DIRECTORY --listen WHERE… [options]

  --state DIRECTORY    keeps keys and certificates here
  --listen WHERE       address:port (port 0: a free one), or fd:N for a socket that is listening; repeatable
  --endpoint ADDRESS   address:port under which nodes and pods reach this server
  --name NAME          name of the cluster in the kubeconfig (default: ambit)
  --kubeconfig FILE    writes the administrator's kubeconfig here
  --server URL         URL for the kubeconfig (default: the first address that is listened on)
  --no-controllers     leaves the cluster's controllers to another process
  --log FILTER         info, debug, … (default: info)
`;

/** Reads the command line; every problem at once. */
export function readConfig(args: readonly string[]): ConfigRead {
  const read = tryParse(args);
  if (typeof read === 'string') return { kind: 'refused', problems: [read] };
  const problems: string[] = [];
  const { state = '', listen: wheres = [], name = 'ambit', kubeconfig, server } = read;
  if (state === '') problems.push('--state is missing: want a directory for keys and certificates');
  if (wheres.length === 0) problems.push('--listen is missing: want address:port or fd:N');
  const listen: Listen[] = [];
  for (const where of wheres) {
    const each = listenOf(where);
    if (each === undefined)
      problems.push(`--listen ${JSON.stringify(where)}: want address:port or fd:N`);
    else listen.push(each);
  }
  const endpoint = read.endpoint === undefined ? undefined : parseSocketAddress(read.endpoint);
  if (read.endpoint !== undefined && endpoint === undefined)
    problems.push(`--endpoint ${JSON.stringify(read.endpoint)}: want address:port`);
  if (server !== undefined && !URL.canParse(server))
    problems.push(`--server ${JSON.stringify(server)}: want https://host:port`);
  const log = parseLogFilter(read.log ?? 'info');
  if (log.kind === 'refused') problems.push(`--log ${log.problem}`);
  if (problems.length > 0 || log.kind === 'refused') return { kind: 'refused', problems };
  const config: Config = {
    stateDirectory: state,
    name,
    listen,
    endpoint: endpoint && {
      clusterAddress: CLUSTER_ADDRESS,
      address: endpoint.ip,
      port: endpoint.port,
    },
    kubeconfig,
    serverUrl: server,
    controllers: read['no-controllers'] !== true,
    log: log.filter,
  };
  return { kind: 'config', config };
}

/** The URL of an address that is listened on. */
export function urlOf(listening: { readonly address: string; readonly port: number }): string {
  const { address, port } = listening;
  const host = address === '0.0.0.0' || address === '::' ? '127.0.0.1' : address;
  const parsed = parseSocketAddress(host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);
  return `https://${parsed === undefined ? `${host}:${port}` : formatSocketAddress(parsed)}`;
}

interface Given {
  readonly state?: string | undefined;
  readonly listen?: readonly string[] | undefined;
  readonly endpoint?: string | undefined;
  readonly name?: string | undefined;
  readonly kubeconfig?: string | undefined;
  readonly server?: string | undefined;
  readonly log?: string | undefined;
  readonly 'no-controllers'?: boolean | undefined;
}

function tryParse(args: readonly string[]): Given | string {
  const text = { type: 'string' } as const;
  const options = {
    state: text,
    endpoint: text,
    name: text,
    kubeconfig: text,
    server: text,
    log: text,
    'no-controllers': { type: 'boolean' },
    listen: { type: 'string', multiple: true },
  } as const;
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function listenOf(text: string): Listen | undefined {
  const [, descriptor] = /^fd:(\d{1,9})$/.exec(text) ?? [];
  if (descriptor !== undefined) return { descriptor: Number(descriptor) };
  const address = parseSocketAddress(text);
  return address && { host: address.ip, port: address.port };
}
