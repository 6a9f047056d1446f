import type { Clock } from '#common/clock.ts';
import type { Logger } from '#common/log/logger.ts';
import { WorkQueue } from '#common/work-queue.ts';
import type { KubeClient } from '#kube/client.ts';
import { isNotFound, KubeError } from '#kube/errors.ts';
import { Informer } from '#kube/informer.ts';
import {
  type Configuration,
  DEPLOYMENTS,
  GATEWAYS,
  type KubeObject,
  type ResourceKind,
  SERVICE_ACCOUNTS,
  SERVICES,
} from '#kube/resources.ts';

import { defined } from '../inputs/trim.ts';
import type { Readable } from '../krt/core.ts';
import { structurallyEqual } from '../krt/equal.ts';
import type { GatewayPlan, GatewayStatus } from '../model/gateway-plan.ts';
import { GATEWAY_NAME, MANAGED_WAYPOINT } from '../translate/waypoint-objects.ts';
import { MANAGED } from '../translate/waypoints.ts';
import { nextGatewayStatus } from './gateway-status.ts';

const FIELD_MANAGER = 'istio.io/gateway-controller';
const RETRY = { firstMs: 200, maxMs: 60_000, spread: 0.2 };
const PARALLEL = 4;
const KINDS: ReadonlyMap<string, ResourceKind> = new Map<string, ResourceKind>([
  ['ServiceAccount', SERVICE_ACCOUNTS],
  ['Deployment', DEPLOYMENTS],
  ['Service', SERVICES],
]);

export interface WaypointDeploymentsOptions {
  readonly client: KubeClient;
  readonly plans: Readable<GatewayPlan>;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Makes what waypoints need, puts right what somebody has changed of it, and tells in the status of their
 * Gateways how they stand. Deletes nothing: what is made belongs to the Gateway, and goes with it.
 */
export class WaypointDeployments implements Disposable {
  readonly #options: WaypointDeploymentsOptions;
  readonly #queue: WorkQueue;
  readonly #informers: readonly Informer<KubeObject>[];
  readonly #subscription: Disposable;
  /** Gateway → the objects that have been applied and, as far as we know, are as they were. */
  readonly #applied = new Map<string, readonly KubeObject[]>();

  constructor(options: WaypointDeploymentsOptions) {
    const { client, plans, clock, log } = options;
    this.#options = options;
    this.#queue = new WorkQueue({
      clock,
      work: (key) => this.#reconcile(key),
      backoff: RETRY,
      parallel: PARALLEL,
      onFailure: (gateway, error, failures, retryMs) => {
        const reason = error instanceof Error ? error.message : String(error);
        const retry = Math.round(retryMs);
        log.warn('waypoint not made', { gateway, reason, failures, retry_ms: retry });
      },
    });
    this.#informers = [...KINDS.values()].map((kind) => {
      const labelSelector = `${MANAGED}=${MANAGED_WAYPOINT}`;
      const informer = new Informer(client, kind, {
        labelSelector,
        clock,
        log,
        transform: essence,
      });
      informer.on({
        added: () => undefined,
        changed: (after, before) => {
          if (!structurallyEqual(after, before)) this.#touch(after);
        },
        removed: (object) => this.#touch(object),
      });
      informer.start();
      return informer;
    });
    this.#subscription = plans.subscribe((changes) => {
      for (const { key, after } of changes) {
        if (after === undefined) this.#applied.delete(key);
        else this.#queue.add(key);
      }
    });
    for (const key of plans.keys()) this.#queue.add(key);
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
    for (const informer of this.#informers) informer.stop();
    this.#queue.stop();
  }

  /** Somebody has changed or deleted something of a waypoint; it may have been us. */
  #touch({ metadata }: KubeObject): void {
    const key = `${metadata.namespace}/${metadata.labels?.[GATEWAY_NAME]}`;
    if (!this.#options.plans.get(key)) return;
    this.#applied.delete(key);
    this.#queue.add(key);
  }

  async #reconcile(key: string): Promise<void> {
    const plan = this.#options.plans.get(key);
    if (plan === undefined) return;
    try {
      await this.#apply(key, plan);
    } catch (error) {
      // A gateway that has just gone needs nothing.
      if (isNotFound(error)) return;
      // What the server refuses, the gateway's author can do something about.
      if (error instanceof KubeError) await this.#writeStatus(plan, failed(plan.status, error));
      throw error;
    }
    await this.#writeStatus(plan, plan.status);
  }

  async #apply(key: string, plan: GatewayPlan): Promise<void> {
    if (structurallyEqual(this.#applied.get(key), plan.objects)) return;
    // Told of a change while we apply, we apply again.
    this.#applied.set(key, plan.objects);
    try {
      for (const object of plan.objects) await this.#applyOne(object, plan);
    } catch (error) {
      this.#applied.delete(key);
      throw error;
    }
  }

  async #applyOne(object: KubeObject, plan: GatewayPlan): Promise<void> {
    const { client, log } = this.#options;
    const kind = KINDS.get(object.kind);
    if (kind === undefined) return;
    const { name, namespace } = object.metadata;
    if (!(await this.#mayWrite(kind, object, plan))) {
      const gateway = `${namespace}/${name}`;
      log.warn('left as it is: somebody else has made it', { gateway, kind: object.kind });
      return;
    }
    const how = { type: 'apply', fieldManager: FIELD_MANAGER, force: true } as const;
    await client.patch(kind, name, namespace, object, how);
  }

  /** What a user has made with the same name stays as it is. */
  async #mayWrite(kind: ResourceKind, object: KubeObject, plan: GatewayPlan): Promise<boolean> {
    const { name, namespace } = object.metadata;
    try {
      const { metadata } = await this.#options.client.get(kind, name, namespace);
      const isOwned = metadata.ownerReferences?.some(({ uid }) => uid === plan.uid) === true;
      return isOwned || metadata.labels?.[MANAGED] === MANAGED_WAYPOINT;
    } catch (error) {
      if (isNotFound(error)) return true;
      throw error;
    }
  }

  async #writeStatus(plan: GatewayPlan, wanted: GatewayStatus): Promise<void> {
    const { client, clock } = this.#options;
    const { name, namespace, uid, generation } = plan;
    try {
      const gateway: Configuration = await client.get(GATEWAYS, name, namespace);
      const { metadata } = gateway;
      // Of another one, or of a newer one, the plan says nothing; it will be made again.
      if (metadata.uid !== uid || metadata.generation !== generation) return;
      const status = nextGatewayStatus(gateway, wanted, clock.now());
      if (status === undefined) return;
      // The version makes sure that what others have written meanwhile is not lost.
      const { resourceVersion } = metadata;
      const patch = { metadata: { resourceVersion }, status };
      const how = { type: 'merge', subresource: 'status' } as const;
      await client.patch(GATEWAYS, name, namespace, patch, how);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}

/** The status when the server does not take what we make. */
function failed(status: GatewayStatus, { message }: KubeError): GatewayStatus {
  const conditions = status.conditions.map((condition) =>
    condition.type === 'Programmed'
      ? ({ ...condition, status: 'False', reason: 'Invalid', message } as const)
      : condition,
  );
  return { ...status, conditions };
}

/** What a change of it would mean that it is not as we have made it: not its status. */
function essence(object: KubeObject): KubeObject {
  const { apiVersion, kind, metadata } = object;
  const { name, namespace, uid, labels, annotations, ownerReferences } = metadata;
  return {
    apiVersion,
    kind,
    metadata: {
      name,
      ...defined({ namespace, uid, labels, annotations, ownerReferences }),
    },
    spec: object['spec'],
  };
}
