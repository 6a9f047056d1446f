import { isAlreadyExists } from '#kube/errors.ts';
import { type Namespace, SERVICE_ACCOUNTS } from '#kube/resources.ts';

import { type ControllerContext, Reconciler } from './controller.ts';

const DEFAULT = 'default';

/** Sees to it that every namespace has the service account "default". */
export class ServiceAccountController extends Reconciler {
  readonly #context: ControllerContext;

  constructor(context: ControllerContext) {
    super(context, 'service-account', (key) => this.#reconcile(key));
    this.#context = context;
    const { namespaces, serviceAccounts } = context.watched;
    this.follow(namespaces, ({ metadata }) => [metadata.name]);
    this.follow(serviceAccounts, ({ metadata }) =>
      metadata.name === DEFAULT ? [metadata.namespace ?? ''] : [],
    );
  }

  async #reconcile(namespace: string): Promise<void> {
    const { client, watched } = this.#context;
    if (!isOpen(watched.namespaces.get(namespace))) return;
    if (watched.serviceAccounts.get(`${namespace}/${DEFAULT}`) !== undefined) return;
    try {
      const account = await client.create(SERVICE_ACCOUNTS, {
        apiVersion: 'v1',
        kind: 'ServiceAccount',
        metadata: { name: DEFAULT, namespace },
      });
      watched.serviceAccounts.observe(account);
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  }
}

/** Whether things can be created in a namespace. */
export function isOpen(namespace: Namespace | undefined): boolean {
  return namespace !== undefined && namespace.metadata.deletionTimestamp === undefined;
}
