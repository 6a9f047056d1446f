import { expect } from 'chai';
import { describe, it } from 'mocha';

import { exchangeRecord } from '#tests/support/exchange-record.ts';
import { GrpcMessages } from '#waypoint/exchange/grpc-messages.ts';
import { RequestCounts } from '#waypoint/telemetry/request-counts.ts';

async function samples(
  counts: RequestCounts,
): Promise<
  readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[]
> {
  return (await counts.families()[0]?.read()) ?? [];
}

describe('RequestCounts', () => {
  it('counts by the labels that dashboards read', async () => {
    const worker = new RequestCounts();
    worker.add(exchangeRecord());
    worker.add(exchangeRecord());
    const control = new RequestCounts();
    control.merge(worker.take());
    control.merge(worker.take());
    const [sample, ...others] = await samples(control);
    expect(others).to.deep.equal([]);
    expect(sample?.value).to.equal(2);
    expect(sample?.labels).to.include({
      reporter: 'waypoint',
      source_workload: 'ann',
      source_principal: 'spiffe://cluster.local/ns/default/sa/ann',
      destination_service: 'shop.default.svc.cluster.local',
      destination_service_name: 'shop',
      destination_principal: 'spiffe://cluster.local/ns/default/sa/shop',
      destination_version: 'unknown',
      request_protocol: 'http',
      response_code: '200',
      response_flags: '-',
      connection_security_policy: 'mutual_tls',
    });
  });

  it('tells gRPC and its status', async () => {
    const counts = new RequestCounts();
    counts.add(exchangeRecord({ messages: new GrpcMessages(), grpcStatus: '14' }));
    expect((await samples(counts))[0]?.labels).to.include({
      request_protocol: 'grpc',
      grpc_response_status: '14',
    });
  });

  it('has a bounded number of series', async () => {
    const counts = new RequestCounts();
    for (let status = 0; status < 10_005; status++) counts.add(exchangeRecord({ status }));
    const all = await samples(counts);
    expect(all.length).to.be.at.most(10_001);
    expect(all.reduce((sum, { value }) => sum + value, 0)).to.equal(10_005);
  });
});
