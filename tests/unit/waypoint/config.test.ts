import { expect } from 'chai';
import { describe, it } from 'mocha';

import { describeConfig, readConfig } from '#waypoint/config.ts';

const POD = {
  POD_NAME: 'waypoint-1',
  POD_NAMESPACE: 'shop',
  SERVICE_ACCOUNT: 'waypoint',
  INSTANCE_IP: '10.0.0.9',
  XDS_ADDRESS: 'istiod:15012',
};

function limitsOf(env: Readonly<Record<string, string>>): unknown {
  const read = readConfig({ ...POD, ...env }, { cpus: 1 });
  return read.kind === 'ok' ? read.config.limits : read.problems;
}

describe('readConfig() of the waypoint', () => {
  it('takes what istiod writes into a Deployment', () => {
    const read = readConfig({ ...POD, TERMINATION_GRACE_PERIOD_SECONDS: '30' }, { cpus: 8 });
    if (read.kind === 'refused') throw new Error(read.problems.join());
    const { config } = read;
    expect(config).to.deep.include({
      identity: 'spiffe://cluster.local/ns/shop/sa/waypoint',
      workers: 2,
      drainDeadlineMs: 25_000,
      ports: { tunnel: 15_008, admin: 15_000, stats: 15_020, readiness: 15_021 },
    });
    expect(config.xds).to.deep.include({ address: 'https://istiod:15012', onDemand: false });
    expect(config.xds.node.id).to.equal('waypoint~10.0.0.9~waypoint-1.shop~shop.svc.cluster.local');
  });

  it('limits idle streams, and bodies where that is wanted', () => {
    expect(limitsOf({})).to.deep.equal({ requestBodyBytes: Infinity, streamIdleMs: 3_600_000 });
    const given = {
      WAYPOINT_REQUEST_BODY_MAX_BYTES: '1048576',
      WAYPOINT_STREAM_IDLE_TIMEOUT: '0s',
    };
    expect(limitsOf(given)).to.deep.equal({ requestBodyBytes: 1_048_576, streamIdleMs: Infinity });
    expect(limitsOf({ WAYPOINT_REQUEST_BODY_MAX_BYTES: '1MB' })).to.deep.equal([
      'Cannot read WAYPOINT_REQUEST_BODY_MAX_BYTES="1MB": want a whole number from 0 to 1000000000000',
    ]);
  });

  it('tells everything that is wrong', () => {
    const { SERVICE_ACCOUNT: _, ...without } = POD;
    const read = readConfig({ ...without, INSTANCE_IP: 'x', STATS_PORT: '0' }, { cpus: 1 });
    expect(read).to.deep.equal({
      kind: 'refused',
      problems: [
        'Cannot read INSTANCE_IP="x": want an IP address',
        'SERVICE_ACCOUNT is not set: a waypoint must know which pod it is',
        'Cannot read STATS_PORT="0": want a whole number from 1 to 65535',
      ],
    });
  });

  it('refuses names that make no identity', () => {
    const read = readConfig({ ...POD, TRUST_DOMAIN: 'a/b' }, { cpus: 1 });
    expect(read.kind).to.equal('refused');
  });
});

describe('describeConfig() of the waypoint', () => {
  it('shows the settings without what may be secret', () => {
    const secret = 'hidden';
    const read = readConfig({ ...POD, AUTH_TOKEN: secret, LOG_FORMAT: 'json' }, { cpus: 2 });
    if (read.kind === 'refused') throw new Error(read.problems.join());
    expect(JSON.stringify(read.config)).to.include(secret);
    const described = describeConfig(read.config);
    expect(JSON.stringify(described)).to.not.include(secret);
    expect(described).to.deep.include({ workers: 2, log: { format: 'json', filter: 'info' } });
  });
});
