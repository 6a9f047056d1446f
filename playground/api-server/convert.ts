import type { ServedKind } from './kinds.ts';
import type { StoredObject } from './object.ts';
import { apiVersionOf } from './object.ts';

// events.k8s.io/v1 shows the events of the core group with these fields renamed.
const EVENT_FIELDS: readonly (readonly [core: string, events: string])[] = [
  ['involvedObject', 'regarding'],
  ['message', 'note'],
  ['source', 'deprecatedSource'],
  ['firstTimestamp', 'deprecatedFirstTimestamp'],
  ['lastTimestamp', 'deprecatedLastTimestamp'],
  ['count', 'deprecatedCount'],
  ['reportingComponent', 'reportingController'],
];

/**
 * An object in the version (or group) that a request speaks. Versions of a custom resource differ
 * in their schemas only: there are no conversion webhooks here. The original if it is that already.
 */
export function convertTo<T extends StoredObject>(object: T, kind: ServedKind): T;
export function convertTo(object: StoredObject, kind: ServedKind): StoredObject {
  const apiVersion = apiVersionOf(kind);
  if (object.apiVersion === apiVersion) return object;
  const converted = { ...object, apiVersion };
  if (kind.storageKey === 'events') renameEventFields(converted, kind.group === '');
  return converted;
}

function renameEventFields(event: StoredObject, toCore: boolean): void {
  for (const [core, events] of EVENT_FIELDS) {
    const from = toCore ? events : core;
    const to = toCore ? core : events;
    if (event[from] === undefined) continue;
    event[to] = event[from];
    // A shallow copy of a stored object: taking a field away leaves the original whole.
    delete event[from];
  }
}
