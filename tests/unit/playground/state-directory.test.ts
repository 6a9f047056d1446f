import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { processStartTime, StateDirectory } from '#playground/state-directory.ts';

const own = { pid: process.pid, startTime: processStartTime(process.pid) ?? '' };

describe('StateDirectory', () => {
  let base: string;
  let state: StateDirectory;
  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'ambit-state-'));
    state = new StateDirectory(join(base, 'one'));
  });
  afterEach(() => {
    rmSync(base, { recursive: true, force: true });
  });

  it('claim() gives it to the first who asks, and not to another while that one runs', () => {
    expect(state.claim(own)).to.deep.equal({ kind: 'free' });
    expect(state.standing()).to.deep.equal({ kind: 'running', owner: own });
    const other = { pid: own.pid, startTime: '1' };
    expect(state.claim(other)).to.deep.equal({ kind: 'running', owner: own });
    expect(state.standing()).to.deep.equal({ kind: 'running', owner: own });
  });

  it('claim() takes it from a process that has gone, with all that it has left', () => {
    // The same number, but another process.
    const gone = { pid: process.pid, startTime: '1' };
    state.claim(gone);
    writeFileSync(state.file('kubeconfig'), 'old');
    mkdirSync(state.file('nodes/node-1/log'), { recursive: true });
    expect(state.claim(own)).to.deep.equal({ kind: 'left', owner: gone });
    expect(readdirSync(state.path)).to.deep.equal(['owner.json']);
  });

  it('claim() takes it when the file that says whose it is was cut off', () => {
    state.prepare();
    writeFileSync(state.file('owner.json'), '{"pid": 1');
    expect(state.claim(own).kind).to.equal('left');
    expect(state.standing().kind).to.equal('running');
  });

  it('record() passes it on to another process', () => {
    state.claim({ pid: process.pid, startTime: '1' });
    state.record(own);
    expect(state.standing()).to.deep.equal({ kind: 'running', owner: own });
  });

  it('clean() removes the control groups of the one that had it', () => {
    const cgroups = join(base, 'cgroup');
    mkdirSync(join(cgroups, 'node-1/kubepods'), { recursive: true });
    state.claim({ ...own, cgroups });
    state.clean('nothing');
    expect(existsSync(cgroups)).to.equal(false);
    expect(existsSync(state.path)).to.equal(false);
  });

  it('clean() keeps the logs for who wants to know what went wrong', () => {
    state.claim(own);
    writeFileSync(join(state.directory('log'), 'api-server.log'), 'no');
    state.directory('pki');
    state.clean('logs');
    expect(readdirSync(state.path)).to.deep.equal(['log']);
    state.clean('nothing');
    expect(readdirSync(base)).to.deep.equal([]);
  });

  it('prepare() says when the disk is full', () => {
    expect(() => state.prepare(() => 1_000_000)).to.throw(
      /^Cannot use the state directory ".*\/one": the disk is full, want 16 MB$/,
    );
  });

  it('prepare() says what is wrong with a place that cannot be used', () => {
    writeFileSync(join(base, 'file'), '');
    const below = new StateDirectory(join(base, 'file/one'));
    expect(() => below.prepare()).to.throw(
      /^Cannot use the state directory ".*\/file\/one": a part of the path is a file$/,
    );
  });
});
