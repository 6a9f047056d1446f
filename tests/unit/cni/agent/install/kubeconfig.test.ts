import { expect } from 'chai';
import { describe, it } from 'mocha';

import { pluginKubeconfig } from '#cni/agent/install/kubeconfig.ts';
import { kubeconfigCredentials } from '#kube/config.ts';

describe('pluginKubeconfig()', () => {
  it('gives what any client reads, with the token as it is now', () => {
    let token = 'first';
    const given = { server: 'https://[fd00::1]:443', caPem: 'PEM', token: () => token };
    for (token of ['first', 'second']) {
      const read = kubeconfigCredentials(pluginKubeconfig(given));
      expect([read.server, read.caPem, read.token?.()]).to.deep.equal([given.server, 'PEM', token]);
    }
  });

  it('refuses to write one without a token', () => {
    expect(() => pluginKubeconfig({ server: 'https://a', caPem: 'PEM' })).to.throw('no token');
  });
});
