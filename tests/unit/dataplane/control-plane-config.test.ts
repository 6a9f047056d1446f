import { expect } from 'chai';
import { describe, it } from 'mocha';
import type { XdsConfig } from '#dataplane/control-plane-config.ts';
import { readConfig } from '#ztunnel/config.ts';

type Env = Record<string, string>;

const pod: Env = { POD_NAME: 'ztunnel-x', POD_NAMESPACE: 'istio-system', NODE_NAME: 'node-a' };

function stateOf(env: Env): XdsConfig {
  const read = readConfig(env, { cpus: 2 });
  if (read.kind === 'refused') throw new Error(read.problems.join('\n'));
  if (read.config.state.kind !== 'xds') throw new Error('Want a control plane');
  return read.config.state;
}

function problemsOf(env: Env): readonly string[] {
  const read = readConfig(env, { cpus: 2 });
  return read.kind === 'refused' ? read.problems : [];
}

describe('readXds()', () => {
  it('finds the control plane of the cluster when nothing is said', () => {
    expect(stateOf({ ...pod, KUBERNETES_SERVICE_HOST: '10.96.0.1' })).to.deep.equal({
      kind: 'xds',
      address: 'https://istiod.istio-system.svc:15012',
      root: { kind: 'file', path: './var/run/secrets/istio/root-cert.pem' },
      alternativeHostname: undefined,
      token: { kind: 'file', path: './var/run/secrets/tokens/istio-token' },
      headers: new Map([['clusterid', 'Kubernetes']]),
      onDemand: false,
      node: {
        id: 'ztunnel~1.1.1.1~ztunnel-x.istio-system~istio-system.svc.cluster.local',
        metadata: {
          NAME: 'ztunnel-x',
          NAMESPACE: 'istio-system',
          INSTANCE_IPS: '1.1.1.1',
          CLUSTER_ID: 'Kubernetes',
          NODE_NAME: 'node-a',
        },
      },
    });
  });

  it('reads another one, how to check it, and what else to tell it', () => {
    const state = stateOf({
      ...pod,
      XDS_ADDRESS: 'istiod.mesh:15012',
      XDS_ROOT_CA: 'SYSTEM',
      ALT_XDS_HOSTNAME: 'istiod.mesh.svc',
      XDS_HEADER_X_Team: 'a',
      XDS_ON_DEMAND: 'true',
      INSTANCE_IP: '10.0.0.9',
      NETWORK: 'one',
      ISTIO_META_CLUSTER_ID: 'c2',
      ISTIO_META_TEAM: 'b',
      ISTIO_METAJSON_LABELS: '{"app":"ztunnel"}',
    });
    expect(state).to.deep.include({
      address: 'https://istiod.mesh:15012',
      root: { kind: 'system' },
      alternativeHostname: 'istiod.mesh.svc',
      onDemand: true,
      headers: new Map([
        ['x_team', 'a'],
        ['clusterid', 'c2'],
      ]),
    });
    expect(state.node.id).to.match(/^ztunnel~10\.0\.0\.9~/);
    expect(state.node.metadata).to.deep.include({
      INSTANCE_IPS: '10.0.0.9',
      NETWORK: 'one',
      CLUSTER_ID: 'c2',
      TEAM: 'b',
      LABELS: { app: 'ztunnel' },
    });
  });

  const refused: readonly (readonly [Env, RegExp])[] = [
    [{ POD_NAME: '' }, /set POD_NAME and POD_NAMESPACE/],
    [{ POD_NAMESPACE: '' }, /set POD_NAME and POD_NAMESPACE/],
    [{ XDS_ADDRESS: 'ftp://x' }, /Cannot read XDS_ADDRESS="ftp:\/\/x"/],
    [{ XDS_HEADER_X: 'a\nb' }, /Cannot use XDS_HEADER_X/],
    [{ ISTIO_METAJSON_X: '{' }, /Cannot read ISTIO_METAJSON_X: want JSON/],
  ];
  for (const [env, problem] of refused) {
    it(`refuses ${JSON.stringify(env)}`, () => {
      const problems = problemsOf({ ...pod, XDS_ADDRESS: 'istiod:15012', ...env });
      expect(problems).to.have.length(1);
      expect(problems[0]).to.match(problem);
    });
  }

  it('reads a file instead in a cluster, too', () => {
    const env = { LOCAL_XDS_PATH: '/mesh.yaml', KUBERNETES_SERVICE_HOST: '10.96.0.1' };
    expect(problemsOf(env)).to.deep.equal([]);
  });
});
