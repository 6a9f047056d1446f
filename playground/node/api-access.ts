import { setTimeout as wait } from 'node:timers/promises';

import { type BackoffPlan, backoffMs } from '#common/backoff.ts';
import type { Logger } from '#common/log/logger.ts';
import type { KubeClient } from '#kube/client.ts';
import { isConflict, isNotFound } from '#kube/errors.ts';
import { EventRecorder } from '#kube/event-recorder.ts';
import { Informer } from '#kube/informer.ts';
import {
  CONFIG_MAPS,
  type ConfigMap,
  type KubeObject,
  PODS,
  type Pod,
  type PodStatus,
  type ResourceKind,
  SECRETS,
  SERVICE_ACCOUNTS,
  SERVICES,
  type Secret,
  type Service,
} from '#kube/resources.ts';

import type { ClusterAccess, IssuedToken, PodEvent, WatchedObject } from './cluster-access.ts';

const RETRY: BackoffPlan = { firstMs: 200, maxMs: 10_000, spread: 0.2 };

interface Watch {
  readonly informer: Informer<KubeObject>;
  holders: number;
}

interface PendingReport {
  readonly pod: Pod;
  status: PodStatus | undefined;
  gone: boolean;
}

interface TokenResponse {
  readonly status: { readonly token: string; readonly expirationTimestamp: string };
}

/** The API server, as the kubelet of one node uses it. */
export class ApiAccess implements ClusterAccess {
  readonly #client: KubeClient;
  readonly #log: Logger;
  readonly #services: Informer<Service>;
  readonly #watches = new Map<string, Watch>();
  /** By uid: what is not yet told. Only the last status of a pod is of interest. */
  readonly #reports = new Map<string, PendingReport>();
  readonly #reporting = new Map<string, Promise<void>>();
  readonly #events: EventRecorder;

  constructor(client: KubeClient, nodeName: string, services: Informer<Service>, log: Logger) {
    this.#client = client;
    this.#log = log;
    this.#services = services;
    this.#events = new EventRecorder({
      client,
      source: { component: 'kubelet', host: nodeName },
      log,
    });
  }

  configMap(namespace: string, name: string): WatchedObject<ConfigMap> {
    return this.#watch(CONFIG_MAPS, namespace, name);
  }

  secret(namespace: string, name: string): WatchedObject<Secret> {
    return this.#watch(SECRETS, namespace, name);
  }

  services(): readonly Service[] {
    return this.#services.list();
  }

  async token(
    pod: Pod,
    audience: string | undefined,
    expirationSeconds: number,
  ): Promise<IssuedToken> {
    const { name, namespace, uid } = pod.metadata;
    const account = pod.spec.serviceAccountName ?? 'default';
    const { status } = await this.#client.post<TokenResponse>(
      SERVICE_ACCOUNTS,
      account,
      namespace,
      'token',
      {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        metadata: { name: account, namespace },
        spec: {
          ...(audience === undefined || audience === '' ? {} : { audiences: [audience] }),
          expirationSeconds,
          boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid },
        },
      },
    );
    return { token: status.token, expiresAtMs: Date.parse(status.expirationTimestamp) };
  }

  reportStatus(pod: Pod, status: PodStatus): void {
    this.#report(pod, { status });
  }

  reportGone(pod: Pod): void {
    // One that nobody deletes is only looked at; one that is gone already has no object.
    if (pod.metadata.deletionTimestamp !== undefined) this.#report(pod, { gone: true });
  }

  reportEvent({ pod, type, reason, message, container }: PodEvent): void {
    const fieldPath =
      container === undefined ? undefined : `spec.${container.list}{${container.name}}`;
    this.#events.record(pod, { type, reason, message }, fieldPath);
  }

  /** Resolves when all reports so far have been sent, or have been given up. */
  async flush(): Promise<void> {
    await Promise.all(this.#reporting.values());
  }

  close(): void {
    for (const { informer } of this.#watches.values()) informer.stop();
    this.#services.stop();
  }

  #watch<T extends KubeObject>(
    kind: ResourceKind<T>,
    namespace: string,
    name: string,
  ): WatchedObject<T> {
    const key = `${kind.plural}/${namespace}/${name}`;
    let watch = this.#watches.get(key);
    if (watch === undefined) {
      const options = { namespace, fieldSelector: `metadata.name=${name}` };
      const informer = new Informer<KubeObject>(this.#client, kind, options);
      watch = { informer, holders: 0 };
      this.#watches.set(key, watch);
      informer.start();
    }
    const held = watch;
    held.holders += 1;
    const stops: (() => void)[] = [];
    return {
      current: () => held.informer.get(`${namespace}/${name}`) as T | undefined,
      synced: held.informer.synced,
      onChange: (listener) => {
        const handler = { added: listener, changed: listener, removed: listener };
        stops.push(held.informer.on(handler));
      },
      release: () => {
        for (const stop of stops) stop();
        held.holders -= 1;
        if (held.holders > 0) return;
        held.informer.stop();
        this.#watches.delete(key);
      },
    };
  }

  #report(pod: Pod, what: { readonly status?: PodStatus; readonly gone?: boolean }): void {
    const uid = pod.metadata.uid ?? '';
    const pending = this.#reports.get(uid) ?? { pod, status: undefined, gone: false };
    pending.status = what.status ?? pending.status;
    pending.gone ||= what.gone === true;
    this.#reports.set(uid, pending);
    if (this.#reporting.has(uid)) return;
    const sending = this.#send(uid).finally(() => this.#reporting.delete(uid));
    this.#reporting.set(uid, sending);
  }

  async #send(uid: string): Promise<void> {
    for (let failures = 0; ; ) {
      const pending = this.#reports.get(uid);
      if (pending === undefined) return;
      this.#reports.delete(uid);
      try {
        await this.#sendOnce(pending);
        failures = 0;
      } catch (error) {
        // Deleted meanwhile, or another pod of the same name: nobody is interested any more.
        if (isNotFound(error) || isConflict(error)) continue;
        failures += 1;
        const why = error instanceof Error ? error.message : String(error);
        this.#log.warn('a pod could not be reported', { pod: pending.pod.metadata.name, why });
        // What has come in meanwhile is newer.
        const newer = this.#reports.get(uid);
        const status = newer?.status ?? pending.status;
        this.#reports.set(uid, { ...pending, status, gone: pending.gone || newer?.gone === true });
        await wait(backoffMs(RETRY, failures, Math.random));
      }
    }
  }

  async #sendOnce({ pod, status, gone }: PendingReport): Promise<void> {
    const { name, namespace, uid } = pod.metadata;
    if (status !== undefined) {
      const body = { metadata: { uid }, status };
      const options = { type: 'merge', subresource: 'status' } as const;
      await this.#client.patch(PODS, name, namespace, body, options);
    }
    if (gone && uid !== undefined) {
      await this.#client.delete(PODS, name, namespace, { gracePeriodSeconds: 0, uid });
    }
  }
}

/** All services, for their addresses in environments and for the service proxy. */
export function serviceInformer(client: KubeClient, log: Logger): Informer<Service> {
  return new Informer(client, SERVICES, { log });
}
