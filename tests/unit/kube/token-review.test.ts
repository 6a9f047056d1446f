import { expect } from 'chai';
import { describe, it } from 'mocha';

import { KubeClient } from '#kube/client.ts';
import { readVerdict, reviewToken } from '#kube/token-review.ts';
import { ScriptedApiServer } from '#tests/support/scripted-api-server.ts';

const pod = {
  'authentication.kubernetes.io/pod-name': ['ztunnel-x'],
  'authentication.kubernetes.io/pod-uid': ['1234'],
  'authentication.kubernetes.io/node-name': ['near'],
};
const user = {
  username: 'system:serviceaccount:istio-system:ztunnel',
  uid: 'u',
  groups: ['system:serviceaccounts'],
  extra: pod,
};

describe('readVerdict()', () => {
  it('names the service account, its pod and its node', () => {
    const status = { authenticated: true, user, audiences: ['istio-ca'] };
    expect(readVerdict(status, ['istio-ca'])).to.deep.equal({
      kind: 'authenticated',
      user: {
        username: user.username,
        uid: 'u',
        groups: user.groups,
        serviceAccount: {
          namespace: 'istio-system',
          name: 'ztunnel',
          pod: { name: 'ztunnel-x', uid: '1234' },
          node: 'near',
        },
      },
    });
  });

  it('refuses a token that was not made for any of the audiences', () => {
    const status = { authenticated: true, user, audiences: ['other'] };
    expect(readVerdict(status, ['istio-ca'])).to.deep.equal({
      kind: 'refused',
      reason: 'The token is not for "istio-ca"',
    });
  });

  it('refuses when the server does not say for whom the token was made', () => {
    expect(readVerdict({ authenticated: true, user }, ['istio-ca']).kind).to.equal('refused');
  });

  it('takes a user who is no service account for a user', () => {
    for (const username of [
      'admin',
      'system:node:near',
      'system:serviceaccount:a',
      'system:serviceaccount:a:b:c',
    ]) {
      const verdict = readVerdict({ authenticated: true, user: { username } }, []);
      expect(verdict.kind === 'authenticated' && verdict.user.serviceAccount).to.equal(undefined);
    }
  });

  const refusals: readonly (readonly [string, Parameters<typeof readVerdict>[0]])[] = [
    ['there is no status', undefined],
    ['the status is empty', {}],
    ['the server says so', { authenticated: false, error: 'expired' }],
    ['no user is named', { authenticated: true, user: {} }],
  ];
  for (const [when, status] of refusals) {
    it(`refuses when ${when}`, () => {
      expect(readVerdict(status, []).kind).to.equal('refused');
    });
  }
});

describe('reviewToken()', () => {
  it('asks the API server', async () => {
    await using server = await ScriptedApiServer.start();
    const client = new KubeClient(server.credentials);
    const verdict = reviewToken(client, 'secret', ['istio-ca']);
    const review = await server.next();
    expect(review.path).to.equal('/apis/authentication.k8s.io/v1/tokenreviews');
    expect(review.body).to.deep.include({ spec: { token: 'secret', audiences: ['istio-ca'] } });
    review.answer(201, { status: { authenticated: true, user, audiences: ['istio-ca'] } });
    expect((await verdict).kind).to.equal('authenticated');
    client.close();
  });
});
