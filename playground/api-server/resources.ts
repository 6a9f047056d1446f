import type { Admission } from './admission.ts';
import { decodeJson, decodeObject, decodeYaml, type JsonObject } from './body.ts';
import {
  ApiError,
  type FieldProblem,
  forbiddenField,
  invalid,
  methodNotAllowed,
  requiredValue,
  type Status,
  unsupportedMediaType,
} from './errors.ts';
import { type Answer, type ApiRequest, objectAnswer } from './exchange.ts';
import { isObject } from './json.ts';
import type { ServedKind } from './kinds.ts';
import { listAnswer } from './list-answer.ts';
import { checkInitialEvents, readVersion } from './listing.ts';
import { type ResponseForm, readMediaType } from './negotiation.ts';
import { apiVersionOf, type StoredObject } from './object.ts';
import type { PatchType } from './patch/patch.ts';
import { isTrue, namespaceOf, placeOf, type ResourceRequest } from './request-info.ts';
import { deleteOptions, listOptions, numberOf, writeOptions } from './request-options.ts';
import type { ObjectList, Store, WriteResult } from './store.ts';
import { columnsOf, partialObject, type TableOptions, tableOf } from './table.ts';
import { WatchStream } from './watch-stream.ts';

/** A request about a kind that we serve, and the form that its answer shall have. */
export interface ResourceCall {
  readonly request: ApiRequest;
  readonly info: ResourceRequest;
  readonly kind: ServedKind;
  readonly form: ResponseForm;
}

export interface ResourcesOptions {
  readonly store: Store;
  readonly admission: Admission;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

const PATCH_TYPES: Readonly<Record<string, PatchType>> = {
  'application/json-patch+json': 'json',
  'application/merge-patch+json': 'merge',
  'application/strategic-merge-patch+json': 'strategic',
  'application/apply-patch+yaml': 'apply',
};
/** A watch ends after this long unless it says how long; clients start a new one where it ended. */
const WATCH_SECONDS_MIN = 1_800;

/** The verbs on stored objects: what to read from a request, what to ask the store, how to answer. */
export class Resources {
  readonly #options: ResourcesOptions;

  constructor(options: ResourcesOptions) {
    this.#options = options;
  }

  async handle(call: ResourceCall): Promise<Answer> {
    const { kind, info } = call;
    const isOne = info.verb === 'update' || info.verb === 'patch';
    if (isOne && info.name === '') throw methodNotAllowed();
    const isNowhere = kind.namespaced && info.namespace === '';
    if (isNowhere && (info.verb === 'create' || info.verb === 'deletecollection'))
      throw methodNotAllowed();
    switch (call.info.verb) {
      case 'get':
        return this.#get(call);
      case 'list':
        return this.#list(call);
      case 'watch':
        return this.#watch(call);
      case 'create':
        return this.#create(call);
      case 'update':
        return this.#update(call);
      case 'patch':
        return this.#patch(call);
      case 'delete':
        return this.#delete(call);
      case 'deletecollection':
        return this.#deleteCollection(call);
      default:
        throw methodNotAllowed();
    }
  }

  #get(call: ResourceCall): Answer {
    const { kind, info, request } = call;
    const resourceVersion = request.query.get('resourceVersion') ?? undefined;
    const object = this.#options.store.get(kind, placeOf(info), resourceVersion);
    return this.#answer(call, object, 200);
  }

  #list(call: ResourceCall): Answer {
    const { kind, info, request, form } = call;
    const options = listOptions(request, info);
    checkInitialEvents(false, { ...options, sendInitialEvents: sendInitialEventsOf(request) });
    const list = this.#options.store.list(kind, options);
    const metadata = listMetadata(list);
    if (form.kind === 'table') {
      const table = this.#tableOptions(call, form.version);
      return objectAnswer(tableOf(columnsOf(kind), list.items, metadata, table));
    }
    if (form.kind === 'metadata') {
      const { version } = form;
      const items = list.items.map((object) => partialObject(object, version));
      const apiVersion = `meta.k8s.io/${version}`;
      return listAnswer({ kind: 'PartialObjectMetadataList', apiVersion, metadata }, items);
    }
    const head = { kind: kind.listKind, apiVersion: apiVersionOf(kind), metadata };
    if (!form.yaml) return listAnswer(head, list.items);
    return { kind: 'object', code: 200, object: { ...head, items: list.items }, yaml: true };
  }

  #watch(call: ResourceCall): Answer {
    const { kind, info, request, form } = call;
    const { query } = request;
    const options = {
      ...listOptions(request, info),
      sendInitialEvents: sendInitialEventsOf(request),
      allowBookmarks: isTrue(query.get('allowWatchBookmarks')),
    };
    const seconds = numberOf(query, 'timeoutSeconds') || WATCH_SECONDS_MIN * (1 + Math.random());
    const includeObject = includeObjectOf(query);
    const { store, now } = this.#options;
    // What cannot be read is refused before the stream has begun.
    checkInitialEvents(true, options);
    readVersion(options.resourceVersion);
    store.list(kind, {
      ...options,
      limit: 1,
      resourceVersion: undefined,
      resourceVersionMatch: undefined,
      continueToken: undefined,
    });
    return {
      kind: 'stream',
      run: (response, headers) => {
        const stream = new WatchStream(response, headers, { form, kind, includeObject, now });
        const watch = store.watch(kind, options, stream);
        const end = (): void => {
          clearTimeout(timer);
          watch.stop();
          stream.end();
        };
        const timer = setTimeout(end, seconds * 1000);
        timer.unref();
        response.on('close', end);
        request.signal.addEventListener('abort', end, { once: true });
        if (request.signal.aborted) end();
      },
    };
  }

  async #create(call: ResourceCall): Promise<Answer> {
    const { kind, info, request } = call;
    if (info.name !== '') throw methodNotAllowed();
    const given = await readObject(request);
    const options = writeOptions(request);
    const { store, admission } = this.#options;
    const attempt = { request, info, kind, dryRun: options.dryRun };
    const object = await admission.mutate({ ...attempt, operation: 'CREATE', object: given });
    await admission.validate({ ...attempt, operation: 'CREATE', object }, () =>
      store.create(kind, namespaceOf(info), object, { ...options, dryRun: true }),
    );
    const stored = store.create(kind, namespaceOf(info), object, options);
    return this.#answer(call, stored, 201);
  }

  async #update(call: ResourceCall): Promise<Answer> {
    const { info, kind, request } = call;
    const object = await readObject(request);
    const options = { ...writeOptions(request), subresource: subresourceOf(info) };
    const { store } = this.#options;
    return this.#write(call, object, (dryRun) =>
      store.update(kind, placeOf(info), object, {
        ...options,
        dryRun: dryRun || options.dryRun,
        warn: dryRun ? ignoreWarning : (text) => options.warn(text),
      }),
    );
  }

  async #patch(call: ResourceCall): Promise<Answer> {
    const { info, kind, request } = call;
    const patch = await readPatch(request, kind);
    const force = request.query.get('force');
    const options = {
      ...writeOptions(request),
      subresource: subresourceOf(info),
      force: isTrue(force),
    };
    checkPatchOptions(patch.type, request);
    const { store } = this.#options;
    const isNew = patch.type === 'apply' && info.subresource === '' && !this.#isThere(call);
    const completed = isNew ? await this.#completed(call, patch.body) : undefined;
    const write = (dryRun: boolean): WriteResult =>
      store.patch(kind, placeOf(info), patch, {
        ...options,
        dryRun: dryRun || options.dryRun,
        warn: dryRun ? ignoreWarning : (text) => options.warn(text),
        ...(completed === undefined ? {} : { completed }),
      });
    return this.#write(call, completed, write, isNew ? 'CREATE' : 'UPDATE');
  }

  #isThere({ kind, info }: ResourceCall): boolean {
    try {
      this.#options.store.get(kind, placeOf(info));
      return true;
    } catch (error) {
      if (error instanceof ApiError && error.code === 404) return false;
      throw error;
    }
  }

  /** What an object is created with that is applied and not there yet; undefined when it is no object. */
  async #completed(call: ResourceCall, body: unknown): Promise<JsonObject | undefined> {
    const { info, kind, request } = call;
    if (!isObject(body)) return undefined;
    const dryRun = isTrue(request.query.get('dryRun'));
    const attempt = { request, info, kind, dryRun, operation: 'CREATE' } as const;
    return this.#options.admission.mutate({ ...attempt, object: body });
  }

  async #write(
    call: ResourceCall,
    object: JsonObject | undefined,
    write: (dryRun: boolean) => WriteResult,
    operation: 'CREATE' | 'UPDATE' = 'UPDATE',
  ): Promise<Answer> {
    const { info, kind, request } = call;
    const attempt = { request, info, kind, dryRun: isTrue(request.query.get('dryRun')) };
    await this.#options.admission.validate(
      { ...attempt, operation, object },
      () => write(true).object,
    );
    const { object: stored, created } = write(false);
    return this.#answer(call, stored, created ? 201 : 200);
  }

  async #delete(call: ResourceCall): Promise<Answer> {
    const { kind, info, request } = call;
    const options = deleteOptions(request, await readOptionalObject(request));
    const { store, admission } = this.#options;
    const attempt = { request, info, kind, dryRun: options.dryRun };
    await admission.validate({ ...attempt, operation: 'DELETE', object: undefined }, () =>
      store.get(kind, placeOf(info)),
    );
    const { object, removed } = store.delete(kind, placeOf(info), options);
    return removed ? objectAnswer(deletedStatus(kind, object)) : this.#answer(call, object, 200);
  }

  async #deleteCollection(call: ResourceCall): Promise<Answer> {
    const { kind, info, request } = call;
    const options = deleteOptions(request, await readOptionalObject(request));
    const { store } = this.#options;
    const results = store.deleteCollection(kind, listOptions(request, info), options);
    const items = results.map((result) => result.object);
    const metadata = { resourceVersion: String(store.version) };
    return objectAnswer({ kind: kind.listKind, apiVersion: apiVersionOf(kind), metadata, items });
  }

  #answer(call: ResourceCall, object: StoredObject, code: number): Answer {
    const { form, kind } = call;
    switch (form.kind) {
      case 'object':
        return { kind: 'object', code, object, yaml: form.yaml };
      case 'metadata':
        return objectAnswer(partialObject(object, form.version), code);
      case 'table': {
        const { resourceVersion } = object.metadata;
        const options = this.#tableOptions(call, form.version);
        return objectAnswer(tableOf(columnsOf(kind), [object], { resourceVersion }, options), code);
      }
    }
  }

  #tableOptions(call: ResourceCall, version: 'v1' | 'v1beta1'): TableOptions {
    const includeObject = includeObjectOf(call.request.query);
    return { version, includeObject, withDefinitions: true, nowMs: this.#options.now() };
  }
}

/** The object in a request's body. @throws ApiError 400, 413, 415 */
export async function readObject(request: ApiRequest): Promise<JsonObject> {
  return decodeObject(await request.body(), request.headers['content-type']);
}

async function readOptionalObject(request: ApiRequest): Promise<JsonObject> {
  const body = await request.body();
  return body.length === 0 ? {} : decodeObject(body, request.headers['content-type']);
}

/** The patch in a request's body, by its content type. @throws ApiError 400, 413, 415 */
export async function readPatch(
  request: ApiRequest,
  kind: ServedKind,
): Promise<{ type: PatchType; body: unknown }> {
  const { type: contentType } = readMediaType(request.headers['content-type'] ?? '');
  const type = PATCH_TYPES[contentType];
  if (type === undefined || (type === 'strategic' && kind.custom))
    throw unsupportedMediaType(
      Object.keys(PATCH_TYPES).filter((each) => !kind.custom || !each.includes('strategic')),
    );
  const text = (await request.body()).toString('utf8');
  return { type, body: type === 'apply' ? decodeYaml(text) : decodeJson(text) };
}

function listMetadata(list: ObjectList): Record<string, unknown> {
  const { resourceVersion, continueToken, remainingItemCount } = list;
  return {
    resourceVersion,
    ...(continueToken === undefined ? {} : { continue: continueToken }),
    ...(remainingItemCount === undefined ? {} : { remainingItemCount }),
  };
}

function deletedStatus(kind: ServedKind, object: StoredObject): Status {
  const { name, uid } = object.metadata;
  const group = kind.group === '' ? {} : { group: kind.group };
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Success',
    details: { name, ...group, kind: kind.plural, uid },
  };
}

/** What only an apply may say, and has to. */
function checkPatchOptions(type: PatchType, { query }: ApiRequest): void {
  const problems: FieldProblem[] = [];
  if (type === 'apply' && !query.get('fieldManager'))
    problems.push(requiredValue('fieldManager', 'is required for apply patch'));
  if (type !== 'apply' && query.has('force'))
    problems.push(forbiddenField('force', 'may not be specified for non-apply patch'));
  const options = { group: 'meta.k8s.io', kind: 'PatchOptions' };
  if (problems.length > 0) throw invalid(options, '', problems);
}

function sendInitialEventsOf({ query }: ApiRequest): boolean | undefined {
  return query.has('sendInitialEvents') ? isTrue(query.get('sendInitialEvents')) : undefined;
}

function includeObjectOf(query: URLSearchParams): TableOptions['includeObject'] {
  const given = query.get('includeObject');
  return given === 'None' || given === 'Object' ? given : 'Metadata';
}

function subresourceOf(info: ResourceRequest): string | undefined {
  return info.subresource === '' ? undefined : info.subresource;
}

/** A trial says nothing: the writing that follows says it again. */
function ignoreWarning(): void {
  // See above.
}
