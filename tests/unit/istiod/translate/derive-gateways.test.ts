import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';
import { readConfig } from '#istiod/config.ts';
import type { GatewayPlan } from '#istiod/model/gateway-plan.ts';
import type { GatewayRecord } from '#istiod/model/waypoint.ts';
import type { Deployment, KubeObject, Service } from '#kube/resources.ts';
import { builtInImages } from '#playground/images/built-in.ts';
import { findImage } from '#playground/node/images.ts';
import {
  address,
  gatewayRecord,
  type MeshWorld,
  meshListener,
  meshWorld,
  podRecord,
  serviceRecord,
} from '#tests/support/control-plane.ts';

const MADE = { 'gateway.istio.io/managed': 'istio.io-mesh-controller' };
const OF_WAY = { 'gateway.networking.k8s.io/gateway-name': 'way' };

let world: MeshWorld;

function setUp(): void {
  world = meshWorld();
}

function plan(): GatewayPlan | undefined {
  return world.mesh.gatewayPlans.get('shop/way');
}
function planOf(more: Partial<GatewayRecord> = {}): GatewayPlan {
  world.inputs.gateways.set(gatewayRecord('way', more));
  const found = plan();
  if (found === undefined) throw new Error('No plan');
  return found;
}
function objectOf(kind: string, more: Partial<GatewayRecord> = {}): KubeObject {
  const found = planOf(more).objects.find((object) => object.kind === kind);
  if (found === undefined) throw new Error(`No ${kind}`);
  return found;
}
function condition(type: string): string | undefined {
  const found = plan()?.status.conditions.find((each) => each.type === type);
  return found && `${found.status} ${found.reason}: ${found.message}`;
}
function addresses(): readonly string[] {
  return (plan()?.status.addresses ?? []).map(({ type, value }) => `${type} ${value}`);
}
function portsOf(name: string): readonly string[] {
  const { spec } = objectOf('Service', { listeners: [meshListener({ name })] }) as Service;
  return (spec.ports ?? []).map((port) => `${port.name} ${port.port} ${port.appProtocol}`);
}
function withService(labels: Readonly<Record<string, string>> = { ...OF_WAY, ...MADE }): void {
  const virtual = { ip: address('10.96.0.9'), prefixLength: undefined };
  world.inputs.services.set(serviceRecord('way', { labels, addresses: [virtual] }));
}
function withPod(ready: boolean): void {
  world.inputs.pods.set(podRecord('way-1', { labels: OF_WAY, ready }));
}

describe('deriveGateways(): whose gateways are ours', () => {
  beforeEach(setUp);

  const rows: readonly (readonly [string, Partial<GatewayRecord>, boolean])[] = [
    ['of the class of waypoints, even before it is there', {}, true],
    ['of another class', { className: 'nginx' }, false],
    ['of our revision', { labels: { 'istio.io/rev': 'default' } }, true],
    ['of another revision', { labels: { 'istio.io/rev': 'canary' } }, false],
    ['about to go', { deleting: true }, false],
  ];
  for (const [what, more, isOurs] of rows) {
    it(`${isOurs ? 'takes' : 'leaves'} one that is ${what}`, () => {
      world.inputs.gateways.set(gatewayRecord('way', more));
      expect(plan() !== undefined).to.equal(isOurs);
    });
  }

  it('goes by the controller that the class names, whatever its name', () => {
    const gatewayClass = { labels: {}, inboundBinding: undefined };
    world.inputs.gatewayClasses.set({
      ...gatewayClass,
      name: 'mine',
      controllerName: 'istio.io/mesh-controller',
    });
    world.inputs.gatewayClasses.set({
      ...gatewayClass,
      name: 'istio-waypoint',
      controllerName: 'somebody.example/else',
    });
    world.inputs.gateways.set(gatewayRecord('way', { className: 'mine' }));
    expect(plan()).to.not.equal(undefined);
    world.inputs.gateways.set(gatewayRecord('way'));
    expect(plan()).to.equal(undefined);
  });

  it('asks the namespace for the revision when the gateway says none', () => {
    world.inputs.gateways.set(gatewayRecord('way'));
    const labels = { 'istio.io/rev': 'canary' };
    world.inputs.namespaces.set({ name: 'shop', labels, trafficDistribution: undefined });
    expect(plan()).to.equal(undefined);
  });
});

describe('deriveGateways(): what is made', () => {
  beforeEach(setUp);

  it('is an account, a deployment and a service, all of the gateway and named as it', () => {
    const { objects } = planOf();
    expect(objects.map(({ kind }) => kind)).to.deep.equal([
      'ServiceAccount',
      'Deployment',
      'Service',
    ]);
    for (const { metadata } of objects) {
      expect(metadata).to.deep.include({
        name: 'way',
        namespace: 'shop',
        labels: {
          ...OF_WAY,
          'gateway.networking.k8s.io/gateway-class-name': 'istio-waypoint',
          'gateway.istio.io/managed': 'istio.io-mesh-controller',
        },
        ownerReferences: [
          {
            apiVersion: 'gateway.networking.k8s.io/v1',
            kind: 'Gateway',
            name: 'way',
            uid: 'uid-of-way',
          },
        ],
      });
    }
  });

  it('runs the proxy with its own account, out of the mesh, with little rights', () => {
    const { spec } = objectOf('Deployment') as Deployment;
    expect(spec).to.not.have.property('replicas');
    expect(spec.selector).to.deep.equal({ matchLabels: OF_WAY });
    expect(spec.template.metadata?.labels).to.include({
      ...OF_WAY,
      'istio.io/dataplane-mode': 'none',
      'sidecar.istio.io/inject': 'false',
      'service.istio.io/canonical-name': 'way',
    });
    expect(spec.template.spec).to.deep.include({
      serviceAccountName: 'way',
      automountServiceAccountToken: false,
    });
    const [container] = spec.template.spec.containers;
    expect(container?.image).to.equal('ambit/waypoint:1.2.3');
    expect(container?.securityContext).to.deep.include({
      runAsNonRoot: true,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    const mounts = container?.volumeMounts?.map(({ name }) => name);
    const volumes = spec.template.spec.volumes?.map(({ name }) => name);
    expect(mounts?.toSorted()).to.deep.equal(volumes?.toSorted());
  });

  it('tells the proxy where the control plane is, and who it is itself', () => {
    const { spec } = objectOf('Deployment') as Deployment;
    const env = spec.template.spec.containers[0]?.env ?? [];
    const values = Object.fromEntries(
      env.map(({ name, value, valueFrom }) => [name, value ?? valueFrom?.fieldRef?.fieldPath]),
    );
    expect(values).to.include({
      CA_ADDRESS: 'istiod.istio-system.svc:15012',
      XDS_ADDRESS: 'istiod.istio-system.svc:15012',
      TRUST_DOMAIN: 'cluster.local',
      ISTIO_META_CLUSTER_ID: 'Kubernetes',
      POD_NAME: 'metadata.name',
      POD_NAMESPACE: 'metadata.namespace',
      INSTANCE_IP: 'status.podIP',
      SERVICE_ACCOUNT: 'spec.serviceAccountName',
    });
    expect(values).to.not.have.property('NETWORK');
  });

  it('says which network it is on, when the cluster has one', () => {
    const labels = { 'topology.istio.io/network': 'west' };
    world.inputs.namespaces.set({ name: 'istio-system', labels, trafficDistribution: undefined });
    const deployment = objectOf('Deployment') as Deployment;
    expect(deployment.metadata.labels).to.include(labels);
    expect(deployment.spec.template.spec.containers[0]?.env).to.deep.include({
      name: 'NETWORK',
      value: 'west',
    });
  });

  it('listens where the gateway listens, under its name as far as a port can have it', () => {
    expect(portsOf('mesh')).to.deep.equal(['status-port 15021 tcp', 'mesh 15008 hbone']);
    const long = `${'a'.repeat(60)}.bc.de`;
    expect(portsOf(long)[1]).to.equal(`${'a'.repeat(60)}-bc 15008 hbone`);
    expect(portsOf('status-port')[1]).to.equal('mesh 15008 hbone');
  });

  it('carries the labels and annotations of the gateway, or else those named for the infrastructure', () => {
    const labels = { team: 'a' };
    const annotations = { note: 'b', 'gateway.istio.io/controller-version': '5' };
    const copied = objectOf('Deployment', { labels, annotations }) as Deployment;
    expect(copied.metadata.labels).to.include(labels);
    expect(copied.metadata.annotations).to.deep.equal({ note: 'b' });
    expect(copied.spec.template.metadata?.labels).to.include(labels);
    const infrastructure = {
      labels: { cost: 'low', 'gateway.networking.k8s.io/gateway-name': 'forged' },
      annotations: undefined,
      parametersRef: undefined,
    };
    const named = objectOf('Deployment', { labels, annotations, infrastructure });
    expect(named.metadata.labels).to.include({ cost: 'low', ...OF_WAY });
    expect(named.metadata.labels).to.not.have.property('team');
    expect(named.metadata.annotations).to.deep.equal({});
  });

  it('runs by default an image that the playground knows', () => {
    const read = readConfig({});
    const image = read.kind === 'ok' ? read.config.mesh.waypointImage : '';
    expect(findImage(builtInImages(), image)).to.not.equal(undefined);
  });
});

describe('deriveGateways(): how it stands', () => {
  beforeEach(setUp);

  it('is accepted at once, and programmed when its service and one of its pods are there', () => {
    planOf();
    expect(condition('Accepted')).to.equal('True Accepted: Resource accepted');
    expect(condition('Programmed')).to.match(/^False AddressNotAssigned: Its Service/);
    withService();
    expect(condition('Programmed')).to.match(/^False AddressNotAssigned: No pod/);
    withPod(false);
    expect(condition('Programmed')).to.match(/^False AddressNotAssigned: No pod/);
    expect(addresses()).to.deep.equal([]);
    withPod(true);
    expect(condition('Programmed')).to.equal(
      'True Programmed: Resource programmed, assigned to service(s) way.shop.svc.cluster.local:15008',
    );
    expect(condition('ResolvedRefs')).to.match(/^True ResolvedRefs/);
    expect(addresses()).to.deep.equal([
      'Hostname way.shop.svc.cluster.local',
      'IPAddress 10.96.0.9',
    ]);
  });

  it('has no address while somebody else has a Service of its name', () => {
    planOf();
    withPod(true);
    withService({ app: 'theirs' });
    expect(condition('Programmed')).to.equal(
      'False AddressNotAssigned: There is a Service "way" that somebody else has made, and it stays as it is: delete it, or give the waypoint another name',
    );
    expect(addresses()).to.deep.equal([]);
    withService();
    expect(condition('Programmed')).to.match(/^True/);
  });

  it('keeps its addresses when its pods go: what has to go through it must not go around it', () => {
    withService();
    const assigned = [
      { kind: 'hostname', hostname: 'way.shop.svc.cluster.local' },
      { kind: 'ip', ip: address('10.96.0.9') },
    ] as const;
    planOf({ addresses: assigned });
    expect(condition('Programmed')).to.match(/^False AddressNotUsable: No pod of it is ready/);
    expect(addresses()).to.deep.equal([
      'Hostname way.shop.svc.cluster.local',
      'IPAddress 10.96.0.9',
    ]);
  });

  it('has one listener, to which no routes attach', () => {
    const { status } = planOf();
    expect(status.listeners).to.have.lengthOf(1);
    expect(status.listeners[0]).to.deep.include({
      name: 'mesh',
      attachedRoutes: 0,
      supportedKinds: [],
    });
    expect(listenerConditions()).to.deep.equal([
      'Accepted True Accepted',
      'Conflicted False NoConflicts',
      'Programmed True Programmed',
      'ResolvedRefs True ResolvedRefs',
    ]);
    const kinds = [{ group: 'gateway.networking.k8s.io', kind: 'HTTPRoute' }];
    planOf({ listeners: [meshListener({ kinds })] });
    expect(listenerConditions()).to.include('ResolvedRefs False InvalidRouteKinds');
  });

  const bad: readonly (readonly [string, Partial<GatewayRecord>, RegExp])[] = [
    ['no listener', { listeners: [] }, /^False ListenersNotValid/],
    ['two listeners', { listeners: [meshListener(), meshListener({ name: 'b' })] }, /Listeners/],
    ['another port', { listeners: [meshListener({ port: 80 })] }, /^False ListenersNotValid/],
    ['another protocol', { listeners: [meshListener({ protocol: 'HTTP' })] }, /ListenersNotValid/],
    [
      'an address of its own',
      { wantedAddresses: [{ type: 'IPAddress', value: '10.0.0.1' }] },
      /^False UnsupportedAddress: .* not IPAddress "10\.0\.0\.1"/,
    ],
    [
      'traffic that there is not',
      { labels: { 'istio.io/waypoint-for': 'pods' } },
      /^False InvalidParameters: .*"pods": want service, workload, all, none$/,
    ],
    [
      'parameters',
      {
        infrastructure: {
          labels: undefined,
          annotations: undefined,
          parametersRef: 'ConfigMap/more',
        },
      },
      /^False InvalidParameters: .*\(ConfigMap\/more\) is not supported/,
    ],
    [
      'a label that none can be',
      {
        infrastructure: {
          labels: { team: 'a b' },
          annotations: undefined,
          parametersRef: undefined,
        },
      },
      /^False InvalidParameters: .*team can not have the value "a b"/,
    ],
  ];
  for (const [what, more, expected] of bad) {
    it(`is refused, and nothing made, with ${what}`, () => {
      const { objects } = planOf(more);
      expect(condition('Accepted')).to.match(expected);
      expect(condition('Programmed')).to.match(/^False Invalid: Not accepted/);
      expect(objects).to.deep.equal([]);
    });
  }

  it('says at the listener what is wrong with it', () => {
    planOf({ listeners: [meshListener({ port: 80 })] });
    const [accepted] = plan()?.status.listeners[0]?.conditions ?? [];
    expect(accepted).to.deep.include({ status: 'False', reason: 'UnsupportedProtocol' });
    expect(accepted?.message).to.equal(
      'Expected a single listener on port 15008 with protocol "HBONE", found HBONE on port 80',
    );
  });

  it('refuses a name that no service can have', () => {
    world.inputs.gateways.set(gatewayRecord('way.of.dots'));
    const found = world.mesh.gatewayPlans.get('shop/way.of.dots');
    expect(found?.status.conditions[0]?.message).to.match(/^A Service can not have the name/);
    expect(found?.objects).to.deep.equal([]);
  });
});

function listenerConditions(): readonly string[] {
  const conditions = plan()?.status.listeners[0]?.conditions ?? [];
  return conditions.map(({ type, status, reason }) => `${type} ${status} ${reason}`);
}
