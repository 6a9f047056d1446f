import { expect } from 'chai';
import { describe, it } from 'mocha';

import { regex, routeBytes } from '#tests/support/waypoint-resources.ts';
import { decodeRoute } from '#waypoint/routing/decode.ts';

function refusal(given: Parameters<typeof routeBytes>[1], name = 'HTTPRoute/default/a'): string {
  const decoded = decodeRoute(name, routeBytes('a', given));
  return decoded.kind === 'refused' ? decoded.reason : 'taken';
}

describe('decodeRoute()', () => {
  it('takes a route', () => {
    expect(refusal({ rules: [{}] })).to.equal('taken');
  });

  const refused: [what: string, given: Parameters<typeof routeBytes>[1], reason: string][] = [
    ['another name', {}, 'its name is "HTTPRoute/default/a"'],
    [
      'an expression that is none',
      { rules: [{ matches: [{ path: regex('(') }] }] },
      '"(" is no expression: error parsing regexp: missing closing ): `(`',
    ],
    [
      'an expression that is too long',
      { rules: [{ matches: [{ path: regex('a'.repeat(1_025)) }] }] },
      'an expression has 1025 characters: want at most 1024',
    ],
    [
      'a path match of a kind that is not known',
      { rules: [{ matches: [{ path: {} }] }] },
      'a path match is of an unknown kind',
    ],
    [
      'a filter that is not known',
      { rules: [{ filters: [{}] }] },
      'filter "of an unknown kind" is not served',
    ],
    [
      'a filter that is not served',
      { rules: [{ filters: [{ kind: { case: 'cors', value: {} } }] }] },
      'filter "cors" is not served',
    ],
    [
      'a header that frames the message',
      {
        rules: [
          {
            filters: [{ kind: { case: 'requestHeaders', value: { remove: ['Content-Length'] } } }],
          },
        ],
      },
      'header "content-length" can\'t be changed',
    ],
    ['a backend without a service', { rules: [{ backends: [{}] }] }, 'a backend is no service'],
  ];
  for (const [what, given, reason] of refused) {
    it(`refuses ${what}`, () => {
      const name = what === 'another name' ? 'HTTPRoute/default/b' : 'HTTPRoute/default/a';
      expect(refusal(given, name)).to.equal(reason);
    });
  }

  it('refuses what is no message', () => {
    const decoded = decodeRoute('HTTPRoute/default/a', Buffer.from('\xff\xff', 'latin1'));
    expect(decoded.kind).to.equal('refused');
  });
});
