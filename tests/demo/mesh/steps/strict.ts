import { setTimeout as sleep } from 'node:timers/promises';

import type { Step } from '../../story.ts';
import { hold, OUTSIDE, SHOP, type Shop } from '../shop.ts';

const DEADLINE_MS = 10_000;

const strictShop = `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: strict
  namespace: ${SHOP}
spec:
  mtls:
    mode: STRICT
`;

export const strict: Step<Shop> = {
  title: 'PeerAuthentication STRICT: who is not in the mesh stays outside',
  async *run(shop) {
    const first = await shop.ask(OUTSIDE, 'stranger');
    hold(first.kind === 'answer', `The stranger should be served yet: ${JSON.stringify(first)}`);
    yield 'a stranger of another namespace, which is not in the mesh, is served in plain text; now this is applied:';
    yield strictShop;
    await shop.kubectl.must(['apply', '-f', '-'], strictShop);
    const stranger = await shop.pod(OUTSIDE, 'app=stranger');
    yield `the stranger hears: ${await untilRefused(shop)}`;
    const details = await shop.pod(SHOP, 'app=details');
    const node = details.spec.nodeName ?? '';
    const wanted = { 'src.workload': stranger.metadata.name, direction: 'inbound' };
    const why = (await shop.accessLog(node, wanted))?.fields.get('error');
    hold(why !== undefined, `The log of ${node} does not say why the stranger was refused`);
    yield `the tunnel of ${node} logs: ${why}`;
    const other = await shop.ask(SHOP, 'till');
    hold(other.kind === 'answer', `till should be served as before: ${JSON.stringify(other)}`);
    yield 'till is served as before';
  },
};

async function untilRefused(shop: Shop): Promise<string> {
  const untilMs = performance.now() + DEADLINE_MS;
  for (;;) {
    const heard = await shop.ask(OUTSIDE, 'stranger');
    if (heard.kind === 'error') return heard.why;
    hold(performance.now() < untilMs, 'The stranger is still served');
    await sleep(20);
  }
}
