import { fromBinary } from '@bufbuild/protobuf';
import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import { PolicySchema } from '#api/gen/waypoint_pb.ts';
import type { PolicyTarget } from '#istiod/model/policy.ts';
import {
  authorizationRecord,
  gatewayRecord,
  type MeshWorld,
  meshWorld,
  serviceRecord,
  setServiceBehind,
  setWaypoint,
  usesWaypoint,
} from '#tests/support/control-plane.ts';

let world: MeshWorld;

const GATEWAY_GROUP = 'gateway.networking.k8s.io';

function policy(namespace: string, targets: readonly PolicyTarget[], more = {}): void {
  world.inputs.authorizationPolicies.set(
    authorizationRecord('rule', { namespace, targeted: true, targets, ...more }),
  );
}
/** Each as `waypoint|name: service …`. */
function policies(): string[] {
  return [...world.mesh.waypointPolicies.values()].map(({ waypoint: whose, name, bytes }) => {
    const { services } = fromBinary(PolicySchema, bytes);
    const names = services.map(
      ({ namespace, hostname }) => `${namespace}/${hostname.split('.')[0]}`,
    );
    return `${whose}|${name}: ${names.join(' ')}`;
  });
}
const toService = (name: string): PolicyTarget => ({ group: '', kind: 'Service', name });
const toGateway = (name: string): PolicyTarget => ({ group: GATEWAY_GROUP, kind: 'Gateway', name });
const toEntry = (name: string): PolicyTarget => ({
  group: 'networking.istio.io',
  kind: 'ServiceEntry',
  name,
});
const toClass = (name: string): PolicyTarget => ({
  group: GATEWAY_GROUP,
  kind: 'GatewayClass',
  name,
});

function setUp(): void {
  world = meshWorld();
  setWaypoint(world, 'way');
  setWaypoint(world, 'far', 'store');
  setServiceBehind(world, 'shelf', 'shop/way');
  setServiceBehind(world, 'lamp', 'shop/way');
  setServiceBehind(world, 'rack', 'store/far', 'store');
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
    setServiceBehind(world, 'lamp', 'store/far');
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
    setWaypoint(world, 'late');
    expect(policies()).to.include('shop/late|istio-system/rule: ');
    policy('istio-system', [toClass('istio')]);
    expect(policies()).to.deep.equal([]);
  });

  it('is for its own namespace only', () => {
    policy('store', [toService('shelf'), toGateway('way')]);
    policy('shop', [{ ...toService('rack'), namespace: 'store' }]);
    expect(policies()).to.deep.equal([]);
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

/** As `status reason: message`. */
function verdict(namespace = 'shop'): string | undefined {
  const found = world.mesh.waypointPolicyVerdicts.get(`${namespace}/rule`);
  return found && `${found.bound} ${found.reason}: ${found.message}`;
}

describe('deriveWaypointPolicies() verdicts', () => {
  beforeEach(() => {
    setUp();
    world.inputs.services.set(serviceRecord('loose'));
    world.inputs.serviceEntries.set({
      ...entry,
      name: 'abroad',
      labels: usesWaypoint('way'),
      services: ['a.example', 'b.example'].map((hostname) =>
        serviceRecord('abroad', { kind: 'ServiceEntry', hostname, labels: usesWaypoint('way') }),
      ),
    });
    world.inputs.gateways.set(gatewayRecord('door', { className: 'istio' }));
    for (const [name, controllerName] of [
      ['istio', 'istio.io/gateway-controller'],
      ['ours-too', 'istio.io/mesh-controller'],
    ] as const) {
      world.inputs.gatewayClasses.set({
        name,
        controllerName,
        labels: {},
        inboundBinding: undefined,
      });
    }
  });

  const refused: readonly [target: PolicyTarget, expected: string][] = [
    [toService('gone'), 'TargetNotFound: Service shop/gone was not found'],
    [toService('loose'), 'AncestorNotBound: Service shop/loose is not bound to a waypoint'],
    [
      { ...toService('rack'), namespace: 'store' },
      'Invalid: Service store/rack is not in the namespace of the policy',
    ],
    [toEntry('gone'), 'TargetNotFound: ServiceEntry shop/gone was not found'],
    [toGateway('gone'), 'TargetNotFound: Gateway shop/gone was not found'],
    [toGateway('door'), 'Invalid: Gateway shop/door is not a waypoint: it is of class "istio"'],
    [
      toClass('istio-waypoint'),
      'Invalid: GatewayClass istio-waypoint: only a policy in namespace istio-system can have a class as target',
    ],
    [
      { group: 'apps', kind: 'Deployment', name: 'shelf' },
      'Invalid: Deployment shop/shelf: kind "Deployment" can not be a target',
    ],
  ];
  for (const [target, expected] of refused) {
    it(`say ${expected}, and nobody is sent the policy`, () => {
      policy('shop', [target]);
      expect(verdict()).to.equal(`false ${expected}`);
      expect(policies()).to.deep.equal([]);
      policy('shop', [target, toService('shelf')]);
      const message = expected.slice(expected.indexOf(':') + 2);
      expect(verdict()).to.equal(`true PartiallyInvalid: bound to shop/way; ${message}`);
      expect(policies()).to.deep.equal(['shop/way|shop/rule: shop/shelf']);
    });
  }

  const bound: readonly [targets: readonly PolicyTarget[], to: string][] = [
    [[toGateway('way')], 'shop/way'],
    [[toService('shelf'), toService('lamp')], 'shop/way'],
    [[toEntry('abroad')], 'shop/way'],
  ];
  for (const [targets, to] of bound) {
    it(`say that a policy for ${targets.map(({ kind }) => kind).join(', ')} is bound`, () => {
      policy('shop', targets);
      expect(verdict()).to.equal(`true Accepted: bound to ${to}`);
    });
  }

  it('say that a policy for a class of waypoints is bound, and for no other class', () => {
    policy('istio-system', [toClass('istio-waypoint')]);
    const all = 'true Accepted: bound to all waypoints of class';
    expect(verdict('istio-system')).to.equal(`${all} istio-waypoint`);
    policy('istio-system', [toClass('ours-too')]);
    expect(verdict('istio-system')).to.equal(`${all} ours-too`);
    policy('istio-system', [toClass('istio')]);
    expect(verdict('istio-system')).to.contain(
      'Invalid: GatewayClass istio is not one of waypoints',
    );
    policy('istio-system', [toClass('gone')]);
    expect(verdict('istio-system')).to.contain('TargetNotFound: GatewayClass gone was not found');
  });

  it('follow what a service is bound to', () => {
    policy('shop', [toService('loose')]);
    setServiceBehind(world, 'loose', 'store/far');
    expect(verdict()).to.equal('true Accepted: bound to store/far');
    world.inputs.services.delete('shop/loose');
    expect(verdict()).to.equal('false TargetNotFound: Service shop/loose was not found');
  });

  it('say what of a policy waypoints do not enforce as it is written', () => {
    const when = [{ key: 'request.auth.claims[role]', values: ['admin'] }];
    policy('shop', [toService('shelf')], { action: 'ALLOW', rules: [{ when }] });
    expect(verdict()).to.equal(
      'true UnsupportedValue: bound to shop/way; Not supported: request.auth.claims[role]. Such rules never match',
    );
    policy('shop', [toService('shelf')], { action: 'CUSTOM', rules: [{}] });
    expect(verdict()).to.contain('UnsupportedValue: bound to shop/way; Action CUSTOM');
  });

  it('say that a selector has no effect beside targets', () => {
    policy('shop', [toService('shelf')], { selector: { app: 'shelf' } });
    expect(verdict()).to.equal(
      'true UnsupportedValue: bound to shop/way; spec.selector has no effect beside targetRefs: leave one of them out',
    );
  });

  it('say nothing of policies for node tunnels', () => {
    policy('shop', [], { targeted: false });
    expect(verdict()).to.equal(undefined);
  });

  it('say that targets could not be read', () => {
    policy('shop', []);
    expect(verdict()).to.equal('false Invalid: no targetRef can be read');
  });
});

const entry = {
  namespace: 'shop',
  createdAt: '2026-01-01T00:00:00Z',
  endpoints: [],
  byDns: true,
};
