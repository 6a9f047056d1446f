import type { Logger } from '#common/log/logger.ts';
import type { Informer } from '#kube/informer.ts';
import type { EndpointSlice, Service } from '#kube/resources.ts';
import { runCommand } from '#linux/command.ts';

import type { KubeletConfig } from './config.ts';
import { renderServiceRules, serviceRules } from './service-rules.ts';

/** Changes of one moment are applied together. */
const GATHER_MS = 5;
const RETRY_MS = 1_000;

/** Leads connections to services to their pods, by rules of the node's network namespace. */
export class ServiceProxy {
  readonly #services: Informer<Service>;
  readonly #slices: Informer<EndpointSlice>;
  readonly #config: Pick<KubeletConfig, 'clusterRange'>;
  readonly #log: Logger;
  readonly #stops: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;
  #applying = false;
  #applied = '';

  constructor(
    services: Informer<Service>,
    slices: Informer<EndpointSlice>,
    config: Pick<KubeletConfig, 'clusterRange'>,
    log: Logger,
  ) {
    this.#services = services;
    this.#slices = slices;
    this.#config = config;
    this.#log = log;
  }

  start(): void {
    const due = (): void => this.#due(GATHER_MS);
    const handler = { added: due, changed: due, removed: due };
    this.#stops.push(this.#services.on(handler), this.#slices.on(handler));
  }

  stop(): void {
    clearTimeout(this.#timer);
    for (const stop of this.#stops) stop();
  }

  #due(delayMs: number): void {
    if (this.#applying) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#apply();
    }, delayMs);
  }

  async #apply(): Promise<void> {
    // Half of the picture would refuse what has endpoints.
    if (!this.#services.isSynced || !this.#slices.isSynced) return this.#due(RETRY_MS / 10);
    const rules = serviceRules(this.#services.list(), this.#slices.list());
    const batch = renderServiceRules(rules, this.#config.clusterRange);
    if (batch === this.#applied) return;
    this.#applying = true;
    const result = await runCommand('nft', ['-f', '-'], { input: batch });
    this.#applying = false;
    if (result.kind === 'exited' && result.code === 0) {
      this.#applied = batch;
      // What came in meanwhile.
      return this.#due(GATHER_MS);
    }
    const why = result.kind === 'failed' ? result.message : result.stderr;
    this.#log.error('the rules of services could not be applied', { why });
    this.#due(RETRY_MS);
  }
}
