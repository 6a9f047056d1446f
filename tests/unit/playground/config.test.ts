import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { readConfig } from '#playground/config.ts';

function problems(...args: string[]): readonly string[] {
  const read = readConfig(args);
  return read.kind === 'refused' ? read.problems : [];
}

describe('readConfig()', () => {
  it('knows a cluster of two nodes by the name "ambit" when nothing else is said', () => {
    const read = readConfig(['--state', '/var/lib/clusters']);
    expect(read.kind === 'config' && read.config).to.deep.include({
      name: 'ambit',
      stateDirectory: '/var/lib/clusters/ambit',
      nodes: 2,
      port: 0,
      task: 'run',
      inside: undefined,
    });
  });

  it('tells all problems at once, each with what would be right', () => {
    const given = ['--name', 'My_Cluster', '--nodes', '0', '--port', '70000', '--image', 'nginx'];
    const found = problems(...given);
    expect(found).to.have.length(5);
    expect(found[0]).to.equal('--state is missing: want a directory');
    expect(found[1]).to.match(/^--name "My_Cluster": want small letters/);
    expect(found[2]).to.equal('--nodes "0": want a number from 1 to 64');
    expect(found[3]).to.equal('--port "70000": want a number from 0 to 65535');
    expect(found[4]).to.match(/"nginx".*NAME=PROGRAM/);
  });

  it('refuses a state directory that the cluster could not see', () => {
    for (const state of ['/run/user/1000', '/proc', '/var/run/x', '/run/../run']) {
      expect(problems('--state', state), state).to.have.length(1);
    }
    expect(problems('--state', '/running')).to.deep.equal([]);
  });

  it('refuses options that it does not know', () => {
    expect(problems('--state', '/x', '--color')[0]).to.include('--color');
  });

  it('takes images of the file, and those of the command line before them', () => {
    const directory = mkdtempSync(join(tmpdir(), 'ambit-images-'));
    const file = join(directory, 'images');
    writeFileSync(file, '# ours\n\nexample.com/a=cat -u\nexample.com/b=cat\n');
    const args = ['--state', '/x', '--images', file, '--image', 'example.com/b=tac'];
    const read = readConfig(args);
    rmSync(directory, { recursive: true });
    expect(read.kind).to.equal('config');
    if (read.kind !== 'config') return;
    const commandOf = (name: string): readonly string[] | undefined =>
      read.config.images.get(name)?.command;
    expect(commandOf('example.com/a')).to.deep.equal(['cat', '-u']);
    expect(commandOf('example.com/b')).to.deep.equal(['tac']);
    expect(commandOf('ambit/echo')).not.to.equal(undefined);
    expect(problems('--state', '/x', '--images', file)[0]).to.include('there is no such file');
    expect(problems('--state', '/x', '--images', tmpdir())[0]).to.include('EISDIR');
  });
});
