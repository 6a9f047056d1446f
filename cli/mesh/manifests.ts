import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { parseAllDocuments } from 'yaml';

import type { KubeObject } from '#kube/resources.ts';

const DIRECTORY = fileURLToPath(new URL('../../manifests', import.meta.url));

/**
 * The objects of a file below `directory`, or of all files in the order in which kubectl applies them.
 *
 * @throws Error naming the file, and the place in it, for what is not YAML
 */
export function readManifests(file?: string, directory: string = DIRECTORY): readonly KubeObject[] {
  const files = file === undefined ? filesIn(directory) : [file];
  return files.flatMap((name) =>
    parseAllDocuments(readFileSync(join(directory, name), 'utf8')).map((document) => {
      const [error] = document.errors;
      if (error !== undefined) throw new Error(`${name}: ${error.message}`);
      return document.toJS() as KubeObject;
    }),
  );
}

function filesIn(directory: string): readonly string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.yaml'))
    .toSorted((a, b) => (a < b ? -1 : 1));
}
