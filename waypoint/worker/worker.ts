import { LogLevels } from '#common/log/filter.ts';
import { RateLimitedLines } from '#common/log/rate-limit.ts';
import { LineCollector } from '#common/log/writer.ts';
import { parseIp, type SocketAddress } from '#common/net/address.ts';
import { errnoName } from '#linux/libc.ts';
import { listenTcp } from '#linux/socket.ts';
import { Listener } from '#reactor/listener.ts';
import type { Loop } from '#reactor/loop.ts';
import { own } from '#reactor/owned-descriptors.ts';
import type { Timer } from '#reactor/timers.ts';

import { type DecisionSources, decide, judgeConnection } from '../exchange/decide.ts';
import type { ExchangeRecord } from '../exchange/record.ts';
import { decodePolicy } from '../policy/decode.ts';
import type { Policy } from '../policy/model.ts';
import { PolicySet } from '../policy/policy-set.ts';
import { decodeRoute } from '../routing/decode.ts';
import type { Route } from '../routing/model.ts';
import { RouteTable } from '../routing/table.ts';
import {
  ACCESS_SCOPE,
  connectionLine,
  requestLevel,
  requestLine,
} from '../telemetry/request-log.ts';
import { RequestMetrics } from '../telemetry/request-metrics.ts';
import { TcpMetrics } from '../telemetry/tcp-metrics.ts';
import { Plane } from './plane.ts';
import type { FromWorker, NamedBytes, ToWorker, WorkerSettings } from './protocol.ts';

const LOG_INTERVAL_MS = 50;
/** Connections that the kernel keeps for us until they are accepted. */
const BACKLOG = 1_024;
/** Between two looks whether a drain is over. */
const DRAIN_LOOK_MS = 50;

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
  readonly #log: WorkerLog;
  readonly #repeated: RateLimitedLines;
  #listener: Listener | undefined;

  constructor(loop: Loop, settings: WorkerSettings, post: (message: FromWorker) => void) {
    this.#loop = loop;
    this.#settings = settings;
    this.#post = post;
    this.#log = new WorkerLog(loop, settings, post);
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
        const line = `bad request of ${facts.identity} (${facts.sourceIp}): ${fault}`;
        this.#repeated.write(`bad request ${fault}`, line, loop.nowMs);
      },
      refused: (peer, reason) =>
        this.#repeated.write('refused', `refused ${peer}: ${reason}`, loop.nowMs),
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
        this.#routes.apply(decodedRoutes(message.update), message.remove);
        return;
      case 'policies':
        this.#policies.apply(decodedPolicies(message.update), message.remove);
        return;
      case 'certificate':
        this.#plane.useCertificate(message.material);
        return;
      case 'listen':
        this.#post({ type: 'listening', problem: this.#listen() });
        return;
      case 'log-filter':
        this.#log.levels.set(message.filter);
        return;
      case 'collect':
        this.#post({
          type: 'collected',
          requests: this.#requests.take(),
          tcp: this.#tcp.takeChanges(),
          tunnels: this.#plane.tunnelCount,
          connections: this.#plane.inner.size,
          faults: this.#loop.faults,
        });
        return;
      case 'drain':
        this.#listener?.close();
        this.#plane.drain();
        this.#awaitDrained();
        return;
      case 'cut':
        this.#listener?.close();
        this.#plane.close(message.reason);
        this.#log.flush();
    }
  }

  #finished(record: ExchangeRecord): void {
    this.#requests.add(record);
    if (!this.#log.levels.enabled(ACCESS_SCOPE, requestLevel(record))) return;
    this.#log.writeLine(requestLine(record, Date.now(), this.#settings.log.format));
  }

  /** Why it can't listen. */
  #listen(): string | undefined {
    const { port, ipv6 } = this.#settings;
    let problem = '';
    for (const wildcard of ipv6 ? ['::', '0.0.0.0'] : ['0.0.0.0']) {
      const address = { ip: parseIp(wildcard), port } as SocketAddress;
      const tuning = { noDelay: true };
      // Every worker has a socket of its own, between which the kernel distributes.
      const options = { address, transparent: false, reusePort: true, backlog: BACKLOG, tuning };
      const opened = listenTcp(options);
      if ('fd' in opened) {
        own(opened.fd);
        this.#listener = new Listener(
          this.#loop,
          opened.fd,
          (fd) => this.#plane.accept(fd),
          (name) => {
            const line = `cannot accept connections for a moment: ${name}`;
            this.#repeated.write('accept', line, this.#loop.nowMs);
          },
        );
        this.#listener.resume();
        return undefined;
      }
      problem = `cannot listen on port ${port}: ${opened.call}: ${errnoName(opened.errno)}`;
    }
    return problem;
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

/** The control thread has refused what can't be read: nothing of that comes here. */
function decodedRoutes(update: readonly NamedBytes[]): readonly Route[] {
  return update.flatMap(({ name, bytes }) => {
    const decoded = decodeRoute(name, bytes);
    return decoded.kind === 'route' ? [decoded.route] : [];
  });
}

/** The same as for routes. */
function decodedPolicies(resources: readonly NamedBytes[]): readonly Policy[] {
  return resources.flatMap(({ name, bytes }) => {
    const decoded = decodePolicy(name, bytes);
    return decoded.kind === 'policy' ? [decoded.policy] : [];
  });
}

/** Collects lines, and hands them to the control thread in batches. */
class WorkerLog implements Timer {
  readonly levels: LogLevels;
  readonly #loop: Loop;
  readonly #post: (message: FromWorker) => void;
  readonly #collector = new LineCollector();
  #scheduled = false;

  constructor(loop: Loop, { log }: WorkerSettings, post: (message: FromWorker) => void) {
    this.#loop = loop;
    this.levels = new LogLevels(log.filter);
    this.#post = post;
  }

  writeLine(line: string): void {
    this.#collector.writeLine(line);
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#loop.timers.schedule(this, this.#loop.nowMs + LOG_INTERVAL_MS);
  }

  onTimer(): void {
    this.#scheduled = false;
    this.flush();
  }

  flush(): void {
    const batch = this.#collector.take();
    if (batch !== undefined) this.#post({ type: 'log', batch });
  }
}
