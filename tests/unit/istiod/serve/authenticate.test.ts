import { expect } from 'chai';
import { describe, it } from 'mocha';

import type { CallContext } from '#common/grpc/server.ts';
import { authenticate, limitReviews } from '#istiod/serve/authenticate.ts';
import type { TokenVerdict } from '#kube/token-review.ts';

const TILL = {
  kind: 'authenticated',
  user: {
    username: 'system:serviceaccount:shop:till',
    uid: 'u',
    groups: ['system:serviceaccounts'],
    serviceAccount: { namespace: 'shop', name: 'till', pod: { name: 'till-1', uid: '7' } },
  },
} as const satisfies TokenVerdict;

function carrying(authorization: string | undefined): CallContext {
  return { peer: '', header: (name) => (name === 'authorization' ? authorization : undefined) };
}

describe('authenticate()', () => {
  it('has the token reviewed, and answers the account and its pod', async () => {
    const reviewed: string[] = [];
    const who = await authenticate(carrying('bearer a.b-c_d=='), async (token) => {
      reviewed.push(token);
      return TILL;
    });
    expect(reviewed).to.deep.equal(['a.b-c_d==']);
    expect(who).to.deep.equal({
      kind: 'caller',
      caller: { namespace: 'shop', serviceAccount: 'till', pod: { name: 'till-1', uid: '7' } },
    });
  });

  it('does not ask anybody about what is no bearer token', async () => {
    for (const header of [undefined, '', 'Bearer', 'Bearer ', 'Basic eDp5', 'Bearer a b']) {
      const who = await authenticate(carrying(header), () => Promise.reject(new Error('asked')));
      expect(who, header).to.deep.equal({ kind: 'refused', reason: 'no bearer token' });
    }
  });

  const refusals: readonly (readonly [string, TokenVerdict])[] = [
    ['a refused token', { kind: 'refused', reason: 'expired' }],
    [
      'a user',
      { kind: 'authenticated', user: { username: 'bob', uid: '', groups: ['system:masters'] } },
    ],
    [
      'an account that is not among the service accounts',
      { ...TILL, user: { ...TILL.user, groups: ['system:authenticated'] } },
    ],
  ];
  for (const [what, verdict] of refusals) {
    it(`refuses ${what}`, async () => {
      const who = await authenticate(carrying('Bearer x'), () => Promise.resolve(verdict));
      expect(who.kind).to.equal('refused');
    });
  }

  it('says so when nobody can be asked', async () => {
    const who = await authenticate(carrying('Bearer x'), () =>
      Promise.reject(new Error('no route')),
    );
    expect(who).to.deep.equal({
      kind: 'unavailable',
      reason: 'the token could not be reviewed: no route',
    });
  });
});

describe('limitReviews()', () => {
  it('asks about so many tokens at a time, and says of others that nobody can be asked', async () => {
    const asked: PromiseWithResolvers<TokenVerdict>[] = [];
    const review = limitReviews(() => {
      const answer = Promise.withResolvers<TokenVerdict>();
      asked.push(answer);
      return answer.promise;
    }, 2);
    const first = authenticate(carrying('Bearer a'), review);
    const second = authenticate(carrying('Bearer b'), review);
    expect(await authenticate(carrying('Bearer c'), review)).to.deep.equal({
      kind: 'unavailable',
      reason: 'the token could not be reviewed: 2 others wait already',
    });
    asked[0]?.resolve(TILL);
    asked[1]?.reject(new Error('gone'));
    expect((await first).kind).to.equal('caller');
    expect((await second).kind).to.equal('unavailable');
    void authenticate(carrying('Bearer d'), review);
    await Promise.resolve();
    expect(asked).to.have.length(3);
  });
});
