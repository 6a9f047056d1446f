import { isNotFound } from '#kube/errors.ts';
import { NODES, type Node, PODS, type Pod } from '#kube/resources.ts';

import { withCondition } from './conditions.ts';
import { type ControllerContext, Reconciler } from './controller.ts';
import { evictions, nodeHealth } from './node-health.ts';
import { canonical } from './template-hash.ts';

const LEASES_NAMESPACE = 'kube-node-lease';
// A node that has been deleted may come back, and a watch may lag behind.
const ORPHAN_QUARANTINE_MS = 40_000;

/**
 * Notices nodes that have fallen silent, marks nodes that take no pods, and moves pods away from them. Pods of a node
 * that does not exist have nobody who could end them: they are removed.
 */
export class NodeLifecycleController extends Reconciler {
  readonly #context: ControllerContext;
  /** When a node that pods say they are on was first not there: milliseconds since 1970. */
  readonly #missingSince = new Map<string, number>();

  constructor(context: ControllerContext) {
    super(context, 'node-lifecycle', (key) => this.#reconcile(key));
    this.#context = context;
    const { nodes, leases, pods } = context.watched;
    this.follow(nodes, ({ metadata }) => [metadata.name]);
    this.follow(leases, ({ metadata }) =>
      metadata.namespace === LEASES_NAMESPACE ? [metadata.name] : [],
    );
    this.follow(pods, ({ spec }, other) =>
      spec.nodeName === undefined || other?.spec.nodeName === spec.nodeName ? [] : [spec.nodeName],
    );
  }

  async #reconcile(name: string): Promise<void> {
    const { watched, clock } = this.#context;
    const node = watched.nodes.get(name);
    if (node === undefined) return this.#removeOrphans(name);
    this.#missingSince.delete(name);
    const lease = watched.leases.get(`${LEASES_NAMESPACE}/${name}`);
    const health = nodeHealth(node, lease, clock.now());
    if (health.condition !== undefined) await this.#report(node, health.condition);
    const tainted = await this.#taint(node, health.taints);
    const nextMs = await this.#evict(tainted);
    const next = [health.nextAtMs, nextMs].filter((atMs) => atMs !== undefined);
    if (next.length > 0) this.addAfter(name, Math.max(0, Math.min(...next) - clock.now()));
  }

  async #removeOrphans(nodeName: string): Promise<void> {
    const { client, clock, watched } = this.#context;
    const orphans = watched.pods.list().filter(({ spec }) => spec.nodeName === nodeName);
    if (orphans.length === 0) {
      this.#missingSince.delete(nodeName);
      return;
    }
    const sinceMs = this.#missingSince.get(nodeName) ?? clock.now();
    this.#missingSince.set(nodeName, sinceMs);
    const leftMs = sinceMs + ORPHAN_QUARANTINE_MS - clock.now();
    if (leftMs > 0) return this.addAfter(nodeName, leftMs);
    if (await ifFound(client.get(NODES, nodeName))) return;
    for (const { metadata } of orphans) {
      const { name, namespace, uid = '' } = metadata;
      await ifFound(client.delete(PODS, name, namespace, { uid, gracePeriodSeconds: 0 }));
    }
  }

  async #report(node: Node, condition: Parameters<typeof withCondition>[1]): Promise<void> {
    const { client, clock, watched, events } = this.#context;
    const { name } = node.metadata;
    const conditions = withCondition(node.status?.conditions ?? [], condition, clock.now());
    const patch = { status: { conditions } };
    const options = { type: 'merge', subresource: 'status' } as const;
    watched.nodes.observe(await client.patch(NODES, name, undefined, patch, options));
    const message = `Node ${name} status is now: NodeNotReady`;
    events.record(node, { type: 'Normal', reason: 'NodeNotReady', message });
  }

  async #taint(node: Node, taints: NonNullable<Node['spec']>['taints'] & object): Promise<Node> {
    const known = node.spec?.taints ?? [];
    if (canonical(known) === canonical(taints)) return node;
    const { client, watched } = this.#context;
    // Another's taint that was added meanwhile must not be lost.
    const { uid } = node.metadata;
    const { resourceVersion } = watched.nodes.get(node.metadata.name)?.metadata ?? node.metadata;
    const patch = {
      metadata: { uid, resourceVersion },
      spec: { taints: taints.length === 0 ? null : taints },
    };
    const { name } = node.metadata;
    const patched = await client.patch(NODES, name, undefined, patch, { type: 'merge' });
    watched.nodes.observe(patched);
    return patched;
  }

  /** Deletes the pods whose time is over. Answers when the next one's is. */
  async #evict(node: Node): Promise<number | undefined> {
    const { watched, clock } = this.#context;
    const due = evictions(node, watched.pods.list());
    for (const { pod, atMs } of due) if (atMs <= clock.now()) await this.#delete(pod);
    const later = due.map(({ atMs }) => atMs).filter((atMs) => atMs > clock.now());
    return later.length === 0 ? undefined : Math.min(...later);
  }

  async #delete(pod: Pod): Promise<void> {
    const { client, events } = this.#context;
    const { name, namespace, uid = '' } = pod.metadata;
    if (await ifFound(client.delete(PODS, name, namespace, { uid }))) {
      const message = `Marking for deletion Pod ${namespace}/${name}`;
      events.record(pod, { type: 'Normal', reason: 'TaintManagerEviction', message });
    }
  }
}

/** False when what was asked for is not there. */
async function ifFound(done: Promise<unknown>): Promise<boolean> {
  try {
    await done;
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw error;
  }
}
