import type { Labels } from '../krt/filter.ts';

/** What is kept of a namespace. */
export interface NamespaceRecord {
  readonly name: string;
  readonly labels: Labels;
  /** Annotation `networking.istio.io/traffic-distribution`. */
  readonly trafficDistribution: string | undefined;
}

/** What is kept of a node: it is written often, and where it stands almost never changes. */
export interface NodeRecord {
  readonly name: string;
  readonly locality: Locality;
}

/** Empty texts: not known. */
export interface Locality {
  readonly region: string;
  readonly zone: string;
  readonly subzone: string;
}
