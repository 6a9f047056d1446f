import type { Workload } from '../state/workload.ts';
import type { WorkloadFacts } from './connection-labels.ts';

const factsOf = new WeakMap<Workload, WorkloadFacts>();

/** What labels say about a workload of our configuration; the same object for the same workload. */
export function workloadFacts(workload: Workload | undefined): WorkloadFacts | undefined {
  if (workload === undefined) return undefined;
  let facts = factsOf.get(workload);
  if (facts === undefined) {
    facts = {
      workloadName: workload.workloadName,
      canonicalName: workload.canonicalName,
      canonicalRevision: workload.canonicalRevision,
      namespace: workload.namespace,
      cluster: workload.clusterId,
      region: workload.locality.region,
      zone: workload.locality.zone,
    };
    factsOf.set(workload, facts);
  }
  return facts;
}
