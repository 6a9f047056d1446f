/** A request about a resource. */
export interface ResourceRequest {
  readonly kind: 'resource';
  /** `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`. */
  readonly verb: string;
  /** '' is the core group. */
  readonly group: string;
  readonly version: string;
  /** '' when the request is not about one namespace. */
  readonly namespace: string;
  /** The plural, as in the path. */
  readonly resource: string;
  /** '' when the request is about the collection. */
  readonly name: string;
  readonly subresource: string;
  /** What follows the subresource, with its leading slash: for proxies. */
  readonly rest: string;
}

/** A request about anything else: discovery, health, a path that we do not have. */
export interface PathRequest {
  readonly kind: 'path';
  /** The lower-case method. */
  readonly verb: string;
  readonly path: string;
}

export type RequestInfo = ResourceRequest | PathRequest;

const VERBS: Readonly<Record<string, string>> = {
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
};
/** The subresources of namespaces: any other word after a namespace's name is a resource in it. */
const NAMESPACE_SUBRESOURCES = new Set(['status', 'finalize']);

/**
 * Reads method, path and query as Kubernetes does. Undefined when the path cannot be decoded.
 *
 * @param path the path as it was sent, without the query
 */
export function readRequestInfo(
  method: string,
  path: string,
  query: URLSearchParams,
): RequestInfo | undefined {
  const parts = decodedParts(path);
  if (parts === undefined) return undefined;
  const other: PathRequest = { kind: 'path', verb: method.toLowerCase(), path };
  const [root, ...below] = parts;
  if (root === 'api') return resourceRequest(method, '', below, query) ?? other;
  if (root === 'apis') {
    const [group, ...versionAndMore] = below;
    if (group === undefined) return other;
    return resourceRequest(method, group, versionAndMore, query) ?? other;
  }
  return other;
}

/** Where the objects of a request are: undefined for the whole cluster, and for namespaces themselves. */
export function namespaceOf(request: ResourceRequest): string | undefined {
  const { namespace, resource, group } = request;
  return namespace === '' || (resource === 'namespaces' && group === '') ? undefined : namespace;
}

/** The object that a request names. */
export function placeOf(request: ResourceRequest): { namespace: string | undefined; name: string } {
  return { namespace: namespaceOf(request), name: request.name };
}

function resourceRequest(
  method: string,
  group: string,
  parts: readonly string[],
  query: URLSearchParams,
): ResourceRequest | undefined {
  const [version, ...below] = parts;
  if (version === undefined || below.length === 0) return undefined;
  const place = readPlace(below);
  if (place === undefined) return undefined;
  const verb = verbOf(method, place.name, query);
  return verb === undefined ? undefined : { kind: 'resource', verb, group, version, ...place };
}

type PathPlace = Pick<ResourceRequest, 'namespace' | 'resource' | 'name' | 'subresource' | 'rest'>;

function readPlace(parts: readonly string[]): PathPlace | undefined {
  const [first = '', second = '', third = ''] = parts;
  const inNamespace =
    first === 'namespaces' && parts.length > 2 && !NAMESPACE_SUBRESOURCES.has(third);
  const [resource = '', name = '', subresource = '', ...rest] = inNamespace
    ? parts.slice(2)
    : parts;
  if (resource === '') return undefined;
  return {
    namespace: inNamespace || (first === 'namespaces' && second !== '') ? second : '',
    resource,
    name,
    subresource,
    rest: rest.map((part) => `/${part}`).join(''),
  };
}

function verbOf(method: string, name: string, query: URLSearchParams): string | undefined {
  if (method === 'GET' || method === 'HEAD') {
    if (isTrue(query.get('watch'))) return 'watch';
    return name === '' ? 'list' : 'get';
  }
  if (method === 'DELETE') return name === '' ? 'deletecollection' : 'delete';
  return VERBS[method];
}

/** How Kubernetes reads a boolean of the query: present is true, unless it says otherwise. */
export function isTrue(text: string | null): boolean {
  return text !== null && text !== 'false' && text !== '0';
}

function decodedParts(path: string): readonly string[] | undefined {
  try {
    return path
      .split('/')
      .filter((part) => part !== '')
      .map(decodeURIComponent);
  } catch {
    // A lone "%" is the sender's mistake, and one answer: the path is none.
    return undefined;
  }
}
