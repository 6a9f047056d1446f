import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect } from 'chai';
import { after, describe, it } from 'mocha';

import { readTextSource, TEXT_LENGTH_MAX } from '#common/text-source.ts';

describe('readTextSource()', () => {
  const directory = mkdtempSync(join(tmpdir(), 'text-source-'));
  const path = join(directory, 'text');
  after(() => rmSync(directory, { recursive: true }));

  it('gives the text that is given', async () => {
    expect(await readTextSource({ kind: 'inline', text: 'a' })).to.deep.equal({
      kind: 'text',
      text: 'a',
    });
  });

  it('reads the file each time', async () => {
    for (const text of ['one', 'two']) {
      writeFileSync(path, text);
      expect(await readTextSource({ kind: 'file', path })).to.deep.equal({ kind: 'text', text });
    }
  });

  for (const [what, file, reason] of [
    ['is not there', 'none', 'there is no such file'],
    ['is a directory', '.', 'it is a directory'],
  ] as const) {
    it(`names the file that ${what}`, async () => {
      const missing = join(directory, file);
      expect(await readTextSource({ kind: 'file', path: missing })).to.deep.equal({
        kind: 'failed',
        reason: `Cannot read "${missing}": ${reason}`,
      });
    });
  }

  it('refuses a file that is too large', async () => {
    writeFileSync(path, 'a'.repeat(TEXT_LENGTH_MAX + 1));
    expect(await readTextSource({ kind: 'file', path })).to.have.property('kind', 'failed');
  });
});
