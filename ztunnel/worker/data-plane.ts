import { LogLevels } from '#common/log/filter.ts';
import type { LineSink } from '#common/log/logger.ts';
import { LineCollector } from '#common/log/writer.ts';
import { MeshStore } from '#dataplane/state/store.ts';
import type { AccessEvent, AccessRecord } from '#dataplane/telemetry/access-log.ts';
import { ACCESS_SCOPE, accessLevel, accessLine } from '#dataplane/telemetry/access-log.ts';
import { TrafficMetrics } from '#dataplane/telemetry/metrics.ts';
import { STAGING_BYTES } from '#hbone/tunnel.ts';
import type { Loop } from '#reactor/loop.ts';
import { allocateSlab, SlabPool } from '#reactor/memory.ts';
import type { Timer } from '#reactor/timers.ts';
import { allocateTlsBuffers } from '#reactor/tls/buffers.ts';

import type { AccessSink } from '../proxy/accounting.ts';
import { Connections } from '../proxy/connections.ts';
import type { ThreadContext } from '../proxy/context.ts';
import { Identities } from './identities.ts';
import { PodProxy } from './pod-proxy.ts';
import type { PodState } from './pod-state.ts';
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

/** Receive memory for plain sockets; a relay reads at most 256 KB at once. */
const SCRATCH_BYTES = 262_144;
/** Staging slabs kept for the next turn. Each holds 1.1 MB, touched only as far as it was used. */
const STAGING_KEPT = 4;
const LOG_INTERVAL_MS = 50;
const LOG_CHARACTERS = 65_536;
/** Lines on their way to the control thread; when it can't keep up, lines are lost and counted. */
const LOG_LINES_IN_FLIGHT = 20_000;
/** How long a hand-over waits for handshakes in progress, which can't be moved. */
const HANDSHAKE_GRACE_MS = 40;

/** One data worker: its copy of the mesh, its pods, and the answers to the control thread. */
export class DataPlane {
  readonly #thread: ThreadContext;
  readonly #mesh = new MeshStore();
  readonly #identities: Identities;
  readonly #log: WorkerLog;
  readonly #settings: WorkerSettings;
  readonly #pods = new Map<string, PodProxy>();
  #frozen = false;

  constructor(loop: Loop, settings: WorkerSettings, post: (message: FromWorker) => void) {
    this.#settings = settings;
    this.#identities = new Identities(loop);
    this.#log = new WorkerLog(loop, settings, post);
    this.#thread = {
      loop,
      scratch: allocateSlab(SCRATCH_BYTES),
      mesh: this.#mesh,
      tunnels: {
        loop,
        buffers: allocateTlsBuffers(),
        staging: new SlabPool(STAGING_BYTES, STAGING_KEPT),
        options: settings.tunnels,
      },
      identities: this.#identities,
      connections: new Connections(this.#mesh),
      settings: settings.proxy,
      metrics: new TrafficMetrics(),
      access: this.#log,
      report: (problem) => post({ type: 'report', problem }),
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
        if (changed.policiesChanged || changed.policyBindingsChanged.length > 0) {
          this.#thread.connections.judgeAll();
        }
        return;
      }
      case 'identity':
        this.#identities.update(notice.identity, notice.update);
        return;
      case 'log-filter':
        this.#log.levels.set(notice.filter);
        return;
      case 'log-taken':
        this.#log.taken(notice.lines);
        return;
      case 'drain':
        for (const pod of this.#pods.values()) pod.drain();
        return;
      case 'cut':
        for (const pod of this.#pods.values()) pod.close(notice.reason);
        this.#log.flush();
        return;
      case 'thaw':
      case 'go':
        this.#frozen = false;
        for (const pod of this.#pods.values()) thawPod(pod);
    }
  }

  /** Answers a question of the control thread; see `Answers` for the shapes. */
  async answer(question: Question): Promise<unknown> {
    switch (question.kind) {
      case 'start-pod': {
        const { uid, pod, netnsFd } = question;
        const proxy = new PodProxy(this.#thread, uid, pod, netnsFd);
        const problem = proxy.listen(this.#settings.listen);
        if (problem === undefined) this.#pods.set(uid, proxy);
        return problem ?? '';
      }
      case 'stop-pod':
        this.#pods.get(question.uid)?.close(question.reason);
        this.#pods.delete(question.uid);
        return undefined;
      case 'collect':
        return this.#collect();
      case 'describe':
        return this.#describe();
      case 'export':
        return this.#export();
      case 'release':
        for (const pod of this.#pods.values()) releasePod(pod);
        this.#pods.clear();
        this.#log.flush();
        return undefined;
      case 'adopt':
        this.#adopt(question.pods);
        return undefined;
    }
  }

  #collect(): Collected {
    let connections = 0;
    for (const pod of this.#pods.values()) {
      connections += pod.context.live.size;
      for (const connection of pod.context.live) connection.countBytes();
    }
    const { metrics, loop } = this.#thread;
    return {
      counts: metrics.takeChanges(),
      socketsOpen: { ...metrics.socketsOpen },
      connections,
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
    for (const pod of this.#pods.values()) pod.pause();
    // What waits in the kernel moves with the listeners; what is half-way through a handshake can't move,
    // and nearly always needs a few milliseconds more.
    const untilMs = performance.now() + HANDSHAKE_GRACE_MS;
    while (this.#unfinished() > 0 && performance.now() < untilMs) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    for (const pod of this.#pods.values()) freezePod(pod);
    this.#frozen = true;
    const state = {
      pods: [...this.#pods.values()].map(exportPod),
      collected: this.#collect(),
      leftBehind: this.#unfinished(),
    };
    this.#log.flush();
    return state;
  }

  #adopt(pods: readonly PodState[]): void {
    this.#frozen = true;
    for (const state of pods) {
      this.#pods.set(state.uid, restorePod(this.#thread, state));
    }
  }

  #unfinished(): number {
    let count = 0;
    for (const pod of this.#pods.values()) count += pod.unfinished;
    return count;
  }

  get frozen(): boolean {
    return this.#frozen;
  }
}

/** Collects access lines, and hands them to the control thread in batches: a worker never waits for a reader. */
class WorkerLog implements AccessSink, LineSink, Timer {
  readonly levels: LogLevels;
  readonly #loop: Loop;
  readonly #format: WorkerSettings['log']['format'];
  readonly #post: (message: FromWorker) => void;
  readonly #collector = new LineCollector(LOG_LINES_IN_FLIGHT);
  #inFlight = 0;
  #scheduled = false;

  constructor(loop: Loop, settings: WorkerSettings, post: (message: FromWorker) => void) {
    this.#loop = loop;
    this.levels = new LogLevels(settings.log.filter);
    this.#format = settings.log.format;
    this.#post = post;
  }

  wants(event: AccessEvent, failed: boolean): boolean {
    const level =
      event === 'opened' ? 'debug' : event === 'refused' ? 'warn' : failed ? 'error' : 'info';
    return this.levels.enabled(ACCESS_SCOPE, level);
  }

  write(record: AccessRecord, event: AccessEvent): void {
    if (!this.levels.enabled(ACCESS_SCOPE, accessLevel(event, record))) return;
    this.writeLine(accessLine(record, event, Date.now(), this.#format));
  }

  writeLine(line: string): void {
    this.#collector.writeLine(line);
    if (this.#collector.pending >= LOG_CHARACTERS) {
      this.flush();
    } else if (!this.#scheduled) {
      this.#scheduled = true;
      this.#loop.timers.schedule(this, this.#loop.nowMs + LOG_INTERVAL_MS);
    }
  }

  onTimer(): void {
    this.#scheduled = false;
    this.flush();
  }

  flush(): void {
    if (this.#inFlight > LOG_LINES_IN_FLIGHT) return;
    const batch = this.#collector.take();
    if (batch === undefined) return;
    this.#inFlight += batch.lines;
    this.#post({ type: 'log', batch });
  }

  /** The control thread has taken them. */
  taken(lines: number): void {
    this.#inFlight -= lines;
    this.flush();
  }
}
