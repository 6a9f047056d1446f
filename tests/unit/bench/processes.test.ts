import { spawn } from 'node:child_process';
import { once } from 'node:events';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  cpuSecondsOf,
  type ProcessStat,
  parsePss,
  parseStat,
  pssBytesOf,
  treesOf,
} from '#bench/processes.ts';

describe('parseStat()', () => {
  const fields = 'S 7 42 42 0 -1 4194304 100 0 0 0 250 150 0 0 20 0 1 0 100';

  it('adds user and system time and finds the parent', () => {
    expect(parseStat(`42 (node) ${fields}`)).to.deep.equal({
      pid: 42,
      parentPid: 7,
      cpuSeconds: 4,
    });
  });

  it('is not misled by a name that looks like fields', () => {
    expect(parseStat(`42 (a) R 1 2 (b) ${fields}`)).to.include({ pid: 42, parentPid: 7 });
  });

  it('is absent for other text', () => {
    expect(parseStat('')).to.equal(undefined);
    expect(parseStat('42 (node) S 7')).to.equal(undefined);
  });
});

describe('parsePss()', () => {
  it('takes Pss, not its parts', () => {
    expect(parsePss('Rss:   90 kB\nPss:   12 kB\nPss_Anon:   5 kB\n')).to.equal(12_288);
  });

  it('is absent for other text', () => {
    expect(parsePss('Pss_Anon: 5 kB\n')).to.equal(undefined);
  });
});

describe('treesOf()', () => {
  it('finds each process once, roots and descendants, and nobody else', () => {
    const all = [stat(1, 0), stat(2, 1), stat(3, 2), stat(4, 3), stat(9, 1)];
    expect(treesOf([2, 3], all).map(({ pid }) => pid)).to.deep.equal([2, 3, 4]);
  });

  it('ends when parents form a ring', () => {
    expect(treesOf([5], [stat(1, 2), stat(2, 1)])).to.deep.equal([]);
  });
});

describe('cpuSecondsOf() and pssBytesOf()', () => {
  it('count a child that burns time and holds memory', async () => {
    const program = `
      const held = Buffer.alloc(64 << 20, 1);
      const burnt = () => process.cpuUsage().user + process.cpuUsage().system;
      while (burnt() < 300_000) held[0]++;
      console.log('done');
      setTimeout(() => {}, 60_000);`;
    const child = spawn(process.execPath, ['-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await once(child.stdout, 'data');
      const roots = [child.pid ?? 0];
      expect(cpuSecondsOf(roots)).to.be.within(0.15, 5);
      expect(pssBytesOf(roots)).to.be.above(64 << 20);
    } finally {
      child.kill('SIGKILL');
      await once(child, 'close');
    }
    expect(cpuSecondsOf([child.pid ?? 0])).to.equal(0);
  });
});

function stat(pid: number, parentPid: number): ProcessStat {
  return { pid, parentPid, cpuSeconds: 1 };
}
