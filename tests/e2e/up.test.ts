import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { Kubectl } from '#tests/bed/kubectl.ts';
import { Clusters } from '#tests/support/cluster.ts';

const MANIFESTS = fileURLToPath(new URL('../../manifests', import.meta.url));

describe('ambit up', function () {
  this.timeout(240_000);
  let clusters: Clusters;
  beforeEach(() => {
    clusters = new Clusters();
  });
  afterEach(async () => {
    await clusters[Symbol.asyncDispose]();
  });

  it('installs the mesh as kubectl would, and comes back when all its pods are ready', async () => {
    const cluster = await clusters.upWithMesh('up');
    cluster.client.close();
    const told = cluster.process.lines.map((line) => line.replace(/ +[\d.]+ s$/, '').trim());
    expect(told).to.include.members([
      'API server',
      'nodes 2/2',
      'istiod 1/1',
      'istio-cni-node 2/2',
      'ztunnel 2/2',
    ]);
    const kubectl = new Kubectl({ kubeconfig: cluster.kubeconfig, home: clusters.directory });
    const columns = 'jsonpath={range .items[*]}{.status.containerStatuses[0].ready}{"\\n"}{end}';
    const ready = await kubectl.must(['get', 'pods', '-n', 'istio-system', '-o', columns]);
    expect(ready.trim().split('\n')).to.deep.equal(Array(5).fill('true'));
    const applied = await kubectl.must(['apply', '--recursive', '-f', MANIFESTS]);
    expect(applied.split('\n').filter((line) => !/ unchanged$|^$/.test(line))).to.deep.equal([]);
  });

  it('names the pod that does not get ready, and why, and leaves nothing', async () => {
    const program = "sh -c 'echo the key does not fit; exit 3'";
    const up = clusters.start('bad', '--nodes', '1', '--image', `ambit/ztunnel=${program}`);
    expect((await up.exited).code).to.equal(1);
    const told = up.lines.join('\n');
    expect(told).to.match(/^Not ready and will not become so: .*ztunnel 0\/1$/m);
    expect(told).to.match(/^Pod ztunnel-\w+ on node-1: container istio-proxy .*3 times$/m);
    expect(told)
      .to.match(/^ {2}BackOff: /m)
      .and.match(/^ {4}the key does not fit$/m);
    expect(readdirSync(join(clusters.directory, 'ambit'))).to.deep.equal([]);
  });
});
