import { expect } from 'chai';
import { array, assert, constantFrom, oneof, property, record, tuple } from 'fast-check';
import { describe, it } from 'mocha';
import { requestHead } from '#tests/support/request-head.ts';
import { exact, prefix, regex, route } from '#tests/support/waypoint-resources.ts';
import type { RequestHead } from '#waypoint/request/head.ts';
import { AskedRequest, matchHolds } from '#waypoint/routing/match.ts';
import type { Route } from '#waypoint/routing/model.ts';
import { byPrecedence } from '#waypoint/routing/precedence.ts';
import { RuleIndex } from '#waypoint/routing/rule-index.ts';

/** Small, so that what is asked for is often there. */
const segment = constantFrom('a', 'b', 'ab', '');
const path = array(segment, { maxLength: 3 }).map((segments) => `/${segments.join('/')}`);
const word = constantFrom('1', '2', '3', '22');
const name = constantFrom('x', 'y', 'host');
const value = oneof(
  word.map((text) => ({ case: 'exact' as const, value: text })),
  constantFrom('2+', '[12]', '1|3', '').map((text) => ({ case: 'regex' as const, value: text })),
);
const named = array(record({ name, value }), { maxLength: 2 });
const match = record(
  {
    path: oneof(
      path.map(exact),
      path.map(prefix),
      constantFrom('/a.*', '/(a|b)', '/ab?/b', '.*').map(regex),
    ),
    headers: named,
    query: named,
    method: constantFrom('GET', 'PUT'),
  },
  { requiredKeys: [] },
);
const rules = array(record({ matches: array(match, { maxLength: 3 }) }, { requiredKeys: [] }), {
  maxLength: 25,
});
const routes = array(record({ rules, createdMs: constantFrom(1n, 2n) }), {
  minLength: 1,
  maxLength: 3,
}).map((given) => given.map((one, index) => route(`r${index}`, one)));
const request = record({
  path,
  query: array(tuple(name, word), { maxLength: 3 }),
  headers: array(tuple(constantFrom('x', 'y'), word), { maxLength: 2 }),
  authority: word,
  method: constantFrom('GET', 'PUT', 'POST'),
}).map(({ query, ...head }) => {
  const search = new URLSearchParams(query).toString();
  return requestHead({ ...head, path: `${head.path}${search === '' ? '' : `?${search}`}` });
});

/** The rule that the specification means: the first of all matches, in their order. */
function firstOfAll(given: readonly Route[], head: RequestHead): string | undefined {
  const asked = new AskedRequest(head);
  const found = byPrecedence(given).find((one) => matchHolds(one.match, asked));
  return found && `${found.rule.route}/${found.rule.name} ${found.match.path?.value}`;
}

describe('RuleIndex', () => {
  it('finds what looking at every match in order of precedence finds', () => {
    let taken = 0;
    assert(
      property(routes, array(request, { minLength: 5, maxLength: 5 }), (given, heads) => {
        const index = new RuleIndex(given);
        for (const head of heads) {
          const found = index.find(head);
          const wanted = firstOfAll(given, head);
          expect(found && `${found.rule.route}/${found.rule.name}`).to.equal(wanted?.split(' ')[0]);
          if (found?.pathPrefix !== undefined) {
            expect(found.pathPrefix).to.equal(wanted?.split(' ')[1]);
          }
          if (found !== undefined) taken++;
        }
      }),
      { numRuns: 2_000 },
    );
    expect(taken, 'requests that a rule took').to.be.greaterThan(1_000);
  });

  for (const [what, matchOf, head] of [
    ['exact paths', (n: number) => ({ path: exact(`/p/${n}`) }), { path: '/p/998' }],
    ['prefixes', (n: number) => ({ path: prefix(`/p/${n}`) }), { path: '/p/998/x?y' }],
    [
      'values of a header',
      (n: number) => ({ headers: [{ name: 'x-user', ...exactly(n) }] }),
      { headers: [['x-user', '998']] },
    ],
    [
      'values of a query parameter',
      (n: number) => ({ query: [{ name: 'user', ...exactly(n) }] }),
      { path: '/?user=998' },
    ],
  ] as const) {
    it(`looks at one of 1,000 rules with ${what}`, () => {
      const given = route('r', {
        rules: Array.from({ length: 1_000 }, (_, n) => ({ name: `n${n}`, matches: [matchOf(n)] })),
      });
      // A match that is looked at reads the method.
      let looks = 0;
      for (const { matches } of given.rules) {
        for (const one of matches) {
          Object.defineProperty(one, 'method', { get: () => void looks++ });
        }
      }
      const index = new RuleIndex([given]);
      looks = 0;
      expect(index.find(requestHead(head))?.rule.name).to.equal('n998');
      expect(looks).to.equal(1);
    });
  }
});

const exactly = (n: number): { value: { case: 'exact'; value: string } } => ({
  value: { case: 'exact', value: String(n) },
});
