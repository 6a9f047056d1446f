import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import {
  AppProtocol,
  NetworkMode,
  TunnelProtocol,
  Service_Visibility as Visibility,
  WorkloadStatus,
} from '#api/gen/workload_pb.ts';
import { decodeAddress, decodePolicy } from '#dataplane/state/decode.ts';
import { serviceEntryRecord, workloadEntryRecord } from '#istiod/inputs/entries.ts';
import { authorizationPolicyRecord, peerAuthenticationRecord } from '#istiod/inputs/policies.ts';
import type { Configuration } from '#kube/resources.ts';
import {
  address,
  authorizationRecord,
  gatewayRecord,
  type MeshWorld,
  meshListener,
  meshWorld,
  mtlsRecord,
  podRecord,
  serviceOf,
  servicePort,
  serviceRecord,
  workloadOf,
} from '#tests/support/control-plane.ts';

const TILL = 'Kubernetes//Pod/shop/till';
const SHELF = 'shop/shelf.shop.svc.cluster.local';

let world: MeshWorld;
/** Names of the resources that changed since it was looked at last. */
let changed: string[];

function setUp(): void {
  world = meshWorld();
  changed = [];
  for (const collection of [world.mesh.addresses, world.mesh.policies]) {
    collection.subscribe((list) => changed.push(...list.map(({ key }) => key)));
  }
}

function till() {
  return workloadOf(world, TILL);
}
function shelf() {
  return serviceOf(world, SHELF);
}
function claimIn(namespace: string): ReturnType<typeof serviceEntryRecord> {
  const spec = { hosts: ['claim.example'], addresses: ['10.96.0.7', '10.96.0.8'] };
  const metadata = { name: 'claim', namespace };
  return serviceEntryRecord({ apiVersion: '', kind: '', metadata, spec });
}
function changes(work: () => void): readonly string[] {
  changed = [];
  world.graph.transact(work);
  return changed.toSorted();
}

describe('deriveMesh() of pods', () => {
  beforeEach(setUp);

  it('sends what a node tunnel needs to know of a pod', () => {
    world.inputs.pods.set(
      podRecord('till', {
        labels: { app: 'till', version: 'v2' },
        addresses: [address('10.0.0.7'), address('fd00::7')],
        serviceAccount: 'cashier',
        workloadName: 'tills',
        redirected: true,
      }),
    );
    expect(till()).to.deep.include({
      uid: TILL,
      name: 'till',
      namespace: 'shop',
      network: '',
      tunnelProtocol: TunnelProtocol.HBONE,
      nativeTunnel: false,
      trustDomain: '',
      serviceAccount: 'cashier',
      node: 'node-a',
      canonicalName: 'till',
      canonicalRevision: 'v2',
      workloadName: 'tills',
      status: WorkloadStatus.HEALTHY,
      clusterId: 'Kubernetes',
      networkMode: NetworkMode.STANDARD,
      authorizationPolicies: [],
      services: {},
    });
    expect(till()?.addresses.map((bytes) => bytes.length)).to.deep.equal([4, 16]);
    expect(world.mesh.addressesByAlias.lookup('/10.0.0.7').map(({ name }) => name)).to.deep.equal([
      TILL,
    ]);
  });

  it('does not send a pod that is finished or has no address, and takes it back when it gets there', () => {
    world.inputs.pods.set(podRecord('till', { phase: 'Pending' }));
    expect(till()).to.not.equal(undefined);
    expect(
      changes(() => world.inputs.pods.set(podRecord('till', { phase: 'Failed' }))),
    ).to.deep.equal([TILL]);
    expect(till()).to.equal(undefined);
    world.inputs.pods.set(podRecord('till', { addresses: [] }));
    expect(till()).to.equal(undefined);
  });

  it('says nothing when a pod changes in what nobody sees', () => {
    world.inputs.pods.set(podRecord('till'));
    const unseen = podRecord('till', { labels: { unseen: 'x' } });
    expect(changes(() => world.inputs.pods.set(unseen))).to.deep.equal([]);
  });

  it('follows the node’s place and the network of the system namespace', () => {
    world.inputs.pods.set(podRecord('till'));
    const locality = { region: 'r', zone: 'z', subzone: '' };
    world.inputs.nodes.set({ name: 'node-a', locality });
    expect(till()?.locality).to.include(locality);
    const labels = { 'topology.istio.io/network': 'west' };
    world.inputs.namespaces.set({ name: 'istio-system', labels, trafficDistribution: undefined });
    expect(till()?.network).to.equal('west');
    expect(world.mesh.addressesByAlias.lookup('west/10.0.0.1')).to.have.lengthOf(1);
  });
});

describe('deriveMesh() of services', () => {
  beforeEach(setUp);

  it('joins a service and the pods that it selects', () => {
    world.inputs.services.set(
      serviceRecord('shelf', {
        selector: { app: 'till' },
        addresses: [{ ip: address('10.96.0.5'), prefixLength: undefined }],
        ports: [
          servicePort(80, { name: 'http', target: 8080, protocol: AppProtocol.HTTP11 }),
          servicePort(81, { name: 'named', target: 'web' }),
          servicePort(82, { name: 'absent', target: 'nowhere' }),
        ],
        families: ['IPv4'],
      }),
    );
    world.inputs.pods.set(
      podRecord('till', { labels: { app: 'till' }, namedPorts: new Map([['web', 9090]]) }),
    );
    world.inputs.pods.set(podRecord('other', { labels: { app: 'other' } }));
    expect(shelf()).to.deep.include({ canonical: true, hostname: 'shelf.shop.svc.cluster.local' });
    expect(shelf()?.ports.map(({ targetPort }) => targetPort)).to.deep.equal([8080, 0, 0]);
    const ports = till()?.services[SHELF]?.ports.map(({ servicePort: from, targetPort: to }) => [
      from,
      to,
    ]);
    expect(ports).to.deep.equal([
      [80, 8080],
      [81, 9090],
    ]);
    expect(world.mesh.addressesByService.lookup(SHELF).map(({ name }) => name)).to.deep.equal([
      TILL,
    ]);
  });

  it('changes exactly the service and its pods when the service changes', () => {
    world.inputs.services.set(serviceRecord('shelf', { selector: { app: 'till' } }));
    world.inputs.pods.set(podRecord('till', { labels: { app: 'till' } }));
    world.inputs.pods.set(podRecord('other', { labels: { app: 'other' } }));
    const more = serviceRecord('shelf', { selector: { app: 'till' }, ports: [servicePort(81)] });
    expect(changes(() => world.inputs.services.set(more))).to.deep.equal([TILL, SHELF]);
    expect(changes(() => world.inputs.services.delete('shop/shelf'))).to.deep.equal([TILL, SHELF]);
    expect(till()?.services).to.deep.equal({});
  });

  it('joins a service without selector and the pods that its slices name, by uid', () => {
    world.inputs.services.set(serviceRecord('shelf', { selector: undefined }));
    world.inputs.pods.set(podRecord('till'));
    const slice = {
      namespace: 'shop',
      name: 'shelf-x',
      service: 'shelf',
      ports: [{ name: '', number: 8080 }],
      pods: [{ namespace: 'shop', name: 'till', uid: 'uid-of-till' }],
      addresses: [],
    };
    world.inputs.endpointSlices.set(slice);
    expect(Object.keys(till()?.services ?? {})).to.deep.equal([SHELF]);
    world.inputs.endpointSlices.set({
      ...slice,
      pods: [{ ...slice.pods[0]!, uid: 'an earlier one' }],
    });
    expect(till()?.services).to.deep.equal({});
  });

  it('sends an endpoint that is no pod as a workload of its own', () => {
    world.inputs.services.set(
      serviceRecord('shelf', { selector: undefined, ports: [servicePort(443)] }),
    );
    world.inputs.endpointSlices.set({
      namespace: 'shop',
      name: 'shelf-x',
      service: 'shelf',
      ports: [{ name: '', number: 6443 }],
      pods: [],
      addresses: [{ ip: address('172.18.0.1'), ready: false }],
    });
    const uid = 'Kubernetes/discovery.k8s.io/EndpointSlice/shop/shelf-x/172.18.0.1';
    expect(workloadOf(world, uid)).to.deep.include({
      status: WorkloadStatus.UNHEALTHY,
      networkMode: NetworkMode.HOST_NETWORK,
      tunnelProtocol: TunnelProtocol.NONE,
      serviceAccount: '',
    });
    expect(workloadOf(world, uid)?.services[SHELF]?.ports[0]).to.deep.include({ targetPort: 6443 });
  });

  it('gives a host name to the Service, then to the oldest ServiceEntry, and one of all is canonical', () => {
    const hostname = 'shelf.shop.svc.cluster.local';
    const entry = (name: string, namespace: string, createdAt: string) => ({
      namespace,
      name,
      labels: {},
      createdAt,
      endpoints: [],
      byDns: false,
      services: [
        serviceRecord(name, {
          kind: 'ServiceEntry',
          namespace,
          hostname,
          createdAt,
          visibility: Visibility.PUBLIC,
        }),
      ],
    });
    world.inputs.serviceEntries.set(entry('young', 'shop', '2022'));
    world.inputs.serviceEntries.set(entry('old', 'shop', '2021'));
    world.inputs.serviceEntries.set(entry('oldest', 'bank', '2020'));
    const seen = () =>
      ['shop', 'bank'].map((namespace) => {
        const service = serviceOf(world, `${namespace}/${hostname}`);
        return [service?.name, service?.canonical];
      });
    expect(seen()).to.deep.equal([
      ['old', false],
      ['oldest', true],
    ]);
    world.inputs.services.set(serviceRecord('shelf'));
    expect(seen()).to.deep.equal([
      ['shelf', true],
      ['oldest', false],
    ]);
  });

  it('leaves the address of a Service to it, whatever entries of other namespaces write', () => {
    const addresses = [{ ip: address('10.96.0.7'), prefixLength: undefined }];
    const claimed = (namespace: string) =>
      serviceOf(world, `${namespace}/claim.example`)?.addresses.map(
        ({ address: bytes }) => bytes[3],
      );
    world.inputs.serviceEntries.set(claimIn('elsewhere'));
    world.inputs.serviceEntries.set(claimIn('shop'));
    expect(claimed('elsewhere')).to.deep.equal([7, 8]);
    world.inputs.services.set(serviceRecord('shelf', { addresses }));
    expect(claimed('elsewhere')).to.deep.equal([8]);
    // Who may write Services in the namespace might as well change this one.
    expect(claimed('shop')).to.deep.equal([7, 8]);
    world.inputs.services.delete('shop/shelf');
    expect(claimed('elsewhere')).to.deep.equal([7, 8]);
  });
});

describe('deriveMesh() of policies', () => {
  beforeEach(setUp);

  it('names on a pod the policies that select it, in its namespace and in the root, in order', () => {
    world.inputs.pods.set(podRecord('till', { labels: { app: 'till' } }));
    const selector = { app: 'till' };
    world.inputs.authorizationPolicies.set(authorizationRecord('b', { selector }));
    world.inputs.authorizationPolicies.set(authorizationRecord('whole namespace'));
    world.inputs.authorizationPolicies.set(authorizationRecord('c', { selector: { app: 'x' } }));
    world.inputs.authorizationPolicies.set(
      authorizationRecord('a', { selector, namespace: 'istio-system' }),
    );
    world.inputs.authorizationPolicies.set(
      authorizationRecord('z', { selector, namespace: 'bank' }),
    );
    world.inputs.peerAuthentications.set(mtlsRecord('strict', 'STRICT'));
    expect(till()?.authorizationPolicies).to.deep.equal([
      'istio-system/a',
      'istio-system/istio_converted_static_strict',
      'shop/b',
    ]);
  });

  it('does not name a policy that is not sent', () => {
    world.inputs.pods.set(podRecord('till'));
    world.inputs.authorizationPolicies.set(
      authorizationRecord('audit', { selector: {}, action: 'AUDIT' }),
    );
    expect(till()?.authorizationPolicies).to.deep.equal([]);
    expect(world.mesh.policies.size).to.equal(0);
    expect(world.mesh.verdicts.get('shop/audit')?.enforced).to.equal(false);
  });

  it('sends the policy alone when its rules change, and the pods too when its selector does', () => {
    const selector = { app: 'till' };
    world.inputs.pods.set(podRecord('till', { labels: { app: 'till' } }));
    world.inputs.authorizationPolicies.set(authorizationRecord('p', { selector }));
    const set = (more: object) =>
      changes(() => world.inputs.authorizationPolicies.set(authorizationRecord('p', more)));
    expect(set({ selector, rules: [{}] })).to.deep.equal(['shop/p']);
    expect(set({ selector: { app: 'x' }, rules: [{}] })).to.deep.equal([TILL]);
    expect(set({ selector: undefined, rules: [{}] })).to.deep.equal(['shop/p']);
  });

  it('sends the static strict policy as long as there is any PeerAuthentication', () => {
    world.inputs.peerAuthentications.set(mtlsRecord('lenient', 'PERMISSIVE'));
    expect([...world.mesh.policies.keys()]).to.deep.equal([
      'istio-system/istio_converted_static_strict',
    ]);
    world.inputs.peerAuthentications.delete('shop/lenient');
    expect(world.mesh.policies.size).to.equal(0);
  });
});

describe('deriveMesh() of waypoints', () => {
  beforeEach(setUp);

  const gateway = gatewayRecord('way', {
    addresses: [{ kind: 'hostname', hostname: 'way.shop.svc.cluster.local' }],
  });
  const useWay = { 'istio.io/use-waypoint': 'way' };
  const namespace = { name: 'shop', labels: useWay, trafficDistribution: undefined };

  beforeEach(() => {
    world.inputs.services.set(serviceRecord('shelf'));
    world.inputs.pods.set(podRecord('till'));
  });

  it('binds the services of a namespace once its waypoint has an address, not its pods', () => {
    world.inputs.namespaces.set(namespace);
    world.inputs.gateways.set({ ...gateway, addresses: [] });
    expect(shelf()?.waypoint).to.equal(undefined);
    expect(changes(() => world.inputs.gateways.set(gateway))).to.deep.equal([SHELF]);
    expect(shelf()?.waypoint).to.deep.include({ hboneMtlsPort: 15008 });
    expect(shelf()?.waypoint?.destination).to.have.property('case', 'hostname');
  });

  it('follows the label of the service itself before that of its namespace', () => {
    world.inputs.namespaces.set(namespace);
    world.inputs.gateways.set(gateway);
    for (const name of ['none', 'missing']) {
      world.inputs.services.set(
        serviceRecord('shelf', { labels: { 'istio.io/use-waypoint': name } }),
      );
      expect(shelf()?.waypoint).to.equal(undefined);
    }
  });

  it('binds pods to a waypoint for workloads, but not its own pods', () => {
    world.inputs.namespaces.set(namespace);
    world.inputs.gateways.set({ ...gateway, labels: { 'istio.io/waypoint-for': 'all' } });
    expect(till()?.waypoint).to.not.equal(undefined);
    world.inputs.pods.set(
      podRecord('till', { labels: { 'gateway.networking.k8s.io/gateway-name': 'way' } }),
    );
    expect(till()?.waypoint).to.equal(undefined);
  });

  it('refuses other namespaces unless the listener allows them', () => {
    const bank = serviceRecord('vault', {
      namespace: 'bank',
      labels: { ...useWay, 'istio.io/use-waypoint-namespace': 'shop' },
    });
    const vault = () => serviceOf(world, 'bank/vault.bank.svc.cluster.local')?.waypoint;
    world.inputs.services.set(bank);
    world.inputs.namespaces.set({
      name: 'bank',
      labels: { tier: 'gold' },
      trafficDistribution: undefined,
    });
    world.inputs.gateways.set(gateway);
    expect(vault()).to.equal(undefined);
    const listening = (from: object) => ({
      ...gateway,
      listeners: [meshListener({ from: from as never })],
    });
    world.inputs.gateways.set(listening({ kind: 'all' }));
    expect(vault()).to.not.equal(undefined);
    world.inputs.gateways.set(
      listening({ kind: 'selector', matches: { matchLabels: { tier: 'tin' } } }),
    );
    expect(vault()).to.equal(undefined);
    world.inputs.gateways.set(
      listening({ kind: 'selector', matches: { matchLabels: { tier: 'gold' } } }),
    );
    expect(vault()).to.not.equal(undefined);
  });
});

describe('deriveMesh() of what its authors should not have written', () => {
  beforeEach(setUp);

  const metadata = { name: 'odd', namespace: 'shop' };
  const entry = (spec: Readonly<Record<string, unknown>>): Configuration => ({
    apiVersion: '',
    kind: '',
    metadata,
    spec,
  });
  const policy = (action: string, serviceAccount: string): void => {
    const rules = [{ from: [{ source: { serviceAccounts: [serviceAccount] } }] }];
    world.inputs.authorizationPolicies.set(authorizationPolicyRecord(entry({ action, rules })));
  };
  const serviceEntry = (spec: Readonly<Record<string, unknown>>): void =>
    world.inputs.serviceEntries.set(serviceEntryRecord(entry(spec)));
  const workloadEntry = (spec: Readonly<Record<string, unknown>>): void => {
    const record = workloadEntryRecord(entry(spec));
    if (record !== undefined) world.inputs.workloadEntries.set(record);
  };

  const cases: readonly [what: string, put: () => void][] = [
    ['an ALLOW of nobody who can be', () => policy('ALLOW', 'a b')],
    ['a DENY of nobody who can be', () => policy('DENY', 'x'.repeat(254))],
    [
      'ports that are none, in STRICT',
      () => {
        const portLevelMtls = { '0': { mode: 'DISABLE' }, '99999': { mode: 'DISABLE' } };
        const spec = {
          selector: { matchLabels: { app: 'till' } },
          mtls: { mode: 'STRICT' },
          portLevelMtls,
        };
        world.inputs.peerAuthentications.set(peerAuthenticationRecord(entry(spec)));
      },
    ],
    ['a host with a slash', () => serviceEntry({ hosts: ['a/b'], resolution: 'DNS' })],
    ['a host that is too long', () => serviceEntry({ hosts: ['a'.repeat(254)] })],
    [
      'a host with a slash that selects pods',
      () => serviceEntry({ hosts: ['a/b'], workloadSelector: { labels: { app: 'till' } } }),
    ],
    ['a socket file', () => serviceEntry({ hosts: ['a'], endpoints: [{ address: 'unix:///x' }] })],
    ['a workload that is a socket file', () => workloadEntry({ address: 'unix:///x' })],
    [
      'a workload of nobody',
      () => workloadEntry({ address: '192.0.2.1', serviceAccount: 'a b/c' }),
    ],
    ['a weight that is too large', () => workloadEntry({ address: '192.0.2.1', weight: 5e9 })],
  ];
  for (const [what, put] of cases) {
    it(`sends nothing that node tunnels refuse for ${what}`, () => {
      world.inputs.pods.set(podRecord('till', { labels: { app: 'till' } }));
      put();
      const refused = [
        ...[...world.mesh.addresses.values()].map(({ name, bytes }) => decodeAddress(name, bytes)),
        ...[...world.mesh.policies.values()].map(({ name, bytes }) => decodePolicy(name, bytes)),
      ].filter(({ kind }) => kind === 'refused');
      expect(refused).to.deep.equal([]);
      expect(till()?.name).to.equal('till');
    });
  }

  it('holds to STRICT whatever ports are written with it', () => {
    const [, , strict] = cases;
    world.inputs.pods.set(podRecord('till', { labels: { app: 'till' } }));
    strict?.[1]();
    expect(till()?.authorizationPolicies).to.deep.equal([
      'istio-system/istio_converted_static_strict',
    ]);
  });
});
