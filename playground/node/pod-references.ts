import type { ConfigMap, Pod, Secret } from '#kube/resources.ts';

import type { ClusterAccess, WatchedObject } from './cluster-access.ts';
import type { PodObjects } from './environment.ts';

/** The objects that a pod refers to by name: what is to be watched while it is here. */
export interface ReferencedNames {
  readonly configMaps: ReadonlySet<string>;
  readonly secrets: ReadonlySet<string>;
}

export function referencedNames(pod: Pod): ReferencedNames {
  const configMaps = new Set<string | undefined>();
  const secrets = new Set<string | undefined>();
  for (const container of [...pod.spec.containers, ...(pod.spec.initContainers ?? [])]) {
    for (const { configMapRef, secretRef } of container.envFrom ?? []) {
      configMaps.add(configMapRef?.name);
      secrets.add(secretRef?.name);
    }
    for (const { valueFrom } of container.env ?? []) {
      configMaps.add(valueFrom?.configMapKeyRef?.name);
      secrets.add(valueFrom?.secretKeyRef?.name);
    }
  }
  for (const volume of pod.spec.volumes ?? []) {
    configMaps.add(volume.configMap?.name);
    secrets.add(volume.secret?.secretName);
    for (const source of volume.projected?.sources ?? []) {
      configMaps.add(source.configMap?.name);
      secrets.add(source.secret?.name);
    }
  }
  return { configMaps: given(configMaps), secrets: given(secrets) };
}

/** Watches what a pod refers to. */
export class PodReferences implements PodObjects {
  readonly #configMaps = new Map<string, WatchedObject<ConfigMap>>();
  readonly #secrets = new Map<string, WatchedObject<Secret>>();

  constructor(pod: Pod, access: ClusterAccess) {
    const namespace = pod.metadata.namespace ?? 'default';
    const { configMaps, secrets } = referencedNames(pod);
    for (const name of configMaps) this.#configMaps.set(name, access.configMap(namespace, name));
    for (const name of secrets) this.#secrets.set(name, access.secret(namespace, name));
  }

  /** Resolves when everything has been looked for once. */
  async synced(): Promise<void> {
    await Promise.all([
      ...Array.from(this.#configMaps.values(), async ({ synced }) => synced),
      ...Array.from(this.#secrets.values(), async ({ synced }) => synced),
    ]);
  }

  /** Calls `listener` whenever one of them comes, changes or goes. */
  onChange(listener: () => void): void {
    for (const each of this.#configMaps.values()) each.onChange(listener);
    for (const each of this.#secrets.values()) each.onChange(listener);
  }

  configMap(name: string): ConfigMap | undefined {
    return this.#configMaps.get(name)?.current();
  }

  secret(name: string): Secret | undefined {
    return this.#secrets.get(name)?.current();
  }

  release(): void {
    for (const each of this.#configMaps.values()) each.release();
    for (const each of this.#secrets.values()) each.release();
  }
}

function given(names: ReadonlySet<string | undefined>): ReadonlySet<string> {
  return new Set([...names].filter((name) => name !== undefined && name !== '') as string[]);
}
