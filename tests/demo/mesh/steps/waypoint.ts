import { setTimeout as sleep } from 'node:timers/promises';

import { program, run } from '#tests/bed/process.ts';

import { type AccessLogLine, findAccessLog } from '../../access-log.ts';
import type { Step } from '../../story.ts';
import { hold, SHOP, type Shop, sample } from '../shop.ts';

const REVIEWS_URL = 'http://reviews.shop:9080/reviews/0';
const INVENTORY_URL = 'http://productpage.shop:9080/api/v1/products/0/inventory';
const CALLER = 'till';
const DEADLINE_MS = 30_000;
const ASKED = 100;
const WAYPOINT = 'deployment/waypoint';

export const waypoint: Step<Shop> = {
  title:
    'A waypoint reads the requests: some go to v2, one user to v3, a policy forbids a method, gRPC goes through',
  async *run(shop) {
    const apply = ['waypoint', 'apply', '-n', SHOP, '--enroll-namespace', '--wait'];
    yield `ambit ${apply.join(' ')}`;
    const env = { KUBECONFIG: shop.kubeconfig };
    const applied = await run(program('cli/main.ts', ...apply), { env, deadlineMs: DEADLINE_MS });
    hold(applied.code === 0, applied.stderr);
    await shop.kubectl.must(
      ['apply', '-n', SHOP, '-f', '-'],
      sample('bookinfo/reviews-waypoint.yaml'),
    );
    await until('ann is served by v3', async () =>
      (await answering(shop, 'ann', 5)).every((version) => version === 'v3'),
    );
    yield `kubectl apply -f samples/bookinfo/reviews-waypoint.yaml: ann, by a header, is served by v3 alone`;
    const versions = await answering(shop, 'bob', ASKED);
    const count = (version: string): number => versions.filter((one) => one === version).length;
    yield `bob asks ${ASKED} times: v1 answers ${count('v1')}, v2 ${count('v2')}, v3 ${count('v3')} (wanted: 90 to 10)`;
    hold(count('v3') === 0 && count('v1') > count('v2') && count('v2') > 0, 'That is no 90 to 10');

    const denied = await curl(shop, '-X', 'DELETE', '-w', ' %{http_code}', REVIEWS_URL);
    yield `curl -X DELETE: ${denied}`;
    hold(denied === 'RBAC: access denied 403', 'DELETE should be denied');
    const logs = await shop.kubectl.must(['logs', '-n', SHOP, WAYPOINT]);
    const why = /details="[^"]*reviews-stay[^"]*"/.exec(logs)?.[0];
    hold(why !== undefined, 'The log of the waypoint should name the policy');
    yield `the waypoint logs: ${why}`;
    yield* calledByGrpc(shop);
    yield* replacedUnderLoad(shop);
  },
};

/** A customer asks productpage, and productpage asks the inventory. */
async function* calledByGrpc(shop: Shop): AsyncIterable<string> {
  await shop.kubectl.must(['apply', '-n', SHOP, '-f', '-'], sample('bookinfo/inventory.yaml'));
  await shop.kubectl.must([
    'rollout',
    'status',
    '-n',
    SHOP,
    'deployment/inventory-v1',
    '--timeout=60s',
  ]);
  let heard = '';
  let call: AccessLogLine | undefined;
  await until('the copies are counted as its route says', async () => {
    heard = await curl(shop, INVENTORY_URL);
    const logs = await shop.kubectl.must(['logs', '-n', SHOP, WAYPOINT]);
    call = findAccessLog(logs.split('\n'), { path: '/bookinfo.Inventory/Count' }).at(-1);
    return heard.includes('copies') && call?.fields.has('route') === true;
  });
  yield `kubectl apply -f samples/bookinfo/inventory.yaml: productpage asks by gRPC, and hears ${heard}`;
  const told = ['path', 'grpc_status', 'src.identity', 'route'];
  const shown = told.map((name) => `${name}="${call?.fields.get(name)}"`).join(' ');
  yield `the waypoint logs: ${shown}`;
  hold(call?.fields.get('grpc_status') === '0', 'The call should have the status 0');
}

async function* replacedUnderLoad(shop: Shop): AsyncIterable<string> {
  const loop = `while [ ! -e /tmp/stop ]; do curl -s -m 20 -o /dev/null -w '%{http_code}\\n' ${REVIEWS_URL}; done`;
  const asking = shop.kubectl.run(['exec', '-n', SHOP, CALLER, '--', 'sh', '-c', loop]);
  await shop.kubectl.must(['rollout', 'restart', '-n', SHOP, WAYPOINT]);
  await shop.kubectl.must(['rollout', 'status', '-n', SHOP, WAYPOINT, '--timeout=60s']);
  await until('the old waypoint has gone', async () => {
    return (await shop.pods(SHOP, 'gateway.networking.k8s.io/gateway-name=waypoint')).length === 1;
  });
  await shop.kubectl.must(['exec', '-n', SHOP, CALLER, '--', 'touch', '/tmp/stop']);
  const codes = (await asking).stdout.trim().split('\n');
  const failed = codes.filter((code) => code !== '200');
  yield `kubectl rollout restart ${WAYPOINT}, while till goes on asking: ${codes.length} requests, ${failed.length} failed`;
  hold(failed.length === 0 && codes.length > 0, `They heard: ${failed.slice(0, 5).join(', ')}`);
}

/** Which versions answer a user who asks so often. */
async function answering(shop: Shop, user: string, times: number): Promise<readonly string[]> {
  const once = `curl -s -m 20 -H 'end-user: ${user}' ${REVIEWS_URL}; echo`;
  const loop = `for i in $(seq ${times}); do ${once}; done`;
  const command = ['exec', '-n', SHOP, CALLER, '--', 'sh', '-c', loop];
  const text = await shop.kubectl.must(command);
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line) => /reviews-(v\d)-/.exec(line)?.[1] ?? 'nobody');
}

async function curl(shop: Shop, ...args: readonly string[]): Promise<string> {
  return shop.kubectl.must(['exec', '-n', SHOP, CALLER, '--', 'curl', '-s', '-m', '20', ...args]);
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const untilMs = performance.now() + DEADLINE_MS;
  while (!(await holds())) {
    hold(performance.now() < untilMs, `Waited ${DEADLINE_MS / 1000} s until ${what}`);
    await sleep(100);
  }
}
