import type { IncomingHttpHeaders } from 'node:http';

import {
  ALL_AUTHENTICATED,
  ALL_UNAUTHENTICATED,
  serviceAccountGroups,
  type UserInfo,
} from './authentication.ts';
import { type Attributes, forbiddenText, type RbacPolicy } from './authorization.ts';
import { badRequest, forbidden } from './errors.ts';

const EXTRA_HEADER = 'impersonate-extra-';
const SERVICE_ACCOUNT = /^system:serviceaccount:([^:]+):([^:]+)$/;

/**
 * The user that a request acts as: the sender, or whom it impersonates and may (kubectl --as).
 *
 * @throws ApiError 400, 403
 */
export function effectiveUser(
  user: UserInfo,
  headers: IncomingHttpHeaders,
  policy: RbacPolicy,
): UserInfo {
  const username = textOf(headers['impersonate-user']);
  const groups = listOf(headers['impersonate-group']);
  const uid = textOf(headers['impersonate-uid']);
  const extra = extraOf(headers);
  if (username === undefined) {
    if (groups.length === 0 && uid === undefined && Object.keys(extra).length === 0) return user;
    throw badRequest(
      'requested impersonation without impersonating a user: want the header Impersonate-User',
    );
  }
  const account = SERVICE_ACCOUNT.exec(username);
  const [, namespace = '', name = ''] = account ?? [];
  const may = (what: Partial<Attributes> & { readonly resource: string }): void => {
    const attributes: Attributes = { user, verb: 'impersonate', group: '', ...what };
    const decision = policy.authorize(attributes);
    if (decision.allowed) return;
    const kind = { group: attributes.group ?? '', plural: what.resource, kind: what.resource };
    throw forbidden(kind, what.name ?? '', forbiddenText(attributes, decision.reason));
  };
  if (account === null) may({ resource: 'users', name: username });
  else may({ resource: 'serviceaccounts', namespace, name });
  for (const group of groups) may({ resource: 'groups', name: group });
  const authentication = 'authentication.k8s.io';
  if (uid !== undefined) may({ group: authentication, resource: 'uids', name: uid });
  for (const [key, values] of Object.entries(extra)) {
    for (const value of values)
      may({ group: authentication, resource: 'userextras', subresource: key, name: value });
  }
  return {
    username,
    ...(uid === undefined ? {} : { uid }),
    groups: effectiveGroups(username, groups, account === null ? undefined : namespace),
    extra,
  };
}

function effectiveGroups(
  username: string,
  groups: readonly string[],
  namespace: string | undefined,
): readonly string[] {
  if (groups.length === 0 && namespace !== undefined) return serviceAccountGroups(namespace);
  const all = username === 'system:anonymous' ? ALL_UNAUTHENTICATED : ALL_AUTHENTICATED;
  return groups.includes(all) ? groups : [...groups, all];
}

function extraOf(headers: IncomingHttpHeaders): Record<string, readonly string[]> {
  const extra = Object.entries(headers).flatMap(([name, value]): [string, readonly string[]][] =>
    name.startsWith(EXTRA_HEADER)
      ? [[decodeKey(name.slice(EXTRA_HEADER.length)), listOf(value)]]
      : [],
  );
  return Object.fromEntries(extra);
}

function decodeKey(key: string): string {
  try {
    return decodeURIComponent(key);
  } catch {
    // Not encoded after all: the key is what was sent.
    return key;
  }
}

function textOf(value: string | string[] | undefined): string | undefined {
  const text = Array.isArray(value) ? value[0] : value;
  return text === '' ? undefined : text;
}

/** Node joins what is sent several times with a comma. */
function listOf(value: string | string[] | undefined): readonly string[] {
  if (value === undefined) return [];
  const texts = Array.isArray(value) ? value : value.split(',');
  return texts.map((text) => text.trim()).filter((text) => text !== '');
}
