import { expect } from 'chai';
import { describe, it } from 'mocha';

import { shouldUninstall } from '#cni/agent/install/farewell.ts';
import { KubeError } from '#kube/errors.ts';
import type { DaemonSet } from '#kube/resources.ts';

function daemonSet(deletionTimestamp?: string): DaemonSet {
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: 'istio-cni-node', ...(deletionTimestamp && { deletionTimestamp }) },
    spec: { selector: {}, template: { spec: { containers: [] } } },
  };
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
    expect(shouldUninstall({ kind: 'there', daemonSet: daemonSet() }, false)).to.equal(false);
  });

  it('is true when the DaemonSet goes, has gone, or its account has', () => {
    const goes = { kind: 'there', daemonSet: daemonSet('2026-01-01T00:00:00Z') } as const;
    for (const own of [goes, refused(404), refused(401)]) {
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
