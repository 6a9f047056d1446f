import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { Enrolment, type EnrolmentTools } from '#cni/agent/enrolment.ts';
import type { PodNetns } from '#cni/agent/find-netns.ts';
import type { Redirection } from '#cni/agent/membership.ts';
import type { TunnelAnswer } from '#cni/agent/ztunnel-connection.ts';
import type { RulesResult } from '#cni/rules/apply.ts';
import { captureRules } from '#cni/rules/ruleset.ts';
import type { Pod } from '#kube/resources.ts';
import { netnsId, openNetns } from '#linux/netns.ts';
import { openDescriptors } from '#tests/support/descriptors.ts';
import { logLines } from '#tests/support/log-lines.ts';
import { ManualClock } from '#tests/support/manual-clock.ts';
import { ip } from '#tests/support/mesh.ts';

const DRAIN_MS = 30_000;
const GIVEN = { netnsPath: '/run/netns/a', addresses: [ip('10.1.1.1')] };

function pod(redirection?: Redirection, uid = 'u1'): Pod {
  const annotations = redirection && { 'ambient.istio.io/redirection': redirection };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'till', namespace: 'shop', uid, ...(annotations && { annotations }) },
    spec: { containers: [], serviceAccountName: 'cashier' },
    status: { phase: 'Running', podIP: '10.1.1.1' },
  };
}

function openOwn(): PodNetns {
  const fd = openNetns('/proc/self/ns/net');
  return { fd, id: netnsId(fd) };
}

/** What enrolment does, line by line; each line can be made to fail, or to wait. */
class World {
  readonly done: string[] = [];
  /** The events of pods. */
  readonly told: string[] = [];
  readonly failing = new Map<string, string>();
  readonly clock = new ManualClock();
  readonly log = logLines();
  difference: string | undefined;
  hasNetns = true;
  readonly enrolment: Enrolment = new Enrolment(this.#tools(), { drainMs: DRAIN_MS });

  #tools(): EnrolmentTools {
    const answer = (line: string): TunnelAnswer => {
      const reason = this.#do(line);
      return reason === undefined ? { kind: 'done' } : { kind: 'refused', reason };
    };
    const result = (line: string): RulesResult => {
      const message = this.#do(line);
      return message === undefined ? { kind: 'applied' } : { kind: 'failed', message };
    };
    return {
      tunnel: {
        add: async ({ uid, serviceAccount }) => answer(`add ${uid} ${serviceAccount}`),
        delete: async (uid) => void this.#do(`delete ${uid}`),
      },
      rules: {
        apply: async (_, { chains }) =>
          result(
            chains.some(({ type, rules }) => type === 'nat' && rules.length > 0)
              ? 'rules'
              : 'drain rules',
          ),
        remove: async () => result('no rules'),
        findDifference: async () => this.difference,
      },
      netns: {
        open: (path, addresses) => {
          const reason = this.#do(`open ${path} ${addresses.join()}`);
          return reason === undefined
            ? { kind: 'found', netns: openOwn() }
            : { kind: 'refused', reason };
        },
        find: async () => (this.hasNetns ? openOwn() : undefined),
      },
      probes: {
        set: async (_, addresses) => void this.#do(`probes ${addresses.join()}`),
        delete: async () => void this.#do('no probes'),
      },
      annotate: async (_, value) => {
        const problem = this.#do(`annotate ${value}`);
        if (problem !== undefined) throw new Error(problem);
      },
      tell: (_, { type, reason, message }) => void this.told.push(`${type} ${reason}: ${message}`),
      rulesOf: () => captureRules(),
      clock: this.clock,
      log: this.log.log,
    };
  }

  #do(line: string): string | undefined {
    this.done.push(line);
    return [...this.failing].find(([start]) => line.startsWith(start))?.[1];
  }
}

describe('Enrolment', () => {
  let world: World;
  let enrolment: Enrolment;
  let before: ReadonlyMap<number, string>;

  beforeEach(() => {
    before = openDescriptors();
    world = new World();
    enrolment = world.enrolment;
  });

  afterEach(() => {
    enrolment.stop();
    const left = [...openDescriptors()].filter(([fd, target]) => before.get(fd) !== target);
    expect(left.filter(([, target]) => target.startsWith('net:'))).to.deep.equal([]);
  });

  describe('enrol()', () => {
    it('announces a running pod, loads its rules, and says so, in this order', async () => {
      expect(await enrolment.enrol(pod())).to.deep.equal({ kind: 'done' });
      expect(world.done).to.deep.equal([
        'add u1 cashier',
        'probes 10.1.1.1',
        'rules',
        'annotate enabled',
      ]);
      expect(enrolment.standing('u1')).to.equal('enrolled');
      expect(enrolment.snapshot()[0]?.info).to.deep.equal({
        uid: 'u1',
        name: 'till',
        namespace: 'shop',
        serviceAccount: 'cashier',
      });
    });

    it('takes the namespace and the addresses that a plugin gives', async () => {
      await enrolment.enrol(pod(), { ...GIVEN, addresses: [ip('10.9.9.9')] });
      expect(world.done.slice(0, 3)).to.deep.equal([
        'open /run/netns/a 10.9.9.9',
        'add u1 cashier',
        'probes 10.9.9.9',
      ]);
    });

    it('leaves nothing of a new pod that the node tunnel refuses', async () => {
      world.failing.set('add', 'no room');
      expect(await enrolment.enrol(pod(), GIVEN)).to.deep.equal({
        kind: 'failed',
        reason: 'no room',
      });
      expect(world.done.slice(1)).to.deep.equal(['add u1 cashier', 'delete u1', 'no probes']);
      expect([enrolment.standing('u1'), enrolment.snapshot()]).to.deep.equal(['unknown', []]);
    });

    it('keeps a running pod that the node tunnel refuses for the next tunnel, and says that it waits', async () => {
      world.failing.set('add', 'no ztunnel is connected');
      await enrolment.enrol(pod());
      expect(world.done).to.deep.equal(['add u1 cashier', 'annotate pending']);
      expect(enrolment.snapshot()).to.have.length(1);
      await enrolment.enrol(pod('pending'));
      expect(world.done.slice(2)).to.deep.equal(['add u1 cashier']);
    });

    it('does not take back that an enrolled pod is one while there is no node tunnel', async () => {
      enrolment.claim(pod('enabled'), undefined);
      world.failing.set('add', 'no ztunnel is connected');
      await enrolment.enrol(pod('enabled'));
      expect(world.done).to.deep.equal(['add u1 cashier']);
    });

    it('takes back what it announced when the rules fail', async () => {
      world.failing.set('rules', 'nft is not there');
      const reason = 'nft is not there';
      expect(await enrolment.enrol(pod())).to.deep.equal({ kind: 'failed', reason });
      expect(world.done.slice(2)).to.deep.equal(['rules', 'delete u1', 'no probes']);
    });

    it('cuts no pod of an earlier agent whose rules cannot be loaded anew', async () => {
      enrolment.claim(pod('enabled'), undefined);
      world.failing.set('rules', 'nft is not there');
      await enrolment.enrol(pod('enabled'));
      expect(world.done).to.not.include('delete u1');
      expect(enrolment.standing('u1')).to.equal('claimed');
    });

    it('fails when the annotation does, and the next attempt does the rest', async () => {
      world.failing.set('annotate', 'no answer');
      const thrown = await enrolment.enrol(pod()).catch((error: unknown) => String(error));
      expect(thrown).to.equal('Error: no answer');
      world.failing.clear();
      expect(await enrolment.enrol(pod())).to.deep.equal({ kind: 'done' });
      expect(enrolment.standing('u1')).to.equal('enrolled');
    });

    it('says that the namespace is not found', async () => {
      world.hasNetns = false;
      const result = await enrolment.enrol(pod());
      expect(result.kind === 'failed' && result.reason).to.contain('not found');
      expect(world.done).to.deep.equal([]);
    });

    it('refuses a namespace that is not the one of the pod', async () => {
      world.failing.set('open', 'it has other addresses');
      const result = await enrolment.enrol(pod(), GIVEN);
      expect(result).to.deep.equal({ kind: 'failed', reason: 'it has other addresses' });
    });

    it('does one step of a pod after the other, whoever asks', async () => {
      await Promise.all([
        enrolment.enrol(pod(), GIVEN),
        enrolment.enrol(pod()),
        enrolment.forget('u1', undefined),
      ]);
      const adds = world.done.filter((line) => /^(add|annotate|delete)/.test(line));
      expect(adds).to.deep.equal([
        'add u1 cashier',
        'annotate enabled',
        'add u1 cashier',
        'annotate enabled',
        'delete u1',
      ]);
    });
  });

  describe('refresh()', () => {
    it('follows the addresses, and repairs the annotation', async () => {
      await enrolment.enrol(pod());
      world.done.length = 0;
      const moved = { ...pod('enabled'), status: { podIPs: [{ ip: '10.1.1.2' }] } };
      await enrolment.refresh(moved);
      await enrolment.refresh(pod());
      expect(world.done).to.deep.equal(['probes 10.1.1.2', 'probes 10.1.1.1', 'annotate enabled']);
    });
  });

  describe('release()', () => {
    it('lets old connections go on, and cuts them when their time is over', async () => {
      await enrolment.enrol(pod());
      world.done.length = 0;
      await enrolment.release(pod('enabled'));
      expect(world.done).to.deep.equal(['drain rules', 'no probes', 'annotate undefined']);
      expect([enrolment.standing('u1'), enrolment.snapshot().length]).to.deep.equal([
        'draining',
        1,
      ]);
      await world.clock.advance(DRAIN_MS);
      await enrolment.forget('u1', undefined);
      expect(world.done.slice(3)).to.deep.equal(['no rules', 'delete u1', 'no probes']);
      expect(enrolment.standing('u1')).to.equal('unknown');
    });

    it('is undone by a pod that comes back meanwhile', async () => {
      await enrolment.enrol(pod());
      await enrolment.release(pod('enabled'));
      world.done.length = 0;
      await enrolment.enrol(pod());
      await world.clock.advance(DRAIN_MS);
      await enrolment.refresh(pod('enabled'));
      expect(world.done).to.deep.equal([
        'add u1 cashier',
        'probes 10.1.1.1',
        'rules',
        'annotate enabled',
        'probes 10.1.1.1',
      ]);
    });

    it('gives a pod that comes and goes its whole time again', async () => {
      await enrolment.enrol(pod());
      await enrolment.release(pod('enabled'));
      world.failing.set('add', 'no ztunnel is connected');
      await enrolment.enrol(pod());
      await enrolment.release(pod('pending'));
      expect(world.clock.pending).to.equal(1);
      await world.clock.advance(DRAIN_MS);
      expect(world.done).to.include('no rules');
    });

    it('does not swap the rules again for a pod that drains', async () => {
      await enrolment.enrol(pod());
      await enrolment.release(pod('enabled'));
      world.done.length = 0;
      await enrolment.release(pod('enabled'));
      expect(world.done).to.deep.equal(['no probes', 'annotate undefined']);
    });

    it('takes the annotation from a pod whose namespace is not found', async () => {
      world.hasNetns = false;
      expect(await enrolment.release(pod('enabled'))).to.deep.equal({ kind: 'done' });
      expect(world.done).to.deep.equal(['annotate undefined']);
    });

    it('says that it failed when the rules cannot be swapped', async () => {
      await enrolment.enrol(pod());
      world.failing.set('drain', 'refused');
      expect(await enrolment.release(pod('enabled'))).to.deep.equal({
        kind: 'failed',
        reason: 'refused',
      });
      expect(enrolment.standing('u1')).to.equal('enrolled');
    });
  });

  describe('tells the users of a pod', () => {
    it('that it came, and that it left', async () => {
      await enrolment.enrol(pod());
      await enrolment.release(pod('enabled'));
      await enrolment.release(pod('enabled'));
      expect(world.told).to.deep.equal([
        'Normal EnrolledInMesh: Connections from and to this pod pass through the node tunnel',
        'Normal LeftMesh: New connections from and to this pod go past the node tunnel',
      ]);
    });

    it('why it cannot start, and why one that runs is not yet in', async () => {
      world.failing.set('add', 'no ztunnel is connected');
      await enrolment.enrol(pod(), GIVEN);
      world.failing.set('add', 'the port is taken');
      await enrolment.enrol(pod());
      expect(world.told).to.deep.equal([
        'Warning MeshEnrollmentFailed: Cannot start in the mesh: no ztunnel is connected',
        'Warning MeshEnrollmentFailed: Not yet in the mesh: the port is taken',
      ]);
    });

    it('nothing when only the agent is new', async () => {
      enrolment.claim(pod('enabled'), openOwn());
      await enrolment.enrol(pod('enabled'));
      await enrolment.refresh(pod('enabled'));
      expect(world.told).to.deep.equal([]);
    });
  });

  describe('releaseAll()', () => {
    it('lets all pods out, and leaves nothing of the mesh in them when their time is over', async () => {
      await enrolment.enrol(pod());
      enrolment.claim(pod('enabled', 'u2'), openOwn());
      world.done.length = 0;
      const ended = enrolment.releaseAll(5_000);
      await world.clock.advance(4_999);
      const out = ['drain rules', 'no probes', 'annotate undefined'];
      expect(world.done.toSorted()).to.deep.equal([...out, ...out].toSorted());
      await world.clock.advance(1);
      await ended;
      expect(world.done.slice(out.length * 2)).to.have.members(
        ['u1', 'u2'].flatMap((uid) => ['no rules', `delete ${uid}`, 'no probes']),
      );
      expect(enrolment.uids).to.deep.equal([]);
    });

    it('lets no pod in again, not even one that was on its way', async () => {
      const onTheWay = enrolment.enrol(pod());
      while (!world.done.includes('add u1 cashier')) await Promise.resolve();
      expect(enrolment.standing('u1')).to.equal('claimed');
      const ended = enrolment.releaseAll(5_000);
      expect(await onTheWay).to.deep.equal({ kind: 'done' });
      const late = await enrolment.enrol(pod(undefined, 'u3'));
      expect(late).to.have.property('reason').that.contains('removed from this node');
      await world.clock.advance(5_000);
      await ended;
      expect(world.done).to.include('no rules').and.not.include('add u3 cashier');
      expect(enrolment.uids).to.deep.equal([]);
    });

    it('waits for nothing when there are no pods', async () => {
      await enrolment.releaseAll(5_000);
      expect(world.clock.pending).to.equal(0);
    });

    it('takes the rules from a pod whose annotation cannot be taken, and says so', async () => {
      await enrolment.enrol(pod());
      world.failing.set('annotate undefined', 'forbidden');
      const ended = enrolment.releaseAll(0);
      await world.clock.advance(0);
      await ended;
      expect(world.done).to.include('no rules').and.include('delete u1');
      expect(world.log.lines.join()).to.contain('shop/till').and.contain('forbidden');
    });
  });

  describe('forget()', () => {
    it('undoes nothing inside of a pod that has gone', async () => {
      await enrolment.enrol(pod());
      world.done.length = 0;
      await enrolment.forget('u1', undefined);
      expect(world.done).to.deep.equal(['delete u1', 'no probes']);
      expect(enrolment.uids).to.deep.equal([]);
    });

    it('takes the annotation from a pod that has ended and is still there', async () => {
      await enrolment.forget('u1', pod('enabled'));
      expect(world.done).to.deep.equal(['annotate undefined']);
    });
  });

  describe('audit()', () => {
    it('finds rules intact, or repairs them and says what was wrong', async () => {
      await enrolment.enrol(pod());
      expect(await enrolment.audit('u1')).to.equal('intact');
      world.difference = 'chain "inbound" is missing';
      expect(await enrolment.audit('u1')).to.equal('repaired');
      expect(world.log.lines[0]).to.contain('shop/till').and.contain('inbound');
    });

    it('asks for pods that it cannot repair or that are only claimed to be enrolled anew', async () => {
      enrolment.claim(pod('enabled', 'u2'), undefined);
      expect(await enrolment.audit('u2')).to.equal('lost');
      await enrolment.enrol(pod());
      world.difference = 'all';
      world.failing.set('rules', 'refused');
      expect(await enrolment.audit('u1')).to.equal('lost');
    });

    it('leaves pods alone that drain, that are unknown, or that somebody works on', async () => {
      expect(await enrolment.audit('u9')).to.equal('not-now');
      const step = enrolment.enrol(pod());
      expect(await enrolment.audit('u1')).to.equal('not-now');
      await step;
      await enrolment.release(pod('enabled'));
      expect(await enrolment.audit('u1')).to.equal('not-now');
    });
  });
});
