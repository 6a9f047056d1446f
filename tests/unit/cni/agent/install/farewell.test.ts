import { expect } from 'chai';
import { describe, it } from 'mocha';

import { shouldUninstall } from '#cni/agent/install/farewell.ts';
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

describe('shouldUninstall()', () => {
  it('is false while another agent follows', () => {
    expect(
      shouldUninstall({ kind: 'there', daemonSet: daemonSet(), namespace: namespace() }, false),
    ).to.equal(false);
  });

  it('is true when the DaemonSet or its namespace goes, has gone, or its account has', () => {
    const since = '2026-01-01T00:00:00Z';
    const kind = 'there';
    const goes = { kind, daemonSet: daemonSet(since), namespace: namespace() } as const;
    const follows = { kind, daemonSet: daemonSet(), namespace: namespace(since) } as const;
    for (const own of [goes, follows, refused(404), refused(401)]) {
      expect(shouldUninstall(own, true)).to.equal(true);
    }
  });

  it('keeps only a configuration of its own when it cannot be known', () => {
    for (const own of [refused(500), { kind: 'failed', error: new Error('no answer') } as const]) {
      expect(shouldUninstall(own, true)).to.equal(false);
      expect(shouldUninstall(own, false)).to.equal(true);
    }
  });
});
