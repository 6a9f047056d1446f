import { expect } from 'chai';
import { describe, it } from 'mocha';

import { separate } from '#waypoint/received.ts';

interface Thing {
  readonly says: string;
}

const BAD = { kind: 'refused', reason: 'bad' } as const;

function take(text: string, isKnown: boolean, instead?: Thing): ReturnType<typeof separate<Thing>> {
  const resource = { name: 'a', version: '1', aliases: [], bytes: Buffer.from(text) };
  const decode = (_name: string, bytes: Uint8Array) =>
    String(bytes) === 'bad' ? { ...BAD, instead } : { says: String(bytes) };
  return separate<Thing>([resource], decode, () => isKnown);
}

describe('separate()', () => {
  const rejections = [{ name: 'a', reason: 'bad' }];
  const denies = { says: 'no' };

  it('passes on what can be read', () => {
    expect(take('yes', false, denies)).to.deep.equal({ update: [{ says: 'yes' }], rejections: [] });
  });

  it('refuses what can not be read, and leaves what was there before', () => {
    expect(take('bad', true, denies)).to.deep.equal({ update: [], rejections });
  });

  it('puts something in the place of what can not be read when nothing was there before', () => {
    expect(take('bad', false, denies)).to.deep.equal({ update: [denies], rejections });
    expect(take('bad', false)).to.deep.equal({ update: [], rejections });
  });
});
