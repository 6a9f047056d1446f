/**
 * One element inside DER bytes. Nothing is copied: `start` and `end` bound the content, `first` is
 * where the identifier octet stands.
 */
export interface DerElement {
  /** The identifier octet: class, constructed bit and number, such as 0x30 for SEQUENCE. */
  readonly tag: number;
  readonly first: number;
  readonly start: number;
  readonly end: number;
}

export const DerTag = {
  boolean: 0x01,
  integer: 0x02,
  octetString: 0x04,
  objectIdentifier: 0x06,
  sequence: 0x30,
} as const;

// Certificates, signing requests and what is in them. Three octets of length are 16 MB.
const LENGTH_OCTETS_MAX = 3;

/**
 * Reads the element at `at`, which must end at or before `end`. Undefined for anything that is not
 * DER (X.690 section 10.1): an indefinite length, a length in more octets than needed, a tag number
 * above 30 (nothing that we read has one), or too few bytes.
 */
export function readElement(der: Uint8Array, at: number, end: number): DerElement | undefined {
  const tag = der[at];
  const short = der[at + 1];
  if (tag === undefined || short === undefined || at + 2 > end) return undefined;
  if ((tag & 0x1f) === 0x1f) return undefined;
  if (short < 0x80) return within({ tag, first: at, start: at + 2, end: at + 2 + short }, end);
  const octets = short & 0x7f;
  if (octets === 0 || octets > LENGTH_OCTETS_MAX || at + 2 + octets > end) return undefined;
  let length = 0;
  for (let i = 0; i < octets; i++) length = length * 256 + (der[at + 2 + i] ?? 0);
  // The shortest form only: below 128 in one octet, and no leading zero octet.
  if (length < 0x80 || length < 256 ** (octets - 1)) return undefined;
  const start = at + 2 + octets;
  return within({ tag, first: at, start, end: start + length }, end);
}

/**
 * The elements that fill a constructed element exactly. Undefined when one of them is not DER or when
 * there are more than `countMax`.
 */
export function readChildren(
  der: Uint8Array,
  parent: DerElement,
  countMax: number,
): readonly DerElement[] | undefined {
  const children: DerElement[] = [];
  for (let at = parent.start; at < parent.end; ) {
    const child = readElement(der, at, parent.end);
    if (child === undefined || children.length === countMax) return undefined;
    children.push(child);
    at = child.end;
  }
  return children;
}

/** The content octets of an element, not copied. */
export function contentOf(der: Uint8Array, element: DerElement): Uint8Array {
  return der.subarray(element.start, element.end);
}

function within(element: DerElement, end: number): DerElement | undefined {
  return element.end <= end ? element : undefined;
}
