import type { Condition, KubeObject } from '#kube/resources.ts';
import type { StatedCondition } from '../model/gateway-plan.ts';
import { list, record } from '../model/written.ts';

/** The conditions in an object's status. */
export function conditionsOf(object: KubeObject): readonly Condition[] {
  return list(record(object['status'])['conditions']) as readonly Condition[];
}

/**
 * A condition as it has to be written, or undefined when `before` says the same about this generation (pure).
 * `lastTransitionTime` moves only when the status turns.
 */
export function nextCondition(
  before: Condition | undefined,
  stated: StatedCondition,
  at: { readonly generation: number | undefined; readonly nowMs: number },
): Condition | undefined {
  const { generation, nowMs } = at;
  const same =
    before?.status === stated.status &&
    before.reason === stated.reason &&
    before.message === stated.message &&
    before.observedGeneration === generation;
  if (same) return undefined;
  const since = before?.status === stated.status ? before.lastTransitionTime : undefined;
  return {
    ...stated,
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    lastTransitionTime: since ?? new Date(nowMs).toISOString().replace(/\.\d+/, ''),
  };
}

/**
 * The conditions that an object should have when nothing but the one of this type is ours (undefined: it should
 * not have it), or undefined when it has them (pure). Those of others stay.
 */
export function nextConditions(
  object: KubeObject,
  type: string,
  stated: Omit<StatedCondition, 'type'> | undefined,
  nowMs: number,
): readonly Condition[] | undefined {
  const all = conditionsOf(object);
  const before = all.find((condition) => condition.type === type);
  const others = all.filter((condition) => condition.type !== type);
  if (stated === undefined) return before === undefined ? undefined : others;
  const { generation } = object.metadata;
  const next = nextCondition(before, { type, ...stated }, { generation, nowMs });
  return next === undefined ? undefined : [...others, next];
}
