import { conform } from './conform.ts';
import { applyBuiltinDefaults } from './defaults.ts';
import { invalid } from './errors.ts';
import { textAt } from './json.ts';
import type { ServedKind } from './kinds.ts';
import { carryOver, metadataProblems, stampNew } from './metadata.ts';
import type { NodePorts } from './node-ports.ts';
import type { ApiObject, StoredObject } from './object.ts';
import { applyDefaults } from './schema/default.ts';
import type { ServiceAddresses } from './service-addresses.ts';
import type { WriteOptions } from './store.ts';
import type { Part } from './strategy.ts';
import { countGeneration, prepareNew, prepareUpdate } from './strategy.ts';
import { validateObject } from './validate.ts';
import { remarkOnNew } from './without-effect.ts';

/** What the steps need to know besides the objects. */
export interface PipelineContext {
  readonly addresses: ServiceAddresses;
  readonly nodePorts: NodePorts;
  readonly nowMs: number;
}

/** Everything that happens to a new object before it is stored. `object` is changed. Throws a 4xx. */
export function completeNew(
  kind: ServedKind,
  object: ApiObject,
  options: WriteOptions & { readonly namespace: string | undefined },
  context: PipelineContext,
): asserts object is StoredObject {
  conform(kind, object, options);
  applyDefaults(kind.schema ?? {}, object);
  stampNew(kind, options.namespace, object, context.nowMs);
  prepareNew(kind, object);
  applyBuiltinDefaults(kind, object);
  assignAddress(kind, object, context);
  assignNodePorts(kind, object, undefined, context);
  validateObject(kind, object);
  const remark = remarkOnNew(kind);
  if (remark !== undefined) options.warn(remark);
}

/**
 * Everything that happens to a changed object before it is stored; `current` is the one that it
 * replaces, in the same version. `object` is changed. Throws a 4xx.
 */
export function completeUpdate(
  kind: ServedKind,
  object: ApiObject,
  options: WriteOptions & { readonly current: StoredObject; readonly part: Part },
  context: PipelineContext,
): asserts object is StoredObject {
  const { current, part } = options;
  conform(kind, object, options);
  applyDefaults(kind.schema ?? {}, object);
  const problems = metadataProblems(object, current);
  if (problems.length > 0) throw invalid(kind, current.metadata.name, problems);
  carryOver(object, current);
  prepareUpdate(kind, object, current, part);
  if (part !== 'status') {
    applyBuiltinDefaults(kind, object);
    if (textAt(object, 'spec', 'clusterIP') === '') assignAddress(kind, object, context);
    assignNodePorts(kind, object, current, context);
    // The node is chosen for a pod: it is not what somebody wants anew.
    if (part !== 'binding') countGeneration(object, current);
  }
  validateObject(kind, object, { current, part });
}

function assignAddress(kind: ServedKind, object: ApiObject, context: PipelineContext): void {
  if (kind.storageKey !== 'services') return;
  const problem = context.addresses.assign(object);
  if (problem !== undefined) throw invalid(kind, object.metadata.name ?? '', [problem]);
}

function assignNodePorts(
  kind: ServedKind,
  object: ApiObject,
  current: StoredObject | undefined,
  context: PipelineContext,
): void {
  if (kind.storageKey !== 'services') return;
  const problems = context.nodePorts.assign(object, current);
  if (problems.length > 0) throw invalid(kind, object.metadata.name ?? '', problems);
}
