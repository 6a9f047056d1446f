import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import {
  ADDRESS_TYPE,
  AUTHORIZATION_TYPE,
  EncodedResources,
  sourcesFor,
  WAYPOINT_POLICY_TYPE,
} from '#istiod/serve/generators.ts';
import {
  address,
  authorizationRecord,
  gatewayRecord,
  type MeshWorld,
  meshWorld,
  podRecord,
  serviceRecord,
} from '#tests/support/control-plane.ts';
import type { ResourceSource } from '#xds/server-stream.ts';

const TILL = 'Kubernetes//Pod/shop/till';
const COOK = 'Kubernetes//Pod/shop/cook';
const SHELF = 'shop/shelf.shop.svc.cluster.local';

describe('sourcesFor()', () => {
  let world: MeshWorld;
  let encoded: EncodedResources;
  let policies: ResourceSource;
  let addresses: ResourceSource;

  beforeEach(() => {
    world = meshWorld();
    encoded = new EncodedResources();
    const { pods, services } = world.inputs;
    pods.set(podRecord('till', { labels: { app: 'shelf' }, addresses: [address('10.0.0.7')] }));
    pods.set(podRecord('cook', { node: 'node-b', addresses: [address('10.0.0.8')] }));
    services.set(
      serviceRecord('shelf', {
        addresses: [{ ip: address('10.96.0.5'), prefixLength: undefined }],
      }),
    );
    world.inputs.authorizationPolicies.set(authorizationRecord('none'));
    const [first, second, ...more] = sourcesFor(world.mesh, encoded, {
      node: 'node-a',
      waypoint: undefined,
    });
    if (first === undefined || second === undefined) throw new Error('Want two sources');
    expect(more).to.deep.equal([]);
    [policies, addresses] = [first, second];
  });

  it('sends policies before what refers to them', () => {
    expect([policies.typeUrl, addresses.typeUrl]).to.deep.equal([AUTHORIZATION_TYPE, ADDRESS_TYPE]);
  });

  it('finds a workload by its name and by its address', () => {
    for (const name of [TILL, '/10.0.0.7']) {
      expect(addresses.lookup(name), name).to.deep.equal([TILL]);
    }
  });

  it('finds a service with its workloads, by its name and by its address', () => {
    for (const name of [SHELF, '/10.96.0.5']) {
      expect(addresses.lookup(name), name).to.deep.equal([SHELF, TILL]);
    }
  });

  it('finds the service whose block an address is in, and says that this is all', () => {
    const block = { ip: address('10.97.0.0'), prefixLength: 16 };
    world.inputs.services.set(serviceRecord('wide', { addresses: [block] }));
    const wide = 'shop/wide.shop.svc.cluster.local';
    expect(addresses.lookup('/10.97.3.4')).to.deep.equal([wide, '/10.97.3.4']);
    expect(addresses.encoded('/10.97.3.4', true)).to.equal(undefined);
    for (const name of ['/10.98.0.1', 'elsewhere/10.97.3.4', '/nonsense', '10.97.3.4'])
      expect(addresses.lookup(name), name).to.deep.equal([]);
    // It has come after somebody was told that there is nothing.
    expect(addresses.concerns(wide, new Set(['/10.97.3.4']))).to.equal(true);
    expect(addresses.concerns(wide, new Set(['/10.98.0.1', SHELF]))).to.equal(false);
  });

  it('finds nothing for what is not there', () => {
    for (const name of ['/10.9.9.9', 'elsewhere/10.0.0.7', 'Kubernetes//Pod/shop/none', ''])
      expect(addresses.lookup(name), name).to.deep.equal([]);
    expect(policies.lookup('shop/other')).to.deep.equal([]);
    expect(addresses.encoded('/10.0.0.7', true)).to.equal(undefined);
  });

  it('tells a client of its own node without being asked', () => {
    expect(addresses.always()).to.deep.equal([TILL]);
    expect(addresses.concerns(TILL, new Set())).to.equal(true);
    expect(addresses.concerns(COOK, new Set())).to.equal(false);
    expect(policies.always()).to.deep.equal([]);
  });

  it('tells of what was asked for under any of its names, and of the workloads of a service', () => {
    expect(addresses.concerns(COOK, new Set(['/10.0.0.8']))).to.equal(true);
    expect(addresses.concerns(COOK, new Set([SHELF]))).to.equal(false);
    const [, elsewhere] = sourcesFor(world.mesh, encoded, { node: 'node-c', waypoint: undefined });
    expect(elsewhere?.concerns(TILL, new Set([SHELF]))).to.equal(true);
    expect(elsewhere?.concerns('gone', new Set(['gone']))).to.equal(true);
  });

  it('encodes a resource once for all clients, and again when it has changed', () => {
    const once = addresses.encoded(TILL, false);
    const [, others] = sourcesFor(world.mesh, encoded, { node: 'node-b', waypoint: undefined });
    expect(others?.encoded(TILL, false)).to.equal(once);
    expect(addresses.encoded(TILL, true)).not.to.deep.equal(once);
    world.inputs.pods.set(podRecord('till', { addresses: [address('10.0.0.7')], ready: false }));
    expect(addresses.encoded(TILL, false)).not.to.deep.equal(once);
  });
});

describe('sourcesFor() a waypoint', () => {
  let world: MeshWorld;

  beforeEach(() => {
    world = meshWorld();
    for (const name of ['way', 'other']) {
      world.inputs.gateways.set(gatewayRecord(name));
      const targets = [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name }];
      const policy = authorizationRecord(`for-${name}`, { targeted: true, targets });
      world.inputs.authorizationPolicies.set(policy);
    }
  });

  function policiesOf(waypoint: string | undefined): ResourceSource | undefined {
    const sources = sourcesFor(world.mesh, new EncodedResources(), { node: '', waypoint });
    return sources.find(({ typeUrl }) => typeUrl === WAYPOINT_POLICY_TYPE);
  }

  it('has its own, and nothing of others', () => {
    const own = policiesOf('shop/way');
    expect([...(own?.all() ?? [])].map(({ name }) => name)).to.deep.equal(['shop/for-way']);
    expect(own?.lookup('shop/for-way')).to.deep.equal(['shop/for-way']);
    expect(own?.lookup('shop/for-other')).to.deep.equal([]);
    expect(own?.encoded('shop/for-way', false)).to.be.instanceOf(Uint8Array);
    expect(own?.encoded('shop/for-other', false)).to.equal(undefined);
  });

  it('hears of what changes for it only', () => {
    const own = policiesOf('shop/way');
    expect(own?.nameOf?.('shop/way|shop/rule')).to.equal('shop/rule');
    for (const key of ['shop/other|shop/rule', 'shop/way2|shop/rule', 'shop/way'])
      expect(own?.nameOf?.(key), key).to.equal(undefined);
  });

  it('has none of these types when it is no waypoint', () => {
    expect(policiesOf(undefined)).to.equal(undefined);
  });
});
