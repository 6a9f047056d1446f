import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { expect } from 'chai';
import { describe, it } from 'mocha';

const subject = fileURLToPath(new URL('../../../common/compile-cache.ts', import.meta.url));

describe('keepCompiledCode()', () => {
  it('gives the cache to threads that start afterwards from their first line on', () => {
    const program = `
      import { getCompileCacheDir } from 'node:module';
      import { Worker } from 'node:worker_threads';
      import { keepCompiledCode } from ${JSON.stringify(subject)};
      keepCompiledCode();
      console.log(getCompileCacheDir());
      new Worker('console.log(process.getBuiltinModule("module").getCompileCacheDir())', { eval: true });
    `;
    const { NODE_COMPILE_CACHE: _, ...env } = process.env;
    const said = execFileSync(process.execPath, ['--input-type=module', '--eval', program], {
      env,
      encoding: 'utf8',
    });
    const [here, inWorker] = said.trim().split('\n');
    expect(here).to.match(/\/node_modules\/\.cache\/compiled\//);
    expect(inWorker).to.equal(here);
  });
});
