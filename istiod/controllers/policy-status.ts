import type { Clock } from '#common/clock.ts';
import type { Logger } from '#common/log/logger.ts';
import { WorkQueue } from '#common/work-queue.ts';
import type { KubeClient } from '#kube/client.ts';
import { isNotFound } from '#kube/errors.ts';
import {
  AUTHORIZATION_POLICIES,
  type AuthorizationPolicy,
  type Condition,
} from '#kube/resources.ts';

import { list } from '../inputs/metadata.ts';
import type { Readable } from '../krt/core.ts';
import type { PolicyVerdict } from '../translate/derive-policies.ts';

const TYPE = 'ZtunnelAccepted';
const RETRY = { firstMs: 200, maxMs: 60_000, spread: 0.2 };
const PARALLEL = 4;

/**
 * Tells the authors of AuthorizationPolicies, in the condition `ZtunnelAccepted`, what node tunnels make of them.
 * One control plane of several does this at a time.
 */
export class PolicyStatuses implements Disposable {
  readonly #client: Pick<KubeClient, 'get' | 'patch'>;
  readonly #verdicts: Readable<PolicyVerdict>;
  readonly #clock: Clock;
  readonly #queue: WorkQueue;
  readonly #subscription: Disposable;

  constructor(
    client: Pick<KubeClient, 'get' | 'patch'>,
    verdicts: Readable<PolicyVerdict>,
    options: { readonly clock: Clock; readonly log: Logger },
  ) {
    const { clock, log } = options;
    this.#client = client;
    this.#verdicts = verdicts;
    this.#clock = clock;
    this.#queue = new WorkQueue({
      clock,
      work: (key) => this.#reconcile(key),
      backoff: RETRY,
      parallel: PARALLEL,
      onFailure: (policy, error, failures, retryMs) => {
        const reason = error instanceof Error ? error.message : String(error);
        const retry = Math.round(retryMs);
        log.warn('status not written', { policy, reason, failures, retry_ms: retry });
      },
    });
    this.#subscription = verdicts.subscribe((changes) => {
      for (const { key } of changes) this.#queue.add(key);
    });
    for (const key of verdicts.keys()) this.#queue.add(key);
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
    this.#queue.stop();
  }

  async #reconcile(key: string): Promise<void> {
    const [namespace = '', name = ''] = key.split('/');
    let policy: AuthorizationPolicy;
    try {
      policy = await this.#client.get(AUTHORIZATION_POLICIES, name, namespace);
    } catch (error) {
      if (isNotFound(error)) return;
      throw error;
    }
    const conditions = nextConditions(policy, this.#verdicts.get(key), this.#clock.now());
    if (conditions === undefined) return;
    // The version makes sure that what others have written meanwhile is not lost.
    const { resourceVersion } = policy.metadata;
    const patch = { metadata: { resourceVersion }, status: { conditions } };
    const how = { type: 'merge', subresource: 'status' } as const;
    try {
      await this.#client.patch(AUTHORIZATION_POLICIES, name, namespace, patch, how);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}

/** The conditions that a policy should have, or undefined when it has them (pure). Those of others stay. */
export function nextConditions(
  policy: AuthorizationPolicy,
  verdict: PolicyVerdict | undefined,
  nowMs: number,
): readonly Condition[] | undefined {
  const all = list(policy.status?.['conditions']) as readonly Condition[];
  const before = all.find(({ type }) => type === TYPE);
  const others = all.filter(({ type }) => type !== TYPE);
  if (verdict === undefined) return before === undefined ? undefined : others;
  const { generation } = policy.metadata;
  const status = verdict.enforced ? 'True' : 'False';
  const reason = verdict.limitation === undefined ? 'Accepted' : 'UnsupportedValue';
  const message = verdict.limitation ?? 'attached to ztunnel';
  const same =
    before?.status === status &&
    before.reason === reason &&
    before.message === message &&
    before.observedGeneration === generation;
  if (same) return undefined;
  const since = before?.status === status ? before.lastTransitionTime : undefined;
  const condition: Condition = {
    type: TYPE,
    status,
    reason,
    message,
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    lastTransitionTime: since ?? new Date(nowMs).toISOString().replace(/\.\d+/, ''),
  };
  return [...others, condition];
}
