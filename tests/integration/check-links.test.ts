import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { program, type Result, run } from '#tests/bed/process.ts';

describe('tools/check-links.ts', () => {
  let project: string;

  beforeEach(() => {
    project = mkdtempSync(join(tmpdir(), 'ambit-links-'));
    mkdirSync(join(project, 'common/net'), { recursive: true });
    writeFileSync(join(project, 'common/net/address.ts'), '');
    writeFileSync(join(project, 'GUIDE.md'), '# Guide\n\n## Who may import whom?\n');
  });

  afterEach(() => rmSync(project, { recursive: true }));

  it('passes over links, headings and paths that lead somewhere, and foreign ones', async () => {
    const text = [
      '[guide](GUIDE.md), [there](GUIDE.md#who-may-import-whom), [site](https://example.com/x.md)',
      '`common/net/address.ts`, `address.ts`, `common/`, `/run/netns`, `other/file.ts`, `a.b.c`',
      '```\n`common/net/nothing.ts` in an example\n```',
    ];
    expect(await check(text.join('\n'))).to.deep.include({ code: 0, stderr: '' });
  });

  for (const [what, text, complaint] of [
    ['a link to no file', '[x](NOWHERE.md)', 'there is no NOWHERE.md'],
    ['a link to no heading', '[x](GUIDE.md#how)', 'GUIDE.md has no such heading'],
    ['a path of ours that is not there', '`common/net/host.ts`', 'which does not exist'],
    ['the name of no file', '`host.ts`', 'names `host.ts`'],
  ] as const) {
    it(`complains about ${what}`, async () => {
      const { code, stderr } = await check(text);
      expect(code).to.equal(1);
      expect(stderr).to.include('README.md').and.include(complaint);
    });
  }

  async function check(text: string): Promise<Result> {
    writeFileSync(join(project, 'README.md'), text);
    return run(program('tools/check-links.ts'), { cwd: project });
  }
});
