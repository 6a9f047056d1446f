import type { Condition } from '#kube/resources.ts';

export interface ConditionOptions {
  /** The object's conditions say when they were last written, besides when their status last changed. */
  readonly updateTime: boolean;
  /** Write it again even if it says the same. */
  readonly touch?: boolean;
}

/** The conditions with one of them set; the same array when it says so already. */
export function withCondition(
  conditions: readonly Condition[],
  wanted: Condition,
  nowMs: number,
  options: ConditionOptions = { updateTime: false },
): readonly Condition[] {
  const known = findCondition(conditions, wanted.type);
  const now = new Date(nowMs).toISOString().replace(/\.\d+Z$/, 'Z');
  const sameStatus = known?.status === wanted.status;
  const same = sameStatus && known.reason === wanted.reason && known.message === wanted.message;
  if (same && options.touch !== true) return conditions;
  const condition: Condition = {
    ...wanted,
    ...(options.updateTime ? { lastUpdateTime: now } : {}),
    lastTransitionTime: sameStatus ? (known.lastTransitionTime ?? now) : now,
  };
  return known === undefined
    ? [...conditions, condition]
    : conditions.map((each) => (each === known ? condition : each));
}

export function findCondition(
  conditions: readonly Condition[] | undefined,
  type: string,
): Condition | undefined {
  return conditions?.find((condition) => condition.type === type);
}
