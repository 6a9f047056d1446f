import { arch, release } from 'node:os';

import type { Logger } from '#common/log/logger.ts';
import type { KubeClient } from '#kube/client.ts';
import { isAlreadyExists, isNotFound } from '#kube/errors.ts';
import { type Condition, LEASES, NODES, type Node } from '#kube/resources.ts';

import { apiTime } from './api-time.ts';

/** What a node tells of itself. */
export interface NodeFacts {
  readonly name: string;
  readonly address: string;
  readonly podRange: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly port: number;
}

/** The kubelet's defaults: the lease is renewed every 10 s, and is good for 40. */
const RENEW_MS = 10_000;
const LEASE_SECONDS = 40;
const PODS_MAX = 110;
const VERSION = 'v1.34.0';

/** Keeps the node's object and lease. */
export class NodeRegistration {
  readonly #client: KubeClient;
  readonly #facts: NodeFacts;
  /** Why the node can't take pods; undefined when it can. */
  readonly #problem: () => string | undefined;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;
  #conditions: readonly Condition[] = [];
  #registered = false;

  constructor(
    client: KubeClient,
    facts: NodeFacts,
    problem: () => string | undefined,
    log: Logger,
  ) {
    this.#client = client;
    this.#facts = facts;
    this.#problem = problem;
    this.#log = log;
  }

  /** Registers the node, and keeps doing what keeps it alive. */
  start(): void {
    void this.#beat();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  async #beat(): Promise<void> {
    let nextMs = RENEW_MS;
    try {
      if (!this.#registered) await this.#register();
      await this.#reportConditions();
      await this.#renew();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#log.warn('the node could not be reported', { why });
      nextMs = 1_000;
    }
    this.#timer = setTimeout(() => void this.#beat(), nextMs);
  }

  async #register(): Promise<void> {
    const { name, podRange } = this.#facts;
    const architecture = goArchitecture();
    const labels = {
      'kubernetes.io/hostname': name,
      'kubernetes.io/os': 'linux',
      'kubernetes.io/arch': architecture,
      'beta.kubernetes.io/os': 'linux',
      'beta.kubernetes.io/arch': architecture,
    };
    const node: Node = {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name, labels },
      spec: { podCIDR: podRange, podCIDRs: [podRange], providerID: `ambit://${name}` },
    };
    try {
      await this.#client.create(NODES, node);
    } catch (error) {
      if (!isAlreadyExists(error)) throw error;
    }
    this.#conditions = [];
    this.#registered = true;
  }

  async #reportConditions(): Promise<void> {
    const now = apiTime();
    const problem = this.#problem();
    const conditions = nodeConditions(problem).map((condition) => {
      const old = this.#conditions.find(({ type }) => type === condition.type);
      const same = old?.status === condition.status;
      return {
        ...condition,
        lastHeartbeatTime: now,
        lastTransitionTime: (same ? old.lastTransitionTime : undefined) ?? now,
      };
    });
    const status = { ...staticStatus(this.#facts), conditions };
    try {
      await this.#client.patch(
        NODES,
        this.#facts.name,
        undefined,
        { status },
        { type: 'merge', subresource: 'status' },
      );
    } catch (error) {
      // Somebody deleted the node: it comes back.
      if (isNotFound(error)) this.#registered = false;
      throw error;
    }
    this.#conditions = conditions;
  }

  async #renew(): Promise<void> {
    const { name } = this.#facts;
    const namespace = 'kube-node-lease';
    const spec = {
      holderIdentity: name,
      leaseDurationSeconds: LEASE_SECONDS,
      renewTime: new Date().toISOString().replace('Z', '000Z'),
    };
    try {
      await this.#client.patch(LEASES, name, namespace, { spec }, { type: 'merge' });
    } catch (error) {
      if (!isNotFound(error)) throw error;
      await this.#client.create(LEASES, {
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: { name, namespace },
        spec,
      });
    }
  }
}

function staticStatus(facts: NodeFacts): Partial<NonNullable<Node['status']>> {
  const capacity = {
    cpu: String(facts.cpus),
    memory: `${Math.floor(facts.memoryBytes / 1024)}Ki`,
    pods: String(PODS_MAX),
  };
  return {
    addresses: [
      { type: 'InternalIP', address: facts.address },
      { type: 'Hostname', address: facts.name },
    ],
    capacity,
    allocatable: capacity,
    daemonEndpoints: { kubeletEndpoint: { Port: facts.port } },
    nodeInfo: {
      architecture: goArchitecture(),
      bootID: '',
      containerRuntimeVersion: 'ambit://0.0.0',
      kernelVersion: release(),
      kubeProxyVersion: VERSION,
      kubeletVersion: VERSION,
      machineID: facts.name,
      operatingSystem: 'linux',
      osImage: 'the machine of the playground',
      systemUUID: facts.name,
    },
  };
}

function nodeConditions(problem: string | undefined): readonly Condition[] {
  return [
    fine('MemoryPressure', 'KubeletHasSufficientMemory', 'kubelet has sufficient memory available'),
    fine('DiskPressure', 'KubeletHasNoDiskPressure', 'kubelet has no disk pressure'),
    fine('PIDPressure', 'KubeletHasSufficientPID', 'kubelet has sufficient PID available'),
    problem === undefined
      ? {
          type: 'Ready',
          status: 'True',
          reason: 'KubeletReady',
          message: 'kubelet is posting ready status',
        }
      : { type: 'Ready', status: 'False', reason: 'KubeletNotReady', message: problem },
  ];
}

function goArchitecture(): string {
  return arch() === 'x64' ? 'amd64' : arch();
}

function fine(type: string, reason: string, message: string): Condition {
  return { type, status: 'False', reason, message };
}
