import { expect } from 'chai';
import { describe, it } from 'mocha';

import { Audit } from '#cni/agent/audit.ts';
import type { AuditResult } from '#cni/agent/enrolment.ts';
import { logLines } from '#tests/support/log-lines.ts';
import { ManualClock } from '#tests/support/manual-clock.ts';

const INTERVAL_MS = 60_000;

describe('Audit', () => {
  const clock = new ManualClock();
  const done: string[] = [];
  const results = new Map<string, AuditResult>();
  let node: boolean | undefined = true;
  let fails = false;

  const audit = new Audit({
    enrolment: {
      get uids() {
        return [...results.keys()];
      },
      audit: async (uid) => {
        done.push(`look ${uid}`);
        return results.get(uid) ?? 'not-now';
      },
    },
    probes: {
      isIntact: async () => node,
      load: async () => {
        if (fails) throw new Error('nft is not there');
        done.push('load');
      },
    },
    clock,
    intervalMs: INTERVAL_MS,
    log: logLines().log,
    onLost: (uid) => done.push(`lost ${uid}`),
    onRepaired: (what) => done.push(`repaired ${what}`),
  });

  function heard(): readonly string[] {
    return done.splice(0);
  }

  it('looks at every pod and the node once in each interval', async () => {
    results.set('u1', 'intact').set('u2', 'repaired').set('u3', 'lost');
    audit.start();
    await clock.advance(INTERVAL_MS - 1);
    expect(heard()).to.deep.equal([]);
    await clock.advance(1);
    expect(heard()).to.deep.equal(['look u1']);
    await clock.advance(INTERVAL_MS - 1);
    expect(heard()).to.deep.equal(['look u2', 'repaired pod', 'look u3', 'lost u3']);
  });

  it('repairs the node, and does nothing when it cannot be told', async () => {
    results.clear();
    node = false;
    await clock.advance(INTERVAL_MS);
    expect(heard()).to.include.members(['load', 'repaired node']);
    node = undefined;
    await clock.advance(2 * INTERVAL_MS);
    expect(heard()).to.deep.equal([]);
  });

  it('goes on after a round that broke off', async () => {
    [node, fails] = [false, true];
    await clock.advance(INTERVAL_MS);
    fails = false;
    await clock.advance(2 * INTERVAL_MS);
    expect(heard()).to.include('repaired node');
  });

  it('ends', async () => {
    audit.stop();
    await clock.advance(5 * INTERVAL_MS);
    expect([heard(), clock.pending]).to.deep.equal([[], 0]);
  });
});
