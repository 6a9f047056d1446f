import { randomUUID } from 'node:crypto';

import { dropsName, type HeadEdits, headEdits } from '#codec/http1/edits.ts';
import type { RequestPlan, ResponsePlan } from '#codec/http1/write.ts';
import type { Header } from '#codec/http2/field.ts';
import { invariant } from '#common/assert.ts';
import { namespacedHost } from '#dataplane/state/names.ts';
import type { MeshView } from '#dataplane/state/view.ts';

import { corsAnswer } from '../filters/cors.ts';
import { evaluate, type PolicyNotice, type PolicyVerdict } from '../policy/evaluate.ts';
import type { PolicySet } from '../policy/policy-set.ts';
import type { RequestMessage } from '../request/head.ts';
import { normalizePath } from '../request/normalize.ts';
import { pathOf, withoutSlash } from '../routing/match.ts';
import type { PathRewrite, RouteBackend, RouteFilter, RouteRule } from '../routing/model.ts';
import { pickBackend } from '../routing/split.ts';
import type { RouteTable } from '../routing/table.ts';
import type { UpstreamTarget } from '../upstream/endpoint.ts';
import {
  type ConnectionFacts,
  DEFAULT_RETRY,
  type DecidedBy,
  type Decision,
  type RetryPlan,
} from './decision.ts';

/** What decisions are made from. */
export interface DecisionSources {
  readonly view: MeshView;
  readonly routes: RouteTable;
  readonly policies: PolicySet;
  readonly random: () => number;
  /** Something that a policy has to say about a request that goes on. */
  noticed(notice: PolicyNotice, facts: ConnectionFacts): void;
}

type FilterOf<Kind extends RouteFilter['kind']> = Extract<RouteFilter, { readonly kind: Kind }>;

const NO_EDITS: HeadEdits = { dropped: [], appended: [] };
/** Who the client is says its tunnel; nobody may say it in a header. */
const HYGIENE = madeEdits({ remove: ['x-forwarded-client-cert'] });

/** What is done with a request: judge it, find its route, plan what is sent where. */
export function decide(
  sources: DecisionSources,
  facts: ConnectionFacts,
  request: RequestMessage,
): Decision {
  const path = normalizePath(request.path);
  if (path === undefined) return answer({}, 400, 'Bad Request', 'path_normalization_failed');
  request.path = path;
  if (request.method === 'CONNECT') return answer({}, 405, '', 'connect_is_not_served');
  const judged = judge(sources, facts, request);
  if ('kind' in judged) return judged;
  const { target } = facts;
  if (target.kind === 'workload') return forward(request, target, judged, undefined);
  const { service, port } = target;
  const choice = sources.routes.choose(service, port, request);
  if (choice.kind === 'none') return forward(request, target, judged, undefined);
  if (choice.kind === 'no-match') return answer(judged, 404, '', 'route_not_found');
  const { rule, pathPrefix } = choice;
  return follow(sources, request, {
    rule,
    pathPrefix,
    by: { ...judged, route: `${rule.route}/${rule.name}` },
  });
}

/** A reason: the policies do not let a connection in whose bytes nobody looks into. */
export function judgeConnection(
  sources: DecisionSources,
  facts: ConnectionFacts,
): string | undefined {
  const verdict = verdictOf(sources, facts, undefined);
  for (const notice of verdict.notices) sources.noticed(notice, facts);
  return verdict.kind === 'deny' ? verdict.reason : undefined;
}

/** A refusal, or who allowed it. */
function judge(
  sources: DecisionSources,
  facts: ConnectionFacts,
  request: RequestMessage,
): Decision | { readonly policy: string | undefined } {
  const verdict = verdictOf(sources, facts, request);
  for (const notice of verdict.notices) sources.noticed(notice, facts);
  const policy =
    verdict.policy === undefined ? undefined : `${verdict.policy}, rule ${verdict.rule}`;
  if (verdict.kind === 'allow') return { policy };
  return answer({ policy }, 403, 'RBAC: access denied', `rbac_access_denied: ${verdict.reason}`);
}

function verdictOf(
  { policies }: DecisionSources,
  { identity, sourceIp, destination, target }: ConnectionFacts,
  head: RequestMessage | undefined,
): PolicyVerdict {
  const service = target.kind === 'service' ? target.service : undefined;
  const { ip: destinationIp, port: destinationPort } = destination;
  const facts = { identity, sourceIp, destinationIp, destinationPort, head };
  return evaluate(policies.concerning(service), facts);
}

interface Followed {
  readonly rule: RouteRule;
  readonly pathPrefix: string | undefined;
  readonly by: DecidedBy;
}

function follow(
  sources: DecisionSources,
  request: RequestMessage,
  { rule, pathPrefix, by }: Followed,
): Decision {
  if (rule.invalid !== undefined) return unserved(rule, by, `invalid_route: ${rule.invalid}`);
  if (rule.cors === undefined) return lead(sources, request, { rule, pathPrefix, by });
  const cors = corsAnswer(rule.cors, request);
  if (cors.kind === 'preflight') {
    return { ...answer(by, 200, '', 'cors_preflight'), fields: cors.fields };
  }
  return withFields(lead(sources, request, { rule, pathPrefix, by }), cors.fields);
}

/** A rule that can't be carried out: 500; of a GRPCRoute UNAVAILABLE (Gateway API, GRPCRouteRule), which is 503. */
function unserved({ route }: RouteRule, by: DecidedBy, details: string): Decision {
  return answer(by, route.startsWith('GRPCRoute/') ? 503 : 500, '', details);
}

function lead(
  sources: DecisionSources,
  request: RequestMessage,
  { rule, pathPrefix, by }: Followed,
): Decision {
  const redirect = rule.filters.find((filter) => filter.kind === 'redirect');
  if (redirect !== undefined) return redirected(request, redirect, pathPrefix, by);
  const backend = pickBackend(rule, sources.random);
  if (backend === undefined) return unserved(rule, by, 'no_backend_with_weight');
  const { invalid } = backend;
  if (invalid !== undefined) return unserved(rule, by, `invalid_backend: ${invalid}`);
  const { namespace, hostname } = backend.service;
  const service = sources.view.service(namespacedHost(namespace, hostname));
  if (service === undefined) {
    return unserved(rule, by, `unknown_backend: ${namespace}/${hostname}`);
  }
  const target: UpstreamTarget = { kind: 'service', service, port: backend.port };
  return forward(request, target, by, { rule, backend, pathPrefix });
}

function forward(
  request: RequestMessage,
  target: UpstreamTarget,
  by: DecidedBy,
  routed:
    | {
        readonly rule: RouteRule;
        readonly backend: RouteBackend;
        readonly pathPrefix: string | undefined;
      }
    | undefined,
): Decision {
  const plan = routed === undefined ? PLAIN : planFor(routed.rule, routed.backend);
  const { rewrite } = plan;
  const rewritten =
    rewrite === undefined ? request.path : withPath(request.path, rewrite, routed?.pathPrefix);
  const isChanged = rewritten !== request.path || rewritten !== request.http1?.path;
  const requestPlan: RequestPlan = {
    edits: plan.request,
    extra: extraFields(request),
    ...(isChanged ? { path: rewritten } : {}),
    ...(plan.authority === undefined ? {} : { authority: plan.authority }),
  };
  const responsePlan: ResponsePlan = plan.response === NO_EDITS ? {} : { edits: plan.response };
  const { rule } = routed ?? {};
  return {
    kind: 'forward',
    ...by,
    target,
    requestPlan,
    responsePlan,
    timeoutMs: rule?.requestTimeoutMs,
    attemptTimeoutMs: rule?.attemptTimeoutMs,
    retry: plan.retry,
  };
}

// --- What a rule and a backend change, worked out once

interface RulePlan {
  readonly request: HeadEdits;
  readonly response: HeadEdits;
  readonly authority: string | undefined;
  readonly rewrite: PathRewrite | undefined;
  readonly retry: RetryPlan;
}

const PLAIN: RulePlan = {
  request: HYGIENE,
  response: NO_EDITS,
  authority: undefined,
  rewrite: undefined,
  retry: DEFAULT_RETRY,
};
const planOfBackend = new WeakMap<RouteBackend, RulePlan>();

function planFor(rule: RouteRule, backend: RouteBackend): RulePlan {
  const known = planOfBackend.get(backend);
  if (known !== undefined) return known;
  const filters = [...rule.filters, ...backend.filters];
  const merged = (kind: 'request-headers' | 'response-headers', first: HeadEdits): HeadEdits =>
    filters.reduce(
      (before, filter) => (filter.kind === kind ? inOrder(before, filter.edits) : before),
      first,
    );
  const rewrite = filters.findLast((filter) => filter.kind === 'rewrite');
  const plan: RulePlan = {
    request: merged('request-headers', HYGIENE),
    response: merged('response-headers', NO_EDITS),
    authority: rewrite?.hostname,
    rewrite: rewrite?.path,
    // Who asks for retries asks for those of attempts that time out, too (Gateway API, HTTPRouteRetry).
    retry: rule.retry === undefined ? DEFAULT_RETRY : { ...rule.retry, timeouts: true },
  };
  planOfBackend.set(backend, plan);
  return plan;
}

/** What the answer is to say beside what it says; of the same names only `vary` may be there several times. */
function withFields(decision: Decision, fields: readonly Header[]): Decision {
  if (fields.length === 0) return decision;
  if (decision.kind === 'answer') return { ...decision, fields: [...decision.fields, ...fields] };
  const edits = madeEdits({
    set: fields.filter(([name]) => name !== 'vary'),
    add: fields.filter(([name]) => name === 'vary'),
  });
  const responsePlan = { edits: inOrder(decision.responsePlan.edits ?? NO_EDITS, edits) };
  return { ...decision, responsePlan: { ...decision.responsePlan, ...responsePlan } };
}

/** What `second` drops goes, also when `first` has put it there. */
function inOrder(first: HeadEdits, second: HeadEdits): HeadEdits {
  return {
    dropped: [...first.dropped, ...second.dropped],
    appended: [...first.appended.filter(([name]) => !dropsName(second, name)), ...second.appended],
  };
}

/** The target with another path, or another beginning of it; its query stays. */
function withPath(target: string, rewrite: PathRewrite, prefix: string | undefined): string {
  const path = pathOf(target);
  const query = target.slice(path.length);
  if (rewrite.kind === 'full') return rewrite.value + query;
  const rest = path.slice(withoutSlash(prefix ?? '').length);
  const joined = withoutSlash(rewrite.value) + rest;
  return (joined.startsWith('/') ? joined : `/${joined}`) + query;
}

function redirected(
  request: RequestMessage,
  filter: FilterOf<'redirect'>,
  pathPrefix: string | undefined,
  by: DecidedBy,
): Decision {
  const scheme = filter.scheme ?? request.scheme;
  const [, host = '', port = ''] = /^(.*?)(?::([0-9]+))?$/.exec(request.authority) ?? [];
  const hostname = filter.hostname ?? host;
  // Without a port that is asked for: the scheme's own when it changes, otherwise the client's.
  const wanted = filter.port ?? (filter.scheme === undefined ? Number(port) : 0);
  const isUsual = wanted === 0 || wanted === (scheme === 'https' ? 443 : 80);
  const path =
    filter.path === undefined ? request.path : withPath(request.path, filter.path, pathPrefix);
  const location = `${scheme}://${hostname}${isUsual ? '' : `:${wanted}`}${path}`;
  const decision = answer(by, filter.status, '', 'direct_response');
  return { ...decision, fields: [['location', location]], flag: '-' };
}

/** What every request carries on, and some bring along. */
function extraFields(request: RequestMessage): readonly Header[] {
  const extra: Header[] = [];
  if (request.header('x-request-id') === undefined) extra.push(['x-request-id', randomUUID()]);
  if (request.header('x-forwarded-proto') === undefined) {
    extra.push(['x-forwarded-proto', request.scheme]);
  }
  return extra;
}

function answer(
  by: DecidedBy,
  status: number,
  body: string,
  details: string,
): Decision & { readonly kind: 'answer' } {
  const flag = status === 404 ? 'NR' : '-';
  return { kind: 'answer', ...by, status, fields: [], body, flag, details };
}

function madeEdits(given: Parameters<typeof headEdits>[0]): HeadEdits {
  const edits = headEdits(given);
  invariant(!('invalidField' in edits), 'our own edits can be made');
  return edits;
}
