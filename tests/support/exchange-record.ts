import type { ExchangeRecord } from '#waypoint/exchange/record.ts';

import { identity, ip, service, workload } from './mesh.ts';
import { requestHead } from './request-head.ts';
import { forwardTo } from './waypoint.ts';

const shop = service('shop.default.svc.cluster.local', '10.96.0.10');

/** A GET that ann has asked of the service `shop`, and `shop-0` has answered with 200. */
export function exchangeRecord(more: Partial<ExchangeRecord> = {}): ExchangeRecord {
  const facts = {
    identity: identity('spiffe://cluster.local/ns/default/sa/ann'),
    sourceIp: ip('10.0.0.7'),
    sourceWorkload: workload('ann-1', '10.0.0.7', { workloadName: 'ann', canonicalName: 'ann' }),
    destination: { ip: ip('10.96.0.10'), port: 80 },
    target: { kind: 'service', service: shop, port: 80 },
  } as const;
  return {
    startMs: 1_000,
    endMs: 1_012,
    responseMs: 1_010,
    facts,
    request: requestHead({ path: '/a?b', authority: 'shop' }),
    decision: forwardTo(facts, { route: 'HTTPRoute/default/a/0' }),
    endpoint: {
      workload: workload('shop-0', '10.0.1.8', { serviceAccount: 'shop' }),
      address: { ip: ip('10.0.1.8'), port: 8_080 },
      expectedIdentities: undefined,
      key: '',
    },
    status: 200,
    flag: '-',
    details: '',
    requestBytes: 0,
    responseBytes: 7,
    attempts: 1,
    grpcStatus: undefined,
    messages: undefined,
    ...more,
  };
}
