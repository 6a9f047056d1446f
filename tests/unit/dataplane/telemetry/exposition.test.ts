import { expect } from 'chai';
import { describe, it } from 'mocha';

import { MetricsRegistry } from '#common/metrics/registry.ts';
import {
  connectionLabels,
  LOCALITY_LABELS,
  TRAFFIC_LABELS,
} from '#dataplane/telemetry/connection-labels.ts';
import {
  buildFamilies,
  socketFamilies,
  trafficFamilies,
  workloadManagerFamilies,
} from '#dataplane/telemetry/exposition.ts';
import { TrafficMetrics } from '#dataplane/telemetry/metrics.ts';

interface Line {
  readonly name: string;
  readonly labels: ReadonlyArray<readonly [string, string]>;
  readonly value: number;
}

/** Reads the text format as a scraper does. */
function parse(text: string): readonly Line[] {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return lines.map((each) => {
    const [, name = '', labels = '', number] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(each) ?? [];
    const pairs = labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"(?:,|$)/g);
    return {
      name,
      labels: Array.from(pairs, ([, label = '', value = '']) => {
        return [label, JSON.parse(`"${value}"`) as string] as const;
      }),
      value: Number(number),
    };
  });
}

const hostile = 'x"} 99\nforged_total{a="\\';
const labels = connectionLabels({
  reporter: 'destination',
  source: { claimed: { workloadName: hostile, zone: 'z' } },
  destination: {},
  mutualTls: true,
});

describe('trafficFamilies()', () => {
  it('writes every counter with all labels in order', async () => {
    const totals = new TrafficMetrics();
    Object.assign(totals.series(labels), {
      opened: 3,
      closed: 2,
      sentBytes: 2 ** 40,
      receivedBytes: 7,
    });
    totals.closeFailed(labels, 'DENY');
    const lines = parse(await new MetricsRegistry(trafficFamilies(totals)).render('prometheus'));
    expect(lines.map(({ name, value }) => [name, value])).to.deep.equal([
      ['istio_tcp_connections_opened_total', 3],
      ['istio_tcp_connections_closed_total', 2],
      ['istio_tcp_connections_closed_total', 1],
      ['istio_tcp_connections_failed_total', 1],
      ['istio_tcp_sent_bytes_total', 2 ** 40],
      ['istio_tcp_received_bytes_total', 7],
      ['ambit_metric_series_overflow_total', 0],
    ]);
    const [first, closed, closedBadly, failed] = lines;
    const names = first!.labels.map(([name]) => name);
    expect(names).to.deep.equal([...TRAFFIC_LABELS, ...LOCALITY_LABELS]);
    const flags = [first, closed, closedBadly, failed].map((line) => {
      return new Map(line!.labels).get('response_flags');
    });
    expect(flags).to.deep.equal(['-', '-', 'DENY', 'DENY']);
  });

  it('gives a peer no way to write a line of its own', async () => {
    const totals = new TrafficMetrics();
    totals.series(labels).opened++;
    const text = await new MetricsRegistry(trafficFamilies(totals)).render('prometheus');
    const [first] = parse(text);
    expect(new Map(first!.labels).get('source_workload')).to.equal(hostile.replace('\n', '_'));
    expect(parse(text).map(({ name }) => name)).not.to.include('forged_total');
  });
});

describe('the other families', () => {
  it('are written under their names', async () => {
    const registry = new MetricsRegistry([
      ...socketFamilies(() => ({ source: 4, destination: 5 })),
      ...buildFamilies('ztunnel', '1.2.3'),
      ...workloadManagerFamilies(() => ({ active: 1, pending: 2, started: 3, stopped: 4 })),
    ]);
    const text = await registry.render('prometheus');
    expect(text.split('\n').filter((line) => /^\w/.test(line))).to.deep.equal([
      'istio_tcp_sockets_open{reporter="source"} 4',
      'istio_tcp_sockets_open{reporter="destination"} 5',
      'istio_build{component="ztunnel",tag="1.2.3"} 1',
      'workload_manager_active_proxy_count 1',
      'workload_manager_pending_proxy_count 2',
      'workload_manager_proxies_started_total 3',
      'workload_manager_proxies_stopped_total 4',
    ]);
  });
});
