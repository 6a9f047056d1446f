import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  addressResources,
  hostnameOf,
  type MeshOfWaypoint,
  policyResources,
  routeResources,
} from '#bench/waypoint/resources.ts';
import { parseIp } from '#common/net/address.ts';
import { MeshReceiver } from '#dataplane/state/receive.ts';
import { decodePolicy } from '#waypoint/policy/decode.ts';
import type { RequestHead } from '#waypoint/request/head.ts';
import { decodeRoute } from '#waypoint/routing/decode.ts';
import { RouteTable } from '#waypoint/routing/table.ts';

const pod = (name: string, ip: string) => ({
  name,
  namespace: 'default',
  serviceAccount: name,
  ip,
  node: 'node-a',
});
const mesh: MeshOfWaypoint = {
  client: pod('client', '10.0.0.1'),
  gate: pod('gate', '10.0.0.2'),
  server: pod('server', '10.0.0.3'),
  service: { name: 'app', ip: '10.96.0.1', port: 80, targetPort: 8080 },
};
const SERVICE = { namespace: 'default', hostname: 'app.default.svc.cluster.local' };

/** The table as a waypoint has it after it was told so many rules. */
function tableOf(rules: number): RouteTable {
  const table = new RouteTable();
  const routes = routeResources(mesh, rules).map(({ name, bytes }) => {
    const decoded = decodeRoute(name, bytes);
    if (decoded.kind === 'refused') throw new Error(decoded.reason);
    return decoded.route;
  });
  table.apply(routes, []);
  return table;
}

function get(path: string): RequestHead {
  const none = { header: () => undefined, headerLines: () => [] };
  return { method: 'GET', scheme: 'http', authority: 'app', path, ...none };
}

describe('addressResources()', () => {
  it('tells a waypoint of three pods and of the service that it stands before', () => {
    const received = addressResources(mesh).map((each) => ({ ...each, version: '1', aliases: [] }));
    const { delta, rejections } = new MeshReceiver().addresses(received, []);
    expect(rejections).to.deep.equal([]);
    expect(delta.upsertWorkloads.map(({ name }) => name)).to.have.members([
      'client',
      'gate',
      'server',
    ]);
    const [service] = delta.upsertServices;
    expect(service?.hostname).to.equal(hostnameOf(mesh, 'app'));
    expect(service?.waypoint?.destination).to.include({ ip: parseIp('10.0.0.2') });
  });
});

describe('policyResources()', () => {
  it('is one ALLOW policy for the identity of the client, with methods', () => {
    const [only, ...more] = policyResources(mesh);
    expect(more).to.deep.equal([]);
    const decoded = decodePolicy(only?.name ?? '', only?.bytes ?? new Uint8Array());
    if (decoded.kind === 'refused') throw new Error(decoded.reason);
    const { action, services, rules } = decoded.policy;
    expect({ action, services }).to.deep.equal({ action: 'allow', services: [] });
    expect(rules[0]?.from[0]?.principals.any).to.deep.equal([
      { kind: 'exact', value: 'cluster.local/ns/default/sa/client' },
    ]);
    expect(rules[0]?.to[0]?.methods.any).to.have.length(2);
  });
});

describe('routeResources()', () => {
  it('is one rule for one path at first', () => {
    const table = tableOf(1);
    expect(table.choose(SERVICE, 80, get('/1k')).kind).to.equal('rule');
    expect(table.choose(SERVICE, 80, get('/other')).kind).to.equal('no-match');
    expect([...table.routes()]).to.have.length(1);
  });

  it('is as many rules as wanted, of many services', () => {
    const routes = [...tableOf(1000).routes()];
    expect(routes).to.have.length(200);
    expect(routes.flatMap(({ rules }) => rules)).to.have.length(1000);
  });

  it('leads the measured request past the other rules of its service to the same backend', () => {
    const table = tableOf(1000);
    const choice = table.choose(SERVICE, 80, get('/1k'));
    if (choice.kind !== 'rule') throw new Error(`it chose ${choice.kind}`);
    expect(choice.rule.backends[0]?.service).to.deep.equal(SERVICE);
    const route = [...table.routes()].find(({ name }) => name === 'app');
    expect(route?.rules.indexOf(choice.rule)).to.equal(4);
  });
});
