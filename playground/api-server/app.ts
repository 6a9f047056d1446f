import { systemClock } from '#common/clock.ts';
import type { Logger } from '#common/log/logger.ts';

import { Admission } from './admission.ts';
import { Authenticator } from './authentication.ts';
import { bootstrap, type ServerEndpoint } from './bootstrap.ts';
import { StoredBoundObjects } from './bound-objects.ts';
import { builtinKinds } from './builtin-kinds.ts';
import { serveCustomResources } from './crd.ts';
import { CreationCheck } from './creation-check.ts';
import type { ClusterCredentials } from './credentials.ts';
import { Discovery } from './discovery.ts';
import { KindRegistry } from './kinds.ts';
import { KubeletProxy } from './kubelet-proxy.ts';
import { OpenApi } from './openapi.ts';
import { Paths, type VersionInfo } from './paths.ts';
import { EscalationCheck } from './rbac-escalation.ts';
import { policyFromStore } from './rbac-source.ts';
import { Resources } from './resources.ts';
import { Reviews } from './reviews.ts';
import { Routes } from './routes.ts';
import { ApiHttpServer, type Listen } from './server.ts';
import { Store } from './store.ts';
import { Subresources } from './subresources.ts';
import { TokenRequests } from './token-request.ts';
import { ServiceAccountTokens } from './tokens.ts';

export interface AppOptions {
  readonly credentials: ClusterCredentials;
  readonly listen: readonly Listen[];
  /** How pods reach this server; undefined when there are no pods. */
  readonly endpoint?: ServerEndpoint;
  readonly logger: Logger;
}

/** `iss` of tokens, and the audience of this server. */
const ISSUER = 'https://kubernetes.default.svc.cluster.local';

const now = (): number => systemClock.now();

/** An earlier run has not made 100 changes a second for all of its life. */
const MS_PER_VERSION = 10;

/** The Kubernetes whose API this is. */
const VERSION: VersionInfo = {
  major: '1',
  minor: '34',
  gitVersion: 'v1.34.0-ambit',
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '1970-01-01T00:00:00Z',
  goVersion: '',
  compiler: 'node',
  platform: `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`,
};

/** An API server with its parts, in the order in which they need each other. */
export class ApiServerApp {
  /** All objects, for what runs in this process. */
  readonly store: Store;
  readonly #server: ApiHttpServer;
  #ready = false;

  constructor(options: AppOptions) {
    const { credentials, logger } = options;
    // Data. Versions go on where an earlier run cannot have come: clients may remember its numbers.
    const registry = new KindRegistry(builtinKinds());
    const store = new Store(registry, systemClock, Math.floor(now() / MS_PER_VERSION));
    this.store = store;
    serveCustomResources(store, now);
    bootstrap(store, options.endpoint);

    // Who, and what they may.
    const tokens = new ServiceAccountTokens({
      signingKeyPem: credentials.tokenKeyPem,
      issuer: ISSUER,
    });
    const objects = new StoredBoundObjects(store);
    const audiences = [ISSUER];
    const authenticator = new Authenticator({ tokens, audiences, objects, now });
    const policy = policyFromStore(store);
    const admission = new Admission(store, [
      new CreationCheck(policy),
      new EscalationCheck(policy),
    ]);

    // What is answered.
    const kubelets = new KubeletProxy({
      store,
      identity: credentials.kubeletClient,
      authorityPem: credentials.authority.certificatePem,
    });
    const tokenRequests = new TokenRequests({ tokens, objects, audiences, now });
    const readiness = new Map([['started', () => (this.#ready ? undefined : 'not listening yet')]]);
    const handlers = new Routes({
      registry,
      authenticator,
      policy,
      resources: new Resources({ store, admission, now }),
      subresources: new Subresources({ store, admission, tokens: tokenRequests, kubelets }),
      reviews: new Reviews({ authenticator, policy }),
      paths: new Paths({
        discovery: new Discovery(registry, serverAddress(options.endpoint)),
        openApi: new OpenApi(registry, VERSION.gitVersion),
        tokens,
        version: VERSION,
        readiness,
      }),
    });

    // The wire.
    this.#server = new ApiHttpServer({
      identity: credentials.server,
      clientAuthorityPem: credentials.authority.certificatePem,
      listen: options.listen,
      handlers,
      logger,
    });
  }

  /** Listens; answers the addresses, in the order of the options. */
  async start(): Promise<readonly { address: string; port: number }[]> {
    const addresses = await this.#server.start();
    this.#ready = true;
    return addresses;
  }

  async stop(): Promise<void> {
    this.#ready = false;
    await this.#server.stop();
  }
}

function serverAddress(endpoint: ServerEndpoint | undefined): string {
  return endpoint === undefined ? '127.0.0.1:443' : `${endpoint.address}:${endpoint.port}`;
}
