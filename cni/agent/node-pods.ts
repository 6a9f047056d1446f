import type { BackoffPlan } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import type { Logger } from '#common/log/logger.ts';
import { WorkQueue } from '#common/work-queue.ts';
import type { KubeClient } from '#kube/client.ts';
import { KubeError } from '#kube/errors.ts';
import { Informer } from '#kube/informer.ts';
import { NAMESPACES, type Namespace, PODS, type Pod, type StringMap } from '#kube/resources.ts';

import type { Enrolment, EnrolmentResult } from './enrolment.ts';
import {
  hasUid,
  type Membership,
  type MembershipSettings,
  membershipOf,
  nextStep,
  type Step,
} from './membership.ts';

export interface NodePodsOptions {
  readonly client: KubeClient;
  readonly nodeName: string;
  readonly settings: MembershipSettings;
  readonly enrolment: Enrolment;
  readonly clock: Clock;
  readonly log: Logger;
  /** Something was done about a pod. */
  readonly onStep: (step: Exclude<Step, 'nothing'>) => void;
}

/** Pods that are worked on at a time; most of the work is waiting for the node tunnel and for `nft`. */
const PARALLEL = 8;
/** A pod whose enrolment fails: soon at first, and never less often than this. */
const RETRY: BackoffPlan = { firstMs: 100, maxMs: 10_000, spread: 0.2 };
/** How long a pod that a plugin names may be unknown: the kubelet may have heard of it before us. */
const UNKNOWN_POD_MS = 2_000;
const UNKNOWN_POD_POLL_MS = 20;
/** A question to the API server while a pod waits to start. */
const ASK_TIMEOUT_MS = 1_000;

/** The pods of this node as the API server has them, each brought to where it belongs whenever something about it changes. */
export class NodePods {
  readonly #options: NodePodsOptions;
  readonly #pods: Informer<Pod>;
  readonly #namespaces: Informer<Namespace>;
  readonly #queue: WorkQueue;
  readonly #byUid = new Map<string, Pod>();
  readonly #waiting = new Set<() => void>();
  #isStarted = false;

  constructor(options: NodePodsOptions) {
    this.#options = options;
    const { client, nodeName, log, clock } = options;
    this.#pods = new Informer(client, PODS, {
      fieldSelector: `spec.nodeName=${nodeName}`,
      transform: slimPod,
      log,
    });
    this.#namespaces = new Informer(client, NAMESPACES, { transform: slimNamespace, log });
    this.#queue = new WorkQueue({
      clock,
      parallel: PARALLEL,
      backoff: RETRY,
      work: (uid) => this.#reconcile(uid),
      onFailure: (uid, error, failures, retryMs) => {
        const pod = this.#byUid.get(uid);
        log.warn('a pod is not yet where it belongs', {
          pod: pod === undefined ? uid : nameOf(pod),
          why: error instanceof Error ? error.message : String(error),
          failures,
          retry_ms: Math.round(retryMs),
        });
      },
    });
  }

  /** Settles when all pods and namespaces are known. Nothing is done about them before {@link start}. */
  async sync(): Promise<void> {
    this.#pods.on({
      added: (pod) => this.#put(pod),
      changed: (pod) => this.#put(pod),
      removed: (pod) => this.#remove(pod),
    });
    this.#namespaces.on({
      added: (namespace) => this.#onNamespace(namespace),
      changed: (namespace, before) => {
        if (JSON.stringify(namespace.metadata.labels) !== JSON.stringify(before.metadata.labels)) {
          this.#onNamespace(namespace);
        }
      },
      removed: () => undefined,
    });
    this.#pods.start();
    this.#namespaces.start();
    await Promise.all([this.#pods.synced, this.#namespaces.synced]);
  }

  /** Brings every pod to where it belongs, from now on. */
  start(): void {
    this.#isStarted = true;
    for (const uid of this.#byUid.keys()) this.#queue.add(uid);
  }

  stop(): void {
    this.#pods.stop();
    this.#namespaces.stop();
    this.#queue.stop();
  }

  list(): readonly Pod[] {
    return [...this.#byUid.values()];
  }

  byUid(uid: string): Pod | undefined {
    return this.#byUid.get(uid);
  }

  /** Has a pod looked at again, soon. */
  requeue(uid: string): void {
    if (this.#isStarted) this.#queue.add(uid);
  }

  /** Undefined when there is none of this name. */
  namespace(name: string): Namespace | undefined {
    return this.#namespaces.get(name);
  }

  membership(pod: Pod): Membership {
    const namespace = this.#namespaces.get(pod.metadata.namespace ?? '');
    return this.#membershipIn(pod, namespace);
  }

  /**
   * Whether a pod that is about to start belongs to the mesh. One that seems not to is asked about: a label that was set
   * just before the pod was made may not have got here yet.
   */
  async freshMembership(pod: Pod): Promise<Membership> {
    const known = this.membership(pod);
    if (known === 'member') return known;
    try {
      const labels = await this.#askForNamespace(pod.metadata.namespace ?? '');
      return this.#membershipIn(pod, labels);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#options.log.warn('cannot ask for the labels of a namespace', { pod: nameOf(pod), why });
      return known;
    }
  }

  /** The pod that a plugin names, waiting a moment for it; undefined when it does not come to be known. */
  async waitFor(
    namespace: string,
    name: string,
    uid: string | undefined,
  ): Promise<Pod | undefined> {
    const { clock } = this.#options;
    const deadlineMs = clock.now() + UNKNOWN_POD_MS;
    for (;;) {
      const pod = this.#pods.get(`${namespace}/${name}`);
      const isThat = pod !== undefined && (uid === undefined || hasUid(pod, uid));
      if (isThat && pod.metadata.deletionTimestamp === undefined) return pod;
      if (clock.now() >= deadlineMs) return undefined;
      await this.#nextChange();
    }
  }

  async #askForNamespace(name: string): Promise<Namespace | undefined> {
    const { client, clock } = this.#options;
    const { promise, reject } = Promise.withResolvers<never>();
    using _ = clock.setTimer(ASK_TIMEOUT_MS, () => reject(new Error('no answer in time')));
    try {
      return await Promise.race([client.get(NAMESPACES, name), promise]);
    } catch (error) {
      if (error instanceof KubeError && error.code === 404) return undefined;
      throw error;
    }
  }

  #membershipIn(pod: Pod, namespace: Namespace | undefined): Membership {
    const labels: StringMap | undefined = namespace && (namespace.metadata.labels ?? {});
    return membershipOf(pod, labels, this.#options.settings);
  }

  async #reconcile(uid: string): Promise<void> {
    const { enrolment, log, onStep } = this.#options;
    const pod = this.#byUid.get(uid);
    const membership = pod === undefined ? 'ended' : this.membership(pod);
    const step = nextStep(pod, membership, enrolment.standing(uid));
    if (step === 'nothing') return;
    const result = await this.#take(step, uid, pod);
    if (result.kind === 'failed') throw new Error(result.reason);
    onStep(step);
    if (step !== 'refresh')
      log.info(DONE[step], { pod: pod === undefined ? uid : nameOf(pod), uid });
  }

  async #take(
    step: Exclude<Step, 'nothing'>,
    uid: string,
    pod: Pod | undefined,
  ): Promise<EnrolmentResult> {
    const { enrolment } = this.#options;
    if (pod === undefined || step === 'forget') return enrolment.forget(uid, pod);
    return enrolment[step](pod);
  }

  #put(pod: Pod): void {
    const { uid = '' } = pod.metadata;
    this.#byUid.set(uid, pod);
    this.requeue(uid);
    this.#wake();
  }

  #remove(pod: Pod): void {
    const { uid = '' } = pod.metadata;
    this.#byUid.delete(uid);
    this.requeue(uid);
  }

  #onNamespace({ metadata }: Namespace): void {
    for (const [uid, pod] of this.#byUid) {
      if (pod.metadata.namespace === metadata.name) this.requeue(uid);
    }
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }

  #nextChange(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#options.clock.setTimer(UNKNOWN_POD_POLL_MS, () => resolve());
    this.#waiting.add(resolve);
    return promise.finally(() => {
      timer[Symbol.dispose]();
      this.#waiting.delete(resolve);
    });
  }
}

const DONE: Readonly<Record<'enrol' | 'release' | 'forget', string>> = {
  enrol: 'a running pod is in the mesh',
  release: 'a pod has left the mesh',
  forget: 'a pod of the mesh has ended',
};

export function nameOf({ metadata }: Pod): string {
  return `${metadata.namespace}/${metadata.name}`;
}

/** What of a pod is read here; a node may have some hundred. */
function slimPod({ apiVersion, kind, metadata, spec, status }: Pod): Pod {
  const { managedFields: _managed, ownerReferences: _owners, ...kept } = metadata;
  const { hostNetwork, serviceAccountName, nodeName } = spec;
  return {
    apiVersion,
    kind,
    metadata: kept,
    spec: {
      containers: [],
      ...(hostNetwork === undefined ? {} : { hostNetwork }),
      ...(serviceAccountName === undefined ? {} : { serviceAccountName }),
      ...(nodeName === undefined ? {} : { nodeName }),
    },
    ...(status === undefined
      ? {}
      : {
          status: {
            ...(status.phase === undefined ? {} : { phase: status.phase }),
            ...(status.podIP === undefined ? {} : { podIP: status.podIP }),
            ...(status.podIPs === undefined ? {} : { podIPs: status.podIPs }),
          },
        }),
  };
}

function slimNamespace({ apiVersion, kind, metadata }: Namespace): Namespace {
  const { managedFields: _, ...kept } = metadata;
  return { apiVersion, kind, metadata: kept };
}
