import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import type { WorkloadFacts } from '#dataplane/telemetry/connection-labels.ts';
import { TrafficMetrics } from '#dataplane/telemetry/metrics.ts';
import { workload } from '#tests/support/mesh.ts';
import { Accounting, type Telemetry } from '#ztunnel/proxy/accounting.ts';

const SERIES_MAX = 40;
/** A quarter of all, and a tenth of that. */
const CLAIMED_OF_PEER = 1;
const LIAR = 'spiffe://cluster.local/ns/default/sa/liar';

const telemetryOf = (metrics: TrafficMetrics): Telemetry => ({
  metrics,
  access: { wants: () => false, write: () => undefined },
});

describe('Accounting', () => {
  let metrics: TrafficMetrics;
  beforeEach(() => {
    metrics = new TrafficMetrics(SERIES_MAX);
  });

  function open(claimedSource: WorkloadFacts, source = workload('known', '')): Accounting {
    const isKnown = Object.keys(claimedSource).length === 0;
    const record = {
      direction: 'inbound' as const,
      source: { address: '10.0.0.1:1' },
      destination: { address: '10.0.0.2:2' },
      startMs: 0,
      bytesSent: 0,
      bytesReceived: 0,
    };
    return Accounting.open(telemetryOf(metrics), record, {
      reporter: 'destination',
      source: isKnown ? source : undefined,
      claimedSource,
      destination: workload('shop', ''),
      service: undefined,
      identities: { source: LIAR, destination: 'spiffe://cluster.local/ns/default/sa/shop' },
    });
  }

  /** `workload flag`, each once. */
  const series = (of: TrafficMetrics = metrics): readonly string[] =>
    of.entries().map(({ labels }) => `${labels['source_workload']} ${labels['response_flags']}`);

  it('open() gives names that a peer claims up when it has claimed too many, from open to end', () => {
    open({ workloadName: 'one' });
    open({ workloadName: 'two' }).finish({ flag: 'CONNECT', error: 'refused' });
    open({ workloadName: 'three' }).finish();
    expect(CLAIMED_OF_PEER).to.equal(1);
    expect(series()).to.deep.equal(['one -', 'unknown -', 'unknown CONNECT']);
    expect(metrics.entries()[1]?.series).to.include({ opened: 2, closed: 1 });
    expect(metrics.entries()[1]?.labels).to.include({ source_principal: LIAR });
  });

  it('open() counts names from the configuration as nobody’s claim', () => {
    for (let i = 0; i < 20; i++) open({}, workload('', '', { workloadName: `w${i}` }));
    expect(series()).to.have.length(20);
    open({ workloadName: 'one' });
    expect(series().at(-1)).to.equal('one -');
  });

  it('restore() keeps names that are claimed, and the bound', () => {
    const states = ['one', 'two'].map((workloadName) => {
      metrics = new TrafficMetrics(SERIES_MAX);
      return structuredClone(open({ workloadName }).export());
    });
    const successor = new TrafficMetrics(SERIES_MAX);
    for (const state of states) Accounting.restore(telemetryOf(successor), state).finish();
    expect(series(successor)).to.deep.equal(['one -', 'unknown -']);
  });

  it('count() says that its series is in use, so that it is kept', () => {
    let nowMs = 0;
    metrics = new TrafficMetrics(SERIES_MAX, () => nowMs);
    const accounting = open({});
    for (let hour = 0; hour < 5; hour++) {
      nowMs += 3_600_000;
      accounting.count(0, 0);
      metrics.takeChanges();
    }
    expect(series()).to.have.length(1);
    accounting.count(5, 0);
    expect(metrics.takeChanges().rows[0]?.[5]).to.equal(5);
    accounting.finish();
    metrics.takeChanges();
    nowMs += 3_600_000;
    metrics.takeChanges();
    expect(series()).to.deep.equal([]);
  });
});
