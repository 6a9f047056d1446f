import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { KubeClient } from '#kube/client.ts';
import { LeaderElection, nextLeaseMove } from '#kube/lease.ts';
import type { Lease, LeaseSpec } from '#kube/resources.ts';
import { ManualClock } from '#tests/support/manual-clock.ts';
import { ScriptedApiServer } from '#tests/support/scripted-api-server.ts';

const NOW = Date.UTC(2026, 0, 1);
const theirs: LeaseSpec = {
  holderIdentity: 'other',
  leaseDurationSeconds: 15,
  acquireTime: '2025-12-31T23:00:00.000000Z',
  renewTime: '2025-12-31T23:59:59.000000Z',
  leaseTransitions: 3,
};

describe('nextLeaseMove()', () => {
  it('takes a lease that does not exist', () => {
    expect(nextLeaseMove(undefined, 'me', 15_000, NOW)).to.deep.equal({
      kind: 'write',
      spec: {
        holderIdentity: 'me',
        leaseDurationSeconds: 15,
        acquireTime: '2026-01-01T00:00:00.000000Z',
        renewTime: '2026-01-01T00:00:00.000000Z',
        leaseTransitions: 0,
      },
    });
  });

  it("waits while another's has not run out by our own clock, whatever its times say", () => {
    const seen = { spec: { ...theirs, renewTime: '2001-01-01T00:00:00.000000Z' }, seenMs: NOW };
    expect(nextLeaseMove(seen, 'me', 15_000, NOW + 14_999)).to.deep.equal({
      kind: 'wait',
      holder: 'other',
    });
  });

  it('takes over from one who has not renewed for the time that the lease names', () => {
    const move = nextLeaseMove({ spec: theirs, seenMs: NOW }, 'me', 15_000, NOW + 15_000);
    expect(move.kind === 'write' && move.spec).to.include({
      holderIdentity: 'me',
      acquireTime: '2026-01-01T00:00:15.000000Z',
      leaseTransitions: 4,
    });
  });

  it('takes a lease at once that was given up', () => {
    const seen = { spec: { ...theirs, holderIdentity: '' }, seenMs: NOW };
    expect(nextLeaseMove(seen, 'me', 15_000, NOW).kind).to.equal('write');
  });

  it('renews its own and keeps the time at which it was acquired', () => {
    const seen = { spec: { ...theirs, holderIdentity: 'me' }, seenMs: NOW };
    const move = nextLeaseMove(seen, 'me', 15_000, NOW);
    expect(move.kind === 'write' && move.spec).to.include({
      acquireTime: theirs.acquireTime,
      renewTime: '2026-01-01T00:00:00.000000Z',
      leaseTransitions: 3,
    });
  });
});

describe('LeaderElection', () => {
  let server: ScriptedApiServer;
  let client: KubeClient;
  let clock: ManualClock;
  let election: LeaderElection;
  let terms: AbortSignal[];

  beforeEach(async () => {
    server = await ScriptedApiServer.start();
    client = new KubeClient(server.credentials);
    clock = new ManualClock(NOW);
    terms = [];
    election = new LeaderElection(client, {
      namespace: 'mesh',
      name: 'leader',
      identity: 'me',
      clock,
      lead: (signal) => terms.push(signal),
    });
  });

  afterEach(async () => {
    // Closed first, so that giving the lease up fails at once.
    await server[Symbol.asyncDispose]();
    await election.stop();
    client.close();
  });

  /** Answers the read, takes the write and answers it. */
  async function lead(): Promise<void> {
    (await server.next()).refuse(404, 'NotFound');
    const write = await server.next();
    expect(write.method).to.equal('POST');
    write.answer(201, lease('1', (write.body as Lease).spec!));
    while (!election.isLeader) await new Promise(setImmediate);
  }

  it('leads once it has the lease', async () => {
    election.start();
    await lead();
    expect(terms).to.have.length(1);
    expect(terms[0]?.aborted).to.equal(false);
  });

  it('does not lead when another was quicker', async () => {
    election.start();
    (await server.next()).refuse(404, 'NotFound');
    (await server.next()).refuse(409, 'AlreadyExists');
    while (clock.pending === 0) await new Promise(setImmediate);
    expect(election.isLeader).to.equal(false);
    expect(terms).to.deep.equal([]);
  });

  it('stops leading before anybody else may start, when it cannot renew', async () => {
    election.start();
    await lead();
    let askedMs = clock.now();
    while (!terms[0]!.aborted) {
      await clock.advance(500);
      if (server.unanswered > 0) (await server.next()).refuse(500, 'InternalError');
      await new Promise(setImmediate);
      askedMs = clock.now();
    }
    expect(askedMs - NOW).to.equal(10_000);
    expect(election.isLeader).to.equal(false);
  });

  it('stops leading when the lease has another holder', async () => {
    election.start();
    await lead();
    await clock.advance(2_000);
    (await server.next()).answer(200, lease('9', theirs));
    while (!terms[0]!.aborted) await new Promise(setImmediate);
    expect(election.isLeader).to.equal(false);
  });

  it('gives the lease up when it is stopped', async () => {
    election.start();
    await lead();
    const stopped = election.stop();
    const write = await server.next();
    expect(terms[0]?.aborted).to.equal(true);
    expect((write.body as Lease).spec?.holderIdentity).to.equal('');
    expect((write.body as Lease).metadata.resourceVersion).to.equal('1');
    write.answer(200, write.body);
    await stopped;
  });
});

function lease(resourceVersion: string, spec: LeaseSpec): Lease {
  return {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: 'leader', namespace: 'mesh', resourceVersion },
    spec,
  };
}
