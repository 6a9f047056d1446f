import { expect } from 'chai';
import { describe, it } from 'mocha';

import { requestHead } from '#tests/support/request-head.ts';
import { type CorsRules, corsAnswer, originRule } from '#waypoint/filters/cors.ts';

function rules(...origins: readonly string[]): CorsRules {
  return {
    origins: origins.map((one) => originRule(one) ?? { begin: 'bad', end: undefined }),
    credentials: false,
    methods: 'GET, PUT',
    requestHeaders: 'x-a, x-b',
    exposedHeaders: 'x-c',
    maxAgeS: 60,
  };
}

const HERE = rules('https://a.test', 'https://*.b.test');

function asked(
  given: CorsRules,
  origin: string | undefined,
  more: { readonly method?: string; readonly wants?: string; readonly names?: string } = {},
): { readonly kind: string; readonly [name: string]: string } {
  const { method = 'GET', wants, names } = more;
  const headers = [
    ['origin', origin],
    ['access-control-request-method', wants],
    ['access-control-request-headers', names],
  ].filter((field): field is [string, string] => field[1] !== undefined);
  const { kind, fields } = corsAnswer(given, requestHead({ method, headers }));
  return { kind, ...Object.fromEntries(fields) };
}

const PREFLIGHT = { method: 'OPTIONS', wants: 'PUT', names: 'x-a' };

describe('corsAnswer()', () => {
  it('tells an allowed origin what it may, before it sends', () => {
    expect(asked(HERE, 'https://a.test', PREFLIGHT)).to.deep.equal({
      kind: 'preflight',
      'access-control-allow-origin': 'https://a.test',
      'access-control-allow-methods': 'GET, PUT',
      'access-control-allow-headers': 'x-a, x-b',
      'access-control-max-age': '60',
      vary: 'Origin',
    });
  });

  it('tells it that it may see the answer, and what of it', () => {
    expect(asked(HERE, 'https://a.test')).to.deep.equal({
      kind: 'actual',
      'access-control-allow-origin': 'https://a.test',
      'access-control-expose-headers': 'x-c',
      vary: 'Origin',
    });
  });

  const origins: readonly [origin: string, isAllowed: boolean][] = [
    ['https://a.test', true],
    ['HTTPS://A.test', true],
    ['http://a.test', false],
    ['https://a.test:8443', false],
    ['https://a.test.evil', false],
    ['https://x.b.test', true],
    ['https://x.y.b.test', true],
    ['https://.b.test', false],
    ['https://b.test', false],
    ['https://xb.test', false],
    ['null', false],
  ];
  for (const [origin, isAllowed] of origins) {
    it(`${isAllowed ? 'allows' : 'does not allow'} ${origin}`, () => {
      const wanted = isAllowed ? origin : undefined;
      expect(asked(HERE, origin)['access-control-allow-origin']).to.equal(wanted);
      const answer = asked(HERE, origin, PREFLIGHT);
      expect(answer['access-control-allow-origin']).to.equal(wanted);
      expect(answer.kind).to.equal('preflight');
      if (!isAllowed) expect(answer).to.deep.equal({ kind: 'preflight' });
    });
  }

  it('has nothing to say to a request of no page', () => {
    expect(asked(HERE, undefined)).to.deep.equal({ kind: 'actual' });
    expect(asked(HERE, undefined, PREFLIGHT)).to.deep.equal({ kind: 'actual' });
  });

  it('lets an OPTIONS through that asks for no permission', () => {
    expect(asked(HERE, 'https://a.test', { method: 'OPTIONS' }).kind).to.equal('actual');
  });

  it('says star when everything is allowed, and what was asked when credentials are, too', () => {
    const all: CorsRules = { ...HERE, origins: 'any', methods: '*', requestHeaders: '*' };
    expect(asked(all, 'https://z.test', PREFLIGHT)).to.deep.equal({
      kind: 'preflight',
      'access-control-allow-origin': '*',
      'access-control-allow-methods': '*',
      'access-control-allow-headers': '*',
      'access-control-max-age': '60',
    });
    expect(asked({ ...all, credentials: true }, 'https://z.test', PREFLIGHT)).to.deep.equal({
      kind: 'preflight',
      'access-control-allow-origin': 'https://z.test',
      'access-control-allow-credentials': 'true',
      'access-control-allow-methods': 'PUT',
      'access-control-allow-headers': 'x-a',
      'access-control-max-age': '60',
      vary: 'Origin',
    });
  });

  it('sends nothing back that is more than a value', () => {
    const all: CorsRules = { ...HERE, origins: 'any', credentials: true, methods: '*' };
    expect(asked(all, 'https://z.test\u00e9', PREFLIGHT)).to.deep.equal({ kind: 'preflight' });
    const answer = asked(all, 'https://z.test', { ...PREFLIGHT, wants: 'PUT\u0085' });
    expect(answer).not.to.have.property('access-control-allow-methods');
  });
});

describe('originRule()', () => {
  for (const bad of ['a.test', 'https://', 'https://a.test/', 'https://*.*.test', 'https://a b']) {
    it(`is none of ${bad}`, () => expect(originRule(bad)).to.equal(undefined));
  }
});
