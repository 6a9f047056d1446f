import { expect } from 'chai';
import { describe, it } from 'mocha';

import { parseNodeId } from '#istiod/serve/clients.ts';

describe('parseNodeId()', () => {
  it('reads type, name and namespace', () => {
    const id = 'ztunnel~10.0.0.9~ztunnel-x.istio-system~istio-system.svc.cluster.local';
    expect(parseNodeId(id)).to.deep.equal({
      type: 'ztunnel',
      name: 'ztunnel-x.istio-system',
      namespace: 'istio-system',
    });
  });

  it('takes the namespace after the last dot: names of pods may have dots', () => {
    expect(parseNodeId('ztunnel~1.1.1.1~z.x.ns~d')?.namespace).to.equal('ns');
  });

  for (const id of [
    '',
    'ztunnel',
    'ztunnel~1.1.1.1~z.ns',
    'ztunnel~1.1.1.1~z.ns~d~e',
    'ztunnel~~z.ns~d',
    '~1.1.1.1~z.ns~d',
    'ztunnel~1.1.1.1~z~d',
    'ztunnel~1.1.1.1~z.~d',
    'ztunnel~1.1.1.1~.ns~d',
    `ztunnel~1.1.1.1~${'z'.repeat(1_024)}.ns~d`,
  ]) {
    it(`refuses ${JSON.stringify(id.slice(0, 60))}`, () => {
      expect(parseNodeId(id)).to.equal(undefined);
    });
  }
});
