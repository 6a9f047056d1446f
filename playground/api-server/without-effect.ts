import type { ServedKind } from './kinds.ts';

/** What is kept, as any API server keeps it, and what nobody in the playground acts on. */
const WITHOUT_EFFECT: ReadonlyMap<string, string> = new Map([
  ['statefulsets.apps', 'starts no pods; a Deployment does'],
  ['jobs.batch', 'starts no pods; a Pod with restartPolicy Never runs once'],
  ['cronjobs.batch', 'starts no pods'],
  ['horizontalpodautoscalers.autoscaling', 'scales nothing; kubectl scale does'],
  ['ingresses.networking.k8s.io', 'routes nothing: there is no ingress controller'],
  ['networkpolicies.networking.k8s.io', 'is not enforced; an AuthorizationPolicy of the mesh is'],
  ['persistentvolumeclaims', 'gets no volume; emptyDir and hostPath are volumes here'],
  ['persistentvolumes', 'is never bound; emptyDir and hostPath are volumes here'],
  ['resourcequotas', 'is not enforced'],
  ['limitranges', 'is not enforced'],
  ['poddisruptionbudgets.policy', 'is never brought up to date: its pods cannot be evicted'],
  ['certificatesigningrequests.certificates.k8s.io', 'is signed by nobody'],
  ['apiservices.apiregistration.k8s.io', 'is not asked: requests are not passed on'],
]);

/** What somebody who makes such an object has to know; undefined where all is as they expect. */
export function remarkOnNew(kind: ServedKind): string | undefined {
  const remark = WITHOUT_EFFECT.get(kind.storageKey);
  return remark === undefined
    ? undefined
    : `the playground keeps this ${kind.kind}, but it ${remark}`;
}
