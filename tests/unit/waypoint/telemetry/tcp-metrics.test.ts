import { expect } from 'chai';
import { describe, it } from 'mocha';

import { TrafficMetrics } from '#dataplane/telemetry/metrics.ts';
import { exchangeRecord } from '#tests/support/exchange-record.ts';
import type { TcpRecord } from '#waypoint/tcp/tcp-forward.ts';
import { TcpMetrics } from '#waypoint/telemetry/tcp-metrics.ts';

function tcpRecord(more: Partial<TcpRecord> = {}): TcpRecord {
  const { facts, endpoint } = exchangeRecord();
  return {
    facts,
    endpoint,
    startMs: 0,
    endMs: 0,
    receivedBytes: 0,
    sentBytes: 0,
    flag: '-',
    details: '',
    ...more,
  };
}

/** The sums after the worker was asked once more. */
function told(worker: TcpMetrics, sums: TrafficMetrics): ReturnType<TrafficMetrics['entries']> {
  sums.absorb(worker.takeChanges());
  return sums.entries();
}

describe('TcpMetrics', () => {
  it('counts a connection while it is open, and its end', () => {
    const [worker, sums] = [new TcpMetrics(), new TrafficMetrics()];
    const record = tcpRecord();
    worker.opened(record);
    record.receivedBytes = 10;
    record.sentBytes = 200;
    const [open] = told(worker, sums);
    expect(open?.series).to.include({ opened: 1, closed: 0, receivedBytes: 10, sentBytes: 200 });
    expect(open?.labels).to.include({
      reporter: 'waypoint',
      source_workload: 'ann',
      destination_service_name: 'shop',
      request_protocol: 'tcp',
      response_flags: '-',
      connection_security_policy: 'mutual_tls',
    });
    record.receivedBytes = 15;
    worker.closed(record);
    const [closed, ...others] = told(worker, sums);
    expect(others).to.deep.equal([]);
    expect(closed?.series).to.include({ opened: 1, closed: 1, receivedBytes: 15, sentBytes: 200 });
    expect(told(worker, sums)[0]?.series).to.include({ opened: 1, closed: 1, receivedBytes: 15 });
  });

  it('counts the end of one that was never connected under its reason', () => {
    const [worker, sums] = [new TcpMetrics(), new TrafficMetrics()];
    const record = tcpRecord({ endpoint: undefined });
    worker.opened(record);
    record.flag = 'UH';
    worker.closed(record);
    const entries = told(worker, sums);
    const byFlag = Object.fromEntries(
      entries.map(({ labels, series }) => [labels['response_flags'], series]),
    );
    expect(byFlag['-']).to.include({ opened: 1, closed: 0, failed: 0 });
    expect(byFlag['UH']).to.include({ opened: 0, closed: 1, failed: 1 });
  });

  it('knows where a connection goes although it hears of it before', () => {
    const [worker, sums] = [new TcpMetrics(), new TrafficMetrics()];
    const { endpoint } = tcpRecord();
    const record = tcpRecord({ endpoint: undefined });
    worker.opened(record);
    record.endpoint = endpoint;
    expect(told(worker, sums)[0]?.labels).to.include({ destination_workload_namespace: 'default' });
  });
});
