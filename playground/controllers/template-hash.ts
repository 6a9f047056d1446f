import { createHash } from 'node:crypto';

import type { PodTemplate } from '#kube/resources.ts';

// No vowels and nothing that looks like one: no words. Valid in names and labels.
const ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';
const LENGTH = 10;

/**
 * A short name for a pod template: equal for equal templates, whatever the order of their fields.
 * `collisions` makes another name for the same template, when one is taken by somebody else.
 */
export function templateHash(template: PodTemplate, collisions = 0): string {
  const digest = createHash('sha256')
    .update(`${collisions} ${canonical(template)}`)
    .digest();
  return Array.from(digest.subarray(0, LENGTH), (byte) => ALPHABET.charAt(byte % 27)).join('');
}

/** JSON with sorted keys. Nulls and empty maps are as good as absent: the server drops or adds them. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const fields = Object.entries(value)
    .map(([key, field]) => [key, canonical(field)] as const)
    .filter(([, text]) => text !== 'null' && text !== '{}')
    .toSorted(([first], [second]) => (first < second ? -1 : 1))
    .map(([key, text]) => `${JSON.stringify(key)}:${text}`);
  return `{${fields.join(',')}}`;
}
