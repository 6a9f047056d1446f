import { fromBinary } from '@bufbuild/protobuf';
import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import { PolicySchema } from '#api/gen/waypoint_pb.ts';
import type { PolicyTarget } from '#istiod/model/policy.ts';
import {
  authorizationRecord,
  gatewayRecord,
  type MeshWorld,
  meshListener,
  meshWorld,
  serviceRecord,
} from '#tests/support/control-plane.ts';

let world: MeshWorld;

const GATEWAY_GROUP = 'gateway.networking.k8s.io';
const use = (name: string, namespace = 'shop') => ({
  'istio.io/use-waypoint': name,
  'istio.io/use-waypoint-namespace': namespace,
});

/** A waypoint for everybody, that has an address. */
function waypoint(name: string, namespace = 'shop'): void {
  const hostname = `${name}.${namespace}.svc.cluster.local`;
  const listeners = [meshListener({ from: { kind: 'all' } })];
  world.inputs.gateways.set(
    gatewayRecord(name, { namespace, addresses: [{ kind: 'hostname', hostname }], listeners }),
  );
}
function service(name: string, by: string, namespace = 'shop'): void {
  const labels = use(by.split('/')[1] ?? '', by.split('/')[0]);
  world.inputs.services.set(serviceRecord(name, { namespace, labels }));
}
function policy(namespace: string, targets: readonly PolicyTarget[], more = {}): void {
  world.inputs.authorizationPolicies.set(
    authorizationRecord('rule', { namespace, targeted: true, targets, ...more }),
  );
}
/** Each as `waypoint|name: service …`. */
function policies(): string[] {
  return [...world.mesh.waypointPolicies.values()].map(({ waypoint: whose, name, bytes }) => {
    const { services } = fromBinary(PolicySchema, bytes);
    const said = services.map(
      ({ namespace, hostname }) => `${namespace}/${hostname.split('.')[0]}`,
    );
    return `${whose}|${name}: ${said.join(' ')}`;
  });
}
const toService = (name: string): PolicyTarget => ({ group: '', kind: 'Service', name });
const toGateway = (name: string): PolicyTarget => ({ group: GATEWAY_GROUP, kind: 'Gateway', name });
const toClass = (name: string): PolicyTarget => ({
  group: GATEWAY_GROUP,
  kind: 'GatewayClass',
  name,
});

function setUp(): void {
  world = meshWorld();
  waypoint('way');
  waypoint('far', 'store');
  service('shelf', 'shop/way');
  service('lamp', 'shop/way');
  service('rack', 'store/far', 'store');
}

describe('deriveWaypointPolicies()', () => {
  beforeEach(setUp);

  it('gives a waypoint what targets it, for all that goes through it', () => {
    policy('shop', [toGateway('way')]);
    expect(policies()).to.deep.equal(['shop/way|shop/rule: ']);
    policy('shop', [toService('shelf'), toGateway('way'), toService('lamp')]);
    expect(policies()).to.deep.equal(['shop/way|shop/rule: ']);
  });

  it('gives a waypoint what targets services behind it', () => {
    policy('shop', [toService('shelf'), toService('lamp'), toService('gone')]);
    expect(policies()).to.deep.equal(['shop/way|shop/rule: shop/shelf shop/lamp']);
    service('lamp', 'store/far');
    expect(policies()).to.have.members([
      'shop/way|shop/rule: shop/shelf',
      'store/far|shop/rule: shop/lamp',
    ]);
  });

  it('gives all waypoints what the root namespace says of their class, and nobody else says', () => {
    policy('shop', [toClass('istio-waypoint')]);
    expect(policies()).to.deep.equal([]);
    world.inputs.authorizationPolicies.delete('shop/rule');
    policy('istio-system', [toClass('istio-waypoint')]);
    expect(policies()).to.have.members([
      'shop/way|istio-system/rule: ',
      'store/far|istio-system/rule: ',
    ]);
    waypoint('late');
    expect(policies()).to.include('shop/late|istio-system/rule: ');
    policy('istio-system', [toClass('istio')]);
    expect(policies()).to.deep.equal([]);
  });

  it('is for its own namespace only', () => {
    policy('store', [toService('shelf'), toGateway('way')]);
    expect(policies()).to.deep.equal(['store/way|store/rule: ']);
  });

  it('leaves policies without targets to node tunnels, and theirs as they are', () => {
    policy('shop', [], { targeted: false });
    expect(policies()).to.deep.equal([]);
    expect([...world.mesh.policies.keys()]).to.deep.equal(['shop/rule']);
    policy('shop', [toGateway('way')]);
    expect([...world.mesh.policies.keys()]).to.deep.equal([]);
  });

  it('says that a policy is only tried out', () => {
    policy('shop', [toGateway('way')], { dryRun: true });
    const [found] = world.mesh.waypointPolicies.values();
    expect(fromBinary(PolicySchema, found?.bytes ?? new Uint8Array()).dryRun).to.equal(true);
  });
});
