import { isAlreadyExists, isNotFound, KubeError } from '#kube/errors.ts';
import { collectionPath, objectPath } from '#kube/paths.ts';
import { type Condition, NAMESPACES, type Namespace, PODS } from '#kube/resources.ts';

import { type ServedApiKind, servedKinds } from './api-kinds.ts';
import { withCondition } from './conditions.ts';
import { type ControllerContext, NotYet, Reconciler } from './controller.ts';
import { canonical } from './template-hash.ts';

const FINALIZER = 'kubernetes';
// A cluster does not work without them: they come back, empty.
const LASTING = new Set(['default', 'kube-system', 'kube-public', 'kube-node-lease']);

/** Empties namespaces that are being deleted, and lets them go when they are empty; some come back. */
export class NamespaceController extends Reconciler {
  readonly #context: ControllerContext;

  constructor(context: ControllerContext) {
    super(context, 'namespace', (key) => this.#reconcile(key));
    this.#context = context;
    const { namespaces, pods } = context.watched;
    this.follow(namespaces, ({ metadata }) => [metadata.name]);
    pods.on({
      added: () => undefined,
      changed: () => undefined,
      removed: ({ metadata }) => {
        if (isEnding(namespaces.get(metadata.namespace ?? ''))) this.add(metadata.namespace ?? '');
      },
    });
  }

  async #reconcile(name: string): Promise<void> {
    const namespace = this.#context.watched.namespaces.get(name);
    if (namespace === undefined && LASTING.has(name)) await this.#restore(name);
    if (namespace === undefined || !isEnding(namespace)) return;
    const kinds = (await servedKinds(this.#context.client)).filter(
      ({ namespaced, verbs }) => namespaced && verbs.has('list') && verbs.has('delete'),
    );
    // Pods first: what protects them must not go before them.
    const pods = kinds.filter(
      ({ group, plural }) => group === PODS.group && plural === PODS.plural,
    );
    let left = await this.#empty(name, pods);
    if (left.size === 0)
      left = await this.#empty(
        name,
        kinds.filter((kind) => !pods.includes(kind)),
      );
    if (left.size > 0) {
      await this.#report(namespace, left);
      throw new NotYet(`Namespace "${name}" still has ${describe(left)}`);
    }
    await this.#finalize(namespace);
  }

  async #restore(name: string): Promise<void> {
    const { client, watched } = this.#context;
    const namespace: Namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
    try {
      watched.namespaces.observe(await client.create(NAMESPACES, namespace));
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
  }

  /** Deletes all objects of the kinds. Answers how many of which kind are still there. */
  async #empty(
    namespace: string,
    kinds: readonly ServedApiKind[],
  ): Promise<ReadonlyMap<string, number>> {
    const left = new Map<string, number>();
    await Promise.all(
      kinds.map(async (kind) => {
        const count = await this.#emptyOf(namespace, kind);
        if (count > 0) left.set(kind.plural, count);
      }),
    );
    return left;
  }

  async #emptyOf(namespace: string, kind: ServedApiKind): Promise<number> {
    const { client } = this.#context;
    try {
      const { items } = await client.list(kind, { namespace });
      const fresh = items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
      if (items.length === 0) return 0;
      const path = collectionPath(kind, namespace);
      if (fresh.length > 0 && kind.verbs.has('deletecollection')) {
        await client.request('DELETE', path, { propagationPolicy: 'Background' });
      } else {
        for (const { metadata } of fresh) {
          await client.delete(kind, metadata.name, namespace).catch(ignoreNotFound);
        }
      }
      return fresh.length === 0
        ? items.length
        : (await client.list(kind, { namespace })).items.length;
    } catch (error) {
      // Its definition has gone meanwhile, and its objects with it.
      if (isNotFound(error)) return 0;
      throw error;
    }
  }

  async #report(namespace: Namespace, left: ReadonlyMap<string, number>): Promise<void> {
    const { client, clock, watched } = this.#context;
    const content: Condition = {
      type: 'NamespaceContentRemaining',
      status: 'True',
      reason: 'SomeResourcesRemain',
      message: `Some resources are remaining: ${describe(left)}`,
    };
    const known = namespace.status?.conditions ?? [];
    const conditions = withCondition(known, content, clock.now());
    if (canonical(conditions) === canonical(known)) return;
    const status = { ...namespace.status, phase: 'Terminating', conditions };
    watched.namespaces.observe(
      await client.replace(NAMESPACES, { ...namespace, status }, 'status'),
    );
  }

  async #finalize(namespace: Namespace): Promise<void> {
    const { name } = namespace.metadata;
    const finalizers = (namespace.spec?.finalizers ?? []).filter((each) => each !== FINALIZER);
    const path = objectPath(NAMESPACES, name, undefined, 'finalize');
    const spec = { ...namespace.spec, finalizers };
    try {
      await this.#context.client.request('PUT', path, { ...namespace, spec });
    } catch (error) {
      if (!(error instanceof KubeError) || error.code !== 404) throw error;
    }
  }
}

function isEnding(namespace: Namespace | undefined): boolean {
  return (
    namespace?.metadata.deletionTimestamp !== undefined &&
    (namespace.spec?.finalizers ?? []).includes(FINALIZER)
  );
}

function describe(left: ReadonlyMap<string, number>): string {
  return [...left]
    .toSorted(([first], [second]) => (first < second ? -1 : 1))
    .map(([plural, count]) => `${plural} has ${count} resource instances`)
    .join(', ');
}

function ignoreNotFound(error: unknown): void {
  if (!isNotFound(error)) throw error;
}
