import { mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { systemClock } from '#common/clock.ts';
import { LogLevels } from '#common/log/filter.ts';
import { Logger } from '#common/log/logger.ts';
import { LineWriter } from '#common/log/writer.ts';
import { KubeClient } from '#kube/client.ts';
import { inClusterCredentials, readKubeconfig } from '#kube/config.ts';
import { EventRecorder } from '#kube/event-recorder.ts';
import type { KubeCredentials } from '#kube/transport.ts';
import { openNetns, selfCheckNetns } from '#linux/netns.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';

import { applyRules, readRules, removeRules } from '../rules/apply.ts';
import { findDifference } from '../rules/compare.ts';
import { annotate } from './annotate.ts';
import { Audit } from './audit.ts';
import type { AgentConfig } from './config.ts';
import { Enrolment } from './enrolment.ts';
import { findNetns, idOf, type NodeFiles, openPodNetns } from './find-netns.ts';
import { hostPath } from './host-path.ts';
import { PLUGIN_TYPE } from './install/conflist.ts';
import { type Farewell, farewellFor } from './install/farewell.ts';
import { Installer } from './install/installer.ts';
import { pluginKubeconfig } from './install/kubeconfig.ts';
import { OwnDaemonSetWatch } from './install/own-daemon-set.ts';
import { podAddresses, REDIRECTION_ANNOTATION } from './membership.ts';
import { NodePods, nameOf } from './node-pods.ts';
import { AgentCounts, openPages } from './pages.ts';
import type { PluginEvent } from './plugin-event.ts';
import { type PluginAnswer, PluginServer } from './plugin-server.ts';
import { rulesForPod } from './pod-rules.ts';
import { ProbeRules } from './probe-rules.ts';
import { ZtunnelServer } from './ztunnel-server.ts';

const PLUGIN_SOCKET = 'pluginevent.sock';
const KUBECONFIG = 'istio-cni-kubeconfig';
const TOKEN_DIRECTORY = '/var/run/secrets/kubernetes.io/serviceaccount';
/** For connections of pods when the mesh goes: within the 30 s that the manifest gives an agent to end, with time to spare. */
const FAREWELL_DRAIN_MS_MAX = 10_000;

const METRIC_TYPE = {
  enrol: 'add',
  refresh: 'update',
  release: 'delete',
  forget: 'delete',
} as const;

const FAREWELL: Readonly<Record<Farewell, string>> = {
  stays: 'another agent is to follow: the CNI plugin and the rules of pods stay',
  unplugs: 'the CNI plugin is taken away; the rules of pods stay',
  uninstalls: 'the mesh goes: the CNI plugin is taken away, and pods leave',
};

/** What has a part in the end. */
interface Leaving {
  readonly daemonSet: OwnDaemonSetWatch;
  readonly pods: NodePods;
  readonly enrolment: Enrolment;
  readonly audit: Audit;
  readonly installer: Installer;
  readonly probes: ProbeRules;
}

/** The node agent: its parts, wired in the order in which they depend on each other. */
export class App {
  readonly #config: AgentConfig;
  readonly #writer: LineWriter;
  readonly #log: Logger;
  readonly #counts = new AgentCounts();
  readonly #ending = Promise.withResolvers<string>();
  /** What there is to say at the end, once everything is served. */
  #farewell: () => Promise<void> = () => Promise.resolve();
  /** In the order in which they were started; stopped in the other. */
  readonly #stops: (() => void | Promise<void>)[] = [];
  #notReady: string | undefined = 'starting';
  #installer: Installer | undefined;

  constructor(config: AgentConfig, warnings: readonly string[]) {
    this.#config = config;
    this.#writer = new LineWriter(1, (lines) => `${lines} lines of the log are missing`);
    const { filter, format } = config.log;
    const output = { levels: new LogLevels(filter), format, sink: this.#writer, now: Date.now };
    this.#log = new Logger(output, 'cni');
    for (const warning of warnings) this.#log.warn(warning);
  }

  /** Serves until {@link shutDown}; a text says why it could not. */
  async run(): Promise<string | undefined> {
    try {
      await this.#start();
      const why = await this.#ending.promise;
      this.#log.info('ending', { reason: why });
      await this.#farewell();
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    } finally {
      for (const stop of this.#stops.toReversed()) await stop();
      await this.#writer.flush();
      this.#writer.flushSync();
    }
  }

  shutDown(why: string): void {
    this.#ending.resolve(why);
  }

  async #start(): Promise<void> {
    const config = this.#config;
    const log = this.#log;
    selfCheckNetns();
    mkdirSync(config.runDirectory, { recursive: true });
    mkdirSync(dirname(config.tunnelSocketPath), { recursive: true });

    // 1. What is needed for everything: the API server, the node's network, its processes.
    const credentials = credentialsFor(config);
    const client = new KubeClient({ ...credentials, userAgent: 'install-cni' });
    this.#stops.push(() => client.close());
    const files: NodeFiles = {
      proc: hostPath(config.hostRoot, '/proc'),
      netnsDirectory: hostPath(config.hostRoot, '/var/run/netns'),
    };
    const hostNetns = join(files.proc, '1/ns/net');
    const hostNetworkFd = openNetns(config.entersHostNetwork ? hostNetns : '/proc/self/ns/net');
    const probes = new ProbeRules(hostNetworkFd, config.probeSources);

    // 2. The node tunnels' socket: bound, not served yet.
    const loop = await openThreadLoop();
    loop.onFault = (error) => log.error('fault on the event loop', { error: String(error) });
    loop.start();
    this.#stops.push(() => loop.stop());
    const tunnels: ZtunnelServer = new ZtunnelServer(loop, {
      path: config.tunnelSocketPath,
      snapshot: () => enrolment.snapshot(),
      onConnected: (count) => {
        this.#counts.tunnels = count;
        log.info('a node tunnel has connected', { connected: count });
        for (const uid of enrolment.uids) {
          if (enrolment.standing(uid) === 'claimed') pods.requeue(uid);
        }
      },
      onDisconnected: (count, why) => {
        this.#counts.tunnels = count;
        log.warn('a node tunnel has gone', { connected: count, why });
      },
      onRefused: (what, reason) => log.warn('the node tunnel refuses', { what, reason }),
    });
    this.#stops.push(() => tunnels.stop());

    // 3. Pods: what belongs to the mesh, and the steps by which it gets there.
    const source = { component: 'istio-cni', host: config.nodeName };
    const events = new EventRecorder({ client, source, log });
    const enrolment: Enrolment = new Enrolment(
      {
        tunnel: tunnels,
        rules: {
          apply: applyRules,
          remove: removeRules,
          findDifference: async (netnsFd, ruleset) => {
            const listing = await readRules(netnsFd, ruleset);
            return listing === undefined ? undefined : findDifference(listing, ruleset);
          },
        },
        netns: {
          open: (path, addresses) => openPodNetns(path, addresses, idOf(hostNetns)),
          find: async (uid, addresses) =>
            (await findNetns(new Map([[uid, addresses]]), files)).get(uid),
        },
        probes,
        annotate: (pod, value) => annotate(client, pod, value),
        tell: (pod, text) => events.record(pod, text),
        rulesOf: (pod) =>
          rulesForPod(pod, config, (problem) => log.warn(problem, { pod: nameOf(pod) })),
        clock: systemClock,
        log,
      },
      { drainMs: config.drainMs },
    );
    const pods = new NodePods({
      client,
      nodeName: config.nodeName,
      settings: {
        excludedNamespaces: new Set(config.excludedNamespaces),
        selectors: config.selectors,
        systemNamespace: config.systemNamespace,
      },
      enrolment,
      clock: systemClock,
      log,
      onStep: (step) => AgentCounts.add(this.#counts.reconciliations, METRIC_TYPE[step]),
    });
    this.#stops.push(
      () => enrolment.stop(),
      () => pods.stop(),
    );

    // 4. The pages: probes see a start that takes long.
    const pages = await openPages({
      healthPort: config.healthPort,
      metricsPort: config.metricsPort,
      counts: this.#counts,
      enrolment,
      notReadyBecause: () => this.#notReady ?? this.#installer?.notInstalledBecause,
      isInstalled: () => this.#installer?.notInstalledBecause === undefined,
      log,
    });
    this.#stops.push(() => pages.close());

    // 5. What was before us: pods that say that they are enrolled.
    this.#notReady = 'the pods of this node are not known yet';
    await pods.sync();
    await this.#claim(pods, enrolment, probes, files);
    await probes.load();

    // 6. From here on everything is served. Node tunnels first: they bring pods back that wait for them.
    tunnels.start();
    pods.start();
    const plugins = new PluginServer({
      path: join(config.runDirectory, PLUGIN_SOCKET),
      answer: (event) => this.#answerPlugin(event, pods, enrolment),
      onAnswered: (status) => AgentCounts.add(this.#counts.pluginRequests, String(status)),
      onError: (error) => log.error('a request of a plugin failed', { error: String(error) }),
    });
    await plugins.start();
    this.#stops.push(() => plugins.stop());
    const audit = new Audit({
      enrolment,
      probes,
      clock: systemClock,
      intervalMs: config.auditMs,
      log,
      onLost: (uid) => pods.requeue(uid),
      onRepaired: (what) => AgentCounts.add(this.#counts.repairs, what),
    });
    audit.start();
    this.#stops.push(() => audit.stop());
    this.#notReady = undefined;

    // 7. The plugin: it is put in place once somebody answers it.
    const installer = this.#createInstaller(credentials);
    this.#installer = installer;
    installer.start();
    this.#stops.push(() => installer.stop());

    // 8. What is left behind at the end.
    const daemonSet = new OwnDaemonSetWatch({
      client,
      namespace: config.podNamespace,
      clock: systemClock,
      log,
    });
    daemonSet.start();
    this.#stops.push(() => daemonSet.stop());
    this.#farewell = () => this.#leave({ daemonSet, pods, enrolment, audit, installer, probes });
    log.info('serving', { node: config.nodeName, pods: pods.list().length });
  }

  async #leave({ daemonSet, pods, enrolment, audit, installer, probes }: Leaving): Promise<void> {
    const { podNamespace, drainMs, install } = this.#config;
    const own = await daemonSet.ask();
    const home = pods.namespace(podNamespace);
    const isHomeGoing = home === undefined || home.metadata.deletionTimestamp !== undefined;
    const farewell = farewellFor({
      own,
      sawItGo: daemonSet.hasGone || isHomeGoing,
      ownsConfig: install.ownedConfigName !== undefined,
      alwaysClean: install.alwaysClean,
    });
    this.#log.info(FAREWELL[farewell]);
    if (farewell === 'stays') return;
    installer.uninstall();
    if (farewell === 'uninstalls') {
      audit.stop();
      pods.stop();
      await enrolment.releaseAll(Math.min(drainMs, FAREWELL_DRAIN_MS_MAX));
    }
    await probes.remove();
  }

  /** Takes up what an agent before this one has enrolled. Whether it still holds is seen when each pod's turn comes. */
  async #claim(
    pods: NodePods,
    enrolment: Enrolment,
    probes: ProbeRules,
    files: NodeFiles,
  ): Promise<void> {
    const enrolled = pods
      .list()
      .filter(({ metadata }) => metadata.annotations?.[REDIRECTION_ANNOTATION] === 'enabled')
      .filter((pod) => pods.membership(pod) !== 'ended');
    const wanted = new Map(enrolled.map((pod) => [pod.metadata.uid ?? '', podAddresses(pod)]));
    const found = await findNetns(wanted, files);
    for (const pod of enrolled) enrolment.claim(pod, found.get(pod.metadata.uid ?? ''));
    // All at once: while one is missing, its probes go the way of other traffic, and a strict policy refuses them.
    for (const [uid, addresses] of wanted) probes.put(uid, addresses);
    if (enrolled.length === 0) return;
    this.#log.info('pods of an agent before this one', {
      pods: enrolled.length,
      without_namespace: enrolled.length - found.size,
    });
  }

  async #answerPlugin(
    event: PluginEvent,
    pods: NodePods,
    enrolment: Enrolment,
  ): Promise<PluginAnswer> {
    const { namespace, name, uid, addresses } = event;
    const who = `${namespace}/${name}`;
    const pod = await pods.waitFor(namespace, name, uid);
    if (pod === undefined) {
      return { kind: 'refused', reason: `pod ${who} is not known to be on this node (yet)` };
    }
    const membership = await pods.freshMembership(pod);
    if (membership === 'outside' && event.agentDecides) return { kind: 'accepted' };
    if (membership !== 'member') {
      const why = membership === 'unknown' ? 'its namespace is not known' : 'it is not eligible';
      return { kind: 'refused', reason: `pod ${who} does not belong to the mesh: ${why}` };
    }
    const netnsPath = hostPath(this.#config.hostRoot, event.netnsPath);
    const result = await enrolment.enrol(pod, { netnsPath, addresses });
    if (result.kind === 'failed') {
      this.#log.warn('a pod cannot start', { pod: who, why: result.reason });
      return { kind: 'refused', reason: result.reason };
    }
    AgentCounts.add(this.#counts.reconciliations, 'add');
    this.#log.info('a new pod is in the mesh', { pod: who, uid: pod.metadata.uid ?? '' });
    return { kind: 'accepted' };
  }

  #createInstaller(credentials: KubeCredentials): Installer {
    const { install, runDirectory, ambientEnabled, excludedNamespaces, podNamespace, selectors } =
      this.#config;
    const project = fileURLToPath(new URL('../..', import.meta.url));
    return new Installer({
      configDirectory: install.configDirectory,
      pluginDirectory: install.pluginDirectory,
      placement: install,
      configMode: install.configMode,
      kubeconfigPath: join(runDirectory, KUBECONFIG),
      kubeconfigMode: install.kubeconfigMode,
      entry: {
        type: PLUGIN_TYPE,
        name: PLUGIN_TYPE,
        plugin_log_level: install.logLevel,
        cni_agent_run_dir: runDirectory,
        ambient_enabled: ambientEnabled,
        enablement_selectors: selectors,
        exclude_namespaces: excludedNamespaces,
        pod_namespace: podNamespace,
      },
      source: {
        project,
        node: process.execPath,
        nodeVersion: process.version,
        onHost: install.hostProgram,
      },
      kubeconfig: () => pluginKubeconfig(credentials),
      watched: this.#config.kubeconfigPath === undefined ? [TOKEN_DIRECTORY] : [],
      clock: systemClock,
      log: this.#log.scoped('cni::install'),
      onAttempt: (result) => AgentCounts.add(this.#counts.installs, result),
    });
  }
}

function credentialsFor({ kubeconfigPath }: AgentConfig): KubeCredentials {
  if (kubeconfigPath === undefined) return inClusterCredentials();
  const directory = dirname(kubeconfigPath);
  return readKubeconfig(readFileSync(kubeconfigPath, 'utf8'), { directory }).credentials;
}
