import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { runCommand } from '#linux/command.ts';

import { type CniNetwork, type CniResult, podAddress } from './cni-config.ts';
import type { CniRunner, CniSandbox } from './cni-runner.ts';

/** Whom a sandbox is for. */
export interface SandboxPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** A pod's network: a namespace that is held by a mount, with what the plugin chain made in it. */
export interface Sandbox {
  readonly id: string;
  /** Path of the network namespace. */
  readonly netns: string;
  readonly address: string;
  readonly cni: CniSandbox;
  readonly network: CniNetwork;
  readonly result: CniResult;
}

export type SandboxOutcome =
  | { readonly kind: 'ready'; readonly sandbox: Sandbox }
  /** As container runtimes say it, for the pod's event. */
  | { readonly kind: 'failed'; readonly message: string };

/** Where network namespaces have their names: plugins and agents get and open paths of this directory. */
export const NETNS_DIRECTORY = '/var/run/netns';

/** Makes a network namespace and runs the plugin chain for it. After a failure nothing of it is left. */
export async function createSandbox(runner: CniRunner, pod: SandboxPod): Promise<SandboxOutcome> {
  const chosen = runner.network();
  if (chosen.kind === 'none') {
    return {
      kind: 'failed',
      message: `network is not ready: container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: ${chosen.why}`,
    };
  }
  const id = randomBytes(32).toString('hex');
  const netns = join(NETNS_DIRECTORY, `cni-${id.slice(0, 12)}`);
  const cni: CniSandbox = { containerId: id, netns, args: cniArgs(pod, id) };
  const made = await createNetns(netns);
  if (made !== undefined) return { kind: 'failed', message: made };
  const added = await runner.add(chosen.network, cni);
  const address = added.kind === 'done' ? podAddress(added.result) : undefined;
  if (added.kind === 'done' && address !== undefined) {
    const { result } = added;
    return { kind: 'ready', sandbox: { id, netns, address, cni, network: chosen.network, result } };
  }
  // What a plugin left is cleaned up by the plugins; what they can't do ends with the namespace.
  await runner.remove(chosen.network, cni, undefined);
  await removeNetns(netns);
  const why = added.kind === 'failed' ? added.message : 'the plugins answered no address';
  return {
    kind: 'failed',
    message: `rpc error: code = Unknown desc = failed to setup network for sandbox ${JSON.stringify(id)}: ${why}`,
  };
}

/**
 * Takes a sandbox down. Answers what a plugin said when it could not: then everything is left as it is, to be tried
 * again.
 */
export async function removeSandbox(
  runner: CniRunner,
  sandbox: Sandbox,
): Promise<string | undefined> {
  // The chain may have changed since: what is there now knows how to clean up, and what is gone can't be run.
  const chosen = runner.network();
  const network = chosen.kind === 'ok' ? chosen.network : sandbox.network;
  const removed = await runner.remove(network, sandbox.cni, sandbox.result);
  if (removed.kind === 'failed') return removed.message;
  await removeNetns(sandbox.netns);
  return undefined;
}

/** A namespace that a mount keeps: nothing runs in it yet. */
async function createNetns(path: string): Promise<string | undefined> {
  mkdirSync(NETNS_DIRECTORY, { recursive: true });
  writeFileSync(path, '', { flag: 'wx', mode: 0o444 });
  const result = await runCommand('unshare', [`--net=${path}`, 'true']);
  if (result.kind === 'exited' && result.code === 0) return undefined;
  rmSync(path, { force: true });
  const why = result.kind === 'failed' ? result.message : result.stderr.trim();
  return `Cannot make a network namespace: ${why}`;
}

async function removeNetns(path: string): Promise<void> {
  if (!existsSync(path)) return;
  await runCommand('umount', ['--lazy', path]);
  rmSync(path, { force: true });
}

function cniArgs(pod: SandboxPod, id: string): string {
  return [
    'IgnoreUnknown=1',
    `K8S_POD_NAMESPACE=${pod.namespace}`,
    `K8S_POD_NAME=${pod.name}`,
    `K8S_POD_INFRA_CONTAINER_ID=${id}`,
    `K8S_POD_UID=${pod.uid}`,
  ].join(';');
}
