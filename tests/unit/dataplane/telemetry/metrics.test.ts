import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { TrafficLabelValues } from '#dataplane/telemetry/connection-labels.ts';
import { connectionLabels } from '#dataplane/telemetry/connection-labels.ts';
import type { Series, TrafficCounts } from '#dataplane/telemetry/metrics.ts';
import { TrafficMetrics } from '#dataplane/telemetry/metrics.ts';

function labelsTo(workloadName: string): TrafficLabelValues {
  return connectionLabels({
    reporter: 'source',
    source: {},
    destination: { configured: { workloadName } },
    mutualTls: true,
  });
}

function totals(metrics: TrafficMetrics): Record<string, Omit<Series, 'inUse'>> {
  const found: Record<string, Omit<Series, 'inUse'>> = {};
  for (const { labels, series } of metrics.entries()) {
    const { opened, closed, failed, sentBytes, receivedBytes } = series;
    const { destination_workload: name, response_flags: flag } = labels;
    found[`${name} ${flag}`] = { opened, closed, failed, sentBytes, receivedBytes };
  }
  return found;
}

/** What really happens between threads and processes. */
function sent(counts: TrafficCounts): TrafficCounts {
  return JSON.parse(JSON.stringify(counts)) as TrafficCounts;
}

describe('TrafficMetrics', () => {
  it('gives connections with the same labels the same series', () => {
    const metrics = new TrafficMetrics();
    expect(metrics.series(labelsTo('a'))).to.equal(metrics.series(labelsTo('a')));
    expect(metrics.series(labelsTo('a'))).not.to.equal(metrics.series(labelsTo('b')));
  });

  it('counts the ends of failed connections under their flag', () => {
    const metrics = new TrafficMetrics();
    metrics.series(labelsTo('a')).opened++;
    metrics.closeFailed(labelsTo('a'), 'DENY');
    metrics.closeFailed(labelsTo('a'), 'DENY');
    expect(totals(metrics)).to.deep.equal({
      'a -': { opened: 1, closed: 0, failed: 0, sentBytes: 0, receivedBytes: 0 },
      'a DENY': { opened: 0, closed: 2, failed: 2, sentBytes: 0, receivedBytes: 0 },
    });
  });

  it('continues the counters of a predecessor', () => {
    const old = new TrafficMetrics();
    Object.assign(old.series(labelsTo('a')), { opened: 5, closed: 2, sentBytes: 1_000 });
    const successor = new TrafficMetrics();
    Object.assign(successor.series(labelsTo('a')), { opened: 1, receivedBytes: 7 });
    expect(successor.absorb(sent(old.export()))).to.equal(0);
    expect(totals(successor)).to.deep.equal({
      'a -': { opened: 6, closed: 2, failed: 0, sentBytes: 1_000, receivedBytes: 7 },
    });
  });

  it('takeChanges() gives each count once, so that the receiver may just add', () => {
    const worker = new TrafficMetrics();
    const control = new TrafficMetrics();
    const series = worker.series(labelsTo('a'));
    worker.series(labelsTo('quiet'));
    for (let i = 0; i < 3; i++) {
      series.opened += 2;
      series.sentBytes += 100;
      control.absorb(sent(worker.takeChanges()));
    }
    expect(worker.takeChanges().rows).to.deep.equal([]);
    expect(totals(control)).to.deep.equal({
      'a -': { opened: 6, closed: 0, failed: 0, sentBytes: 300, receivedBytes: 0 },
    });
  });

  it('is bounded: further labels share coarse series, and no count is lost', () => {
    const metrics = new TrafficMetrics(3);
    for (let i = 0; i < 10; i++) metrics.series(labelsTo(`w${i}`)).opened++;
    expect(metrics.entries()).to.have.length(4);
    expect(metrics.overflowed).to.equal(7);
    expect(totals(metrics)['unknown -']?.opened).to.equal(7);
    metrics.series(labelsTo('w0')).opened++;
    expect(totals(metrics)['w0 -']?.opened).to.equal(2);
  });

  it('adds coarse counts of others to its own coarse ones', () => {
    const worker = new TrafficMetrics(0);
    worker.series(labelsTo('a')).opened++;
    const control = new TrafficMetrics(1);
    control.absorb(sent(worker.takeChanges()));
    control.series(labelsTo('b')).opened++;
    expect(control.overflowed).to.equal(2);
    expect(worker.takeChanges().overflowed).to.equal(0);
    expect(control.entries()).to.have.length(1);
    expect(totals(control)['unknown -']?.opened).to.equal(2);
  });

  it('entries() gives the same label object each time', () => {
    const metrics = new TrafficMetrics();
    metrics.closeFailed(labelsTo('a'), 'CONNECT');
    expect(metrics.entries()[0]?.labels).to.equal(metrics.entries()[0]?.labels);
    expect(metrics.entries()[0]).to.have.property('isFailure', true);
  });

  it('leaves out rows that are not ours and says how many', () => {
    const metrics = new TrafficMetrics();
    const key = labelsTo('a').join('\u0000');
    const rows = [
      ['too\u0000few', 1, 1, 1, 1, 1, 0, 0],
      [key, -1, 0, 0, 0, 0, 0, 0],
      [key, Number.NaN, 0, 0, 0, 0, 0, 0],
      [key, 1, 0, 0, 0, 0, 0, -1],
      [key, 1, 0, 0, 0, 0, 0, 0],
    ] as const;
    expect(metrics.absorb({ rows, overflowed: 0 })).to.equal(4);
    expect(totals(metrics)['a -']?.opened).to.equal(1);
  });
});
