// What it costs a waypoint to tell of a request: to count it in the standard metrics, and to write its line in the log.
// `node bench/request-telemetry.ts` prints nanoseconds per request, the best of the rounds. The requests are spread over
// callers, endpoints and answers, as those of a busy namespace are.
import { Head } from '#codec/http1/head.ts';
import { beginHead, parseHead } from '#codec/http1/parse-head.ts';
import { exchangeRecord } from '#tests/support/exchange-record.ts';
import { workload } from '#tests/support/mesh.ts';
import type { ExchangeRecord } from '#waypoint/exchange/record.ts';
import { Http1Request } from '#waypoint/http/http1-messages.ts';
import { requestLine } from '#waypoint/telemetry/request-log.ts';
import { RequestMetrics } from '#waypoint/telemetry/request-metrics.ts';

const ROUNDS = 300;
const REQUESTS_PER_ROUND = 2_048;

const HEAD = Buffer.from(
  [
    'GET /api/v1/products/17/reviews?page=2&order=newest HTTP/1.1',
    'Host: reviews.shop.svc.cluster.local:9080',
    'User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)',
    'Accept: application/json, text/plain, */*',
    'X-Request-Id: 3f2b8a52-58c8-4d06-9a5e-8f0cf4b4d8c1',
    'Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    '',
    '',
  ].join('\r\n'),
);
const head = new Head('request');
beginHead(head, HEAD, 0);
parseHead(head, HEAD.length);

function records(): readonly ExchangeRecord[] {
  const { facts, endpoint } = exchangeRecord();
  const callers = Array.from({ length: 8 }, (_, index) => ({
    ...facts,
    sourceWorkload: workload(`ann-${index}`, `10.0.0.${index}`, { workloadName: `ann-${index}` }),
  }));
  const pods = Array.from({ length: 8 }, (_, index) =>
    workload(`shop-${index}`, `10.0.1.${index}`, { protocol: 'HBONE' }),
  );
  const request = new Http1Request(head);
  const endpoints = pods.map((pod) => endpoint && { ...endpoint, workload: pod });
  return Array.from({ length: REQUESTS_PER_ROUND }, (_, index) => {
    return exchangeRecord({
      facts: callers[(index * 3) % callers.length] ?? facts,
      endpoint: endpoints[(index * 5) % endpoints.length],
      request,
      status: index % 16 === 0 ? 404 : 200,
      startMs: 1_000,
      endMs: 1_000 + (index % 40) / 4,
      responseBytes: index,
    });
  });
}

function best(what: (record: ExchangeRecord) => unknown): number {
  const all = records();
  let bestNs = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const startedAt = process.hrtime.bigint();
    for (const record of all) what(record);
    bestNs = Math.min(bestNs, Number(process.hrtime.bigint() - startedAt) / all.length);
  }
  return bestNs;
}

const metrics = new RequestMetrics();
const nowMs = Date.now();
let written = 0;
const rows: readonly (readonly [string, number])[] = [
  ['counted', best((record) => metrics.add(record))],
  ['line as text', best((record) => (written += requestLine(record, nowMs, 'text').length))],
  ['line as JSON', best((record) => (written += requestLine(record, nowMs, 'json').length))],
];
for (const [what, ns] of rows) {
  process.stdout.write(`${what.padEnd(14)} ${ns.toFixed(0).padStart(6)} ns\n`);
}
process.stdout.write(`${metrics.series().length} series, ${written} characters\n`);
