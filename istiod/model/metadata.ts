import type { Labels } from '../krt/filter.ts';

/** What every watched object is known by, and what rules select it by. */
export interface Described {
  readonly namespace: string;
  readonly name: string;
  readonly labels: Labels;
  /** RFC 3339; empty when not known, which counts as oldest. */
  readonly createdAt: string;
}

/** `namespace/name`. */
export function objectKey({ namespace, name }: Pick<Described, 'namespace' | 'name'>): string {
  return `${namespace}/${name}`;
}

/** Of several that contradict each other the oldest holds, then the one whose name comes first. */
export function olderFirst(one: Described, other: Described): number {
  return (
    compare(one.createdAt, other.createdAt) ||
    compare(one.name, other.name) ||
    compare(one.namespace, other.namespace)
  );
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
