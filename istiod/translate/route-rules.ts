import { create } from '@bufbuild/protobuf';

import {
  type Backend,
  BackendSchema,
  RetrySchema,
  type Rule,
  RuleSchema,
  ServiceNameSchema,
  type Timeouts,
  TimeoutsSchema,
} from '#api/gen/waypoint_pb.ts';
import { parseDurationMs } from '#common/duration.ts';

import type { RouteRecord } from '../model/route.ts';
import type { ServiceRecord } from '../model/service.ts';
import { isBlank, isPort, list, record, text, type Written } from '../model/written.ts';
import { ENTRY_GROUP } from './references.ts';
import { translateFilters } from './route-filters.ts';
import { grpcMatch, httpMatch } from './route-matches.ts';

/** Finds what requests can be sent to. */
export interface FindBackend {
  /** The Service of a namespace, by its name. */
  service(namespace: string, name: string): ServiceRecord | undefined;
  /** Whatever has the host name, as the namespace `home` means it. */
  host(hostname: string, home: string): ServiceRecord | undefined;
}

/** Unless said otherwise (`retry.attempts`). */
const RETRY_ATTEMPTS = 2;
const CODES = { min: 400, max: 599 };
const ATTEMPTS_MAX = 0xff;
const WEIGHT_MAX = 1_000_000;
/** A duration of the Gateway API (GEP-2257). */
const DURATION = /^([0-9]{1,5}(h|m|s|ms)){1,4}$/;

/** What of a route can't be carried out. */
export interface RouteProblem {
  readonly kind: 'filter' | 'value' | 'backend-kind' | 'backend' | 'backend-port';
  readonly message: string;
}

/** The rules of a route. One whose matches can't be read is left out: it never holds. `problems` gets what is wrong. */
export function translateRules(
  { kind, namespace, rules }: RouteRecord,
  find: FindBackend,
  problems: RouteProblem[] = [],
): readonly Rule[] {
  const matchOf = kind === 'HTTPRoute' ? httpMatch : grpcMatch;
  // Who has no name is called by the number that it has among those that are left.
  let isShifted = false;
  return rules.flatMap((written, index) => {
    const rule = record(written);
    const matches = list(rule['matches']);
    const read = matches.map((one) => matchOf(one));
    const readable = read.filter((match) => typeof match !== 'string');
    const unread = read.find((match) => typeof match === 'string');
    if (unread !== undefined) {
      const message = `rule ${index} has matches that can not be read (${unread})`;
      problems.push({ kind: 'value', message });
    }
    if (matches.length > 0 && readable.length === 0) {
      isShifted = true;
      return [];
    }
    const filters = translateFilters(rule['filters'], 'rule');
    const timeouts = timeoutsOf(rule['timeouts']);
    const retry = retryOf(rule['retry']);
    const values = [timeouts, retry].filter((one) => typeof one === 'string');
    const invalid = [...(filters.kind === 'invalid' ? [filters.reason] : []), ...values];
    if (filters.kind === 'invalid') problems.push({ kind: 'filter', message: filters.reason });
    for (const message of values) problems.push({ kind: 'value', message });
    return [
      create(RuleSchema, {
        name: text(rule['name']) ?? (isShifted ? String(index) : ''),
        matches: readable,
        filters: filters.kind === 'filters' ? [...filters.filters] : [],
        backends: list(rule['backendRefs']).map((ref) =>
          backendOf(record(ref), namespace, { find, problems }),
        ),
        ...(timeouts === undefined || typeof timeouts === 'string' ? {} : { timeouts }),
        ...(retry === undefined || typeof retry === 'string' ? {} : { retry }),
        invalid: invalid.join(', '),
      }),
    ];
  });
}

/** A service of any namespace, or a host of an entry: in a mesh nobody has to grant that. */
function backendOf(
  ref: Written,
  home: string,
  { find, problems }: { find: FindBackend; problems: RouteProblem[] },
): Backend {
  const { weight: said, port: number } = ref;
  const weight = isBlank(said) ? 1 : said;
  const isWeight = typeof weight === 'number' && Number.isInteger(weight) && weight >= 0;
  const base = {
    weight: isWeight ? Math.min(weight, WEIGHT_MAX) : 1,
    port: isPort(number) ? number : 0,
  };
  const invalid = (problem: RouteProblem['kind'], message: string): Backend => {
    problems.push({ kind: problem, message });
    return create(BackendSchema, { ...base, invalid: message });
  };

  const [group, kind] = [ref['group'] ?? '', ref['kind'] ?? 'Service'];
  const isHost = group === ENTRY_GROUP && kind === 'Hostname';
  if (!isHost && (group !== '' || kind !== 'Service'))
    return invalid('backend-kind', `backend of kind ${JSON.stringify(kind)} is not supported`);
  const name = text(ref['name']) ?? '';
  const wanted = text(ref['namespace']) ?? home;
  const what = isHost ? `host ${name}` : `service ${wanted}/${name}`;
  const service = isHost ? find.host(name, home) : find.service(wanted, name);
  if (service === undefined) return invalid('backend', `${what} not found`);
  if (!isPort(number)) return invalid('backend-port', `${what}: a port must be named`);
  if (!service.ports.some((port) => port.number === number))
    return invalid('backend-port', `${what} has no port ${number}`);
  const filters = translateFilters(ref['filters'], 'backend');
  if (filters.kind === 'invalid') return invalid('filter', filters.reason);
  const { namespace, hostname } = service;
  return create(BackendSchema, {
    ...base,
    service: create(ServiceNameSchema, { namespace, hostname }),
    filters: [...filters.filters],
  });
}

/** Undefined: nothing is said. A text: what is wrong with it. */
function timeoutsOf(written: unknown): Timeouts | string | undefined {
  if (isBlank(written)) return undefined;
  const { request, backendRequest } = record(written);
  const requestMs = durationOf(request);
  const backendRequestMs = durationOf(backendRequest);
  if (requestMs === null) return `timeout ${JSON.stringify(request)} is no duration`;
  if (backendRequestMs === null) return `timeout ${JSON.stringify(backendRequest)} is no duration`;
  return create(TimeoutsSchema, {
    ...(requestMs === undefined ? {} : { requestMs }),
    ...(backendRequestMs === undefined ? {} : { backendRequestMs }),
  });
}

function retryOf(written: unknown) {
  if (isBlank(written)) return undefined;
  const { attempts = RETRY_ATTEMPTS, codes, backoff } = record(written);
  const backoffMs = durationOf(backoff);
  if (backoffMs === null) return `backoff ${JSON.stringify(backoff)} is no duration`;
  if (typeof attempts !== 'number' || !Number.isInteger(attempts) || attempts < 0)
    return `${JSON.stringify(attempts)} is no number of attempts`;
  const bad = list(codes).find((code) => !isCode(code));
  if (bad !== undefined) return `${JSON.stringify(bad)} is no status to try again`;
  return create(RetrySchema, {
    attempts: Math.min(attempts, ATTEMPTS_MAX),
    codes: list(codes) as number[],
    backoffMs: backoffMs ?? 0n,
  });
}

/** Milliseconds. Null: it can't be read; undefined: nothing is said. */
function durationOf(written: unknown): bigint | null | undefined {
  if (isBlank(written)) return undefined;
  if (typeof written !== 'string' || !DURATION.test(written)) return null;
  const ms = parseDurationMs(written);
  return ms === undefined ? null : BigInt(ms);
}

function isCode(code: unknown): boolean {
  return (
    typeof code === 'number' && Number.isInteger(code) && code >= CODES.min && code <= CODES.max
  );
}
