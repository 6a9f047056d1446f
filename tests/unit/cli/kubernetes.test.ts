import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { findConfig } from '#cli/kubernetes.ts';

function serverOf(...args: Parameters<typeof findConfig>): string {
  return findConfig(...args).credentials.server;
}

describe('findConfig()', () => {
  let directory: string;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'kubeconfig-'));
  });
  afterEach(() => {
    rmSync(directory, { recursive: true });
  });

  /** A kubeconfig with one context, which has the name of its server. */
  function write(name: string): string {
    const file = join(directory, name);
    const config = {
      'current-context': name,
      contexts: [{ name, context: { cluster: 'c', user: 'u', namespace: `of-${name}` } }],
      clusters: [{ name: 'c', cluster: { server: `https://${name}` } }],
      users: [{ name: 'u', user: { token: 't' } }],
    };
    writeFileSync(file, JSON.stringify(config));
    return file;
  }
  it('takes the named file before that of the environment', () => {
    const [one, other] = [write('one'), write('other')];
    const environment = { KUBECONFIG: other };
    expect(serverOf({ kubeconfig: one }, environment)).to.equal('https://one');
    expect(serverOf({}, environment)).to.equal('https://other');
    expect(findConfig({}, environment).namespace).to.equal('of-other');
  });

  it('looks for the context in all files of the environment, leaving out what is not there', () => {
    const files = [join(directory, 'absent'), write('one'), write('other')];
    const environment = { KUBECONFIG: files.join(delimiter) };
    expect(serverOf({}, environment)).to.equal('https://one');
    expect(serverOf({ context: 'other' }, environment)).to.equal('https://other');
    expect(() => findConfig({ context: 'third' }, environment)).to.throw(
      'it has no context "third"',
    );
  });

  it('says where it has looked', () => {
    const environment = { HOME: directory };
    expect(() => findConfig({}, environment)).to.throw(
      `there is no ${join(directory, '.kube/config')}; want --kubeconfig FILE`,
    );
    expect(() => findConfig({ kubeconfig: '/nowhere' }, environment)).to.throw('no /nowhere');
  });
});
