import type { StatedCondition } from '../model/gateway-plan.ts';
import { conditionsOf, nextConditions } from './conditions.ts';
import { StatusWriter, type StatusWriterOptions } from './status-writer.ts';

export interface ConditionStatusOptions<V>
  extends Pick<StatusWriterOptions<V>, 'client' | 'verdicts' | 'kinds' | 'clock' | 'log'> {
  readonly type: string;
  readonly conditionOf: (verdict: V) => Omit<StatedCondition, 'type'>;
}

/** Writes one type of condition into the status of objects. */
export function conditionStatuses<V>(options: ConditionStatusOptions<V>): Disposable {
  const { type, conditionOf, ...others } = options;
  return new StatusWriter({
    ...others,
    isStated: (object) => conditionsOf(object).some((condition) => condition.type === type),
    next: (object, verdict, nowMs) => {
      const stated = verdict === undefined ? undefined : conditionOf(verdict);
      const conditions = nextConditions(object, type, stated, nowMs);
      return conditions && { conditions };
    },
    logged: (object) => ({ type, object }),
  });
}

/** What is said of who is bound to a waypoint, or why not (pure). */
export function boundCondition({
  bound,
  reason,
  message,
}: {
  readonly bound: boolean;
  readonly reason: string;
  readonly message: string;
}): Omit<StatedCondition, 'type'> {
  return { status: bound ? 'True' : 'False', reason, message };
}
