import type { Pod, PodTemplate } from '#kube/resources.ts';

/** Neither over nor about to be. */
export function isActive(pod: Pod): boolean {
  return !isOver(pod) && pod.metadata.deletionTimestamp === undefined;
}

/** All its containers have ended for good. */
export function isOver(pod: Pod): boolean {
  const phase = pod.status?.phase;
  return phase === 'Succeeded' || phase === 'Failed';
}

export function isReady(pod: Pod): boolean {
  return readyCondition(pod)?.status === 'True';
}

/** Ready for at least `minReadySeconds`; or when it will be: milliseconds since 1970. */
export function availability(
  pod: Pod,
  minReadySeconds: number,
  nowMs: number,
): { readonly available: boolean; readonly atMs?: number } {
  const ready = readyCondition(pod);
  if (ready?.status !== 'True') return { available: false };
  if (minReadySeconds === 0) return { available: true };
  const atMs = Date.parse(ready.lastTransitionTime ?? '') + minReadySeconds * 1000;
  return nowMs >= atMs ? { available: true } : { available: false, atMs };
}

/** The number of pods available, and when the next one may be. */
export function countAvailable(
  pods: Iterable<Pod>,
  minReadySeconds: number,
  nowMs: number,
): { readonly available: number; readonly nextAtMs: number | undefined } {
  let available = 0;
  let nextAtMs: number | undefined;
  for (const pod of pods) {
    const state = availability(pod, minReadySeconds, nowMs);
    if (state.available) available += 1;
    else if (state.atMs !== undefined) nextAtMs = Math.min(nextAtMs ?? state.atMs, state.atMs);
  }
  return { available, nextAtMs };
}

/** A pod made of a template, without a name of its own yet. */
export function podFromTemplate(
  template: PodTemplate,
  metadata: Pick<Pod['metadata'], 'generateName' | 'namespace' | 'ownerReferences'>,
): Pod {
  const { labels, annotations, finalizers } = template.metadata ?? {};
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: '',
      ...metadata,
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
      ...(finalizers === undefined ? {} : { finalizers }),
    },
    spec: template.spec,
  };
}

function readyCondition(pod: Pod) {
  return pod.status?.conditions?.find(({ type }) => type === 'Ready');
}
