import type { KubeObject, ResourceKind } from './resources.ts';

/** What may be asked of a list or a watch. */
export interface Selection {
  /** Undefined: all namespaces. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}

/** The path of all objects of a kind, in one namespace or in all. */
export function collectionPath(kind: ResourceKind, namespace?: string): string {
  const root = kind.group === '' ? `/api/${kind.version}` : `/apis/${kind.group}/${kind.version}`;
  if (!kind.namespaced || namespace === undefined) return `${root}/${kind.plural}`;
  return `${root}/namespaces/${segment(namespace, 'namespace')}/${kind.plural}`;
}

/**
 * The path of one object.
 *
 * @throws Error for a name that is no path segment, and for an object of a namespaced kind without
 * a namespace.
 */
export function objectPath(
  kind: ResourceKind,
  name: string,
  namespace: string | undefined,
  subresource?: string,
): string {
  const path = `${collectionPath(kind, requireNamespace(kind, name, namespace))}/${segment(name, 'name')}`;
  return subresource === undefined ? path : `${path}/${segment(subresource, 'subresource')}`;
}

/** Where to create `object`. */
export function creationPath(kind: ResourceKind, object: KubeObject): string {
  const { name, namespace } = object.metadata;
  return collectionPath(kind, requireNamespace(kind, name, namespace));
}

/** `?a=1&b=2`, or nothing when no value is set. */
export function query(
  values: Readonly<Record<string, string | number | boolean | undefined>>,
): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    if (value !== undefined && value !== '') search.set(key, String(value));
  }
  const text = search.toString();
  return text === '' ? '' : `?${text}`;
}

function requireNamespace(
  kind: ResourceKind,
  name: string,
  namespace: string | undefined,
): string | undefined {
  if (!kind.namespaced || (namespace !== undefined && namespace !== '')) return namespace;
  throw new Error(`Cannot address the ${kind.kind} "${name}": it needs a namespace`);
}

// RFC 3986 section 3.3. "." and ".." would climb out of the collection.
function segment(text: string, what: string): string {
  if (text === '' || text === '.' || text === '..') {
    throw new Error(`Cannot use "${text}" as a ${what} in a path: want a name`);
  }
  return encodeURIComponent(text);
}
