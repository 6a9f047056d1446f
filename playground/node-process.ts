import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { compiledCodeEnvironment } from '#common/compile-cache.ts';

import type { NodeNetwork } from './network.ts';
import { rootEntries } from './node/app.ts';
import type { KubeletConfig } from './node/config.ts';
import { NODE_PROGRAM, nodeRootScript, PROJECT } from './node/node-root.ts';
import { wantedEntries } from './node/root-filesystem.ts';

/** What starts a node. */
export interface NodeProcessOptions {
  readonly node: NodeNetwork;
  readonly config: KubeletConfig;
  /** The node's directory on the machine: settings, plugin chain, plugins and logs are in it. */
  readonly directory: string;
  /** The directory of this program, and the program `node`. */
  readonly project: string;
  readonly nodeProgram: string;
  /** More directories of the machine that the node sees. */
  readonly binds?: readonly { readonly source: string; readonly target: string }[];
}

const COMPILED = compiledCodeEnvironment(PROJECT);
const MAIN_PLUGIN = 'playground-ptp';

/**
 * Starts a node inside its network namespace, with the settings, the plugin chain and the plugin that it needs. Everything
 * of the node ends with the process that is answered; it ends in good order when its standard input is
 * closed.
 */
export function startNode(options: NodeProcessOptions): ChildProcess {
  const { node, config, directory } = options;
  const own = (name: string): string => {
    const path = join(directory, name);
    mkdirSync(path, { recursive: true });
    return path;
  };
  const settings = own('config');
  writeFileSync(join(settings, 'kubelet.json'), JSON.stringify(config), { mode: 0o600 });
  const networks = own('cni-config');
  const conflist = JSON.stringify(pluginChain(node), undefined, 2);
  writeFileSync(join(networks, '10-playground.conflist'), `${conflist}\n`);
  const plugins = own('cni-bin');
  const plugin = join(plugins, MAIN_PLUGIN);
  const main = `${PROJECT}/playground/node/cni-main-plugin.ts`;
  const assignments = Object.entries(COMPILED)
    .map((each) => each.join('='))
    .join(' ');
  writeFileSync(plugin, `#!/bin/sh\n${assignments} exec ${NODE_PROGRAM} ${main}\n`);
  chmodSync(plugin, 0o755);
  const script = join(directory, 'start.sh');
  const text = nodeRootScript({
    hostname: node.name,
    scratch: `/run/ambit/${node.name}`,
    entries: wantedEntries(rootEntries('')),
    userNamespace: config.userNamespace,
    project: options.project,
    nodeProgram: options.nodeProgram,
    binds: [
      { source: settings, target: '/etc/kubernetes/kubelet' },
      { source: networks, target: '/etc/cni/net.d' },
      { source: plugins, target: '/opt/cni/bin' },
      { source: own('log'), target: '/var/log/pods' },
      ...(options.binds ?? []),
    ],
  });
  writeFileSync(script, text, { mode: 0o600 });
  const log = openSync(join(directory, 'kubelet.log'), 'a', 0o600);
  try {
    return spawn(
      'nsenter',
      [
        `--net=/run/netns/${node.netns}`,
        '--',
        'unshare',
        '--mount',
        '--uts',
        '--pid',
        '--fork',
        '--kill-child',
        'sh',
        script,
        NODE_PROGRAM,
        `${PROJECT}/playground/node/main.ts`,
        '/etc/kubernetes/kubelet/kubelet.json',
      ],
      { stdio: ['pipe', log, log], env: { PATH: SYSTEM_PATH, LANG: 'C.UTF-8', ...COMPILED } },
    );
  } finally {
    closeSync(log);
  }
}

const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

function pluginChain(node: NodeNetwork): unknown {
  return {
    cniVersion: '1.0.0',
    name: 'playground',
    plugins: [
      {
        type: MAIN_PLUGIN,
        podRange: node.podRange,
        gateway: node.podGateway,
        nodeAddress: node.address,
        dataDirectory: '/var/lib/cni/networks/playground',
      },
    ],
  };
}
