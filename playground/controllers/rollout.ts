import type { Deployment, ReplicaSet } from '#kube/resources.ts';

/** Sizes that sets are to have, by name; only those that change. Nothing named: wait for what is under way. */
export type SetSizes = ReadonlyMap<string, number>;

export interface RolloutLimits {
  /** How many pods there may be in all. */
  readonly most: number;
  /** How many available ones there must be, as far as we decide it. */
  readonly least: number;
  readonly maxUnavailable: number;
}

/** What a Deployment's sets are, newest wish first. */
export interface RolloutSets {
  /** Of the present template; undefined while there is none. */
  readonly current: ReplicaSet | undefined;
  /** All others, oldest first. */
  readonly old: readonly ReplicaSet[];
}

export const DESIRED_REPLICAS = 'deployment.kubernetes.io/desired-replicas';
export const MAX_REPLICAS = 'deployment.kubernetes.io/max-replicas';
export const REVISION = 'deployment.kubernetes.io/revision';

/** How far a rollout may go from the wanted number, with the defaults of the API (25 % each way). */
export function rolloutLimits({ spec }: Deployment): RolloutLimits {
  const replicas = spec.replicas ?? 1;
  if (spec.strategy?.type === 'Recreate') {
    return { most: replicas, least: 0, maxUnavailable: replicas };
  }
  const { maxSurge = '25%', maxUnavailable = '25%' } = spec.strategy?.rollingUpdate ?? {};
  const surge = countOf(maxSurge, replicas, Math.ceil);
  const unavailable = countOf(maxUnavailable, replicas, Math.floor);
  // Neither more nor fewer: nothing could ever move.
  const movable = surge === 0 && unavailable === 0 ? 1 : Math.min(unavailable, replicas);
  return {
    most: replicas + surge,
    least: Math.max(0, replicas - movable),
    maxUnavailable: movable,
  };
}

/** A number, or per cent of `total`, rounded. */
export function countOf(
  value: number | string,
  total: number,
  round: (number: number) => number,
): number {
  if (typeof value === 'number') return value;
  const percent = /^(\d+)%$/.exec(value)?.[1];
  return percent === undefined ? 0 : round((Number(percent) * total) / 100);
}

/** What a Deployment's sets are to be changed to next (pure). */
export function nextSizes(deployment: Deployment, sets: RolloutSets): SetSizes {
  if (isResized(deployment, sets)) return resized(deployment, sets);
  if (deployment.spec.paused === true || sets.current === undefined) return new Map();
  return deployment.spec.strategy?.type === 'Recreate'
    ? nextOfRecreate(deployment, sets)
    : nextOfRolling(deployment, sets);
}

/** Old sets that may go, by the history limit; only once the rollout is complete. */
export function expiredSets(deployment: Deployment, sets: RolloutSets): readonly ReplicaSet[] {
  const unused = sets.old.filter(
    (set) =>
      sizeOf(set) === 0 &&
      (set.status?.replicas ?? 0) === 0 &&
      (set.metadata.generation ?? 0) <= (set.status?.observedGeneration ?? 0) &&
      set.metadata.deletionTimestamp === undefined,
  );
  const surplus = unused.length - (deployment.spec.revisionHistoryLimit ?? 10);
  const byRevision = unused.toSorted((first, second) => revisionOf(first) - revisionOf(second));
  return surplus > 0 ? byRevision.slice(0, surplus) : [];
}

export function sizeOf(set: ReplicaSet): number {
  return set.spec.replicas ?? 1;
}

export function availableOf(set: ReplicaSet): number {
  return set.status?.availableReplicas ?? 0;
}

export function revisionOf(set: ReplicaSet): number {
  const revision = Number(set.metadata.annotations?.[REVISION] ?? 0);
  return Number.isSafeInteger(revision) ? revision : 0;
}

export function sum(sets: readonly ReplicaSet[], count: (set: ReplicaSet) => number): number {
  return sets.reduce((total, set) => total + count(set), 0);
}

export function allSets({ current, old }: RolloutSets): readonly ReplicaSet[] {
  return current === undefined ? old : [...old, current];
}

/** The wanted number has changed since the sets were last sized. */
function isResized(deployment: Deployment, sets: RolloutSets): boolean {
  const wanted = deployment.spec.replicas ?? 1;
  return allSets(sets).some((set) => {
    const before = set.metadata.annotations?.[DESIRED_REPLICAS];
    return sizeOf(set) > 0 && before !== undefined && Number(before) !== wanted;
  });
}

/**
 * The new total, shared out. In the middle of a rollout each set keeps its part, so that what is being
 * tried gets no more of the new pods than it had of the old ones.
 */
function resized(deployment: Deployment, sets: RolloutSets): SetSizes {
  const wanted = deployment.spec.replicas ?? 1;
  const active = allSets(sets).filter((set) => sizeOf(set) > 0);
  const only = active.length <= 1 ? (active[0] ?? sets.current) : undefined;
  if (only !== undefined) return changes([[only, wanted]]);
  if (sets.current !== undefined && isSaturated(deployment, sets.current)) {
    return changes(sets.old.map((set) => [set, 0]));
  }
  return deployment.spec.strategy?.type === 'Recreate' ? new Map() : shared(deployment, active);
}

function shared(deployment: Deployment, active: readonly ReplicaSet[]): SetSizes {
  const wanted = deployment.spec.replicas ?? 1;
  const total = sum(active, sizeOf);
  const target = wanted > 0 ? rolloutLimits(deployment).most : 0;
  let rest = target - total;
  const direction = Math.sign(rest);
  // The largest first, which the rounding hurts least; among equals, the newest when growing.
  const ordered = active.toSorted(
    (first, second) =>
      sizeOf(second) - sizeOf(first) || direction * (createdMs(second) - createdMs(first)),
  );
  const sizes = new Map<ReplicaSet, number>();
  for (const set of ordered) {
    const before = Number(set.metadata.annotations?.[MAX_REPLICAS] ?? total);
    const fraction = Math.round((sizeOf(set) * target) / Math.max(1, before)) - sizeOf(set);
    const part = direction > 0 ? clamp(fraction, 0, rest) : clamp(fraction, rest, 0);
    sizes.set(set, sizeOf(set) + part);
    rest -= part;
  }
  const [largest] = ordered;
  if (largest !== undefined) sizes.set(largest, Math.max(0, (sizes.get(largest) ?? 0) + rest));
  return changes([...sizes]);
}

function nextOfRecreate(deployment: Deployment, sets: RolloutSets): SetSizes {
  const { current, old } = sets;
  const left = old.filter((set) => sizeOf(set) > 0);
  if (left.length > 0) return changes(left.map((set) => [set, 0]));
  // Not before the last old pod is gone: that is what the strategy is for.
  if (sum(old, (set) => set.status?.replicas ?? 0) > 0 || old.some(isBehind)) return new Map();
  return current === undefined ? new Map() : changes([[current, deployment.spec.replicas ?? 1]]);
}

function nextOfRolling(deployment: Deployment, sets: RolloutSets): SetSizes {
  const { current, old } = sets;
  if (current === undefined) return new Map();
  const grown = sizeOfCurrent(deployment, current, old);
  if (grown !== sizeOf(current)) return new Map([[current.metadata.name, grown]]);
  return shrunk(deployment, current, old);
}

function sizeOfCurrent(
  deployment: Deployment,
  current: ReplicaSet,
  old: readonly ReplicaSet[],
): number {
  const wanted = deployment.spec.replicas ?? 1;
  const size = sizeOf(current);
  if (size >= wanted) return wanted;
  const room = rolloutLimits(deployment).most - size - sum(old, sizeOf);
  return room <= 0 ? size : Math.min(wanted, size + room);
}

/** Takes from the old sets what is not needed to keep the least number available: the broken ones first. */
function shrunk(deployment: Deployment, current: ReplicaSet, old: readonly ReplicaSet[]): SetSizes {
  const { least } = rolloutLimits(deployment);
  const total = sizeOf(current) + sum(old, sizeOf);
  const unavailable = Math.max(0, sizeOf(current) - availableOf(current));
  // What the new set still lacks is not to be taken from the old ones as well.
  let removable = total - least - unavailable;
  if (removable <= 0) return new Map();
  const sizes = new Map<ReplicaSet, number>();
  for (const set of old) {
    const broken = clamp(sizeOf(set) - availableOf(set), 0, removable);
    sizes.set(set, sizeOf(set) - broken);
    removable -= broken;
  }
  let spare = Math.min(
    removable,
    sum(old, (set) => Math.min(availableOf(set), sizes.get(set) ?? 0)) +
      availableOf(current) -
      least,
  );
  for (const set of old) {
    const size = sizes.get(set) ?? 0;
    const taken = clamp(size, 0, Math.max(0, spare));
    sizes.set(set, size - taken);
    spare -= taken;
  }
  return changes([...sizes]);
}

function isSaturated(deployment: Deployment, set: ReplicaSet): boolean {
  const wanted = deployment.spec.replicas ?? 1;
  return (
    sizeOf(set) === wanted &&
    Number(set.metadata.annotations?.[DESIRED_REPLICAS] ?? wanted) === wanted &&
    availableOf(set) === wanted
  );
}

/** The set's own controller has not yet looked at its present size. */
function isBehind(set: ReplicaSet): boolean {
  return (set.status?.observedGeneration ?? 0) < (set.metadata.generation ?? 0);
}

function changes(sizes: readonly (readonly [ReplicaSet, number])[]): SetSizes {
  return new Map(
    sizes
      .filter(([set, size]) => sizeOf(set) !== size)
      .map(([set, size]) => [set.metadata.name, size]),
  );
}

function createdMs(set: ReplicaSet): number {
  return Date.parse(set.metadata.creationTimestamp ?? '1970-01-01T00:00:00Z');
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}
