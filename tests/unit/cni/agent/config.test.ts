import { expect } from 'chai';
import { describe, it } from 'mocha';

import { type AgentConfig, readConfig } from '#cni/agent/config.ts';

const NODE = { NODE_NAME: 'node-1' };

function ok(env: Record<string, string> = {}): AgentConfig {
  const read = readConfig({ ...NODE, ...env });
  if (read.kind === 'refused') throw new Error(read.problems.join('; '));
  return read.config;
}

describe('readConfig()', () => {
  it('needs the name of the node alone', () => {
    const config = ok();
    expect(config).to.include({
      nodeName: 'node-1',
      ambientEnabled: true,
      captureDns: false,
      runDirectory: '/var/run/istio-cni',
      tunnelSocketPath: '/var/run/ztunnel/ztunnel.sock',
      healthPort: 8_000,
      metricsPort: 15_014,
      hostRoot: '/host',
      entersHostNetwork: false,
    });
    expect(config.probeSources.ipv4).to.equal('169.254.7.127');
    expect(config.install).to.include({
      configDirectory: '/host/etc/cni/net.d',
      pluginDirectory: '/host/opt/cni/bin',
      chained: true,
      ownedConfigName: undefined,
      kubeconfigMode: 0o600,
      configMode: 0o600,
    });
  });

  const cases: readonly (readonly [
    Record<string, string>,
    (config: AgentConfig) => unknown,
    unknown,
  ])[] = [
    [{ EXCLUDE_NAMESPACES: ' a, ,b' }, (config) => config.excludedNamespaces, ['a', 'b']],
    [{ MONITORING_PORT: '0' }, (config) => config.metricsPort, undefined],
    [{ MONITORING_PORT: '-1' }, (config) => config.metricsPort, undefined],
    [{ KUBECONFIG_MODE: '0640' }, (config) => config.install.kubeconfigMode, 0o640],
    [{ CNI_CONF_GROUP_READ: 'true' }, (config) => config.install.configMode, 0o640],
    [
      { ISTIO_OWNED_CNI_CONFIG: 'true' },
      (config) => config.install.ownedConfigName,
      '02-istio-cni.conflist',
    ],
    [
      { ISTIO_OWNED_CNI_CONFIG: 'true', CHAINED_CNI_PLUGIN: 'false' },
      (config) => config.install.ownedConfigName,
      undefined,
    ],
    [{ HOST_PROBE_SNAT_IPV6: 'fd00:0::7' }, (config) => config.probeSources.ipv6, 'fd00::7'],
    [
      { CNI_HOST_NODE: '/n', CNI_HOST_PROJECT: '/p' },
      (config) => config.install.hostProgram,
      { node: '/n', project: '/p' },
    ],
    [
      { AMBIENT_ENABLEMENT_SELECTOR: '- podSelector: {matchLabels: {mesh: "yes"}}' },
      (config) => config.selectors,
      [{ podSelector: { matchLabels: { mesh: 'yes' } } }],
    ],
  ];
  for (const [env, get, expected] of cases) {
    it(`reads ${JSON.stringify(env)}`, () => {
      expect(get(ok(env))).to.deep.equal(expected);
    });
  }

  it('tells of everything that is wrong at once', () => {
    const read = readConfig({
      HOST_PROBE_SNAT_IP: 'fd00::7',
      KUBECONFIG_MODE: 'rw',
      AMBIENT_ENABLEMENT_SELECTOR: '- pods: {}',
      LOG_LEVEL: 'loud',
      CNI_HOST_NODE: '/n',
      MONITORING_PORT: 'x',
    });
    const problems = read.kind === 'refused' ? read.problems.join('\n') : '';
    for (const name of [
      'NODE_NAME',
      'HOST_PROBE_SNAT_IP',
      'KUBECONFIG_MODE',
      'AMBIENT_ENABLEMENT_SELECTOR',
      'LOG_LEVEL',
      'CNI_HOST_PROJECT',
      'MONITORING_PORT',
    ]) {
      expect(problems).to.contain(name);
    }
  });

  it('warns of settings that have no effect', () => {
    const read = readConfig({ ...NODE, FORCE_IPTABLES_BINARY: 'nft' });
    expect(read.kind === 'ok' && read.warnings).to.deep.equal([
      'FORCE_IPTABLES_BINARY has no effect here',
    ]);
  });
});
