import { isAlreadyExists, isNotFound } from '#kube/errors.ts';
import type { Informer } from '#kube/informer.ts';
import {
  ENDPOINT_SLICES,
  ENDPOINTS,
  type EndpointSlice,
  type Endpoints,
  type KubeObject,
  namespacedName,
  type Pod,
  type ResourceKind,
  type Service,
} from '#kube/resources.ts';
import { matchesLabels } from '#kube/selector.ts';

import { type ControllerContext, Reconciler } from './controller.ts';
import { controllerOf } from './ownership.ts';
import { MANAGED_BY, MANAGER, SERVICE_NAME, serviceEndpoints } from './service-endpoints.ts';
import { canonical } from './template-hash.ts';

/** Keeps the endpoints of every service that selects pods, in both forms. */
export class EndpointSliceController extends Reconciler {
  readonly #context: ControllerContext;

  constructor(context: ControllerContext) {
    super(context, 'endpoint-slice', (key) => this.#reconcile(key));
    this.#context = context;
    const { services, pods, endpointSlices, endpoints } = context.watched;
    this.follow(services, ({ metadata }) => [namespacedName(metadata)]);
    this.follow(pods, (pod, other) => this.#servicesOf(pod, other));
    this.follow(endpointSlices, ({ metadata }) =>
      metadata.labels?.[MANAGED_BY] === MANAGER
        ? [`${metadata.namespace}/${metadata.labels[SERVICE_NAME]}`]
        : [],
    );
    this.follow(endpoints, ({ metadata }) => [namespacedName(metadata)]);
  }

  *#servicesOf(pod: Pod, other: Pod | undefined): Iterable<string> {
    // Most changes of a pod change nothing that an endpoint says.
    if (other !== undefined && facts(pod) === facts(other)) return;
    for (const service of this.#context.watched.services.list()) {
      if (selects(service, pod)) yield namespacedName(service.metadata);
    }
  }

  async #reconcile(key: string): Promise<void> {
    const { watched } = this.#context;
    const service = watched.services.get(key);
    // What a service owned when it was deleted is the garbage collector's, except for what has no owner.
    if (service === undefined) {
      await this.#removeEndpoints(key);
      return;
    }
    if (service.metadata.deletionTimestamp !== undefined || !hasSelector(service)) return;
    const pods = watched.pods.list().filter((pod) => selects(service, pod));
    const wanted = serviceEndpoints(service, pods, (name) => watched.nodes.get(name));
    await this.#writeSlices(service, wanted.slices);
    await this.#write(ENDPOINTS, watched.endpoints, marked(wanted.endpoints), ['subsets']);
  }

  async #writeSlices(service: Service, wanted: readonly EndpointSlice[]): Promise<void> {
    const { client, watched } = this.#context;
    const { name, namespace, uid } = service.metadata;
    for (const slice of wanted) {
      const fields = ['addressType', 'endpoints', 'ports'];
      await this.#write(ENDPOINT_SLICES, watched.endpointSlices, slice, fields);
    }
    const names = new Set(wanted.map(({ metadata }) => metadata.name));
    const surplus = watched.endpointSlices
      .list()
      .filter(
        ({ metadata }) =>
          metadata.namespace === namespace &&
          metadata.labels?.[SERVICE_NAME] === name &&
          metadata.labels[MANAGED_BY] === MANAGER &&
          !names.has(metadata.name),
      );
    for (const slice of surplus) {
      if (controllerOf(slice)?.uid !== uid) continue;
      await ignoreNotFound(client.delete(ENDPOINT_SLICES, slice.metadata.name, namespace));
    }
  }

  /** Creates the object, or replaces it when its labels or one of `fields` differ. */
  async #write<T extends KubeObject>(
    kind: ResourceKind<T>,
    informer: Informer<T>,
    wanted: T,
    fields: readonly string[],
  ): Promise<void> {
    const { client } = this.#context;
    const known = informer.get(namespacedName(wanted.metadata));
    if (known === undefined) {
      try {
        informer.observe(await client.create(kind, wanted));
      } catch (error) {
        if (!isAlreadyExists(error)) throw error;
        // Ours, and not yet seen: the watch brings it, and with it this key.
      }
      return;
    }
    const isSame = fields.every((field) => canonical(known[field]) === canonical(wanted[field]));
    if (isSame && canonical(known.metadata.labels) === canonical(wanted.metadata.labels)) return;
    const { labels, ownerReferences } = wanted.metadata;
    const metadata = {
      ...known.metadata,
      ...(labels === undefined ? {} : { labels }),
      ...(ownerReferences === undefined ? {} : { ownerReferences }),
    };
    informer.observe(await client.replace(kind, { ...wanted, metadata }));
  }

  async #removeEndpoints(key: string): Promise<void> {
    const { client, watched } = this.#context;
    const endpoints = watched.endpoints.get(key);
    if (
      endpoints === undefined ||
      endpoints.metadata.labels?.[ENDPOINTS_MANAGED_BY] === undefined
    ) {
      return;
    }
    const { name, namespace } = endpoints.metadata;
    await ignoreNotFound(client.delete(ENDPOINTS, name, namespace));
  }
}

const ENDPOINTS_MANAGED_BY = 'endpoints.kubernetes.io/managed-by';

/** Tells our Endpoints from those that somebody made by hand and that outlive their service. */
function marked(endpoints: Endpoints): Endpoints {
  const labels = { ...endpoints.metadata.labels, [ENDPOINTS_MANAGED_BY]: 'endpoint-controller' };
  return { ...endpoints, metadata: { ...endpoints.metadata, labels } };
}

function hasSelector(service: Service): boolean {
  return (
    Object.keys(service.spec.selector ?? {}).length > 0 && service.spec.type !== 'ExternalName'
  );
}

function selects(service: Service, pod: Pod): boolean {
  return (
    service.metadata.namespace === pod.metadata.namespace &&
    hasSelector(service) &&
    matchesLabels({ matchLabels: service.spec.selector ?? {} }, pod.metadata.labels)
  );
}

/** What endpoints are made of. */
function facts({ metadata, spec, status }: Pod): string {
  const ready = status?.conditions?.find(({ type }) => type === 'Ready')?.status;
  return canonical([
    metadata.labels,
    metadata.deletionTimestamp,
    spec.nodeName,
    status?.phase,
    status?.podIPs,
    status?.podIP,
    ready,
  ]);
}

async function ignoreNotFound(deletion: Promise<void>): Promise<void> {
  try {
    await deletion;
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}
