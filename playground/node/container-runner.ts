import { randomBytes } from 'node:crypto';
import { readFileSync, rmdirSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

import type { Container, ContainerState, ProbeAction } from '#kube/resources.ts';

import { apiTime } from './api-time.ts';
import type { PodEvent } from './cluster-access.ts';
import { cgroupDirectory, prepareLaunch } from './container-launch.ts';
import { type ContainerExit, type ContainerProcess, startContainer } from './container-process.ts';
import { executeInside } from './execute.ts';
import { findImage, type ImageProgram, unknownImageMessage } from './images.ts';
import { LogFile } from './log-file.ts';
import { containerLogDirectory, type PodContext } from './pod-context.ts';
import { type ContainerList, type ContainerRecord, isSidecar } from './pod-status.ts';
import { ProbeLoops } from './probe-loops.ts';
import { type ProbeTarget, portNumber } from './probe-runner.ts';
import { RestartBackoff } from './restart-backoff.ts';

/** What can't be started because something that it refers to is missing is tried again after this time. */
const CONFIG_RETRY_MS = 1_000;
/** The kubelet's delays between attempts to pull. */
const PULL_RETRY_FIRST_MS = 10_000;
const PULL_RETRY_MS_MAX = 300_000;
/** The kubelet reads so much of a program's last words. */
const TERMINATION_MESSAGE_BYTES_MAX = 4_096;

type Outcome = 'succeeded' | 'failed' | 'stopped';

/**
 * One container of a pod, from its first start to its last end:
 *
 *     waiting ─▶ running ─▶ terminated ──policy says so──▶ end
 *        ▲                      │
 *        └──────back-off────────┘
 */
export class ContainerRunner {
  readonly #context: PodContext;
  readonly #container: Container;
  readonly #list: ContainerList;
  readonly #backoff = new RestartBackoff();
  readonly #stopping = new AbortController();
  #record: ContainerRecord;
  #process: ContainerProcess | undefined;
  #probes: ProbeLoops | undefined;
  readonly #startedOnce = Promise.withResolvers<void>();

  constructor(context: PodContext, container: Container, list: ContainerList) {
    this.#list = list;
    const init = list === 'initContainers';
    this.#context = context;
    this.#container = container;
    const before = earlierRun(context, container.name, list);
    const hasInit = (context.pod().spec.initContainers ?? []).length > 0;
    this.#record = {
      container,
      init,
      state: { waiting: { reason: hasInit ? 'PodInitializing' : 'ContainerCreating' } },
      lastState: before.lastState,
      restartCount: before.restartCount,
      containerId: undefined,
      started: false,
      ready: false,
    };
  }

  get record(): ContainerRecord {
    return this.#record;
  }

  get name(): string {
    return this.#container.name;
  }

  /** The processes of the present run. */
  get process(): ContainerProcess | undefined {
    return this.#process;
  }

  /** Resolves when it has started, its startup probe included, or will never. */
  get startedOnce(): Promise<void> {
    return this.#startedOnce.promise;
  }

  /** Runs the container again and again, as the pod's policy says. */
  async run(): Promise<Outcome> {
    try {
      return await this.#runLoop();
    } finally {
      this.#startedOnce.resolve();
    }
  }

  /** Ends it for good: the hook, SIGTERM, and SIGKILL when `graceMs` are over. */
  async stop(graceMs: number): Promise<void> {
    if (this.#process !== undefined && !this.#stopping.signal.aborted) {
      this.#event('Normal', 'Killing', `Stopping container ${this.name}`);
    }
    this.#stopping.abort();
    await this.#end(graceMs);
  }

  /** The way to its log of this run or the one before. */
  logFile(previous: boolean): string | undefined {
    const run = this.#record.restartCount - (previous ? 1 : 0);
    if (run < 0 || (this.#record.containerId === undefined && !previous)) return undefined;
    return join(containerLogDirectory(this.#context.pod(), this.name), `${run}.log`);
  }

  async #runLoop(): Promise<Outcome> {
    for (;;) {
      const program = await this.#image();
      if (program === undefined) return 'stopped';
      const startedAtMs = Date.now();
      const exit = await this.#runOnce(program);
      if (exit === undefined || this.#stopping.signal.aborted) return 'stopped';
      if (!this.#restarts(exit.code)) return exit.code === 0 ? 'succeeded' : 'failed';
      const nowMs = Date.now();
      await this.#backOff(this.#backoff.ended(nowMs, nowMs - startedAtMs));
      if (this.#stopping.signal.aborted) return 'stopped';
    }
  }

  /** The program behind the image; while there is none, waits. Undefined when it is to stop. */
  async #image(): Promise<ImageProgram | undefined> {
    const { image = '' } = this.#container;
    let delayMs = PULL_RETRY_FIRST_MS;
    for (;;) {
      if (this.#stopping.signal.aborted) return undefined;
      const found = findImage(this.#context.node.images, image);
      if (found !== undefined) {
        this.#event(
          'Normal',
          'Pulled',
          `Container image ${JSON.stringify(image)} already present on machine`,
        );
        return found;
      }
      const message = unknownImageMessage(image);
      this.#event('Normal', 'Pulling', `Pulling image ${JSON.stringify(image)}`);
      this.#event('Warning', 'Failed', `Failed to pull image ${JSON.stringify(image)}: ${message}`);
      this.#event('Warning', 'Failed', 'Error: ErrImagePull');
      this.#wait('ErrImagePull', message);
      await this.#sleep(Math.min(delayMs, 2_000));
      this.#event('Normal', 'BackOff', `Back-off pulling image ${JSON.stringify(image)}`);
      this.#event('Warning', 'Failed', 'Error: ImagePullBackOff');
      this.#wait(
        'ImagePullBackOff',
        `Back-off pulling image ${JSON.stringify(image)}: ErrImagePull: ${message}`,
      );
      await this.#sleep(delayMs);
      delayMs = Math.min(PULL_RETRY_MS_MAX, delayMs * 2);
    }
  }

  /** One run from start to end; undefined when it is to stop before it could start. */
  async #runOnce(program: ImageProgram): Promise<ContainerExit | undefined> {
    const id = randomBytes(32).toString('hex');
    const prepared = await this.#prepare(program, id);
    if (prepared === undefined) return undefined;
    const { launch, terminationMessage } = prepared;
    this.#event('Normal', 'Created', `Created container: ${this.name}`);
    const directory = containerLogDirectory(this.#context.pod(), this.name);
    const log = new LogFile(join(directory, `${this.#record.restartCount}.log`));
    const startedAt = apiTime();
    const { stdin = false, tty = false, stdinOnce = false } = this.#container;
    const input = { stdin, tty, once: stdinOnce };
    const outcome = await startContainer(launch, this.#context.netns(), { log, input });
    this.#become({ containerId: id });
    let exit: ContainerExit;
    if (outcome.kind === 'failed') {
      const message = `failed to create containerd task: failed to create shim task: OCI runtime create failed: ${outcome.message}: unknown`;
      this.#event('Warning', 'Failed', `Error: ${message}`);
      exit = { code: 128, signal: null };
      this.#terminated(exit, { reason: 'StartError', message, startedAt, containerId: id });
    } else {
      exit = await this.#live(outcome.container, startedAt);
      const message = this.#lastWords(terminationMessage);
      const reason = exit.code === 0 ? 'Completed' : 'Error';
      this.#terminated(exit, { reason, message, startedAt, containerId: id });
    }
    this.#cleanUp(id, terminationMessage);
    return exit;
  }

  async #prepare(
    program: ImageProgram,
    id: string,
  ): Promise<Extract<ReturnType<typeof prepareLaunch>, { kind: 'ok' }> | undefined> {
    for (;;) {
      if (this.#stopping.signal.aborted) return undefined;
      const result = prepareLaunch(this.#context, this.#container, program, id);
      if (result.kind === 'ok') return result;
      this.#event('Warning', 'Failed', `Error: ${result.problem}`);
      this.#wait('CreateContainerConfigError', result.problem);
      await this.#sleep(CONFIG_RETRY_MS);
    }
  }

  async #live(container: ContainerProcess, startedAt: string): Promise<ContainerExit> {
    this.#process = container;
    this.#event('Normal', 'Started', `Started container ${this.name}`);
    this.#become({ state: { running: { startedAt } }, started: false, ready: false });
    const target: ProbeTarget = {
      container: this.#container,
      podIp: this.#context.place().podIp,
      exec: async (command, timeoutMs) => executeInside(container, command, timeoutMs),
    };
    this.#probes = new ProbeLoops(target, {
      onChange: (started, ready) => {
        this.#become({ started, ready });
        if (started) this.#startedOnce.resolve();
      },
      onUnhealthy: (kind, message) =>
        this.#event('Warning', 'Unhealthy', `${kind} probe failed: ${message}`),
      onDead: (kind) => {
        const message = `Container ${this.name} failed ${kind.toLowerCase()} probe, will be restarted`;
        this.#event('Normal', 'Killing', message);
        void this.#end(this.#graceMs());
      },
    });
    const { postStart } = this.#container.lifecycle ?? {};
    if (postStart !== undefined) await this.#hook('PostStart', postStart, this.#graceMs());
    this.#probes.start();
    // Told to stop while it was starting.
    if (this.#stopping.signal.aborted) void this.#end(0);
    const exit = await container.exited;
    this.#probes.stop();
    this.#process = undefined;
    return exit;
  }

  /** Ends the present run. */
  async #end(graceMs: number): Promise<void> {
    const process = this.#process;
    if (process === undefined) return;
    const deadlineMs = Date.now() + graceMs;
    const { preStop } = this.#container.lifecycle ?? {};
    if (preStop !== undefined) await this.#hook('PreStop', preStop, graceMs);
    const timer = setTimeout(() => process.signal('SIGKILL'), Math.max(0, deadlineMs - Date.now()));
    await process.askToEnd();
    clearTimeout(timer);
  }

  async #hook(
    kind: 'PostStart' | 'PreStop',
    action: ProbeAction,
    timeoutMs: number,
  ): Promise<void> {
    const process = this.#process;
    if (process === undefined) return;
    const problem = await this.#runHook(process, action, timeoutMs);
    if (problem !== undefined) {
      this.#event('Warning', `Failed${kind}Hook`, `${kind}Hook failed: ${problem}`);
    }
  }

  async #runHook(
    process: ContainerProcess,
    action: ProbeAction,
    timeoutMs: number,
  ): Promise<string | undefined> {
    if (action.sleep !== undefined) {
      await Promise.race([wait(Math.min(action.sleep.seconds * 1_000, timeoutMs)), process.exited]);
      return undefined;
    }
    if (action.exec !== undefined) {
      const { code, output } = await executeInside(process, action.exec.command ?? [], timeoutMs);
      return code === 0 ? undefined : `exit code ${code}, ${JSON.stringify(output)}`;
    }
    if (action.httpGet === undefined) return undefined;
    const { host, path = '/', port } = action.httpGet;
    const number = portNumber(this.#container, port);
    if (number === undefined) return `couldn't find port: ${port}`;
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    const options = { agent: false, signal: AbortSignal.timeout(timeoutMs) };
    const url = `http://${host ?? this.#context.place().podIp}:${number}${path}`;
    request(url, options, (response) => {
      response.resume();
      resolve(undefined);
    })
      .on('error', (error) => resolve(error.message))
      .end();
    return promise;
  }

  #restarts(code: number): boolean {
    if (this.#list === 'ephemeralContainers') return false;
    if (isSidecar(this.#container)) return true;
    const policy = this.#context.pod().spec.restartPolicy ?? 'Always';
    if (policy === 'Never') return false;
    return code !== 0 || (policy === 'Always' && !this.#record.init);
  }

  async #backOff(delayMs: number): Promise<void> {
    const { name, namespace, uid } = this.#context.pod().metadata;
    const lastState = this.#record.state;
    if (delayMs > 0) {
      const who = `${name}_${namespace}(${uid})`;
      this.#event(
        'Warning',
        'BackOff',
        `Back-off restarting failed container ${this.name} in pod ${who}`,
      );
      const message = `back-off ${formatSeconds(delayMs)} restarting failed container=${this.name} pod=${who}`;
      this.#become({ lastState, state: { waiting: { reason: 'CrashLoopBackOff', message } } });
      await this.#sleep(delayMs);
    }
    // What ended for good keeps its last state.
    if (this.#stopping.signal.aborted) return;
    this.#become({ lastState, restartCount: this.#record.restartCount + 1 });
  }

  #terminated(
    exit: ContainerExit,
    how: { reason: string; message: string; startedAt: string; containerId: string },
  ): void {
    const { message, containerId, ...rest } = how;
    const terminated: NonNullable<ContainerState['terminated']> = {
      exitCode: exit.code,
      ...rest,
      ...(message === '' ? {} : { message }),
      finishedAt: apiTime(),
      containerID: `ambit://${containerId}`,
    };
    this.#become({ state: { terminated }, ready: false, started: false });
  }

  #lastWords(path: string): string {
    return readFileSync(path).subarray(0, TERMINATION_MESSAGE_BYTES_MAX).toString();
  }

  #cleanUp(id: string, terminationMessage: string): void {
    rmSync(terminationMessage, { force: true });
    const cgroup = cgroupDirectory(this.#context, id);
    if (cgroup !== undefined) removeCgroup(cgroup);
  }

  #graceMs(): number {
    return (this.#context.pod().spec.terminationGracePeriodSeconds ?? 30) * 1_000;
  }

  #wait(reason: string, message: string): void {
    this.#become({ state: { waiting: { reason, message } } });
  }

  #become(change: Partial<ContainerRecord>): void {
    this.#record = { ...this.#record, ...change };
    this.#context.changed();
  }

  #event(type: PodEvent['type'], reason: string, message: string): void {
    const container = { name: this.name, list: this.#list };
    const pod = this.#context.pod();
    this.#context.node.access.reportEvent({ pod, type, reason, message, container });
  }

  async #sleep(delayMs: number): Promise<void> {
    try {
      await wait(delayMs, undefined, { signal: this.#stopping.signal });
    } catch (error) {
      // Stopping ends every wait; who waited looks at the signal.
      if (!this.#stopping.signal.aborted) throw error;
    }
  }
}

/** What the pod's object says of a run that ended with an earlier kubelet of this node. */
function earlierRun(
  context: PodContext,
  name: string,
  list: ContainerList,
): Pick<ContainerRecord, 'lastState' | 'restartCount'> {
  const { status } = context.pod();
  const statuses = status?.[STATUSES[list]] ?? [];
  const seen = statuses.find((each) => each.name === name);
  if (seen?.containerID === undefined) return { lastState: {}, restartCount: 0 };
  const { containerID, restartCount, state = {} } = seen;
  const lost = {
    exitCode: EXIT_CODE_UNKNOWN,
    reason: 'Unknown',
    ...(state.running === undefined ? {} : { startedAt: state.running.startedAt }),
    finishedAt: apiTime(),
    containerID,
  };
  const lastState = { terminated: state.terminated ?? lost };
  return { lastState, restartCount: restartCount + 1 };
}

const STATUSES = {
  containers: 'containerStatuses',
  initContainers: 'initContainerStatuses',
  ephemeralContainers: 'ephemeralContainerStatuses',
} as const;

/** As container runtimes say it of what nobody has watched to its end. */
const EXIT_CODE_UNKNOWN = 255;

/** Only `rmdir` removes a control group: its files are not files. */
function removeCgroup(directory: string): void {
  try {
    rmdirSync(directory);
  } catch (error) {
    // A process that is just ending keeps it busy: the cluster's end removes what is left.
    const { code = '' } = error as NodeJS.ErrnoException;
    if (!['EBUSY', 'ENOENT'].includes(code)) throw error;
  }
}

function formatSeconds(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  const minutes = Math.floor(seconds / 60);
  return minutes === 0 ? `${seconds}s` : `${minutes}m${seconds % 60}s`;
}
