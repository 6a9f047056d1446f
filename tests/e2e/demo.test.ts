import { readdirSync, readFileSync } from 'node:fs';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { program, start } from '#tests/bed/process.ts';

const STORY_DEADLINE_MS = 400_000;

describe('the demo of the whole mesh', () => {
  it('holds every step, tells so, and leaves nothing behind', async () => {
    const demo = start(program('tests/demo/mesh/main.ts', '--once'));
    const exit = await demo.exited;
    const told = demo.lines.join('\n');
    expect(exit.code, told).to.equal(0);
    expect(told)
      .to.match(/All \d steps held\./)
      .and.not.include('✗');
    expect(leftBy(demo.pid)).to.deep.equal([]);
  }).timeout(STORY_DEADLINE_MS);

  it('leaves nothing behind when it is interrupted', async () => {
    const demo = start(program('tests/demo/mesh/main.ts', '--once'));
    await demo.waitFor(/^ *nodes 2\/2 /, STORY_DEADLINE_MS / 2);
    expect(leftBy(demo.pid)).to.not.deep.equal([]);
    demo.signal('SIGINT');
    demo.signal('SIGINT');
    const exit = await demo.exited;
    expect(exit.code).to.equal(130);
    expect(leftBy(demo.pid)).to.deep.equal([]);
  }).timeout(STORY_DEADLINE_MS);
});

/** Processes and mounts that carry the name of its cluster. */
function leftBy(pid: number): string[] {
  const name = `demo-${pid}`;
  const commands = readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && Number(entry) !== pid)
    .map((entry) => read(`/proc/${entry}/cmdline`).replaceAll('\0', ' '))
    .filter((command) => command.includes(name));
  const mounts = read('/proc/self/mounts')
    .split('\n')
    .filter((mount) => mount.includes(name));
  return [...commands, ...mounts];
}

/** Processes come and go meanwhile. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
