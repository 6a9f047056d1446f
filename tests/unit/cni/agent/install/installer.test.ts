import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { Installer, type InstallResult } from '#cni/agent/install/installer.ts';
import { systemClock } from '#common/clock.ts';
import { logLines } from '#tests/support/log-lines.ts';

const DEADLINE_MS = 60_000;
const NETWORK = { cniVersion: '1.0.0', name: 'net', plugins: [{ type: 'ptp' }] };

describe('Installer', () => {
  let directory: string;
  let configDirectory: string;
  let pluginDirectory: string;
  let kubeconfig: () => string;
  let results: InstallResult[];
  let lines: readonly string[];
  let installer: Installer;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'installer-'));
    [configDirectory, pluginDirectory] = [join(directory, 'net.d'), join(directory, 'bin')];
    mkdirSync(configDirectory);
    mkdirSync(pluginDirectory);
    kubeconfig = () => 'kubeconfig';
    results = [];
    const logged = logLines();
    lines = logged.lines;
    installer = new Installer({
      configDirectory,
      pluginDirectory,
      placement: { chained: true, configName: undefined, ownedConfigName: undefined },
      configMode: 0o600,
      kubeconfigPath: join(directory, 'kubeconfig'),
      kubeconfigMode: 0o600,
      entry: { type: 'istio-cni' },
      source: {
        project: process.cwd(),
        node: process.execPath,
        nodeVersion: process.version,
        onHost: { node: process.execPath, project: process.cwd() },
      },
      kubeconfig: () => kubeconfig(),
      watched: [directory],
      clock: systemClock,
      log: logged.log,
      onAttempt: (result) => results.push(result),
    });
  });

  afterEach(() => {
    installer.stop();
    rmSync(directory, { recursive: true });
  });

  function writeNetwork(): void {
    writeFileSync(join(configDirectory, '10-net.conflist'), JSON.stringify(NETWORK), {
      mode: 0o644,
    });
  }

  function plugins(): readonly string[] {
    const text = readFileSync(join(configDirectory, '10-net.conflist'), 'utf8');
    return (JSON.parse(text) as typeof NETWORK).plugins.map(({ type }) => type);
  }

  async function until(what: string, holds: () => boolean): Promise<void> {
    for (const deadlineMs = Date.now() + DEADLINE_MS; !holds(); await wait(10)) {
      if (Date.now() > deadlineMs) throw new Error(`Waited in vain: ${what}; ${lines.join('\n')}`);
    }
  }

  it('puts everything in place', () => {
    writeNetwork();
    installer.start();
    expect(installer.notInstalledBecause).to.equal(undefined);
    expect([plugins(), readdirSync(pluginDirectory)]).to.deep.equal([
      ['ptp', 'istio-cni'],
      ['istio-cni'],
    ]);
    expect(readFileSync(join(directory, 'kubeconfig'), 'utf8')).to.equal('kubeconfig');
    expect(statSync(join(directory, 'kubeconfig')).mode & 0o777).to.equal(0o600);
    // The file of others keeps who may read it.
    expect(statSync(join(configDirectory, '10-net.conflist')).mode & 0o777).to.equal(0o644);
    expect(results).to.deep.equal(['SUCCESS']);
  });

  it('waits for a node that has no network yet', async () => {
    installer.start();
    expect(installer.notInstalledBecause).to.contain('no CNI configuration yet');
    writeNetwork();
    await until('the plugin is in place', () => installer.notInstalledBecause === undefined);
    expect(plugins()).to.deep.equal(['ptp', 'istio-cni']);
  });

  const changes: readonly (readonly [string, () => void, () => boolean])[] = [
    [
      'the configuration is written anew',
      () => writeNetwork(),
      () => plugins().includes('istio-cni'),
    ],
    [
      'the plugin is removed',
      () => rmSync(join(pluginDirectory, 'istio-cni')),
      () => readdirSync(pluginDirectory).includes('istio-cni'),
    ],
    [
      'another configuration comes first',
      () => writeFileSync(join(configDirectory, '05-new.conflist'), JSON.stringify(NETWORK)),
      () => readFileSync(join(configDirectory, '05-new.conflist'), 'utf8').includes('istio-cni'),
    ],
    [
      'the token is replaced',
      () => {
        kubeconfig = () => 'with another token';
        writeFileSync(join(directory, 'token'), '');
      },
      () => readFileSync(join(directory, 'kubeconfig'), 'utf8') === 'with another token',
    ],
  ];
  for (const [what, change, isRepaired] of changes) {
    it(`repairs when ${what}`, async () => {
      writeNetwork();
      installer.start();
      change();
      await until('it is repaired', isRepaired);
    });
  }

  it('says which step failed, and goes on trying', async () => {
    writeNetwork();
    kubeconfig = () => {
      throw new Error('no token');
    };
    installer.start();
    expect([results, installer.notInstalledBecause]).to.deep.equal([
      ['CREATE_KUBECONFIG_FAILURE'],
      'no token',
    ]);
    kubeconfig = () => 'kubeconfig';
    await until('it is in place', () => installer.notInstalledBecause === undefined);
  });

  it('leaves nothing when it is uninstalled, and comes not back', async () => {
    writeNetwork();
    installer.start();
    installer.uninstall();
    expect([plugins(), readdirSync(pluginDirectory)]).to.deep.equal([['ptp'], []]);
    expect(readdirSync(directory).toSorted()).to.deep.equal(['bin', 'net.d']);
    writeNetwork();
    await wait(300);
    expect(plugins()).to.deep.equal(['ptp']);
  });
});
