import type { EnvReader } from '#common/env.ts';

// More than any machine's processors that a tunnel could keep busy.
const WORKERS_MAX = 256;

/**
 * How many worker threads move bytes: what `ZTUNNEL_WORKER_THREADS` says (a number, a share of the
 * processors, 0 for all of them), else the container's limit, else a quarter of the processors, but
 * at least what the container requests, and at least 2.
 */
export function readWorkerThreads(reader: EnvReader, cpus: number): number {
  const wanted = reader.text('ZTUNNEL_WORKER_THREADS');
  if (wanted === undefined) return defaultWorkerThreads(reader, cpus);
  const percent = /^([0-9]{1,3})%$/.exec(wanted)?.[1];
  if (percent !== undefined && Number(percent) >= 1 && Number(percent) <= 100) {
    return Math.max(1, Math.ceil((cpus * Number(percent)) / 100));
  }
  if (/^[0-9]{1,3}$/.test(wanted) && Number(wanted) <= WORKERS_MAX) {
    return Number(wanted) === 0 ? Math.min(cpus, WORKERS_MAX) : Number(wanted);
  }
  reader.refuse(
    `Cannot read ZTUNNEL_WORKER_THREADS=${JSON.stringify(wanted)}: want 0 (all cores), 1 to ${WORKERS_MAX}, or "1%" to "100%"`,
  );
  return 1;
}

function defaultWorkerThreads(reader: EnvReader, cpus: number): number {
  const limit =
    readCores(reader, 'ZTUNNEL_CPU_LIMIT') ?? readCores(reader, 'ZTUNNEL_RESOURCE_CPU_LIMIT');
  if (limit !== undefined) return Math.min(limit, WORKERS_MAX);
  const requested = readCores(reader, 'ZTUNNEL_RESOURCE_CPU_REQUEST') ?? 0;
  return Math.min(Math.max(Math.ceil(cpus / 4), requested, 2), WORKERS_MAX);
}

/** A Kubernetes quantity of processors (`2`, `1.5`, `500m`), as whole threads. */
function readCores(reader: EnvReader, name: string): number | undefined {
  const value = reader.text(name);
  if (value === undefined) return undefined;
  const [, amount, milli] = /^([0-9]{1,6}(?:\.[0-9]{1,6})?)(m?)$/.exec(value) ?? [];
  const cores = Math.ceil(Number(amount) / (milli === 'm' ? 1_000 : 1));
  if (cores >= 1) return cores;
  reader.refuse(
    `Cannot read ${name}=${JSON.stringify(value)}: want a number of processors such as "2" or "500m"`,
  );
  return undefined;
}
