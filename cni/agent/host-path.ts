import { join } from 'node:path';

/**
 * Where a path of the node is found by this process, which sees the node's root at `root`. Only /var/run/… is mounted
 * there, and on the node it is another name of /run/….
 */
export function hostPath(root: string, path: string): string {
  return join(root, path.startsWith('/run/') ? `/var${path}` : path);
}
