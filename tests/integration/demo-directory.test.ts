import { expect } from 'chai';
import { describe, it } from 'mocha';

import { program, run } from '#tests/bed/process.ts';

describe('npm run demo', () => {
  for (const [directory, problem] of [
    ['/nowhere', 'ENOENT'],
    [`/${'x'.repeat(50)}`, 'want a path of at most 50 bytes'],
  ] as const) {
    it(`says that it can not use the directory ${directory}`, async () => {
      const demo = program('tests/demo/main.ts');
      const { code, stderr } = await run(demo, { env: { TMPDIR: directory } });
      expect(code).to.equal(2);
      expect(stderr).to.include(`Cannot keep files in "${directory}" (TMPDIR): ${problem}`);
    });
  }
});
