import { fromBinary } from '@bufbuild/protobuf';
import { expect } from 'chai';
import { after, afterEach, before, describe, it } from 'mocha';

import { Action, PolicySchema, RouteSchema } from '#api/gen/waypoint_pb.ts';
import { readManifests } from '#cli/mesh/manifests.ts';
import { systemClock } from '#common/clock.ts';
import {
  AUTHORIZATION_POLICIES,
  type Condition,
  type Configuration,
  GATEWAYS,
  HTTP_ROUTES,
  SERVICE_ACCOUNTS,
  SERVICES,
} from '#kube/resources.ts';
import { TestCluster, TestIstiod } from '#tests/bed/istiod.ts';
import { createObject } from '#tests/support/manifests.ts';
import { Watcher } from '#tests/support/watcher.ts';
import { XdsClient } from '#xds/client.ts';

const ROUTES = 'type.googleapis.com/ambit.waypoint.Route';
const POLICIES = 'type.googleapis.com/ambit.waypoint.Policy';
const ADDRESSES = 'type.googleapis.com/istio.workload.Address';
const SPLIT = 'HTTPRoute/shop/split';

/** A waypoint's side of xDS, which keeps what it is sent. */
class Listener implements Disposable {
  readonly held = new Map<string, Uint8Array>();
  /** Names in the order in which they came (`+`) or went (`-`), without addresses. */
  readonly told: string[] = [];
  readonly answered = new Set<string>();
  readonly watcher = new Watcher();
  readonly #client: XdsClient;

  constructor(options: {
    readonly address: string;
    readonly rootPem: string;
    readonly token: string;
    readonly type: string;
    readonly pod: string;
  }) {
    const { address, rootPem, token, type, pod } = options;
    const typeOf = (typeUrl: string) => ({
      typeUrl,
      mode: 'wildcard' as const,
      apply: (...[resources, removed]: Parameters<Apply>) => {
        for (const { name, bytes } of resources) this.held.set(name, bytes);
        for (const name of removed) this.held.delete(name);
        if (typeUrl !== ADDRESSES) {
          this.told.push(...resources.map(({ name }) => `+${name}`));
          this.told.push(...removed.map((name) => `-${name}`));
        }
        return [];
      },
    });
    this.#client = new XdsClient({
      address,
      roots: { kind: 'inline', text: rootPem },
      alternativeHostname: 'istiod.istio-system.svc',
      token: { kind: 'inline', text: token },
      headers: new Map(),
      node: { id: `${type}~10.244.0.9~${pod}.shop~shop.svc.cluster.local`, metadata: {} },
      types: [POLICIES, ADDRESSES, ROUTES].map(typeOf),
      clock: systemClock,
      random: Math.random,
      onEvent: (event) => {
        if (event.kind === 'applied') this.answered.add(event.typeUrl);
        this.watcher.look();
      },
    });
    this.#client.start();
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
  }
}

type Apply = ConstructorParameters<typeof XdsClient>[0]['types'][number]['apply'];

const route = (name: string, to: string, backends: readonly object[]): Configuration => ({
  apiVersion: 'gateway.networking.k8s.io/v1',
  kind: 'HTTPRoute',
  metadata: { name, namespace: 'shop' },
  spec: {
    parentRefs: [{ group: '', kind: 'Service', name: to, port: 80 }],
    rules: [{ backendRefs: backends }],
  },
});

const backends = (weight: number) => [
  { name: 'reviews', port: 80, weight },
  { name: 'ratings', port: 80, weight: 10 },
];
const backendsOf = (one: Listener, name: string) =>
  fromBinary(RouteSchema, one.held.get(name) ?? new Uint8Array()).rules[0]?.backends ?? [];
const all = (one: Listener) => () => [ROUTES, POLICIES].every((type) => one.answered.has(type));

/** A route that had a service as parent when an istiod was there last. */
const orphan: Configuration = {
  ...route('orphan', 'reviews', []),
  spec: { parentRefs: [{ name: 'door' }], rules: [{}] },
};
const GATEWAY_PARENT = { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'door' };
const ORPHAN_STATUS = {
  status: {
    parents: [{ group: '', kind: 'Service', name: 'reviews' }, GATEWAY_PARENT].map((parentRef) => ({
      controllerName: 'istio.io/gateway-controller',
      parentRef,
      conditions: [
        {
          type: 'Accepted',
          status: 'True',
          reason: 'Accepted',
          message: '',
          lastTransitionTime: '2026-01-01T00:00:00Z',
        },
      ],
    })),
  },
};

describe('istiod and waypoints', function () {
  this.timeout(90_000);
  let cluster: TestCluster;
  let istiod: TestIstiod;
  let rootPem: string;
  const open: Disposable[] = [];

  before(async () => {
    cluster = await TestCluster.start(['node-a']);
    await cluster.addNamespace('shop');
    for (const kind of ['gateways', 'gatewayclasses', 'httproutes', 'grpcroutes']) {
      for (const crd of readManifests(`10-crds/${kind}.yaml`))
        await createObject(cluster.client, crd);
    }
    await cluster.client.create(HTTP_ROUTES, orphan);
    await cluster.client.patch(HTTP_ROUTES, 'orphan', 'shop', ORPHAN_STATUS, {
      type: 'merge',
      subresource: 'status',
    });
    istiod = await TestIstiod.start(cluster, { ENABLE_LEADER_ELECTION: 'false' });
    for (const [name, waypoint] of [
      ['reviews', 'way'],
      ['ratings', 'other'],
    ] as const) {
      await cluster.client.create(SERVICES, {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name, namespace: 'shop', labels: { 'istio.io/use-waypoint': waypoint } },
        spec: { selector: { app: name }, ports: [{ name: 'http', port: 80 }] },
      });
      await cluster.client.create(GATEWAYS, {
        apiVersion: 'gateway.networking.k8s.io/v1',
        kind: 'Gateway',
        metadata: { name: waypoint, namespace: 'shop' },
        spec: {
          gatewayClassName: 'istio-waypoint',
          listeners: [{ name: 'mesh', port: 15008, protocol: 'HBONE' }],
        },
      });
      await hasAccount(waypoint);
      await cluster.addPod(`${waypoint}-0`, {
        namespace: 'shop',
        serviceAccount: waypoint,
        node: 'node-a',
        ip: '10.244.0.9',
        labels: { 'gateway.networking.k8s.io/gateway-name': waypoint },
      });
    }
    rootPem = await cluster.rootPem();
  });
  after(async () => {
    await istiod[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });
  afterEach(() => {
    for (const one of open.splice(0)) one[Symbol.dispose]();
  });

  /** Settles when istiod has made the account that the waypoint runs as. */
  async function hasAccount(name: string): Promise<void> {
    const watch = cluster.client.watch(SERVICE_ACCOUNTS, {
      namespace: 'shop',
      fieldSelector: `metadata.name=${name}`,
      sendInitialEvents: true,
      signal: AbortSignal.timeout(60_000),
    });
    for await (const event of watch) if (event.type === 'ADDED') return;
    throw new Error(`No account ${name}`);
  }

  async function listener(waypoint: string, type = 'waypoint'): Promise<Listener> {
    const pod = `${waypoint}-0`;
    const token = await cluster.token({ name: pod, namespace: 'shop', serviceAccount: waypoint });
    const one = new Listener({ address: istiod.address, rootPem, token, type, pod });
    open.push(one);
    return one;
  }

  it('tell a waypoint of a route as it comes, changes and goes, and of nothing else then', async () => {
    const way = await listener('way');
    const other = await listener('other');
    await way.watcher.until(all(way));
    await other.watcher.until(all(other));
    await cluster.client.create(HTTP_ROUTES, route('still', 'reviews', backends(1)));
    await cluster.client.create(HTTP_ROUTES, route('split', 'reviews', backends(90)));
    await way.watcher.until(() => way.held.has(SPLIT) && way.held.has('HTTPRoute/shop/still'));
    expect(backendsOf(way, SPLIT).map(({ weight }) => weight)).to.deep.equal([90, 10]);

    way.told.length = 0;
    const { spec } = route('split', 'reviews', backends(50));
    await cluster.client.patch(HTTP_ROUTES, 'split', 'shop', { spec }, { type: 'merge' });
    await way.watcher.until(() => backendsOf(way, SPLIT)[0]?.weight === 50);
    expect(way.told).to.deep.equal([`+${SPLIT}`]);

    await cluster.client.delete(HTTP_ROUTES, 'split', 'shop');
    await way.watcher.until(() => !way.held.has(SPLIT));
    expect(way.told).to.deep.equal([`+${SPLIT}`, `-${SPLIT}`]);

    // What comes later has come: what was before has not been kept back from it.
    await cluster.client.create(HTTP_ROUTES, route('last', 'ratings', backends(1)));
    await other.watcher.until(() => other.held.has('HTTPRoute/shop/last'));
    expect(other.told).to.deep.equal(['+HTTPRoute/shop/last']);
  });

  it('tell a waypoint of the policies that are for it', async () => {
    const way = await listener('way');
    const other = await listener('other');
    await cluster.client.create(AUTHORIZATION_POLICIES, {
      apiVersion: 'security.istio.io/v1',
      kind: 'AuthorizationPolicy',
      metadata: { name: 'look-only', namespace: 'shop' },
      spec: {
        targetRefs: [{ group: '', kind: 'Service', name: 'reviews' }],
        action: 'DENY',
        rules: [{ to: [{ operation: { methods: ['DELETE'] } }] }],
      },
    });
    await way.watcher.until(() => way.held.has('shop/look-only'));
    const { action, services } = fromBinary(
      PolicySchema,
      way.held.get('shop/look-only') ?? new Uint8Array(),
    );
    expect([action, services.map(({ hostname }) => hostname)]).to.deep.equal([
      Action.DENY,
      ['reviews.shop.svc.cluster.local'],
    ]);
    await other.watcher.until(all(other));
    expect(other.held.has('shop/look-only')).to.equal(false);
  });

  it('tell the author of a route what becomes of it', async () => {
    await cluster.client.create(
      HTTP_ROUTES,
      route('half', 'reviews', [{ name: 'gone', port: 80 }]),
    );
    const watch = cluster.client.watch(HTTP_ROUTES, {
      namespace: 'shop',
      fieldSelector: 'metadata.name=half',
      sendInitialEvents: true,
      signal: AbortSignal.timeout(60_000),
    });
    for await (const event of watch) {
      if (event.type !== 'ADDED' && event.type !== 'MODIFIED') continue;
      const [parent] = (event.object.status?.['parents'] ?? []) as Readonly<
        Record<string, unknown>
      >[];
      if (parent === undefined) continue;
      expect(parent).to.deep.include({
        controllerName: 'istio.io/gateway-controller',
        parentRef: { group: '', kind: 'Service', name: 'reviews', port: 80 },
      });
      const conditions = parent['conditions'] as readonly Condition[];
      expect(
        conditions.map(({ type, status, reason, observedGeneration }) => [
          type,
          status,
          reason,
          observedGeneration,
        ]),
      ).to.deep.equal([
        ['Accepted', 'True', 'Accepted', 1],
        ['ResolvedRefs', 'False', 'BackendNotFound', 1],
        ['ResolvedWaypoints', 'True', 'ResolvedWaypoints', 1],
      ]);
      return;
    }
    throw new Error('No status');
  });

  it('take back what was said of a parent that is none any more, and of no gateway', async () => {
    const watch = cluster.client.watch(HTTP_ROUTES, {
      namespace: 'shop',
      fieldSelector: 'metadata.name=orphan',
      sendInitialEvents: true,
      signal: AbortSignal.timeout(60_000),
    });
    for await (const event of watch) {
      if (event.type !== 'ADDED' && event.type !== 'MODIFIED') continue;
      const parents = event.object.status?.['parents'] as readonly { parentRef: unknown }[];
      if (parents.length > 1) continue;
      expect(parents.map(({ parentRef }) => parentRef)).to.deep.equal([GATEWAY_PARENT]);
      return;
    }
    throw new Error('Nothing was taken back');
  });

  it('tell nobody of them who is no waypoint', async () => {
    const stranger = await listener('other', 'ztunnel');
    await stranger.watcher.until(() => stranger.answered.has(ADDRESSES));
    expect(stranger.told).to.deep.equal([]);
    expect([...stranger.answered]).to.deep.equal([ADDRESSES]);
  });
});
