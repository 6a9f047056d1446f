// A control plane as a process of its own, on an API server of the playground, for tests.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { parseAllDocuments } from 'yaml';

import { KubeClient } from '#kube/client.ts';
import {
  CRDS,
  type KubeObject,
  NAMESPACES,
  NODES,
  PODS,
  type Pod,
  SECRETS,
  SERVICE_ACCOUNTS,
} from '#kube/resources.ts';

import { startApiServer, type TestApiServer } from './api-server.ts';

interface TokenAnswer {
  readonly status: { readonly token: string };
}

const RBAC = '/apis/rbac.authorization.k8s.io/v1';
/** Kinds of what a service account is and may → where such objects are created. */
const PERMISSIONS: ReadonlyMap<string, string> = new Map([
  ['ServiceAccount', '/api/v1/namespaces/istio-system/serviceaccounts'],
  ['ClusterRole', `${RBAC}/clusterroles`],
  ['ClusterRoleBinding', `${RBAC}/clusterrolebindings`],
  ['Role', `${RBAC}/namespaces/istio-system/roles`],
  ['RoleBinding', `${RBAC}/namespaces/istio-system/rolebindings`],
]);

/** The cluster: what a control plane runs in. */
export class TestCluster implements AsyncDisposable {
  readonly server: TestApiServer;
  readonly client: KubeClient;

  /** With the nodes, and a node proxy on each of them. */
  static async start(nodes: readonly string[]): Promise<TestCluster> {
    const cluster = new TestCluster(await startApiServer());
    await cluster.addNamespace('istio-system');
    await cluster.#permit();
    await cluster.define('security.istio.io', 'AuthorizationPolicy', 'authorizationpolicies');
    await cluster.define('security.istio.io', 'PeerAuthentication', 'peerauthentications');
    for (const name of nodes) {
      await cluster.client.create(NODES, { apiVersion: 'v1', kind: 'Node', metadata: { name } });
      const account = { namespace: 'istio-system', serviceAccount: 'ztunnel' };
      await cluster.addPod(`ztunnel-${name}`, { ...account, node: name, ip: '172.18.0.9' });
    }
    return cluster;
  }

  private constructor(server: TestApiServer) {
    this.server = server;
    this.client = new KubeClient(server.access());
  }

  async addNamespace(name: string): Promise<void> {
    await this.client.create(NAMESPACES, {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name },
    });
  }

  /** A pod that is running and ready, with its service account. */
  async addPod(
    name: string,
    where: {
      readonly namespace: string;
      readonly serviceAccount: string;
      readonly node: string;
      readonly ip: string;
      readonly labels?: Readonly<Record<string, string>>;
    },
  ): Promise<Pod> {
    const { namespace, serviceAccount, node, ip, labels = {} } = where;
    await this.client
      .create(SERVICE_ACCOUNTS, {
        apiVersion: 'v1',
        kind: 'ServiceAccount',
        metadata: { name: serviceAccount, namespace },
      })
      // Several pods share one.
      .catch(() => undefined);
    await this.client.create(PODS, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name,
        namespace,
        labels,
        annotations: { 'ambient.istio.io/redirection': 'enabled' },
      },
      spec: {
        nodeName: node,
        serviceAccountName: serviceAccount,
        containers: [{ name: 'main', image: 'ambit/echo' }],
      },
    });
    const status = {
      phase: 'Running',
      podIP: ip,
      podIPs: [{ ip }],
      conditions: [{ type: 'Ready', status: 'True' }],
    };
    const type = 'merge';
    return this.client.patch(PODS, name, namespace, { status }, { type, subresource: 'status' });
  }

  /** A token of the account of a pod, bound to it unless told otherwise. */
  async token(
    pod: { readonly name: string; readonly namespace: string; readonly serviceAccount: string },
    options: { readonly audience?: string; readonly bound?: boolean } = {},
  ): Promise<string> {
    const { audience = 'istio-ca', bound = true } = options;
    const boundObjectRef = { kind: 'Pod', apiVersion: 'v1', name: pod.name };
    const answer = await this.client.post<TokenAnswer>(
      SERVICE_ACCOUNTS,
      pod.serviceAccount,
      pod.namespace,
      'token',
      {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: { audiences: [audience], ...(bound ? { boundObjectRef } : {}) },
      },
    );
    return answer.status.token;
  }

  /** The token of the node proxy of a node. */
  proxyToken(node: string): Promise<string> {
    const name = `ztunnel-${node}`;
    return this.token({ name, namespace: 'istio-system', serviceAccount: 'ztunnel' });
  }

  /** The mesh's root, when a control plane has made it. */
  async rootPem(): Promise<string> {
    const { data = {} } = await this.client.get(SECRETS, 'istio-ca-secret', 'istio-system');
    return Buffer.from(data['root-cert.pem'] ?? '', 'base64').toString('utf8');
  }

  /** A custom kind, whatever is in its objects. */
  async define(group: string, kind: string, plural: string): Promise<void> {
    const anything = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
    const schema = {
      openAPIV3Schema: {
        type: 'object',
        properties: { spec: anything, status: anything },
      },
    };
    await this.client.create(CRDS, {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: `${plural}.${group}` },
      spec: {
        group,
        scope: 'Namespaced',
        names: { kind, plural, singular: kind.toLowerCase(), listKind: `${kind}List` },
        versions: [
          { name: 'v1', served: true, storage: true, schema, subresources: { status: {} } },
        ],
      },
    });
  }

  /** A file that signs in as the control plane's service account. */
  async istiodKubeconfig(): Promise<string> {
    const spec = { expirationSeconds: 3_600 };
    const { status } = await this.client.post<TokenAnswer>(
      SERVICE_ACCOUNTS,
      'istiod',
      'istio-system',
      'token',
      { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec },
    );
    const { caPem, server } = this.server.access();
    const ca = Buffer.from(caPem).toString('base64');
    const path = join(this.server.directory, 'istiod-kubeconfig');
    // JSON is YAML.
    const config = {
      'current-context': 'c',
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'istiod' } }],
      clusters: [{ name: 'c', cluster: { server, 'certificate-authority-data': ca } }],
      users: [{ name: 'istiod', user: { token: status.token } }],
    };
    writeFileSync(path, JSON.stringify(config), { mode: 0o600 });
    return path;
  }

  /** The control plane's account, and what the manifests let it do: no more than that is needed. */
  async #permit(): Promise<void> {
    const documents = parseAllDocuments(readFileSync('manifests/20-istiod.yaml', 'utf8'));
    for (const document of documents) {
      const object = document.toJS() as KubeObject;
      const path = PERMISSIONS.get(object.kind);
      if (path !== undefined) await this.client.request('POST', path, object);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.close();
    await this.server[Symbol.asyncDispose]();
  }
}

/** A running `istiod/main.ts`. */
export class TestIstiod implements AsyncDisposable {
  readonly ports: {
    readonly discovery: number;
    readonly http: number;
    readonly monitoring: number;
  };
  readonly lines: string[];
  readonly #child: ChildProcess;

  /** Settles when it serves; port 0: a free one. */
  static async start(
    cluster: TestCluster,
    settings: Readonly<Record<string, string>> = {},
  ): Promise<TestIstiod> {
    const child = spawn(process.execPath, ['istiod/main.ts'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: {
        ...process.env,
        KUBECONFIG: await cluster.istiodKubeconfig(),
        LISTEN_HOST: '127.0.0.1',
        DISCOVERY_PORT: '0',
        HTTP_PORT: '0',
        MONITORING_PORT: '0',
        LOG_FORMAT: 'json',
        ...settings,
      },
    });
    const lines: string[] = [];
    const ports = Promise.withResolvers<TestIstiod['ports']>();
    createInterface({ input: child.stdout }).on('line', (line) => {
      lines.push(line);
      const { message, discovery = 0, http = 0, monitoring = 0 } = JSON.parse(line) as LogLine;
      if (message === 'serving') ports.resolve({ discovery, http, monitoring });
    });
    child.once('exit', (code) => {
      ports.reject(new Error(`istiod has ended with ${code}:\n${lines.join('\n')}`));
    });
    return new TestIstiod(child, lines, await ports.promise);
  }

  private constructor(child: ChildProcess, lines: string[], ports: TestIstiod['ports']) {
    this.#child = child;
    this.lines = lines;
    this.ports = ports;
  }

  get address(): string {
    return `https://127.0.0.1:${this.ports.discovery}`;
  }

  async page(port: 'http' | 'monitoring', path: string): Promise<string> {
    return (await fetch(`http://127.0.0.1:${this.ports[port]}${path}`)).text();
  }

  /** Ends it; answers its exit status. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = once(this.#child, 'exit');
      this.#child.kill(signal);
      await ended;
    }
    return this.#child.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop('SIGKILL');
  }
}

interface LogLine {
  readonly message: string;
  readonly discovery?: number;
  readonly http?: number;
  readonly monitoring?: number;
}
