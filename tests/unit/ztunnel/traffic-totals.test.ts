import { expect } from 'chai';
import { describe, it } from 'mocha';

import { TrafficMetrics } from '#dataplane/telemetry/metrics.ts';
import { TrafficTotals } from '#ztunnel/traffic-totals.ts';
import type { Collected } from '#ztunnel/worker/protocol.ts';

function collected(connections: number): Collected {
  const socketsOpen = { source: connections, destination: 1 };
  const counts = new TrafficMetrics().takeChanges();
  return { counts, socketsOpen, connections, tunnelsSending: 1, faults: 1 };
}

const nobody = { count: 0, ask: () => Promise.reject(new Error('nobody is asked')) };

describe('TrafficTotals', () => {
  it('adds up what the workers have open, as each has told last', () => {
    const totals = new TrafficTotals(nobody);
    totals.add(0, collected(7));
    totals.add(1, collected(2));
    totals.add(0, collected(5));
    expect(totals.connections).to.equal(7);
    expect(totals.socketsOpen).to.deep.equal({ source: 7, destination: 2 });
    expect(totals.tunnelsSending).to.equal(2);
    expect(totals.faults).to.equal(2);
  });

  it('counts nothing as open in a worker that has died, until its replacement tells', () => {
    const totals = new TrafficTotals(nobody);
    totals.add(0, collected(7));
    totals.add(1, collected(2));
    totals.forgetOpen(0);
    expect(totals.connections).to.equal(2);
    expect(totals.socketsOpen).to.deep.equal({ source: 2, destination: 1 });
    expect(totals.tunnelsSending).to.equal(1);
    // What has happened has happened.
    expect(totals.faults).to.equal(2);
    totals.add(0, collected(3));
    expect(totals.connections).to.equal(5);
  });
});
