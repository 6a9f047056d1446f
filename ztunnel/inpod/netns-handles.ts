import { close } from '#linux/libc.ts';
import { duplicateNetns, isDeserted, isNetns, netnsId } from '#linux/netns.ts';

/** What is done with descriptors of network namespaces. */
export interface NetnsHandles {
  /** Which namespace it is: equal for equal namespaces. Undefined when it is no network namespace. */
  identify(fd: number): string | undefined;
  /** A second descriptor, or -errno. */
  duplicate(fd: number): number;
  close(fd: number): void;
  /** Has the pod gone from this namespace? */
  isDeserted(fd: number): boolean;
}

export const netnsHandles: NetnsHandles = {
  identify: (fd) => (isNetns(fd) ? netnsId(fd) : undefined),
  duplicate: duplicateNetns,
  close,
  isDeserted,
};
