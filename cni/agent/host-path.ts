import { join, normalize } from 'node:path';

/**
 * Where a path of the node is found by this process, which sees the node's root at `root`. Only /var/run/… is mounted
 * there, and on the node it is another name of /run/….
 */
export function hostPath(root: string, path: string): string {
  // From the root: there is nothing above it to get to.
  const plain = normalize(join('/', path));
  return join(root, plain.startsWith('/run/') ? `/var${plain}` : plain);
}
