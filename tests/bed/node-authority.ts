import { join } from 'node:path';

import { program } from './process.ts';
import type { Node, World } from './world.ts';

/** How a node tunnel finds the authority; see `TunnelOptions`. */
export interface NodeAuthority {
  readonly authority: string;
  /** PEM file. */
  readonly authorityRoot: string;
}

const PORT = 15_012;

/** Starts a certificate authority in the node's namespace; all nodes of a world share one root. */
export async function startNodeAuthority(world: World, node: Node): Promise<NodeAuthority> {
  const directory = join(world.directory, 'authority');
  const running = world.start(
    node,
    program('tests/bed/certificate-authority.ts', directory, `127.0.0.1:${PORT}`),
  );
  const [authority = ''] = (await running.waitFor(/^ready /)).split(' ').slice(1);
  return { authority, authorityRoot: join(directory, 'root.pem') };
}
