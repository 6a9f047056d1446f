import { expect } from 'chai';
import { describe, it } from 'mocha';

import { exchangeRecord } from '#tests/support/exchange-record.ts';
import { requestHead } from '#tests/support/request-head.ts';
import { forwardTo } from '#tests/support/waypoint.ts';
import { connectionLine, requestLevel, requestLine } from '#waypoint/telemetry/request-log.ts';

const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5);
const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';

function parsed(line: string): object {
  return JSON.parse(line) as object;
}

/** The line of a request with these headers. */
function lineWith(headers: readonly (readonly [string, string])[]): object {
  const request = requestHead({ headers });
  return parsed(requestLine(exchangeRecord({ request }), NOW_MS, 'json'));
}

describe('requestLine()', () => {
  it('tells who asked what, who answered, and by which route', () => {
    expect(requestLine(exchangeRecord(), NOW_MS, 'text')).to.equal(
      '2026-01-02T03:04:05.000000Z\tinfo\taccess\trequest complete\tsrc.addr="10.0.0.7" src.workload="ann-1" src.namespace="default" src.identity="spiffe://cluster.local/ns/default/sa/ann" dst.addr="10.96.0.10:80" dst.service="shop.default.svc.cluster.local" method="GET" authority="shop" path="/a?b" protocol="HTTP/2" status=200 upstream="10.0.1.8:8080" dst.workload="shop-0" dst.namespace="default" bytes_sent=7 bytes_recv=0 duration="12ms" upstream_duration="10ms" route="HTTPRoute/default/a/0"',
    );
  });

  it('can be JSON, with the same fields', () => {
    expect(parsed(requestLine(exchangeRecord(), NOW_MS, 'json'))).to.deep.equal({
      level: 'info',
      time: '2026-01-02T03:04:05.000000Z',
      scope: 'access',
      message: 'request complete',
      'src.addr': '10.0.0.7',
      'src.workload': 'ann-1',
      'src.namespace': 'default',
      'src.identity': 'spiffe://cluster.local/ns/default/sa/ann',
      'dst.addr': '10.96.0.10:80',
      'dst.service': 'shop.default.svc.cluster.local',
      method: 'GET',
      authority: 'shop',
      path: '/a?b',
      protocol: 'HTTP/2',
      status: 200,
      upstream: '10.0.1.8:8080',
      'dst.workload': 'shop-0',
      'dst.namespace': 'default',
      bytes_sent: 7,
      bytes_recv: 0,
      duration: '12ms',
      upstream_duration: '10ms',
      route: 'HTTPRoute/default/a/0',
    });
  });

  it('tells what went wrong', () => {
    const record = exchangeRecord({
      status: 503,
      flag: 'UF',
      details: 'connection failed: refused',
      endpoint: undefined,
      responseMs: undefined,
      attempts: 3,
    });
    expect(requestLine(record, NOW_MS, 'text')).to.match(
      /\terror\taccess\trequest complete\t.* status=503 bytes_sent=7 bytes_recv=0 duration="12ms" attempts=3 flags="UF" details="connection failed: refused" route=/,
    );
  });

  it('tells one request from another by what its headers say', () => {
    expect(
      lineWith([
        ['x-request-id', '3f2b8a52'],
        ['traceparent', `00-${TRACE_ID}-b7ad6b7169203331-01`],
        ['tracestate', 'vendor=secret'],
        ['user-agent', 'curl/8.0'],
        ['x-forwarded-for', '192.0.2.1, 10.0.0.1'],
      ]),
    ).to.include({
      request_id: '3f2b8a52',
      trace_id: TRACE_ID,
      user_agent: 'curl/8.0',
      forwarded_for: '192.0.2.1, 10.0.0.1',
    });
  });

  it('tells the request id that was sent on where there was none', () => {
    const { facts } = exchangeRecord();
    const extra = [
      ['x-forwarded-proto', 'http'],
      ['x-request-id', 'made-by-us'],
    ] as const;
    const record = exchangeRecord({ decision: forwardTo(facts, { requestPlan: { extra } }) });
    expect(requestLine(record, NOW_MS, 'text')).to.include(' request_id="made-by-us"');
    const given = requestHead({ headers: [['x-request-id', 'the-clients']] });
    const line = requestLine({ ...record, request: given }, NOW_MS, 'text');
    expect(line).to.include(' request_id="the-clients"').and.not.include('made-by-us');
  });

  it('makes no trace id of what is none', () => {
    for (const traceparent of [
      '',
      'x',
      `00-${'0'.repeat(32)}-b7ad6b7169203331-01`,
      `ff-${TRACE_ID}-b7ad6b7169203331-01`,
      `00-${TRACE_ID.toUpperCase()}-b7ad6b7169203331-01`,
      `00-${TRACE_ID}-b7ad6b7169203331-01, 00-${TRACE_ID}-b7ad6b7169203331-01`,
    ]) {
      expect(lineWith([['traceparent', traceparent]]), traceparent).to.not.have.property(
        'trace_id',
      );
    }
  });

  it('writes no other header: it may be a secret', () => {
    const line = requestLine(
      exchangeRecord({
        request: requestHead({
          headers: [
            ['authorization', 'Bearer hidden'],
            ['cookie', 'session=hidden'],
            ['tracestate', 'vendor=hidden'],
          ],
        }),
      }),
      NOW_MS,
      'json',
    );
    expect(line).to.not.include('hidden');
  });

  it('is one line whatever the client sends', () => {
    const request = requestHead({
      path: '/\n2026 error fake',
      authority: 'a" status=200 x="',
      headers: [['user-agent', '\u001B[2J\u202E"}']],
    });
    const line = requestLine(exchangeRecord({ request }), NOW_MS, 'text');
    expect(line.replaceAll('\t', ' ')).to.not.match(/\p{C}/u);
    expect(line).to.include(String.raw`authority="a\" status=200 x=\""`);
    const json = requestLine(exchangeRecord({ request }), NOW_MS, 'json');
    expect(json).to.not.match(/\p{C}/u);
    expect(parsed(json)).to.include({ authority: 'a" status=200 x="', status: 200 });
  });

  it('is bounded whatever the client sends', () => {
    const long = 'x'.repeat(60_000);
    const request = requestHead({
      path: `/${long}`,
      method: long,
      authority: long,
      headers: [
        ['user-agent', long],
        ['x-request-id', long],
        ['x-forwarded-for', long],
      ],
    });
    const line = requestLine(exchangeRecord({ request, grpcStatus: long }), NOW_MS, 'text');
    expect(line.length).to.be.below(20_000);
  });
});

describe('connectionLine()', () => {
  const { facts, endpoint } = exchangeRecord();
  const record = {
    facts,
    endpoint,
    startMs: 1_000,
    endMs: 3_500,
    receivedBytes: 10,
    sentBytes: 20,
    flag: '-',
    details: '',
  };

  it('tells who was connected to whom', () => {
    expect(connectionLine(record, NOW_MS, 'text')).to.equal(
      '2026-01-02T03:04:05.000000Z\tinfo\taccess\tconnection complete\tsrc.addr="10.0.0.7" src.workload="ann-1" src.namespace="default" src.identity="spiffe://cluster.local/ns/default/sa/ann" dst.addr="10.96.0.10:80" dst.service="shop.default.svc.cluster.local" upstream="10.0.1.8:8080" dst.workload="shop-0" dst.namespace="default" bytes_sent=20 bytes_recv=10 duration="2500ms"',
    );
    expect(parsed(connectionLine(record, NOW_MS, 'json'))).to.include({
      message: 'connection complete',
      bytes_sent: 20,
      upstream: '10.0.1.8:8080',
    });
  });

  it('tells why it was not', () => {
    const refused = { ...record, endpoint: undefined, flag: 'UAEX', details: 'denied by "a/b"' };
    expect(connectionLine(refused, NOW_MS, 'text')).to.match(
      /\terror\taccess\t.* duration="2500ms" flags="UAEX" details="denied by \\"a\/b\\""$/,
    );
  });
});

describe('requestLevel()', () => {
  it('is an error when we could not do our part', () => {
    expect(requestLevel(exchangeRecord({ status: 503, flag: 'UH' }))).to.equal('error');
    expect(requestLevel(exchangeRecord({ status: 500 }))).to.equal('info');
    expect(requestLevel(exchangeRecord({ status: 403 }))).to.equal('warn');
  });
});
