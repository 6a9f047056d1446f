import { setTimeout as sleep } from 'node:timers/promises';

import type { Step } from '../../story.ts';
import { hold, SHOP, type Shop } from '../shop.ts';

const POLICY = 'no-guests';
const DEADLINE_MS = 10_000;

const denyGuest = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: ${POLICY}
  namespace: ${SHOP}
spec:
  selector:
    matchLabels:
      app: details
  action: DENY
  rules:
    - from:
        - source:
            principals: ["cluster.local/ns/${SHOP}/sa/guest"]
`;

export const policy: Step<Shop> = {
  title: 'An AuthorizationPolicy shuts one caller out, and the log says by which rule',
  async *run(shop) {
    const first = await shop.ask(SHOP, 'guest');
    hold(first.kind === 'answer', `guest should be served yet: ${JSON.stringify(first)}`);
    yield 'guest is served like till; now this is applied:';
    yield denyGuest;
    await shop.kubectl.must(['apply', '-f', '-'], denyGuest);
    try {
      yield `guest hears: ${await untilDenied(shop)}`;
      const details = await shop.pod(SHOP, 'app=details');
      const node = details.spec.nodeName ?? '';
      const line = await shop.accessLog(node, { 'src.workload': 'guest', direction: 'inbound' });
      const why = line?.fields.get('error') ?? 'no access log line with an error';
      hold(why.includes(POLICY), `The log of ${node} should name ${POLICY}, and has: ${why}`);
      yield `the tunnel of ${node} logs: ${why}`;
      const other = await shop.ask(SHOP, 'till');
      hold(other.kind === 'answer', `till should be served as before: ${JSON.stringify(other)}`);
      yield 'till is served as before';
    } finally {
      await shop.kubectl.must(['delete', 'authorizationpolicy', '-n', SHOP, POLICY]);
    }
  },
};

async function untilDenied(shop: Shop): Promise<string> {
  const untilMs = performance.now() + DEADLINE_MS;
  for (;;) {
    const heard = await shop.ask(SHOP, 'guest');
    if (heard.kind === 'error') return heard.why;
    hold(performance.now() < untilMs, 'guest is still served');
    await sleep(20);
  }
}
