import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';

import { LogLevels, parseLogFilter } from '#common/log/filter.ts';
import { Logger } from '#common/log/logger.ts';
import { LineWriter } from '#common/log/writer.ts';
import { KubeClient } from '#kube/client.ts';
import { Informer } from '#kube/informer.ts';
import { ENDPOINT_SLICES, PODS } from '#kube/resources.ts';

import { ApiAccess, serviceInformer } from './api-access.ts';
import type { ClusterAccess } from './cluster-access.ts';
import { CniRunner } from './cni-runner.ts';
import type { KubeletConfig } from './config.ts';
import { DnsServer } from './dns-server.ts';
import { Kubelet } from './kubelet.ts';
import { KubeletServer } from './kubelet-server.ts';
import { NodeRegistration } from './node-registration.ts';
import { MACHINE_ROOT } from './node-root.ts';
import type { NodeContext } from './pod-context.ts';
import { type RootEntry, wantedEntries } from './root-filesystem.ts';
import { ServiceProxy } from './service-proxy.ts';
import { StandaloneAccess } from './standalone-access.ts';

const CNI_CONFIG_DIRECTORY = '/etc/cni/net.d';
const CNI_PLUGIN_DIRECTORY = '/opt/cni/bin';
/** Where a kubelet listens. */
const PORT = 10_250;
/** Pods that end with their node have little time to do so. */
const STOP_GRACE_SECONDS = 2;

/** A node: its kubelet, its service proxy and its name server, in one process. */
export class NodeApp {
  readonly #log: Logger;
  readonly #writer: LineWriter;
  readonly #kubelet: Kubelet;
  readonly #server: KubeletServer;
  readonly #stops: (() => void)[] = [];

  constructor(config: KubeletConfig) {
    this.#writer = new LineWriter(1, (lines) => `${lines} lines of the kubelet's log are missing`);
    this.#log = logger(this.#writer);
    const cni = new CniRunner(CNI_CONFIG_DIRECTORY, CNI_PLUGIN_DIRECTORY);
    const base = nodeFacts(config, cni, this.#log);
    const { apiServer } = config;
    if (apiServer === undefined) {
      const access = new StandaloneAccess(config.manifests ?? '', this.#log);
      this.#kubelet = new Kubelet({ ...base, access });
      access.follow(this.#kubelet);
    } else {
      const client = new KubeClient({
        server: apiServer.url,
        caPem: config.authorityPem,
        clientCertificatePem: config.certificatePem,
        clientKeyPem: config.privateKeyPem,
        userAgent: 'kubelet',
      });
      this.#kubelet = this.#connect(config, client, base);
    }
    this.#server = new KubeletServer(this.#kubelet, config, this.#log.scoped('server'));
  }

  async start(): Promise<void> {
    await this.#server.listen(PORT);
    this.#log.info('the node is there');
  }

  async stop(): Promise<void> {
    for (const stop of this.#stops) stop();
    await this.#kubelet.stop(STOP_GRACE_SECONDS);
    await this.#writer.flush();
  }

  /** Everything that has to do with the API server. */
  #connect(config: KubeletConfig, client: KubeClient, base: Omit<NodeContext, 'access'>): Kubelet {
    const services = serviceInformer(client, this.#log);
    const slices = new Informer(client, ENDPOINT_SLICES, { log: this.#log });
    const access: ClusterAccess = new ApiAccess(client, config.nodeName, services, this.#log);
    const kubelet = new Kubelet({ ...base, access });
    const fieldSelector = `spec.nodeName=${config.nodeName}`;
    const pods = new Informer(client, PODS, { fieldSelector, log: this.#log });
    pods.on({
      added: (pod) => kubelet.put(pod),
      changed: (pod) => kubelet.put(pod),
      removed: (pod) => kubelet.remove(pod),
    });
    const registration = new NodeRegistration(
      client,
      { ...base, podRange: config.podRange, port: PORT },
      () => networkProblem(base.cni),
      this.#log,
    );
    const proxy = new ServiceProxy(services, slices, config, this.#log.scoped('proxy'));
    const dns = new DnsServer(services, slices, config, this.#log.scoped('dns'));
    services.start();
    slices.start();
    registration.start();
    proxy.start();
    dns.start();
    // A container must find the services that are there already in its environment.
    void services.synced.then(() => pods.start());
    this.#stops.push(() => {
      pods.stop();
      registration.stop();
      proxy.stop();
      dns.stop();
      services.stop();
      slices.stop();
    });
    return kubelet;
  }
}

function nodeFacts(
  config: KubeletConfig,
  cni: CniRunner,
  log: Logger,
): Omit<NodeContext, 'access'> {
  return {
    name: config.nodeName,
    address: config.address,
    cpus: availableParallelism(),
    memoryBytes: totalmem(),
    userNamespace: config.userNamespace,
    hasOtherIds: hasOtherIds(readFileSync('/proc/self/uid_map', 'utf8')),
    clusterDomain: config.clusterDomain,
    clusterDns: config.clusterDns,
    entries: wantedEntries(rootEntries(MACHINE_ROOT)),
    cgroups: config.cgroups,
    images: new Map(Object.entries(config.images)),
    cni,
    log,
  };
}

function networkProblem(cni: CniRunner): string | undefined {
  const chosen = cni.network();
  if (chosen.kind === 'ok') return undefined;
  return `container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: ${chosen.why}`;
}

/** What is in a root directory. */
export function rootEntries(root: string): readonly RootEntry[] {
  const entries: RootEntry[] = [];
  for (const entry of readdirSync(root === '' ? '/' : root, { withFileTypes: true })) {
    const { name } = entry;
    if (entry.isDirectory()) entries.push({ kind: 'directory', name });
    else if (entry.isSymbolicLink()) {
      entries.push({ kind: 'symlink', name, target: readlinkSync(`${root}/${name}`) });
    }
  }
  return entries;
}

/** A user namespace of a plain user has one id: `0 1000 1`. */
function hasOtherIds(uidMap: string): boolean {
  return uidMap
    .trim()
    .split('\n')
    .some((line) => Number(line.trim().split(/\s+/)[2]) > 1);
}

function logger(sink: LineWriter): Logger {
  const filter = parseLogFilter('info');
  if (filter.kind === 'refused') throw new Error(filter.problem);
  const levels = new LogLevels(filter.filter);
  return new Logger({ levels, format: 'text', sink, now: () => Date.now() }, 'kubelet');
}
