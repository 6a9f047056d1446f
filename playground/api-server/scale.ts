import { formatLabelSelector } from '#kube/selector.ts';

import { badRequest, invalid, invalidValue } from './errors.ts';
import { at, isObject, type JsonObject } from './json.ts';
import type { ScalePaths, ServedKind } from './kinds.ts';
import type { StoredObject } from './object.ts';
import { applyPatch, type PatchType } from './patch/patch.ts';
import { builtinSchema } from './schema/builtin.ts';

const API_VERSION = 'autoscaling/v1';
/** What a Scale is to errors and patches: a kind that is never stored. */
const SCALE: ServedKind = {
  group: 'autoscaling',
  version: 'v1',
  plural: 'scales',
  singular: 'scale',
  kind: 'Scale',
  listKind: 'ScaleList',
  shortNames: [],
  categories: [],
  namespaced: true,
  subresources: [],
  storage: false,
  storageKey: 'scales.autoscaling',
  custom: false,
  get schema() {
    return builtinSchema('autoscaling', 'v1', 'Scale');
  },
};

/** How many replicas an object wants and has: autoscaling/v1 Scale. */
export function scaleOf(paths: ScalePaths, object: StoredObject): StoredObject {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const replicas = numberAt(object, paths.specReplicasPath);
  const selector = selectorText(paths, object);
  return {
    kind: SCALE.kind,
    apiVersion: API_VERSION,
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      uid,
      resourceVersion,
      ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
    },
    spec: replicas === undefined ? {} : { replicas },
    status: {
      replicas: numberAt(object, paths.statusReplicasPath) ?? 0,
      ...(selector === '' ? {} : { selector }),
    },
  };
}

/** The Scale that a patch makes of another. Server-side apply sets what it names. @throws ApiError 400, 422 */
export function patchScale(
  scale: StoredObject,
  patch: { readonly type: PatchType; readonly body: unknown },
): unknown {
  const type = patch.type === 'apply' ? 'merge' : patch.type;
  return applyPatch(SCALE, scale, { type, body: patch.body });
}

/**
 * The merge patch that gives an object the replicas of a Scale, and demands the Scale's version if
 * it names one.
 *
 * @throws ApiError 400, 422
 */
export function patchFromScale(paths: ScalePaths, name: string, body: unknown): JsonObject {
  const scale = isObject(body) ? body : {};
  const given = { apiVersion: scale['apiVersion'] ?? API_VERSION, kind: scale['kind'] ?? 'Scale' };
  if (given.apiVersion !== API_VERSION || given.kind !== SCALE.kind)
    throw badRequest(
      `the object provided is unrecognized (must be of type Scale of ${API_VERSION}): ${JSON.stringify(given)}`,
    );
  const named = at(scale, 'metadata', 'name') ?? name;
  if (named !== name)
    throw badRequest(
      `the name of the object (${JSON.stringify(named)}) does not match the name on the URL (${name})`,
    );
  const replicas = at(scale, 'spec', 'replicas') ?? 0;
  const field = 'spec.replicas';
  if (typeof replicas !== 'number' || !Number.isInteger(replicas))
    throw badRequest(
      `Scale in version "v1" cannot be handled as a Scale: ${field}: not an integer`,
    );
  if (replicas < 0)
    throw invalid(SCALE, name, [
      invalidValue(field, replicas, 'must be greater than or equal to 0'),
    ]);
  const resourceVersion = at(scale, 'metadata', 'resourceVersion');
  const patch = nested(partsOf(paths.specReplicasPath), replicas);
  if (typeof resourceVersion !== 'string' || resourceVersion === '') return patch;
  return { ...patch, metadata: { resourceVersion } };
}

/** A selector of a built-in kind is an object, the one of a custom resource is a text already. */
function selectorText(paths: ScalePaths, object: StoredObject): string {
  const text = paths.labelSelectorPath && at(object, ...partsOf(paths.labelSelectorPath));
  if (typeof text === 'string') return text;
  const selector = at(object, 'spec', 'selector');
  return isObject(selector) ? formatLabelSelector(selector) : '';
}

function numberAt(object: StoredObject, path: string): number | undefined {
  const value = at(object, ...partsOf(path));
  return typeof value === 'number' ? value : undefined;
}

/** ".spec.replicas" as names: the paths of a scale are no more than that. */
function partsOf(path: string): readonly string[] {
  return path.split('.').filter((part) => part !== '');
}

function nested(parts: readonly string[], value: unknown): JsonObject {
  const [first = '', ...rest] = parts;
  return { [first]: rest.length === 0 ? value : nested(rest, value) };
}
