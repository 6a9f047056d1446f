import { expect } from 'chai';
import { describe, it } from 'mocha';

import { exchangeRecord } from '#tests/support/exchange-record.ts';
import { service, workload } from '#tests/support/mesh.ts';
import { forwardTo } from '#tests/support/waypoint.ts';
import { GrpcMessages } from '#waypoint/exchange/grpc-messages.ts';
import type { ExchangeRecord } from '#waypoint/exchange/record.ts';
import { namedRequestLabels } from '#waypoint/telemetry/request-labels.ts';
import { RequestMetrics } from '#waypoint/telemetry/request-metrics.ts';

const HOUR_MS = 3_600_000;

/** What a worker counts of these, as the control thread then has it. */
function counted(...records: readonly ExchangeRecord[]): RequestMetrics {
  const worker = new RequestMetrics();
  const control = new RequestMetrics();
  for (const record of records) worker.add(record);
  control.absorb(worker.take());
  return control;
}

function labelsOf(metrics: RequestMetrics): readonly Readonly<Record<string, string>>[] {
  return metrics.series().map(({ labels }) => namedRequestLabels(labels));
}

function requestsIn(metrics: RequestMetrics): number {
  return metrics.series().reduce((sum, { requests }) => sum + requests, 0);
}

describe('RequestMetrics', () => {
  it('counts by the labels that dashboards read', () => {
    const [labels, ...others] = labelsOf(counted(exchangeRecord(), exchangeRecord()));
    expect(others).to.deep.equal([]);
    expect(labels).to.deep.equal({
      reporter: 'waypoint',
      source_workload: 'ann',
      source_canonical_service: 'ann',
      source_canonical_revision: 'unknown',
      source_workload_namespace: 'default',
      source_principal: 'spiffe://cluster.local/ns/default/sa/ann',
      source_app: 'ann',
      source_version: 'unknown',
      source_cluster: 'Kubernetes',
      destination_workload: 'unknown',
      destination_canonical_service: 'unknown',
      destination_canonical_revision: 'unknown',
      destination_workload_namespace: 'default',
      destination_principal: 'unknown',
      destination_app: 'unknown',
      destination_version: 'unknown',
      destination_cluster: 'Kubernetes',
      destination_service: 'shop.default.svc.cluster.local',
      destination_service_name: 'shop',
      destination_service_namespace: 'default',
      request_protocol: 'http',
      response_code: '200',
      grpc_response_status: '',
      response_flags: '-',
      connection_security_policy: 'mutual_tls',
    });
  });

  it('names the endpoint that it was tunnelled to, and the service that a route has chosen', () => {
    const { facts, endpoint } = exchangeRecord();
    const pod = workload('shop-1', '10.0.1.9', { protocol: 'HBONE', serviceAccount: 'shop' });
    const canary = service('canary.default.svc.cluster.local', '10.96.0.11');
    const target = { kind: 'service', service: canary, port: 80 } as const;
    const decision = forwardTo(facts, { target });
    const record = exchangeRecord({
      facts,
      decision,
      ...(endpoint === undefined ? {} : { endpoint: { ...endpoint, workload: pod } }),
    });
    expect(labelsOf(counted(record))[0]).to.include({
      destination_principal: 'spiffe://cluster.local/ns/default/sa/shop',
      destination_service: 'canary.default.svc.cluster.local',
    });
  });

  it('says "unknown" of whom it does not know', () => {
    const { facts } = exchangeRecord();
    const record = exchangeRecord({
      facts: { ...facts, sourceWorkload: undefined },
      endpoint: undefined,
      status: 503,
      flag: 'UH',
    });
    expect(labelsOf(counted(record))[0]).to.include({
      source_workload: 'unknown',
      source_principal: 'spiffe://cluster.local/ns/default/sa/ann',
      destination_workload: 'unknown',
      destination_workload_namespace: 'unknown',
      destination_service: 'shop.default.svc.cluster.local',
      response_code: '503',
      response_flags: 'UH',
    });
  });

  it('keeps apart what differs in any label', () => {
    const base = exchangeRecord();
    const { facts, endpoint } = base;
    const metrics = counted(
      base,
      exchangeRecord({ facts, status: 404 }),
      exchangeRecord({ facts, status: 200, flag: 'DC' }),
      exchangeRecord({ facts, endpoint: undefined }),
      exchangeRecord({ facts: { ...facts, sourceWorkload: undefined } }),
      { ...base, facts: { ...facts, sourceWorkload: workload('bob-1', '10.0.0.8') } },
      { ...base, messages: new GrpcMessages(), grpcStatus: '0' },
      { ...base, messages: new GrpcMessages(), grpcStatus: '14' },
      { ...base, endpoint },
    );
    expect(metrics.series().map(({ requests }) => requests)).to.deep.equal([
      2, 1, 1, 1, 1, 1, 1, 1,
    ]);
  });

  it('sums up what several workers have counted', () => {
    const control = new RequestMetrics();
    for (const worker of [new RequestMetrics(), new RequestMetrics()]) {
      worker.add(exchangeRecord({ startMs: 0, endMs: 3, requestBytes: 10, responseBytes: 2_000 }));
      control.absorb(worker.take());
      worker.add(exchangeRecord({ startMs: 0, endMs: 40, requestBytes: 0, responseBytes: 1 }));
      control.absorb(worker.take());
      control.absorb(worker.take());
    }
    const [series] = control.series();
    expect(series?.requests).to.equal(4);
    const duration = series?.histogram('duration');
    expect(duration).to.include({ sum: 86, count: 4 });
    const upTo = (atMost: number) =>
      duration?.buckets.find((bucket) => bucket.atMost === atMost)?.count;
    expect([1, 5, 25, 50, 3_600_000].map(upTo)).to.deep.equal([0, 2, 2, 4, 4]);
    expect(series?.histogram('requestBytes')).to.include({ sum: 20, count: 4 });
    expect(series?.histogram('requestBytes').buckets[0]).to.deep.equal({ atMost: 0.5, count: 2 });
    expect(series?.histogram('responseBytes')).to.include({ sum: 4_002, count: 4 });
  });

  it('counts what is above all bounds in none of the buckets but the last', () => {
    const [series] = counted(exchangeRecord({ startMs: 0, endMs: 9_000_000 })).series();
    const reading = series?.histogram('duration');
    expect(reading?.buckets.at(-1)).to.deep.equal({ atMost: 3_600_000, count: 0 });
    expect(reading).to.include({ sum: 9_000_000, count: 1 });
  });

  it('tells gRPC, its status and its messages', () => {
    const messages = new GrpcMessages();
    messages.request.take(Buffer.alloc(10), 0, 10);
    messages.response.take(Buffer.alloc(5), 0, 5);
    const metrics = counted(exchangeRecord({ messages, grpcStatus: '14' }));
    expect(labelsOf(metrics)[0]).to.include({
      request_protocol: 'grpc',
      grpc_response_status: '14',
    });
    expect(metrics.series()[0]).to.include({ requestMessages: 2, responseMessages: 1 });
  });

  it('takes no status from a server that is none', () => {
    const messages = new GrpcMessages();
    for (const grpcStatus of [undefined, '', '123', '0\n', 'evil{}']) {
      const [labels] = labelsOf(counted(exchangeRecord({ messages, grpcStatus })));
      expect(labels).to.include({ grpc_response_status: 'unknown' });
    }
  });

  it('has a bounded number of series, and tells of what has none of its own', () => {
    const metrics = new RequestMetrics(10);
    const { facts } = exchangeRecord();
    for (let index = 0; index < 15; index++) {
      const sourceWorkload = workload(`pod-${index}`, '', { workloadName: `app-${index}` });
      metrics.add(exchangeRecord({ facts: { ...facts, sourceWorkload } }));
    }
    expect(metrics.series().length).to.equal(11);
    expect(metrics.overflowed).to.equal(5);
    const coarse = labelsOf(metrics).find((labels) => labels['source_principal'] === 'unknown');
    expect(coarse).to.include({ source_workload: 'unknown', response_code: '200' });
    const control = new RequestMetrics(10);
    control.absorb(metrics.take());
    expect(control.series().length).to.equal(11);
    expect(control.overflowed).to.equal(5);
  });

  it('is bounded whatever servers answer', () => {
    const metrics = new RequestMetrics(10);
    for (let status = 0; status < 1_000; status++) {
      metrics.add(exchangeRecord({ status, flag: status % 2 === 0 ? '-' : 'DC' }));
    }
    expect(metrics.series().length).to.be.at.most(10 + 200 + 1);
    expect(requestsIn(metrics)).to.equal(1_000);
    expect(metrics.overflowed).to.equal(990);
  });

  it('is bounded whatever its workers tell', () => {
    const control = new RequestMetrics(10);
    for (let worker = 0; worker < 3; worker++) {
      const metrics = new RequestMetrics(10);
      for (let status = 0; status < 10; status++) {
        metrics.add(exchangeRecord({ status: 200 + 10 * worker + status }));
      }
      control.absorb(metrics.take());
    }
    expect(requestsIn(control)).to.equal(30);
    expect(control.overflowed).to.equal(20);
  });

  it('drops what nothing is counted in for long, and has room again', () => {
    let nowMs = 0;
    const metrics = new RequestMetrics(1, () => nowMs);
    metrics.add(exchangeRecord());
    metrics.add(exchangeRecord({ status: 404 }));
    metrics.take();
    nowMs = HOUR_MS / 2;
    metrics.add(exchangeRecord({ status: 404 }));
    metrics.take();
    nowMs = HOUR_MS + 1;
    metrics.take();
    expect(labelsOf(metrics)).to.have.length(1);
    metrics.add(exchangeRecord({ status: 404 }));
    const own = labelsOf(metrics).filter((labels) => labels['source_workload'] === 'ann');
    expect(own).to.have.length(1);
    expect(own[0]).to.include({ response_code: '404' });
  });

  it('tells the same numbers once', () => {
    const metrics = new RequestMetrics();
    metrics.add(exchangeRecord());
    expect(metrics.take().labels).to.have.length(1);
    expect(metrics.take().labels).to.have.length(0);
  });
});
