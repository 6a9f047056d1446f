import { RateLimitedLines } from '#common/log/rate-limit.ts';
import { MeshStore } from '#dataplane/state/store.ts';
import type { AccessEvent, AccessRecord } from '#dataplane/telemetry/access-log.ts';
import { ACCESS_SCOPE, accessLevel, accessLine } from '#dataplane/telemetry/access-log.ts';
import { TrafficMetrics } from '#dataplane/telemetry/metrics.ts';
import { WorkerLog } from '#dataplane/workers/worker-log.ts';
import { STAGING_BYTES } from '#hbone/tunnel.ts';
import type { Loop } from '#reactor/loop.ts';
import { allocateSlab, SlabPool } from '#reactor/memory.ts';
import { allocateTlsBuffers } from '#reactor/tls/buffers.ts';

import type { AccessSink } from '../proxy/accounting.ts';
import { threadAdmission } from '../proxy/admission.ts';
import { Connections } from '../proxy/connections.ts';
import type { ThreadContext } from '../proxy/context.ts';
import { Demands } from './demands.ts';
import { Identities } from './identities.ts';
import { type PackedPod, packPod, unpackPod } from './packed-pod.ts';
import { retuneListeners, takeListeners } from './pod-listeners.ts';
import { PodProxy } from './pod-proxy.ts';
import type { FrozenPod } from './pod-state.ts';
import { exportPod, freezePod, releasePod, restorePod, thawPod } from './pod-state.ts';
import { PolicyLog } from './policy-log.ts';
import type {
  Collected,
  FromWorker,
  Notice,
  PodDescription,
  Question,
  WorkerSettings,
  WorkerState,
} from './protocol.ts';
import { warmUp } from './warm-up.ts';

/** Receive memory for plain sockets; a relay reads at most 256 KB at once. */
const SCRATCH_BYTES = 262_144;
/** Staging slabs kept for the next turn. Each holds 1.1 MB, touched only as far as it was used. */
const STAGING_KEPT = 32;
/** How long a hand-over waits for handshakes in progress, which can't be moved. */
const HANDSHAKE_GRACE_MS = 40;

/** One data worker: its copy of the mesh, its pods, and the answers to the control thread. */
export class DataPlane {
  readonly #thread: ThreadContext;
  readonly #mesh = new MeshStore();
  readonly #identities: Identities;
  readonly #demands: Demands | undefined;
  readonly #log: WorkerLog;
  readonly #settings: WorkerSettings;
  readonly #pods = new Map<string, PodProxy>();
  /** Set while everything stands still: between freezing, or adopting, and the word to go on. */
  #frozen: readonly FrozenPod[] | undefined;
  /** Whoever wants to change the pods meanwhile. */
  #held = Promise.withResolvers<void>();
  /** Tells an export that it was called off while it waited. */
  #exports = 0;
  #released = false;
  #draining = false;

  constructor(loop: Loop, settings: WorkerSettings, post: (message: FromWorker) => void) {
    this.#settings = settings;
    this.#identities = new Identities(loop, (identity) =>
      post({ type: 'identity-wanted', identity }),
    );
    this.#demands = settings.onDemand
      ? new Demands((names) => post({ type: 'names-wanted', names }))
      : undefined;
    this.#log = new WorkerLog(loop, settings.log, (batch) => post({ type: 'log', batch }));
    const admission = threadAdmission(settings.admission);
    this.#thread = {
      loop,
      scratch: allocateSlab(SCRATCH_BYTES),
      mesh: this.#mesh,
      tunnels: {
        loop,
        buffers: allocateTlsBuffers(),
        staging: new SlabPool(STAGING_BYTES, STAGING_KEPT),
        options: settings.tunnels,
        ending: new Set(),
      },
      identities: this.#identities,
      connections: new Connections(this.#mesh, admission.connections),
      demands: this.#demands,
      settings: settings.proxy,
      admission,
      metrics: new TrafficMetrics(),
      access: new AccessLog(this.#log),
      report: (problem) => post({ type: 'report', problem }),
      repeated: new RateLimitedLines((problem) => post({ type: 'report', problem })),
    };
    const policyLog = new PolicyLog(this.#log, settings);
    this.#thread.connections.onVerdict = (facts, verdict) => policyLog.write(facts, verdict);
    loop.onFault = (error) => {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      post({ type: 'report', problem: `a connection was closed by a fault of ours: ${text}` });
    };
  }

  /** Takes up what the control thread says. */
  notice(notice: Notice): void {
    switch (notice.kind) {
      case 'mesh': {
        const changed = this.#mesh.apply(notice.delta);
        // A frozen connection may be another process's by now; it is judged when it is ours for certain.
        if (this.#frozen !== undefined) return;
        if (changed.policiesChanged) this.#thread.connections.judgeAgain();
        else if (changed.policyBindingsChanged.length > 0) {
          this.#thread.connections.judgeAgain(new Set(changed.policyBindingsChanged));
        }
        return;
      }
      case 'identity':
        this.#takeIdentity(notice);
        return;
      case 'demands':
        this.#demands?.forget(notice.forgotten);
        this.#demands?.answer(notice.answered);
        return;
      case 'log-filter':
        this.#log.levels.set(notice.filter);
        return;
      case 'log-taken':
        this.#log.taken(notice.lines);
        return;
      case 'drain':
        this.#draining = true;
        for (const pod of this.#pods.values()) pod.drain();
        return;
      case 'cut':
        for (const pod of this.#pods.values()) pod.close(notice.reason);
        this.#log.flush();
        return;
      case 'go':
        for (const { proxy } of this.#frozen ?? []) {
          retuneListeners(this.#thread, proxy.context.pod, proxy.listenerFds());
        }
        this.#goOn();
        return;
      case 'thaw':
        this.#goOn();
    }
  }

  /** Answers a question of the control thread; see `Answers` for the shapes. */
  async answer(question: Question): Promise<unknown> {
    switch (question.kind) {
      case 'start-pod': {
        const { uid, pod, netnsFd } = question;
        await this.#untilGoingOn();
        if (this.#released) return 'another process serves the pods of this node now';
        if (this.#pods.has(uid)) return `this data worker serves pod ${uid} already`;
        const proxy = new PodProxy(this.#thread, uid, pod, netnsFd);
        const problem = proxy.listen(this.#settings.listen);
        if (problem === undefined) this.#pods.set(uid, proxy);
        return problem ?? '';
      }
      case 'stop-pod': {
        await this.#untilGoingOn();
        const proxy = this.#pods.get(question.uid);
        this.#pods.delete(question.uid);
        proxy?.close(question.reason);
        return undefined;
      }
      case 'warm-up':
        await warmUp(this.#thread.tunnels, this.#thread.scratch);
        return undefined;
      case 'collect':
        return this.#collect();
      case 'describe':
        return this.#describe();
      case 'export':
        return this.#export();
      case 'release':
        this.#release();
        return undefined;
      case 'adopt':
        this.#adopt(question.pods);
        return undefined;
    }
  }

  #takeIdentity({ identity, update }: Extract<Notice, { readonly kind: 'identity' }>): void {
    const problem = this.#identities.update(identity, update);
    if (problem !== undefined) this.#thread.report(problem);
  }

  #collect(): Collected {
    let connections = 0;
    let tunnelSockets = 0;
    for (const pod of this.#pods.values()) {
      tunnelSockets += pod.inbound.tunnels.size + pod.waiting.size;
      connections += pod.context.live.size;
      for (const connection of pod.context.live) connection.countBytes();
    }
    const { metrics, loop, tunnels } = this.#thread;
    let tunnelsSending = tunnels.ending.size;
    // A look at each socket, for which nobody asks in normal times.
    if (this.#draining) for (const pod of this.#pods.values()) tunnelsSending += pod.tunnelsSending;
    const { source, destination } = metrics.socketsOpen;
    return {
      counts: metrics.takeChanges(),
      socketsOpen: { source, destination: destination + tunnelSockets },
      connections,
      tunnelsSending,
      faults: loop.faults,
    };
  }

  #describe(): readonly PodDescription[] {
    return [...this.#pods.values()].map((pod) => ({
      uid: pod.uid,
      connections: [...pod.context.live].map((connection) => connection.describe()),
    }));
  }

  async #export(): Promise<WorkerState> {
    const attempt = ++this.#exports;
    for (const pod of this.#pods.values()) pod.pause();
    // What waits in the kernel moves with the listeners; what is half-way through a handshake can't move,
    // and nearly always needs a few milliseconds more.
    const untilMs = performance.now() + HANDSHAKE_GRACE_MS;
    while (this.#unfinished() > 0 && performance.now() < untilMs) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      if (attempt !== this.#exports) throw new Error('the hand-over was called off');
    }
    const frozen = [...this.#pods.values()].map(freezePod);
    this.#frozen = frozen;
    const state = {
      pods: frozen.map((pod) => packPod(exportPod(pod))),
      collected: this.#collect(),
      leftBehind: this.#unfinished(),
    };
    this.#log.flush();
    return state;
  }

  #adopt(pods: readonly PackedPod[]): void {
    const frozen = pods.map((packed) => {
      const state = unpackPod(packed);
      const problem = takeListeners(state.pod, state.listeners, this.#settings.listen);
      if (problem !== undefined) throw new Error(problem);
      const pod = restorePod(this.#thread, state);
      // Everything was copied out, and there are keys in it.
      packed.bytes.fill(0);
      return pod;
    });
    for (const { proxy } of frozen) this.#pods.set(proxy.uid, proxy);
    this.#frozen = frozen;
  }

  /** What was stopped goes on; what was adopted starts. */
  #goOn(): void {
    this.#exports++;
    const frozen = this.#frozen ?? [];
    this.#frozen = undefined;
    for (const pod of frozen) thawPod(pod);
    // Also when the freeze never came: the listeners may be paused.
    for (const pod of this.#pods.values()) pod.resume();
    this.#thread.connections.judgeAgain();
    this.#letChangesIn();
  }

  #release(): void {
    for (const pod of this.#frozen ?? []) releasePod(pod);
    // There are others only when this worker stands in for one that died meanwhile.
    for (const pod of this.#pods.values()) pod.close('another process serves this pod now');
    this.#frozen = undefined;
    this.#released = true;
    this.#pods.clear();
    this.#log.flush();
    this.#letChangesIn();
  }

  async #untilGoingOn(): Promise<void> {
    while (this.#frozen !== undefined) await this.#held.promise;
  }

  #letChangesIn(): void {
    this.#held.resolve();
    this.#held = Promise.withResolvers<void>();
  }

  #unfinished(): number {
    let count = 0;
    for (const pod of this.#pods.values()) count += pod.unfinished;
    return count;
  }
}

/** Writes a line about each connection, if anybody wants it. */
class AccessLog implements AccessSink {
  readonly #log: WorkerLog;

  constructor(log: WorkerLog) {
    this.#log = log;
  }

  wants(event: AccessEvent, failed: boolean): boolean {
    const level =
      event === 'opened' ? 'debug' : event === 'refused' ? 'warn' : failed ? 'error' : 'info';
    return this.#log.levels.enabled(ACCESS_SCOPE, level);
  }

  write(record: AccessRecord, event: AccessEvent): void {
    const { levels, format } = this.#log;
    if (!levels.enabled(ACCESS_SCOPE, accessLevel(event, record))) return;
    this.#log.writeLine(accessLine(record, event, Date.now(), format));
  }
}
