export type PatchType = 'merge' | 'json' | 'strategic' | 'apply';

export interface PatchOptions {
  /** How the patch is to be read: RFC 7386, RFC 6902, Kubernetes' own merge, or server-side apply. */
  readonly type: PatchType;
  readonly subresource?: string;
  /** Who owns the fields; needed to apply. */
  readonly fieldManager?: string;
  /** Take fields over from other managers. Only for apply. */
  readonly force?: boolean;
}

const CONTENT_TYPES: Readonly<Record<PatchType, string>> = {
  merge: 'application/merge-patch+json',
  json: 'application/json-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  // The server reads YAML, of which JSON is a part.
  apply: 'application/apply-patch+yaml',
};

/** What to send a patch as. */
export function patchContentType(type: PatchType): string {
  return CONTENT_TYPES[type];
}
