import { readFileSync } from 'node:fs';

import { IstioCertificateService } from '#api/gen/ca_pb.ts';
import { AggregatedDiscoveryService } from '#api/gen/discovery_pb.ts';
import { type BackoffPlan, backoffMs } from '#common/backoff.ts';
import { systemClock } from '#common/clock.ts';
import { GrpcServer } from '#common/grpc/server.ts';
import type { AdminServer } from '#common/http/admin-server.ts';
import { LogLevels } from '#common/log/filter.ts';
import { Logger } from '#common/log/logger.ts';
import { LineWriter } from '#common/log/writer.ts';
import { processFamilies } from '#common/metrics/process.ts';
import { MetricsRegistry } from '#common/metrics/registry.ts';
import { letYoungGenerationGrow } from '#common/young-generation.ts';
import { KubeClient } from '#kube/client.ts';
import { inClusterCredentials, kubeconfigCredentials } from '#kube/config.ts';
import { LeaderElection } from '#kube/lease.ts';
import { reviewToken } from '#kube/token-review.ts';

import { openAdmin } from './admin/server.ts';
import type { SigningView } from './ca/authorize.ts';
import { SigningCounters } from './ca/counters.ts';
import type { CertificateRoot } from './ca/root.ts';
import { keptRoot } from './ca/root-secret.ts';
import { CertificateService } from './ca/service.ts';
import type { Config } from './config.ts';
import { bindingStatuses } from './controllers/binding-status.ts';
import { GatewayClasses } from './controllers/gateway-classes.ts';
import { policyStatuses, waypointPolicyStatuses } from './controllers/policy-status.ts';
import { RootCertificates } from './controllers/root-certificates.ts';
import { routeStatuses } from './controllers/route-status.ts';
import { WaypointDeployments } from './controllers/waypoint-deployment.ts';
import { type InputCollections, newInputCollections } from './inputs/collections.ts';
import { ClusterWatch } from './inputs/watch.ts';
import type { Index, Readable } from './krt/core.ts';
import { Graph } from './krt/graph.ts';
import type { PodRecord } from './model/pod.ts';
import { Debounce } from './push/debounce.ts';
import { PushQueue } from './push/queue.ts';
import { limitReviews, type TokenReviewer } from './serve/authenticate.ts';
import { DiscoveryCounters } from './serve/counters.ts';
import { DiscoveryService } from './serve/discovery.ts';
import {
  ADDRESS_TYPE,
  AUTHORIZATION_TYPE,
  ROUTE_TYPE,
  WAYPOINT_POLICY_TYPE,
} from './serve/generators.ts';
import { ServerCertificates, serverNames } from './serve/server-certificate.ts';
import { deriveMesh, type Mesh } from './translate/derive-mesh.ts';

/** The API server may come later than we do; nobody is served by giving up. */
const ROOT_RETRY: BackoffPlan = { firstMs: 250, maxMs: 10_000, spread: 0.2 };
const REQUEST_BYTES_MAX = 4 * 1024 * 1024;
const DRAIN_MS = 5_000;
/** All nodes of a cluster that come again at once; the API server answers some hundred a second. */
const REVIEWS_MAX = 1_000;
/** The Leases of whoever publishes the root, and of whoever writes the status of policies and services. */
const ROOT_LEASE = 'istio-namespace-controller-election';
const STATUS_LEASE = 'istio-status-leader';
/** The Lease, with the revision behind it, of whoever makes waypoints. */
const DEPLOYMENT_LEASE = 'istio-gateway-deployment';
const VERSION = 'ambit';

/** The control plane's parts, and how they are put together. */
export class App {
  readonly #config: Config;
  readonly #log: Logger;
  readonly #writer: LineWriter;
  readonly #client: KubeClient;
  readonly #graph: Graph;
  readonly #inputs: InputCollections;
  readonly #mesh: Mesh;
  readonly #podsOfAccount: Index<PodRecord>;
  readonly #watch: ClusterWatch;
  readonly #queue: PushQueue;
  readonly #discovery: DiscoveryService;
  readonly #discoveryCounters = new DiscoveryCounters();
  readonly #signingCounters = new SigningCounters();
  readonly #debounce: Debounce;
  readonly #closers: (() => Promise<void> | void)[] = [];
  readonly #pending = new Set(['the cluster is read', 'the root is there', 'listening']);
  #stopped = false;

  /** @throws Error when there are no credentials for the API server. */
  constructor(config: Config) {
    this.#config = config;
    const levels = new LogLevels(config.log.filter);
    this.#writer = new LineWriter(1, (lines) => `${lines} lines were lost: the reader is too slow`);
    const { format } = config.log;
    const output = { levels, format, sink: this.#writer, now: () => Date.now() };
    this.#log = new Logger(output, 'istiod');

    // What is watched, and what is derived from it.
    this.#client = new KubeClient({ ...credentials(config), userAgent: 'pilot-discovery' });
    this.#graph = new Graph(({ collection, key, error }) => {
      const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#log.error('a transformation failed', { collection, key, reason });
    });
    this.#inputs = newInputCollections(this.#graph);
    this.#podsOfAccount = this.#inputs.pods.indexBy('account on node', (pod) => [
      accountOnNode(pod.namespace, pod.serviceAccount, pod.node),
    ]);
    this.#mesh = deriveMesh(this.#graph, config.mesh, this.#inputs);
    this.#watch = new ClusterWatch({
      client: this.#client,
      graph: this.#graph,
      collections: this.#inputs,
      domain: config.mesh.domain,
      revision: config.mesh.revision,
      clock: systemClock,
      log: this.#log.scoped('istiod::watch'),
    });

    // Who is told of what has changed.
    this.#queue = new PushQueue({
      elapsed,
      later: (run) => setImmediate(run),
      onTold: (sinceMs, queuedMs) => {
        const nowMs = elapsed();
        this.#discoveryCounters.told(nowMs - queuedMs, nowMs - sinceMs);
      },
    });
    this.#discovery = new DiscoveryService({
      mesh: this.#mesh,
      review: this.#review,
      queue: this.#queue,
      counters: this.#discoveryCounters,
      now: () => Date.now(),
      log: this.#log.scoped('istiod::xds'),
    });
    this.#debounce = new Debounce({
      clock: systemClock,
      elapsed,
      run: (changes, sinceMs) => {
        this.#discoveryCounters.triggered(changes.keys(), elapsed() - sinceMs);
        this.#discovery.changed(changes, sinceMs);
      },
    });
    const told: readonly (readonly [type: string, Readable<unknown>])[] = [
      [ADDRESS_TYPE, this.#mesh.addresses],
      [AUTHORIZATION_TYPE, this.#mesh.policies],
      [ROUTE_TYPE, this.#mesh.waypointRoutes],
      [WAYPOINT_POLICY_TYPE, this.#mesh.waypointPolicies],
    ];
    for (const [type, resources] of told) {
      resources.subscribe((changes) => {
        this.#debounce.add(
          type,
          changes.map(({ key }) => key),
        );
      });
    }
    this.#mesh.verdicts.subscribe((changes) => {
      for (const { after } of changes) {
        if (after?.limitation === undefined) continue;
        const { name: policy, enforced, limitation } = after;
        const line = 'a policy is not enforced as it is written';
        this.#log.warn(line, { policy, enforced, limitation });
      }
    });
    this.#mesh.waypointPolicyVerdicts.subscribe((changes) => {
      for (const { after } of changes) {
        if (after === undefined || after.reason === 'Accepted') continue;
        const { name: policy, bound, reason, message } = after;
        const line = 'a policy for waypoints is not enforced as it is written';
        this.#log.warn(line, { policy, bound, reason, message });
      }
    });
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Starts everything and answers when it serves. @throws Error when it can't. */
  async start(): Promise<void> {
    const { config, log } = { config: this.#config, log: this.#log };
    const held = this.#graph.hold();
    const signing = { root: undefined as CertificateRoot | undefined };
    const admin = await this.#openAdmin(signing);
    this.#watch.start();
    this.#closers.push(() => this.#watch[Symbol.dispose]());

    const root = await this.#root();
    signing.root = root;
    this.#pending.delete('the root is there');
    this.#write(ROOT_LEASE, () => this.#publish(root));

    await this.#watch.synced();
    held[Symbol.dispose]();
    this.#pending.delete('the cluster is read');
    log.info('the cluster is read', {
      pods: this.#inputs.pods.size,
      services: this.#inputs.services.size,
      policies: this.#mesh.policies.size,
    });

    if (config.policyStatus) {
      this.#write(STATUS_LEASE, () => {
        const options = { clock: systemClock, log: log.scoped('istiod::status') };
        const writers = new DisposableStack();
        writers.use(policyStatuses(this.#client, this.#mesh.verdicts, options));
        writers.use(
          waypointPolicyStatuses(this.#client, this.#mesh.waypointPolicyVerdicts, options),
        );
        writers.use(bindingStatuses(this.#client, this.#mesh.bindings, options));
        writers.use(routeStatuses(this.#client, this.#mesh.routeVerdicts, options));
        return writers;
      });
    }
    this.#write(`${DEPLOYMENT_LEASE}-${config.mesh.revision}`, () => this.#makeWaypoints());
    const port = await this.#listen(root);
    this.#pending.delete('listening');
    const [http, monitoring] = admin.map(({ ports }) => ports[0]);
    letYoungGenerationGrow();
    log.info('serving', { discovery: port, http, monitoring, revision: config.mesh.revision });
  }

  /** Clients are told to go elsewhere; what is under way gets a few seconds. */
  async stop(reason: string): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#pending.add('stopping');
    this.#log.info('stopping', { reason });
    this.#debounce[Symbol.dispose]();
    for (const close of this.#closers.toReversed()) await close();
    this.#client.close();
    await this.#writer.flush();
  }

  readonly #review: TokenReviewer = limitReviews(
    (token) => reviewToken(this.#client, token, this.#config.tokenAudiences),
    REVIEWS_MAX,
  );

  async #root(): Promise<CertificateRoot> {
    const { systemNamespace: namespace, trustDomain: organization } = this.#config.mesh;
    for (let failures = 1; ; failures++) {
      try {
        return await keptRoot(this.#client, { namespace, organization, clock: systemClock });
      } catch (error) {
        const retryMs = backoffMs(ROOT_RETRY, failures, Math.random);
        const message = error instanceof Error ? error.message : String(error);
        this.#log.error('no root', { message, retry_ms: Math.round(retryMs) });
        await new Promise<void>((resolve) => {
          setTimeout(resolve, retryMs);
        });
      }
    }
  }

  /** Writes what others read, until the answer of `begin` is disposed: one control plane of several does. */
  #write(lease: string, begin: () => Disposable): void {
    const { candidate: identity, mesh } = this.#config;
    if (identity === undefined) {
      const writer = begin();
      this.#closers.push(() => writer[Symbol.dispose]());
      return;
    }
    const election = new LeaderElection(this.#client, {
      namespace: mesh.systemNamespace,
      name: lease,
      identity,
      clock: systemClock,
      log: this.#log.scoped('istiod::leases'),
      lead: (signal) => {
        const writer = begin();
        signal.addEventListener('abort', () => writer[Symbol.dispose]());
      },
    });
    election.start();
    this.#closers.push(() => election.stop());
  }

  #publish({ certificatePem: rootPem }: CertificateRoot): Disposable {
    const log = this.#log.scoped('istiod::roots');
    const publisher = new RootCertificates(this.#client, { rootPem, clock: systemClock, log });
    publisher.start();
    return publisher;
  }

  #makeWaypoints(): Disposable {
    const { gatewayPlans: plans } = this.#mesh;
    const { gatewayClasses: classes } = this.#inputs;
    const options = {
      client: this.#client,
      clock: systemClock,
      log: this.#log.scoped('istiod::gateways'),
    };
    const writers = new DisposableStack();
    writers.use(new GatewayClasses({ ...options, classes }));
    writers.use(new WaypointDeployments({ ...options, plans }));
    return writers;
  }

  async #listen(root: CertificateRoot): Promise<number> {
    const { ca, mesh, connectionAgeMs, host, ports } = this.#config;
    const grpc = new GrpcServer({ receivedMessageBytesMax: REQUEST_BYTES_MAX, connectionAgeMs });
    const certificates = new CertificateService({
      root,
      view: this.#signingView(),
      review: this.#review,
      onPodChange: (run) => this.#inputs.pods.subscribe(() => run()),
      lifeMs: ca.lifeMs,
      counters: this.#signingCounters,
      clock: systemClock,
      log: this.#log.scoped('istiod::ca'),
    });
    grpc.addUnary(IstioCertificateService.method.createCertificate, (request, context) =>
      certificates.createCertificate(request, context),
    );
    grpc.addStreaming(
      AggregatedDiscoveryService.method.deltaAggregatedResources,
      (context, outlet) => this.#discovery.serve(context, outlet),
    );
    const own = new ServerCertificates({
      root,
      names: serverNames(mesh.systemNamespace, mesh.revision, ca.customHosts),
      clock: systemClock,
    });
    const port = await grpc.listen(host, ports.discovery, own.issue());
    own.renew((certificate) => grpc.replaceCertificate(certificate));
    this.#closers.push(
      () => own[Symbol.dispose](),
      async () => {
        const closed = grpc.close(DRAIN_MS);
        // They would go on for ever; what is short may finish.
        this.#discovery.endAll();
        await closed;
      },
    );
    return port;
  }

  #signingView(): SigningView {
    const { pods } = this.#inputs;
    return {
      trustDomain: this.#config.mesh.trustDomain,
      trustedNodeAccounts: this.#config.ca.trustedNodeAccounts,
      pod: (key) => pods.get(key),
      podsOf: (namespace, account, node) =>
        this.#podsOfAccount.lookup(accountOnNode(namespace, account, node)),
    };
  }

  async #openAdmin(signing: {
    readonly root: CertificateRoot | undefined;
  }): Promise<readonly AdminServer[]> {
    const metrics = new MetricsRegistry([
      ...processFamilies(),
      ...this.#discoveryCounters.families({
        clients: () => this.#discovery.clients.size,
        waiting: () => this.#queue.size,
        services: () => this.#inputs.services.size,
        version: VERSION,
      }),
      ...this.#signingCounters.families(
        () => signing.root?.notAfterMs ?? 0,
        () => Date.now(),
      ),
    ]);
    const servers: readonly AdminServer[] = await openAdmin({
      host: this.#config.host,
      ports: this.#config.ports,
      metrics,
      graph: this.#graph,
      clients: () => this.#discovery.clients,
      pending: () => [...this.#pending],
      log: this.#log.scoped('istiod::admin'),
    });
    for (const server of servers) this.#closers.push(() => server.close());
    return servers;
  }
}

function accountOnNode(namespace: string, account: string, node: string): string {
  return `${namespace}/${account}/${node}`;
}

function credentials({ kubeconfigPath }: Config) {
  return kubeconfigPath === undefined
    ? inClusterCredentials()
    : kubeconfigCredentials(readFileSync(kubeconfigPath, 'utf8'));
}

function elapsed(): number {
  return performance.now();
}
