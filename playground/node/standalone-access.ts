import { readdirSync, readFileSync, watch } from 'node:fs';
import { join } from 'node:path';

import { parseAllDocuments } from 'yaml';

import type { Logger } from '#common/log/logger.ts';
import type { ConfigMap, KubeObject, Pod, Secret, Service } from '#kube/resources.ts';

import type { ClusterAccess, IssuedToken, PodEvent, WatchedObject } from './cluster-access.ts';
import type { Kubelet } from './kubelet.ts';

/**
 * A node without an API server: pods, config maps and secrets come from the manifests of a directory, as they do for a
 * real kubelet's static pods. Events go to the log.
 */
export class StandaloneAccess implements ClusterAccess {
  readonly #directory: string;
  readonly #log: Logger;
  #objects: readonly KubeObject[] = [];

  constructor(directory: string, log: Logger) {
    this.#directory = directory;
    this.#log = log;
  }

  /** Brings the pods in line with the directory now and whenever it changes. */
  follow(kubelet: Kubelet): void {
    this.#apply(kubelet);
    watch(this.#directory, () => this.#apply(kubelet));
  }

  configMap(namespace: string, name: string): WatchedObject<ConfigMap> {
    return this.#watched('ConfigMap', namespace, name);
  }

  secret(namespace: string, name: string): WatchedObject<Secret> {
    return this.#watched('Secret', namespace, name);
  }

  services(): readonly Service[] {
    return [];
  }

  token(pod: Pod): Promise<IssuedToken> {
    const message = `the token of ${pod.metadata.name} needs an API server, and this node has none`;
    return Promise.reject(new Error(message));
  }

  reportStatus(): void {
    // Who wants to know asks the node's own server.
  }

  reportGone(): void {
    // There is no object that could go.
  }

  reportEvent({ pod, type, reason, message }: PodEvent): void {
    this.#log.info('event', { pod: pod.metadata.name, type, reason, message });
  }

  #apply(kubelet: Kubelet): void {
    const before = this.#objects.filter((object) => isPod(object));
    this.#objects = this.#read();
    const pods = this.#objects.filter((object) => isPod(object));
    const uids = new Set(pods.map(({ metadata }) => metadata.uid));
    for (const pod of before) if (!uids.has(pod.metadata.uid)) kubelet.remove(pod);
    for (const pod of pods) kubelet.put(pod);
  }

  #read(): readonly KubeObject[] {
    return readdirSync(this.#directory)
      .filter((name) => /\.(?:ya?ml|json)$/.test(name))
      .flatMap((name) => {
        try {
          const text = readFileSync(join(this.#directory, name), 'utf8');
          return parseAllDocuments(text).map((document) =>
            defaulted(document.toJS() as KubeObject),
          );
        } catch (error) {
          const why = error instanceof Error ? error.message : String(error);
          this.#log.warn('a manifest cannot be used', { name, why });
          return [];
        }
      });
  }

  #watched<T extends KubeObject>(kind: string, namespace: string, name: string): WatchedObject<T> {
    const current = (): T | undefined =>
      this.#objects.find(
        (each) =>
          each.kind === kind &&
          each.metadata.name === name &&
          (each.metadata.namespace ?? 'default') === namespace,
      ) as T | undefined;
    // Pods look again after some time by themselves.
    return { current, synced: Promise.resolve(), onChange: doNothing, release: doNothing };
  }
}

/** What an API server would have added. */
function defaulted(object: KubeObject): KubeObject {
  const { namespace = 'default', name, uid = `static-${namespace}-${name}` } = object.metadata;
  return { ...object, metadata: { ...object.metadata, namespace, uid } };
}

function doNothing(): void {
  // Nothing is held here that would have to be given back.
}

function isPod(object: KubeObject): object is Pod {
  return object.kind === 'Pod';
}
