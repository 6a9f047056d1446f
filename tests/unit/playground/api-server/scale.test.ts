import { expect } from 'chai';
import { describe, it } from 'mocha';

import { patchFromScale, patchScale, scaleOf } from '#playground/api-server/scale.ts';

const paths = {
  specReplicasPath: '.spec.drawers.wanted',
  statusReplicasPath: '.status.drawers',
  labelSelectorPath: '.status.selector',
};
const till = {
  apiVersion: 'shop.example.com/v1',
  kind: 'Till',
  metadata: { name: 'big', namespace: 'shop', uid: 'u', resourceVersion: '7' },
  spec: { drawers: { wanted: 3 } },
  status: { drawers: 2, selector: 'a=b' },
};

const refusal = (body: object) => () => patchFromScale(paths, 'big', body);

describe('scaleOf()', () => {
  it('takes the numbers and the selector from where the paths say', () => {
    expect(scaleOf(paths, till)).to.deep.equal({
      apiVersion: 'autoscaling/v1',
      kind: 'Scale',
      metadata: till.metadata,
      spec: { replicas: 3 },
      status: { replicas: 2, selector: 'a=b' },
    });
  });

  it('writes the selector of a built-in kind as a text', () => {
    const selector = { matchLabels: { app: 'x' } };
    const object = { ...till, spec: { selector }, status: {} };
    expect(scaleOf(paths, object)['status']).to.deep.equal({ replicas: 0, selector: 'app=x' });
  });
});

describe('patchFromScale()', () => {
  it('changes only the replicas, of the version that the scale names', () => {
    const body = { metadata: { name: 'big', resourceVersion: '7' }, spec: { replicas: 5 } };
    expect(patchFromScale(paths, 'big', body)).to.deep.equal({
      metadata: { resourceVersion: '7' },
      spec: { drawers: { wanted: 5 } },
    });
  });

  it('refuses less than none, another name, another kind', () => {
    expect(refusal({ spec: { replicas: -1 } })).to.throw(
      'Scale.autoscaling "big" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0',
    );
    expect(refusal({ metadata: { name: 'small' } })).to.throw('does not match the name on the URL');
    expect(refusal({ kind: 'Till' })).to.throw('must be of type Scale');
  });
});

describe('patchScale()', () => {
  it('patches the scale, not the object', () => {
    const body = [{ op: 'replace', path: '/spec/replicas', value: 9 }];
    const patched = patchScale(scaleOf(paths, till), { type: 'json', body });
    expect(patched).to.deep.include({ spec: { replicas: 9 } });
  });
});
