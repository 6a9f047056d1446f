import { expect } from 'chai';
import {
  type Arbitrary,
  array,
  assert,
  constantFrom,
  oneof,
  property,
  record,
  string,
  stringMatching,
} from 'fast-check';
import { describe, it } from 'mocha';

import { parseAuthority } from '#hbone/authority.ts';
import {
  type Baggage,
  parseBaggage,
  parseForwarded,
  parseTraceparent,
  WORKLOAD_TYPES,
  writeBaggage,
} from '#hbone/headers.ts';
import { authorityText } from '#tests/support/authority.ts';
import { quickestMs } from '#tests/support/quickest.ts';

const PRINTABLE = /^[\x21-\x7e]+$/;

// Text that is nearly right: pieces of the real thing in any order, among any characters.
const nearly = (...pieces: readonly string[]): Arbitrary<string> =>
  array(oneof(constantFrom(...pieces), string({ unit: 'binary', maxLength: 4 })), {
    maxLength: 12,
  }).map((parts) => parts.join(''));

describe('the headers of a hostile peer', function () {
  it('parseAuthority() accepts only what it writes the same way again', () => {
    const text = nearly(
      '10.0.0.1',
      '[::1]',
      '[',
      ']',
      ':',
      ':80',
      '.',
      'web',
      '0',
      '65535',
      '%',
      '-',
    );
    assert(
      property(text, (line) => {
        const authority = parseAuthority(line);
        if (authority === undefined) return;
        const written = authorityText(authority);
        expect(written).to.match(PRINTABLE);
        expect(parseAuthority(written)).to.deep.equal(authority);
      }),
      { numRuns: 1_500 },
    );
  });

  it('parseBaggage() tells only short printable values of known fields', () => {
    const line = nearly('k8s.pod.name', 'k8s.namespace.name', '=', ',', 'a', ' ', '__proto__', ';');
    assert(
      property(array(line, { maxLength: 5 }), (lines) => {
        const baggage = parseBaggage(lines);
        expect(Object.getPrototypeOf(baggage)).to.equal(Object.prototype);
        for (const value of Object.values(baggage)) expect(value).to.match(PRINTABLE);
        expect(parseBaggage([writeBaggage(baggage)])).to.deep.equal(baggage);
      }),
      { numRuns: 1_000 },
    );
  });

  it('parseBaggage() reads back every baggage that can be written', () => {
    const value = stringMatching(/^[!-+\--~]{1,40}$/);
    const baggage = record<Baggage>(
      {
        clusterId: value,
        namespace: value,
        workloadName: value,
        workloadType: constantFrom(...WORKLOAD_TYPES),
        canonicalName: value,
        canonicalRevision: value,
        region: value,
        zone: value,
      },
      { requiredKeys: ['workloadName', 'workloadType'] },
    );
    assert(
      property(baggage, (given) => {
        expect(parseBaggage([writeBaggage(given)])).to.deep.equal(given);
      }),
      { numRuns: 300 },
    );
  });

  it('parseForwarded() tells only short printable values', () => {
    const line = nearly('for=', 'host=', '"', '\\', ';', ',', ' ', 'web', '[::1]:80', 'for="a"');
    assert(
      property(array(line, { maxLength: 3 }), (lines) => {
        for (const value of Object.values(parseForwarded(lines) ?? {})) {
          expect(value).to.match(PRINTABLE);
          expect(value.length).to.be.at.most(259);
        }
      }),
      { numRuns: 1_500 },
    );
  });

  it('parseTraceparent() never throws', () => {
    assert(
      property(nearly('00', '-', 'a'.repeat(32), 'b'.repeat(16), '01'), (value) => {
        const parsed = parseTraceparent(value);
        expect(parsed === undefined || parsed.length === 55).to.equal(true);
      }),
    );
  });

  it('none of them takes longer than linear time on the longest input', async () => {
    const long = 64 * 1024;
    const pieces = ['a', ',', '=', '"', '\\', ';', 'for="', 'for=a;', 'a=b,', '.', ':', ' '];
    const takenMs = await quickestMs(() => {
      for (const piece of pieces) {
        const line = piece.repeat(long / piece.length);
        for (const cut of [line, line.slice(0, 8_192), line.slice(0, 1_024), line.slice(0, 259)]) {
          parseAuthority(cut);
          parseBaggage([cut]);
          parseForwarded([cut]);
          parseTraceparent(cut);
        }
      }
    });
    expect(takenMs).to.be.below(500);
  });
});
