import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { program, type Result, run } from '#tests/bed/process.ts';

describe('tools/check-mirror.ts', () => {
  let project: string;

  beforeEach(() => {
    project = mkdtempSync(join(tmpdir(), 'ambit-mirror-'));
    file('codec/frame.ts');
  });

  afterEach(() => rmSync(project, { recursive: true }));

  it('accepts a test of a file and tests of its aspects', async () => {
    file('tests/unit/codec/frame.test.ts');
    file('tests/unit/codec/frame.limits.test.ts');
    expect(await check()).to.deep.include({ code: 0, stderr: '' });
  });

  it('complains about a test of no file, and says where it belongs', async () => {
    file('tests/unit/codec/flood.test.ts');
    const { code, stderr } = await check();
    expect(code).to.equal(1);
    expect(stderr).to.include('there is no codec/flood.ts').and.include('tests/integration/');
  });

  function file(path: string): void {
    mkdirSync(join(project, dirname(path)), { recursive: true });
    writeFileSync(join(project, path), '');
  }

  async function check(): Promise<Result> {
    return run(program('tools/check-mirror.ts'), { cwd: project });
  }
});
