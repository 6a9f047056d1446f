import { expect } from 'chai';
import { describe, it } from 'mocha';

import { requestHead } from '#tests/support/request-head.ts';
import { exact, prefix, regex, route, SHOP } from '#tests/support/waypoint-resources.ts';
import type { Route } from '#waypoint/routing/model.ts';
import { RouteTable } from '#waypoint/routing/table.ts';

function table(...routes: readonly Route[]): RouteTable {
  const made = new RouteTable();
  made.apply(routes, []);
  return made;
}

/** Which rule takes a request, as "route/rule". */
function taken(given: RouteTable, head: Parameters<typeof requestHead>[0], port = 80): string {
  const choice = given.choose(SHOP, port, requestHead(head));
  return choice.kind === 'rule'
    ? `${choice.rule.route.replace('HTTPRoute/default/', '')}/${choice.rule.name}`
    : choice.kind;
}

const rule = (name: string, ...matches: object[]): { name: string; matches: object[] } => ({
  name,
  matches,
});

const header = (name: string): object => ({ name, value: { case: 'exact', value: '1' } });

describe('RouteTable', () => {
  it('says that there are no routes for a service that has none', () => {
    expect(taken(table(), {})).to.equal('none');
    const other = route('other', { parents: [{ service: { ...SHOP, namespace: 'far' } }] });
    expect(taken(table(other), {})).to.equal('none');
  });

  it('says that no rule is met', () => {
    const only = route('a', { rules: [rule('r', { path: exact('/x') })] });
    expect(taken(table(only), { path: '/y' })).to.equal('no-match');
  });

  it('takes a rule without matches for everything', () => {
    expect(taken(table(route('a', { rules: [rule('all')] })), { path: '/y?z' })).to.equal('a/all');
  });

  it('holds a route with a port to that port', () => {
    const one = route('a', { parents: [{ service: SHOP, port: 80 }], rules: [rule('r')] });
    expect(taken(table(one), {}, 80)).to.equal('a/r');
    expect(taken(table(one), {}, 81)).to.equal('none');
  });

  for (const [prefixed, path, holds] of [
    ['/foo', '/foo', true],
    ['/foo', '/foo/bar', true],
    ['/foo/', '/foo', true],
    ['/foo/', '/foo/bar', true],
    ['/foo', '/foobar', false],
    ['/foo', '/fo', false],
    ['/', '/anything', true],
    ['/foo', '/foo?bar', true],
  ] as const) {
    it(`${holds ? 'takes' : 'does not take'} ${path} for the prefix ${prefixed}`, () => {
      const one = route('a', { rules: [rule('r', { path: prefix(prefixed) })] });
      expect(taken(table(one), { path })).to.equal(holds ? 'a/r' : 'no-match');
    });
  }

  it('wants a regular expression to match the whole path', () => {
    const one = table(route('a', { rules: [rule('r', { path: regex('/v[0-9]+') })] }));
    expect(taken(one, { path: '/v12?q' })).to.equal('a/r');
    expect(taken(one, { path: '/v12/x' })).to.equal('no-match');
  });

  it('matches method, headers and query, all of them', () => {
    const match = {
      method: 'POST',
      headers: [{ name: 'X-User', value: { case: 'exact', value: 'ann' } }],
      query: [{ name: 'q', value: { case: 'regex', value: '[a-c]+' } }],
    };
    const one = table(route('a', { rules: [rule('r', match)] }));
    const right = { method: 'POST', path: '/?q=abc', headers: [['x-user', 'ann']] } as const;
    expect(taken(one, right)).to.equal('a/r');
    expect(taken(one, { ...right, method: 'GET' })).to.equal('no-match');
    expect(taken(one, { ...right, path: '/?q=abcd' })).to.equal('no-match');
    expect(taken(one, { ...right, path: '/' })).to.equal('no-match');
    expect(taken(one, { ...right, headers: [['x-user', 'Ann']] })).to.equal('no-match');
  });

  describe('goes by precedence:', () => {
    const all = { headers: [['a', '1'] as const, ['b', '1'] as const], path: '/a/b?p=1&q=1' };
    for (const [what, first, second] of [
      ['an exact path before a longer prefix', { path: exact('/a/b') }, { path: prefix('/a/b') }],
      ['a prefix before an expression', { path: prefix('/a') }, { path: regex('/a/b.*') }],
      ['the longer prefix', { path: prefix('/a/b') }, { path: prefix('/a') }],
      ['any path before none', { path: prefix('/a') }, {}],
      ['a method', { method: 'GET' }, { headers: [header('a')] }],
      ['more headers', { headers: [header('a'), header('b')] }, { headers: [header('a')] }],
      ['more query parameters', { query: [header('p'), header('q')] }, { query: [header('p')] }],
    ] as const) {
      it(what, () => {
        const rules = [rule('second', second), rule('first', first)];
        expect(taken(table(route('a', { rules })), all)).to.equal('a/first');
      });
    }

    it('the older route, then the name, then the place in the route', () => {
      const old = route('z', { createdMs: 1n, rules: [rule('r')] });
      const young = route('a', { createdMs: 2n, rules: [rule('r')] });
      expect(taken(table(young, old), {})).to.equal('z/r');
      const same = route('b', { createdMs: 2n, rules: [rule('r')] });
      expect(taken(table(same, young), {})).to.equal('a/r');
      const two = route('a', { rules: [rule('one'), rule('two')] });
      expect(taken(table(two), {})).to.equal('a/one');
    });
  });

  it('follows changes: another parent, other rules, none', () => {
    const made = table(route('a', { rules: [rule('r')] }));
    expect(taken(made, {})).to.equal('a/r');
    made.apply([route('a', { rules: [rule('s')] })], []);
    expect(taken(made, {})).to.equal('a/s');
    made.apply([route('a', { parents: [], rules: [rule('s')] })], []);
    expect(taken(made, {})).to.equal('none');
    made.apply([route('a', { rules: [rule('s')] })], []);
    made.apply([], ['HTTPRoute/default/a']);
    expect(taken(made, {})).to.equal('none');
  });
});
