import { expect } from 'chai';
import { describe, it } from 'mocha';

import { hostPath } from '#cni/agent/host-path.ts';

describe('hostPath()', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['/host', '/var/run/netns/cni-1', '/host/var/run/netns/cni-1'],
    ['/host', '/run/netns/cni-1', '/host/var/run/netns/cni-1'],
    ['/host', '/proc/17/ns/net', '/host/proc/17/ns/net'],
    ['/', '/var/run/netns/cni-1', '/var/run/netns/cni-1'],
  ];
  for (const [root, path, expected] of cases) {
    it(`finds ${path} below ${root}`, () => {
      expect(hostPath(root, path)).to.equal(expected);
    });
  }

  it('does not leave the root', () => {
    expect(hostPath('/host', '/../etc/passwd')).to.equal('/host/etc/passwd');
  });
});
