import { join } from 'node:path';

import { program, type Running } from './process.ts';
import type { Place, World } from './world.ts';

/** How a node tunnel finds the authority; see `TunnelOptions`. */
export interface NodeAuthority {
  readonly authority: string;
  /** PEM file. */
  readonly authorityRoot: string;
  readonly process: Running;
}

const PORT = 15_012;

/**
 * Starts a certificate authority in a node's or a pod's namespace; all of a world share one root, which the
 * first to start makes. With `ttlSeconds` its certificates live no longer than that.
 */
export async function startNodeAuthority(
  world: World,
  place: Place,
  ttlSeconds?: number,
): Promise<NodeAuthority> {
  const directory = join(world.directory, 'authority');
  const running = world.start(
    place,
    program(
      'tests/bed/certificate-authority.ts',
      directory,
      `127.0.0.1:${PORT}`,
      ...(ttlSeconds === undefined ? [] : [String(ttlSeconds)]),
    ),
  );
  const [authority = ''] = (await running.waitFor(/^ready /)).split(' ').slice(1);
  return { authority, authorityRoot: join(directory, 'root.pem'), process: running };
}
