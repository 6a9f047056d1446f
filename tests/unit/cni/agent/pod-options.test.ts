import { expect } from 'chai';
import { describe, it } from 'mocha';

import { readPodOptions } from '#cni/agent/pod-options.ts';

const BYPASS = 'ambient.istio.io/bypass-inbound-capture';
const DNS = 'ambient.istio.io/dns-capture';

describe('readPodOptions()', () => {
  it('says nothing about what is not annotated', () => {
    const none = { bypassInbound: undefined, dns: undefined, problems: [] };
    expect(readPodOptions()).to.deep.equal(none);
    expect(readPodOptions({ other: 'true' })).to.deep.equal(none);
  });

  for (const text of ['1', 't', 'T', 'TRUE', 'true', 'True']) {
    it(`takes ${text} for true`, () => {
      expect(readPodOptions({ [BYPASS]: text }).bypassInbound).to.equal(true);
      expect(readPodOptions({ [DNS]: text }).dns).to.equal(true);
    });
  }

  for (const text of ['0', 'f', 'F', 'FALSE', 'false', 'False']) {
    it(`takes ${text} for false`, () => {
      expect(readPodOptions({ [DNS]: text }).dns).to.equal(false);
    });
  }

  for (const text of ['', 'yes', 'tRUE', ' true']) {
    it(`takes ${JSON.stringify(text)} for nothing, and says so`, () => {
      const { dns, problems } = readPodOptions({ [DNS]: text });
      expect(dns).to.equal(undefined);
      expect(problems).to.have.length(1);
      expect(problems[0]).to.contain(DNS);
    });
  }
});
