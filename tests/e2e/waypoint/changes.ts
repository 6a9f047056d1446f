import { expect } from 'chai';
import { it } from 'mocha';

import { program } from '#tests/bed/process.ts';

import { SELECTOR, SHOP, type Stage, untilBehindWaypoint, WAYPOINT } from './stage.ts';

const USE_WAYPOINT = 'istio.io/use-waypoint';
const LOADS = [
  { kind: 'http1', target: 'peer:80', width: 4 },
  { kind: 'http2', target: 'peer:81', width: 8 },
  { kind: 'grpc', target: 'peer:82', width: 4 },
] as const;

export function theChanges(on: () => Stage): void {
  it('lose no request while it is replaced, whatever they speak', async () => {
    const { mesh, till } = on();
    const [old] = await mesh.pods(SHOP, SELECTOR);
    // Requests that are answered when the old one has been told to end.
    const waiting = [
      till.curl('http://peer/wait?topic=one'),
      till.curl('--http2-prior-knowledge', 'http://peer:81/wait?topic=two'),
    ];
    const loads = await Promise.all(LOADS.map(async (load) => till.do('beginLoad', load)));
    const restart = ['rollout', 'restart', '-n', SHOP, `deployment/${WAYPOINT}`];
    await mesh.kubectl.must(restart);
    await mesh.until('the old one is told to end', async () => {
      const { metadata } = await mesh.pod(SHOP, old?.metadata.name ?? '');
      return metadata.deletionTimestamp !== undefined;
    });
    for (const topic of ['one', 'two']) {
      expect(await till.curl('-d', 'done', `http://peer/tell?topic=${topic}`)).to.equal('1');
    }
    expect(await Promise.all(waiting)).to.deep.equal(['done', 'done']);
    const rolled = ['rollout', 'status', '-n', SHOP, `deployment/${WAYPOINT}`, '--timeout=60s'];
    await mesh.kubectl.must(rolled);
    await mesh.until('the old one has gone', async () => {
      return (await mesh.pods(SHOP, SELECTOR)).length === 1;
    });
    const seen = await Promise.all(loads.map(async (load) => till.do('endLoad', { load })));
    const failures = seen.map((one, index) => [LOADS[index]?.kind, one.failures]);
    expect(failures).to.deep.equal(LOADS.map(({ kind }) => [kind, []]));
    for (const [index, { requests }] of seen.entries()) {
      expect(requests, LOADS[index]?.kind).to.be.above(10);
    }
  });

  it('go around it when the namespace does not want it any more, and through it when it does', async () => {
    const stage = on();
    const { mesh } = stage;
    await mesh.kubectl.must(['label', 'namespace', SHOP, `${USE_WAYPOINT}-`]);
    await untilBehindWaypoint(stage, false);
    await mesh.kubectl.must(['label', 'namespace', SHOP, `${USE_WAYPOINT}=${WAYPOINT}`]);
    await untilBehindWaypoint(stage, true);
    await mesh.kubectl.must(['label', 'service', '-n', SHOP, 'peer', `${USE_WAYPOINT}=none`]);
    await untilBehindWaypoint(stage, false);
    await mesh.kubectl.must(['label', 'service', '-n', SHOP, 'peer', `${USE_WAYPOINT}-`]);
    await untilBehindWaypoint(stage, true);
  });

  it('are served without it when it is deleted', async () => {
    const stage = on();
    const { mesh } = stage;
    await mesh.kubectl.must(['label', 'namespace', SHOP, `${USE_WAYPOINT}-`]);
    await untilBehindWaypoint(stage, false);
    const command = program('cli/main.ts', 'waypoint', 'delete', '-n', SHOP, WAYPOINT);
    const deleted = await mesh.kubectl.around(command);
    expect(deleted.code, deleted.stderr).to.equal(0);
    await mesh.until('nothing of it is left', async () => {
      const left = ['get', 'deployment,service,pod', '-n', SHOP, '-l', SELECTOR, '-o', 'name'];
      return (await mesh.kubectl.must(left)) === '';
    });
    await untilBehindWaypoint(stage, false);
  });
}
