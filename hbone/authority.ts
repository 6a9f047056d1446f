import { parseSocketAddress, type SocketAddress } from '#common/net/address.ts';

/** Where a CONNECT wants to go: an address, or a service by name that the receiver resolves. */
export type Authority =
  | { readonly kind: 'address'; readonly address: SocketAddress }
  | {
      readonly kind: 'host';
      /** Lower case, no trailing dot. */
      readonly host: string;
      readonly port: number;
    };

// RFC 1035 section 3.1, without the root label: 253 characters in text form.
const HOST_LENGTH_MAX = 253;
// A name, a colon, five digits. Longer than any address in brackets.
const AUTHORITY_LENGTH_MAX = HOST_LENGTH_MAX + 6;
const PORT = /^[1-9][0-9]{0,4}$/;
const HOST_CHARACTERS = /^[A-Za-z0-9._-]+$/;
// Underscores are not host names, but Services and ServiceEntries of real clusters have them.
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;
// What some resolver would take for an IPv4 address in an odd spelling: 1.2.3, 0x7f.1, 2130706433.
const NUMERIC_LABEL = /^(?:[0-9]+|0x[0-9a-f]*)$/;

/**
 * Reads the `:authority` of a CONNECT (RFC 9112 section 3.2.3): `1.2.3.4:80`, `[::1]:80`, or
 * `name.example:80`. One spelling only: no user information, no leading zeros, no port 0, no missing
 * port, no name that could be read as an address. Undefined for anything else.
 */
export function parseAuthority(text: string): Authority | undefined {
  if (text.length > AUTHORITY_LENGTH_MAX) return undefined;
  const colon = text.lastIndexOf(':');
  const host = text.slice(0, Math.max(0, colon));
  const portText = text.slice(colon + 1);
  const port = Number(portText);
  if (!PORT.test(portText) || port > 65_535) return undefined;
  const bracketed = host.startsWith('[');
  // An IPv4 address does not belong into brackets.
  if (bracketed && !host.includes(':')) return undefined;
  const address = parseSocketAddress(text);
  if (address !== undefined) return { kind: 'address', address };
  const name = bracketed ? undefined : parseHost(host);
  return name === undefined ? undefined : { kind: 'host', host: name, port };
}

/** A host name in lower case; undefined when it is not one (RFC 1123 section 2.1, plus underscores). */
function parseHost(text: string): string | undefined {
  // Before the change to lower case, which would turn the Kelvin sign into a plain k.
  if (text.length > HOST_LENGTH_MAX || !HOST_CHARACTERS.test(text)) return undefined;
  const host = text.toLowerCase();
  const labels = host.split('.');
  if (!labels.every((label) => LABEL.test(label))) return undefined;
  return NUMERIC_LABEL.test(labels.at(-1) ?? '') ? undefined : host;
}
