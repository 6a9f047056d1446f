import type { ObjectMeta } from '#kube/resources.ts';

import type { Labels } from '../krt/filter.ts';
import type { Described } from '../model/metadata.ts';
import { isName } from '../model/name.ts';
import { isPort, record, text } from '../model/written.ts';

/** What every record keeps of an object's metadata. */
export function described({ metadata }: { readonly metadata: ObjectMeta }): Described {
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    labels: metadata.labels ?? {},
    createdAt: metadata.creationTimestamp ?? '',
  };
}

/** A selector that asks for nothing counts as none. */
export function selectorOf(matchLabels: unknown): Labels | undefined {
  const selector = stringRecord(matchLabels);
  return Object.keys(selector).length === 0 ? undefined : selector;
}

/** The texts of an object of unknown origin; anything else in it is left out. */
export function stringRecord(value: unknown): Labels {
  return Object.fromEntries(
    Object.entries(record(value)).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string',
    ),
  );
}

/** A text that can be a name on the wire. */
export function wireName(value: unknown): string | undefined {
  const written = text(value);
  return written !== undefined && isName(written) ? written : undefined;
}

export function port(value: unknown): number | undefined {
  return isPort(value) ? value : undefined;
}
