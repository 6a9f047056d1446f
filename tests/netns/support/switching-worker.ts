import { readlinkSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';

import { parseSocketAddress } from '#common/net/address.ts';
import { close, errnoName } from '#linux/libc.ts';
import { inNetns, openNetns } from '#linux/netns.ts';
import { listenTcp } from '#linux/socket.ts';

/** Which namespaces a thread saw, inside and outside of its work, and what went wrong. */
export interface Switched {
  readonly inside: readonly string[];
  readonly outside: readonly string[];
  readonly failures: readonly string[];
}

// The same port in both threads, not shared: it works only if each is in its own namespace.
const address = parseSocketAddress('127.0.0.1:15001');
const { name, rounds } = workerData as { name: string; rounds: number };
const here = (): string => readlinkSync('/proc/thread-self/ns/net');

const inside = new Set<string>();
const outside = new Set<string>();
const failures: string[] = [];
const namespace = openNetns(`/run/netns/${name}`);
for (let round = 0; round < rounds; round++) {
  inNetns(namespace, () => {
    inside.add(here());
    if (address === undefined) return;
    const opened = listenTcp({ address, transparent: true, reusePort: false, backlog: 1 });
    if ('fd' in opened) close(opened.fd);
    else failures.push(`${opened.call}: ${errnoName(opened.errno)}`);
  });
  outside.add(here());
}
close(namespace);
const switched: Switched = { inside: [...inside], outside: [...outside], failures };
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a MessagePort has no origin
parentPort?.postMessage(switched);
