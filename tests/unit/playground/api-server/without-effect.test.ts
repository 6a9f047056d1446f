import { expect } from 'chai';
import { describe, it } from 'mocha';

import { asTester, builtin, shopStore } from '#tests/support/api-store.ts';

function warningsOf(plural: string, object: Record<string, unknown>): readonly string[] {
  const store = shopStore();
  const warnings: string[] = [];
  const options = { ...asTester, warn: (text: string) => void warnings.push(text) };
  store.create(builtin(store, plural), 'shop', { metadata: { name: 'a' }, ...object }, options);
  return warnings;
}

describe('remarkOnNew()', () => {
  it('says of kinds that nobody acts on what does not happen', () => {
    expect(warningsOf('networkpolicies', { spec: { podSelector: {} } })).to.deep.equal([
      'the playground keeps this NetworkPolicy, but it is not enforced; an AuthorizationPolicy of the mesh is',
    ]);
    expect(warningsOf('resourcequotas', { spec: { hard: { pods: '3' } } })).to.deep.equal([
      'the playground keeps this ResourceQuota, but it is not enforced',
    ]);
  });

  it('says nothing of others', () => {
    expect(warningsOf('configmaps', {})).to.deep.equal([]);
  });
});
