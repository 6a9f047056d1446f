import type { KubeClient } from '#kube/client.ts';
import { KubeError } from '#kube/errors.ts';
import type { KubeObject } from '#kube/resources.ts';

/** What `kubectl apply` compares with when it applies an object again. */
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';
/** As which it writes. */
const FIELD_MANAGER = 'kubectl-client-side-apply';

/**
 * Creates the objects, one after the other, as `kubectl apply` would: that can change them later, and finds nothing to
 * change when they are the same.
 *
 * @throws Error naming the object that is refused: one with a field that its kind does not have, for one
 */
export async function createObjects(
  client: KubeClient,
  objects: readonly KubeObject[],
): Promise<void> {
  for (const object of objects) {
    const path = `${pathOf(object)}?fieldManager=${FIELD_MANAGER}&fieldValidation=Strict`;
    try {
      await client.request('POST', path, withLastApplied(object));
    } catch (error) {
      // Of the server's answers the text is enough: it names what is wrong.
      const why = error instanceof KubeError ? error.message : String(error);
      throw new Error(`Cannot create ${object.kind} ${object.metadata.name}: ${why}`, {
        cause: error,
      });
    }
  }
}

/** Byte for byte what kubectl notes: else it would have something to change, the note. */
function withLastApplied(object: KubeObject): KubeObject {
  const annotations = object.metadata.annotations ?? {};
  const noted = inOrder({ ...object, metadata: { ...object.metadata, annotations } });
  const text = `${JSON.stringify(noted)}\n`.replaceAll(/[<>&\u2028\u2029]/g, escaped);
  const metadata = { ...object.metadata, annotations: { ...annotations, [LAST_APPLIED]: text } };
  return { ...object, metadata };
}

function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, each]) => [key, inOrder(each)]));
}

/** Go escapes what HTML would take for something else. */
function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

function pathOf({ apiVersion, kind, metadata }: KubeObject): string {
  const root = apiVersion.includes('/') ? 'apis' : 'api';
  const place = metadata.namespace === undefined ? '' : `/namespaces/${metadata.namespace}`;
  return `/${root}/${apiVersion}${place}/${pluralOf(kind)}`;
}

function pluralOf(kind: string): string {
  const name = kind.toLowerCase();
  return name.endsWith('y') ? `${name.slice(0, -1)}ies` : `${name}s`;
}
