import { create } from '@bufbuild/protobuf';

import {
  type Address,
  AddressSchema,
  type Match,
  MatchSchema,
  type ServiceAccountMatch,
  ServiceAccountMatchSchema,
  type StringMatch,
  StringMatchSchema,
} from '#api/gen/authorization_pb.ts';
import { ipToBytes } from '#common/net/address.ts';
import { parseCidr } from '#common/net/cidr.ts';

import { isName } from '../model/name.ts';

/** The attributes that a connection can be judged by: field of the wire → its name for people. */
export const ATTRIBUTES = {
  namespaces: 'namespace',
  notNamespaces: 'namespace',
  principals: 'principal',
  notPrincipals: 'principal',
  sourceIps: 'source address',
  notSourceIps: 'source address',
  destinationIps: 'destination address',
  notDestinationIps: 'destination address',
  destinationPorts: 'port',
  notDestinationPorts: 'port',
  serviceAccounts: 'service account',
  notServiceAccounts: 'service account',
} as const;

export type MatchField = keyof typeof ATTRIBUTES;

export type AttributeRead =
  | { readonly kind: 'read'; readonly into: (match: Match) => void }
  /** `value`: the first that can't be read, quoted. */
  | { readonly kind: 'unreadable'; readonly value: string };

/** Reads the values of one attribute, all or none. `namespace` is the policy's. */
export function readAttribute(
  field: MatchField,
  values: unknown,
  namespace: string,
): AttributeRead {
  switch (field) {
    case 'namespaces':
    case 'notNamespaces':
    case 'principals':
    case 'notPrincipals':
      return readEach(values, stringMatch, (read, match) => match[field].push(...read));
    case 'sourceIps':
    case 'notSourceIps':
    case 'destinationIps':
    case 'notDestinationIps':
      return readEach(values, address, (read, match) => match[field].push(...read));
    case 'destinationPorts':
    case 'notDestinationPorts':
      return readEach(values, port, (read, match) => match[field].push(...read));
    case 'serviceAccounts':
    case 'notServiceAccounts':
      return readEach(
        values,
        (text) => serviceAccount(text, namespace),
        (read, match) => match[field].push(...read),
      );
  }
}

/** Nothing is asked for. On the wire that means: matches nothing. */
export function isEmptyMatch(match: Match): boolean {
  return (Object.keys(ATTRIBUTES) as MatchField[]).every((field) => match[field].length === 0);
}

/** A match that every connection passes, since it comes from some address. */
export function everything(): Match {
  return create(MatchSchema, {
    sourceIps: [
      { address: new Uint8Array(4), length: 0 },
      { address: new Uint8Array(16), length: 0 },
    ],
  });
}

/** `*`: any that is there; `*x`, `x*`: by its end, by its beginning; else exactly. */
export function stringMatch(text: string): StringMatch | undefined {
  if (text === '') return undefined;
  if (text === '*') {
    return create(StringMatchSchema, { matchType: { case: 'presence', value: {} } });
  }
  const matchType = text.startsWith('*')
    ? ({ case: 'suffix', value: text.slice(1) } as const)
    : text.endsWith('*')
      ? ({ case: 'prefix', value: text.slice(0, -1) } as const)
      : ({ case: 'exact', value: text } as const);
  return create(StringMatchSchema, { matchType });
}

function readEach<T>(
  values: unknown,
  read: (text: string) => T | undefined,
  into: (items: readonly T[], match: Match) => void,
): AttributeRead {
  if (!Array.isArray(values)) return { kind: 'unreadable', value: JSON.stringify(values) };
  const items: T[] = [];
  for (const value of values as readonly unknown[]) {
    const item = typeof value === 'string' ? read(value) : undefined;
    if (item === undefined) return { kind: 'unreadable', value: JSON.stringify(value) };
    items.push(item);
  }
  return { kind: 'read', into: (match) => into(items, match) };
}

function address(text: string): Address | undefined {
  const cidr = parseCidr(text);
  if (cidr === undefined) return undefined;
  return create(AddressSchema, { address: ipToBytes(cidr.ip), length: cidr.prefixLength });
}

function port(text: string): number | undefined {
  const number = /^[0-9]{1,5}$/.test(text) ? Number(text) : Number.NaN;
  return number >= 1 && number <= 65_535 ? number : undefined;
}

/** `namespace/name`, or a name in the policy's own namespace. */
function serviceAccount(text: string, namespace: string): ServiceAccountMatch | undefined {
  const parts = text.split('/');
  if (parts.length > 2 || !parts.every(isName)) return undefined;
  const [first = '', second] = parts;
  return second === undefined
    ? create(ServiceAccountMatchSchema, { namespace, serviceAccount: first })
    : create(ServiceAccountMatchSchema, { namespace: first, serviceAccount: second });
}
