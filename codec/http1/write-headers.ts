import { type Header, isSendable } from '#codec/http2/field.ts';
import { invariant } from '#common/assert.ts';

import type { ByteOutput } from './byte-output.ts';
import { dropsName, type HeadEdits } from './edits.ts';
import { FieldId, fieldIdOf, isConnectionField } from './field-id.ts';
import { isTrailerField } from './field-rules.ts';

/**
 * Writes the fields of a header list as lines. Pseudo headers, Host and what belongs to a connection are left out,
 * cookies are put together again (RFC 9113 section 8.2.3).
 */
export function writeHeaders(
  output: ByteOutput,
  headers: readonly Header[],
  edits: HeadEdits | undefined,
  keepLength: boolean,
): void {
  let cookies = 0;
  for (const header of headers) {
    const [name] = header;
    if (name.startsWith(':')) continue;
    const id = fieldIdOf(name);
    if (id === FieldId.host || isConnectionField(id)) continue;
    if (id === FieldId.contentLength && !keepLength) continue;
    if (edits !== undefined && dropsName(edits, name)) continue;
    if (id === FieldId.cookie) {
      if (cookies++ === 0) writeField(output, ['cookie', joinedCookies(headers)]);
    } else writeField(output, header);
  }
}

/** Writes the fields of a list that may stand among trailers. */
export function writeTrailers(output: ByteOutput, trailers: readonly Header[]): void {
  for (const header of trailers)
    if (!header[0].startsWith(':') && isTrailerField(fieldIdOf(header[0])))
      writeField(output, header);
}

function writeField(output: ByteOutput, header: Header): void {
  // Whoever made the list should have checked it; a line break here would be another message.
  invariant(isSendable(header), `a field that cannot be sent: ${JSON.stringify(header[0])}`);
  output.field(header[0], header[1]);
}

function joinedCookies(headers: readonly Header[]): string {
  let joined = '';
  for (const [name, value] of headers)
    if (name === 'cookie') joined += joined === '' ? value : `; ${value}`;
  return joined;
}
