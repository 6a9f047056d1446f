/** Writes one PEM block (RFC 7468): 64 characters a line. */
export function writePem(label: string, der: Uint8Array): string {
  const lines = Buffer.from(der).toString('base64').replaceAll(/.{64}/g, '$&\n').trimEnd();
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

export type PemBlocks =
  | { readonly kind: 'blocks'; readonly blocks: readonly Uint8Array[] }
  | { readonly kind: 'refused'; readonly reason: string };

/** A root bundle of a large public trust store is about 250 KB. */
const PEM_BYTES_MAX = 1_048_576;

// The payload is a character class that can't match a dash: linear, however the input is made.
const BLOCK = /-----BEGIN ([A-Z0-9 ]{1,40})-----([A-Za-z0-9+/=\s]*)-----END \1-----/g;

/**
 * Reads all blocks of a PEM text, in order. Text between blocks is allowed (RFC 7468 section 2). A
 * block with another label, a block that does not end, or one that isn't base64 refuses the whole
 * text: half a root bundle would be a silent change of whom we trust.
 */
export function readPem(text: string, label: string): PemBlocks {
  if (text.length > PEM_BYTES_MAX)
    return refused(`PEM text is longer than ${PEM_BYTES_MAX} characters`);
  const blocks: Uint8Array[] = [];
  for (const [, found, payload = ''] of text.matchAll(BLOCK)) {
    if (found !== label) return refused(`PEM block is "${found}": want "${label}"`);
    const base64 = payload.replaceAll(/\s/g, '');
    const der = Buffer.from(base64, 'base64');
    if (der.length === 0 || der.toString('base64') !== base64)
      return refused(`PEM block ${blocks.length + 1} is not base64`);
    blocks.push(new Uint8Array(der));
  }
  const begun = text.split('-----BEGIN ').length - 1;
  if (begun !== blocks.length)
    return refused('PEM block is cut off or damaged: want BEGIN and END');
  return { kind: 'blocks', blocks };
}

function refused(reason: string): PemBlocks {
  return { kind: 'refused', reason };
}
