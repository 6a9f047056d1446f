import { expect } from 'chai';
import { describe, it } from 'mocha';

import { type Field, FieldKind } from '#codec/http2/field.ts';
import { HpackDecoder } from '#codec/http2/hpack-decoder.ts';

import { block, hex } from './frames.ts';

/** The fields of a block as lines, or undefined when it cannot be decoded. */
function decode(decoder: HpackDecoder, coded: Buffer | string): string[] | undefined {
  const fields: string[] = [];
  const bytes = typeof coded === 'string' ? hex(coded) : coded;
  const sink = {
    addField: ({ header, kind }: Field) =>
      void fields.push(
        `${header[0]}: ${header[1]}${kind === FieldKind.malformed ? ' (malformed)' : ''}`,
      ),
  };
  return decoder.decode(bytes, 0, bytes.length, sink) ? fields : undefined;
}

/** RFC 7541 appendix C: blocks that follow each other on one connection, and what each must give. */
const SEQUENCES: readonly {
  readonly section: string;
  readonly limit: number;
  readonly blocks: readonly (readonly [coded: string, fields: readonly string[]])[];
}[] = [
  {
    section: 'C.2.1',
    limit: 4096,
    blocks: [
      [
        '400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572',
        ['custom-key: custom-header'],
      ],
    ],
  },
  {
    section: 'C.2.2',
    limit: 4096,
    blocks: [['040c 2f73 616d 706c 652f 7061 7468', [':path: /sample/path']]],
  },
  {
    section: 'C.2.3',
    limit: 4096,
    blocks: [['1008 7061 7373 776f 7264 0673 6563 7265 74', ['password: secret']]],
  },
  { section: 'C.2.4', limit: 4096, blocks: [['82', [':method: GET']]] },
  {
    section: 'C.3',
    limit: 4096,
    blocks: [
      [
        '8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
        [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'],
      ],
      [
        '8286 84be 5808 6e6f 2d63 6163 6865',
        [
          ':method: GET',
          ':scheme: http',
          ':path: /',
          ':authority: www.example.com',
          'cache-control: no-cache',
        ],
      ],
      [
        '8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65',
        [
          ':method: GET',
          ':scheme: https',
          ':path: /index.html',
          ':authority: www.example.com',
          'custom-key: custom-value',
        ],
      ],
    ],
  },
  {
    section: 'C.4',
    limit: 4096,
    blocks: [
      [
        '8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff',
        [':method: GET', ':scheme: http', ':path: /', ':authority: www.example.com'],
      ],
      [
        '8286 84be 5886 a8eb 1064 9cbf',
        [
          ':method: GET',
          ':scheme: http',
          ':path: /',
          ':authority: www.example.com',
          'cache-control: no-cache',
        ],
      ],
      [
        '8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf',
        [
          ':method: GET',
          ':scheme: https',
          ':path: /index.html',
          ':authority: www.example.com',
          'custom-key: custom-value',
        ],
      ],
    ],
  },
  {
    section: 'C.5 (entries are evicted)',
    limit: 256,
    blocks: [
      [
        '4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
        [
          ':status: 302',
          'cache-control: private',
          'date: Mon, 21 Oct 2013 20:13:21 GMT',
          'location: https://www.example.com',
        ],
      ],
      [
        '4803 3330 37c1 c0bf',
        [
          ':status: 307',
          'cache-control: private',
          'date: Mon, 21 Oct 2013 20:13:21 GMT',
          'location: https://www.example.com',
        ],
      ],
      [
        '88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31',
        [
          ':status: 200',
          'cache-control: private',
          'date: Mon, 21 Oct 2013 20:13:22 GMT',
          'location: https://www.example.com',
          'content-encoding: gzip',
          'set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1',
        ],
      ],
    ],
  },
  {
    section: 'C.6 (entries are evicted)',
    limit: 256,
    blocks: [
      [
        '4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3',
        [
          ':status: 302',
          'cache-control: private',
          'date: Mon, 21 Oct 2013 20:13:21 GMT',
          'location: https://www.example.com',
        ],
      ],
      [
        '4883 640e ffc1 c0bf',
        [
          ':status: 307',
          'cache-control: private',
          'date: Mon, 21 Oct 2013 20:13:21 GMT',
          'location: https://www.example.com',
        ],
      ],
      [
        '88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07',
        [
          ':status: 200',
          'cache-control: private',
          'date: Mon, 21 Oct 2013 20:13:22 GMT',
          'location: https://www.example.com',
          'content-encoding: gzip',
          'set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1',
        ],
      ],
    ],
  },
];

describe('HpackDecoder', () => {
  for (const { section, limit, blocks } of SEQUENCES)
    it(`decode() gives the fields of RFC 7541 ${section}`, () => {
      const decoder = new HpackDecoder(limit);
      for (const [coded, fields] of blocks) expect(decode(decoder, coded)).to.deep.equal(fields);
    });

  it('restore() goes on with the same table', () => {
    const [first, second, third] = SEQUENCES[6]!.blocks;
    const decoder = new HpackDecoder(256);
    decode(decoder, first![0]);
    const restored = HpackDecoder.restore(structuredClone(decoder.export()));
    expect(decode(restored, second![0])).to.deep.equal(second![1]);
    expect(decode(restored, third![0])).to.deep.equal(third![1]);
    expect(restored.export()).to.not.deep.equal(decoder.export());
  });

  for (const [what, coded] of [
    ['index 0', '80'],
    ['an index behind the tables', 'be'],
    ['the name of an index behind the tables', '7e 00'],
    ['an integer that is cut off', 'ff'],
    ['an integer that never ends', 'ff 80 80 80 80 80 80 80 01'],
    ['an integer beyond 28 bits', 'ff ff ff ff ff 0f'],
    ['a text that is cut off', '00 05 61 62'],
    ['a name without a value', '00 01 61'],
    ['Huffman code with EOS', '00 01 61 84 ff ff ff ff'],
    ['a size update behind a field', '82 20'],
    ['a size update above the limit', '3f e2 1f'],
    ['three size updates', '20 20 20'],
  ] as const)
    it(`decode() refuses ${what}`, () => {
      expect(decode(new HpackDecoder(4096), coded)).to.equal(undefined);
    });

  it('decode() takes two size updates in front, and empties the table at the smaller one', () => {
    const decoder = new HpackDecoder(4096);
    decode(decoder, '4001 6101 62');
    expect(decode(decoder, 'be')).to.deep.equal(['a: b']);
    expect(decode(decoder, '20 3f e1 1f 82')).to.deep.equal([':method: GET']);
    expect(decode(decoder, 'be')).to.equal(undefined);
  });

  it('decode() wants a size update first after a smaller limit was acknowledged', () => {
    const decoder = new HpackDecoder(4096);
    decoder.setLimit(100);
    expect(decode(decoder, '82')).to.equal(undefined);
    const obeyed = new HpackDecoder(4096);
    obeyed.setLimit(100);
    expect(decode(obeyed, '3f 45 82')).to.deep.equal([':method: GET']);
  });

  it('decode() empties the table for an entry that is larger than it', () => {
    const decoder = new HpackDecoder(64);
    decode(decoder, '4001 6101 62');
    const large = Buffer.concat([hex('4001 6140'), Buffer.alloc(64, 'x')]);
    expect(decode(decoder, large)).to.deep.equal([`a: ${'x'.repeat(64)}`]);
    expect(decode(decoder, 'be')).to.equal(undefined);
  });

  for (const [name, value] of [
    ['Upper', 'a'],
    ['a b', 'c'],
    ['a:b', 'c'],
    ['', 'a'],
    [':', 'a'],
    ['a\u00e4', 'b'],
    ['a', 'b\r\nc: d'],
    ['a', 'b\0'],
    ['a', ' b'],
    ['a', 'b\t'],
    ['a', '\x7f'],
  ] as const)
    it(`decode() marks ${JSON.stringify([name, value])} as malformed`, () => {
      const [line] = decode(new HpackDecoder(4096), block([name, value])) ?? [];
      expect(line).to.equal(`${name}: ${value} (malformed)`);
    });

  it('decode() remembers that an entry of the table is malformed, but not its good name', () => {
    const decoder = new HpackDecoder(4096);
    expect(decode(decoder, '4001 6101 00')).to.deep.equal(['a: \0 (malformed)']);
    expect(decode(decoder, 'be')).to.deep.equal(['a: \0 (malformed)']);
    expect(decode(decoder, '0f2f 0163')).to.deep.equal(['a: c']);
    const restored = HpackDecoder.restore(decoder.export());
    expect(decode(restored, 'be')).to.deep.equal(['a: \0 (malformed)']);
    const upper = new HpackDecoder(4096);
    decode(upper, '4001 4101 62');
    expect(decode(upper, '0f2f 0163')).to.deep.equal(['A: c (malformed)']);
  });
});
