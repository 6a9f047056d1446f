import { expect } from 'chai';
import { describe, it } from 'mocha';

import { parseIperf, parseWrk } from '#bench/load-output.ts';

const clean = `Running 1s test @ http://127.0.0.1:18080/1k
  1 threads and 4 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    71.55us   88.49us   2.42ms   98.68%
    Req/Sec    58.43k     4.50k   61.47k    90.91%
  Latency Distribution
     50%   58.00us
     75%   73.00us
     90%   91.00us
     99%    1.77ms
  63813 requests in 1.10s, 76.92MB read
Requests/sec:  58029.97
Transfer/sec:     69.95MB
`;

describe('parseWrk()', () => {
  it('reads the rate, the count and both latencies in microseconds', () => {
    expect(parseWrk(clean)).to.deep.equal({
      kind: 'ok',
      result: {
        requestsPerSecond: 58_029.97,
        requests: 63_813,
        p50Us: 58,
        p99Us: 1770,
        problems: [],
      },
    });
  });

  it('reports socket errors and bad answers as problems', () => {
    const output = clean.replace(
      'Requests/sec:',
      '  Socket errors: connect 0, read 3, write 0, timeout 1\n  Non-2xx or 3xx responses: 77114\nRequests/sec:',
    );
    const parsed = parseWrk(output);
    expect(parsed.kind === 'ok' && parsed.result.problems).to.deep.equal([
      'Socket errors: connect 0, read 3, write 0, timeout 1',
      'Non-2xx or 3xx responses: 77114',
    ]);
  });

  it('shows what wrk said when it gave no figures', () => {
    expect(parseWrk('unable to connect to 10.0.0.1:80 Connection refused\n')).to.deep.equal({
      kind: 'unreadable',
      why: 'Cannot read the output of wrk: unable to connect to 10.0.0.1:80 Connection refused',
    });
  });
});

describe('parseIperf()', () => {
  it('takes the sum that the receiver counted', () => {
    const output = JSON.stringify({
      end: {
        sum_sent: { bytes: 999, bits_per_second: 9 },
        sum_received: { bytes: 2_335_571_968, bits_per_second: 18_666_170_899.4931 },
      },
    });
    expect(parseIperf(output)).to.deep.equal({
      kind: 'ok',
      result: { bytes: 2_335_571_968, bitsPerSecond: 18_666_170_899.4931 },
    });
  });

  for (const [when, output, why] of [
    ['it failed', '{"end":{},"error":"Connection refused"}', 'iperf3 failed: Connection refused'],
    ['it is not JSON', 'iperf3: error', /want JSON, got "iperf3: error"/],
    [
      'nothing arrived',
      '{"end":{"sum_received":{"bytes":0,"bits_per_second":0}}}',
      /no bytes received/,
    ],
    ['parts are missing', '{"end":null}', /no bytes received/],
  ] as const) {
    it(`refuses the output when ${when}`, () => {
      const parsed = parseIperf(output);
      expect(parsed.kind).to.equal('unreadable');
      expect(parsed.kind === 'unreadable' && parsed.why).to.match(new RegExp(why));
    });
  }
});
