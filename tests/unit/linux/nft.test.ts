import { expect } from 'chai';
import { describe, it } from 'mocha';

import { describeRefusal } from '#linux/nft.ts';

describe('describeRefusal()', () => {
  it('names each offending line', () => {
    const batch = 'table ip a {\n  nonsense\n}\nadd rule ip a b drop';
    const stderr = [
      '/dev/stdin:2:3-10: Error: syntax error, unexpected string',
      '  nonsense',
      '  ^^^^^^^^',
      '/dev/stdin:4:15-15: Error: No such file or directory',
    ].join('\n');
    expect(describeRefusal(batch, stderr)).to.equal(
      'nft refused line 2 ("nonsense"): syntax error, unexpected string; ' +
        'nft refused line 4 ("add rule ip a b drop"): No such file or directory',
    );
  });

  it('gives what nft said when that names no line', () => {
    const text = 'Error: Operation not permitted (you must be root)\n';
    expect(describeRefusal('', text)).to.equal(
      'nft refused the batch: Error: Operation not permitted (you must be root)',
    );
    expect(describeRefusal('', '')).to.include('it gave no reason');
  });
});
