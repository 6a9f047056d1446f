import { expect } from 'chai';
import { describe, it } from 'mocha';

import { formatTable } from '#cli/table.ts';

describe('formatTable()', () => {
  it('makes columns as wide as their widest cell, without space at the end', () => {
    const rows = [
      ['NAME', 'REVISION'],
      ['a-long-name', 'x'],
    ];
    expect(formatTable(rows)).to.equal('NAME            REVISION\na-long-name     x\n');
  });
});
