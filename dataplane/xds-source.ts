import { systemClock } from '#common/clock.ts';
import type { Logger } from '#common/log/logger.ts';
import type { MetricFamily } from '#common/metrics/registry.ts';
import {
  type ReceivedResource,
  type Rejection,
  type TypeSubscription,
  XdsClient,
  type XdsClientEvent,
} from '#xds/client.ts';
import { shortType } from '#xds/resource.ts';
import type { MeshConfiguration } from './config-source.ts';
import type { XdsConfig } from './control-plane-config.ts';
import { DemandedNames } from './demanded-names.ts';
import type { MeshDelta } from './state/delta.ts';
import { MeshReceiver, type Received } from './state/receive.ts';

const ADDRESS_TYPE = 'type.googleapis.com/istio.workload.Address';
/** Any time will do. */
const KEEP_ALIVE_MS = 3_600_000;
const AUTHORIZATION_TYPE = 'type.googleapis.com/istio.security.Authorization';

export interface XdsSourceOptions {
  readonly onDelta: (delta: MeshDelta) => void;
  /** These names are known now, or known not to exist; nothing is known any more of those that are forgotten. */
  readonly onAnswered: (answered: readonly string[], forgotten: readonly string[]) => void;
  readonly log: Logger;
  /** Further types, wanted as a whole; the mesh is known when these are, too. */
  readonly more?: readonly Omit<TypeSubscription, 'mode'>[];
}

/** Reads the mesh from a control plane, and goes on with what it has while the control plane is away. */
export class XdsSource implements MeshConfiguration {
  readonly #options: XdsSourceOptions;
  readonly #client: XdsClient;
  readonly #receiver = new MeshReceiver();
  readonly #names = new DemandedNames();
  /** Types of which no response could be used completely so far. */
  readonly #missing: Set<string>;
  readonly #loaded = Promise.withResolvers<readonly string[]>();
  readonly #messages = new Map<string, number>();
  readonly #terminations = new Map<string, number>();
  #isConnected = false;

  constructor(config: XdsConfig, options: XdsSourceOptions) {
    this.#options = options;
    const { more = [] } = options;
    this.#missing = new Set([
      ADDRESS_TYPE,
      AUTHORIZATION_TYPE,
      ...more.map(({ typeUrl }) => typeUrl),
    ]);
    this.#client = new XdsClient({
      address: config.address,
      roots: config.root,
      alternativeHostname: config.alternativeHostname,
      token: config.token,
      headers: config.headers,
      node: config.node,
      types: [
        {
          typeUrl: ADDRESS_TYPE,
          mode: config.onDemand ? 'on-demand' : 'wildcard',
          apply: (resources, removed) => {
            const rejections = this.#take(this.#receiver.addresses(resources, removed));
            if (config.onDemand) this.#answer(resources, removed);
            return rejections;
          },
        },
        {
          typeUrl: AUTHORIZATION_TYPE,
          mode: 'wildcard',
          apply: (resources, removed) => this.#take(this.#receiver.policies(resources, removed)),
        },
        ...more.map((type) => ({ ...type, mode: 'wildcard' as const })),
      ],
      clock: systemClock,
      random: Math.random,
      onEvent: (event) => this.#onEvent(event),
    });
  }

  /**
   * Settles when the mesh is known: one response of each type could be used completely. Also after
   * `close()`. There are no problems to end for, since a control plane that is away comes back.
   */
  load(): Promise<readonly string[]> {
    this.#client.start();
    // Its own timers do not keep the process alive, and nothing else may be there yet that does.
    const alive = setInterval(() => undefined, KEEP_ALIVE_MS);
    return this.#loaded.promise.finally(() => clearInterval(alive));
  }

  /** It has followed changes since `load()`. */
  follow(): void {}

  close(): void {
    this.#client[Symbol.dispose]();
    this.#loaded.resolve([]);
  }

  /** Asks for names, when the mesh is told on demand; answers those that need not be asked for. */
  demand(names: readonly string[]): readonly string[] {
    const { ask, answered } = this.#names.want(names);
    this.#client.demand(ADDRESS_TYPE, ask);
    return answered;
  }

  families(): readonly MetricFamily[] {
    return [
      counters(
        'istio_xds_connection_terminations_total',
        'How often the stream to the control plane ended (unstable)',
        'reason',
        this.#terminations,
      ),
      counters(
        'istio_xds_message_total',
        'Responses of the control plane (unstable)',
        'url',
        this.#messages,
      ),
    ];
  }

  #take({ delta, rejections }: Received): readonly Rejection[] {
    this.#options.onDelta(delta);
    return rejections;
  }

  #answer(resources: readonly ReceivedResource[], removed: readonly string[]): void {
    const brought = resources.flatMap(({ name, aliases }) => [name, ...aliases]);
    const { answered, forgotten } = this.#names.answer(brought, removed);
    this.#client.release(ADDRESS_TYPE, forgotten);
    if (answered.length + forgotten.length > 0) this.#options.onAnswered(answered, forgotten);
  }

  #onEvent(event: XdsClientEvent): void {
    const { log } = this.#options;
    switch (event.kind) {
      case 'connecting':
        log.debug('connecting', { address: event.address });
        break;
      case 'applied':
        this.#applied(event.typeUrl, event.complete);
        break;
      case 'rejected':
        for (const { name, reason } of event.rejections) {
          const type = shortType(event.typeUrl);
          log.error('cannot be used, what was there before stays in force', { type, name, reason });
        }
        break;
      case 'disconnected':
        this.#disconnected(event);
        break;
    }
  }

  #applied(typeUrl: string, complete: boolean): void {
    add(this.#messages, typeUrl);
    if (!this.#isConnected) {
      this.#isConnected = true;
      this.#options.log.info('connected to the control plane');
    }
    if (!complete || !this.#missing.delete(typeUrl) || this.#missing.size > 0) return;
    this.#loaded.resolve([]);
  }

  #disconnected({
    end,
    reason,
    retryMs,
  }: Extract<XdsClientEvent, { readonly kind: 'disconnected' }>): void {
    add(this.#terminations, TERMINATIONS[end]);
    this.#isConnected = false;
    const { log } = this.#options;
    const fields = { reason, retry_ms: Math.round(retryMs) };
    if (end === 'complete') log.info('the control plane ended the stream', fields);
    else log.warn('no control plane, what is known of the mesh stays in force', fields);
  }
}

const TERMINATIONS = {
  complete: 'Complete',
  error: 'Error',
  unreachable: 'ConnectionError',
} as const;

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function counters(
  name: string,
  help: string,
  label: string,
  counts: ReadonlyMap<string, number>,
): MetricFamily {
  const read = () => [...counts].map(([key, value]) => ({ labels: { [label]: key }, value }));
  return { kind: 'counter', name, help, read };
}
