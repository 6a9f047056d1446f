import { expect } from 'chai';
import { beforeEach, describe, it } from 'mocha';

import {
  connectionLabels,
  type TrafficLabelValues,
} from '#dataplane/telemetry/connection-labels.ts';
import {
  SERIES_KEPT_MS,
  type TrafficCounts,
  TrafficMetrics,
} from '#dataplane/telemetry/metrics.ts';

const SERIES_MAX = 400;
const CLAIMED_MAX = 100;
const CLAIMED_MAX_OF_PEER = 10;
const MINUTE = 60_000;

const labelsOf = (source: string): TrafficLabelValues =>
  connectionLabels({
    reporter: 'destination',
    source: { configured: { workloadName: source } },
    destination: { configured: { workloadName: 'shop' } },
    mutualTls: true,
  });

const claimOf = (peer: string, name: string): TrafficLabelValues =>
  connectionLabels({
    reporter: 'destination',
    source: { claimed: { workloadName: name, zone: `zone-of-${name}` }, identity: peer },
    destination: { configured: { workloadName: 'shop' } },
    mutualTls: true,
  });

/** What really happens between threads and processes. */
const sent = (counts: TrafficCounts): TrafficCounts =>
  JSON.parse(JSON.stringify(counts)) as TrafficCounts;

const sourcesOf = (metrics: TrafficMetrics): readonly (string | undefined)[] =>
  metrics.entries().map(({ labels }) => labels['source_workload']);

/** As a connection does it; false: it has to do without the names. */
function claim(metrics: TrafficMetrics, peer: string, name: string): boolean {
  const labels = claimOf(peer, name);
  if (!metrics.hasRoomFor(labels)) return false;
  metrics.series(labels, true).opened++;
  return true;
}

/** How many of so many claims have room. */
function claimMany(metrics: TrafficMetrics, peer: string, count: number): number {
  const admitted = Array.from({ length: count }, (_, i) => claim(metrics, peer, `w-${i}`));
  return admitted.filter(Boolean).length;
}

describe('TrafficMetrics', () => {
  let nowMs: number;
  let worker: TrafficMetrics;
  let control: TrafficMetrics;
  const make = (): TrafficMetrics => new TrafficMetrics(SERIES_MAX, () => nowMs);

  beforeEach(() => {
    nowMs = 1_000;
    [worker, control] = [make(), make()];
  });

  /** Time passes, with a scrape every minute; `live` counts in these series meanwhile. */
  function pass(ms: number, live: readonly { inUse: boolean }[] = []): void {
    for (const untilMs = nowMs + ms; nowMs < untilMs; ) {
      nowMs += Math.min(MINUTE, untilMs - nowMs);
      for (const series of live) series.inUse = true;
      control.absorb(sent(worker.takeChanges()));
      control.dropUnused();
    }
  }

  describe('that age', () => {
    it('drop a series to which nothing is added for an hour, on both threads', () => {
      worker.series(labelsOf('gone')).opened++;
      worker.closeFailed(labelsOf('gone'), 'CONNECT');
      pass(SERIES_KEPT_MS);
      expect([sourcesOf(worker), sourcesOf(control)]).to.deep.equal([
        ['gone', 'gone'],
        ['gone', 'gone'],
      ]);
      pass(MINUTE);
      expect([sourcesOf(worker), sourcesOf(control)]).to.deep.equal([[], []]);
    });

    it('keep a series for as long as an open connection counts in it, however little it says', () => {
      const live = worker.series(labelsOf('quiet'));
      live.opened++;
      worker.series(labelsOf('gone')).opened++;
      pass(5 * SERIES_KEPT_MS, [live]);
      live.receivedBytes += 7;
      pass(MINUTE, [live]);
      expect(sourcesOf(control)).to.deep.equal(['quiet']);
      expect(worker.series(labelsOf('quiet'))).to.equal(live);
      expect(control.entries()[0]?.series).to.include({ opened: 1, receivedBytes: 7 });
      pass(SERIES_KEPT_MS + MINUTE);
      expect([sourcesOf(worker), sourcesOf(control)]).to.deep.equal([[], []]);
    });

    it('count from zero what comes back', () => {
      worker.series(labelsOf('guest')).opened++;
      pass(SERIES_KEPT_MS + MINUTE);
      worker.series(labelsOf('guest')).opened++;
      pass(MINUTE);
      expect(control.entries()[0]?.series.opened).to.equal(1);
    });

    it('never drop what was not told yet', () => {
      worker.series(labelsOf('early')).opened++;
      nowMs += 2 * SERIES_KEPT_MS;
      control.absorb(sent(worker.takeChanges()));
      expect(control.entries()[0]?.series.opened).to.equal(1);
    });

    it('have room again for others', () => {
      for (let i = 0; i < 2 * SERIES_MAX; i++) worker.series(labelsOf(`old-${i}`)).opened++;
      expect(worker.overflowed).to.equal(SERIES_MAX);
      pass(SERIES_KEPT_MS + MINUTE);
      worker.series(labelsOf('new')).opened++;
      pass(MINUTE);
      expect(worker.overflowed).to.equal(SERIES_MAX);
      expect(sourcesOf(control)).to.deep.equal(['new']);
    });

    it('do not grow young in a hand-over', () => {
      const live = worker.series(labelsOf('live'));
      live.opened++;
      worker.series(labelsOf('gone')).opened++;
      pass(SERIES_KEPT_MS - MINUTE, [live]);
      const handed = sent(control.export());
      nowMs = 500;
      [worker, control] = [make(), make()];
      control.absorb(handed);
      const restored = worker.series(labelsOf('live'));
      pass(2 * MINUTE, [restored]);
      expect(sourcesOf(control)).to.deep.equal(['live']);
      pass(2 * SERIES_KEPT_MS, [restored]);
      expect(sourcesOf(control)).to.deep.equal(['live']);
      expect(control.entries()[0]?.series.opened).to.equal(1);
    });
  });

  describe('under names that peers claim', () => {
    it('are few for each peer, so that others find room', () => {
      expect(claimMany(worker, 'liar', 1_000)).to.equal(CLAIMED_MAX_OF_PEER);
      expect(claim(worker, 'honest', 'shop-front')).to.equal(true);
      // What is there stays.
      expect(claim(worker, 'liar', 'w-0')).to.equal(true);
    });

    it('are a quarter of all, so that configured ones find room', () => {
      let admitted = 0;
      for (let i = 0; i < 50; i++) admitted += claimMany(worker, `liar-${i}`, 50);
      expect(admitted).to.equal(CLAIMED_MAX);
      for (let i = 0; i < SERIES_MAX - CLAIMED_MAX; i++) worker.series(labelsOf(`w${i}`));
      expect(worker.overflowed).to.equal(0);
    });

    it('make room when they have aged', () => {
      claimMany(worker, 'gateway', 1_000);
      expect(claim(worker, 'gateway', 'new')).to.equal(false);
      pass(SERIES_KEPT_MS + MINUTE);
      expect(claim(worker, 'gateway', 'new')).to.equal(true);
    });

    it('keep their bounds where counts of several threads or a predecessor are added up', () => {
      for (let thread = 0; thread < 20; thread++) {
        const other = make();
        for (let i = 0; i < CLAIMED_MAX_OF_PEER; i++) claim(other, 'liar', `${thread}-${i}`);
        control.absorb(sent(other.takeChanges()));
      }
      const successor = make();
      successor.absorb(sent(control.export()));
      for (const metrics of [control, successor]) {
        const opened = new Map(
          metrics.entries().map(({ labels, series }) => [labels['source_workload'], series.opened]),
        );
        // One more for all that found no room; it still says who it was.
        expect(opened.size).to.equal(CLAIMED_MAX_OF_PEER + 1);
        expect(opened.get('unknown')).to.equal(20 * CLAIMED_MAX_OF_PEER - CLAIMED_MAX_OF_PEER);
        expect(metrics.hasRoomFor(claimOf('liar', 'more'))).to.equal(false);
        expect(metrics.entries().at(-1)?.labels).to.include({
          source_principal: 'liar',
          source_zone: 'unknown',
          destination_workload: 'shop',
        });
      }
    });
  });
});
