import type { Namespace, Node } from '#kube/resources.ts';

import type { NamespaceRecord, NodeRecord } from '../model/place.ts';

const TRAFFIC_DISTRIBUTION = 'networking.istio.io/traffic-distribution';

/** What is kept of a namespace. */
export function namespaceRecord({ metadata }: Namespace): NamespaceRecord {
  const { name, labels = {}, annotations = {} } = metadata;
  return { name, labels, trafficDistribution: annotations[TRAFFIC_DISTRIBUTION] };
}

/** What is kept of a node. */
export function nodeRecord({ metadata }: Node): NodeRecord {
  const { name, labels = {} } = metadata;
  return {
    name,
    locality: {
      region: labels['topology.kubernetes.io/region'] ?? '',
      zone: labels['topology.kubernetes.io/zone'] ?? '',
      subzone: labels['topology.istio.io/subzone'] ?? '',
    },
  };
}
