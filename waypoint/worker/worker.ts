import { RateLimitedLines } from '#common/log/rate-limit.ts';
import { WorkerLog } from '#dataplane/workers/worker-log.ts';
import type { Loop } from '#reactor/loop.ts';
import type { Timer } from '#reactor/timers.ts';

import { type DecisionSources, decide, judgeConnection } from '../exchange/decide.ts';
import type { ExchangeRecord } from '../exchange/record.ts';
import { PolicySet } from '../policy/policy-set.ts';
import { RouteTable } from '../routing/table.ts';
import { faultName, Refusals } from '../telemetry/refusals.ts';
import {
  ACCESS_SCOPE,
  connectionLine,
  requestLevel,
  requestLine,
} from '../telemetry/request-log.ts';
import { RequestMetrics } from '../telemetry/request-metrics.ts';
import { TcpMetrics } from '../telemetry/tcp-metrics.ts';
import { Plane } from './plane.ts';
import type { FromWorker, ToWorker, WorkerSettings } from './protocol.ts';

/** Between two looks whether a drain is over. */
const DRAIN_LOOK_MS = 50;

/** What a worker tells the control thread. */
export interface WorkerOutput {
  post(message: FromWorker): void;
  /** A tunnel that it was given is closed. */
  tunnelGone(): void;
}

/** One data worker: a plane, what it decides from, and its answers to the control thread. */
export class WaypointWorker {
  readonly #loop: Loop;
  readonly #settings: WorkerSettings;
  readonly #post: (message: FromWorker) => void;
  readonly #plane: Plane;
  readonly #routes = new RouteTable();
  readonly #policies = new PolicySet();
  readonly #requests = new RequestMetrics();
  readonly #tcp = new TcpMetrics();
  readonly #refusals = new Refusals();
  readonly #log: WorkerLog;
  readonly #repeated: RateLimitedLines;

  constructor(loop: Loop, settings: WorkerSettings, output: WorkerOutput) {
    const post = (message: FromWorker): void => output.post(message);
    this.#loop = loop;
    this.#settings = settings;
    this.#post = post;
    this.#log = new WorkerLog(loop, settings.log, (batch) => post({ type: 'log', batch }));
    this.#repeated = new RateLimitedLines((problem) => post({ type: 'report', problem }));
    const sources: Omit<DecisionSources, 'view'> = {
      routes: this.#routes,
      policies: this.#policies,
      random: Math.random,
      noticed: ({ policy, effect }, facts) => {
        const line = `policy ${policy}: ${effect}, a request of ${facts.identity}`;
        this.#repeated.write(`${policy} ${effect}`, line, loop.nowMs);
      },
    };
    this.#plane = new Plane(loop, settings.plane, {
      decide: (facts, request) => decide({ ...sources, view: this.#plane.mesh }, facts, request),
      judge: (facts) => judgeConnection({ ...sources, view: this.#plane.mesh }, facts),
      finished: (record) => this.#finished(record),
      tcpOpened: (record) => this.#tcp.opened(record),
      tcpClosed: (record) => {
        this.#tcp.closed(record);
        if (!this.#log.levels.enabled(ACCESS_SCOPE, record.flag === '-' ? 'info' : 'error')) return;
        this.#log.writeLine(connectionLine(record, Date.now(), settings.log.format));
      },
      badRequest: (facts, fault) => {
        this.#refusals.addBadRequest(fault);
        const line = `bad request of ${facts.identity} (${facts.sourceIp}): ${fault}`;
        this.#repeated.write(`bad request ${faultName(fault)}`, line, loop.nowMs);
      },
      refused: (peer, reason) => {
        this.#refusals.addRefused();
        this.#repeated.write('refused', `refused ${peer}: ${reason}`, loop.nowMs);
      },
      tunnelClosed: () => output.tunnelGone(),
    });
    loop.onFault = (error) => {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      post({ type: 'report', problem: `a connection was closed by a fault of ours: ${text}` });
    };
  }

  take(message: ToWorker): void {
    switch (message.type) {
      case 'mesh':
        this.#plane.applyMesh(message.delta);
        return;
      case 'routes':
        this.#routes.apply(message.update, message.remove);
        return;
      case 'policies':
        this.#policies.apply(message.update, message.remove);
        this.#plane.judgeAgain();
        return;
      case 'certificate':
        this.#plane.useCertificate(message.material);
        return;
      case 'tunnel':
        this.#plane.accept(message.fd);
        return;
      case 'log-taken':
        this.#log.taken(message.lines);
        return;
      case 'log-filter':
        this.#log.levels.set(message.filter);
        return;
      case 'collect':
        this.#post({
          type: 'collected',
          requests: this.#requests.take(),
          tcp: this.#tcp.takeChanges(),
          refusals: this.#refusals.take(),
          tunnels: this.#plane.tunnelCount,
          connections: this.#plane.inner.size,
          faults: this.#loop.faults,
        });
        return;
      case 'describe':
        this.#post({ type: 'described', endpoints: this.#plane.servers.uses() });
        return;
      case 'drain':
        this.#plane.drain();
        this.#awaitDrained();
        return;
      case 'cut':
        this.#plane.close(message.reason);
        this.#log.flush();
    }
  }

  #finished(record: ExchangeRecord): void {
    this.#requests.add(record);
    if (!this.#log.levels.enabled(ACCESS_SCOPE, requestLevel(record))) return;
    this.#log.writeLine(requestLine(record, Date.now(), this.#settings.log.format));
  }

  #awaitDrained(): void {
    const look: Timer = {
      onTimer: () => {
        if (this.#plane.tunnelCount > 0) {
          this.#loop.timers.schedule(look, this.#loop.nowMs + DRAIN_LOOK_MS);
          return;
        }
        this.#log.flush();
        this.#post({ type: 'drained' });
      },
    };
    look.onTimer(this.#loop.nowMs);
  }
}
