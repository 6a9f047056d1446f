import { type IpAddress, parseIp } from '#common/net/address.ts';
import { type Cidr, parseCidr } from '#common/net/cidr.ts';
import { type Identity, parseIdentity } from '#common/tls/spiffe.ts';

import type { ConfigFields, ConfigValue } from './config-value.ts';
import { type NamespacedHost, parseNamespacedHost } from './names.ts';
import type { NetworkCidr } from './service.ts';
import type { GatewayAddress, NetworkAddress, PortMap } from './workload.ts';

// How the values that several kinds of entries share are written in a configuration text. Each
// function reports what is wrong; what it returns then doesn't count.

/** A DNS name in text form has at most 253 characters (RFC 1035 section 3.1), and no name in a cluster more. */
const NAME_LENGTH_MAX = 253;

/** A name that becomes part of a key or an identity: not empty, no slash, nothing unprintable. */
export function readName(value: ConfigValue): string {
  const name = value.text();
  if (name === '') value.problem('Want a name, got an empty text');
  if (/[^\x21-\x7e]|\//.test(name) || name.length > NAME_LENGTH_MAX) {
    value.problem(`Want a name without spaces and "/", got ${value.describe()}`);
  }
  return name;
}

/** A name that has a default: an empty text counts as not given. */
export function readOptionalName(value: ConfigValue): string {
  return value.isNothing() ? '' : readName(value);
}

/** A host name; compared in lower case everywhere. */
export function readHostname(value: ConfigValue): string {
  return readName(value).toLowerCase();
}

/** `namespace/hostname`. */
export function readNamespacedHost(value: ConfigValue): NamespacedHost {
  const text = value.asText().toLowerCase();
  const host = parseNamespacedHost(text);
  if (host === undefined) value.problem(`Want "namespace/hostname", got ${value.describe()}`);
  return host ?? (text as NamespacedHost);
}

export function readIp(value: ConfigValue): IpAddress | undefined {
  const ip = parseIp(value.text());
  if (ip === undefined) value.problem(`Want an IP address, got ${value.describe()}`);
  return ip;
}

/** `10.0.0.0/8`, or an address alone. */
export function readCidr(value: ConfigValue): Cidr | undefined {
  const cidr = parseCidr(value.text());
  if (cidr === undefined)
    value.problem(`Want a block such as "10.0.0.0/8", got ${value.describe()}`);
  return cidr;
}

/** `network/address`; nothing before the slash is the default network. */
export function readNetworkAddress(value: ConfigValue): NetworkAddress | undefined {
  const [network, rest] = splitAtSlash(value.text());
  const ip = rest === undefined ? undefined : parseIp(rest);
  if (ip !== undefined) return { network, ip };
  value.problem(
    `Want "network/address" ("/10.0.0.1" on the default network), got ${value.describe()}`,
  );
  return undefined;
}

/** `network/address/length`. */
export function readNetworkCidr(value: ConfigValue): NetworkCidr | undefined {
  const [network, rest] = splitAtSlash(value.text());
  const cidr = rest === undefined ? undefined : parseCidr(rest);
  if (cidr !== undefined) return { network, cidr };
  value.problem(`Want "network/address/length", got ${value.describe()}`);
  return undefined;
}

export function readIdentity(value: ConfigValue): Identity | undefined {
  const identity = parseIdentity(value.text());
  if (identity === undefined) {
    value.problem(
      `Want "spiffe://<trust domain>/ns/<namespace>/sa/<service account>", got ${value.describe()}`,
    );
  }
  return identity;
}

/** `{ destination: network/address | namespace/hostname, hboneMtlsPort: 15008 }`. */
export function readGateway(value: ConfigValue): GatewayAddress {
  const fields = value.fields(['destination', 'hboneMtlsPort']);
  return {
    destination: fields.required('destination', NOWHERE, readGatewayDestination),
    hboneMtlsPort: fields.required('hboneMtlsPort', 0, readPort),
  };
}

/** A port that something can listen on. */
export function readPort(value: ConfigValue): number {
  return value.integer(1, PORT_MAX);
}

/** `{ 80: 8080 }`: service port to target port, 0 for a named port. JSON writes the first in quotes. */
export function readPorts(value: ConfigValue): PortMap {
  const ports = new Map<number, number>();
  for (const [name, target] of value.entries()) {
    const port = /^[1-9][0-9]{0,4}$/.test(name.asText()) ? Number(name.asText()) : 0;
    if (port === 0 || port > PORT_MAX) {
      name.problem(`Want a port from 1 to ${PORT_MAX}, got ${name.describe()}`);
    }
    ports.set(port, target.integer(0, PORT_MAX));
  }
  return ports;
}

/** A list, without the items that could not be read. */
export function readList<T>(
  value: ConfigValue,
  read: (item: ConfigValue) => T | undefined,
): readonly T[] {
  return value.items().flatMap((item) => {
    const result = read(item);
    return result === undefined ? [] : [result];
  });
}

/** Reads a text field that may be left out. */
export function optionalText(fields: ConfigFields, name: string): string {
  return fields.optional(name, '', (value) => value.text());
}

const PORT_MAX = 65_535;
const NOWHERE: GatewayAddress['destination'] = { kind: 'hostname', namespace: '', hostname: '' };

function readGatewayDestination(value: ConfigValue): GatewayAddress['destination'] {
  const text = value.text();
  const [before, rest] = splitAtSlash(text);
  const ip = rest === undefined ? undefined : parseIp(rest);
  if (ip !== undefined) return { kind: 'address', network: before, ip };
  if (rest !== undefined && parseNamespacedHost(text) !== undefined) {
    return { kind: 'hostname', namespace: before, hostname: rest.toLowerCase() };
  }
  value.problem(`Want "network/address" or "namespace/hostname", got ${value.describe()}`);
  return NOWHERE;
}

function splitAtSlash(text: string): readonly [before: string, rest: string | undefined] {
  const slash = text.indexOf('/');
  return slash === -1 ? [text, undefined] : [text.slice(0, slash), text.slice(slash + 1)];
}
