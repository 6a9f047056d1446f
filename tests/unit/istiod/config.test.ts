import { expect } from 'chai';
import { describe, it } from 'mocha';

import { type Config, readConfig } from '#istiod/config.ts';

const HOUR_MS = 3_600_000;

function configOf(env: Record<string, string>): Config {
  const read = readConfig(env);
  if (read.kind === 'refused') throw new Error(read.problems.join('\n'));
  return read.config;
}

describe('readConfig()', () => {
  it('fills in the defaults', () => {
    const config = configOf({ POD_NAME: 'istiod-1' });
    expect(config).to.deep.include({
      mesh: {
        trustDomain: 'cluster.local',
        domain: 'cluster.local',
        rootNamespace: 'istio-system',
        systemNamespace: 'istio-system',
        clusterId: 'Kubernetes',
        revision: 'default',
        waypointImage: 'ambit/waypoint:0.1.0',
      },
      kubeconfigPath: undefined,
      ca: {
        lifeMs: { fallback: 24 * HOUR_MS, max: 24 * 90 * HOUR_MS },
        trustedNodeAccounts: new Set(['istio-system/ztunnel']),
        customHosts: [],
      },
      tokenAudiences: ['istio-ca'],
      candidate: 'istiod-1',
      policyStatus: true,
      connectionAgeMs: HOUR_MS / 2,
      host: '0.0.0.0',
      ports: { discovery: 15_012, http: 8_080, monitoring: 15_014 },
    });
  });

  it('reads lists, durations and names', () => {
    const config = configOf({
      POD_NAMESPACE: 'mesh',
      CA_TRUSTED_NODE_ACCOUNTS: 'mesh/ztunnel, kube-system/ztunnel',
      DEFAULT_WORKLOAD_CERT_TTL: '1h',
      TOKEN_AUDIENCES: 'istio-ca,other',
      ISTIOD_CUSTOM_HOST: 'istiod.example',
      ENABLE_LEADER_ELECTION: 'false',
      DISCOVERY_PORT: '0',
    });
    expect(config.mesh).to.include({ systemNamespace: 'mesh', rootNamespace: 'mesh' });
    expect([...config.ca.trustedNodeAccounts]).to.deep.equal([
      'mesh/ztunnel',
      'kube-system/ztunnel',
    ]);
    expect(config.ca.lifeMs.fallback).to.equal(HOUR_MS);
    expect(config.ca.customHosts).to.deep.equal(['istiod.example']);
    expect(config.tokenAudiences).to.deep.equal(['istio-ca', 'other']);
    expect(config.candidate).to.equal(undefined);
    expect(config.ports.discovery).to.equal(0);
  });

  it('goes by another name than every other when no pod name is given', () => {
    expect(configOf({}).candidate).to.match(new RegExp(`-${process.pid}$`));
  });

  it('refuses with everything that is wrong', () => {
    const read = readConfig({
      CA_TRUSTED_NODE_ACCOUNTS: 'ztunnel',
      DEFAULT_WORKLOAD_CERT_TTL: 'a day',
      DISCOVERY_PORT: '70000',
      EXTERNAL_CA: 'ISTIOD_RA_KUBERNETES_API',
      PILOT_CERT_PROVIDER: 'custom',
      LOG_LEVEL: 'loud',
    });
    if (read.kind === 'ok') throw new Error('Was not refused');
    const text = read.problems.join('\n');
    for (const name of [
      'CA_TRUSTED_NODE_ACCOUNTS: want namespace/name',
      'DEFAULT_WORKLOAD_CERT_TTL',
      'DISCOVERY_PORT',
      'EXTERNAL_CA',
      'PILOT_CERT_PROVIDER',
      'LOG_LEVEL',
    ])
      expect(text).to.contain(name);
    expect(read.problems).to.have.length(6);
  });
});
