import type { KubeClient } from '#kube/client.ts';
import type { KubeObject } from '#kube/resources.ts';

/** Creates an object; a field that its kind does not have is an error. */
export async function createObject(client: KubeClient, object: KubeObject): Promise<void> {
  const path = `${collectionOf(object)}?fieldValidation=Strict`;
  await client.request('POST', path, object).catch((error: unknown) => {
    throw new Error(`${object.kind} ${object.metadata.name}: ${String(error)}`, { cause: error });
  });
}

export async function deleteObject(client: KubeClient, object: KubeObject): Promise<void> {
  await client.request('DELETE', `${collectionOf(object)}/${object.metadata.name}`);
}

function collectionOf({ apiVersion, kind, metadata: { namespace } }: KubeObject): string {
  const base = apiVersion.includes('/') ? 'apis' : 'api';
  const place = namespace === undefined ? '' : `/namespaces/${namespace}`;
  return `/${base}/${apiVersion}${place}/${pluralOf(kind)}`;
}

function pluralOf(kind: string): string {
  return kind.endsWith('y') ? `${kind.slice(0, -1).toLowerCase()}ies` : `${kind.toLowerCase()}s`;
}
