import type { Clock } from '#common/clock.ts';
import type { Logger } from '#common/log/logger.ts';
import { WorkQueue } from '#common/work-queue.ts';
import type { KubeClient } from '#kube/client.ts';
import { isAlreadyExists, isNotFound } from '#kube/errors.ts';
import { Informer } from '#kube/informer.ts';
import { CONFIG_MAPS, type ConfigMap, NAMESPACES, type Namespace } from '#kube/resources.ts';

const NAME = 'istio-ca-root-cert';
const KEY = 'root-cert.pem';
const LABELS = { 'istio.io/config': 'true' };
/** Nothing runs there that would read it. */
const WITHOUT: readonly string[] = ['kube-public', 'kube-node-lease', 'local-path-storage'];
const RETRY = { firstMs: 200, maxMs: 60_000, spread: 0.2 };
const PARALLEL = 4;

/**
 * Keeps the mesh's root in a ConfigMap of every namespace, where pods mount it. Several control planes may
 * do this at once: they all write the same.
 */
export class RootCertificates implements Disposable {
  readonly #client: KubeClient;
  readonly #rootPem: string;
  readonly #namespaces: Informer<Namespace>;
  readonly #configMaps: Informer<ConfigMap>;
  readonly #queue: WorkQueue;

  constructor(
    client: KubeClient,
    options: { readonly rootPem: string; readonly clock: Clock; readonly log: Logger },
  ) {
    const { rootPem, clock, log } = options;
    this.#client = client;
    this.#rootPem = rootPem;
    this.#queue = new WorkQueue({
      clock,
      work: (namespace) => this.#reconcile(namespace),
      backoff: RETRY,
      parallel: PARALLEL,
      onFailure: (namespace, error, failures, retryMs) => {
        const reason = error instanceof Error ? error.message : String(error);
        log.warn('root not published', {
          namespace,
          reason,
          failures,
          retry_ms: Math.round(retryMs),
        });
      },
    });
    this.#namespaces = new Informer(client, NAMESPACES, { log, clock });
    this.#configMaps = new Informer(client, CONFIG_MAPS, {
      fieldSelector: `metadata.name=${NAME}`,
      log,
      clock,
    });
    const namespaceOf = ({ metadata }: Namespace) => this.#queue.add(metadata.name);
    const configMapOf = ({ metadata }: ConfigMap) => this.#queue.add(metadata.namespace ?? '');
    this.#namespaces.on({ added: namespaceOf, changed: namespaceOf, removed: () => undefined });
    this.#configMaps.on({ added: configMapOf, changed: configMapOf, removed: configMapOf });
  }

  start(): void {
    this.#configMaps.start();
    // Only then is it known where nothing has to be written.
    void this.#configMaps.synced.then(() => this.#namespaces.start());
  }

  [Symbol.dispose](): void {
    this.#namespaces.stop();
    this.#configMaps.stop();
    this.#queue.stop();
  }

  async #reconcile(name: string): Promise<void> {
    const namespace = this.#namespaces.get(name);
    if (namespace === undefined || namespace.metadata.deletionTimestamp !== undefined) return;
    if (WITHOUT.includes(name)) return;
    const found = this.#configMaps.get(`${name}/${NAME}`);
    if (found?.data?.[KEY] === this.#rootPem) return;
    if (found === undefined) await this.#create(name);
    else await this.#correct(name);
  }

  async #create(namespace: string): Promise<void> {
    try {
      await this.#client.create(CONFIG_MAPS, {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: NAME, namespace, labels: LABELS },
        data: { [KEY]: this.#rootPem },
      });
    } catch (error) {
      // A namespace that has just gone needs none.
      if (isNotFound(error)) return;
      if (!isAlreadyExists(error)) throw error;
      await this.#correct(namespace);
    }
  }

  async #correct(namespace: string): Promise<void> {
    const patch = { metadata: { labels: LABELS }, data: { [KEY]: this.#rootPem } };
    await this.#client.patch(CONFIG_MAPS, NAME, namespace, patch, { type: 'merge' });
  }
}
