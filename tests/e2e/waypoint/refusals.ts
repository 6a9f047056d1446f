import { expect } from 'chai';
import { it } from 'mocha';

import { GATEWAYS } from '#kube/resources.ts';

import { MESH, NODES } from '../support/mesh-cluster.ts';
import {
  peerService,
  SHOP,
  type Stage,
  untilBehindWaypoint,
  untilLogged,
  WAYPOINT,
} from './stage.ts';

/** A route of all requests for a port of `peer`. */
function route(name: string, port: number, rule: object): string {
  return JSON.stringify({
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'HTTPRoute',
    metadata: { name, namespace: SHOP },
    spec: { parentRefs: [{ group: '', kind: 'Service', name: 'peer', port }], rules: [rule] },
  });
}

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
}

export function theRefusals(on: () => Stage): void {
  const ask = async (...args: readonly string[]): Promise<string> =>
    on().till.curl('-w', ' %{http_code}', ...args);

  /** Which version answers. */
  const server = async (): Promise<string> =>
    /"name":"(v\d)"/.exec(await ask('http://peer/asked'))?.[1] ?? 'nobody';

  /** The condition of a route under its first parent, as kubectl tells it. */
  async function conditionOf(name: string, type: string): Promise<string> {
    const get = ['get', 'httproute', '-n', SHOP, name, '-o', 'json'];
    const { status } = JSON.parse(await on().mesh.kubectl.must(get)) as {
      readonly status?: {
        readonly parents: readonly { readonly conditions: readonly Condition[] }[];
      };
    };
    const found = status?.parents[0]?.conditions.find((one) => one.type === type);
    return `${found?.status} ${found?.reason}`;
  }

  async function removed(name: string): Promise<void> {
    await on().mesh.kubectl.must(['delete', 'httproute', '-n', SHOP, name]);
    await on().mesh.until(`${name} holds no more`, async () =>
      (await ask('http://peer/asked')).endsWith(' 200'),
    );
  }

  it('do not reach a port or a host that is not there', async () => {
    const stage = on();
    const port = await stage.till.tryCurl('http://peer:99/');
    expect(port.code, port.stderr).to.be.oneOf([7, 56]);
    await stage.mesh.until('the waypoint says why', async () => {
      const log = await stage.mesh.kubectl.must(['logs', '-n', SHOP, `deployment/${WAYPOINT}`]);
      return log.includes(`peer.${SHOP}.svc.cluster.local has no port 99`);
    });
    const host = await stage.till.tryCurl('http://nobody/');
    expect(host.code).to.equal(6);
    // By its address a service is found, whatever its clients call it.
    const other = JSON.parse(
      await stage.till.curl('-H', 'Host: nobody.example', 'http://peer/asked'),
    ) as {
      readonly headers: { readonly host: string };
    };
    expect(other.headers.host).to.equal('nobody.example');
  });

  it('hear 500 for a backend that is not there, and the route says so', async () => {
    const { mesh } = on();
    await mesh.apply(route('lost', 80, { backendRefs: [{ name: 'nowhere', port: 80 }] }));
    await mesh.until('the answer is 500', async () => (await ask('http://peer/lost')) === ' 500');
    await untilLogged(
      on(),
      'path="/lost"',
      'status=500',
      'details="invalid_backend: service shop/nowhere not found"',
      'route="HTTPRoute/shop/lost/0"',
    );
    await mesh.until(
      'the route says so',
      async () =>
        (await conditionOf('lost', 'ResolvedRefs')) === 'False BackendNotFound' &&
        (await conditionOf('lost', 'Accepted')) === 'True Accepted',
    );
    await removed('lost');
  });

  it('are routed as before when a route is not what a route can be', async () => {
    const { mesh } = on();
    const toSecond = [{ name: 'peer-v2', port: 80 }];
    await mesh.apply(route('changed', 80, { backendRefs: toSecond }));
    await mesh.until('v2 answers', async () => (await server()) === 'v2');
    const wrong = route('changed', 80, { matches: [{ path: { type: 'Nonsense', value: '/' } }] });
    const complaint = await mesh.kubectl.fails(['apply', '-f', '-'], wrong);
    expect(complaint).to.include('path.type: Unsupported value: "Nonsense"');
    expect(await server()).to.equal('v2');
    const unreadable = { path: { type: 'RegularExpression', value: '/([' } };
    await mesh.apply(route('changed', 80, { matches: [unreadable], backendRefs: toSecond }));
    await mesh.until('the route says so', async () => {
      return (await conditionOf('changed', 'Accepted')) === 'False UnsupportedValue';
    });
    await mesh.apply(route('changed', 80, { backendRefs: toSecond }));
    await mesh.until('v2 answers again', async () => (await server()) === 'v2');
    await removed('changed');
  });

  it('hear 431 for a head over the limit, in both versions', async () => {
    const { till, mesh } = on();
    const large = 'printf "x-big: "; head -c 70000 /dev/zero | tr "\\0" a';
    const many = 'for i in $(seq 150); do echo "x-$i: many"; done';
    for (const [version, make] of [
      ['--http1.1', large],
      ['--http1.1', many],
      // Of this version curl sends no large ones.
      ['--http2-prior-knowledge', many],
    ] as const) {
      await till.do('run', { command: ['sh', '-c', `(${make}) > /tmp/head`] });
      expect(await ask(version, '-H', '@/tmp/head', 'http://peer/big'), version).to.equal(' 431');
    }
    await mesh.until('the waypoint says why', async () => {
      const log = await mesh.kubectl.must(['logs', '-n', SHOP, `deployment/${WAYPOINT}`]);
      return /bad request of spiffe:\S+\/till .*headTooLarge/.test(log);
    });
  });

  it('hear 503 when nobody of a service is left', async () => {
    const { mesh, till } = on();
    await mesh.apply(JSON.stringify(peerService('leaving', 'v2')));
    await mesh.until('it serves', async () => {
      return (await till.curl('-w', ' %{http_code}', 'http://leaving/asked')).endsWith(' 200');
    });
    const gone = JSON.stringify({ spec: { selector: { app: 'nobody' } } });
    await mesh.kubectl.must(['patch', 'service', '-n', SHOP, 'leaving', '-p', gone]);
    await mesh.until('nobody serves', async () => {
      return (await ask('http://leaving/nobody')) === 'no healthy upstream 503';
    });
    const why = 'details="no healthy endpoint of leaving.shop.svc.cluster.local:80"';
    await untilLogged(on(), 'path="/nobody"', 'status=503', 'flags="UH"', why);
    await mesh.kubectl.must(['delete', 'service', '-n', SHOP, 'leaving']);
  });

  it('hear 504 when a route gives a server no time', async () => {
    const { mesh } = on();
    const hasty = { timeouts: { request: '1ms' }, backendRefs: [{ name: 'peer', port: 80 }] };
    await mesh.apply(route('hasty', 80, hasty));
    await mesh.until('the answer is 504', async () => {
      return (await ask('http://peer/slow?ms=3000')) === 'upstream request timeout 504';
    });
    await untilLogged(on(), 'path="/slow?ms=3000"', 'status=504', 'flags="UT"');
    await removed('hasty');
  });

  it('are not concerned by a policy for what is not there, nor by a gateway of another class', async () => {
    const { mesh } = on();
    await mesh.apply(`
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: lost, namespace: ${SHOP}}
spec:
  targetRefs: [{group: '', kind: Service, name: nowhere}]
  action: DENY
  rules: [{}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: other}
spec: {controllerName: example.com/other}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: other, namespace: ${SHOP}}
spec: {gatewayClassName: other, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: ours, namespace: ${SHOP}}
spec: {gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}
`);
    // The control plane has come to the last of them, so it has seen the others.
    await mesh.kubectl.must([
      'wait',
      '-n',
      SHOP,
      'gateway/ours',
      '--for=condition=Accepted',
      '--timeout=60s',
    ]);
    await mesh.until('the policy says what it is for', async () => {
      const get = ['get', 'authorizationpolicy', '-n', SHOP, 'lost', '-o', 'json'];
      const { status } = JSON.parse(await mesh.kubectl.must(get)) as {
        readonly status?: { readonly conditions: readonly (Condition & { message: string })[] };
      };
      const found = status?.conditions.find(({ type }) => type === 'WaypointAccepted');
      const said = `${found?.status} ${found?.reason} ${found?.message}`;
      return said === `False TargetNotFound Service ${SHOP}/nowhere was not found`;
    });
    expect((await mesh.client.get(GATEWAYS, 'other', SHOP))['status']).to.equal(undefined);
    const deployments = await mesh.kubectl.must(['get', 'deployment', '-n', SHOP, '-o', 'name']);
    expect(deployments.split('\n').toSorted()).to.deep.equal([
      'deployment.apps/ours',
      `deployment.apps/${WAYPOINT}`,
    ]);
    expect(await ask('http://peer/asked')).to.match(/ 200$/);
    const all = ['gateway/other', 'gateway/ours', 'gatewayclass/other', 'authorizationpolicy/lost'];
    await mesh.kubectl.must(['delete', '-n', SHOP, ...all]);
  });

  it('are let in by nobody when the waypoint that they need does not run', async () => {
    const stage = on();
    const { mesh, till } = stage;
    const scale = async (replicas: number): Promise<void> => {
      const command = ['scale', '-n', SHOP, `deployment/${WAYPOINT}`, `--replicas=${replicas}`];
      await mesh.kubectl.must(command);
    };
    await scale(0);
    await mesh.until(
      'nobody is let in',
      async () => (await till.tryCurl('http://peer/asked')).code !== 0,
    );
    expect((await till.tryCurl('http://peer/asked')).code).to.be.oneOf([7, 56]);
    const why = `no healthy endpoint of waypoint: ${SHOP}/waypoint.${SHOP}.svc.cluster.local:15008`;
    await mesh.until('the node tunnel says why', async () => {
      const log = await mesh.kubectl.must(['logs', '-n', MESH, await mesh.tunnelName(NODES[0])]);
      return log.includes(why);
    });
    await scale(1);
    await untilBehindWaypoint(stage, true);
  });
}
