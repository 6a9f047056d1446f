import type { Clock } from '#common/clock.ts';
import type { Logger } from '#common/log/logger.ts';
import type { KubeClient } from '#kube/client.ts';
import { Informer } from '#kube/informer.ts';
import { DAEMON_SETS, type DaemonSet, NAMESPACES } from '#kube/resources.ts';

import type { OwnDaemonSet } from './farewell.ts';

/** The agent's own DaemonSet; the plugin knows its pods by this name. */
const NAME = 'istio-cni-node';
/** How long the end may wait for the API server's word on whether another agent follows. */
const ASK_TIMEOUT_MS = 5_000;

export interface OwnDaemonSetOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Whether the DaemonSet that runs this agent is still there. Watched, since whoever removes the mesh removes our permission to
 * ask along with it; a watch that is open goes on.
 */
export class OwnDaemonSetWatch {
  readonly #options: OwnDaemonSetOptions;
  readonly #informer: Informer<DaemonSet>;

  constructor(options: OwnDaemonSetOptions) {
    const { client, namespace, clock, log } = options;
    this.#options = options;
    this.#informer = new Informer(client, DAEMON_SETS, {
      namespace,
      fieldSelector: `metadata.name=${NAME}`,
      clock,
      log,
    });
  }

  start(): void {
    this.#informer.start();
  }

  stop(): void {
    this.#informer.stop();
  }

  /** It was seen to go, or to have gone. */
  get hasGone(): boolean {
    if (!this.#informer.isSynced) return false;
    const known = this.#informer.get(`${this.#options.namespace}/${NAME}`);
    return known === undefined || known.metadata.deletionTimestamp !== undefined;
  }

  /** Asks the API server, which knows best. */
  async ask(): Promise<OwnDaemonSet> {
    const { client, namespace, clock } = this.#options;
    const { promise, reject } = Promise.withResolvers<never>();
    using _ = clock.setTimer(ASK_TIMEOUT_MS, () => reject(new Error('no answer in time')));
    try {
      const asked = Promise.all([
        client.get(DAEMON_SETS, NAME, namespace),
        client.get(NAMESPACES, namespace),
      ]);
      const [daemonSet, found] = await Promise.race([asked, promise]);
      return { kind: 'there', daemonSet, namespace: found };
    } catch (error) {
      return { kind: 'failed', error };
    }
  }
}
