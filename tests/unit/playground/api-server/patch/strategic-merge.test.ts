import { expect } from 'chai';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';

import { strategicMerge } from '#playground/api-server/patch/strategic-merge.ts';
import { builtinSchema } from '#playground/api-server/schema/builtin.ts';

const pod = builtinSchema('', 'v1', 'Pod');
const deployment = builtinSchema('apps', 'v1', 'Deployment');

function patched(original: object, patch: object, schema = pod): unknown {
  const result = strategicMerge({ ...original }, { ...patch }, schema);
  return result.kind === 'patched' ? result.value : result.message;
}

const containers = (...list: object[]): object => ({ spec: { containers: list } });
const finalizers = (...list: string[]): object => ({ metadata: { finalizers: list } });

describe('strategicMerge()', () => {
  it('merges lists by their merge key and adds what is new', () => {
    expect(
      patched(
        containers({ name: 'a', image: '1' }, { name: 'b', image: '1' }),
        containers({ name: 'b', image: '2' }, { name: 'c', image: '3' }),
      ),
    ).to.deep.equal(
      containers({ name: 'a', image: '1' }, { name: 'b', image: '2' }, { name: 'c', image: '3' }),
    );
  });

  it('replaces lists without a merge key', () => {
    const before = { spec: { tolerations: [{ key: 'a' }] } };
    const after = { spec: { tolerations: [{ key: 'b' }] } };
    expect(patched(before, after)).to.deep.equal(after);
  });

  it('unites lists of words that are merged', () => {
    const both = finalizers('a', 'b');
    expect(patched(finalizers('a'), finalizers('b', 'a'))).to.deep.equal(both);
    const removal = { metadata: { '$deleteFromPrimitiveList/finalizers': ['a'] } };
    expect(patched(both, removal)).to.deep.equal(finalizers('b'));
  });

  it('deletes fields by null and items by $patch', () => {
    const patch = containers({ name: 'a', $patch: 'delete' });
    expect(patched(containers({ name: 'a' }, { name: 'b' }), patch)).to.deep.equal(
      containers({ name: 'b' }),
    );
    expect(
      patched({ spec: { hostname: 'x', nodeName: 'n' } }, { spec: { hostname: null } }),
    ).to.deep.equal({ spec: { nodeName: 'n' } });
  });

  it('replaces an object or a list that says so', () => {
    const strategy = { $patch: 'replace', type: 'Recreate' };
    const before = {
      spec: { strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } } },
    };
    expect(patched(before, { spec: { strategy } }, deployment)).to.deep.equal({
      spec: { strategy: { type: 'Recreate' } },
    });
    expect(
      patched(containers({ name: 'a' }), containers({ $patch: 'replace' }, { name: 'b' })),
    ).to.deep.equal(containers({ name: 'b' }));
  });

  it('keeps only the fields that $retainKeys names', () => {
    const before = {
      spec: { strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } } },
    };
    const patch = { spec: { strategy: { $retainKeys: ['type'], type: 'Recreate' } } };
    expect(patched(before, patch, deployment)).to.deep.equal({
      spec: { strategy: { type: 'Recreate' } },
    });
  });

  it('orders items as $setElementOrder says; those it does not know stay in between', () => {
    const before = containers({ name: 'a' }, { name: 'sidecar' }, { name: 'b' });
    const order = [{ name: 'c' }, { name: 'a' }, { name: 'b' }];
    const patch = {
      spec: { '$setElementOrder/containers': order, containers: [{ name: 'c', image: '1' }] },
    };
    expect(patched(before, patch)).to.deep.equal(
      containers({ name: 'c', image: '1' }, { name: 'a' }, { name: 'sidecar' }, { name: 'b' }),
    );
  });

  it('refuses an item without its merge key, and a directive that does not exist', () => {
    expect(patched(containers({ name: 'a' }), containers({ image: '1' }))).to.include(
      'does not contain declared merge key: name',
    );
    expect(patched({}, { $patch: 'forget' })).to.equal('Unknown patch type found: "forget"');
  });

  it('leaves its arguments as they were, and an object that has it all unchanged', () => {
    const item = fc.record({ name: fc.constantFrom('a', 'b', 'c'), image: fc.string() });
    const list = fc.uniqueArray(item, { selector: ({ name }) => name });
    fc.assert(
      fc.property(list, list, (before, change) => {
        const original = containers(...before);
        const text = JSON.stringify(original);
        const once = patched(original, containers(...change)) as object;
        expect(JSON.stringify(original)).to.equal(text);
        expect(patched(once, containers(...change))).to.deep.equal(once);
      }),
    );
  });
});
