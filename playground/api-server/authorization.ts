import type { UserInfo } from './authentication.ts';

/** One thing that somebody wants to do: with a resource, or with a path that is none. */
export interface Attributes {
  readonly user: UserInfo;
  /** `get`, `list`, `watch`, `create`, … for resources; the lower-case HTTP method for paths. */
  readonly verb: string;
  /** Set: the request is about no resource. */
  readonly path?: string;
  readonly group?: string;
  readonly resource?: string;
  readonly subresource?: string;
  readonly name?: string;
  /** Undefined or empty: the whole cluster. */
  readonly namespace?: string;
}

export interface Decision {
  readonly allowed: boolean;
  /** Which binding allows, or what was wrong with one; may be empty. */
  readonly reason: string;
}

export interface PolicyRule {
  readonly verbs: readonly string[];
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
}

interface Metadata {
  readonly name?: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/** Role and ClusterRole, as far as decisions read them. */
export interface RoleObject {
  readonly metadata: Metadata;
  readonly rules?: readonly PolicyRule[] | null;
  readonly aggregationRule?: {
    readonly clusterRoleSelectors?: readonly {
      readonly matchLabels?: Readonly<Record<string, string>>;
    }[];
  };
}

interface Subject {
  readonly apiGroup?: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
}

/** RoleBinding and ClusterRoleBinding, as far as decisions read them. */
export interface BindingObject {
  readonly metadata: Metadata;
  readonly roleRef: { readonly apiGroup?: string; readonly kind: string; readonly name: string };
  readonly subjects?: readonly Subject[] | null;
}

export type RbacKind = 'Role' | 'ClusterRole' | 'RoleBinding' | 'ClusterRoleBinding';

/** One binding that concerns a user: its rules count in `namespace`, or everywhere. */
interface Grant {
  readonly rules: readonly PolicyRule[];
  readonly source: string;
}

const MASTERS = 'system:masters';
/** Roles that collect roles that collect roles: admin, edit, view are three. Labels can make circles. */
const AGGREGATION_DEPTH_MAX = 4;

/** Role-based access control over the roles and bindings that it was given. Decides, changes nothing. */
export class RbacPolicy {
  readonly #roles = new Map<string, RoleObject>();
  readonly #bindings = new Map<string, BindingObject>();
  /** Namespace ('' for the whole cluster) → keys of the bindings there. */
  readonly #bindingsIn = new Map<string, Set<string>>();

  set(kind: 'Role' | 'ClusterRole', object: RoleObject): void;
  set(kind: 'RoleBinding' | 'ClusterRoleBinding', object: BindingObject): void;
  set(kind: RbacKind, object: RoleObject | BindingObject): void {
    const key = keyOf(kind, object.metadata);
    if ('roleRef' in object) {
      this.#bindings.set(key, object);
      const namespace = object.metadata.namespace ?? '';
      const keys = this.#bindingsIn.get(namespace) ?? new Set();
      this.#bindingsIn.set(namespace, keys.add(key));
    } else {
      this.#roles.set(key, object);
    }
  }

  remove(kind: RbacKind, metadata: Metadata): void {
    const key = keyOf(kind, metadata);
    this.#roles.delete(key);
    this.#bindings.delete(key);
    const namespace = metadata.namespace ?? '';
    const keys = this.#bindingsIn.get(namespace);
    keys?.delete(key);
    if (keys?.size === 0) this.#bindingsIn.delete(namespace);
  }

  authorize(attributes: Attributes): Decision {
    const { user } = attributes;
    if (user.groups.includes(MASTERS)) return { allowed: true, reason: '' };
    const problems: string[] = [];
    const namespaces =
      attributes.path === undefined && attributes.namespace ? ['', attributes.namespace] : [''];
    for (const namespace of namespaces) {
      for (const grant of this.#grants(user, namespace, problems)) {
        if (grant.rules.some((rule) => ruleAllows(rule, attributes)))
          return { allowed: true, reason: `RBAC: allowed by ${grant.source}` };
      }
    }
    return {
      allowed: false,
      reason: problems.length === 0 ? '' : `RBAC: ${problems.join(', ')}`,
    };
  }

  /** All rules that apply to a user in a namespace. */
  rulesFor(
    user: UserInfo,
    namespace: string,
  ): { rules: readonly PolicyRule[]; problems: readonly string[] } {
    const problems: string[] = [];
    const rules: PolicyRule[] = [];
    if (user.groups.includes(MASTERS))
      rules.push(
        { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
        { verbs: ['*'], nonResourceURLs: ['*'] },
      );
    for (const where of new Set(['', namespace])) {
      for (const grant of this.#grants(user, where, problems)) rules.push(...grant.rules);
    }
    return { rules, problems };
  }

  /** The rules of the role that a binding names; undefined when there is no such role. */
  roleRules(
    reference: BindingObject['roleRef'],
    namespace: string,
  ): readonly PolicyRule[] | undefined {
    const kind = reference.kind === 'Role' ? 'Role' : 'ClusterRole';
    const place = { name: reference.name, namespace: kind === 'Role' ? namespace : '' };
    const role = this.#roles.get(keyOf(kind, place));
    return role && this.#rulesOf(role);
  }

  *#grants(user: UserInfo, namespace: string, problems: string[]): Generator<Grant> {
    for (const key of this.#bindingsIn.get(namespace) ?? []) {
      const binding = this.#bindings.get(key);
      const subject = binding?.subjects?.find((each) => isSubject(user, each, namespace));
      if (binding === undefined || subject === undefined) continue;
      const { kind, name } = binding.roleRef;
      const role = this.#roles.get(
        keyOf(kind === 'Role' ? 'Role' : 'ClusterRole', {
          name,
          namespace: kind === 'Role' ? namespace : '',
        }),
      );
      if (role === undefined) {
        problems.push(`${kind.toLowerCase()}.rbac.authorization.k8s.io "${name}" not found`);
        continue;
      }
      const bindingKind = namespace === '' ? 'ClusterRoleBinding' : 'RoleBinding';
      const where = namespace === '' ? '' : `/${namespace}`;
      yield {
        rules: this.#rulesOf(role),
        source: `${bindingKind} "${binding.metadata.name ?? ''}${where}" of ${kind} "${name}" to ${subject.kind} "${subject.name}"`,
      };
    }
  }

  /** A role's own rules, and those of the roles that it collects by label. */
  #rulesOf(role: RoleObject, depth = 0): readonly PolicyRule[] {
    const selectors = role.aggregationRule?.clusterRoleSelectors;
    const own = role.rules ?? [];
    if (selectors === undefined || depth === AGGREGATION_DEPTH_MAX) return own;
    const collected = [...this.#roles.values()].filter(
      (other) =>
        other !== role &&
        (other.metadata.namespace ?? '') === '' &&
        selectors.some((selector) => hasLabels(other, selector.matchLabels)),
    );
    return [...own, ...collected.flatMap((each) => this.#rulesOf(each, depth + 1))];
  }
}

/** What a refused request is told, in the words that a real API server uses. */
export function forbiddenText(attributes: Attributes, reason: string): string {
  const { user, verb, path, group = '', resource = '', subresource, namespace } = attributes;
  const who = `User ${JSON.stringify(user.username)} cannot ${verb}`;
  const why = reason === '' ? '' : `: ${reason}`;
  if (path !== undefined) return `${who} path ${JSON.stringify(path)}${why}`;
  const what = subresource ? `${resource}/${subresource}` : resource;
  const where = namespace ? `in the namespace "${namespace}"` : 'at the cluster scope';
  return `${who} resource "${what}" in API group "${group}" ${where}${why}`;
}

function keyOf(kind: RbacKind, metadata: Metadata): string {
  return `${kind}/${metadata.namespace ?? ''}/${metadata.name ?? ''}`;
}

function isSubject(user: UserInfo, subject: Subject, bindingNamespace: string): boolean {
  switch (subject.kind) {
    case 'User':
      return subject.name === user.username || subject.name === '*';
    case 'Group':
      return user.groups.includes(subject.name);
    case 'ServiceAccount': {
      const namespace = subject.namespace ?? bindingNamespace;
      return user.username === `system:serviceaccount:${namespace}:${subject.name}`;
    }
    default:
      return false;
  }
}

function ruleAllows(rule: PolicyRule, attributes: Attributes): boolean {
  if (!includesOrAll(rule.verbs, attributes.verb)) return false;
  const { path } = attributes;
  if (path !== undefined)
    return (rule.nonResourceURLs ?? []).some((pattern) => pathMatches(pattern, path));
  const { group = '', resource = '', subresource, name } = attributes;
  if (!includesOrAll(rule.apiGroups, group)) return false;
  const wanted = subresource ? `${resource}/${subresource}` : resource;
  const resources = rule.resources ?? [];
  const named =
    includesOrAll(resources, wanted) || (!!subresource && resources.includes(`*/${subresource}`));
  if (!named) return false;
  const names = rule.resourceNames ?? [];
  return names.length === 0 || (!!name && names.includes(name));
}

function includesOrAll(list: readonly string[] | undefined, value: string): boolean {
  return list !== undefined && (list.includes(value) || list.includes('*'));
}

function pathMatches(pattern: string, path: string): boolean {
  return pattern.endsWith('*') ? path.startsWith(pattern.slice(0, -1)) : pattern === path;
}

function hasLabels(
  role: RoleObject,
  labels: Readonly<Record<string, string>> | undefined,
): boolean {
  const own = role.metadata.labels ?? {};
  return Object.entries(labels ?? {}).every(([key, value]) => own[key] === value);
}
