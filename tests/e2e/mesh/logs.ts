import { expect } from 'chai';
import { it } from 'mocha';

import type { DialRequest } from '#tests/bed/sockets.ts';
import { findAccessLog, parseAccessLogLine } from '#tests/demo/access-log.ts';

import { type Home, MESH, type MeshCluster } from '../support/mesh-cluster.ts';
import { ECHO, identityOf, SERVICE_ECHO, SHOP, type Stage } from './stage.ts';

const CLUSTER = 'Kubernetes';
const TUNNEL = 15_008;

type Fields = Readonly<Record<string, string>>;

export function theLogs(on: () => Stage): void {
  it('name both sides of a connection between nodes, on both nodes, field by field', async () => {
    const stage = on();
    const { till, desk } = stage;
    const logs = await callOnce(stage, till, { ip: desk.ip, port: ECHO });
    const peers = {
      'dst.addr': `${desk.ip}:${TUNNEL}`,
      'dst.hbone_addr': `${desk.ip}:${ECHO}`,
      ...side('dst', 'desk'),
    };
    const outbound = await logs.line(till.node, { direction: 'outbound' });
    const expected = { ...side('src', 'till'), ...peers, bytes_sent: '5', bytes_recv: '5' };
    expect(without(outbound, 'src.addr', 'duration')).to.deep.equal({
      ...expected,
      direction: 'outbound',
    });
    expect(Object.keys(outbound)).to.deep.equal(ORDER);
    const inbound = await logs.line(desk.node, { direction: 'inbound' });
    expect(without(inbound, 'src.addr', 'duration', 'dst.service')).to.deep.equal({
      ...expected,
      direction: 'inbound',
    });
    for (const line of [outbound, inbound]) {
      expect(line['src.addr']).to.match(new RegExp(`^${till.ip}:\\d+$`));
      expect(line['duration']).to.match(/^\d+ms$/);
    }
  });

  it('name the service that was called, on both nodes', async () => {
    const stage = on();
    const { till, desk, service } = stage;
    const logs = await callOnce(stage, till, { ip: service, port: SERVICE_ECHO });
    for (const [node, direction] of [
      [till.node, 'outbound'],
      [desk.node, 'inbound'],
    ] as const) {
      const line = await logs.line(node, { direction });
      expect(line['dst.service'], direction).to.equal('desk.shop.svc.cluster.local');
      expect(line['dst.hbone_addr'], direction).to.equal(`${desk.ip}:${ECHO}`);
      expect(line['dst.identity'], direction).to.equal(identityOf('desk'));
    }
  });

  it('have both ends of a connection that stays on a node', async () => {
    const stage = on();
    const { till, nook } = stage;
    const logs = await callOnce(stage, till, { ip: nook.ip, port: ECHO });
    for (const direction of ['outbound', 'inbound']) {
      const line = await logs.line(till.node, { direction });
      expect(line['src.identity'], direction).to.equal(identityOf('till'));
      expect(line['dst.identity'], direction).to.equal(identityOf('nook'));
    }
  });

  it('have no identity of who comes from outside, or is called there', async () => {
    const stage = on();
    const { till, desk, stranger } = stage;
    const inward = await callOnce(stage, stranger, { ip: desk.ip, port: ECHO });
    const inbound = await inward.line(desk.node, { direction: 'inbound' });
    expect(inbound).to.include({ 'src.workload': 'stranger', 'dst.addr': `${desk.ip}:${ECHO}` });
    const outward = await callOnce(stage, till, { ip: stranger.ip, port: ECHO });
    const outbound = await outward.line(till.node, { direction: 'outbound' });
    expect(outbound).to.include({ 'src.workload': 'till', 'dst.workload': 'stranger' });
    for (const line of [inbound, outbound]) {
      expect(line).to.not.have.any.keys('src.identity', 'dst.identity', 'dst.hbone_addr', 'error');
    }
  });
}

/** As tools for these logs read them. */
const ORDER = [
  'src.addr',
  'src.workload',
  'src.namespace',
  'src.identity',
  'src.cluster',
  'dst.addr',
  'dst.hbone_addr',
  'dst.workload',
  'dst.namespace',
  'dst.identity',
  'dst.cluster',
  'direction',
  'bytes_sent',
  'bytes_recv',
  'duration',
];

function side(end: 'src' | 'dst', name: string): Fields {
  return {
    [`${end}.workload`]: name,
    [`${end}.namespace`]: SHOP,
    [`${end}.identity`]: identityOf(name),
    [`${end}.cluster`]: CLUSTER,
  };
}

/** Calls once, and reads what `kubectl logs` says about that. */
async function callOnce(stage: Stage, from: Home, to: DialRequest): Promise<Logs> {
  const { mesh, wires } = stage;
  const before = new Map<string, number>();
  for (const node of wires.keys()) before.set(node, (await readLog(mesh, node)).length);
  expect(await mesh.knock(from, to)).to.equal('served');
  return new Logs(mesh, before);
}

class Logs {
  readonly #mesh: MeshCluster;
  readonly #before: ReadonlyMap<string, number>;

  constructor(mesh: MeshCluster, before: ReadonlyMap<string, number>) {
    this.#mesh = mesh;
    this.#before = before;
  }

  /** The fields of the line, in their order; it may take a moment to be there. */
  async line(node: string, wanted: Fields): Promise<Fields> {
    let fields: ReadonlyMap<string, string> | undefined;
    await this.#mesh.until(`the tunnel of ${node} logs ${JSON.stringify(wanted)}`, async () => {
      const log = (await readLog(this.#mesh, node)).slice(this.#before.get(node));
      fields = findAccessLog(log, wanted).at(-1)?.fields;
      return fields !== undefined;
    });
    return Object.fromEntries(fields ?? []);
  }
}

/** Its access lines. */
async function readLog(mesh: MeshCluster, node: string): Promise<readonly string[]> {
  const text = await mesh.kubectl.must(['logs', '-n', MESH, await mesh.tunnelName(node)]);
  return text.split('\n').filter((line) => parseAccessLogLine(line) !== undefined);
}

function without(fields: Fields, ...names: readonly string[]): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name)));
}
