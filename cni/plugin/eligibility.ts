import { type LabelSelector, matchesLabels } from '#kube/selector.ts';

/** One pair: both selectors must match. An absent one matches everything. */
export interface EnablementSelector {
  readonly podSelector?: LabelSelector;
  readonly namespaceSelector?: LabelSelector;
}

/** What of a pod decides whether it belongs to the mesh. */
export interface EligiblePod {
  readonly metadata: {
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec?: { readonly hostNetwork?: boolean };
}

export const DATAPLANE_MODE_LABEL = 'istio.io/dataplane-mode';
const SIDECAR_ANNOTATION = 'sidecar.istio.io/status';

/** A labelled pod, or a pod of a labelled namespace that does not opt out. */
export const DEFAULT_SELECTORS: readonly EnablementSelector[] = [
  { podSelector: { matchLabels: { [DATAPLANE_MODE_LABEL]: 'ambient' } } },
  {
    podSelector: {
      matchExpressions: [{ key: DATAPLANE_MODE_LABEL, operator: 'NotIn', values: ['none'] }],
    },
    namespaceSelector: { matchLabels: { [DATAPLANE_MODE_LABEL]: 'ambient' } },
  },
];

/**
 * Whether a pod belongs to the mesh by its labels and those of its namespace. Not: on the host's network (the
 * whole node would be captured), or with a sidecar.
 */
export function isEligible(
  pod: EligiblePod,
  namespaceLabels: Readonly<Record<string, string>>,
  selectors: readonly EnablementSelector[] = DEFAULT_SELECTORS,
): boolean {
  if (pod.spec?.hostNetwork === true) return false;
  if (pod.metadata.annotations?.[SIDECAR_ANNOTATION] !== undefined) return false;
  return selectors.some(
    ({ podSelector = {}, namespaceSelector = {} }) =>
      matchesLabels(podSelector, pod.metadata.labels) &&
      matchesLabels(namespaceSelector, namespaceLabels),
  );
}

/** The selectors of a configuration, the default ones when it has none. Throws an error that names what is wrong. */
export function readSelectors(value: unknown): readonly EnablementSelector[] {
  if (value === undefined || value === null) return DEFAULT_SELECTORS;
  if (!Array.isArray(value)) throw new Error('enablement selectors: want a list of pairs');
  for (const [index, entry] of value.entries()) {
    const isPair = typeof entry === 'object' && entry !== null && !Array.isArray(entry);
    const stranger = isPair
      ? Object.keys(entry).find((key) => key !== 'podSelector' && key !== 'namespaceSelector')
      : undefined;
    if (!isPair || stranger !== undefined) {
      const found = stranger === undefined ? JSON.stringify(entry) : `"${stranger}"`;
      throw new Error(
        `enablement selectors[${index}]: want "podSelector" and "namespaceSelector", found ${found}`,
      );
    }
  }
  return value.length === 0 ? DEFAULT_SELECTORS : (value as EnablementSelector[]);
}
