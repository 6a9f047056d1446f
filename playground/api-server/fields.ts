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
  const requirements = readLabels(selection);
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

function readLabels(selection: Selection): readonly LabelRequirement[] {
  const parsed = parseLabelSelector(selection.labelSelector ?? '');
  if (parsed.kind === 'requirements') return parsed.requirements;
  throw badRequest(parsed.message);
}

function readFields(kind: ServedKind, selection: Selection): readonly FieldTerm[] {
  const parsed = parseFieldSelector(selection.fieldSelector ?? '');
  if (parsed.kind === 'error') throw badRequest(parsed.message);
  const known = ['metadata.name', 'metadata.namespace', ...(kind.selectableFields ?? [])];
  const unknown = parsed.terms.find(({ path }) => !known.includes(path));
  if (unknown === undefined) return parsed.terms;
  const why =
    !kind.custom && (kind.selectableFields ?? []).length === 0
      ? `${JSON.stringify(unknown.path)} is not a known field selector: only "metadata.name", "metadata.namespace"`
      : `field label not supported: ${unknown.path}`;
  throw badRequest(why);
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
