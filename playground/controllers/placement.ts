import type {
  LabelSelectorRequirement,
  Node,
  NodeSelectorTerm,
  PodSpec,
  Taint,
  Toleration,
} from '#kube/resources.ts';
import { matchesLabels } from '#kube/selector.ts';

/** Whether a pod may go to a node; the reasons are those of the scheduler's messages. */
export type Placement =
  | { readonly kind: 'fits' }
  | { readonly kind: 'refused'; readonly why: string };

const FITS: Placement = { kind: 'fits' };
const UNSCHEDULABLE: Taint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };

/** Looks at what the pod asks of a node and the node of its pods; not at how full the node is (pure). */
export function placementOn(node: Node, spec: PodSpec): Placement {
  if (spec.nodeName !== undefined && spec.nodeName !== '' && spec.nodeName !== node.metadata.name) {
    return refused("node(s) didn't match the requested node name");
  }
  if (!isSelected(node, spec)) return refused("node(s) didn't match Pod's node affinity/selector");
  if (node.spec?.unschedulable === true && !isTolerated(UNSCHEDULABLE, spec.tolerations)) {
    return refused('node(s) were unschedulable');
  }
  const taint = untolerated(node, spec.tolerations, ['NoSchedule', 'NoExecute']);
  if (taint === undefined) return FITS;
  return refused(`node(s) had untolerated taint {${taint.key}: ${taint.value ?? ''}}`);
}

/** Whether the node's labels and name are among those that the pod accepts. */
export function isSelected(node: Node, spec: PodSpec): boolean {
  if (!matchesLabels({ matchLabels: spec.nodeSelector ?? {} }, node.metadata.labels)) return false;
  const affinity = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return affinity === undefined || affinity.nodeSelectorTerms.some((term) => fulfils(node, term));
}

/** The first taint with one of the effects that no toleration covers. */
export function untolerated(
  node: Node,
  tolerations: readonly Toleration[] | undefined,
  effects: readonly string[],
): Taint | undefined {
  return node.spec?.taints?.find(
    (taint) => effects.includes(taint.effect) && !isTolerated(taint, tolerations),
  );
}

export function isTolerated(taint: Taint, tolerations: readonly Toleration[] | undefined): boolean {
  return (tolerations ?? []).some((toleration) => {
    const { key = '', operator = 'Equal', value = '', effect = '' } = toleration;
    if (effect !== '' && effect !== taint.effect) return false;
    // Without a key, only "Exists" means something: everything.
    if (key === '') return operator === 'Exists';
    return key === taint.key && (operator === 'Exists' || value === (taint.value ?? ''));
  });
}

/** Pods that are meant for one node name it in their affinity, as those of a DaemonSet do. */
export function affinityToNode(name: string): NonNullable<PodSpec['affinity']> {
  const term = { matchFields: [{ key: 'metadata.name', operator: 'In', values: [name] }] };
  return {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [term] },
    },
  };
}

/** The way back from {@link affinityToNode}. */
export function nodeOfAffinity(spec: PodSpec): string | undefined {
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const [field, ...more] = required?.nodeSelectorTerms[0]?.matchFields ?? [];
  if (field?.key !== 'metadata.name' || more.length > 0) return undefined;
  return field.values?.[0];
}

/** An empty term matches nothing, as the API says. */
function fulfils(node: Node, term: NodeSelectorTerm): boolean {
  const { matchExpressions = [], matchFields = [] } = term;
  if (matchExpressions.length + matchFields.length === 0) return false;
  const fields: readonly LabelSelectorRequirement[] = matchFields;
  return (
    matchesLabels({ matchExpressions }, node.metadata.labels) &&
    matchesLabels({ matchExpressions: fields }, { 'metadata.name': node.metadata.name })
  );
}

function refused(why: string): Placement {
  return { kind: 'refused', why };
}
