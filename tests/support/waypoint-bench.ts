import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';

import { afterEach } from 'mocha';

import type { Loop } from '#reactor/loop.ts';
import type { PlaneLimits } from '#waypoint/worker/limits.ts';

import { useLoop } from './running-loop.ts';
import { TestAuthority } from './tls-material.ts';
import { TestWaypoint } from './waypoint.ts';

const APPLICATION_IP = '127.0.0.2';

/** What the tests of a waypoint's data path need, for one `describe`. */
export interface WaypointBench {
  readonly loop: Loop;
  readonly authority: TestAuthority;
  /** The waypoint of this test, which ends with it; one that the test had before ends now. */
  open(limits?: Partial<PlaneLimits>): TestWaypoint;
  /** Lets an application listen on a free port until the test is over. Gives what `TestWaypoint.serve` wants. */
  listen(server: Server, ip?: string): Promise<{ readonly ip: string; readonly port: number }>;
}

/** A loop on which a fault fails the test, unless the test takes it. */
export function useWaypoint(onFault: Loop['onFault'] = rethrow): WaypointBench {
  const running = useLoop(onFault);
  const authority = new TestAuthority();
  let waypoint: TestWaypoint | undefined;
  const servers: Server[] = [];

  function endWaypoint(): void {
    waypoint?.[Symbol.dispose]();
    waypoint = undefined;
  }

  afterEach(() => {
    endWaypoint();
    for (const server of servers.splice(0)) close(server);
  });

  return {
    get loop(): Loop {
      return running.loop;
    },
    authority,
    open(limits?: Partial<PlaneLimits>): TestWaypoint {
      endWaypoint();
      waypoint = new TestWaypoint(running.loop, authority, limits);
      return waypoint;
    },
    async listen(
      server: Server,
      ip: string = APPLICATION_IP,
    ): Promise<{ readonly ip: string; readonly port: number }> {
      servers.push(server);
      server.listen(0, ip);
      await once(server, 'listening');
      return { ip, port: (server.address() as AddressInfo).port };
    },
  };
}

function rethrow(error: unknown): never {
  throw error;
}

/** Connections that a waypoint keeps open would hold a server of HTTP/1.1 for long. */
function close(server: Server & { closeAllConnections?: () => void }): void {
  server.close();
  server.closeAllConnections?.();
}
