import { expect } from 'chai';
import { describe, it } from 'mocha';

import { authorizeSigning, type Caller, type SigningView } from '#istiod/ca/authorize.ts';
import type { PodRecord } from '#istiod/model/pod.ts';
import { podRecord } from '#tests/support/control-plane.ts';

const TUNNEL = podRecord('ztunnel-a', {
  namespace: 'istio-system',
  serviceAccount: 'ztunnel',
  node: 'node-a',
});
const TILL = podRecord('till', { serviceAccount: 'cashier', node: 'node-a' });
const CASHIER = 'spiffe://cluster.local/ns/shop/sa/cashier';

const proxy: Caller = {
  namespace: 'istio-system',
  serviceAccount: 'ztunnel',
  pod: { name: 'ztunnel-a', uid: TUNNEL.uid },
};

function viewOf(...pods: readonly PodRecord[]): SigningView {
  return {
    trustDomain: 'cluster.local',
    trustedNodeAccounts: new Set(['istio-system/ztunnel']),
    pod: (key) => pods.find(({ namespace, name }) => `${namespace}/${name}` === key),
    podsOf: (namespace, serviceAccount, node) =>
      pods.filter(
        (pod) =>
          pod.namespace === namespace && pod.serviceAccount === serviceAccount && pod.node === node,
      ),
  };
}

describe('authorizeSigning()', () => {
  it('lets a node proxy act for a pod of its own node', () => {
    expect(authorizeSigning(proxy, CASHIER, viewOf(TUNNEL, TILL))).to.deep.equal({
      kind: 'allowed',
      identity: CASHIER,
    });
  });

  it('gives everybody a certificate of its own identity', () => {
    const till: Caller = { namespace: 'shop', serviceAccount: 'cashier', pod: undefined };
    expect(authorizeSigning(till, undefined, viewOf())).to.deep.equal({
      kind: 'allowed',
      identity: CASHIER,
    });
  });

  const refusals: readonly (readonly [string, Caller, string, readonly PodRecord[], RegExp])[] = [
    [
      'an account that is no node proxy',
      { ...proxy, serviceAccount: 'other' },
      CASHIER,
      [TUNNEL, TILL],
      /^service account istio-system\/other may not act for others$/,
    ],
    [
      'the account of that name in another namespace',
      { ...proxy, namespace: 'shop', serviceAccount: 'ztunnel' },
      CASHIER,
      [TUNNEL, TILL],
      /^service account shop\/ztunnel may not act for others$/,
    ],
    [
      'a token that is bound to no pod',
      { ...proxy, pod: undefined },
      CASHIER,
      [TUNNEL, TILL],
      /^the token is not bound to a pod$/,
    ],
    [
      'a text that is no identity',
      proxy,
      'shop/cashier',
      [TUNNEL, TILL],
      /^"shop\/cashier" is no identity of this mesh$/,
    ],
    [
      'another trust domain',
      proxy,
      'spiffe://elsewhere/ns/shop/sa/cashier',
      [TUNNEL, TILL],
      /trust domain of .* is not cluster\.local$/,
    ],
    [
      'a pod whose account is another than that of the token',
      proxy,
      CASHIER,
      [{ ...TUNNEL, serviceAccount: 'other' }, TILL],
      /has another service account$/,
    ],
  ];
  for (const [what, caller, wanted, pods, reason] of refusals) {
    it(`refuses ${what}`, () => {
      const verdict = authorizeSigning(caller, wanted, viewOf(...pods));
      expect(verdict.kind).to.equal('refused');
      expect(verdict).to.have.property('reason').that.matches(reason);
    });
  }

  const unknown: readonly (readonly [string, readonly PodRecord[], RegExp])[] = [
    ['no pod of the identity is there', [TUNNEL], /^no pod of .* runs on node node-a$/],
    [
      'its pods run on other nodes',
      [TUNNEL, { ...TILL, node: 'node-b' }],
      /^no pod of .* runs on node node-a$/,
    ],
    [
      'its pods have finished',
      [TUNNEL, { ...TILL, phase: 'Succeeded' }],
      /^no pod of .* runs on node node-a$/,
    ],
    ["the caller's pod is not there", [TILL], /^the caller's pod .* is not known$/],
    [
      "the caller's pod has been replaced",
      [{ ...TUNNEL, uid: 'another' }, TILL],
      /is another than that of its token$/,
    ],
    ["the caller's pod is on no node", [{ ...TUNNEL, node: '' }, TILL], /is on no node$/],
  ];
  for (const [what, pods, reason] of unknown) {
    it(`says that it does not know yet when ${what}`, () => {
      const verdict = authorizeSigning(proxy, CASHIER, viewOf(...pods));
      expect(verdict.kind).to.equal('unknown-pod');
      expect(verdict).to.have.property('reason').that.matches(reason);
    });
  }
});
