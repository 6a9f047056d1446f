import { type Header, isSendable } from '#codec/http2/field.ts';

import { FieldId, fieldIdOf, isConnectionField } from './field-id.ts';
import type { Head } from './head.ts';
import { equalsText } from './octets.ts';

/** Changes of a head, as a rule states them. Names in any case. */
export interface GivenEdits {
  /** Takes the place of what is there. */
  readonly set?: readonly Header[];
  /** Is added to what is there, as a line of its own. */
  readonly add?: readonly Header[];
  readonly remove?: readonly string[];
}

/** The same, prepared once per rule. */
export interface HeadEdits {
  readonly dropped: readonly DroppedName[];
  readonly appended: readonly Header[];
}

interface DroppedName {
  readonly id: FieldId;
  readonly name: string;
}

/** An edit that cannot be made: the name or value is malformed, or the field is the codec's business. */
export interface InvalidEdit {
  readonly invalidField: string;
}

/** Prepares edits. Host is changed through the authority of a request, the fields of framing not at all. */
export function headEdits(given: GivenEdits): HeadEdits | InvalidEdit {
  const set = (given.set ?? []).map(lowerCase);
  const add = (given.add ?? []).map(lowerCase);
  const removed = (given.remove ?? []).map((name) => name.toLowerCase());
  const appended = [...set, ...add];
  const names = new Set([...removed, ...set.map(([name]) => name)]);
  for (const header of [...appended, ...[...names].map((name): Header => [name, ''])])
    if (!isSendable(header) || !isEditable(header[0])) return { invalidField: header[0] };
  return { dropped: Array.from(names, (name) => ({ id: fieldIdOf(name), name })), appended };
}

/** Does field `index` go? */
export function dropsField(edits: HeadEdits, head: Head, index: number): boolean {
  const id = head.ids[index] ?? 0;
  for (const drop of edits.dropped) {
    if (drop.id !== id) continue;
    if (id !== FieldId.other) return true;
    const start = head.offsets[4 * index] ?? 0;
    if (equalsText(head.bytes, start, head.offsets[4 * index + 1] ?? 0, drop.name)) return true;
  }
  return false;
}

/** Does the field of a header list go? */
export function dropsName(edits: HeadEdits, name: string): boolean {
  for (const drop of edits.dropped) if (drop.name === name) return true;
  return false;
}

function isEditable(name: string): boolean {
  const id = fieldIdOf(name);
  const framing = id === FieldId.contentLength || id === FieldId.host || isConnectionField(id);
  return !framing && !name.startsWith(':');
}

function lowerCase([name, value]: Header): Header {
  return [name.toLowerCase(), value];
}
