import type { Condition, Configuration } from '#kube/resources.ts';
import type { GatewayStatus, StatedCondition } from '../model/gateway-plan.ts';
import { list, record, text } from '../model/written.ts';
import { conditionsOf, nextCondition } from './conditions.ts';

interface At {
  readonly generation: number | undefined;
  readonly nowMs: number;
}

/**
 * The status that a Gateway should have, or undefined when it has it (pure). Conditions that are not ours
 * stay; times move only when a condition turns.
 */
export function nextGatewayStatus(
  gateway: Configuration,
  wanted: GatewayStatus,
  nowMs: number,
): Readonly<Record<string, unknown>> | undefined {
  const at: At = { generation: gateway.metadata.generation, nowMs };
  const status = record(gateway.status);
  const before = list(status['listeners']).map(record);
  const listeners = wanted.listeners.map(({ conditions, ...rest }) => {
    const known = before.find(({ name }) => name === rest.name) ?? {};
    const all = list(known['conditions']) as readonly Condition[];
    return { ...rest, conditions: merged(all, conditions, at) };
  });
  const conditions = merged(conditionsOf(gateway), wanted.conditions, at);
  const next = { addresses: wanted.addresses, conditions, listeners };
  const present = {
    addresses: list(status['addresses']).map((address) => ({
      type: text(record(address)['type']) ?? 'IPAddress',
      value: text(record(address)['value']) ?? '',
    })),
    conditions: conditionsOf(gateway),
    listeners: before,
  };
  return sameJson(next, present) ? undefined : { ...status, ...next };
}

/** Those that were there in their places, as they have to be now, then new ones. */
function merged(
  before: readonly Condition[],
  wanted: readonly StatedCondition[],
  at: At,
): readonly Condition[] {
  const next = (known: Condition | undefined, stated: StatedCondition): Condition =>
    nextCondition(known, stated, at) ?? known ?? stated;
  const kept = before.map((known) => {
    const stated = wanted.find(({ type }) => type === known.type);
    return stated === undefined ? known : next(known, stated);
  });
  const added = wanted.filter(({ type }) => !before.some((known) => known.type === type));
  return [...kept, ...added.map((stated) => next(undefined, stated))];
}

/** The same content, whatever the order of fields. */
function sameJson(one: unknown, other: unknown): boolean {
  return JSON.stringify(one, sorted) === JSON.stringify(other, sorted);
}

function sorted(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value).toSorted(([one], [another]) => (one < another ? -1 : 1)),
  );
}
