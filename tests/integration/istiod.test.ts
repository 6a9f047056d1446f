import { X509Certificate } from 'node:crypto';

import { fromBinary } from '@bufbuild/protobuf';
import { expect } from 'chai';
import { after, afterEach, before, describe, it } from 'mocha';

import { AuthorizationSchema } from '#api/gen/authorization_pb.ts';
import { AddressSchema } from '#api/gen/workload_pb.ts';
import { readManifests } from '#cli/mesh/manifests.ts';
import { systemClock } from '#common/clock.ts';
import { type Identity, parseIdentity } from '#common/tls/spiffe.ts';
import { CaClient, type SignResult } from '#dataplane/identity/ca-client.ts';
import { conditionsOf } from '#istiod/controllers/conditions.ts';
import type { KubeClient } from '#kube/client.ts';
import {
  AUTHORIZATION_POLICIES,
  CONFIG_MAPS,
  type Condition,
  GATEWAYS,
  LEASES,
  PODS,
  SERVICES,
} from '#kube/resources.ts';
import { TestCluster, TestIstiod } from '#tests/bed/istiod.ts';
import { createObject } from '#tests/support/manifests.ts';
import { Watcher } from '#tests/support/watcher.ts';
import { XdsClient, type XdsClientEvent } from '#xds/client.ts';

const ADDRESSES = 'type.googleapis.com/istio.workload.Address';
const POLICIES = 'type.googleapis.com/istio.security.Authorization';
const SERVER_NAME = 'istiod.istio-system.svc';
const CASHIER = parseIdentity('spiffe://cluster.local/ns/shop/sa/cashier') as Identity;
const COOK = parseIdentity('spiffe://cluster.local/ns/shop/sa/cook') as Identity;
const SHELF = 'shop/shelf.shop.svc.cluster.local';

/** A node proxy's side of xDS, which keeps what it is sent. */
class Proxy implements Disposable {
  readonly held = new Map<string, Uint8Array>();
  readonly events: XdsClientEvent[] = [];
  /** Names in the order in which they came (`+`) or went (`-`). */
  readonly told: string[] = [];
  readonly watcher = new Watcher();
  readonly client: XdsClient;
  reject: ReadonlySet<string> = new Set();

  constructor(
    options: { readonly address: string; readonly rootPem: string; readonly token: string },
    mode: 'wildcard' | 'on-demand' = 'wildcard',
    node = 'node-a',
  ) {
    const typeOf = (typeUrl: string, how: typeof mode) => ({
      typeUrl,
      mode: how,
      apply: (...[resources, removed]: Parameters<XdsClientApply>) => {
        for (const { name, bytes } of resources) {
          this.told.push(`+${name}`);
          this.held.set(name, bytes);
        }
        for (const name of removed) {
          this.told.push(`-${name}`);
          this.held.delete(name);
        }
        return resources
          .filter(({ name }) => this.reject.has(name))
          .map(({ name }) => ({ name, reason: 'no sense in it' }));
      },
    });
    this.client = new XdsClient({
      address: options.address,
      roots: { kind: 'inline', text: options.rootPem },
      alternativeHostname: SERVER_NAME,
      token: { kind: 'inline', text: options.token },
      headers: new Map(),
      node: {
        id: `ztunnel~1.1.1.1~ztunnel-${node}.istio-system~istio-system.svc.cluster.local`,
        metadata: { NODE_NAME: node },
      },
      types: [typeOf(ADDRESSES, mode), typeOf(POLICIES, 'wildcard')],
      clock: systemClock,
      random: Math.random,
      onEvent: (event) => {
        this.events.push(event);
        this.watcher.look();
      },
    });
    this.client.start();
  }

  /** Settles when the first response of each type is there. */
  ready(): Promise<void> {
    return this.watcher.until(() => {
      const applied = this.events.flatMap((event) =>
        event.kind === 'applied' ? event.typeUrl : [],
      );
      return applied.includes(ADDRESSES) && applied.includes(POLICIES);
    });
  }

  refusal(): string | undefined {
    const found = this.events.find(({ kind }) => kind === 'disconnected');
    return found?.kind === 'disconnected' ? found.reason : undefined;
  }

  [Symbol.dispose](): void {
    this.client[Symbol.dispose]();
  }
}

type XdsClientApply = ConstructorParameters<typeof XdsClient>[0]['types'][number]['apply'];

const policy = (name: string, more: object = {}) => ({
  apiVersion: 'security.istio.io/v1',
  kind: 'AuthorizationPolicy',
  metadata: { name, namespace: 'shop' },
  spec: {
    action: 'DENY',
    rules: [{ from: [{ source: { principals: ['cluster.local/ns/shop/sa/cook'] } }] }],
    ...more,
  },
});

/** The condition of the service `lamp`, once it is so. */
async function bound(client: KubeClient, status: string): Promise<Condition> {
  const watch = client.watch(SERVICES, {
    namespace: 'shop',
    fieldSelector: 'metadata.name=lamp',
    sendInitialEvents: true,
    signal: AbortSignal.timeout(50_000),
  });
  for await (const event of watch) {
    if (event.type !== 'ADDED' && event.type !== 'MODIFIED') continue;
    const conditions = conditionsOf(event.object);
    const found = conditions.find(({ type }) => type === 'istio.io/WaypointBound');
    if ((found?.status ?? 'absent') === status) return found ?? { type: '', status };
  }
  throw new Error(`The waypoint is not bound ${status}`);
}

describe('istiod on an API server', function () {
  this.timeout(60_000);
  let cluster: TestCluster;
  let istiod: TestIstiod;
  let rootPem: string;
  let token: string;
  const open: Disposable[] = [];

  before(async () => {
    cluster = await TestCluster.start(['node-a', 'node-b']);
    await cluster.addNamespace('shop');
    const shop = { namespace: 'shop', node: 'node-a' };
    await cluster.addPod('till', {
      ...shop,
      serviceAccount: 'cashier',
      ip: '10.244.0.7',
      labels: { app: 'shelf' },
    });
    await cluster.addPod('pan', {
      namespace: 'shop',
      node: 'node-b',
      serviceAccount: 'cook',
      ip: '10.244.1.8',
    });
    await cluster.client.create(SERVICES, {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'shelf', namespace: 'shop' },
      spec: { selector: { app: 'shelf' }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
    });
    istiod = await TestIstiod.start(cluster);
    rootPem = await cluster.rootPem();
    token = await cluster.proxyToken('node-a');
  });
  after(async () => {
    await istiod[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });
  afterEach(() => {
    for (const one of open.splice(0)) one[Symbol.dispose]();
  });

  async function sign(identity: Identity, by: string): Promise<SignResult> {
    using client = new CaClient({
      address: istiod.address,
      root: { kind: 'inline', text: rootPem },
      alternativeHostname: SERVER_NAME,
      token: { kind: 'inline', text: by },
      clusterId: 'Kubernetes',
      certificateTtlMs: 86_400_000,
    });
    return client.sign(identity, new AbortController().signal);
  }

  const published = async (namespace: string): Promise<string> => {
    const watch = cluster.client.watch(CONFIG_MAPS, {
      namespace,
      fieldSelector: 'metadata.name=istio-ca-root-cert',
      sendInitialEvents: true,
      signal: AbortSignal.timeout(50_000),
    });
    for await (const event of watch) {
      if (event.type !== 'ADDED' && event.type !== 'MODIFIED') continue;
      const { data = {} } = event.object;
      if (data['root-cert.pem'] === rootPem) return rootPem;
    }
    throw new Error(`No root in ${namespace}`);
  };

  /** The conditions of a policy, as soon as there are those that are waited for. */
  async function policyConditions(
    name: string,
    awaited: (conditions: readonly Condition[]) => boolean,
  ): Promise<readonly Condition[]> {
    const watch = cluster.client.watch(AUTHORIZATION_POLICIES, {
      namespace: 'shop',
      fieldSelector: `metadata.name=${name}`,
      sendInitialEvents: true,
      signal: AbortSignal.timeout(50_000),
    });
    for await (const event of watch) {
      if (event.type !== 'ADDED' && event.type !== 'MODIFIED') continue;
      const conditions = (event.object.status?.['conditions'] ?? []) as readonly Condition[];
      if (awaited(conditions)) return conditions;
    }
    throw new Error(`No status of ${name}`);
  }

  async function accepted(
    name: string,
    generation: number,
    wanted = 'ZtunnelAccepted',
  ): Promise<unknown> {
    const isIt = ({ type, observedGeneration }: Condition) =>
      type === wanted && observedGeneration === generation;
    return (await policyConditions(name, (conditions) => conditions.some(isIt))).find(isIt);
  }

  function proxy(how: { token?: string; mode?: 'on-demand'; node?: string } = {}): Proxy {
    const { address } = istiod;
    const one = new Proxy({ address, rootPem, token: how.token ?? token }, how.mode, how.node);
    open.push(one);
    return one;
  }

  describe('the mesh, over xDS', () => {
    it('is sent whole to a node proxy that comes', async () => {
      const one = proxy();
      await one.ready();
      expect([...one.held.keys()]).to.include.members([
        'Kubernetes//Pod/shop/till',
        'Kubernetes//Pod/shop/pan',
        SHELF,
      ]);
      const { type } = fromBinary(
        AddressSchema,
        one.held.get('Kubernetes//Pod/shop/till') ?? new Uint8Array(),
      );
      if (type.case !== 'workload') throw new Error('Want a workload');
      expect(type.value).to.deep.include({
        node: 'node-a',
        serviceAccount: 'cashier',
        addresses: [Uint8Array.of(10, 244, 0, 7)],
      });
      expect(Object.keys(type.value.services)).to.deep.equal([SHELF]);
    });

    it('is told as it changes: a policy with a selector, before the workload that has to obey it', async () => {
      const one = proxy();
      await one.ready();
      one.told.length = 0;
      const selector = { matchLabels: { app: 'shelf' } };
      await cluster.client.create(AUTHORIZATION_POLICIES, policy('no-cook', { selector }));
      await one.watcher.until(() => one.told.includes('+Kubernetes//Pod/shop/till'));
      expect(one.told).to.deep.equal(['+shop/no-cook', '+Kubernetes//Pod/shop/till']);
      const { name, action } = fromBinary(
        AuthorizationSchema,
        one.held.get('shop/no-cook') ?? new Uint8Array(),
      );
      expect({ name, action }).to.deep.equal({ name: 'no-cook', action: 1 });
      one.told.length = 0;
      await cluster.client.delete(AUTHORIZATION_POLICIES, 'no-cook', 'shop');
      await one.watcher.until(() => one.told.includes('-shop/no-cook'));
      expect(one.told).to.deep.equal(['+Kubernetes//Pod/shop/till', '-shop/no-cook']);
    });

    it('tells of a pod that comes, and that it has gone', async () => {
      const one = proxy();
      await one.ready();
      await cluster.addPod('till-2', {
        namespace: 'shop',
        node: 'node-a',
        serviceAccount: 'cashier',
        ip: '10.244.0.10',
      });
      const name = 'Kubernetes//Pod/shop/till-2';
      await one.watcher.until(() => one.held.has(name));
      await cluster.client.delete(PODS, 'till-2', 'shop', { gracePeriodSeconds: 0 });
      await one.watcher.until(() => one.told.includes(`-${name}`));
    });

    it('gives only the difference to a proxy that comes back, also to another istiod', async () => {
      const one = proxy();
      await one.ready();
      const { discovery } = istiod.ports;
      await istiod.stop();
      await one.watcher.until(() => one.refusal() !== undefined);
      expect(one.held.size).to.be.greaterThan(3);
      one.told.length = 0;
      await cluster.client.create(AUTHORIZATION_POLICIES, policy('meanwhile'));
      istiod = await TestIstiod.start(cluster, { DISCOVERY_PORT: String(discovery) });
      await one.watcher.until(() => one.told.includes('+shop/meanwhile'));
      await cluster.client.delete(AUTHORIZATION_POLICIES, 'meanwhile', 'shop');
      await one.watcher.until(() => one.told.includes('-shop/meanwhile'));
      expect(one.told).to.deep.equal(['+shop/meanwhile', '-shop/meanwhile']);
    });

    it('answers on demand: what runs on the own node, and what is asked for', async () => {
      const one = proxy({ mode: 'on-demand', node: 'node-b' });
      await one.ready();
      expect([...one.held.keys()].toSorted()).to.deep.equal([
        'Kubernetes//Pod/istio-system/ztunnel-node-b',
        'Kubernetes//Pod/shop/pan',
      ]);
      one.client.demand(ADDRESSES, ['/10.244.0.7', '/10.9.9.9']);
      await one.watcher.until(() => one.told.includes('-/10.9.9.9'));
      expect(one.held.has('Kubernetes//Pod/shop/till')).to.equal(true);
      expect(one.held.has(SHELF)).to.equal(false);
    });

    it('shows in /debug/syncz what a proxy refused', async () => {
      const one = proxy();
      one.reject = new Set([SHELF]);
      await one.ready();
      // The answer to a demand shows that the refusal has been read.
      one.client.demand(ADDRESSES, ['Kubernetes//Pod/shop/none']);
      await one.watcher.until(() => one.told.includes('-Kubernetes//Pod/shop/none'));
      const [client] = JSON.parse(await istiod.page('monitoring', '/debug/syncz')) as {
        proxy: string;
      }[];
      expect(client?.proxy).to.equal('ztunnel-node-a.istio-system');
      const metrics = await istiod.page('monitoring', '/metrics');
      expect(metrics).to.match(/^pilot_total_xds_rejects\{type="istio\.workload\.Address"\} 1$/m);
    });

    it('is nothing for whoever has no token for it', async () => {
      const pod = { name: 'ztunnel-node-a', namespace: 'istio-system', serviceAccount: 'ztunnel' };
      for (const [bad, reason] of [
        ['no-token', /^UNAUTHENTICATED: authentication failure/],
        [await cluster.token(pod, { audience: 'other' }), /^UNAUTHENTICATED/],
        [
          await cluster.token({ name: 'till', namespace: 'shop', serviceAccount: 'cashier' }),
          /^PERMISSION_DENIED: ztunnel-node-a\.istio-system is not who the token of shop\/cashier/,
        ],
      ] as const) {
        const one = proxy({ token: bad });
        await one.watcher.until(() => one.refusal() !== undefined);
        expect(one.refusal()).to.match(reason);
        expect(one.held.size).to.equal(0);
      }
    });
  });

  describe('certificates', () => {
    it('are for the pods of the own node', async () => {
      const signed = await sign(CASHIER, token);
      if (signed.kind === 'failed') throw new Error(signed.reason);
      const leaf = new X509Certificate(signed.chainPem[0] ?? '');
      expect(leaf.subjectAltName).to.equal(`URI:${CASHIER}`);
      expect(leaf.verify(new X509Certificate(rootPem).publicKey)).to.equal(true);
      expect(signed.rootsPem).to.equal(rootPem);
    });

    it('are not for pods of other nodes, nor for a token that is bound to no pod', async () => {
      const own = await sign(COOK, await cluster.proxyToken('node-b'));
      expect(own.kind).to.equal('signed');
      const foreign = await sign(COOK, token);
      expect(foreign).to.have.property('reason').that.contains('runs on node node-a');
      const pod = { name: 'ztunnel-node-a', namespace: 'istio-system', serviceAccount: 'ztunnel' };
      const unbound = await sign(CASHIER, await cluster.token(pod, { bound: false }));
      expect(unbound).to.have.property('reason').that.contains('not bound to a pod');
    });

    it('are not for accounts that are no node proxy', async () => {
      const pod = { name: 'till', namespace: 'shop', serviceAccount: 'cashier' };
      const refused = await sign(COOK, await cluster.token(pod));
      expect(refused)
        .to.have.property('reason')
        .that.contains('shop/cashier may not act for others');
    });
  });

  describe('the status of policies', () => {
    it('says what node tunnels make of them, and again when they change', async () => {
      const get = { rules: [{ to: [{ operation: { methods: ['GET'] } }] }] };
      const bad = policy('reads', { ...get, action: 'ALLOW' });
      await cluster.client.create(AUTHORIZATION_POLICIES, bad);
      expect(await accepted('reads', 1)).to.deep.include({
        status: 'True',
        reason: 'UnsupportedValue',
      });
      const spec = { action: 'AUDIT' };
      const type = 'merge';
      await cluster.client.patch(AUTHORIZATION_POLICIES, 'reads', 'shop', { spec }, { type });
      expect(await accepted('reads', 2)).to.deep.include({
        status: 'False',
        reason: 'UnsupportedValue',
      });
      await cluster.client.create(AUTHORIZATION_POLICIES, policy('fine'));
      expect(await accepted('fine', 1)).to.deep.include({ status: 'True', reason: 'Accepted' });
      await cluster.client.delete(AUTHORIZATION_POLICIES, 'reads', 'shop');
      await cluster.client.delete(AUTHORIZATION_POLICIES, 'fine', 'shop');
    });

    it('says what waypoints make of those with targetRefs, which node tunnels have nothing to do with', async () => {
      const targetRefs = [{ group: '', kind: 'Service', name: 'nobody' }];
      await cluster.client.create(AUTHORIZATION_POLICIES, policy('aimed', { targetRefs }));
      expect(await accepted('aimed', 1, 'WaypointAccepted')).to.deep.include({
        status: 'False',
        reason: 'TargetNotFound',
        message: 'Service shop/nobody was not found',
      });
      const spec = { targetRefs: null };
      const type = 'merge';
      await cluster.client.patch(AUTHORIZATION_POLICIES, 'aimed', 'shop', { spec }, { type });
      await policyConditions(
        'aimed',
        (conditions) => conditions.map((one) => one.type).join() === 'ZtunnelAccepted',
      );
      await cluster.client.delete(AUTHORIZATION_POLICIES, 'aimed', 'shop');
    });
  });

  describe('the status of services', () => {
    it('says whether the waypoint that they ask for is theirs', async () => {
      for (const file of ['gateways', 'gatewayclasses']) {
        for (const crd of readManifests(`10-crds/${file}.yaml`)) {
          await createObject(cluster.client, crd);
        }
      }
      const metadata = { name: 'lamp', namespace: 'shop' };
      const label = (labels: object) =>
        cluster.client.patch(SERVICES, 'lamp', 'shop', { metadata: { labels } }, { type: 'merge' });
      await cluster.client.create(SERVICES, {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { ...metadata, labels: { 'istio.io/use-waypoint': 'far' } },
        spec: { ports: [{ port: 80 }] },
      });
      expect(await bound(cluster.client, 'False')).to.deep.include({
        reason: 'WaypointIsNotReady',
      });
      // A gateway of a class that is not ours, which is as good.
      await cluster.client.create(GATEWAYS, {
        apiVersion: 'gateway.networking.k8s.io/v1',
        kind: 'Gateway',
        metadata: { name: 'far', namespace: 'shop' },
        spec: {
          gatewayClassName: 'elsewhere',
          listeners: [{ name: 'mesh', port: 15008, protocol: 'HBONE' }],
        },
      });
      const addresses = [{ type: 'IPAddress', value: '10.244.9.9' }];
      const how = { type: 'merge', subresource: 'status' } as const;
      await cluster.client.patch(GATEWAYS, 'far', 'shop', { status: { addresses } }, how);
      expect(await bound(cluster.client, 'True')).to.deep.include({
        reason: 'WaypointAccepted',
        message: 'Successfully attached to waypoint shop/far',
      });
      await label({ 'istio.io/use-waypoint': null });
      await bound(cluster.client, 'absent');
      await cluster.client.delete(SERVICES, 'lamp', 'shop');
      await cluster.client.delete(GATEWAYS, 'far', 'shop');
    });
  });

  describe('the root', () => {
    it('is in every namespace, also in one that comes later', async () => {
      await published('shop');
      await cluster.addNamespace('later');
      await published('later');
      const root = await cluster.client.get(CONFIG_MAPS, 'istio-ca-root-cert', 'later');
      const writers = root.metadata.managedFields?.map(({ manager }) => manager);
      expect(writers).to.deep.equal(['pilot-discovery']);
    });

    it('comes back when somebody changes or deletes it', async () => {
      const name = 'istio-ca-root-cert';
      const bad = { data: { 'root-cert.pem': 'bad' } };
      await cluster.client.patch(CONFIG_MAPS, name, 'shop', bad, { type: 'merge' });
      await published('shop');
      await cluster.client.delete(CONFIG_MAPS, name, 'shop');
      await published('shop');
    });

    it('is published by one control plane, and all sign with it', async () => {
      await using second = await TestIstiod.start(cluster, { POD_NAME: 'istiod-2' });
      const lease = await cluster.client.get(
        LEASES,
        'istio-namespace-controller-election',
        'istio-system',
      );
      expect(lease.spec?.holderIdentity).not.to.equal('istiod-2');
      const one = new Proxy({ address: second.address, rootPem, token });
      open.push(one);
      await one.ready();
      expect(await second.stop()).to.equal(0);
    });
  });

  describe('its pages', () => {
    it('say that it is ready, and count', async () => {
      expect(await istiod.page('http', '/ready')).to.equal('ready\n');
      const metrics = await istiod.page('monitoring', '/metrics');
      expect(metrics).to.match(/^citadel_server_success_cert_issuance_count [1-9]/m);
      expect(metrics).to.match(/^pilot_services 1$/m);
      expect(metrics).to.match(/^pilot_push_triggers\{type="[^"]+"\} [1-9]/m);
      expect(metrics).to.match(/^pilot_proxy_convergence_time_bucket\{le="30"\} [1-9]/m);
      expect(metrics).to.match(/^pilot_proxy_queue_time_count [1-9]/m);
      expect(metrics).to.match(/^citadel_server_cert_chain_expiry_seconds \d/m);
    });
  });
});
