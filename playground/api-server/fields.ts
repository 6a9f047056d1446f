import type { FieldTerm, LabelRequirement } from '#kube/selector.ts';
import {
  matchesFields,
  matchesLabels,
  parseFieldSelector,
  parseLabelSelector,
} from '#kube/selector.ts';

import { badRequest } from './errors.ts';
import { at, isObject } from './json.ts';
import type { ServedKind } from './kinds.ts';
import type { ApiObject } from './object.ts';

/** What a list or a watch asks for, as its query has it. */
export interface Selection {
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}

/** Which objects of a kind a request is about. */
export interface Selector {
  /** False when every object of the namespace (or of the cluster) is selected. */
  readonly narrows: boolean;
  matches(object: ApiObject): boolean;
}

/** Reads the selectors of a request. Throws the 400 of a selector that cannot be read or served. */
export function selectorOf(kind: ServedKind, selection: Selection): Selector {
  const requirements = readLabels(kind, selection);
  const terms = readFields(kind, selection);
  const { namespace } = selection;
  return {
    narrows: requirements.length > 0 || terms.length > 0,
    matches: (object) =>
      (namespace === undefined || object.metadata.namespace === namespace) &&
      matchesLabels(requirements, object.metadata.labels) &&
      matchesFields(terms, (path) => fieldText(object, path)),
  };
}

function readLabels(kind: ServedKind, selection: Selection): readonly LabelRequirement[] {
  const parsed = parseLabelSelector(selection.labelSelector ?? '');
  if (parsed.kind === 'requirements') return parsed.requirements;
  throw badRequest(unmatched(kind, selection, parsed.message));
}

function readFields(kind: ServedKind, selection: Selection): readonly FieldTerm[] {
  const parsed = parseFieldSelector(selection.fieldSelector ?? '');
  if (parsed.kind === 'error') throw badRequest(unmatched(kind, selection, parsed.message));
  const known = ['metadata.name', 'metadata.namespace', ...(kind.selectableFields ?? [])];
  const unknown = parsed.terms.find(({ path }) => !known.includes(path));
  if (unknown === undefined) return parsed.terms;
  throw badRequest(unmatched(kind, selection, `field label not supported: ${unknown.path}`));
}

function unmatched(kind: ServedKind, selection: Selection, why: string): string {
  const resource = `${kind.group}/${kind.version}, Resource=${kind.plural}`;
  const label = selection.labelSelector ?? '';
  const field = selection.fieldSelector ?? '';
  return `Unable to find "${resource}" that match label selector "${label}", field selector "${field}": ${why}`;
}

function fieldText(object: ApiObject, path: string): string {
  // Events of the core group are selected by "source", which is the component of that field.
  if (path === 'source' && object.kind === 'Event') {
    return text(at(object, 'source', 'component')) || text(at(object, 'reportingComponent'));
  }
  return text(at(object, ...path.replace(/^\./u, '').split('.')));
}

function text(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'boolean' || typeof value === 'number') return String(value);
  return isObject(value) || Array.isArray(value) ? JSON.stringify(value) : '';
}
