/** What `/proc` tells of a process that belongs to a pod. Pure. */

export type CgroupReading =
  | { readonly kind: 'pod'; readonly uid: string }
  /** Not a process of a pod. */
  | { readonly kind: 'none' }
  /** Its lines name different pods. */
  | { readonly kind: 'ambiguous' };

/**
 * `pod<uid>` as one segment of a path, or as the end of one behind punctuation, as in
 * `kubepods-burstable-pod0f6e…_….slice`. The uid's separators are whatever the cgroup driver makes of them.
 */
const POD =
  /(?:^|[/:_-])pod([0-9a-f]{8})[^0-9a-f/]?([0-9a-f]{4})[^0-9a-f/]?([0-9a-f]{4})[^0-9a-f/]?([0-9a-f]{4})[^0-9a-f/]?([0-9a-f]{12})(?=[./:_-]|$)/gi;

/** The pod that a process belongs to, by the text of its `/proc/<pid>/cgroup`: the kubelet names a pod's control groups by its uid. */
export function readCgroup(text: string): CgroupReading {
  const uids = new Set<string>();
  for (const line of text.split('\n')) {
    // hierarchy:controllers:path; the path of a nested container runtime may hold further colons.
    const path = line.split(':').slice(2).join(':');
    // The innermost one: a pod may run a kubelet of its own.
    const match = [...path.matchAll(POD)].at(-1);
    if (match !== undefined) uids.add(match.slice(1).join('-').toLowerCase());
  }
  const [uid] = uids;
  if (uid === undefined) return { kind: 'none' };
  return uids.size === 1 ? { kind: 'pod', uid } : { kind: 'ambiguous' };
}

/** When a process started, in clock ticks since boot, by the text of its `/proc/<pid>/stat`; undefined when it is not one. */
export function readStartTime(text: string): number | undefined {
  // The second field is the program's name in parentheses, and may hold parentheses and spaces.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[22 - 3]);
  return Number.isInteger(ticks) && ticks >= 0 ? ticks : undefined;
}
