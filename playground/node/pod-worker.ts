import { setTimeout as wait } from 'node:timers/promises';

import type { Pod, PodStatus } from '#kube/resources.ts';

import { apiTime } from './api-time.ts';
import { ContainerRunner } from './container-runner.ts';
import type { PodPlace } from './field-value.ts';
import { type NodeContext, type PodContext, podDirectory } from './pod-context.ts';
import { PodReferences } from './pod-references.ts';
import { isSidecar, OWN_CONDITIONS, type PodRecord, podPhase, podStatus } from './pod-status.ts';
import { createSandbox, removeSandbox, type Sandbox } from './sandbox.ts';
import { PodVolumes } from './volumes.ts';

/** What fails because of something outside the pod is tried again after these times. */
const RETRY_FIRST_MS = 500;
const RETRY_MS_MAX = 10_000;
/** Volumes that show objects follow them, and tokens are renewed, at the latest after this time. */
const REFRESH_MS = 5_000;
const GRACE_SECONDS_DEFAULT = 30;

/**
 * One pod on its node:
 *
 *     volumes ─▶ sandbox ─▶ init containers ─▶ containers ─▶ all ended, or told to end ─▶ sandbox and volumes removed
 */
export class PodWorker {
  /** Resolves when nothing of the pod is left on the node. */
  readonly done: Promise<void>;
  readonly #node: NodeContext;
  readonly #references: PodReferences;
  readonly #volumes: PodVolumes;
  readonly #runners: readonly ContainerRunner[];
  readonly #ephemeral = new Map<ContainerRunner, Promise<unknown>>();
  /** Its containers have begun to run, and nobody has told them to end. */
  #running = false;
  readonly #context: PodContext;
  readonly #startTime: string;
  readonly #terminating = new AbortController();
  /** The node ends, and takes the pod's network along. */
  readonly #leaving = new AbortController();
  #graceMs = 0;
  /** All volumes have been made once. */
  #mounted = false;
  #pod: Pod;
  #sandbox: Sandbox | undefined;
  #sandboxGone = false;
  #status: PodStatus | undefined;
  #reportDue = false;
  /** What waits for something outside of the pod, so that it looks at once. */
  readonly #waiting = new Set<() => void>();

  constructor(node: NodeContext, pod: Pod) {
    this.#node = node;
    this.#pod = pod;
    this.#status = pod.status;
    this.#startTime = pod.status?.startTime ?? apiTime();
    this.#references = new PodReferences(pod, node.access);
    this.#volumes = new PodVolumes(pod, podDirectory(pod), node.access, this.#references);
    this.#context = {
      node,
      pod: () => this.#pod,
      objects: this.#references,
      volumes: this.#volumes,
      directory: `${podDirectory(pod)}/.own`,
      netns: () => this.#sandbox?.netns,
      place: () => this.#place(),
      changed: () => this.#changed(),
    };
    this.#runners = [
      ...(pod.spec.initContainers ?? []).map(
        (each) => new ContainerRunner(this.#context, each, 'initContainers'),
      ),
      ...pod.spec.containers.map((each) => new ContainerRunner(this.#context, each, 'containers')),
    ];
    this.#references.onChange(() => this.#referencesChanged());
    this.done = this.#run();
  }

  get pod(): Pod {
    return this.#pod;
  }

  get status(): PodStatus | undefined {
    return this.#status;
  }

  /** Path of the pod's network namespace; undefined for the node's, or when there is none. */
  get netns(): string | undefined {
    return this.#sandbox?.netns;
  }

  container(name: string): ContainerRunner | undefined {
    return [...this.#runners, ...this.#ephemeral.keys()].find((runner) => runner.name === name);
  }

  /** Takes the object as it is now: its metadata may have changed, or it is being deleted. */
  update(pod: Pod): void {
    this.#pod = pod;
    if (pod.metadata.deletionTimestamp === undefined) return this.#startEphemeral();
    this.terminate(pod.metadata.deletionGracePeriodSeconds);
  }

  /** Ends the pod. Its containers have `graceSeconds` to do so themselves. */
  terminate(graceSeconds: number | undefined): void {
    const { terminationGracePeriodSeconds: own = GRACE_SECONDS_DEFAULT } = this.#pod.spec;
    this.#graceMs = (graceSeconds ?? own) * 1_000;
    this.#terminating.abort();
  }

  /** Ends the pod with its node. */
  leave(graceSeconds: number): void {
    this.#leaving.abort();
    this.terminate(graceSeconds);
  }

  async #run(): Promise<void> {
    const refresh = setInterval(() => void this.#refresh(), REFRESH_MS);
    try {
      await this.#runContainers();
    } finally {
      clearInterval(refresh);
    }
    await this.#dismantle();
    // One that has ended on its own stays to be looked at until somebody deletes it.
    await this.#terminated();
    this.#volumes.remove();
    this.#references.release();
    this.#node.access.reportGone(this.#pod);
  }

  async #runContainers(): Promise<void> {
    this.#changed();
    if (!(await this.#prepare())) return;
    const running: Promise<unknown>[] = [];
    const stopped = this.#terminated().then(async () => this.#stop());
    if (!(await this.#initialize(running))) {
      // A sidecar does not outlive the pod that it was to help.
      if (!this.#terminating.signal.aborted) await this.#stop();
      else await stopped;
      await Promise.all(running);
      return;
    }
    const main = this.#runners.filter(({ record }) => !record.init);
    this.#running = true;
    this.#startEphemeral();
    await Promise.all(main.map(async (runner) => runner.run()));
    if (!this.#terminating.signal.aborted) await this.#stop();
    else await stopped;
    await Promise.all([...running, ...this.#ephemeral.values()]);
  }

  /** Runs the containers that somebody has added. */
  #startEphemeral(): void {
    if (!this.#running) return;
    for (const container of this.#pod.spec.ephemeralContainers ?? []) {
      if (this.container(container.name) !== undefined) continue;
      const runner = new ContainerRunner(this.#context, container, 'ephemeralContainers');
      const done = runner.run();
      // Told of where all of them are waited for.
      done.catch(() => undefined);
      this.#ephemeral.set(runner, done);
    }
  }

  /** Volumes and sandbox. False: told to end before they were there. */
  async #prepare(): Promise<boolean> {
    // With an API server that does not answer there is nothing to start with.
    await Promise.race([this.#references.synced(), this.#terminated()]);
    const mounted = await this.#retry(async () => {
      const problem = await this.#volumes.setUp(this.#place());
      if (problem !== undefined) this.#event('Warning', 'FailedMount', problem);
      return problem === undefined;
    });
    this.#mounted = mounted;
    if (!mounted || this.#pod.spec.hostNetwork === true) return mounted;
    return this.#retry(async () => {
      const { namespace = 'default', name, uid = '' } = this.#pod.metadata;
      const outcome = await createSandbox(this.#node.cni, { namespace, name, uid });
      if (outcome.kind === 'ready') this.#sandbox = outcome.sandbox;
      else {
        const message = `Failed to create pod sandbox: ${outcome.message}`;
        this.#event('Warning', 'FailedCreatePodSandBox', message);
      }
      this.#changed();
      return outcome.kind === 'ready';
    });
  }

  /** Runs the init containers, one after the other. False: one has failed for good, or the pod is to end. */
  async #initialize(running: Promise<unknown>[]): Promise<boolean> {
    for (const runner of this.#runners.filter(({ record }) => record.init)) {
      if (this.#terminating.signal.aborted) return false;
      if (isSidecar(runner.record.container)) {
        running.push(runner.run());
        await runner.startedOnce;
      } else if ((await runner.run()) !== 'succeeded') return false;
    }
    return !this.#terminating.signal.aborted;
  }

  /** Ends the containers: first those that do the pod's work, then its sidecars. */
  async #stop(): Promise<void> {
    this.#running = false;
    const deadlineMs = Date.now() + this.#graceMs;
    const all = this.#runners.toReversed();
    const first = [...all.filter(({ record }) => !record.init), ...this.#ephemeral.keys()];
    await Promise.all(first.map(async (each) => each.stop(this.#graceMs)));
    for (const sidecar of all.filter(({ record }) => record.init)) {
      await sidecar.stop(Math.max(0, deadlineMs - Date.now()));
    }
  }

  /** Gives the sandbox back. Plugins that can't yet are asked again. */
  async #dismantle(): Promise<void> {
    const sandbox = this.#sandbox;
    this.#changed();
    for (let delayMs = RETRY_FIRST_MS; ; delayMs = Math.min(RETRY_MS_MAX, delayMs * 2)) {
      // Plugins need not clean up what goes with the node, and their agents may have ended before.
      if (sandbox === undefined || this.#leaving.signal.aborted) break;
      const problem = await removeSandbox(this.#node.cni, sandbox);
      if (problem === undefined) break;
      this.#event(
        'Warning',
        'FailedKillPod',
        `error killing pod: failed to "KillPodSandbox" for ${JSON.stringify(this.#pod.metadata.uid)} with KillPodSandboxError: ${JSON.stringify(problem)}`,
      );
      await Promise.race([wait(delayMs), aborted(this.#leaving.signal)]);
    }
    this.#sandboxGone = true;
    this.#changed();
  }

  #referencesChanged(): void {
    for (const look of this.#waiting) look();
    if (this.#mounted) void this.#refresh();
  }

  async #refresh(): Promise<void> {
    const problem = await this.#volumes.setUp(this.#place());
    if (problem !== undefined) this.#node.log.warn('a volume is out of date', { problem });
  }

  /** Until `attempt` says that it is done. False: told to end before. */
  async #retry(attempt: () => Promise<boolean>): Promise<boolean> {
    let delayMs = RETRY_FIRST_MS;
    while (!this.#terminating.signal.aborted) {
      if (await attempt()) return true;
      const changed = Promise.withResolvers<void>();
      this.#waiting.add(changed.resolve);
      await Promise.race([wait(delayMs), this.#terminated(), changed.promise]);
      this.#waiting.delete(changed.resolve);
      delayMs = Math.min(RETRY_MS_MAX, delayMs * 2);
    }
    return false;
  }

  #terminated(): Promise<void> {
    return aborted(this.#terminating.signal);
  }

  #place(): PodPlace {
    const { name, address, cpus, memoryBytes } = this.#node;
    const podIp = this.#sandbox?.address ?? (this.#pod.spec.hostNetwork === true ? address : '');
    return { nodeName: name, hostIp: address, podIp, cpus, memoryBytes };
  }

  #record(): PodRecord {
    const { podIp } = this.#place();
    return {
      pod: this.#pod,
      hostIp: this.#node.address,
      podIp: podIp === '' ? undefined : podIp,
      startTime: this.#startTime,
      containers: this.#runners.map(({ record }) => record),
      ephemeral: Array.from(this.#ephemeral.keys(), ({ record }) => record),
      failure: undefined,
    };
  }

  /** Reports the status once for all changes of a moment. */
  #changed(): void {
    if (this.#reportDue) return;
    this.#reportDue = true;
    setImmediate(() => {
      this.#reportDue = false;
      this.#report();
    });
  }

  #report(): void {
    const record = this.#record();
    const isOver = ['Succeeded', 'Failed'].includes(podPhase(record)) && !this.#sandboxGone;
    // The end is told when the network has been given back: who waits for it may use the address again.
    if (isOver && !this.#terminating.signal.aborted) return;
    const status = podStatus(record, this.#before(), apiTime());
    if (JSON.stringify(status) === JSON.stringify(this.#status)) return;
    this.#status = status;
    this.#node.access.reportStatus(this.#pod, status);
  }

  /** Own conditions as last reported, those of others as last seen. */
  #before(): PodStatus {
    const own = this.#status?.conditions ?? [];
    const seen = this.#pod.status?.conditions ?? [];
    const foreign = seen.filter(({ type }) => !OWN_CONDITIONS.has(type));
    const kept = (own.length > 0 ? own : seen).filter(({ type }) => OWN_CONDITIONS.has(type));
    return { conditions: [...kept, ...foreign] };
  }

  #event(type: 'Normal' | 'Warning', reason: string, message: string): void {
    this.#node.access.reportEvent({ pod: this.#pod, type, reason, message });
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  signal.addEventListener('abort', () => resolve(), { once: true });
  await promise;
}
