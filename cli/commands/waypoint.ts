import { parseArgs } from 'node:util';
import { stringify } from 'yaml';
import { parseDurationMs } from '#common/duration.ts';
import { KubeConnectionError, KubeError } from '#kube/errors.ts';

import { type ClusterAccess, openCluster } from '../kubernetes.ts';
import { formatTable } from '../table.ts';
import { applyWaypoint } from '../waypoint/apply.ts';
import { Failure, listWaypoints, waitUntilReady } from '../waypoint/cluster.ts';
import { deleteWaypoints } from '../waypoint/delete.ts';
import {
  DEFAULT_NAME,
  listRows,
  statusRows,
  type WantedWaypoint,
  waypointGateway,
  waypointProblem,
} from '../waypoint/gateways.ts';

export const waypointUsage: string = `Usage: ambit waypoint COMMAND [options]

Waypoints: proxies that requests to the services or workloads of a namespace go through.

  apply                     makes one, or changes it
  generate                  prints the Gateway that apply would apply
  list                      those of the namespace
  status                    how far they are
  delete NAME... | --all    takes them away

Options of all:
  -n, --namespace NAME      (default: that of the context)
      --kubeconfig FILE     (default: $KUBECONFIG, then ~/.kube/config)
      --context NAME        (default: the current one)

Options of apply and generate:
      --name NAME           (default: ${DEFAULT_NAME})
      --for TYPE            what goes through it: service, workload, all or none (default: service)
  -r, --revision NAME       of the control plane that is to make it

Options of apply:
      --enroll-namespace    labels the namespace, so that everything in it uses the waypoint
      --overwrite           also when the namespace uses another one
  -w, --wait                until it is ready
      --waypoint-timeout T  how long (default: 90s)

Options of list and status:
  -A, --all-namespaces      those of all namespaces

Options of status:
      --no-wait             says how it is now (default: waits until all are ready, --waypoint-timeout at most)

Options of delete:
      --all                 those of the namespace
  -r, --revision NAME       those of this revision
`;

const text = { type: 'string' } as const;
const flag = { type: 'boolean', default: false } as const;
const cluster = { namespace: { ...text, short: 'n' }, kubeconfig: text, context: text } as const;
const wanted = { name: { ...text, default: DEFAULT_NAME }, for: text } as const;
const revision = { revision: { ...text, short: 'r' } } as const;
const timeout = { 'waypoint-timeout': { ...text, default: '90s' } } as const;
const everywhere = { 'all-namespaces': { ...flag, short: 'A' } } as const;

/** Answers the exit code, and throws Failure for what the user can put right. */
type Command = (args: string[]) => Promise<number>;

const commands: ReadonlyMap<string, Command> = new Map<string, Command>([
  ['apply', apply],
  ['generate', generate],
  ['list', list],
  ['status', status],
  ['delete', remove],
]);

/** `ambit waypoint`: answers the exit code. */
export async function waypoint(args: readonly string[]): Promise<number> {
  const [name = '', ...rest] = args;
  const command = commands.get(name);
  if (command === undefined) {
    const problem = name === '' ? '' : `There is no command "waypoint ${name}".\n\n`;
    process.stderr.write(`${problem}${waypointUsage}`);
    return 1;
  }
  try {
    return await command(rest.map((arg) => (arg === '--wait=false' ? '--no-wait' : arg)));
  } catch (error) {
    process.stderr.write(`${complaint(error)}\n`);
    return 1;
  }
}

async function apply(args: string[]): Promise<number> {
  const options = {
    ...cluster,
    ...wanted,
    ...revision,
    ...timeout,
    'enroll-namespace': flag,
    overwrite: flag,
    wait: { ...flag, short: 'w' },
  };
  const { values } = parseArgs({ args, options, allowNegative: true });
  const waitMs = timeoutOf(values);
  return withCluster(values, async (access) => {
    await applyWaypoint(access, wantedOf(values, access.namespace), {
      enrollNamespace: values['enroll-namespace'],
      overwrite: values.overwrite,
      waitMs: values.wait ? waitMs : undefined,
    });
    return 0;
  });
}

async function generate(args: string[]): Promise<number> {
  const { values } = parseArgs({ args, options: { ...cluster, ...wanted, ...revision } });
  const { namespace } = values;
  const gateway = waypointGateway(wantedOf(values, namespace ?? ''));
  // Without a namespace it goes where it is applied to.
  const { namespace: _namespace, ...anywhere } = gateway.metadata;
  const metadata = namespace === undefined ? anywhere : gateway.metadata;
  process.stdout.write(stringify({ ...gateway, metadata }));
  return 0;
}

async function list(args: string[]): Promise<number> {
  const { values } = parseArgs({ args, options: { ...cluster, ...everywhere } });
  const all = values['all-namespaces'];
  return withCluster(values, async ({ client, namespace }) => {
    const waypoints = await listWaypoints(client, all ? undefined : namespace);
    const none = waypoints.length === 0;
    process.stdout.write(none ? 'No waypoints found.\n' : formatTable(listRows(waypoints, all)));
    return 0;
  });
}

async function status(args: string[]): Promise<number> {
  const wait = { type: 'boolean', default: true, short: 'w' } as const;
  const options = { ...cluster, ...everywhere, ...timeout, wait };
  const { values } = parseArgs({ args, options, allowNegative: true });
  const all = values['all-namespaces'];
  const waitMs = timeoutOf(values);
  return withCluster(values, async ({ client, namespace }) => {
    const look = () => listWaypoints(client, all ? undefined : namespace);
    const waypoints = await look();
    if (waypoints.length === 0) {
      process.stdout.write('No waypoints found.\n');
      return 0;
    }
    const late = values.wait
      ? await Promise.allSettled(
          waypoints.map(({ metadata: { namespace: home = '', name } }) =>
            waitUntilReady(client, { namespace: home, name }, waitMs),
          ),
        )
      : [];
    process.stdout.write(formatTable(statusRows(await look(), all)));
    const failed = late.filter((result) => result.status === 'rejected');
    for (const { reason } of failed) process.stderr.write(`${complaint(reason)}\n`);
    return failed.length === 0 ? 0 : 1;
  });
}

async function remove(args: string[]): Promise<number> {
  const options = { ...cluster, ...revision, all: flag };
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
  const named = positionals.length > 0;
  if (named === (values.all || values.revision !== undefined)) {
    throw new Failure('Which waypoints? Want either names or --all');
  }
  return withCluster(values, async (access) => {
    const { all } = values;
    await deleteWaypoints(access, { names: positionals, all, revision: values.revision });
    return 0;
  });
}

interface ClusterValues {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace?: string;
}

async function withCluster(
  values: ClusterValues,
  use: (access: ClusterAccess) => Promise<number>,
): Promise<number> {
  const access = openCluster(values);
  try {
    return await use(access);
  } finally {
    access.client.close();
  }
}

function wantedOf(
  values: { readonly name: string; readonly for?: string; readonly revision?: string },
  namespace: string,
): WantedWaypoint {
  const { name, for: trafficType } = values;
  const found = { name, namespace, trafficType, revision: values.revision };
  const problem = waypointProblem(found);
  if (problem !== undefined) throw new Failure(problem);
  return found;
}

function timeoutOf(values: { readonly 'waypoint-timeout': string }): number {
  const written = values['waypoint-timeout'];
  const parsed = parseDurationMs(written);
  if (parsed === undefined || parsed <= 0) {
    throw new Failure(`Cannot read --waypoint-timeout ${JSON.stringify(written)}: want 90s or 2m`);
  }
  return parsed;
}

function complaint(error: unknown): string {
  if (error instanceof Failure || error instanceof KubeConnectionError) return error.message;
  if (error instanceof KubeError) return `The server refused: ${error.message}`;
  if (!(error instanceof Error)) return String(error);
  const isUsage = 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS');
  return isUsage ? `${error.message}\n\n${waypointUsage.trimEnd()}` : error.message;
}
