import { expect } from 'chai';
import { describe, it } from 'mocha';

import { type FarewellFacts, farewellFor } from '#cni/agent/install/farewell.ts';
import { KubeError } from '#kube/errors.ts';
import type { DaemonSet, Namespace } from '#kube/resources.ts';

function daemonSet(deletionTimestamp?: string): DaemonSet {
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: 'istio-cni-node', ...(deletionTimestamp && { deletionTimestamp }) },
    spec: { selector: {}, template: { spec: { containers: [] } } },
  };
}

function namespace(deletionTimestamp?: string): Namespace {
  const metadata = { name: 'istio-system', ...(deletionTimestamp && { deletionTimestamp }) };
  return { apiVersion: 'v1', kind: 'Namespace', metadata };
}

function refused(code: number): { kind: 'failed'; error: unknown } {
  const status = {
    kind: 'Status',
    apiVersion: 'v1',
    status: 'Failure',
    reason: '',
    message: '',
  } as const;
  return { kind: 'failed', error: new KubeError({ ...status, code }) };
}

describe('farewellFor()', () => {
  const facts = { sawItGo: false, ownsConfig: false, alwaysClean: false };
  const follows: FarewellFacts['own'] = {
    kind: 'there',
    daemonSet: daemonSet(),
    namespace: namespace(),
  };
  const noAnswer: FarewellFacts['own'] = { kind: 'failed', error: new Error('no answer') };

  it('stays while another agent follows', () => {
    expect(farewellFor({ ...facts, own: follows })).to.equal('stays');
    // The API server's word counts: a DaemonSet that was replaced has been seen to go, too.
    expect(farewellFor({ ...facts, own: follows, sawItGo: true })).to.equal('stays');
  });

  it('uninstalls when the DaemonSet or its namespace goes, or has gone', () => {
    const since = '2026-01-01T00:00:00Z';
    const kind = 'there';
    const goes = { kind, daemonSet: daemonSet(since), namespace: namespace() } as const;
    const taken = { kind, daemonSet: daemonSet(), namespace: namespace(since) } as const;
    for (const own of [goes, taken, refused(404)]) {
      for (const ownsConfig of [true, false]) {
        expect(farewellFor({ ...facts, own, ownsConfig })).to.equal('uninstalls');
      }
    }
  });

  it('uninstalls when it was seen to go and nobody answers any more', () => {
    for (const own of [refused(403), refused(401), refused(500), noAnswer]) {
      expect(farewellFor({ ...facts, own, sawItGo: true })).to.equal('uninstalls');
    }
  });

  it('never has pods leave when it cannot be known, and keeps only a configuration of its own', () => {
    for (const own of [refused(403), refused(500), noAnswer]) {
      expect(farewellFor({ ...facts, own, ownsConfig: true })).to.equal('stays');
      expect(farewellFor({ ...facts, own })).to.equal('unplugs');
    }
  });

  it('unplugs when its account has gone, or when it was told to', () => {
    expect(farewellFor({ ...facts, own: refused(401), ownsConfig: true })).to.equal('unplugs');
    for (const own of [follows, noAnswer]) {
      const told = { ...facts, own, ownsConfig: true, alwaysClean: true };
      expect(farewellFor(told)).to.equal('unplugs');
    }
  });
});
