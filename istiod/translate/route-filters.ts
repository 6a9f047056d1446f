import { create } from '@bufbuild/protobuf';

import {
  type Filter,
  FilterSchema,
  HeaderModifierSchema,
  HeaderSchema,
  type PathRewrite,
  PathRewriteSchema,
  RedirectSchema,
  RewriteSchema,
} from '#api/gen/waypoint_pb.ts';
import { isBlank, isPort, list, record, text, type Written } from '../model/written.ts';
import { translateCors } from './route-cors.ts';

export type TranslatedFilters =
  | { readonly kind: 'filters'; readonly filters: readonly Filter[] }
  /** What the filters would do is not left out in silence: the rule can't be carried out. */
  | { readonly kind: 'invalid'; readonly reason: string };

/** What changes where a request goes, or whether, can't wait until a backend is drawn. */
const OF_RULES: readonly unknown[] = ['RequestRedirect', 'CORS'];

/** The `filters` of a rule or of a backend, all or none. */
export function translateFilters(written: unknown, of: 'rule' | 'backend'): TranslatedFilters {
  const filters: Filter[] = [];
  for (const one of list(written)) {
    const { type } = record(one);
    if (of === 'backend' && OF_RULES.includes(type)) {
      return { kind: 'invalid', reason: `filter ${JSON.stringify(type)} can not be a backend's` };
    }
    const filter = translateFilter(record(one));
    if (typeof filter === 'string') return { kind: 'invalid', reason: filter };
    filters.push(filter);
  }
  return { kind: 'filters', filters };
}

/** The filter, or what is wrong with it. */
function translateFilter(written: Written): Filter | string {
  switch (written['type']) {
    case 'RequestHeaderModifier':
      return modifier('requestHeaders', record(written['requestHeaderModifier']));
    case 'ResponseHeaderModifier':
      return modifier('responseHeaders', record(written['responseHeaderModifier']));
    case 'RequestRedirect':
      return redirect(record(written['requestRedirect']));
    case 'URLRewrite':
      return rewrite(record(written['urlRewrite']));
    case 'CORS': {
      const cors = translateCors(record(written['cors']));
      if (typeof cors === 'string') return cors;
      return create(FilterSchema, { kind: { case: 'cors', value: cors } });
    }
    default:
      return `filter ${JSON.stringify(written['type'])} is not supported`;
  }
}

/** What frames a message and says where it goes is the proxy's own affair. */
const UNTOUCHABLE: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
]);
const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
/** RFC 9110 section 5.5, without blanks around it. */
const HEADER_VALUE = /^(?![\t ])[\t\x20-\x7e\x80-\xff]*(?<![\t ])$/;

function modifier(
  which: 'requestHeaders' | 'responseHeaders',
  { set, add, remove }: Written,
): Filter | string {
  const removed = list(remove).map((name) => String(name).toLowerCase());
  const [toSet, toAdd] = [pairs(set), pairs(add)];
  for (const name of [...[...toSet, ...toAdd].map((pair) => pair.name), ...removed]) {
    if (!HEADER_NAME.test(name) || UNTOUCHABLE.has(name))
      return `header ${JSON.stringify(name)} can not be changed`;
  }
  const bad = [...toSet, ...toAdd].find(({ value }) => !HEADER_VALUE.test(value));
  if (bad !== undefined) return `header ${bad.name} can not have the value that it is to get`;
  const value = create(HeaderModifierSchema, {
    set: toSet.map((pair) => create(HeaderSchema, pair)),
    add: toAdd.map((pair) => create(HeaderSchema, pair)),
    remove: removed,
  });
  return create(FilterSchema, { kind: { case: which, value } });
}

function pairs(written: unknown): { readonly name: string; readonly value: string }[] {
  return list(written).map((one) => {
    const { name, value } = record(one);
    return { name: String(name).toLowerCase(), value: typeof value === 'string' ? value : '' };
  });
}

const REDIRECT_STATUS = 302;
const SCHEMES: readonly unknown[] = ['http', 'https'];
const REDIRECT_STATUSES: readonly unknown[] = [301, 302, 303, 307, 308];

function redirect({ scheme, hostname, path, port, statusCode }: Written): Filter | string {
  const rewritten = pathRewrite(path);
  if (typeof rewritten === 'string') return rewritten;
  const status = statusCode ?? REDIRECT_STATUS;
  if (!REDIRECT_STATUSES.includes(status))
    return `a redirect can not have the status ${JSON.stringify(status)}`;
  if (!isBlank(scheme) && !SCHEMES.includes(scheme))
    return `a redirect can not have the scheme ${JSON.stringify(scheme)}`;
  if (!isHostname(hostname)) return `${JSON.stringify(hostname)} is no host name`;
  if (!isBlank(port) && !isPort(port))
    return `a redirect can not have the port ${JSON.stringify(port)}`;
  const value = create(RedirectSchema, {
    scheme: text(scheme) ?? '',
    hostname: text(hostname) ?? '',
    ...(rewritten === undefined ? {} : { path: rewritten }),
    port: isPort(port) ? port : 0,
    status: Number(status),
  });
  return create(FilterSchema, { kind: { case: 'redirect', value } });
}

function rewrite({ hostname, path }: Written): Filter | string {
  if (!isHostname(hostname)) return `${JSON.stringify(hostname)} is no host name`;
  const rewritten = pathRewrite(path);
  if (typeof rewritten === 'string') return rewritten;
  const value = create(RewriteSchema, {
    hostname: text(hostname) ?? '',
    ...(rewritten === undefined ? {} : { path: rewritten }),
  });
  return create(FilterSchema, { kind: { case: 'rewrite', value } });
}

/** Of what becomes part of a head; it may be left out. */
function isHostname(value: unknown): boolean {
  return isBlank(value) || (typeof value === 'string' && /^[0-9A-Za-z.-]*$/.test(value));
}

function pathRewrite(written: unknown): PathRewrite | string | undefined {
  if (isBlank(written)) return undefined;
  const { type, replaceFullPath, replacePrefixMatch } = record(written);
  if (type === 'ReplaceFullPath' && typeof replaceFullPath === 'string')
    return create(PathRewriteSchema, { kind: { case: 'full', value: replaceFullPath } });
  if (type === 'ReplacePrefixMatch' && typeof replacePrefixMatch === 'string')
    return create(PathRewriteSchema, { kind: { case: 'prefix', value: replacePrefixMatch } });
  return `a path can not be replaced by ${JSON.stringify(type)}`;
}
