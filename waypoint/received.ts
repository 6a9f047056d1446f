import type { ReceivedResource, Rejection } from '#xds/client.ts';

/** A resource that can't be carried out. */
interface Refused<Kind> {
  readonly kind: 'refused';
  readonly reason: string;
  /** What is in force while nothing of that name can be read. */
  readonly instead?: Kind | undefined;
}

/**
 * Tells what of a response is to be in force: `update`, beside what was there before. What can't be carried out is
 * refused, and what was there before goes on; `isKnown`: there is something of that name.
 */
export function separate<Kind extends object>(
  given: readonly ReceivedResource[],
  decode: (name: string, bytes: Uint8Array) => Kind | Refused<Kind>,
  isKnown: (name: string) => boolean,
): { readonly update: readonly Kind[]; readonly rejections: readonly Rejection[] } {
  const update: Kind[] = [];
  const rejections: Rejection[] = [];
  for (const { name, bytes } of given) {
    const decoded = decode(name, bytes);
    if (!('reason' in decoded)) {
      update.push(decoded);
      continue;
    }
    const { reason, instead } = decoded;
    rejections.push({ name, reason });
    if (instead !== undefined && !isKnown(name)) update.push(instead);
  }
  return { update, rejections };
}
