import { clusterDefinitions } from './definitions/cluster.ts';
import { coreDefinitions } from './definitions/core.ts';
import { extensionDefinitions } from './definitions/extensions.ts';
import { metaDefinitions } from './definitions/meta.ts';
import { podDefinitions } from './definitions/pod.ts';
import { reviewDefinitions } from './definitions/reviews.ts';
import { workloadDefinitions } from './definitions/workloads.ts';
import type { JsonSchema } from './json-schema.ts';
import { readDefinitions } from './notation.ts';

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1';
const PREFIXES: Readonly<Record<string, string>> = {
  '': 'io.k8s.api.core',
  'apiextensions.k8s.io': 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions',
  'apiregistration.k8s.io': 'io.k8s.kube-aggregator.pkg.apis.apiregistration',
};

let definitions: ReadonlyMap<string, JsonSchema> | undefined;

/** All definitions of the published API that are known here, by their full names. Read once. */
export function builtinDefinitions(): ReadonlyMap<string, JsonSchema> {
  definitions ??= readDefinitions([
    metaDefinitions,
    podDefinitions,
    coreDefinitions,
    workloadDefinitions,
    clusterDefinitions,
    extensionDefinitions,
    reviewDefinitions,
  ]);
  return definitions;
}

/** The schema of a built-in kind, requests such as TokenReview included; undefined for an unknown one. */
export function findBuiltinSchema(
  group: string,
  version: string,
  kind: string,
): JsonSchema | undefined {
  const prefix = PREFIXES[group] ?? `io.k8s.api.${group.split('.')[0]}`;
  return builtinDefinitions().get(`${prefix}.${version}.${kind}`);
}

/** The same; throws for an unknown one. */
export function builtinSchema(group: string, version: string, kind: string): JsonSchema {
  const schema = findBuiltinSchema(group, version, kind);
  if (schema === undefined) throw new Error(`No definition of ${kind} of ${group}/${version}`);
  return schema;
}

/** The schema of every object's metadata. */
export function objectMetaSchema(): JsonSchema {
  const schema = builtinDefinitions().get(`${META}.ObjectMeta`);
  if (schema === undefined) throw new Error('No definition of ObjectMeta');
  return schema;
}
