import { expect } from 'chai';
import { describe, it } from 'mocha';

import { program, run } from '#tests/bed/process.ts';

describe('npm run bench', () => {
  it('refuses a file for its result that it can not write, before it measures', async () => {
    const { code, stderr } = await run(program('bench/main.ts', '--out', '/nowhere/result.json'));
    expect({ code, stderr }).to.deep.equal({
      code: 2,
      stderr:
        "Cannot write the result: ENOENT: no such file or directory, open '/nowhere/result.json'\n",
    });
  });
});
