import { expect } from 'chai';
import * as fc from 'fast-check';
import { describe, it } from 'mocha';
import type { LogEntry } from '#common/log/format.ts';
import { bareOrQuoted, formatTime, jsonLine, quote, textLine } from '#common/log/format.ts';

const entry: LogEntry = {
  timeMs: Date.UTC(2026, 0, 31, 12, 0, 0, 123),
  level: 'info',
  scope: 'inpod',
  spans: [],
  message: 'pod added',
  fields: { pod: 'shop/till', listeners: 3, ready: true, error: undefined },
};

describe('textLine()', () => {
  it('writes time, level, scope, message and fields between tabs', () => {
    expect(textLine(entry)).to.equal(
      '2026-01-31T12:00:00.123000Z\tinfo\tinpod\tpod added\tpod="shop/till" listeners=3 ready=true',
    );
  });

  it('puts spans behind the scope', () => {
    const spans = [{ name: 'proxy', fields: { wl: 'shop/till' } }];
    expect(textLine({ ...entry, spans, fields: {} })).to.equal(
      '2026-01-31T12:00:00.123000Z\tinfo\tinpod:proxy{wl=shop/till}\tpod added',
    );
  });

  it('keeps a message with line ends and tabs on its line and in its column', () => {
    const line = textLine({ ...entry, message: 'a\nb\tc\u001B[2J', fields: {} });
    expect(line.split('\t')[3]).to.equal(String.raw`a\nb\tc\u001b[2J`);
  });
});

describe('jsonLine()', () => {
  it('writes level, time, scope, message, the fields, then the spans', () => {
    const line = jsonLine({ ...entry, spans: [{ name: 'proxy', fields: { wl: 'shop/till' } }] });
    expect(Object.entries(JSON.parse(line) as object)).to.deep.equal([
      ['level', 'info'],
      ['time', '2026-01-31T12:00:00.123000Z'],
      ['scope', 'inpod'],
      ['message', 'pod added'],
      ['pod', 'shop/till'],
      ['listeners', 3],
      ['ready', true],
      ['proxy', { wl: 'shop/till' }],
    ]);
  });

  it('stays JSON when a number is not finite', () => {
    expect(JSON.parse(jsonLine({ ...entry, fields: { ratio: Number.NaN } }))).to.include({
      ratio: 'NaN',
    });
  });
});

describe('quote()', () => {
  it('gives every text back through JSON.parse, on one line of harmless characters', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 100 }), (text) => {
        const quoted = quote(text);
        expect(JSON.parse(quoted)).to.equal(text);
        expect(/^"[^\p{C}\p{Zl}\p{Zp}]*"$/u.test(quoted), quoted).to.equal(true);
      }),
    );
  });

  const cases: ReadonlyArray<readonly [string, string]> = [
    ['plain text', '"plain text"'],
    ['a"b\\c', String.raw`"a\"b\\c"`],
    [
      'x\r\n2026-01-01T00:00:00Z\tinfo\taccess',
      String.raw`"x\r\n2026-01-01T00:00:00Z\tinfo\taccess"`,
    ],
    ['\u001B[31mred\u007F\u009B', String.raw`"\u001b[31mred\u007f\u009b"`],
    ['\u202Egnp.exe', String.raw`"\u202egnp.exe"`],
    ['\u2028\u2029\uFEFF', String.raw`"\u2028\u2029\ufeff"`],
    ['\uD800', String.raw`"\ud800"`],
    ['\u{E0041}', String.raw`"\udb40\udc41"`],
    ['café 🚀', '"café 🚀"'],
  ];
  for (const [text, want] of cases) {
    it(`writes ${JSON.stringify(text)} as ${want}`, () => expect(quote(text)).to.equal(want));
  }

  it('cuts what is longer than 2,048 characters', () => {
    expect(quote('x'.repeat(5_000))).to.equal(`"${'x'.repeat(2_048)}…"`);
    expect(quote('\n'.repeat(100_000)).length).to.be.lessThan(5_000);
  });
});

describe('bareOrQuoted()', () => {
  it('leaves addresses without quotes and quotes everything else', () => {
    expect(bareOrQuoted('10.0.0.1:80')).to.equal('10.0.0.1:80');
    expect(bareOrQuoted('[2001:db8::1]:80')).to.equal('[2001:db8::1]:80');
    expect(bareOrQuoted('a b')).to.equal('"a b"');
    expect(bareOrQuoted('x error="forged"')).to.equal(String.raw`"x error=\"forged\""`);
    expect(bareOrQuoted('')).to.equal('""');
    expect(bareOrQuoted('a\n')).to.equal(String.raw`"a\n"`);
  });
});

describe('formatTime()', () => {
  it('gives the same as Date for every millisecond, with microseconds', () => {
    fc.assert(
      fc.property(fc.nat(4_000_000_000_000), (timeMs) => {
        expect(formatTime(timeMs)).to.equal(new Date(timeMs).toISOString().replace('Z', '000Z'));
      }),
    );
    expect(formatTime(1_000.25)).to.equal('1970-01-01T00:00:01.000250Z');
    expect(formatTime(1_999.9999)).to.equal('1970-01-01T00:00:01.999999Z');
  });
});
