import { expect } from 'chai';
import { describe, it } from 'mocha';

import type { Workload } from '#dataplane/state/workload.ts';
import { storeOf, workload } from '#tests/support/mesh.ts';
import type { PodUid } from '#ztunnel/inpod/zds-protocol.ts';
import type { PlacedPod } from '#ztunnel/pod-host.ts';
import { wantedIdentities } from '#ztunnel/wanted-identities.ts';

const NODE = 'here';

const on = (node: string, serviceAccount: string, more: Partial<Workload> = {}): Workload =>
  workload(`${serviceAccount}-1`, '', { node, serviceAccount, protocol: 'HBONE', ...more });

const placed = ({ name, namespace, serviceAccount }: Workload): PlacedPod => ({
  uid: name as PodUid,
  pod: { name, namespace, serviceAccount },
  worker: 0,
  netnsFd: -1,
  state: 'up',
});

function wanted(pods: readonly PlacedPod[], workloads: readonly Workload[]): object {
  const identities = wantedIdentities(pods, workloads, storeOf({ workloads }), NODE);
  return Object.fromEntries(
    [...identities].map(([identity, priority]) => [identity.split('/').at(-1), priority]),
  );
}

describe('wantedIdentities()', () => {
  const app = on(NODE, 'app');

  it('has those of the pods here, at once', () => {
    expect(wanted([placed(app)], [app])).to.deep.equal({ app: 'real-time' });
  });

  it('has none of a pod that the mesh does not know', () => {
    expect(wanted([placed(app)], [])).to.deep.equal({});
  });

  it('has those of workloads that have tunnels and are expected here, without hurry', () => {
    const workloads = [
      app,
      on(NODE, 'native', { protocol: 'TCP', nativeTunnel: true }),
      on(NODE, 'plain', { protocol: 'TCP' }),
      on('elsewhere', 'other'),
    ];
    expect(wanted([], workloads)).to.deep.equal({ app: 'warmup', native: 'warmup' });
  });

  it('has 256 of those at most, and all of the pods', () => {
    const workloads = Array.from({ length: 300 }, (_, index) => on(NODE, `app-${index}`));
    const pods = workloads.slice(0, 10).map(placed);
    const priorities = Object.values(wanted(pods, workloads));
    expect(priorities.filter((priority) => priority === 'real-time')).to.have.length(10);
    expect(priorities.filter((priority) => priority === 'warmup')).to.have.length(256);
  });
});
