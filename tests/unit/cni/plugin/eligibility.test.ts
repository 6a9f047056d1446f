import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  DEFAULT_SELECTORS,
  isEligible,
  DATAPLANE_MODE_LABEL as MODE,
  readSelectors,
} from '#cni/plugin/eligibility.ts';

const ambient = { [MODE]: 'ambient' };

const pod = (labels: Record<string, string>, more: object = {}) => ({
  metadata: { labels },
  ...more,
});

describe('isEligible()', () => {
  const table: readonly (readonly [string, boolean, boolean])[] = [
    ['a labelled namespace', isEligible(pod({}), ambient), true],
    ['a labelled pod', isEligible(pod(ambient), {}), true],
    ['both', isEligible(pod(ambient), ambient), true],
    ['neither', isEligible(pod({}), {}), false],
    ['a pod without any labels', isEligible({ metadata: {} }, ambient), true],
    ['a pod that opts out', isEligible(pod({ [MODE]: 'none' }), ambient), false],
    ['a namespace that opts out', isEligible(pod({}), { [MODE]: 'none' }), false],
    ['another value on the pod', isEligible(pod({ [MODE]: 'x' }), {}), false],
    [
      "the host's network",
      isEligible(pod(ambient, { spec: { hostNetwork: true } }), ambient),
      false,
    ],
    [
      'a sidecar',
      isEligible({ metadata: { annotations: { 'sidecar.istio.io/status': '' } } }, ambient),
      false,
    ],
  ];
  for (const [what, found, expected] of table) {
    it(`is ${expected} with ${what}`, () => {
      expect(found).to.equal(expected);
    });
  }

  it('takes the selectors that it is given', () => {
    const selectors = readSelectors([{ namespaceSelector: { matchLabels: { mesh: 'on' } } }]);
    expect(isEligible(pod({}), { mesh: 'on' }, selectors)).to.equal(true);
    expect(isEligible(pod(ambient), ambient, selectors)).to.equal(false);
  });
});

describe('readSelectors()', () => {
  it('has the default ones when there are none', () => {
    for (const none of [undefined, null, []]) {
      expect(readSelectors(none)).to.equal(DEFAULT_SELECTORS);
    }
  });

  it('names what is wrong', () => {
    expect(() => readSelectors('x')).to.throw('want a list');
    expect(() => readSelectors([{}, 7])).to.throw('selectors[1]');
    expect(() => readSelectors([{ podselector: {} }])).to.throw('"podselector"');
  });
});
