import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';

import { program } from '#tests/bed/process.ts';

import { MeshCluster } from './support/mesh-cluster.ts';

const SHOP = 'shop';
const echo = (version: string): string => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: echo-${version}}
spec:
  selector: {matchLabels: {app: echo, version: ${version}}}
  template:
    metadata: {labels: {app: echo, version: ${version}}}
    spec: {containers: [{name: echo, image: ambit/echo:0.1.0}]}
---
apiVersion: v1
kind: Service
metadata: {name: echo-${version}}
spec:
  selector: {app: echo, version: ${version}}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
`;
const PEOPLE = `${echo('v1')}${echo('v2')}
apiVersion: v1
kind: Service
metadata: {name: echo}
spec:
  selector: {app: echo}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: caller}
spec: {containers: [{name: caller, image: ambit/curl:0.1.0}]}
`;
const ROUTE = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: split, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: echo, port: 80}]
  rules:
    - matches: [{headers: [{name: x-user, value: ann}]}]
      backendRefs: [{name: echo-v2, port: 80}]
    - backendRefs:
        - {name: echo-v1, port: 80, weight: 90}
        - {name: echo-v2, port: 80, weight: 10}
`;
const POLICY = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-delete, namespace: shop}
spec:
  targetRefs: [{group: '', kind: Service, name: echo}]
  action: DENY
  rules: [{to: [{operation: {methods: [DELETE]}}]}]
`;

/** Asks so often, and tells who answered. */
function askingLoop(header: string, count: number): string {
  const once = `curl -s -m 20 -H '${header}' http://echo/`;
  return `for i in $(seq ${count}); do ${once}; done | grep ^Hostname`;
}

describe('a waypoint in a cluster', function () {
  this.timeout(180_000);
  let mesh: MeshCluster | undefined;
  const on = (): MeshCluster => {
    if (mesh === undefined) throw new Error('There is no cluster yet');
    return mesh;
  };

  /** What curl in the caller's pod prints. */
  async function curl(...args: readonly string[]): Promise<string> {
    const command = ['exec', '-n', SHOP, 'caller', '--', 'curl', '-s', '-m', '20', ...args];
    return on().kubectl.must(command);
  }

  before(async () => {
    mesh = await MeshCluster.up('waypoint');
    const { kubectl } = mesh;
    await kubectl.must(['create', 'namespace', SHOP]);
    await kubectl.must(['label', 'namespace', SHOP, 'istio.io/dataplane-mode=ambient']);
    await kubectl.must(['apply', '-n', SHOP, '-f', '-'], PEOPLE);
    for (const name of ['echo-v1', 'echo-v2']) {
      await kubectl.must(['rollout', 'status', '-n', SHOP, `deployment/${name}`]);
    }
    await mesh.ready(SHOP, 'caller');
    const apply = ['waypoint', 'apply', '-n', SHOP, '--enroll-namespace', '--wait'];
    const applied = await kubectl.around(program('cli/main.ts', ...apply));
    expect(applied.code, applied.stderr).to.equal(0);
    // The node tunnels hear of it a moment later.
    await mesh.until('requests go through the waypoint', async () =>
      (await curl('http://echo/')).includes('Header=x-request-id:'),
    );
  });
  after(async () => {
    await mesh?.[Symbol.asyncDispose]();
  });

  it('carries requests, and tells who asked whom', async () => {
    const answer = await curl('http://echo/items?one');
    expect(answer).to.include('URL=/items?one');
    await on().until('the log tells it', async () => {
      const logs = await on().kubectl.must(['logs', '-n', SHOP, 'deployment/waypoint']);
      const line = logs.split('\n').find((one) => one.includes('path="/items?one"')) ?? '';
      return (
        line.includes('src.identity="spiffe://cluster.local/ns/shop/sa/default"') &&
        line.includes('dst.service="echo.shop.svc.cluster.local"') &&
        line.includes('status=200')
      );
    });
  });

  it('says in the status of the services that it is used', async () => {
    const wait = ['wait', '-n', SHOP, 'service/echo', '--timeout=60s'];
    await on().kubectl.must([...wait, '--for=condition=istio.io/WaypointBound']);
  });

  it('splits by weight, and sends one user to v2', async () => {
    const { kubectl } = on();
    await kubectl.must(['apply', '-f', '-'], ROUTE);
    const ask = async (header: string, count: number): Promise<readonly string[]> => {
      const command = ['exec', '-n', SHOP, 'caller', '--', 'sh', '-c', askingLoop(header, count)];
      return (await kubectl.must(command)).split('\n');
    };
    await on().until('ann is served by v2 alone', async () =>
      (await ask('x-user: ann', 8)).every((line) => line.includes('=echo-v2-')),
    );
    const answers = await ask('x-user: bob', 200);
    const second = answers.filter((line) => line.includes('=echo-v2-')).length;
    expect(answers.length).to.equal(200);
    // 20 are expected; outside of these bounds it is once in a hundred million runs.
    expect(second).to.be.within(1, 50);
  });

  it('denies what a layer 7 policy denies, and says by which rule', async () => {
    await on().kubectl.must(['apply', '-f', '-'], POLICY);
    const status = ['-o', '/dev/null', '-w', '%{http_code}'];
    await on().until('DELETE is denied', async () =>
      (await curl(...status, '-X', 'DELETE', 'http://echo/')).includes('403'),
    );
    expect(await curl('-X', 'DELETE', 'http://echo/')).to.equal('RBAC: access denied');
    expect(await curl(...status, 'http://echo/')).to.equal('200');
    await on().until('the log names the rule', async () =>
      (await on().kubectl.must(['logs', '-n', SHOP, 'deployment/waypoint'])).includes(
        'policy="shop/no-delete, rule 0"',
      ),
    );
  });

  it('is replaced under load, and no request fails', async () => {
    const { kubectl } = on();
    const loop =
      'while [ ! -e /tmp/stop ]; do curl -s -m 20 -o /dev/null -w "%{http_code}\\n" http://echo/; done';
    const running = kubectl.start(['exec', '-n', SHOP, 'caller', '--', 'sh', '-c', loop]);
    await running.waitFor(/^200$/);
    await kubectl.must(['rollout', 'restart', '-n', SHOP, 'deployment/waypoint']);
    await kubectl.must(['rollout', 'status', '-n', SHOP, 'deployment/waypoint', '--timeout=60s']);
    await on().until('the old one has gone', async () => {
      const pods = await on().pods(SHOP, 'gateway.networking.k8s.io/gateway-name=waypoint');
      return pods.length === 1;
    });
    await kubectl.must(['exec', '-n', SHOP, 'caller', '--', 'touch', '/tmp/stop']);
    await running.exited;
    const codes = new Set(running.lines);
    expect([...codes]).to.deep.equal(['200']);
  });
});
