import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect } from 'chai';
import { after, before, describe, it } from 'mocha';

import { identityOf } from '#tests/bed/mesh-configuration.ts';
import { program } from '#tests/bed/process.ts';
import type { Pod } from '#tests/bed/world.ts';

import { accessLine, Mesh, mark, quoted } from './support/mesh.ts';

const PORT = 7_000;
const OTHER_PORT = 7_001;
/** For connections whose both ends the test holds. */
const HELD_PORT = 7_100;
const CUT_MS_MAX = 100;
/** A moment in which the machine does something else is no fault of the tunnel. */
const CUT_ROUNDS = 3;

function policy(name: string, action: 'Allow' | 'Deny', match: string): string {
  return `{name: ${name}, namespace: default, scope: Namespace, action: ${action}, rules: [[[${match}]]]}`;
}

/** Who called, by which way: of these, a case names the ones that are let in. */
type Call = 'alice' | 'bob' | 'eve' | 'stranger' | 'alice at the other port' | 'alice over IPv6';

interface Case {
  readonly match: string;
  readonly denied: readonly Call[];
}

const EVERYBODY: readonly Call[] = [
  'alice',
  'bob',
  'eve',
  'stranger',
  'alice at the other port',
  'alice over IPv6',
];
const ALICE: readonly Call[] = ['alice', 'alice at the other port', 'alice over IPv6'];

function others(than: readonly Call[]): readonly Call[] {
  return EVERYBODY.filter((call) => !than.includes(call));
}

// alice and bob, of namespace default, eve of namespace other, a stranger without a tunnel ─▶ shop
describe('policies', function () {
  let mesh: Mesh;
  let shop: Pod;

  before(async () => {
    mesh = await Mesh.start({
      prefix: 'ambit-policies',
      nodes: [
        {
          name: 'near',
          pods: [
            { name: 'alice' },
            { name: 'bob' },
            { name: 'eve', namespace: 'other' },
            { name: 'stranger' },
          ],
        },
        { name: 'far', pods: [{ name: 'shop' }] },
      ],
      outside: ['stranger'],
    });
    shop = mesh.pod('shop');
    const services = [`echo=${PORT}`, `echo=${OTHER_PORT}`];
    const app = mesh.world.start(shop, program('tests/bed/programs/app.ts', ...services));
    await app.waitFor(/^serving$/);
  });

  after(async () => mesh?.[Symbol.asyncDispose]());

  /** Does the application hear a caller, and the caller the application? */
  async function isLetIn(from: Pod, port: number, family: 'ipv4' | 'ipv6'): Promise<boolean> {
    const answer = await mesh.ask(from, { ip: shop[family], port }, 'knock');
    expect(answer).to.be.oneOf(['knock', 'ECONNRESET']);
    return answer === 'knock';
  }

  async function callersLetIn(): Promise<readonly Call[]> {
    const letIn: Call[] = [];
    for (const call of EVERYBODY) {
      const pod = mesh.pod(call.split(' ')[0] ?? '');
      const port = call.includes('other port') ? OTHER_PORT : PORT;
      if (await isLetIn(pod, port, call.includes('IPv6') ? 'ipv6' : 'ipv4')) letIn.push(call);
    }
    return letIn;
  }

  /** Connections that a node has counted as denied. */
  async function denials(node: string): Promise<number> {
    let sum = 0;
    for (const [series, count] of await mesh.metrics(node)) {
      const counts = series.startsWith('istio_tcp_connections_failed_total{');
      if (counts && series.includes('response_flags="DENY"')) sum += count;
    }
    return sum;
  }

  it('let everybody in when there are none', async () => {
    await mesh.setPolicies('[]');
    expect(await callersLetIn()).to.deep.equal(EVERYBODY);
  });

  it('that deny a principal are named by the server side, and the client side sees a 401', async () => {
    const alice = identityOf(mesh.pod('alice'));
    const match = `{principals: [!Exact ${alice.slice('spiffe://'.length)}]}`;
    await mesh.setPolicies(`[${policy('no-alice', 'Deny', match)}]`);
    const earlier = [await denials('near'), await denials('far')];
    const [near, far] = [mark(mesh.tunnel('near')), mark(mesh.tunnel('far'))];
    expect(await callersLetIn()).to.deep.equal(others(ALICE));
    const wanted = new RegExp(`src.identity="${alice}".*dst.hbone_addr=${quoted(shop.ipv4)}:`);
    const into = await accessLine(far, wanted);
    expect(into.get('error')).to.equal(
      'connection closed due to policy rejection: explicitly denied by: default/no-alice',
    );
    expect(into.get('policy')).to.equal('default/no-alice');
    const out = await accessLine(near, wanted);
    expect(out.get('error')).to.equal('http status: 401 Unauthorized');
    for (const [index, node] of ['near', 'far'].entries()) {
      expect((await denials(node)) - (earlier[index] ?? 0), node).to.equal(ALICE.length);
    }
  });

  it('that allow one let in nobody else, and the log says that none allowed', async () => {
    const match = '{principals: [!Exact cluster.local/ns/default/sa/alice]}';
    await mesh.setPolicies(`[${policy('only-alice', 'Allow', match)}]`);
    const far = mark(mesh.tunnel('far'));
    expect(await callersLetIn()).to.deep.equal(ALICE);
    for (const caller of ['bob', 'eve', 'stranger']) {
      const line = await accessLine(far, new RegExp(`src.workload="${caller}".* error=`));
      expect(line.get('error'), caller).to.equal(
        'connection closed due to policy rejection: allow policies exist, but none allowed',
      );
    }
  });

  const cases: readonly Case[] = [
    { match: '{namespaces: [!Exact other]}', denied: ['eve'] },
    { match: '{notNamespaces: [!Exact default]}', denied: ['eve', 'stranger'] },
    { match: '{principals: [!Suffix /sa/bob]}', denied: ['bob'] },
    { match: '{principals: [!Prefix cluster.local/ns/other/]}', denied: ['eve'] },
    { match: '{notPrincipals: [!Suffix /alice]}', denied: ['bob', 'eve', 'stranger'] },
    { match: '{serviceAccounts: [{namespace: default, serviceAccount: bob}]}', denied: ['bob'] },
    {
      match: '{notServiceAccounts: [{namespace: default, serviceAccount: alice}]}',
      denied: ['bob', 'eve', 'stranger'],
    },
    // alice is .10 of her node's subnet, bob .11, eve .12, the stranger .13.
    { match: '{sourceIps: [10.99.1.10/31]}', denied: ['alice', 'bob', 'alice at the other port'] },
    { match: '{notSourceIps: [10.99.1.8/29]}', denied: ['alice over IPv6'] },
    { match: '{sourceIps: ["fd99:1::/64"]}', denied: ['alice over IPv6'] },
    { match: '{destinationIps: ["fd99:2::10/128"]}', denied: ['alice over IPv6'] },
    { match: '{notDestinationIps: [10.99.2.10/32]}', denied: ['alice over IPv6'] },
    { match: `{destinationPorts: [${OTHER_PORT}]}`, denied: ['alice at the other port'] },
    { match: `{notDestinationPorts: [${PORT}]}`, denied: ['alice at the other port'] },
    // All conditions of a match must hold.
    { match: `{principals: [!Suffix /bob], destinationPorts: [${OTHER_PORT}]}`, denied: [] },
  ];
  for (const { match, denied } of cases) {
    it(`deny ${denied.join(', ') || 'nobody'} with ${match}`, async () => {
      await mesh.setPolicies(`[${policy('this-one', 'Deny', match)}]`);
      expect(await callersLetIn()).to.deep.equal(others(denied));
    });
  }

  it('that were made from "mutual TLS only" refuse plaintext, and nothing else', async () => {
    const strict =
      '{name: istio_converted_static_strict, namespace: istio-system, scope: WorkloadSelector, action: Deny, rules: [[[{notPrincipals: [!Presence]}]]]}';
    const key = 'istio-system/istio_converted_static_strict';
    await mesh.setPolicies(`[${strict}]`, { shop: [key] });
    const far = mark(mesh.tunnel('far'));
    expect(await callersLetIn()).to.deep.equal(others(['stranger']));
    const line = await accessLine(far, /src\.workload="stranger".* error=/);
    expect(line.get('policy')).to.equal(key);
    expect(line.has('src.identity')).to.equal(false);
  });

  it('that were made from "mutual TLS only" of one port leave the others alone', async () => {
    const strict = `{name: converted_peer_authentication_shop, namespace: default, scope: WorkloadSelector, action: Deny, rules: [[[{notPrincipals: [!Presence], destinationPorts: [${OTHER_PORT}]}]]]}`;
    await mesh.setPolicies(`[${strict}]`, {
      shop: ['default/converted_peer_authentication_shop'],
    });
    expect(await callersLetIn()).to.deep.equal(EVERYBODY);
    expect(await isLetIn(mesh.pod('stranger'), OTHER_PORT, 'ipv4')).to.equal(false);
  });

  it('that are only tried out refuse nobody', async () => {
    const tried = policy('this-one', 'Deny', '{destinationPorts: [7000]}');
    await mesh.setPolicies(`[${tried.replace('rules:', 'dryRun: true, rules:')}]`);
    expect(await callersLetIn()).to.deep.equal(EVERYBODY);
  });

  it('that come while connections are open cut those that they forbid, at once, and no other', async () => {
    const { sockets } = mesh;
    const took: number[] = [];
    for (let round = 0; round < CUT_ROUNDS; round++) {
      await mesh.setPolicies('[]');
      const far = mark(mesh.tunnel('far'));
      const alice = await mesh.open(mesh.pod('alice'), shop, HELD_PORT);
      const bob = await mesh.open(mesh.pod('bob'), shop, HELD_PORT);
      const stranger = await mesh.open(mesh.pod('stranger'), shop, HELD_PORT);
      for (const each of [alice, bob, stranger]) {
        await sockets.carry(each.client, each.server, 'here');
      }

      const began = performance.now();
      mesh.writePolicies(`[${policy('no-alice', 'Deny', '{principals: [!Suffix /alice]}')}]`);
      expect(await sockets.receive(alice.client)).to.equal('ECONNRESET');
      took.push(performance.now() - began);
      expect(await sockets.receive(alice.server)).to.equal('ECONNRESET');

      const line = await accessLine(far, /src\.workload="alice".* error=/);
      expect(line.get('error')).to.equal(
        'connection closed due to policy change: explicitly denied by: default/no-alice',
      );
      expect(line.get('policy')).to.equal('default/no-alice');
      for (const each of [bob, stranger]) {
        expect(await sockets.carry(each.client, each.server, 'still')).to.equal('still');
        expect(await sockets.carry(each.server, each.client, 'there')).to.equal('there');
        await mesh.close(each);
      }
      for (const fd of [alice.client, alice.server]) sockets.close(fd);
    }
    expect(Math.min(...took), took.join()).to.be.below(CUT_MS_MAX);
  });

  it('cut connections that are not encrypted, too', async () => {
    await mesh.setPolicies('[]');
    const far = mark(mesh.tunnel('far'));
    const { client, server } = await mesh.open(mesh.pod('stranger'), shop, HELD_PORT);
    const caller = mesh.sockets.ends(client).local;
    await mesh.sockets.carry(client, server, 'here');
    mesh.writePolicies(`[${policy('mutual-tls', 'Deny', '{notPrincipals: [!Presence]}')}]`);
    expect(await mesh.sockets.receive(client)).to.equal('ECONNRESET');
    expect(await mesh.sockets.receive(server)).to.equal('ECONNRESET');
    const line = await accessLine(far, new RegExp(`src.addr=${quoted(caller)} `));
    expect(line.get('policy')).to.equal('default/mutual-tls');
  });

  const badFiles = [
    {
      what: 'is broken',
      text: 'workloads: []\npolicies: [\n  {name: half\n',
      says: /mesh\.yaml:\d+:\d+: .*Not YAML/,
    },
    {
      what: 'asks for what only a reader of requests can do',
      text: `workloads: []\npolicies:\n- name: reads\n  namespace: default\n  scope: Namespace\n  action: Deny\n  rules: [[[{methods: [POST]}]]]\n`,
      says: /mesh\.yaml:7:\d+: .*methods.* cannot be enforced here: .* waypoint/,
    },
  ];
  for (const { what, text, says } of badFiles) {
    it(`stay in force when a file follows that ${what}, until a good one does`, async () => {
      await mesh.setPolicies(`[${policy('no-bob', 'Deny', '{principals: [!Suffix /bob]}')}]`);
      const marks = ['near', 'far'].map((node) => mark(mesh.tunnel(node)));
      writeFileSync(mesh.configuration, text);
      for (const { process, after: from } of marks) {
        const line = await process.waitFor(says, 5_000, from);
        expect(line).to.include('\terror\t').and.include('the one before it stays in force');
      }
      expect(await callersLetIn()).to.deep.equal(others(['bob']));
      await mesh.setPolicies(`[${policy('no-eve', 'Deny', '{principals: [!Suffix /eve]}')}]`);
      expect(await callersLetIn()).to.deep.equal(others(['eve']));
    });

    it(`are not begun without when the first file ${what}: the program says where and ends`, async () => {
      const { world } = mesh;
      const path = join(world.directory, 'first-mesh.yaml');
      writeFileSync(path, text);
      const result = await world.run(world.node('near'), program('ztunnel/main.ts'), {
        env: { LOCAL_XDS_PATH: path, HANDOVER_UDS: '' },
      });
      expect(result.code).to.equal(1);
      expect(result.stderr).to.match(says).and.include('cannot use the local configuration');
    });
  }

  it('stay in force when the file is gone, and change when another takes its place', async () => {
    const { world } = mesh;
    await mesh.setPolicies(`[${policy('no-bob', 'Deny', '{principals: [!Suffix /bob]}')}]`);
    const far = mark(mesh.tunnel('far'));
    await world.run(world.node('far'), ['mv', mesh.configuration, `${mesh.configuration}.away`]);
    await far.process.waitFor(/cannot read the local configuration/, 5_000, far.after);
    expect(await callersLetIn()).to.deep.equal(others(['bob']));
    await mesh.setPolicies('[]');
    expect(await callersLetIn()).to.deep.equal(EVERYBODY);
  });
});
