import { type Cidr, formatCidr } from '#common/net/cidr.ts';

import type { Policy } from '../policy/model.ts';
import type { PathTemplate } from '../policy/path-template.ts';
import type { Route } from '../routing/model.ts';

/**
 * A route or policy as it is applied, for people: what is worked out of it in advance, for speed, is left out or
 * written as it came.
 */
export function dumpRules(rules: Route | Policy): unknown {
  return JSON.parse(JSON.stringify(rules, asItCame));
}

function asItCame(key: string, value: unknown): unknown {
  // Of a regular expression.
  if (key === 'beginning') return undefined;
  if (key === 'dropped') return (value as readonly { readonly name: string }[]).map(nameOf);
  if (typeof value !== 'object' || value === null) return value;
  if ('words' in value) return formatCidr(value as Cidr);
  if ('before' in value) return (value as PathTemplate).text;
  return value;
}

function nameOf({ name }: { readonly name: string }): string {
  return name;
}
