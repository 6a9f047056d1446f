import {
  closeSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { copyKubeconfig, kubeconfigProblem, removeKubeconfig } from '#cli/kubeconfig-file.ts';

describe('kubeconfigProblem()', () => {
  let directory: string;
  let file: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'ambit-kubeconfig-'));
    file = join(directory, 'config');
  });
  afterEach(() => {
    rmSync(directory, { recursive: true });
  });

  it('has none with a file that is not there, is empty, or is of the same cluster', () => {
    expect(kubeconfigProblem(file, 'shop')).to.equal(undefined);
    writeFileSync(file, '\n');
    expect(kubeconfigProblem(file, 'shop')).to.equal(undefined);
    writeFileSync(file, 'clusters: [{name: shop, cluster: {server: "https://127.0.0.1:1"}}]\n');
    expect(kubeconfigProblem(file, 'shop')).to.equal(undefined);
  });

  it('says so when there is something that is no file', () => {
    expect(kubeconfigProblem(directory, 'shop')).to.include('EISDIR');
  });

  it('keeps files that hold something else', () => {
    const others = [
      'clusters: [{name: work}]',
      'clusters: [{name: shop}, {name: work}]',
      'a: [',
      'hello',
    ];
    for (const text of others) {
      writeFileSync(file, text);
      expect(kubeconfigProblem(file, 'shop'), text).to.include('it is there already');
    }
  });

  it('names a directory that is not there', () => {
    expect(kubeconfigProblem(join(directory, 'no/config'), 'shop')).to.equal(
      `${directory}/no is not a directory that can be written to`,
    );
  });

  it('copyKubeconfig() makes a file that only its owner can read', () => {
    const from = join(directory, 'from');
    writeFileSync(from, 'text', { mode: 0o644 });
    writeFileSync(file, 'old and longer', { mode: 0o644 });
    copyKubeconfig(from, file);
    expect(readFileSync(file, 'utf8')).to.equal('text');
    expect(statSync(file).mode & 0o777).to.equal(0o600);
  });

  it('copyKubeconfig() shows nothing to who has the older file open, and follows a link', () => {
    const from = join(directory, 'from');
    const link = join(directory, 'link');
    writeFileSync(from, 'secret');
    writeFileSync(file, '', { mode: 0o666 });
    symlinkSync(file, link);
    const before = openSync(file, 'r');
    try {
      copyKubeconfig(from, link);
      expect(readFileSync(before, 'utf8')).to.equal('');
    } finally {
      closeSync(before);
    }
    expect(lstatSync(link).isSymbolicLink()).to.equal(true);
    expect(readFileSync(file, 'utf8')).to.equal('secret');
    expect(readdirSync(directory).toSorted()).to.deep.equal(['config', 'from', 'link']);
  });

  it('copyKubeconfig() leaves a device a device', () => {
    const from = join(directory, 'from');
    writeFileSync(from, 'secret');
    copyKubeconfig(from, '/dev/null');
    expect(statSync('/dev/null').isCharacterDevice()).to.equal(true);
  });
});

describe('removeKubeconfig()', () => {
  it('removes that of the cluster, and nothing else', () => {
    const directory = mkdtempSync(join(tmpdir(), 'ambit-kubeconfig-'));
    const file = join(directory, 'config');
    writeFileSync(file, 'clusters: [{name: work}]');
    removeKubeconfig(file, 'shop');
    expect(readFileSync(file, 'utf8')).to.equal('clusters: [{name: work}]');
    writeFileSync(file, 'clusters: [{name: shop}]');
    removeKubeconfig(file, 'shop');
    removeKubeconfig(file, 'shop');
    expect(existsSync(file)).to.equal(false);
    rmSync(directory, { recursive: true });
  });
});
