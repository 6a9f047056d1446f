/** Printable ASCII without a slash. A DNS name has at most 253 characters, and no name in a cluster more. */
const NAME = /^[!-.0-~]{1,253}$/;

/**
 * Whether a text can be a name on the wire. Node tunnels refuse a resource with any other, as a whole, and one that
 * they refuse keeps those that start from being ready: it is not sent.
 */
export function isName(text: string): boolean {
  return NAME.test(text);
}
