import type { Discovery } from './discovery.ts';
import { methodNotAllowed, noSuchPath, notAcceptable } from './errors.ts';
import { type Answer, type ApiRequest, objectAnswer, textAnswer } from './exchange.ts';
import { JSON_TYPE, type MediaType, readMediaTypes } from './negotiation.ts';
import type { OpenApi } from './openapi.ts';
import { isTrue } from './request-info.ts';
import type { ServiceAccountTokens } from './tokens.ts';

export interface PathsOptions {
  readonly discovery: Discovery;
  readonly openApi: OpenApi;
  readonly tokens: ServiceAccountTokens;
  readonly version: VersionInfo;
  /** What has to hold before we are ready, by name: undefined when it does, otherwise what is missing. */
  readonly readiness: ReadonlyMap<string, () => string | undefined>;
}

/** What `/version` says; clients compare major and minor with their own. */
export interface VersionInfo {
  readonly major: string;
  readonly minor: string;
  readonly gitVersion: string;
  readonly gitCommit: string;
  readonly gitTreeState: string;
  readonly buildDate: string;
  readonly goVersion: string;
  readonly compiler: string;
  readonly platform: string;
}

const OPENAPI_V2_PROTOBUF = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';
/** The same as an answer's type: an `@` is not allowed there. */
const OPENAPI_V2_PROTOBUF_SENT = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';

/** Everything that is no resource: discovery, schemas, health, version, keys. */
export class Paths {
  readonly #options: PathsOptions;

  constructor(options: PathsOptions) {
    this.#options = options;
  }

  /** @throws ApiError 404, 405, 406 */
  handle(request: ApiRequest): Answer {
    if (request.method !== 'GET' && request.method !== 'HEAD') throw methodNotAllowed();
    const [first = '', second = '', third = '', ...more] = request.path.split('/').slice(1);
    switch (first) {
      case 'api':
      case 'apis':
        if (more.some((part) => part !== '')) throw noSuchPath();
        return this.#discovery(request, first, second, third);
      case 'openapi':
        return this.#openApi(request);
      case 'version':
        return objectAnswer(this.#options.version);
      case 'healthz':
      case 'livez':
      case 'readyz':
        return this.#health(request, first, second);
      case '.well-known':
      case 'openid':
        return this.#openId(request.path);
      case '':
        return objectAnswer({ paths: ROOT_PATHS });
      default:
        throw noSuchPath();
    }
  }

  #discovery(request: ApiRequest, root: 'api' | 'apis', second: string, third: string): Answer {
    const { discovery } = this.#options;
    if (second === '') {
      const version = aggregatedVersion(request);
      if (version !== undefined)
        return aggregatedAnswer(discovery.aggregated(root, version), version);
      return objectAnswer(root === 'api' ? discovery.coreVersions() : discovery.groupList());
    }
    const document =
      root === 'api'
        ? discovery.resourceList('', second)
        : third === ''
          ? discovery.group(second)
          : discovery.resourceList(second, third);
    if (document === undefined) throw noSuchPath();
    return objectAnswer(document);
  }

  #openApi(request: ApiRequest): Answer {
    const { openApi } = this.#options;
    if (request.path === '/openapi/v2') return this.#openApiV2(request);
    if (request.path === '/openapi/v3' || request.path === '/openapi/v3/')
      return objectAnswer(openApi.v3Index());
    const document = openApi.v3Json(request.path.slice('/openapi/v3/'.length));
    if (!request.path.startsWith('/openapi/v3/') || document === undefined) throw noSuchPath();
    return { kind: 'bytes', code: 200, contentType: JSON_TYPE, body: document };
  }

  #openApiV2(request: ApiRequest): Answer {
    const { openApi } = this.#options;
    const types = acceptedTypes(request);
    for (const { type } of types) {
      if (type === OPENAPI_V2_PROTOBUF || type === OPENAPI_V2_PROTOBUF_SENT) {
        const contentType = OPENAPI_V2_PROTOBUF_SENT;
        return { kind: 'bytes', code: 200, contentType, body: openApi.v2Protobuf() };
      }
      if (type === JSON_TYPE || type === 'application/*' || type === '*/*')
        return { kind: 'bytes', code: 200, contentType: JSON_TYPE, body: openApi.v2Json() };
    }
    throw notAcceptable([JSON_TYPE, OPENAPI_V2_PROTOBUF_SENT]);
  }

  #health(request: ApiRequest, endpoint: string, check: string): Answer {
    const checks: [string, string | undefined][] = [['ping', undefined]];
    if (endpoint !== 'livez')
      for (const [name, missing] of this.#options.readiness) checks.push([name, missing()]);
    const asked = check === '' ? checks : checks.filter(([name]) => name === check);
    if (asked.length === 0) throw noSuchPath();
    const failed = asked.filter(([, missing]) => missing !== undefined);
    if (failed.length === 0 && !isTrue(request.query.get('verbose'))) return textAnswer('ok');
    const lines = asked.map(([name, missing]) =>
      missing === undefined ? `[+]${name} ok` : `[-]${name} failed: ${missing}`,
    );
    const passed = failed.length === 0;
    const end = `${endpoint} check ${passed ? 'passed' : 'failed'}`;
    return textAnswer(`${[...lines, end].join('\n')}\n`, passed ? 200 : 500);
  }

  #openId(path: string): Answer {
    const { tokens } = this.#options;
    if (path === '/.well-known/openid-configuration')
      return objectAnswer(tokens.discoveryDocument());
    if (path === '/openid/v1/jwks' || path === '/openid/v1/jwks/')
      return {
        kind: 'bytes',
        code: 200,
        contentType: 'application/jwk-set+json',
        body: JSON.stringify(tokens.keySet()),
      };
    throw noSuchPath();
  }
}

const ROOT_PATHS = [
  '/.well-known/openid-configuration',
  '/api',
  '/api/v1',
  '/apis',
  '/healthz',
  '/livez',
  '/openapi/v2',
  '/openapi/v3',
  '/openid/v1/jwks',
  '/readyz',
  '/version',
];

function acceptedTypes(request: ApiRequest): readonly MediaType[] {
  const { accept } = request.headers;
  return readMediaTypes(accept === undefined || accept === '' ? '*/*' : accept);
}

/** The form of aggregated discovery that a client asks for before plain JSON. */
function aggregatedVersion(request: ApiRequest): 'v2' | 'v2beta1' | undefined {
  for (const { type, parameters } of acceptedTypes(request)) {
    const aggregated = parameters.get('as') === 'APIGroupDiscoveryList';
    const version = parameters.get('v');
    if (type !== JSON_TYPE) continue;
    if (!aggregated) return undefined;
    if (version === 'v2' || version === 'v2beta1') return version;
  }
  return undefined;
}

function aggregatedAnswer(document: unknown, version: 'v2' | 'v2beta1'): Answer {
  const contentType = `${JSON_TYPE};g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;
  return { kind: 'bytes', code: 200, contentType, body: JSON.stringify(document) };
}
