import type { Clock } from '#common/clock.ts';
import type { Logger } from '#common/log/logger.ts';
import type { IpAddress } from '#common/net/address.ts';
import type { EventText } from '#kube/event-recorder.ts';
import type { Pod } from '#kube/resources.ts';
import { close } from '#linux/libc.ts';

import type { RulesResult } from '../rules/apply.ts';
import { drainRules, type Ruleset } from '../rules/ruleset.ts';
import type { OpenedNetns, PodNetns } from './find-netns.ts';
import {
  podAddresses,
  REDIRECTION_ANNOTATION,
  type Redirection,
  type Standing,
} from './membership.ts';
import type { PodInfo, TunnelAnswer } from './ztunnel-connection.ts';
import type { SnapshotPod } from './ztunnel-server.ts';

/** What a plugin knows of a pod that is about to start. */
export interface NewPod {
  readonly netnsPath: string;
  /** Empty: the plugins before have not said. */
  readonly addresses: readonly IpAddress[];
}

/** What enrolment does to the world. */
export interface EnrolmentTools {
  readonly tunnel: {
    add(pod: PodInfo, netnsFd: number): Promise<TunnelAnswer>;
    delete(uid: string): Promise<void>;
  };
  readonly rules: {
    apply(netnsFd: number, ruleset: Ruleset): Promise<RulesResult>;
    remove(netnsFd: number, ruleset: Ruleset): Promise<RulesResult>;
    /** What of the rules is not in force; undefined when all are, or when it can't be told. */
    findDifference(netnsFd: number, ruleset: Ruleset): Promise<string | undefined>;
  };
  readonly netns: {
    open(path: string, addresses: readonly IpAddress[]): OpenedNetns;
    find(uid: string, addresses: readonly IpAddress[]): Promise<PodNetns | undefined>;
  };
  /** Addresses that health probes of the node reach without the tunnel. */
  readonly probes: {
    set(uid: string, addresses: readonly IpAddress[]): Promise<void>;
    delete(uid: string): Promise<void>;
  };
  /** Writes the status annotation, or takes it away. A pod that has gone is no error. */
  readonly annotate: (pod: Pod, value: Redirection | undefined) => Promise<void>;
  /** Tells the pod's users what has become of it. */
  readonly tell: (pod: Pod, text: EventText) => void;
  readonly rulesOf: (pod: Pod) => Ruleset;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface EnrolmentOptions {
  /** How long the connections of a pod that leaves the mesh may go on through the tunnel. */
  readonly drainMs: number;
}

export type EnrolmentResult =
  | { readonly kind: 'done' }
  /** Worth another attempt, later. */
  | { readonly kind: 'failed'; readonly reason: string };

/** What the audit of a pod has found. */
export type AuditResult =
  | 'intact'
  | 'repaired'
  /** Something else is going on with the pod, or it can't be told. */
  | 'not-now'
  /** Its network namespace is not known, or the repair failed: it has to be enrolled anew. */
  | 'lost';

interface Entry {
  readonly info: PodInfo;
  readonly pod: Pod;
  readonly addresses: readonly IpAddress[];
  readonly netns: PodNetns | undefined;
  readonly standing: Exclude<Standing, 'unknown'>;
  readonly ruleset: Ruleset;
  /** Ends the draining. */
  readonly timer: Disposable | undefined;
}

/** Pods that are worked on at a time when all are; each starts a program. */
const PARALLEL = 8;
const ENROLLED: EventText = {
  type: 'Normal',
  reason: 'EnrolledInMesh',
  message: 'Connections from and to this pod pass through the node tunnel',
};
const RELEASED: EventText = {
  type: 'Normal',
  reason: 'LeftMesh',
  message: 'New connections from and to this pod go past the node tunnel',
};
const DONE: EnrolmentResult = { kind: 'done' };

/**
 * The pods of this node that are in the mesh, and the steps by which they come and go.
 *
 *     new ── add to the tunnel ── probes ── rules ── annotation ──▶ enrolled
 *              │ refused: nothing of it is left                       │
 *     claimed (found enrolled at the start) ── the same steps ────────┤
 *                                                                     ▼ released
 *     gone ◀── delete from the tunnel ── no rules ◀── (drain time) ── draining rules, no annotation
 *
 * The tunnel listens before a packet is redirected to it, so that a pod that runs loses no connection; and it keeps on
 * listening until the last redirected connection has had its time.
 *
 * Steps of one pod happen one after the other, whoever asks for them; all can be repeated.
 */
export class Enrolment {
  readonly #tools: EnrolmentTools;
  readonly #options: EnrolmentOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #turns = new Map<string, Promise<unknown>>();
  /** No pod comes in any more. */
  #isClosed = false;

  constructor(tools: EnrolmentTools, options: EnrolmentOptions) {
    this.#tools = tools;
    this.#options = options;
  }

  standing(uid: string): Standing {
    return this.#entries.get(uid)?.standing ?? 'unknown';
  }

  get uids(): readonly string[] {
    return [...this.#entries.keys()];
  }

  count(standing: Standing): number {
    return [...this.#entries.values()].filter((entry) => entry.standing === standing).length;
  }

  /** What a node tunnel that connects has to serve. */
  snapshot(): readonly SnapshotPod[] {
    return Array.from(this.#entries.values(), ({ info, netns }) => ({ info, netnsFd: netns?.fd }));
  }

  /** Before anything else: a pod that an agent before this one has enrolled. `netns` is ours from now on. */
  claim(pod: Pod, netns: PodNetns | undefined): void {
    const info = podInfo(pod);
    this.#put({
      info,
      pod,
      addresses: podAddresses(pod),
      netns,
      standing: 'claimed',
      ruleset: this.#tools.rulesOf(pod),
      timer: undefined,
    });
  }

  /** Brings a pod into the mesh: one that is about to start (`given`), or one that runs. */
  enrol(pod: Pod, given?: NewPod): Promise<EnrolmentResult> {
    return this.#inTurn(pod, () => this.#enrolAndTell(pod, given));
  }

  /** Sees that what is known of an enrolled pod holds: its addresses, and its annotation. */
  refresh(pod: Pod): Promise<EnrolmentResult> {
    return this.#inTurn(pod, async () => {
      const entry = this.#entries.get(podInfo(pod).uid);
      if (entry?.standing !== 'enrolled') return this.#enrolAndTell(pod, undefined);
      const addresses = podAddresses(pod);
      const current = addresses.length === 0 ? entry.addresses : addresses;
      this.#put({ ...entry, pod, addresses: current });
      await this.#tools.probes.set(entry.info.uid, current);
      if (pod.metadata.annotations?.[REDIRECTION_ANNOTATION] !== 'enabled') {
        await this.#tools.annotate(pod, 'enabled');
      }
      return DONE;
    });
  }

  /** Lets a pod that lives on out of the mesh. Its open connections get some time. */
  release(pod: Pod): Promise<EnrolmentResult> {
    return this.#inTurn(pod, () => this.#release(pod));
  }

  /**
   * The mesh goes: lets all pods out, and none in again. Settles when their open connections have had `drainMs`, and nothing
   * of the mesh is left in them. What can't be done for a pod is logged, and the rest of it done.
   */
  async releaseAll(drainMs: number): Promise<void> {
    this.#isClosed = true;
    // Whoever is on the way in arrives, and turns back.
    await Promise.all(this.#turns.values());
    const pods = Array.from(this.#entries.values(), ({ pod }) => pod);
    await inParallel(pods, async (pod) => {
      const why = await this.release(pod).then(
        (result) => (result.kind === 'failed' ? result.reason : undefined),
        (error: unknown) => (error instanceof Error ? error.message : String(error)),
      );
      if (why === undefined) return;
      const { namespace, name } = podInfo(pod);
      this.#tools.log.warn('a pod has not left the mesh as it should', {
        pod: `${namespace}/${name}`,
        why,
      });
    });
    const isDraining = this.count('draining') > 0;
    if (isDraining) await new Promise<void>((done) => this.#tools.clock.setTimer(drainMs, done));
    await inParallel(this.uids, (uid) => this.#endDraining(uid));
  }

  /** A pod has ended or gone: nothing has to be undone inside of it. */
  forget(uid: string, pod: Pod | undefined): Promise<EnrolmentResult> {
    return this.#inTurnOf(uid, async () => {
      await this.#drop(uid);
      if (pod?.metadata.annotations?.[REDIRECTION_ANNOTATION] !== undefined) {
        await this.#tools.annotate(pod, undefined);
      }
      return DONE;
    });
  }

  /** Compares the rules in a pod with those that should be there, and puts them right. */
  async audit(uid: string): Promise<AuditResult> {
    // Whoever works on the pod right now does more than this.
    if (this.#turns.has(uid)) return 'not-now';
    const result = this.#inTurnOf(uid, () => this.#audit(uid));
    return result;
  }

  /** Forgets what drains; everything in the pods stays as it is. */
  stop(): void {
    for (const { timer, netns } of this.#entries.values()) {
      timer?.[Symbol.dispose]();
      if (netns !== undefined) close(netns.fd);
    }
    this.#entries.clear();
  }

  async #enrolAndTell(pod: Pod, given: NewPod | undefined): Promise<EnrolmentResult> {
    const result = await this.#enrol(pod, given);
    const { tell } = this.#tools;
    if (result.kind === 'failed') {
      const what = given === undefined ? 'Not yet in the mesh' : 'Cannot start in the mesh';
      tell(pod, {
        type: 'Warning',
        reason: 'MeshEnrollmentFailed',
        message: `${what}: ${result.reason}`,
      });
    } else if (
      given !== undefined ||
      pod.metadata.annotations?.[REDIRECTION_ANNOTATION] !== 'enabled'
    ) {
      // Others were in it all the time, and only the agent is new.
      tell(pod, ENROLLED);
    }
    return result;
  }

  async #enrol(pod: Pod, given: NewPod | undefined): Promise<EnrolmentResult> {
    if (this.#isClosed) return failed('the mesh is being removed from this node');
    const info = podInfo(pod);
    const { tunnel, rules, probes, rulesOf, annotate } = this.#tools;
    const addresses =
      given !== undefined && given.addresses.length > 0 ? given.addresses : podAddresses(pod);
    const before = this.#entries.get(info.uid);
    const place = await this.#netnsFor(info.uid, addresses, before, given);
    if (place.kind === 'refused') return failed(place.reason);
    const { netns } = place;
    const ruleset = rulesOf(pod);
    this.#put({
      info,
      pod,
      addresses,
      netns,
      standing: before?.standing === 'enrolled' ? 'enrolled' : 'claimed',
      ruleset,
      timer: undefined,
    });
    const answer = await tunnel.add(info, netns.fd);
    if (answer.kind !== 'done') {
      // A pod that runs stays announced: a tunnel that connects gets it with the snapshot. And one that was enrolled goes on
      // being so: its rules are there, and it would be taken for reachable in plain text.
      if (given !== undefined) await this.#drop(info.uid);
      else if (pod.metadata.annotations?.[REDIRECTION_ANNOTATION] === undefined) {
        await annotate(pod, 'pending');
      }
      return failed(answer.reason);
    }
    await probes.set(info.uid, addresses);
    const applied = await rules.apply(netns.fd, ruleset);
    if (applied.kind === 'failed') {
      // A pod that was in the mesh keeps what it has; of others nothing is left half done.
      if (before === undefined || given !== undefined) await this.#drop(info.uid);
      return failed(applied.message);
    }
    await annotate(pod, 'enabled');
    this.#put({
      info,
      pod,
      addresses,
      netns,
      standing: 'enrolled',
      ruleset,
      timer: undefined,
    });
    return DONE;
  }

  async #netnsFor(
    uid: string,
    addresses: readonly IpAddress[],
    before: Entry | undefined,
    given: NewPod | undefined,
  ): Promise<OpenedNetns> {
    const { netns } = this.#tools;
    if (given !== undefined) {
      const opened = netns.open(given.netnsPath, addresses);
      if (opened.kind === 'refused' || opened.netns.id !== before?.netns?.id) return opened;
      close(opened.netns.fd);
      return { kind: 'found', netns: before.netns };
    }
    if (before?.netns !== undefined) return { kind: 'found', netns: before.netns };
    const found = await netns.find(uid, addresses);
    if (found !== undefined) return { kind: 'found', netns: found };
    return { kind: 'refused', reason: 'its network namespace is not found' };
  }

  async #release(pod: Pod): Promise<EnrolmentResult> {
    const { uid } = podInfo(pod);
    const { rules, netns, annotate, probes, clock, tell } = this.#tools;
    const known = this.#entries.get(uid);
    const place = known?.netns ?? (await netns.find(uid, podAddresses(pod)));
    if (place === undefined) {
      // No process is left in it, or it hides: there is nobody whose packets could go astray.
      await this.#drop(uid);
      await annotate(pod, undefined);
      return DONE;
    }
    const ruleset = known?.ruleset ?? this.#tools.rulesOf(pod);
    const entry: Entry = {
      info: podInfo(pod),
      pod,
      addresses: known?.addresses ?? podAddresses(pod),
      netns: place,
      standing: known?.standing ?? 'claimed',
      ruleset,
      timer: known?.timer,
    };
    this.#put(entry);
    if (entry.standing !== 'draining') {
      const drained = await rules.apply(place.fd, drainRules(ruleset));
      if (drained.kind === 'failed') return failed(drained.message);
      const timer = clock.setTimer(this.#options.drainMs, () => void this.#endDraining(uid));
      this.#put({ ...entry, standing: 'draining', timer });
      tell(pod, RELEASED);
    }
    await probes.delete(uid);
    await annotate(pod, undefined);
    return DONE;
  }

  async #endDraining(uid: string): Promise<void> {
    const reason = await this.#inTurnOf(uid, () => this.#removeDrained(uid)).catch(String);
    // Harmless: the rules that drain redirect nothing.
    const what = 'rules that do nothing stay in a pod that has left the mesh';
    if (reason !== undefined) this.#tools.log.warn(what, { uid, reason });
  }

  /** Answers why rules are left. */
  async #removeDrained(uid: string): Promise<string | undefined> {
    const entry = this.#entries.get(uid);
    if (entry?.standing !== 'draining' || entry.netns === undefined) return undefined;
    const result = await this.#tools.rules.remove(entry.netns.fd, entry.ruleset);
    await this.#drop(uid);
    return result.kind === 'failed' ? result.message : undefined;
  }

  async #audit(uid: string): Promise<AuditResult> {
    const entry = this.#entries.get(uid);
    if (entry?.standing !== 'enrolled') return entry?.standing === 'claimed' ? 'lost' : 'not-now';
    const { netns, ruleset } = entry;
    if (netns === undefined) return 'lost';
    const { rules, log } = this.#tools;
    const difference = await rules.findDifference(netns.fd, ruleset);
    if (difference === undefined) return 'intact';
    const applied = await rules.apply(netns.fd, ruleset);
    if (applied.kind === 'failed') return 'lost';
    const pod = `${entry.info.namespace}/${entry.info.name}`;
    log.warn('the rules of a pod had been changed and are put right', { pod, difference });
    return 'repaired';
  }

  /** Ends a pod's entry: the tunnel lets go of it, and its namespace is no longer held. */
  async #drop(uid: string): Promise<void> {
    const entry = this.#entries.get(uid);
    if (entry === undefined) return;
    entry.timer?.[Symbol.dispose]();
    this.#entries.delete(uid);
    await this.#tools.tunnel.delete(uid);
    if (entry.netns !== undefined) close(entry.netns.fd);
    await this.#tools.probes.delete(uid);
  }

  #put(entry: Entry): void {
    const before = this.#entries.get(entry.info.uid);
    if (before?.timer !== entry.timer) before?.timer?.[Symbol.dispose]();
    if (before?.netns !== undefined && before.netns.fd !== entry.netns?.fd) close(before.netns.fd);
    this.#entries.set(entry.info.uid, entry);
  }

  #inTurn(pod: Pod, step: () => Promise<EnrolmentResult>): Promise<EnrolmentResult> {
    return this.#inTurnOf(podInfo(pod).uid, step);
  }

  async #inTurnOf<T>(uid: string, step: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(uid) ?? Promise.resolve();
    const turn = before.then(step, step);
    // Whoever comes next waits for the end, well or not.
    const ended = turn.catch(() => undefined);
    this.#turns.set(uid, ended);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(uid) === ended) this.#turns.delete(uid);
    }
  }
}

/** What the node tunnel is told of a pod. */
export function podInfo({ metadata, spec }: Pod): PodInfo {
  return {
    uid: metadata.uid ?? '',
    name: metadata.name,
    namespace: metadata.namespace ?? '',
    serviceAccount: spec.serviceAccountName ?? 'default',
  };
}

async function inParallel<T>(items: Iterable<T>, step: (item: T) => Promise<void>): Promise<void> {
  const rest = Iterator.from(items);
  const work = async (): Promise<void> => {
    for (const item of rest) await step(item);
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
}

function failed(reason: string): EnrolmentResult {
  return { kind: 'failed', reason };
}
