import type { Step } from '../../story.ts';
import { hold, MESH, OUTSIDE, SHOP, type Shop, sample } from '../shop.ts';
import { STOCK } from '../transfer.ts';
import { wireTap } from '../wire.ts';

const ROLLOUT_TIMEOUT = '60s';

export const openShop: Step<Shop> = {
  title: 'A cluster with two nodes, the mesh in it, and a book shop that knows nothing of it',
  essential: true,
  async *run(shop) {
    yield* shop.up();
    const { kubectl } = shop;
    yield await kubectl.must(['get', 'nodes']);
    yield await kubectl.must(['get', 'pods', '-n', MESH, '-o', 'wide']);
    for (const namespace of [SHOP, OUTSIDE]) await kubectl.must(['create', 'namespace', namespace]);
    await kubectl.must(['apply', '-n', SHOP, '-f', '-'], sample('bookinfo/bookinfo.yaml'));
    await rollouts(shop, SHOP, deployments);
    await callers(shop);
    yield await kubectl.must(['get', 'pods', '-n', SHOP, '-o', 'wide']);
  },
};

const deployments = [
  'deployment/details-v1',
  'deployment/ratings-v1',
  'deployment/reviews-v1',
  'deployment/reviews-v2',
  'deployment/reviews-v3',
  'deployment/productpage-v1',
];

async function rollouts(shop: Shop, namespace: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const rollout = ['rollout', 'status', '-n', namespace, name];
    await shop.kubectl.must([...rollout, `--timeout=${ROLLOUT_TIMEOUT}`]);
  }
}

/** Two customers and an outsider, on the node where `details` is not: what they hear crosses the wire. */
async function callers(shop: Shop): Promise<void> {
  const details = await shop.pod(SHOP, 'app=details');
  const nodes = await shop.kubectl.get<{ items: { metadata: { name: string } }[] }>('nodes');
  const names = nodes.items.map((node) => node.metadata.name);
  const node = names.find((name) => name !== details.spec.nodeName);
  hold(node !== undefined, `The story needs two nodes, and there are ${names.join(', ')}`);
  await shop.kubectl.apply(
    ...caller(SHOP, 'till', node),
    ...caller(SHOP, 'guest', node),
    ...caller(OUTSIDE, 'stranger', node),
    ...caller(SHOP, STOCK, details.spec.nodeName ?? ''),
    wireTap(node, OUTSIDE),
  );
  for (const [namespace, pod] of [
    [SHOP, 'till'],
    [SHOP, 'guest'],
    [SHOP, STOCK],
    [OUTSIDE, 'stranger'],
    [OUTSIDE, `wire-${node}`],
  ] as const) {
    const wait = ['wait', '-n', namespace, '--for=condition=Ready', `pod/${pod}`];
    await shop.kubectl.must([...wait, `--timeout=${ROLLOUT_TIMEOUT}`]);
  }
}

function caller(namespace: string, name: string, nodeName: string): object[] {
  const metadata = { name, namespace, labels: { app: name } };
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata,
      spec: {
        nodeName,
        serviceAccountName: name,
        terminationGracePeriodSeconds: 0,
        containers: [{ name: 'curl', image: 'ambit/curl' }],
      },
    },
  ];
}
