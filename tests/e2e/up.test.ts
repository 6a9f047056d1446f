import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { Kubectl } from '#tests/bed/kubectl.ts';
import { Clusters } from '#tests/support/cluster.ts';

const MANIFESTS = fileURLToPath(new URL('../../manifests', import.meta.url));

/**
 * Half of what two cores have in 15 s: not everything can be done at the same time. Not the time on a clock, which says how
 * busy the machine is with something else.
 */
const PROCESSOR_SECONDS_MAX = 15;
const TICKS_PER_SECOND = 100;

interface ProcessStat {
  readonly pid: number;
  readonly parent: number;
  /** Of its own, and of its children that have ended. */
  readonly ticks: number;
}

/** What a process and all below it have had of the processors so far. */
function processorSeconds(first: number): number {
  const all = new Map(processStats().map((each) => [each.pid, each]));
  const isBelow = ({ pid, parent }: ProcessStat): boolean => {
    const above = all.get(parent);
    return pid === first || (above !== undefined && isBelow(above));
  };
  const below = [...all.values()].filter(isBelow);
  return below.reduce((sum, { ticks }) => sum + ticks, 0) / TICKS_PER_SECOND;
}

function processStats(): readonly ProcessStat[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
        // From field 3 on: the name before may have spaces.
        const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        const ticks = fields.slice(11, 15).reduce((sum, each) => sum + Number(each), 0);
        return [{ pid: Number(name), parent: Number(fields[1]), ticks }];
      } catch {
        // It has ended meanwhile.
        return [];
      }
    });
}

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

  it('takes little enough of a processor that two cores at rest have it up in 15 s', async () => {
    const cluster = await clusters.upWithMesh('up');
    cluster.client.close();
    const owner = readFileSync(join(clusters.directory, 'ambit/up/owner.json'), 'utf8');
    const { pid } = JSON.parse(owner) as { pid: number };
    expect(processorSeconds(pid)).to.be.within(1, PROCESSOR_SECONDS_MAX);
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
