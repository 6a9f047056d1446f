import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { type Result, run } from '#tests/bed/process.ts';

// The script in a project of its own, with an npm that only says how it was called.
describe('tools/setup.mjs', () => {
  let project: string;

  beforeEach(() => {
    project = mkdtempSync(join(tmpdir(), 'ambit-setup-'));
    mkdirSync(join(project, 'bin'));
    writeFileSync(join(project, 'bin/npm'), '#!/bin/sh\necho "npm was called: $*"\n');
    chmodSync(join(project, 'bin/npm'), 0o755);
    cpSync('tools/setup.mjs', join(project, 'tools/setup.mjs'));
  });

  afterEach(() => rmSync(project, { recursive: true }));

  it('runs npm ci when node_modules is missing, and says so', async () => {
    lockfile('package-lock.json', { 'node_modules/chai': { version: '6.3.0' } });
    const { stdout } = await setUp('check');
    expect(stdout).to.include('running "npm ci" (node_modules is missing)');
    expect(stdout).to.include('npm was called: ci');
  });

  it('keeps packages from running install scripts', async () => {
    lockfile('package-lock.json', { 'node_modules/chai': { version: '6.3.0' } });
    expect((await setUp('check')).stdout).to.match(/npm was called: ci .*--ignore-scripts/);
  });

  it('runs npm ci when a package is not the one of the lockfile', async () => {
    lockfile('package-lock.json', { 'node_modules/chai': { version: '6.3.0' } });
    lockfile('node_modules/.package-lock.json', { 'node_modules/chai': { version: '6.2.0' } });
    const { stdout } = await setUp('check');
    expect(stdout).to.include('node_modules/chai is 6.2.0, package-lock.json wants 6.3.0');
  });

  it('does not when all is there but optional packages for other machines', async () => {
    lockfile('package-lock.json', {
      '': { version: '0.0.0' },
      'node_modules/chai': { version: '6.3.0' },
      'node_modules/node-linux-riscv64': { version: '26.0.0', optional: true },
    });
    lockfile('node_modules/.package-lock.json', { 'node_modules/chai': { version: '6.3.0' } });
    const { stdout } = await setUp('check');
    expect(stdout).to.not.include('npm');
  });

  it('runs npm ci when the note of npm was cut short, or is not there', async () => {
    lockfile('package-lock.json', { 'node_modules/chai': { version: '6.3.0' } });
    mkdirSync(join(project, 'node_modules'));
    expect((await setUp('check')).stdout).to.include('.package-lock.json is missing');
    for (const note of ['', '{"packages": {', '{}']) {
      writeFileSync(join(project, 'node_modules/.package-lock.json'), note);
      const { stdout } = await setUp('check');
      expect(stdout).to.include('node_modules/.package-lock.json is damaged');
      expect(stdout).to.include('npm was called: ci');
    }
  });

  it('runs npm ci when the folder of a dependency has gone', async () => {
    const packages = {
      '': { dependencies: { chai: '6.3.0' } },
      'node_modules/chai': { version: '6.3.0' },
    };
    lockfile('package-lock.json', packages);
    lockfile('node_modules/.package-lock.json', packages);
    expect((await setUp('check')).stdout).to.include('npm ci" (node_modules/chai is damaged)');
    mkdirSync(join(project, 'node_modules/chai'));
    writeFileSync(join(project, 'node_modules/chai/package.json'), '{}');
    expect((await setUp('check')).stdout).to.not.include('npm');
  });

  it('names the lockfile when it is not JSON', async () => {
    writeFileSync(join(project, 'package-lock.json'), '<<<<<<< HEAD');
    const { code, stderr } = await setUp('check');
    expect(code).to.equal(1);
    expect(stderr).to.match(/^set-up: Cannot read .*\/package-lock\.json: /);
  });

  it('says what a purpose can be when it does not know the one given', async () => {
    const { code, stderr } = await setUp('everything');
    expect(code).to.equal(1);
    expect(stderr).to.include(
      'Unknown purpose "everything": want one of check, test, demo, up, bench',
    );
  });

  it('compiles when that has not been done since a file was changed, and says so', async () => {
    lockfile('package-lock.json', {});
    lockfile('node_modules/.package-lock.json', {});
    for (const command of ['ip', 'nft', 'nsenter', 'unshare']) {
      writeFileSync(join(project, 'bin', command), '', { mode: 0o755 });
    }
    const done = join(project, 'node_modules/.cache/compiled/.complete');
    const compiler = `
      import { mkdirSync, writeFileSync } from 'node:fs';
      mkdirSync(${JSON.stringify(dirname(done))}, { recursive: true });
      writeFileSync(${JSON.stringify(done)}, '');`;
    writeFileSync(join(project, 'tools/compile.ts'), compiler);
    expect((await setUp('check')).stdout).to.equal('');
    expect((await setUp('up')).stdout).to.equal('set-up: compiling\n');
    expect((await setUp('up')).stdout).to.equal('');
    const later = Date.now() / 1_000 + 60;
    utimesSync(join(project, 'tools/compile.ts'), later, later);
    expect((await setUp('up')).stdout).to.equal('set-up: compiling\n');
  });

  function lockfile(path: string, packages: object): void {
    mkdirSync(join(project, 'node_modules'), { recursive: true });
    if (path === 'package-lock.json') rmSync(join(project, 'node_modules'), { recursive: true });
    writeFileSync(join(project, path), JSON.stringify({ packages }));
  }

  async function setUp(purpose: string): Promise<Result> {
    const PATH = `${join(project, 'bin')}:${process.env['PATH'] ?? ''}`;
    return run([process.execPath, join(project, 'tools/setup.mjs'), purpose], { env: { PATH } });
  }
});
