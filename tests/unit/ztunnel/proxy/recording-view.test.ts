import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import { type IpAddress, parseIp } from '#common/net/address.ts';
import { EMPTY_DELTA } from '#dataplane/state/delta.ts';
import { namespacedHost, type WorkloadUid } from '#dataplane/state/names.ts';
import { serviceOf } from '#dataplane/state/service.ts';
import { MeshStore } from '#dataplane/state/store.ts';
import { type Workload, workloadOf } from '#dataplane/state/workload.ts';
import { RecordingView } from '#ztunnel/proxy/recording-view.ts';
import { route } from '#ztunnel/proxy/route.ts';

function ip(text: string): IpAddress {
  const parsed = parseIp(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
}
function pod(name: string, address: string, more: Partial<Workload> = {}): Workload {
  const uid = `c//Pod/shop/${name}` as WorkloadUid;
  return workloadOf({ uid, name, namespace: 'shop', ips: [ip(address)], ...more });
}
const WAYPOINT = namespacedHost('shop', 'way.point');
const waypoint = {
  destination: { kind: 'hostname', namespace: 'shop', hostname: 'way.point' },
  hboneMtlsPort: 15_008,
} as const;

describe('RecordingView', () => {
  let mesh: MeshStore;
  const alice = pod('alice', '10.0.0.1');
  beforeEach(() => {
    mesh = new MeshStore();
    mesh.apply({
      ...EMPTY_DELTA,
      upsertWorkloads: [alice, pod('till', '10.0.0.7'), pod('behind', '10.0.0.8', { waypoint })],
      upsertServices: [
        serviceOf({
          name: 'shelf',
          namespace: 'shop',
          hostname: 'shelf',
          vips: [{ network: '', ip: ip('10.96.0.5') }],
        }),
      ],
    });
  });

  /** What has to be asked for before a connection of alice's can go its way. */
  function missesOf(address: string): readonly string[] {
    const view = new RecordingView(mesh);
    route(view, alice, { ip: ip(address), port: 80 }, () => 0, { network: '' });
    return [...view.misses];
  }

  it('misses an address that nothing is known about', () => {
    expect(missesOf('10.9.9.9')).to.deep.equal(['/10.9.9.9']);
  });

  it('misses nothing of an address that a workload or a service has', () => {
    expect(missesOf('10.0.0.7')).to.deep.equal([]);
    expect(missesOf('10.96.0.5')).to.deep.equal([]);
  });

  it('misses the waypoint that is in front of a workload', () => {
    expect(missesOf('10.0.0.8')).to.deep.equal([WAYPOINT]);
  });

  it('answers as the view that it records', () => {
    const view = new RecordingView(mesh);
    expect(view.workload(alice.uid)).to.equal(alice);
    expect(
      view.localWorkload({ name: 'alice', namespace: 'shop', serviceAccount: 'default' }),
    ).to.equal(alice);
    expect(view.service(namespacedHost('shop', 'shelf'))?.name).to.equal('shelf');
    expect(view.serviceByHostname('shelf', 'shop')?.name).to.equal('shelf');
    expect(view.endpoints(namespacedHost('shop', 'shelf')).size).to.equal(0);
    expect(view.policiesFor(alice)).to.deep.equal({ policies: [], missing: [] });
    expect([...view.misses]).to.deep.equal([]);
  });
});
