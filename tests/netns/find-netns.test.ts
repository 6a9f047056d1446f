import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect } from 'chai';
import { after, afterEach, before, beforeEach, describe, it } from 'mocha';

import { findNetns, idOf, openPodNetns, type PodNetns } from '#cni/agent/find-netns.ts';
import { close } from '#linux/libc.ts';
import { createWorld, type Place, type Pod, type World } from '#tests/bed/world.ts';

const TILL = '11111111-1111-1111-1111-111111111111';
const SHOP = '22222222-2222-2222-2222-222222222222';

function podCgroup(uid: string): string {
  return `0::/kubepods/burstable/pod${uid}/${'c'.repeat(64)}\n`;
}

// Real namespaces; the processes that are in them are files as /proc has them.
describe('findNetns()', () => {
  let world: World;
  let till: Pod;
  let shop: Pod;
  let root: string;
  let found: Map<string, PodNetns>;

  before(async () => {
    const pods = [{ name: 'till' }, { name: 'shop' }];
    world = await createWorld({ prefix: 'ambit-find', nodes: [{ name: 'near', pods }] });
    [till, shop] = [world.pod('till'), world.pod('shop')];
  });

  after(async () => {
    await world.dispose();
  });

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'find-netns-'));
    mkdirSync(join(root, 'netns'));
    found = new Map();
    addProcess(1, world.node('near'), '0::/init.scope\n', 1);
  });

  afterEach(() => {
    for (const { fd } of found.values()) close(fd);
    rmSync(root, { recursive: true });
  });

  function addProcess(pid: number, place: Place, cgroup: string, startedTicks: number): void {
    const directory = join(root, 'proc', String(pid));
    mkdirSync(join(directory, 'ns'), { recursive: true });
    symlinkSync(place.netns, join(directory, 'ns/net'));
    writeFileSync(join(directory, 'cgroup'), cgroup);
    writeFileSync(join(directory, 'stat'), `${pid} (app) S ${'0 '.repeat(18)}${startedTicks} 0\n`);
  }

  function name(place: Place, as = place.name): void {
    symlinkSync(place.netns, join(root, 'netns', as));
  }

  /** Why a namespace is not opened; empty when it is. */
  function refusal(path: string, addresses: readonly string[] = []): string {
    const opened = openPodNetns(path, addresses, idOf(world.node('near').netns));
    if (opened.kind === 'refused') return opened.reason;
    close(opened.netns.fd);
    return '';
  }

  /** The names of the pods' namespaces, by uid. */
  async function find(wanted: Record<string, readonly string[]>): Promise<Record<string, string>> {
    const files = { proc: join(root, 'proc'), netnsDirectory: join(root, 'netns') };
    found = await findNetns(new Map(Object.entries(wanted)), files);
    const places = [till, shop, world.node('near')];
    const nameOf = (id: string): string =>
      places.find((place) => idOf(place.netns) === id)?.name ?? 'another';
    return Object.fromEntries([...found].map(([uid, { id }]) => [uid, nameOf(id)]));
  }

  it('finds pods by their processes', async () => {
    addProcess(10, till, podCgroup(TILL), 100);
    addProcess(11, till, podCgroup(TILL), 101);
    addProcess(12, shop, podCgroup(SHOP), 102);
    const wanted = { [TILL]: [till.ipv4], [SHOP]: ['10.9.9.9', shop.ipv6] };
    expect(await find(wanted)).to.deep.equal({ [TILL]: 'till', [SHOP]: 'shop' });
  });

  it('is not misled by a process that is on a visit in another namespace', async () => {
    addProcess(10, shop, podCgroup(TILL), 100);
    addProcess(11, till, podCgroup(TILL), 101);
    addProcess(12, shop, podCgroup(SHOP), 102);
    const wanted = { [TILL]: [till.ipv4], [SHOP]: [shop.ipv4] };
    expect(await find(wanted)).to.deep.equal({ [TILL]: 'till', [SHOP]: 'shop' });
  });

  it('never takes the namespace of the node', async () => {
    const node = world.node('near');
    addProcess(10, node, podCgroup(TILL), 100);
    name(node);
    expect(await find({ [TILL]: [node.ipv4] })).to.deep.equal({});
  });

  it('prefers the oldest process where several namespaces would do', async () => {
    addProcess(10, shop, podCgroup(TILL), 200);
    addProcess(11, till, podCgroup(TILL), 100);
    expect(await find({ [TILL]: [shop.ipv4, till.ipv4] })).to.deep.equal({ [TILL]: 'till' });
  });

  it('does not look for a pod whose addresses are not known: its process may be on a visit', async () => {
    addProcess(10, shop, podCgroup(TILL), 100);
    name(till);
    expect(await find({ [TILL]: [] })).to.deep.equal({});
  });

  it('finds pods by named namespaces where no process tells', async () => {
    addProcess(10, till, '0::/\n', 100);
    name(till);
    name(shop);
    const wanted = { [TILL]: [till.ipv4], [SHOP]: [shop.ipv4] };
    expect(await find(wanted)).to.deep.equal({ [TILL]: 'till', [SHOP]: 'shop' });
  });

  it('counts a namespace with two names once', async () => {
    name(till, 'a');
    name(till, 'b');
    expect(await find({ [TILL]: [till.ipv4] })).to.deep.equal({ [TILL]: 'till' });
  });

  it('finds no pod whose address two pods claim, or two namespaces have', async () => {
    name(till);
    expect(await find({ [TILL]: [till.ipv4], [SHOP]: [till.ipv4] })).to.deep.equal({});
    await world.run(shop, ['ip', 'address', 'add', `${till.ipv4}/32`, 'dev', 'eth0']);
    name(shop);
    expect(await find({ [TILL]: [till.ipv4] })).to.deep.equal({});
    await world.run(shop, ['ip', 'address', 'delete', `${till.ipv4}/32`, 'dev', 'eth0']);
  });

  it('finds nothing where nothing is to be seen', async () => {
    rmSync(join(root, 'netns'), { recursive: true });
    expect(await find({ [TILL]: [till.ipv4] })).to.deep.equal({});
  });

  describe('openPodNetns()', () => {
    it('opens a namespace that has one of the addresses, in any spelling', () => {
      expect(refusal(till.netns, ['10.9.9.9', till.ipv4])).to.equal('');
      expect(refusal(till.netns, [`::ffff:${till.ipv4}`])).to.equal('');
      expect(refusal(till.netns)).to.equal('');
    });

    it('refuses what is not the namespace of the pod', () => {
      expect(refusal(till.netns, [shop.ipv4])).to.contain("none of the pod's addresses");
      expect(refusal(world.node('near').netns)).to.contain("the node's own");
      expect(refusal('/proc/self/ns/mnt')).to.contain('is no network namespace');
      expect(refusal('/etc/hostname')).to.contain('is no network namespace');
      expect(refusal(join(root, 'gone'))).to.contain('ENOENT');
    });
  });
});
