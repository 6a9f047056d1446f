// The CNI plugin `istio-cni`: chained behind the node's own plugins, started by the container runtime for every
// pod. Tells the node agent of a new pod and lets it start when the agent has said yes. Nothing but a result goes to
// standard output.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { addEvent, tellAgent } from './agent-client.ts';
import {
  addResult,
  CNI_ERROR,
  type CniError,
  type CniRequest,
  readRequest,
  versionResult,
} from './protocol.ts';

const AGENT_SOCKET = 'pluginevent.sock';
/** Pods of the agent's DaemonSet: the agent cannot be asked before it runs. */
const AGENT_POD_PREFIX = 'istio-cni-node-';
const HINT = 'see whether the istio-cni-node pod of this node runs';

type Add = Extract<CniRequest, { readonly kind: 'add' }>;

/** What to print, and whether it is an error; undefined: print nothing and succeed. */
async function answer(): Promise<
  | { readonly failed: boolean; readonly result: CniError | Readonly<Record<string, unknown>> }
  | undefined
> {
  const isAsked = (process.env['CNI_COMMAND'] ?? '') !== '';
  const request = readRequest(process.env, isAsked ? readFileSync(0, 'utf8') : '');
  switch (request.kind) {
    case 'about':
      process.stderr.write('istio-cni: the CNI plugin of the Ambit mesh\n');
      return undefined;
    case 'version':
      return { failed: false, result: versionResult(request.cniVersion) };
    case 'nothing-to-do':
      return undefined;
    case 'refused':
      return { failed: true, result: request.error };
    case 'add': {
      const why = await whyNotToStart(request);
      if (why === undefined) return { failed: false, result: addResult(request.config) };
      const { cniVersion } = request.config;
      return { failed: true, result: { cniVersion, code: CNI_ERROR.internal, msg: why } };
    }
  }
}

/** The reason to keep a pod from starting; undefined: it may start, as part of the mesh or not. */
async function whyNotToStart({ config, netns, pod, ips }: Add): Promise<string | undefined> {
  if (pod === undefined || !config.ambientEnabled) return undefined;
  if (config.excludedNamespaces.includes(pod.namespace)) return undefined;
  if (pod.namespace === config.agentNamespace && pod.name.startsWith(AGENT_POD_PREFIX)) {
    return undefined;
  }
  const who = `pod ${pod.namespace}/${pod.name}`;
  const socketPath = join(config.agentRunDirectory, AGENT_SOCKET);
  const said = await tellAgent(socketPath, addEvent(pod, netns, ips));
  if (said.kind === 'accepted') return undefined;
  if (said.kind === 'refused') return `the node's CNI agent refuses ${who}: ${said.reason}`;
  // Loaded only now: it costs time that most starts do not have to pay.
  const { belongsToMesh } = await import('./pod-lookup.ts');
  try {
    const { agentRunDirectory, enablementSelectors } = config;
    if (!(await belongsToMesh(agentRunDirectory, pod, enablementSelectors))) return undefined;
    return (
      `failed to contact node Istio CNI agent: ${said.reason}. ${who} belongs to the mesh and does not ` +
      `start outside of it; ${HINT}`
    );
  } catch (error) {
    return (
      `failed to contact node Istio CNI agent: ${said.reason}; and whether ${who} belongs to the mesh ` +
      `cannot be known: ${error instanceof Error ? error.message : String(error)}; ${HINT}`
    );
  }
}

try {
  const said = await answer();
  if (said !== undefined) {
    process.stdout.write(`${JSON.stringify(said.result)}\n`);
    if (said.failed) process.exitCode = 1;
  }
} catch (error) {
  const msg = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stdout.write(
    `${JSON.stringify({ cniVersion: '1.0.0', code: CNI_ERROR.internal, msg })}\n`,
  );
  process.exitCode = 1;
}
