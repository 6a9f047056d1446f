// A node of the playground without an API server, for tests: `node standalone-node.ts DIRECTORY MANIFESTS`, in fresh network,
// mount and process namespaces with a private /run. Ends when its standard input does.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { builtInImages } from '#playground/images/built-in.ts';
import { createNetwork, planNetwork } from '#playground/network.ts';
import { startNode } from '#playground/node-process.ts';

const [directory = '', manifests = ''] = process.argv.slice(2);
const network = planNetwork(['node-1']);
await createNetwork(network);
const [node] = network.nodes;
if (node === undefined) throw new Error('a network without a node');
const read = (name: string): string => readFileSync(join(directory, name), 'utf8');
const child = startNode({
  node,
  config: {
    nodeName: node.name,
    address: node.address,
    podRange: node.podRange,
    clusterDomain: 'cluster.local',
    clusterDns: '10.96.0.10',
    serviceRange: network.serviceRange,
    clusterRange: network.podRange,
    images: Object.fromEntries(builtInImages()),
    userNamespace: !/^\s*0\s+0\s+4294967295/.test(readFileSync('/proc/self/uid_map', 'utf8')),
    manifests: '/etc/kubernetes/manifests',
    certificatePem: read('node.pem'),
    privateKeyPem: read('node.key'),
    authorityPem: read('authority.pem'),
  },
  directory,
  project: process.cwd(),
  nodeProgram: process.execPath,
  binds: [{ source: manifests, target: '/etc/kubernetes/manifests' }],
});
process.stdin.on('end', () => child.stdin?.end());
process.stdin.resume();
child.once('exit', (code) => {
  process.exitCode = code ?? 1;
  process.stdin.destroy();
});
process.stdout.write('started\n');
