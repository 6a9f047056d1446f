import { expect } from 'chai';
import { describe, it } from 'mocha';

import { authorizationPolicyRecord, peerAuthenticationRecord } from '#istiod/inputs/policies.ts';
import type { AuthorizationPolicy, PeerAuthentication } from '#kube/resources.ts';

function object(kind: string, spec: unknown, annotations: Record<string, string> = {}) {
  const metadata = { name: 'rule', namespace: 'shop', annotations };
  return { apiVersion: 'security.istio.io/v1', kind, metadata, spec };
}
function authorization(spec: unknown, annotations?: Record<string, string>) {
  const policy = object('AuthorizationPolicy', spec, annotations);
  return authorizationPolicyRecord(policy as unknown as AuthorizationPolicy);
}
function mtls(spec: unknown) {
  return peerAuthenticationRecord(
    object('PeerAuthentication', spec) as unknown as PeerAuthentication,
  );
}

describe('authorizationPolicyRecord()', () => {
  it('keeps whom it is for, and its rules as they are written', () => {
    const rules = [{ from: [{ source: { namespaces: ['x'] } }] }];
    const selector = { matchLabels: { app: 'till' } };
    expect(authorization({ action: 'DENY', selector, rules })).to.deep.include({
      selector: { app: 'till' },
      targeted: false,
      dryRun: false,
      action: 'DENY',
      rules,
    });
  });

  it('knows a policy for waypoints, one that is only tried, and an empty one', () => {
    expect(authorization({ targetRefs: [{ name: 'x' }] }).targeted).to.equal(true);
    expect(authorization({ targetRef: { name: 'x' } }).targeted).to.equal(true);
    expect(
      authorization({
        targetRef: { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'way' },
        targetRefs: [
          { kind: 'Service', name: 'shelf' },
          { kind: 'Service', name: 'shelf', namespace: 'elsewhere' },
        ],
      }).targets,
    ).to.deep.equal([
      { group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'way' },
      { group: '', kind: 'Service', name: 'shelf' },
      { group: '', kind: 'Service', name: 'shelf', namespace: 'elsewhere' },
    ]);
    expect(authorization({}, { 'istio.io/dry-run': 'true' }).dryRun).to.equal(true);
    expect(authorization(undefined)).to.deep.include({ selector: undefined, targeted: false });
    expect(authorization({ selector: {} }).selector).to.equal(undefined);
  });
});

describe('peerAuthenticationRecord()', () => {
  it('keeps the mode, and that of single ports', () => {
    const record = mtls({
      selector: { matchLabels: { app: 'till' } },
      mtls: { mode: 'STRICT' },
      portLevelMtls: {
        '8080': { mode: 'PERMISSIVE' },
        '9090': {},
        nonsense: { mode: 'DISABLE' },
        '0': { mode: 'DISABLE' },
        '65536': { mode: 'DISABLE' },
      },
    });
    expect(record).to.deep.include({ selector: { app: 'till' }, mode: 'STRICT' });
    expect([...record.ports]).to.deep.equal([
      [8080, 'PERMISSIVE'],
      [9090, 'UNSET'],
    ]);
  });

  it('says nothing when it says nothing, and the strictest when it can not be read', () => {
    expect(mtls({}).mode).to.equal('UNSET');
    expect(mtls(undefined).mode).to.equal('UNSET');
    expect(mtls({ mtls: { mode: 'STRCIT' } }).mode).to.equal('STRICT');
  });
});
