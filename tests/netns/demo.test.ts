import { readdirSync } from 'node:fs';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { NETNS_DIRECTORY } from '#tests/bed/namespaces.ts';
import { program, start } from '#tests/bed/process.ts';

const STORY_DEADLINE_MS = 90_000;

describe('the demo', () => {
  it('holds every step, tells so, and leaves nothing behind', async () => {
    const demo = start(program('tests/demo/main.ts'));
    const exit = await demo.exited;
    const told = demo.lines.join('\n');
    expect(told).to.match(/All \d steps held\./);
    expect(told).to.not.include('✗');
    expect(exit.code, told).to.equal(0);
    expect(leftBy(demo.pid)).to.deep.equal([]);
  }).timeout(STORY_DEADLINE_MS);

  it('leaves nothing behind when it is interrupted', async () => {
    const demo = start(program('tests/demo/main.ts'));
    await demo.waitFor(/^2\//);
    expect(leftBy(demo.pid)).to.not.deep.equal([]);
    demo.signal('SIGINT');
    demo.signal('SIGINT');
    const exit = await demo.exited;
    expect(exit.code).to.equal(130);
    expect(leftBy(demo.pid)).to.deep.equal([]);
  });

  it('says what did not hold and fails when the tunnel does not start', async () => {
    const demo = start(program('tests/demo/main.ts', '--tunnel', 'false'));
    const exit = await demo.exited;
    const told = demo.lines.join('\n');
    expect(told).to.match(/2\/6 .*\n.*did not hold: The tunnel of (east|west) ended \(1\)/);
    expect(told).to.include('Did not hold: step 2 of 6.');
    expect(exit.code).to.equal(1);
    expect(leftBy(demo.pid)).to.deep.equal([]);
  });
});

function leftBy(pid: number): string[] {
  return readdirSync(NETNS_DIRECTORY).filter((name) => name.startsWith(`ambit-demo-${pid}-`));
}
