import { createHash } from 'node:crypto';

import type { KindRegistry, ServedKind } from './kinds.ts';
import { encodeOpenApiV2 } from './openapi-protobuf.ts';
import {
  Definitions,
  type Dialect,
  groupVersionKind,
  type SchemaObject,
  VERSION_2,
  VERSION_3,
} from './openapi-schema.ts';

/** A document of version 2, as far as we write it. */
export interface OpenApiV2 {
  readonly swagger: '2.0';
  readonly info: { readonly title: string; readonly version: string };
  readonly paths: Readonly<Record<string, SchemaObject>>;
  readonly definitions: Readonly<Record<string, SchemaObject>>;
}

/** What clients learn the fields of all kinds from. Computed when asked for, again when kinds change. */
export class OpenApi {
  readonly #registry: KindRegistry;
  readonly #info: OpenApiV2['info'];
  readonly #cache = new Map<string, Buffer>();
  #generation = -1;

  constructor(registry: KindRegistry, version: string) {
    this.#registry = registry;
    this.#info = { title: 'Kubernetes', version };
  }

  /** All kinds in one document: JSON. */
  v2Json(): Buffer {
    return this.#cached('v2', () => Buffer.from(JSON.stringify(this.#v2())));
  }

  /** The same as protocol buffers, the only form that kubectl reads. */
  v2Protobuf(): Buffer {
    return this.#cached('v2 protobuf', () => encodeOpenApiV2(this.#v2()));
  }

  /** Which documents of version 3 there are, one for each group and version. */
  v3Index(): unknown {
    const paths = this.#groupVersions().map((path) => {
      const hash = createHash('sha256').update(this.#v3(path)).digest('hex').slice(0, 32);
      return [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` }];
    });
    return { paths: Object.fromEntries(paths) as unknown };
  }

  /** The document of `api/v1` or `apis/GROUP/VERSION`; undefined when there is no such version. */
  v3Json(path: string): Buffer | undefined {
    return this.#groupVersions().includes(path) ? this.#v3(path) : undefined;
  }

  #v2(): OpenApiV2 {
    const definitions = new Definitions(VERSION_2);
    const paths = pathsOf(this.#registry.all(), definitions, VERSION_2);
    return { swagger: '2.0', info: this.#info, paths, definitions: definitions.all() };
  }

  #v3(path: string): Buffer {
    return this.#cached(path, () => {
      const kinds = this.#registry.all().filter((kind) => groupVersionPath(kind) === path);
      const definitions = new Definitions(VERSION_3);
      const paths = pathsOf(kinds, definitions, VERSION_3);
      const components = { schemas: definitions.all() };
      const document = { openapi: '3.0.0', info: this.#info, paths, components };
      return Buffer.from(JSON.stringify(document));
    });
  }

  #groupVersions(): readonly string[] {
    return [...new Set(this.#registry.all().map(groupVersionPath))];
  }

  #cached(key: string, compute: () => Buffer): Buffer {
    if (this.#generation !== this.#registry.generation) {
      this.#cache.clear();
      this.#generation = this.#registry.generation;
    }
    const known = this.#cache.get(key);
    if (known !== undefined) return known;
    const document = compute();
    this.#cache.set(key, document);
    return document;
  }
}

/** `api/v1`, `apis/apps/v1` */
function groupVersionPath({ group, version }: ServedKind): string {
  return group === '' ? `api/${version}` : `apis/${group}/${version}`;
}

const PATCH_TYPES = [
  'application/json-patch+json',
  'application/merge-patch+json',
  'application/strategic-merge-patch+json',
  'application/apply-patch+yaml',
];

function pathsOf(
  kinds: readonly ServedKind[],
  definitions: Definitions,
  dialect: Dialect,
): Readonly<Record<string, SchemaObject>> {
  const paths: Record<string, SchemaObject> = {};
  for (const kind of kinds) {
    const { object, list } = definitions.add(kind);
    const write = new OperationWriter(kind, definitions, dialect);
    const place = kind.namespaced ? 'namespaces/{namespace}/' : '';
    const collection = `/${groupVersionPath(kind)}/${place}${kind.plural}`;
    paths[collection] = {
      get: write.operation('list', list),
      post: write.operation('post', object, { body: object }),
    };
    paths[`${collection}/{name}`] = {
      get: write.operation('get', object),
      put: write.operation('put', object, { body: object }),
      patch: write.operation('patch', object, { consumes: patchTypes(kind) }),
      delete: write.operation('delete', 'io.k8s.apimachinery.pkg.apis.meta.v1.Status'),
    };
    if (kind.namespaced)
      paths[`/${groupVersionPath(kind)}/${kind.plural}`] = { get: write.operation('list', list) };
  }
  return paths;
}

function patchTypes(kind: ServedKind): readonly string[] {
  return kind.custom ? PATCH_TYPES.filter((type) => !type.includes('strategic')) : PATCH_TYPES;
}

/** Writes operations: just what kubectl looks for in them. */
class OperationWriter {
  readonly #kind: ServedKind;
  readonly #definitions: Definitions;
  readonly #version: 2 | 3;

  constructor(kind: ServedKind, definitions: Definitions, dialect: Dialect) {
    this.#kind = kind;
    this.#definitions = definitions;
    this.#version = dialect.version;
  }

  operation(
    action: string,
    answers: string,
    more: { readonly body?: string; readonly consumes?: readonly string[] } = {},
  ): SchemaObject {
    const writes = ['post', 'put', 'patch'].includes(action);
    const names = writes ? ['dryRun', 'fieldManager', 'fieldValidation'] : [];
    if (action === 'patch') names.push('force');
    const parameters = names.map((name) => this.#parameter(name));
    const own = {
      operationId: `${action}${this.#kind.group}${this.#kind.version}${this.#kind.kind}`,
      parameters,
      responses: { 200: this.#response(answers) },
      'x-kubernetes-action': action,
      'x-kubernetes-group-version-kind': groupVersionKind(this.#kind, this.#kind.kind),
    };
    return this.#version === 2 ? this.#asV2(own, more) : this.#asV3(own, more);
  }

  #asV2(
    own: { readonly parameters: readonly SchemaObject[] },
    more: { readonly body?: string; readonly consumes?: readonly string[] },
  ): SchemaObject {
    const { body, consumes = ['*/*'] } = more;
    const bodies =
      body === undefined
        ? []
        : [{ name: 'body', in: 'body', required: true, schema: this.#definitions.reference(body) }];
    return {
      ...own,
      consumes,
      produces: ['application/json'],
      parameters: [...bodies, ...own.parameters],
    };
  }

  #asV3(
    own: SchemaObject,
    more: { readonly body?: string; readonly consumes?: readonly string[] },
  ): SchemaObject {
    const { body, consumes } = more;
    const types = consumes ?? (body === undefined ? [] : ['*/*']);
    if (types.length === 0) return own;
    const schema = body === undefined ? { type: 'object' } : this.#definitions.reference(body);
    return {
      ...own,
      requestBody: { content: Object.fromEntries(types.map((type) => [type, { schema }])) },
    };
  }

  #parameter(name: string): SchemaObject {
    const type = name === 'force' ? 'boolean' : 'string';
    const where = { name, in: 'query' };
    return this.#version === 2
      ? { ...where, type, uniqueItems: true }
      : { ...where, schema: { type, uniqueItems: true } };
  }

  #response(answers: string): SchemaObject {
    const schema = this.#definitions.reference(answers);
    const description = 'OK';
    return this.#version === 2
      ? { description, schema }
      : { description, content: { 'application/json': { schema } } };
  }
}
