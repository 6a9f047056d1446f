import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  listRows,
  statusRows,
  waypointGateway,
  waypointProblem,
  waypointState,
} from '#cli/waypoint/gateways.ts';
import type { Condition, Configuration } from '#kube/resources.ts';

const wanted = {
  name: 'waypoint',
  namespace: 'shop',
  trafficType: undefined,
  revision: undefined,
};

function gateway(
  name: string,
  conditions: readonly Partial<Condition>[] = [],
  labels: Readonly<Record<string, string>> = {},
): Configuration {
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: { name, namespace: 'shop', generation: 2, labels },
    spec: { gatewayClassName: 'istio-waypoint' },
    status: { conditions },
  };
}
const programmed = { type: 'Programmed', status: 'True', observedGeneration: 2 };
const pending = {
  ...programmed,
  status: 'False',
  reason: 'AddressNotAssigned',
  message: 'No pod of it is ready yet',
};

describe('waypointGateway()', () => {
  it('asks for one listener for the tunnel, and says no more than it is told', () => {
    expect(waypointGateway(wanted)).to.deep.equal({
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'Gateway',
      metadata: { name: 'waypoint', namespace: 'shop' },
      spec: {
        gatewayClassName: 'istio-waypoint',
        listeners: [{ name: 'mesh', port: 15008, protocol: 'HBONE' }],
      },
    });
  });

  it('says what it is for, and whose it is, in labels', () => {
    const labelled = waypointGateway({ ...wanted, trafficType: 'all', revision: 'canary' });
    expect(labelled.metadata.labels).to.deep.equal({
      'istio.io/waypoint-for': 'all',
      'istio.io/rev': 'canary',
    });
  });
});

describe('waypointProblem()', () => {
  const rows: readonly (readonly [object, RegExp | undefined])[] = [
    [{}, undefined],
    [{ trafficType: 'workload' }, undefined],
    [{ name: 'none' }, /reserved/],
    [{ name: 'Way' }, /can not have the name "Way"/],
    [{ name: 'a'.repeat(64) }, /at most 63/],
    [{ trafficType: 'pods' }, /"pods": want --for service\|workload\|all\|none/],
  ];
  for (const [more, expected] of rows) {
    it(`${expected === undefined ? 'has nothing against' : 'refuses'} ${JSON.stringify(more)}`, () => {
      const problem = waypointProblem({ ...wanted, ...more });
      if (expected === undefined) expect(problem).to.equal(undefined);
      else expect(problem).to.match(expected);
    });
  }
});

describe('waypointState()', () => {
  const rows: readonly (readonly [string, readonly Partial<Condition>[], string])[] = [
    ['is programmed', [programmed], 'ready'],
    ['is not yet', [pending], 'waiting AddressNotAssigned: No pod of it is ready yet'],
    [
      'was programmed before it was changed',
      [{ ...programmed, observedGeneration: 1 }],
      'waiting no control plane has looked at it; is istiod running?',
    ],
    [
      'nobody has looked at',
      [{ ...programmed, status: 'Unknown', reason: 'Pending' }],
      'waiting no control plane has looked at it; is istiod running?',
    ],
    [
      'is not accepted',
      [
        { ...pending, type: 'Accepted', reason: 'ListenersNotValid', message: 'No listener' },
        pending,
      ],
      'refused ListenersNotValid: No listener',
    ],
  ];
  for (const [what, conditions, expected] of rows) {
    it(`knows a waypoint that ${what}`, () => {
      const state = waypointState(gateway('way', conditions));
      const reason = state.kind === 'ready' ? '' : ` ${state.reason}`;
      expect(`${state.kind}${reason}`).to.equal(expected);
    });
  }

  it('names the revision that is asked for when nobody answers', () => {
    expect(waypointState(gateway('way', [], { 'istio.io/rev': 'canary' }))).to.deep.equal({
      kind: 'waiting',
      reason: 'no control plane has looked at it; is istiod running, and of revision "canary"?',
    });
  });

  it('waits for one that is not there', () => {
    expect(waypointState(undefined)).to.include({ kind: 'waiting' });
  });
});

describe('listRows() and statusRows()', () => {
  const waypoints = [
    gateway('second', [pending], { 'istio.io/waypoint-for': 'all', 'istio.io/rev': 'canary' }),
    gateway('first', [programmed]),
  ];

  it('show waypoints in order, with what counts when nothing is said', () => {
    expect(listRows(waypoints, false)).to.deep.equal([
      ['NAME', 'REVISION', 'TRAFFIC TYPE', 'PROGRAMMED'],
      ['first', 'default', 'service', 'True'],
      ['second', 'canary', 'all', 'False'],
    ]);
    expect(statusRows(waypoints, false)).to.deep.equal([
      ['NAME', 'STATUS', 'TYPE', 'REASON', 'MESSAGE'],
      ['first', 'True', 'Programmed', '', ''],
      ['second', 'False', 'Programmed', 'AddressNotAssigned', 'No pod of it is ready yet'],
    ]);
  });

  it('name the namespace when there may be several', () => {
    const [head, first] = listRows(waypoints, true);
    expect(head?.[0]).to.equal('NAMESPACE');
    expect(first?.slice(0, 2)).to.deep.equal(['shop', 'first']);
  });
});
