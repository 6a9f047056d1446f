import { isAlreadyExists } from '#kube/errors.ts';
import { CONFIG_MAPS, type ConfigMap } from '#kube/resources.ts';

import { type ControllerContext, Reconciler } from './controller.ts';
import { isOpen } from './service-account.ts';

const NAME = 'kube-root-ca.crt';

/** Keeps the certificate by which pods know the API server in a ConfigMap of every namespace. */
export class RootCaController extends Reconciler {
  readonly #context: ControllerContext;
  readonly #caPem: string;

  constructor(context: ControllerContext, caPem: string) {
    super(context, 'root-ca', (key) => this.#reconcile(key));
    this.#context = context;
    this.#caPem = caPem;
    const { namespaces, configMaps } = context.watched;
    this.follow(namespaces, ({ metadata }) => [metadata.name]);
    this.follow(configMaps, ({ metadata }) =>
      metadata.name === NAME ? [metadata.namespace ?? ''] : [],
    );
  }

  async #reconcile(namespace: string): Promise<void> {
    const { client, watched } = this.#context;
    if (!isOpen(watched.namespaces.get(namespace))) return;
    const known = watched.configMaps.get(`${namespace}/${NAME}`);
    const data = { 'ca.crt': this.#caPem };
    if (known?.data?.['ca.crt'] === this.#caPem) return;
    if (known !== undefined) {
      watched.configMaps.observe(await client.replace(CONFIG_MAPS, { ...known, data }));
      return;
    }
    const wanted: ConfigMap = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: {
        name: NAME,
        namespace,
        annotations: {
          'kubernetes.io/description': 'Who signs the certificate of the API server',
        },
      },
      data,
    };
    try {
      watched.configMaps.observe(await client.create(CONFIG_MAPS, wanted));
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  }
}
