import { create } from '@bufbuild/protobuf';

import {
  type PolicyPath,
  PolicyPathSchema,
  type TextMatch,
  TextMatchSchema,
} from '#api/gen/waypoint_pb.ts';
import { parseCidr } from '#common/net/cidr.ts';

import { isName } from '../model/name.ts';

/** What a value of a policy asks for; undefined when it can't be read. */
export type ReadValue<T> = (value: string) => T | undefined;

/** `*`: any that is there; `*x`, `x*`: by its end, by its beginning; else exactly. */
export function textMatch(value: string): TextMatch | undefined {
  if (value === '') return undefined;
  if (value === '*') return create(TextMatchSchema, { kind: { case: 'presence', value: {} } });
  if (value.startsWith('*'))
    return create(TextMatchSchema, { kind: { case: 'suffix', value: value.slice(1) } });
  if (value.endsWith('*'))
    return create(TextMatchSchema, { kind: { case: 'prefix', value: value.slice(0, -1) } });
  return exactly(value);
}

/** A path, with templates in it. */
export function pathMatch(value: string): PolicyPath | undefined {
  if (value.includes('{*}') || value.includes('{**}')) {
    return isTemplate(value)
      ? create(PolicyPathSchema, { kind: { case: 'template', value } })
      : undefined;
  }
  const match = textMatch(value);
  return match && create(PolicyPathSchema, { kind: { case: 'text', value: match } });
}

/** `namespace/name`, or a name in the policy's own namespace. */
export function accountMatch(namespace: string): ReadValue<TextMatch> {
  return (value) => {
    const parts = value.split('/');
    if (parts.length > 2 || !parts.every(isName) || value.includes('*')) return undefined;
    return exactly(parts.length === 1 ? `${namespace}/${value}` : value);
  };
}

export function portNumber(value: string): number | undefined {
  const number = /^[0-9]{1,5}$/.test(value) ? Number(value) : 0;
  return number >= 1 && number <= 65_535 ? number : undefined;
}

export function portMatch(value: string): TextMatch | undefined {
  const number = portNumber(value);
  return number === undefined ? undefined : exactly(String(number));
}

export function block(value: string): string | undefined {
  return parseCidr(value) === undefined ? undefined : value;
}

export function blockMatch(value: string): TextMatch | undefined {
  return parseCidr(value) === undefined ? undefined : exactly(value);
}

function exactly(value: string): TextMatch {
  return create(TextMatchSchema, { kind: { case: 'exact', value } });
}

/** `{*}` and `{**}` stand for whole segments, and `{**}` is there once at most. */
function isTemplate(value: string): boolean {
  if (!value.startsWith('/')) return false;
  const segments = value.slice(1).split('/');
  const isPlain = segments.every((one) => one === '{*}' || one === '{**}' || !/[{}*]/.test(one));
  return isPlain && segments.filter((one) => one === '{**}').length <= 1;
}
