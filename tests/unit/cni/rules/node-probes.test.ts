import { expect } from 'chai';
import { describe, it } from 'mocha';

import { renderNodeProbes, renderNodeProbesRemoval } from '#cni/rules/node-probes.ts';
import { ip } from '#tests/support/mesh.ts';

const sources = { ipv4: '169.254.7.127', ipv6: 'fd16::1' };

describe('renderNodeProbes()', () => {
  it('is one batch that replaces the table, with an owner for each address', () => {
    const pods = new Map([
      ['u2', [ip('10.1.1.2'), ip('fd00::2')]],
      ['u1', [ip('10.1.1.1')]],
    ]);
    expect(renderNodeProbes(pods, sources)).to.equal(`table inet ambit-node
delete table inet ambit-node
table inet ambit-node {
  set istio-inpod-probes-v4 {
    type ipv4_addr
    elements = { 10.1.1.1 comment "u1", 10.1.1.2 comment "u2" }
  }
  set istio-inpod-probes-v6 {
    type ipv6_addr
    elements = { fd00::2 comment "u2" }
  }
  chain probes {
    type nat hook postrouting priority 95; policy accept;
    meta l4proto tcp meta skuid >= 0 ip daddr @istio-inpod-probes-v4 counter snat ip to 169.254.7.127 comment "health probes of the node"
    meta l4proto tcp meta skuid >= 0 ip6 daddr @istio-inpod-probes-v6 counter snat ip6 to fd16::1 comment "health probes of the node"
  }
}
`);
  });

  it('has sets without elements when there are no pods', () => {
    expect(renderNodeProbes(new Map(), sources)).to.not.contain('elements');
  });

  it('gives an address that is used again to the pod that came last', () => {
    const pods = new Map([
      ['old', [ip('10.1.1.1')]],
      ['new', [ip('10.1.1.1')]],
    ]);
    expect(renderNodeProbes(pods, sources)).to.contain('{ 10.1.1.1 comment "new" }');
  });

  it('lets no uid break out of its comment', () => {
    expect(renderNodeProbes(new Map([['a" }\n', [ip('10.1.1.1')]]]), sources)).to.contain(
      'comment "a" }',
    );
  });
});

describe('renderNodeProbesRemoval()', () => {
  it('is no error when there is nothing', () => {
    expect(renderNodeProbesRemoval()).to.equal(
      'table inet ambit-node\ndelete table inet ambit-node\n',
    );
  });
});
