import { expect } from 'chai';
import { describe, it } from 'mocha';

import { exchangeRecord } from '#tests/support/exchange-record.ts';
import { requestHead } from '#tests/support/request-head.ts';
import { requestLevel, requestLine } from '#waypoint/telemetry/request-log.ts';

const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5);

describe('requestLine()', () => {
  it('tells who asked what, who answered, and by which route', () => {
    expect(requestLine(exchangeRecord(), NOW_MS, 'text')).to.equal(
      '2026-01-02T03:04:05.000000Z\tinfo\taccess\trequest complete\tsrc.addr="10.0.0.7" src.workload="ann-1" src.namespace="default" src.identity="spiffe://cluster.local/ns/default/sa/ann" dst.addr="10.96.0.10:80" dst.service="shop.default.svc.cluster.local" method="GET" authority="shop" path="/a?b" protocol="HTTP/2" status=200 upstream="10.0.1.8:8080" dst.workload="shop-0" dst.namespace="default" bytes_sent=7 bytes_recv=0 duration="12ms" upstream_duration="10ms" route="HTTPRoute/default/a/0"',
    );
  });

  it('can be JSON', () => {
    const line = JSON.parse(requestLine(exchangeRecord(), NOW_MS, 'json')) as object;
    expect(line).to.include({ level: 'info', scope: 'access', status: 200, path: '/a?b' });
  });

  it('is one line whatever the client sends', () => {
    const request = requestHead({ path: '/\n2026 error fake', authority: 'a" status=200 x="' });
    const line = requestLine(exchangeRecord({ request }), NOW_MS, 'text');
    expect(line).to.not.include('\n');
    expect(line).to.include(String.raw`authority="a\" status=200 x=\""`);
  });
});

describe('requestLevel()', () => {
  it('is an error when we could not do our part', () => {
    expect(requestLevel(exchangeRecord({ status: 503, flag: 'UH' }))).to.equal('error');
    expect(requestLevel(exchangeRecord({ status: 500 }))).to.equal('info');
    expect(requestLevel(exchangeRecord({ status: 403 }))).to.equal('warn');
  });
});
