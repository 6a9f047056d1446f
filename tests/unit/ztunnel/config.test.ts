import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { Config } from '#ztunnel/config.ts';
import { describeConfig, readConfig } from '#ztunnel/config.ts';

type Env = Record<string, string>;

const minimal: Env = { LOCAL_XDS_PATH: '/etc/mesh.yaml' };

function configOf(env: Env, cpus = 4): Config {
  const result = readConfig({ ...minimal, ...env }, { cpus });
  if (result.kind === 'refused') throw new Error(result.problems.join('\n'));
  return result.config;
}

function problemsOf(env: Env): readonly string[] {
  const result = readConfig(env, { cpus: 4 });
  return result.kind === 'refused' ? result.problems : [];
}

describe('readConfig()', () => {
  it('fills in the defaults', () => {
    expect(configOf({})).to.deep.equal({
      self: {
        network: '',
        nodeName: undefined,
        clusterId: 'Kubernetes',
        trustDomain: undefined,
        instanceIp: undefined,
        podName: undefined,
        podNamespace: undefined,
        serviceAccount: undefined,
      },
      state: { kind: 'file', path: '/etc/mesh.yaml' },
      ca: {
        address: 'https://localhost:15012',
        root: { kind: 'file', path: './var/run/secrets/istio/root-cert.pem' },
        alternativeHostname: undefined,
        certificateTtlMs: 86_400_000,
        token: { kind: 'file', path: './var/run/secrets/tokens/istio-token' },
        headers: new Map(),
      },
      inpod: {
        agentSocketPath: '/var/run/ztunnel/ztunnel.sock',
        handOverSocketPath: '/var/run/ztunnel/ztunnel.sock.handover',
        packetMark: 0x539,
        portReuse: true,
      },
      keepalive: {
        enabled: true,
        timeMs: 180_000,
        intervalMs: 180_000,
        retries: 9,
        userTimeoutEnabled: false,
      },
      pool: { streamsPerConnectionMax: 100, unusedReleaseMs: 300_000 },
      http2: {
        streamWindowBytes: 4_194_304,
        connectionWindowBytes: 16_777_216,
        frameBytesMax: 1_048_576,
      },
      originalSource: 'auto',
      localhostAppTunnel: true,
      responseBaggage: true,
      ipv6Enabled: true,
      policyInfoLogging: false,
      waitAfterHandOver: false,
      workerThreads: 2,
      drainDeadlineMs: 5_000,
      log: { format: 'text', filter: { text: 'info', rules: [{ scope: '', upTo: 2 }] } },
      ports: { admin: 15_000, stats: 15_020, readiness: 15_021 },
    });
  });

  const tables: ReadonlyArray<readonly [Env, (config: Config) => unknown, unknown]> = [
    [{ CLUSTER_ID: 'b' }, (c) => c.self.clusterId, 'b'],
    [{ CLUSTER_ID: 'b', ISTIO_META_CLUSTER_ID: 'a' }, (c) => c.self.clusterId, 'a'],
    [{ INSTANCE_IP: '2001:DB8::1' }, (c) => c.self.instanceIp, '2001:db8::1'],
    [
      { KUBERNETES_SERVICE_HOST: '10.96.0.1' },
      (c) => c.ca.address,
      'https://istiod.istio-system.svc:15012',
    ],
    [{ CA_ADDRESS: 'ca.example:15012' }, (c) => c.ca.address, 'https://ca.example:15012'],
    [{ CA_ADDRESS: 'http://127.0.0.1:99/' }, (c) => c.ca.address, 'http://127.0.0.1:99'],
    [{ CA_ROOT_CA: 'SYSTEM' }, (c) => c.ca.root.kind, 'system'],
    [{ CA_ROOT_CA: '-----BEGIN CERTIFICATE-----' }, (c) => c.ca.root.kind, 'inline'],
    [{ AUTH_TOKEN: '/var/token' }, (c) => c.ca.token, { kind: 'file', path: '/var/token' }],
    [{ AUTH_TOKEN: 'eyJ.eyJ.sig' }, (c) => c.ca.token, { kind: 'inline', text: 'eyJ.eyJ.sig' }],
    [{ CA_HEADER_X_Env: 'test' }, (c) => [...c.ca.headers], [['x_env', 'test']]],
    [{ SECRET_TTL: '1h' }, (c) => c.ca.certificateTtlMs, 3_600_000],
    [{ PACKET_MARK: '0x1' }, (c) => c.inpod.packetMark, 1],
    [{ INPOD_UDS: '/a.sock' }, (c) => c.inpod.handOverSocketPath, '/a.sock.handover'],
    [{ HANDOVER_UDS: '/b.sock' }, (c) => c.inpod.handOverSocketPath, '/b.sock'],
    [{ HANDOVER_UDS: '' }, (c) => c.inpod.handOverSocketPath, undefined],
    [{ ENABLE_ORIG_SRC: 'true' }, (c) => c.originalSource, 'always'],
    [{ ENABLE_ORIG_SRC: 'false' }, (c) => c.originalSource, 'never'],
    [{ KEEPALIVE_TIME: '30s', KEEPALIVE_RETRIES: '3' }, (c) => c.keepalive.timeMs, 30_000],
    [{ POOL_UNUSED_RELEASE_TIMEOUT: '1m' }, (c) => c.pool.unusedReleaseMs, 60_000],
    [{ HTTP2_FRAME_SIZE: '16384' }, (c) => c.http2.frameBytesMax, 16_384],
    [{ LOG_FORMAT: 'json' }, (c) => c.log.format, 'json'],
    [{ RUST_LOG: 'info,access=debug' }, (c) => c.log.filter.text, 'info,access=debug'],
    [{ ADMIN_PORT: '25000' }, (c) => c.ports.admin, 25_000],
    [{ TERMINATION_GRACE_PERIOD_SECONDS: '30' }, (c) => c.drainDeadlineMs, 25_000],
    [{ TERMINATION_GRACE_PERIOD_SECONDS: '10' }, (c) => c.drainDeadlineMs, 9_000],
    [{ TERMINATION_GRACE_PERIOD_SECONDS: '0' }, (c) => c.drainDeadlineMs, 1_000],
    [
      { TERMINATION_GRACE_PERIOD_SECONDS: '30', CONNECTION_TERMINATION_DEADLINE: '7s' },
      (c) => c.drainDeadlineMs,
      7_000,
    ],
  ];
  for (const [env, pick, want] of tables) {
    it(`reads ${JSON.stringify(env)}`, () => expect(pick(configOf(env))).to.deep.equal(want));
  }

  const workers: ReadonlyArray<readonly [Env, number, number]> = [
    [{}, 2, 2],
    [{}, 16, 4],
    [{ ZTUNNEL_RESOURCE_CPU_REQUEST: '6' }, 16, 6],
    [{ ZTUNNEL_CPU_LIMIT: '3' }, 16, 3],
    [{ ZTUNNEL_CPU_LIMIT: '500m' }, 16, 1],
    [{ ZTUNNEL_RESOURCE_CPU_LIMIT: '1500m' }, 16, 2],
    [{ ZTUNNEL_WORKER_THREADS: '1' }, 16, 1],
    [{ ZTUNNEL_WORKER_THREADS: '0' }, 16, 16],
    [{ ZTUNNEL_WORKER_THREADS: '50%' }, 16, 8],
    [{ ZTUNNEL_WORKER_THREADS: '1%' }, 2, 1],
    [{ ZTUNNEL_WORKER_THREADS: '2', ZTUNNEL_CPU_LIMIT: '8' }, 16, 2],
  ];
  for (const [env, cpus, want] of workers) {
    it(`runs ${want} workers for ${JSON.stringify(env)} on ${cpus} processors`, () => {
      expect(configOf(env, cpus).workerThreads).to.equal(want);
    });
  }

  const refused: ReadonlyArray<readonly [Env, RegExp]> = [
    [{ PROXY_MODE: 'dedicated' }, /^PROXY_MODE=dedicated is not served/],
    [{ PROXY_MODE: 'both' }, /want one of "shared", "dedicated"/],
    [{ ENABLE_PROXY: 'false' }, /^ENABLE_PROXY=false/],
    [{ XDS_ADDRESS: 'https://istiod:15012' }, /want the mesh from one of them/],
    [{ FAKE_CA: 'true' }, /^FAKE_CA=true is not served/],
    [{ TLS12_ENABLED: 'true' }, /TLS 1.3 only/],
    [{ COMPLIANCE_POLICY: 'fips-140-2' }, /^COMPLIANCE_POLICY/],
    [{ CRL_PATH: '/crl.pem' }, /^CRL_PATH/],
    [{ LOCAL_XDS: '{}' }, /both set/],
    [{ INSTANCE_IP: '10.0.0' }, /Cannot read INSTANCE_IP="10.0.0": want an IP address/],
    [{ CA_ADDRESS: 'ftp://ca' }, /Cannot read CA_ADDRESS/],
    [{ CA_ADDRESS: 'https://ca/path' }, /Cannot read CA_ADDRESS/],
    [{ CA_ADDRESS: 'https://user:secret@ca' }, /Cannot read CA_ADDRESS/],
    [{ CA_HEADER_X: 'a\nb' }, /Cannot use CA_HEADER_X/],
    [{ PACKET_MARK: '0' }, /Cannot read PACKET_MARK/],
    [{ HTTP2_FRAME_SIZE: '16383' }, /from 16384 to 16777215/],
    [{ HTTP2_STREAM_WINDOW_SIZE: '1024' }, /from 65535/],
    [{ KEEPALIVE_RETRIES: '0' }, /from 1 to 127/],
    [{ SECRET_TTL: '10' }, /Cannot read SECRET_TTL="10": want a duration/],
    [{ RUST_LOG: 'loud' }, /^RUST_LOG: Cannot read log filter: part/],
    [{ ZTUNNEL_WORKER_THREADS: '101%' }, /ZTUNNEL_WORKER_THREADS/],
    [{ ZTUNNEL_WORKER_THREADS: '-1' }, /ZTUNNEL_WORKER_THREADS/],
    [{ ZTUNNEL_CPU_LIMIT: '0' }, /ZTUNNEL_CPU_LIMIT/],
    [{ STATS_PORT: '15000' }, /must differ/],
  ];
  for (const [env, want] of refused) {
    it(`refuses ${JSON.stringify(env)}`, () => {
      const problems = problemsOf({ ...minimal, ...env });
      expect(problems).to.have.length(1);
      expect(problems[0]).to.match(want);
    });
  }

  it('refuses when nothing says where the state comes from', () => {
    for (const env of [
      {},
      { XDS_ADDRESS: '' },
      { XDS_ADDRESS: '', KUBERNETES_SERVICE_HOST: '1' },
    ]) {
      expect(problemsOf(env)).to.have.length(1);
      expect(problemsOf(env)[0]).to.match(/set XDS_ADDRESS \(a control plane\), LOCAL_XDS_PATH/);
    }
  });

  it('refuses paths that are too long for a socket', () => {
    const path = `/${'x'.repeat(98)}`;
    expect(
      problemsOf({ ...minimal, INPOD_UDS: `${path}12345678`, HANDOVER_UDS: path }),
    ).to.deep.equal([]);
    const [agent, successor] = problemsOf({
      ...minimal,
      INPOD_UDS: `${path}123456789`,
      HANDOVER_UDS: `${path}é`,
    });
    expect(agent).to.include('INPOD_UDS is a path of 108 bytes, want at most 107');
    expect(successor).to.include('HANDOVER_UDS is a path of 101 bytes, want at most 99');
  });

  it('reports all problems at once', () => {
    expect(
      problemsOf({ PROXY_MODE: 'dedicated', PACKET_MARK: 'x', IPV6_ENABLED: 'maybe' }),
    ).to.have.length(4);
  });

  it('warns about settings of parts that are missing, unless they are switched off', () => {
    const result = readConfig({
      ...minimal,
      ISTIO_META_DNS_CAPTURE: 'false',
      PROXY_CONFIG: '{}',
    });
    expect(result).to.have.property('kind', 'ok');
    expect(result).to.have.deep.property('warnings', [
      'PROXY_CONFIG has no effect: settings are read from single variables',
    ]);
  });

  it('gives an object that cannot be changed', () => {
    const config = configOf({});
    expect(Object.isFrozen(config)).to.equal(true);
    expect(Object.isFrozen(config.ca.token)).to.equal(true);
  });
});

describe('readConfig() in a cluster', () => {
  it('waits for the signal to end after a hand-over', () => {
    expect(configOf({ KUBERNETES_SERVICE_HOST: '10.0.0.1' }).waitAfterHandOver).to.equal(true);
  });
});

describe('describeConfig()', () => {
  it('shows neither an inline token nor header values', () => {
    const config = configOf({ AUTH_TOKEN: 'eyJsecret', CA_HEADER_key: 'hush' });
    const text = JSON.stringify(describeConfig(config));
    expect(text).not.to.match(/eyJsecret|hush/);
    expect(JSON.parse(text)).to.have.deep.nested.property('ca.headers', { key: '(left out)' });
    expect(JSON.parse(text)).to.have.nested.property('log.filter', 'info');
  });

  it('nor those for the control plane', () => {
    const env = { XDS_ADDRESS: 'istiod:1', POD_NAME: 'z', POD_NAMESPACE: 'n' };
    const read = readConfig({ ...env, AUTH_TOKEN: 'eyJsecret', XDS_HEADER_key: 'hush' });
    if (read.kind === 'refused') throw new Error(read.problems.join('\n'));
    const text = JSON.stringify(describeConfig(read.config));
    expect(text).not.to.match(/eyJsecret|hush/);
    expect(JSON.parse(text)).to.have.nested.property('state.address', 'https://istiod:1');
  });
});
