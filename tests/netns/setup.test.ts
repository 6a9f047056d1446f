import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { program, type Result, run } from '#tests/bed/process.ts';

// A machine on which nothing is installed but what the test puts into the one folder of the path. Its
// apt-get "installs" by putting commands there.
describe('tools/setup.mjs, when commands are missing', () => {
  let project: string;

  beforeEach(() => {
    project = mkdtempSync(join(tmpdir(), 'ambit-commands-'));
    // Everybody may read it: one test runs as nobody.
    chmodSync(project, 0o755);
    mkdirSync(join(project, 'bin'));
    cpSync('tools/setup.mjs', join(project, 'tools/setup.mjs'));
  });

  afterEach(() => rmSync(project, { recursive: true }));

  it('installs their packages as root, and says which and what for', async () => {
    const log = join(project, 'apt.log');
    const install = 'for tool in openssl curl nghttp h2load; do : > $tool; chmod 755 $tool; done';
    command(
      'apt-get',
      `echo "$@" >> ${log}; case "$*" in *" install "*) cd ${project}/bin; ${install};; esac`,
    );
    const first = await setUp([]);
    expect(first.stderr).to.equal('');
    expect(first).to.have.property('code', 0);
    expect(first.stdout).to.equal(
      'set-up: installing openssl, curl, nghttp2-client with apt-get (for openssl, curl, nghttp, h2load)\n',
    );
    const called = await run(['cat', log]);
    expect(called.stdout.split('\n')).to.deep.equal([
      '-q update',
      '-q install -y --no-install-recommends openssl curl nghttp2-client',
      '',
    ]);
    expect((await setUp([])).stdout).to.equal('');
  });

  it('fails with what apt-get said when it fails', async () => {
    command('apt-get', 'echo "E: no network" >&2; exit 100');
    const { code, stderr } = await setUp([]);
    expect(code).to.equal(1);
    expect(stderr).to.include('"apt-get update" failed: E: no network');
  });

  it('tells a plain user the command to run', async () => {
    command('apt-get', 'exit 0');
    // A user namespace of its own, in which nobody is root.
    const { code, stderr } = await setUp(['unshare', '--user']);
    expect(code).to.equal(1);
    expect(stderr).to.include(
      "Run: sudo sh -c 'apt-get update && apt-get install -y --no-install-recommends openssl curl nghttp2-client'",
    );
  });

  it('names the commands where there is no apt-get', async () => {
    const { code, stderr } = await setUp([]);
    expect(code).to.equal(1);
    expect(stderr).to.include('"npm run check" needs the commands openssl, curl, nghttp, h2load');
  });

  function command(name: string, script: string): void {
    writeFileSync(join(project, 'bin', name), `#!/bin/sh\nPATH=/usr/bin:/bin\n${script}\n`);
    chmodSync(join(project, 'bin', name), 0o755);
  }

  async function setUp(wrapper: readonly string[]): Promise<Result> {
    const setup = [process.execPath, join(project, 'tools/setup.mjs'), 'check'];
    const path = ['env', `PATH=${join(project, 'bin')}`];
    return run(program('tests/bed/as-root.ts', ...wrapper, ...path, ...setup));
  }
});
