import { expect } from 'chai';
import { describe, it } from 'mocha';

import { MetricsRegistry } from '#common/metrics/registry.ts';
import { exchangeRecord } from '#tests/support/exchange-record.ts';
import { GrpcMessages } from '#waypoint/exchange/grpc-messages.ts';
import { requestFamilies } from '#waypoint/telemetry/request-families.ts';
import { RequestMetrics } from '#waypoint/telemetry/request-metrics.ts';

/** Its lines, each without its labels but for these. */
async function scrape(metrics: RequestMetrics, kept: RegExp): Promise<readonly string[]> {
  const text = await new MetricsRegistry(requestFamilies(metrics)).render('prometheus');
  return text.split('\n').map((line) => {
    const labels = [...line.matchAll(/[a-z_]+="[^"]*"/g)].map(([label]) => label);
    return line.replace(/\{.*\}/, `{${labels.filter((label) => kept.test(label)).join(',')}}`);
  });
}

describe('requestFamilies()', () => {
  it('writes the standard metrics under their names', async () => {
    const metrics = new RequestMetrics();
    metrics.add(exchangeRecord({ startMs: 0, endMs: 12, requestBytes: 3, responseBytes: 700 }));
    const lines = await scrape(metrics, /^(le|response_code)=/);
    expect(lines).to.include.members([
      '# TYPE istio_requests_total counter',
      'istio_requests_total{response_code="200"} 1',
      '# TYPE istio_request_duration_milliseconds histogram',
      'istio_request_duration_milliseconds_bucket{le="10",response_code="200"} 0',
      'istio_request_duration_milliseconds_bucket{le="25",response_code="200"} 1',
      'istio_request_duration_milliseconds_bucket{le="+Inf",response_code="200"} 1',
      'istio_request_duration_milliseconds_sum{response_code="200"} 12',
      'istio_request_duration_milliseconds_count{response_code="200"} 1',
      '# TYPE istio_request_bytes histogram',
      'istio_request_bytes_bucket{le="1",response_code="200"} 0',
      'istio_request_bytes_bucket{le="5",response_code="200"} 1',
      'istio_response_bytes_bucket{le="1000",response_code="200"} 1',
      'istio_response_bytes_sum{response_code="200"} 700',
    ]);
    const bounds = lines.flatMap(
      (line) => /^istio_request_bytes_bucket\{le="([^"]+)"/.exec(line)?.[1] ?? [],
    );
    expect(bounds.join(' ')).to.equal(
      '0.5 1 5 10 25 50 100 250 500 1000 2500 5000 10000 30000 60000 300000 600000 1800000 3600000 +Inf',
    );
  });

  it('writes the messages of gRPC calls, and none of other requests', async () => {
    const metrics = new RequestMetrics();
    metrics.add(exchangeRecord());
    const messages = new GrpcMessages();
    messages.request.take(Buffer.alloc(10), 0, 10);
    metrics.add(exchangeRecord({ messages, grpcStatus: '0' }));
    const lines = await scrape(metrics, /^(request_protocol|grpc_response_status)=/);
    expect(lines.filter((line) => line.includes('messages_total{'))).to.deep.equal([
      'istio_request_messages_total{request_protocol="grpc",grpc_response_status="0"} 2',
      'istio_response_messages_total{request_protocol="grpc",grpc_response_status="0"} 0',
    ]);
  });
});
