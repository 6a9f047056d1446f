import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { compiledCodeEnvironment } from '#common/compile-cache.ts';

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

describe('compiledCodeEnvironment()', () => {
  it('lets a program use what it has compiled where the project had another path', () => {
    const directory = mkdtempSync(join(tmpdir(), 'compile-cache-'));
    try {
      const [first, second] = [join(directory, 'first'), join(directory, 'second')];
      mkdirSync(join(first, 'node_modules'), { recursive: true });
      writeFileSync(join(first, 'package.json'), '{"type":"module"}');
      writeFileSync(join(first, 'main.ts'), 'export const answer: number = 42;');
      expect(startIn(first)).to.not.match(/V8 code cache .*main\.ts was accepted/);
      renameSync(first, second);
      expect(startIn(second)).to.match(/V8 code cache .*main\.ts was accepted/);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

/** What Node says of its cache when it runs the project that is there. */
function startIn(project: string): string {
  const { stderr, stdout } = spawnSync(process.execPath, ['--no-warnings', 'main.ts'], {
    cwd: project,
    env: { NODE_DEBUG_NATIVE: 'COMPILE_CACHE', ...compiledCodeEnvironment(project) },
    encoding: 'utf8',
  });
  return stderr + stdout;
}
