import { readFileSync } from 'node:fs';

import { expect } from 'chai';
import { after, before, beforeEach, describe, it } from 'mocha';

import { Capture } from '#tests/bed/capture.ts';
import { identityOf } from '#tests/bed/mesh-configuration.ts';
import { program } from '#tests/bed/process.ts';
import type { Pod } from '#tests/bed/world.ts';
import { readTcpPackets } from '#tests/demo/tcp-packets.ts';

import { accessLine, Mesh, mark, page, quoted } from './support/mesh.ts';

const HBONE = 15_008;
const HTTP_PORT = 8_080;
const CLOSED_PORT = 7_999;

/** Series with other values than before, and by how much. */
function changes(
  before_: ReadonlyMap<string, number>,
  now: ReadonlyMap<string, number>,
): ReadonlyMap<string, number> {
  const changed = new Map<string, number>();
  for (const [series, value] of now) {
    const difference = value - (before_.get(series) ?? 0);
    if (series.startsWith('istio_tcp_') && difference !== 0) changed.set(series, difference);
  }
  return changed;
}

/** Ports of all TCP packets in a recording; each packet counts as 15008 when one of its ends is. */
function portsOn(path: string): readonly number[] {
  const ports = readTcpPackets(readFileSync(path)).map(({ fromPort, toPort }) =>
    fromPort === HBONE || toPort === HBONE ? HBONE : Math.min(fromPort, toPort),
  );
  return [...new Set(ports)];
}

// till ─┐                      ┌─ shop
// desk ─┴─ near ═══════ far ───┴─ stranger, which has no tunnel
describe('a connection', function () {
  let mesh: Mesh;
  /** Of its own for each test: lines of others that come late are told apart. */
  let port = 7_000;
  let till: Pod;
  let desk: Pod;
  let shop: Pod;
  let stranger: Pod;

  before(async () => {
    mesh = await Mesh.start({
      prefix: 'ambit-one',
      nodes: [
        { name: 'near', pods: [{ name: 'till' }, { name: 'desk' }] },
        { name: 'far', pods: [{ name: 'shop' }, { name: 'stranger' }] },
      ],
      outside: ['stranger'],
    });
    [till, desk, shop, stranger] = ['till', 'desk', 'shop', 'stranger'].map((name) =>
      mesh.pod(name),
    ) as [Pod, Pod, Pod, Pod];
    const app = mesh.world.start(shop, program('tests/bed/programs/app.ts', `http=${HTTP_PORT}`));
    await app.waitFor(/^serving$/);
  });

  beforeEach(() => {
    port++;
  });

  after(async () => mesh?.[Symbol.asyncDispose]());

  for (const family of ['ipv4', 'ipv6'] as const) {
    it(`carries HTTP over ${family} of which the wire shows no word, and no port but the tunnel's`, async () => {
      const { world } = mesh;
      const capture = await Capture.start(world, world.node('near'), world.wireTo(shop.node));
      const host = family === 'ipv4' ? shop.ipv4 : `[${shop.ipv6}]`;
      const answer = await page(world, till, `http://${host}:${HTTP_PORT}/3000`);
      const recording = await capture.stop();
      expect(answer).to.deep.equal({ status: 200, body: 'x'.repeat(3000) });
      expect(recording.lost).to.equal(0);
      expect(portsOn(recording.path)).to.deep.equal([HBONE]);
      for (const word of ['GET /', 'HTTP/1.1', 'curl', 'Content-Length', 'xxxxxxxx']) {
        expect(recording.contains(word), word).to.equal(false);
      }
    });

    it(`shows the server the client's address over ${family}, and the client the server's`, async () => {
      const ends = await mesh.open(till, shop, port, family);
      const bracketed = (ip: string): string => (family === 'ipv4' ? ip : `[${ip}]`);
      expect(mesh.sockets.ends(ends.server).remote).to.match(
        new RegExp(`^${quoted(bracketed(till[family]))}:\\d+$`),
      );
      const { remote } = mesh.sockets.ends(ends.client);
      expect(remote).to.equal(`${bracketed(shop[family])}:${port}`);
      await mesh.close(ends);
    });

    it(`is logged at both ends with all that is known, over ${family}`, async () => {
      const [near, far] = [mark(mesh.tunnel('near')), mark(mesh.tunnel('far'))];
      const began = performance.now();
      const ends = await mesh.open(till, shop, port, family);
      const client = mesh.sockets.ends(ends.client).local;
      expect(await mesh.sockets.carry(ends.client, ends.server, 'hello')).to.equal('hello');
      expect(await mesh.sockets.carry(ends.server, ends.client, 'good day')).to.equal('good day');
      await mesh.close(ends);
      const [ip, shopIp] =
        family === 'ipv4' ? [till.ipv4, shop.ipv4] : [`[${till.ipv6}]`, `[${shop.ipv6}]`];

      const out = await accessLine(near, new RegExp(`src.addr=${quoted(client)} `));
      const into = await accessLine(far, new RegExp(`:${port} .*direction="inbound"`));
      const lasted = performance.now() - began;
      const common = {
        'src.workload': 'till',
        'src.namespace': 'default',
        'src.identity': identityOf(till),
        'src.cluster': 'Kubernetes',
        'dst.addr': `${shopIp}:${HBONE}`,
        'dst.hbone_addr': `${shopIp}:${port}`,
        'dst.workload': 'shop',
        'dst.namespace': 'default',
        'dst.identity': identityOf(shop),
        'dst.cluster': 'Kubernetes',
      };
      expect(Object.fromEntries(out)).to.deep.equal({
        message: 'connection complete',
        'src.addr': client,
        ...common,
        direction: 'outbound',
        bytes_sent: '5',
        bytes_recv: '8',
        duration: out.get('duration'),
      });
      expect([...out.keys()]).to.deep.equal([
        'message',
        'src.addr',
        ...Object.keys(common),
        'direction',
        'bytes_sent',
        'bytes_recv',
        'duration',
      ]);
      expect(into.get('src.addr')).to.match(new RegExp(`^${quoted(ip)}:\\d+$`));
      expect(Object.fromEntries(into)).to.deep.equal({
        message: 'connection complete',
        'src.addr': into.get('src.addr'),
        ...common,
        direction: 'inbound',
        bytes_sent: '8',
        bytes_recv: '5',
        duration: into.get('duration'),
      });
      for (const line of [out, into]) {
        expect(line.get('duration')).to.match(/^\d+ms$/);
        expect(Number.parseInt(line.get('duration') ?? '', 10)).to.be.within(0, lasted);
      }
    });
  }

  it('stays half open when the client has said all, until the server has answered', async () => {
    const { sockets } = mesh;
    const { client, server } = await mesh.open(till, shop, port);
    sockets.send(client, 'question');
    sockets.finish(client);
    expect(await sockets.receive(server)).to.equal('question');
    expect(await sockets.receive(server)).to.equal('');
    expect(await sockets.carry(server, client, 'answer')).to.equal('answer');
    sockets.finish(server);
    expect(await sockets.receive(client)).to.equal('');
  });

  it('stays half open when the server has said all, until the client has', async () => {
    const { sockets } = mesh;
    const { client, server } = await mesh.open(till, shop, port);
    sockets.finish(server);
    expect(await sockets.receive(client)).to.equal('');
    expect(await sockets.carry(client, server, 'more')).to.equal('more');
    sockets.finish(client);
    expect(await sockets.receive(server)).to.equal('');
  });

  it('passes a reset on in both directions', async () => {
    const { sockets } = mesh;
    for (const [dying, other] of [
      ['client', 'server'],
      ['server', 'client'],
    ] as const) {
      const ends = await mesh.open(till, shop, port);
      await sockets.carry(ends.client, ends.server, 'here');
      sockets.reset(ends[dying]);
      expect(await sockets.receive(ends[other]), `${dying} has reset`).to.equal('ECONNRESET');
      sockets.close(ends[other]);
    }
  });

  it('to a port where nobody listens ends at once, and both logs say why', async () => {
    const [near, far] = [mark(mesh.tunnel('near')), mark(mesh.tunnel('far'))];
    const answer = await mesh.ask(till, { ip: shop.ipv4, port: CLOSED_PORT }, 'is anybody there?');
    expect(answer).to.equal('ECONNRESET');
    const wanted = new RegExp(`dst.hbone_addr=${quoted(shop.ipv4)}:${CLOSED_PORT}`);
    const out = await accessLine(near, wanted);
    expect(out.get('error')).to.equal('http status: 503 Service Unavailable');
    const into = await accessLine(far, wanted);
    expect(into.get('error')).to.equal('connection failed: connection refused (ECONNREFUSED)');
  });

  it('between pods of one node goes through a tunnel as well', async () => {
    const near = mark(mesh.tunnel('near'));
    const capture = await Capture.start(mesh.world, mesh.world.node('near'), desk.nodeInterface);
    const ends = await mesh.open(till, desk, port);
    await mesh.sockets.carry(ends.client, ends.server, 'a word');
    await mesh.close(ends);
    const recording = await capture.stop();
    expect(recording.lost).to.equal(0);
    expect(portsOn(recording.path)).to.deep.equal([HBONE]);
    expect(recording.contains('a word')).to.equal(false);
    for (const direction of ['outbound', 'inbound']) {
      const line = await accessLine(near, new RegExp(`:${port} .*direction="${direction}"`));
      expect(line.get('src.identity')).to.equal(identityOf(till));
      expect(line.get('dst.identity')).to.equal(identityOf(desk));
    }
  });

  it('to a pod outside the mesh is plain TCP, counted at the source alone', async () => {
    const near = mark(mesh.tunnel('near'));
    const [sourceBefore, destinationBefore] = [
      await mesh.metrics('near'),
      await mesh.metrics('far'),
    ];
    const ends = await mesh.open(till, stranger, port);
    expect(mesh.sockets.ends(ends.server).remote).to.match(new RegExp(`^${quoted(till.ipv4)}:`));
    await mesh.sockets.carry(ends.client, ends.server, 'plain words');
    await mesh.close(ends);
    const line = await accessLine(near, /dst\.workload="stranger"/);
    expect(line.get('dst.addr')).to.equal(`${stranger.ipv4}:${port}`);
    expect([...line.keys()]).to.not.include.members(['src.identity', 'dst.identity']);
    const changed = [...changes(sourceBefore, await mesh.metrics('near'))];
    expect(changed.map(([series, by]) => [series.slice(0, series.indexOf('{')), by])).to.deep.equal(
      [
        ['istio_tcp_connections_opened_total', 1],
        ['istio_tcp_connections_closed_total', 1],
        ['istio_tcp_received_bytes_total', 'plain words'.length],
      ],
    );
    for (const [series] of changed) {
      expect(series)
        .to.include('reporter="source"')
        .and.include('destination_workload="stranger"')
        .and.include('destination_principal="unknown"')
        .and.include('connection_security_policy="unknown"');
    }
    expect(changes(destinationBefore, await mesh.metrics('far')).size).to.equal(0);
  });

  it('from a pod outside the mesh reaches one inside, and is logged without an identity', async () => {
    const far = mark(mesh.tunnel('far'));
    const ends = await mesh.open(stranger, shop, port);
    expect(mesh.sockets.ends(ends.server).remote).to.match(
      new RegExp(`^${quoted(stranger.ipv4)}:`),
    );
    const client = mesh.sockets.ends(ends.client).local;
    expect(await mesh.sockets.carry(ends.server, ends.client, 'welcome')).to.equal('welcome');
    await mesh.close(ends);
    const line = await accessLine(far, new RegExp(`src.addr=${quoted(client)} `));
    expect(Object.fromEntries(line)).to.deep.equal({
      message: 'connection complete',
      'src.addr': client,
      'src.workload': 'stranger',
      'src.namespace': 'default',
      'src.cluster': 'Kubernetes',
      'dst.addr': `${shop.ipv4}:${port}`,
      'dst.workload': 'shop',
      'dst.namespace': 'default',
      'dst.cluster': 'Kubernetes',
      direction: 'inbound',
      bytes_sent: '7',
      bytes_recv: '0',
      duration: line.get('duration'),
    });
  });

  it('is counted once on each node, with the bytes of its payload', async () => {
    const counted = { near: await mesh.metrics('near'), far: await mesh.metrics('far') };
    const ends = await mesh.open(desk, shop, port);
    await mesh.sockets.carry(ends.client, ends.server, 'request');
    await mesh.sockets.carry(ends.server, ends.client, 'the response');
    const open = await mesh.metrics('near');
    expect(open.get('istio_tcp_sockets_open{reporter="source"}')).to.equal(
      (counted.near.get('istio_tcp_sockets_open{reporter="source"}') ?? 0) + 1,
    );
    // At the far end the tunnel is what was accepted. It is the first from desk, and stays for the next connection.
    const tunnels = 'istio_tcp_sockets_open{reporter="destination"}';
    const accepted = (counted.far.get(tunnels) ?? 0) + 1;
    expect((await mesh.metrics('far')).get(tunnels)).to.equal(accepted);
    const marks = [mark(mesh.tunnel('near')), mark(mesh.tunnel('far'))];
    await mesh.close(ends);
    for (const from of marks) await accessLine(from, new RegExp(`:${port} `));
    for (const [node, reporter] of [
      ['near', 'source'],
      ['far', 'destination'],
    ] as const) {
      const labels = Object.entries({
        reporter,
        source_workload: 'desk',
        source_canonical_service: 'desk',
        source_canonical_revision: 'latest',
        source_workload_namespace: 'default',
        source_principal: identityOf(desk),
        source_app: 'desk',
        source_version: 'latest',
        source_cluster: 'Kubernetes',
        destination_service: 'unknown',
        destination_service_namespace: 'unknown',
        destination_service_name: 'unknown',
        destination_workload: 'shop',
        destination_canonical_service: 'shop',
        destination_canonical_revision: 'latest',
        destination_workload_namespace: 'default',
        destination_principal: identityOf(shop),
        destination_app: 'shop',
        destination_version: 'latest',
        destination_cluster: 'Kubernetes',
        request_protocol: 'tcp',
        response_flags: '-',
        connection_security_policy: 'mutual_tls',
        source_region: 'unknown',
        source_zone: 'unknown',
        destination_region: 'unknown',
        destination_zone: 'unknown',
      })
        .map(([name, value]) => `${name}="${value}"`)
        .join(',');
      expect(Object.fromEntries(changes(counted[node], await mesh.metrics(node)))).to.deep.equal({
        [`istio_tcp_connections_opened_total{${labels}}`]: 1,
        [`istio_tcp_connections_closed_total{${labels}}`]: 1,
        [`istio_tcp_received_bytes_total{${labels}}`]: 'request'.length,
        [`istio_tcp_sent_bytes_total{${labels}}`]: 'the response'.length,
        ...(node === 'far' && { [tunnels]: 1 }),
      });
    }
  });

  for (const family of ['ipv4', 'ipv6'] as const) {
    it(`is in the dumps of both nodes while it is open, over ${family}`, async () => {
      const ends = await mesh.open(till, shop, port, family);
      const [ip, shopIp] =
        family === 'ipv4' ? [till.ipv4, shop.ipv4] : [`[${till.ipv6}]`, `[${shop.ipv6}]`];
      const near = await dump('near');
      const far = await dump('far');
      expect(near.workloadState[till.uid]).to.deep.equal({
        state: 'Up',
        connections: {
          inbound: [],
          outbound: [
            {
              src: mesh.sockets.ends(ends.client).local,
              originalDst: `${shopIp}:${port}`,
              actualDst: `${shopIp}:${HBONE}`,
              protocol: 'HBONE',
            },
          ],
        },
        info: { name: 'till', namespace: 'default', serviceAccount: 'till' },
      });
      const [inbound, ...others] = far.workloadState[shop.uid]?.connections.inbound ?? [];
      expect(others).to.deep.equal([]);
      expect(inbound?.src).to.match(new RegExp(`^${quoted(ip)}:\\d+$`));
      expect(inbound).to.include({ actualDst: `${shopIp}:${port}`, protocol: 'HBONE' });
      await mesh.close(ends);
    });
  }

  it('runs between nodes that say they are ready, and dump what they know but no key', async () => {
    for (const [node, own] of [
      ['near', [till, desk]],
      ['far', [shop]],
    ] as const) {
      expect(await mesh.page(node, ':15021/healthz/ready')).to.include({ status: 200 });
      const { status, body } = await mesh.page(node, ':15000/config_dump');
      expect(status).to.equal(200);
      expect(body).to.not.match(/PRIVATE KEY|token-of-the-bed/);
      const { workloads, policies, certificates } = await dump(node);
      expect(workloads.map(({ name }) => name)).to.have.members([
        'till',
        'desk',
        'shop',
        'stranger',
      ]);
      expect(policies).to.deep.equal([]);
      const held = certificates.filter(({ state }) => state === 'Available');
      expect(held.map(({ identity }) => identity)).to.have.members(own.map(identityOf));
      for (const { certChain, rootCerts } of held) {
        expect(certChain).to.have.lengthOf.at.least(1);
        for (const { pem } of [...certChain, ...rootCerts]) {
          expect(Buffer.from(pem, 'base64').toString()).to.match(
            /^-----BEGIN CERTIFICATE-----[\s\S]*-----END CERTIFICATE-----\s*$/,
          );
        }
      }
    }
  });

  it("to a port of the tunnel itself is refused, at one's own pod and at others", async () => {
    const places = [
      [till, till.ipv4],
      [till, '127.0.0.1'],
      [till, shop.ipv4],
      [stranger, shop.ipv4],
      [till, desk.ipv6],
    ] as const;
    for (const [from, ip] of places) {
      for (const own of [15_001, 15_006, HBONE]) {
        const dialed = await mesh.sockets.dial(from, { ip, port: own });
        if (typeof dialed === 'number') {
          mesh.sockets.send(dialed, 'GET / HTTP/1.1\r\nHost: me\r\n\r\n');
          const answer = await mesh.sockets.receive(dialed, `the end of ${ip}:${own}`);
          // On 15008 a TLS alert record may come before the end.
          if (answer.startsWith('\u0015\u0003')) await mesh.sockets.receive(dialed);
          else expect(answer, `${from.name} to ${ip}:${own}`).to.be.oneOf(['', 'ECONNRESET']);
          mesh.sockets.close(dialed);
        }
      }
    }
    for (const node of ['near', 'far']) {
      await mesh.tunnel(node).process.waitFor(/attempted recursive call to ourselves/);
      // A loop would have opened sockets without end.
      const metrics = await mesh.metrics(node);
      expect(metrics.get('istio_tcp_sockets_open{reporter="source"}'), node).to.be.below(10);
    }
  });

  interface DumpedConnection {
    readonly src: string;
    readonly actualDst: string;
    readonly protocol: string;
  }

  interface Dumped {
    readonly workloads: readonly { readonly name: string }[];
    readonly policies: readonly unknown[];
    readonly certificates: readonly {
      readonly identity: string;
      readonly state: string;
      readonly certChain: readonly { readonly pem: string }[];
      readonly rootCerts: readonly { readonly pem: string }[];
    }[];
    readonly workloadState: Readonly<
      Record<
        string,
        {
          readonly connections: {
            readonly inbound: readonly DumpedConnection[];
            readonly outbound: readonly DumpedConnection[];
          };
        }
      >
    >;
  }

  async function dump(node: string): Promise<Dumped> {
    return JSON.parse((await mesh.page(node, ':15000/config_dump')).body) as Dumped;
  }
});
