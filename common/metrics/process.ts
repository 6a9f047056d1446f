import { readdir, readFile } from 'node:fs/promises';
import type { MetricFamily, Sample } from './registry.ts';
import { single } from './registry.ts';

/** What the process itself uses, under the names that all exporters give it. */
export function processFamilies(): readonly MetricFamily[] {
  return [
    {
      kind: 'gauge',
      name: 'process_open_fds',
      help: 'Open file descriptors',
      read: async () => one(await countOpenDescriptors()),
    },
    {
      kind: 'gauge',
      name: 'process_max_fds',
      help: 'The most file descriptors that may be open (soft limit)',
      read: async () => one(readMaxDescriptors(await readFile('/proc/self/limits', 'utf8'))),
    },
    single('counter', 'process_cpu_seconds_total', 'Processor time used, all threads', () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    }),
    single('gauge', 'process_resident_memory_bytes', 'Memory in use', () =>
      process.memoryUsage.rss(),
    ),
    single('gauge', 'process_start_time_seconds', 'Start, in seconds since 1970', () => {
      return performance.timeOrigin / 1_000;
    }),
  ];
}

/** The soft limit of open files in the text of `/proc/<pid>/limits`; Infinity when there is none. */
export function readMaxDescriptors(limits: string): number {
  const soft = /^Max open files\s+(\S+)/m.exec(limits)?.[1];
  return soft === 'unlimited' ? Infinity : Number(soft);
}

async function countOpenDescriptors(): Promise<number> {
  // One of them is the directory that is being read.
  return (await readdir('/proc/self/fd')).length - 1;
}

function one(value: number): readonly Sample[] {
  return [{ labels: {}, value }];
}
