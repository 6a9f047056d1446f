import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { installPlugin, type PluginSource, removePlugin } from '#cni/agent/install/plugin-files.ts';

describe('installPlugin()', () => {
  let directory: string;
  const copied: PluginSource = {
    project: process.cwd(),
    node: process.execPath,
    nodeVersion: process.version,
    onHost: undefined,
  };
  const shared = { ...copied, onHost: { node: process.execPath, project: process.cwd() } };

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'plugin-files-'));
  });

  afterEach(() => {
    rmSync(directory, { recursive: true });
  });

  function ask(
    env: Record<string, string>,
    input = '',
  ): { code: number | null; stdout: string; stderr: string } {
    const { status, stdout, stderr } = spawnSync(join(directory, 'istio-cni'), [], {
      env,
      input,
      encoding: 'utf8',
    });
    return { code: status, stdout, stderr };
  }

  for (const [what, source] of [
    ['copied to the node', copied],
    ['run from what the node has', shared],
  ] as const) {
    it(`puts a program in place that runs, ${what}`, () => {
      expect(installPlugin(directory, source)).to.equal(true);
      const version = ask({ CNI_COMMAND: 'VERSION' }, '{"cniVersion":"1.0.0"}');
      expect(version.stderr).to.equal('');
      expect(JSON.parse(version.stdout)).to.have.property('supportedVersions');
    });
  }

  it('copies all that the plugin needs, also to ask the API server', () => {
    installPlugin(directory, copied);
    const add = ask(
      {
        CNI_COMMAND: 'ADD',
        CNI_CONTAINERID: 'c',
        CNI_NETNS: '/x',
        CNI_IFNAME: 'eth0',
        CNI_ARGS: 'K8S_POD_NAMESPACE=a;K8S_POD_NAME=b',
      },
      JSON.stringify({
        cniVersion: '1.0.0',
        name: 'n',
        type: 'istio-cni',
        ambient_enabled: true,
        cni_agent_run_dir: directory,
      }),
    );
    expect(add.code).to.equal(1);
    expect(add.stdout).to.contain('cannot be known').and.contain('istio-cni-kubeconfig');
  });

  it('writes nothing the second time, and puts right what was changed', () => {
    installPlugin(directory, shared);
    expect(installPlugin(directory, shared)).to.equal(false);
    writeFileSync(join(directory, 'istio-cni'), '#!/bin/false\n');
    expect(installPlugin(directory, shared)).to.equal(true);
    rmSync(join(directory, 'istio-cni'));
    expect(installPlugin(directory, shared)).to.equal(true);
    expect(statSync(join(directory, 'istio-cni')).mode & 0o777).to.equal(0o755);
  });

  it('removes what an installation left that was killed', () => {
    writeFileSync(join(directory, '.ambit-tmp.17.istio-cni'), '');
    installPlugin(directory, shared);
    expect(readdirSync(directory)).to.deep.equal(['istio-cni']);
  });

  it('leaves plugins of others alone', () => {
    writeFileSync(join(directory, 'ptp'), 'theirs');
    symlinkSync('ptp', join(directory, 'bridge'));
    installPlugin(directory, copied);
    removePlugin(directory);
    expect(readdirSync(directory)).to.deep.equal(['bridge', 'ptp']);
    expect(existsSync(join(directory, 'bridge'))).to.equal(true);
  });
});
