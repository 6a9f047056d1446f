import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { parseAllDocuments } from 'yaml';

import type { KubeClient } from '#kube/client.ts';
import type { KubeObject } from '#kube/resources.ts';

const DIRECTORY = fileURLToPath(new URL('../../manifests', import.meta.url));

/** The objects of a file below manifests/, or of all files in the order in which kubectl applies them. */
export function readManifests(file?: string): readonly KubeObject[] {
  const files = file === undefined ? filesIn('') : [file];
  return files.flatMap((name) =>
    parseAllDocuments(readFileSync(join(DIRECTORY, name), 'utf8')).map((document) => {
      const [error] = document.errors;
      if (error !== undefined) throw new Error(`${name}: ${error.message}`);
      return document.toJS() as KubeObject;
    }),
  );
}

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

function filesIn(directory: string): readonly string[] {
  return readdirSync(join(DIRECTORY, directory))
    .toSorted((a, b) => (a < b ? -1 : 1))
    .flatMap((name) => {
      const path = join(directory, name);
      if (statSync(join(DIRECTORY, path)).isDirectory()) return filesIn(path);
      return name.endsWith('.yaml') ? [path] : [];
    });
}
