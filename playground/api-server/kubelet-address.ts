import { badRequest, internalError } from './errors.ts';
import type { StoredObject } from './object.ts';
import { at, listAt, numberAt } from './table-fields.ts';

/** Where the agent of a node listens, and the name that its certificate has. */
export interface KubeletAddress {
  readonly node: string;
  readonly host: string;
  readonly port: number;
}

const KUBELET_PORT = 10_250;

/** The node that a pod is on. @throws ApiError 400 when it is on none */
export function nodeNameOf(pod: StoredObject): string {
  const name = at(pod, 'spec', 'nodeName');
  if (typeof name !== 'string' || name === '')
    throw badRequest(`pod ${pod.metadata.name} does not have a host assigned`);
  return name;
}

/** @throws ApiError 500 when the node has not said where it is */
export function kubeletAddress(node: StoredObject): KubeletAddress {
  const { name } = node.metadata;
  const address = listAt(node, 'status', 'addresses').find((each) => each['type'] === 'InternalIP');
  const host = address?.['address'];
  if (typeof host !== 'string')
    throw internalError(`node "${name}" has no address of type InternalIP`);
  const port = numberAt(node, 'status', 'daemonEndpoints', 'kubeletEndpoint', 'Port');
  return { node: name, host, port: port === 0 ? KUBELET_PORT : port };
}

/**
 * The container that a request is about: the one it names, or the only one.
 *
 * @throws ApiError 400
 */
export function containerOf(pod: StoredObject, given: string | null): string {
  const { name } = pod.metadata;
  const containers = namesOf(pod, 'containers');
  const others = [...namesOf(pod, 'initContainers'), ...namesOf(pod, 'ephemeralContainers')];
  if (given === null || given === '') {
    const [only] = containers;
    if (only !== undefined && containers.length === 1) return only;
    const init = namesOf(pod, 'initContainers');
    const more = init.length === 0 ? '' : ` or one of the init containers: [${init.join(' ')}]`;
    throw badRequest(
      `a container name must be specified for pod ${name}, choose one of: [${containers.join(' ')}]${more}`,
    );
  }
  if (containers.includes(given) || others.includes(given)) return given;
  throw badRequest(`container ${given} is not valid for pod ${name}`);
}

function namesOf(pod: StoredObject, field: string): readonly string[] {
  return listAt(pod, 'spec', field).map((container) => String(container['name']));
}
