import type { Clock } from '#common/clock.ts';
import type { Logger } from '#common/log/logger.ts';
import { WorkQueue } from '#common/work-queue.ts';
import type { KubeClient } from '#kube/client.ts';
import { isAlreadyExists, isNotFound } from '#kube/errors.ts';
import { Informer } from '#kube/informer.ts';
import {
  type Configuration,
  CRDS,
  type CustomResourceDefinition,
  GATEWAY_CLASSES,
} from '#kube/resources.ts';

import type { Readable } from '../krt/core.ts';
import type { StatedCondition } from '../model/gateway-plan.ts';
import type { GatewayClassRecord } from '../model/waypoint.ts';
import { WAYPOINT_CLASS, WAYPOINT_CONTROLLER } from '../translate/waypoint-gateways.ts';
import { nextConditions } from './conditions.ts';

const DEFINITION = `${GATEWAY_CLASSES.plural}.${GATEWAY_CLASSES.group}`;
const RETRY = { firstMs: 200, maxMs: 60_000, spread: 0.2 };
const ACCEPTED: Omit<StatedCondition, 'type'> = {
  status: 'True',
  reason: 'Accepted',
  message: 'Handled by the control plane of the mesh',
};

/**
 * Makes the class of waypoints when it is not there, as soon as the cluster has such a kind, and accepts every
 * class that names us. What is in a class stays as it is: it may be the user's.
 */
export class GatewayClasses implements Disposable {
  readonly #client: KubeClient;
  readonly #clock: Clock;
  readonly #queue: WorkQueue;
  readonly #definition: Informer<CustomResourceDefinition>;
  readonly #subscription: Disposable;

  constructor(options: {
    readonly client: KubeClient;
    readonly classes: Readable<GatewayClassRecord>;
    readonly clock: Clock;
    readonly log: Logger;
  }) {
    const { client, classes, clock, log } = options;
    this.#client = client;
    this.#clock = clock;
    this.#queue = new WorkQueue({
      clock,
      work: (name) => this.#reconcile(name),
      backoff: RETRY,
      onFailure: (gatewayClass, error, failures, retryMs) => {
        const reason = error instanceof Error ? error.message : String(error);
        const retry = Math.round(retryMs);
        log.warn('gateway class not written', { gatewayClass, reason, failures, retry_ms: retry });
      },
    });
    this.#subscription = classes.subscribe((changes) => {
      for (const { key } of changes) this.#queue.add(key);
    });
    for (const key of classes.keys()) this.#queue.add(key);
    this.#definition = new Informer(client, CRDS, {
      fieldSelector: `metadata.name=${DEFINITION}`,
      clock,
      log,
    });
    const look = (): void => this.#queue.add(WAYPOINT_CLASS);
    this.#definition.on({ added: look, changed: look, removed: () => undefined });
    this.#definition.start();
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
    this.#definition.stop();
    this.#queue.stop();
  }

  async #reconcile(name: string): Promise<void> {
    // Without the kind there is nothing to be written, and no reason to try again.
    if (this.#definition.get(DEFINITION) === undefined) return;
    const found = await this.#find(name);
    if (found === undefined) return;
    const isOurs = found.spec?.['controllerName'] === WAYPOINT_CONTROLLER;
    const conditions = isOurs
      ? nextConditions(found, 'Accepted', ACCEPTED, this.#clock.now())
      : undefined;
    if (conditions === undefined) return;
    const { resourceVersion } = found.metadata;
    const patch = { metadata: { resourceVersion }, status: { conditions } };
    const how = { type: 'merge', subresource: 'status' } as const;
    await this.#client.patch(GATEWAY_CLASSES, name, undefined, patch, how);
  }

  async #find(name: string): Promise<Configuration | undefined> {
    try {
      return await this.#client.get(GATEWAY_CLASSES, name);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
    if (name !== WAYPOINT_CLASS) return undefined;
    try {
      return await this.#client.create(GATEWAY_CLASSES, {
        apiVersion: 'gateway.networking.k8s.io/v1',
        kind: 'GatewayClass',
        metadata: { name },
        spec: {
          controllerName: WAYPOINT_CONTROLLER,
          description: 'Waypoints of the mesh',
        },
      });
    } catch (error) {
      if (isAlreadyExists(error)) return undefined;
      throw error;
    }
  }
}
