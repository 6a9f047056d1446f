import type { DownwardFile, FileSource, Pod, ProjectedSource, Volume } from '#kube/resources.ts';

import type { PodObjects } from './environment.ts';
import { fieldValue, type PodPlace, resourceValue } from './field-value.ts';

/** A file of a volume. */
export interface VolumeFile {
  /** Relative to the volume. */
  readonly path: string;
  readonly content: Buffer;
  readonly mode: number;
}

/** A service-account token that a volume shows. */
export interface TokenFile {
  readonly path: string;
  readonly audience: string | undefined;
  readonly expirationSeconds: number;
  readonly mode: number;
}

export type VolumeFilesResult =
  | {
      readonly kind: 'files';
      readonly files: readonly VolumeFile[];
      readonly tokens: readonly TokenFile[];
    }
  /** Something that it refers to is missing; as the kubelet says it. */
  | { readonly kind: 'refused'; readonly problem: string }
  /** A volume that does not hold files of the API. */
  | { readonly kind: 'other' };

const DEFAULT_MODE = 0o644;
/** The API's default for projected tokens. */
const TOKEN_SECONDS = 3_600;

class Missing extends Error {}

/** The files of a configMap, secret, downwardAPI or projected volume. */
export function volumeFiles(
  volume: Volume,
  pod: Pod,
  place: PodPlace,
  objects: PodObjects,
): VolumeFilesResult {
  const { configMap, secret, downwardAPI, projected } = volume;
  const reader = new FileReader(pod, place, objects);
  try {
    if (configMap !== undefined) {
      reader.configMap(configMap, configMap.defaultMode ?? DEFAULT_MODE);
    } else if (secret !== undefined) {
      reader.secret(
        { ...secret, name: secret.secretName ?? '' },
        secret.defaultMode ?? DEFAULT_MODE,
      );
    } else if (downwardAPI !== undefined) {
      reader.downward(downwardAPI.items ?? [], downwardAPI.defaultMode ?? DEFAULT_MODE);
    } else if (projected !== undefined) {
      for (const source of projected.sources ?? []) {
        reader.projected(source, projected.defaultMode ?? DEFAULT_MODE);
      }
    } else return { kind: 'other' };
  } catch (error) {
    if (error instanceof Missing) return { kind: 'refused', problem: error.message };
    throw error;
  }
  return { kind: 'files', files: reader.files, tokens: reader.tokens };
}

class FileReader {
  readonly files: VolumeFile[] = [];
  readonly tokens: TokenFile[] = [];
  readonly #pod: Pod;
  readonly #place: PodPlace;
  readonly #objects: PodObjects;

  constructor(pod: Pod, place: PodPlace, objects: PodObjects) {
    this.#pod = pod;
    this.#place = place;
    this.#objects = objects;
  }

  configMap(source: FileSource & { readonly name?: string }, mode: number): void {
    const name = source.name ?? '';
    const found = this.#objects.configMap(name);
    if (found === undefined) return this.#missing(source, 'configmap', name);
    const content = new Map<string, Buffer>();
    for (const [key, text] of Object.entries(found.data ?? {})) content.set(key, Buffer.from(text));
    for (const [key, text] of Object.entries(found.binaryData ?? {})) {
      content.set(key, Buffer.from(text, 'base64'));
    }
    this.#take(source, content, mode, `configmap references non-existent config key`);
  }

  secret(source: FileSource & { readonly name?: string }, mode: number): void {
    const name = source.name ?? '';
    const found = this.#objects.secret(name);
    if (found === undefined) return this.#missing(source, 'secret', name);
    const entries = Object.entries(found.data ?? {});
    const content = new Map(entries.map(([key, text]) => [key, Buffer.from(text, 'base64')]));
    this.#take(source, content, mode, `references non-existent secret key`);
  }

  downward(items: readonly DownwardFile[], mode: number): void {
    for (const item of items) {
      const value = this.#downwardValue(item);
      this.#add(item.path, Buffer.from(value), item.mode ?? mode);
    }
  }

  projected(source: ProjectedSource, mode: number): void {
    if (source.configMap !== undefined) this.configMap(source.configMap, mode);
    if (source.secret !== undefined) this.secret(source.secret, mode);
    if (source.downwardAPI !== undefined) this.downward(source.downwardAPI.items ?? [], mode);
    if (source.serviceAccountToken !== undefined) {
      const { path, audience, expirationSeconds = TOKEN_SECONDS } = source.serviceAccountToken;
      this.tokens.push({ path: checkedPath(path), audience, expirationSeconds, mode });
    }
  }

  #downwardValue({ path, fieldRef, resourceFieldRef }: DownwardFile): string {
    if (fieldRef !== undefined) {
      const value = fieldValue(this.#pod, this.#place, fieldRef.fieldPath);
      if (value !== undefined) return value;
      throw new Missing(`unsupported fieldPath: ${fieldRef.fieldPath}`);
    }
    const container = [...this.#pod.spec.containers, ...(this.#pod.spec.initContainers ?? [])].find(
      ({ name }) => name === resourceFieldRef?.containerName,
    );
    if (resourceFieldRef !== undefined && container !== undefined) {
      const value = resourceValue(container, this.#place, resourceFieldRef);
      if (value !== undefined) return value;
    }
    throw new Missing(`file ${JSON.stringify(path)} of the downward API has no source`);
  }

  #missing(source: FileSource, kind: string, name: string): void {
    if (source.optional !== true) throw new Missing(`${kind} ${JSON.stringify(name)} not found`);
  }

  /** All keys, or those that are asked for under the names that are asked for. */
  #take(
    source: FileSource,
    content: ReadonlyMap<string, Buffer>,
    mode: number,
    complaint: string,
  ): void {
    if (source.items === undefined) {
      for (const [key, bytes] of content) this.#add(key, bytes, mode);
      return;
    }
    for (const item of source.items) {
      const bytes = content.get(item.key);
      if (bytes !== undefined) this.#add(item.path, bytes, item.mode ?? mode);
      else if (source.optional !== true) throw new Missing(`${complaint}: ${item.key}`);
    }
  }

  #add(path: string, content: Buffer, mode: number): void {
    this.files.push({ path: checkedPath(path), content, mode });
  }
}

/** Names in a manifest must not lead out of the volume. */
function checkedPath(path: string): string {
  if (path !== '' && !path.startsWith('/') && !path.split('/').includes('..')) return path;
  throw new Missing(`invalid path ${JSON.stringify(path)}: want a relative one without ".."`);
}
