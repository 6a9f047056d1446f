/** The form in which an answer is wanted. */
export type ResponseForm =
  | { readonly kind: 'object'; readonly yaml: boolean }
  /** Rows and columns, as `kubectl get` prints them. */
  | { readonly kind: 'table'; readonly version: 'v1' | 'v1beta1' }
  /** Metadata of the object, or of each object of a list. */
  | { readonly kind: 'metadata'; readonly version: 'v1' | 'v1beta1' };

/** One entry of an `accept` header, or a `content-type`. */
export interface MediaType {
  /** Lower case, without parameters. */
  readonly type: string;
  readonly parameters: ReadonlyMap<string, string>;
}

export const JSON_TYPE = 'application/json';
export const YAML_TYPE = 'application/yaml';
/** Of requests only: who asks for it in answers takes JSON as well. */
export const PROTOBUF_TYPE = 'application/vnd.kubernetes.protobuf';
/** Entries beyond these are not read: the longest real list has four. */
const ACCEPT_ENTRIES_MAX = 16;

/**
 * The first form of the list that we have, in the order of the list: what asks for protobuf and names
 * JSON next gets JSON. Undefined when there is none.
 */
export function chooseForm(accept: string | undefined): ResponseForm | undefined {
  if (accept === undefined || accept.trim() === '') return { kind: 'object', yaml: false };
  for (const media of readMediaTypes(accept)) {
    const form = formOf(media);
    if (form !== undefined) return form;
  }
  return undefined;
}

/** An `accept` header in order of preference. */
export function readMediaTypes(accept: string): readonly MediaType[] {
  const list = accept.split(',').slice(0, ACCEPT_ENTRIES_MAX).map(readMediaType);
  const quality = (media: MediaType) => Number(media.parameters.get('q') ?? 1);
  return list.toSorted((a, b) => quality(b) - quality(a));
}

export function readMediaType(text: string): MediaType {
  const [type = '', ...parameters] = text.split(';').map((part) => part.trim());
  const pairs = parameters.map((parameter): [string, string] => {
    const [key = '', value = ''] = parameter.split('=', 2);
    return [key.toLowerCase(), value.replace(/^"|"$/g, '')];
  });
  return { type: type.toLowerCase(), parameters: new Map(pairs) };
}

function formOf({ type, parameters }: MediaType): ResponseForm | undefined {
  const as = parameters.get('as');
  const version = parameters.get('v');
  if (as !== undefined) {
    const known = version === 'v1' || version === 'v1beta1';
    if (type !== JSON_TYPE || parameters.get('g') !== 'meta.k8s.io' || !known) return undefined;
    if (as === 'Table') return { kind: 'table', version };
    const partial = as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList';
    return partial ? { kind: 'metadata', version } : undefined;
  }
  if (type === YAML_TYPE) return { kind: 'object', yaml: true };
  const anyJson = type === JSON_TYPE || type === 'application/*' || type === '*/*';
  return anyJson ? { kind: 'object', yaml: false } : undefined;
}
