import { coreFields } from './fields-core.ts';
import { groupFields } from './fields-groups.ts';

/** One field of a message of the published API. */
export interface MessageField {
  /** As in JSON; '' for a message whose fields are, in JSON, those of the object around it. */
  readonly name: string;
  /** The definition of an inlined message. */
  readonly inlined?: string;
  /** Whether an empty value says something: otherwise it stands for a field that was left out. */
  readonly keepsEmpty: boolean;
}

/** The fields of a message by their numbers. */
export type MessageFields = ReadonlyMap<number, MessageField>;

let known: ReadonlyMap<string, MessageFields> | undefined;

/** The fields of a definition such as `io.k8s.api.core.v1.Pod`; undefined when it is not known. */
export function messageFields(definition: string): MessageFields | undefined {
  known ??= readFields([coreFields, groupFields]);
  return known.get(definition);
}

/**
 * Reads messages from a compact text, which has what the schemas do not say:
 *
 *     # io.k8s.api.core.v1          what follows is named io.k8s.api.core.v1.…
 *     Volume: name? +VolumeSource   a message: its fields are numbered 1, 2, …
 *       @7 other                    the next number is 7; lines can go on
 *
 * `?`: an empty value says something. `+`: the message's fields are those of the object around it.
 */
function readFields(texts: readonly string[]): ReadonlyMap<string, MessageFields> {
  const messages = new Map<string, MessageFields>();
  for (const text of texts) {
    let prefix = '';
    for (const line of text.replaceAll('\n  ', ' ').split('\n')) {
      if (line.startsWith('# ')) prefix = line.slice(2);
      const [name = '', words] = line.split(': ');
      if (words !== undefined) messages.set(`${prefix}.${name}`, readMessage(words, prefix));
    }
  }
  return messages;
}

function readMessage(words: string, prefix: string): MessageFields {
  const fields = new Map<number, MessageField>();
  let number = 1;
  for (const word of words.split(' ')) {
    if (word.startsWith('@')) {
      number = Number(word.slice(1));
      continue;
    }
    fields.set(number, fieldOf(word, prefix));
    number += 1;
  }
  return fields;
}

function fieldOf(word: string, prefix: string): MessageField {
  if (word.startsWith('+')) {
    const name = word.slice(1);
    const inlined = name.includes('.') ? name : `${prefix}.${name}`;
    return { name: '', inlined, keepsEmpty: false };
  }
  const keepsEmpty = word.endsWith('?');
  return { name: keepsEmpty ? word.slice(0, -1) : word, keepsEmpty };
}
