import type { Attempt, Validator } from './admission.ts';
import type { UserInfo } from './authentication.ts';
import type {
  Attributes,
  BindingObject,
  PolicyRule,
  RbacPolicy,
  RoleObject,
} from './authorization.ts';
import { forbidden, notFound } from './errors.ts';
import type { StoredObject } from './object.ts';

const GROUP = 'rbac.authorization.k8s.io';
const ROLES = new Set(['roles', 'clusterroles']);
const BINDINGS = new Set(['rolebindings', 'clusterrolebindings']);
/** A refusal lists this many missing rules. */
const LISTED_MAX = 20;

const EVERYTHING: readonly PolicyRule[] = [
  { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
  { verbs: ['*'], nonResourceURLs: ['*'] },
];

/** Nobody gives away what they do not have: neither by writing a role nor by binding one. */
export class EscalationCheck implements Validator {
  readonly #policy: RbacPolicy;

  constructor(policy: RbacPolicy) {
    this.#policy = policy;
  }

  /** @throws ApiError 403, 404 */
  async validate(attempt: Attempt, result: () => StoredObject): Promise<void> {
    const { kind, operation } = attempt;
    if (kind.group !== GROUP || operation === 'DELETE') return;
    if (ROLES.has(kind.plural)) this.#checkRole(attempt, result());
    else if (BINDINGS.has(kind.plural)) this.#checkBinding(attempt, result());
  }

  #checkRole(attempt: Attempt, object: StoredObject): void {
    const { name, namespace = '' } = object.metadata;
    if (this.#may(attempt, { verb: 'escalate', resource: attempt.kind.plural, name, namespace }))
      return;
    const { rules, aggregationRule } = object as unknown as RoleObject;
    // What it will collect is not known either: only who may do everything may have it collect.
    if (aggregationRule !== undefined && !this.#hasAll(attempt))
      throw forbidden(
        attempt.kind,
        name,
        'must have cluster-admin privileges to use the aggregationRule',
      );
    this.#checkRules(attempt, object, rules ?? []);
  }

  #hasAll({ request: { user } }: Attempt): boolean {
    return EVERYTHING.flatMap((rule) => actionsOf(rule, user, '')).every(
      (action) => this.#policy.authorize(action).allowed,
    );
  }

  #checkBinding(attempt: Attempt, object: StoredObject): void {
    const { namespace = '' } = object.metadata;
    const { roleRef } = object as unknown as BindingObject;
    const resource = roleRef.kind === 'Role' ? 'roles' : 'clusterroles';
    if (this.#may(attempt, { verb: 'bind', resource, name: roleRef.name, namespace })) return;
    const rules = this.#policy.roleRules(roleRef, namespace);
    // What the role will allow when it comes is not known.
    if (rules === undefined)
      throw notFound({ group: GROUP, plural: resource, kind: roleRef.kind }, roleRef.name);
    this.#checkRules(attempt, object, rules);
  }

  #may(attempt: Attempt, what: Partial<Attributes> & { readonly verb: string }): boolean {
    const { user } = attempt.request;
    return this.#policy.authorize({ user, group: GROUP, ...what }).allowed;
  }

  #checkRules(attempt: Attempt, object: StoredObject, rules: readonly PolicyRule[]): void {
    const { user } = attempt.request;
    const { name, namespace = '' } = object.metadata;
    const missing = rules.filter((rule) =>
      actionsOf(rule, user, namespace).some((action) => !this.#policy.authorize(action).allowed),
    );
    if (missing.length === 0) return;
    const groups = user.groups.map((group) => JSON.stringify(group)).join(' ');
    const list = missing.slice(0, LISTED_MAX).map(ruleText).join('\n');
    const who = `user ${JSON.stringify(user.username)} (groups=[${groups}])`;
    const why = `${who} is attempting to grant RBAC permissions not currently held:\n${list}`;
    throw forbidden(attempt.kind, name, why);
  }
}

/** Everything that a rule allows, one by one; a "*" stands for itself. */
function actionsOf(rule: PolicyRule, user: UserInfo, namespace: string): readonly Attributes[] {
  return rule.verbs.flatMap((verb) => [
    ...(rule.nonResourceURLs ?? []).map((path) => ({ user, verb, path })),
    ...(rule.apiGroups ?? []).flatMap((group) =>
      (rule.resources ?? []).flatMap((each) => {
        const [resource = '', subresource = ''] = each.split('/', 2);
        const action = { user, verb, group, resource, subresource, namespace };
        const names = rule.resourceNames ?? [];
        return names.length === 0 ? [action] : names.map((name) => ({ ...action, name }));
      }),
    ),
  ]);
}

/** `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}` */
function ruleText(rule: PolicyRule): string {
  const parts: readonly (readonly [string, readonly string[] | undefined])[] = [
    ['APIGroups', rule.apiGroups],
    ['Resources', rule.resources],
    ['ResourceNames', rule.resourceNames],
    ['NonResourceURLs', rule.nonResourceURLs],
    ['Verbs', rule.verbs],
  ];
  const texts = parts.flatMap(([name, list = []]) =>
    list.length === 0 ? [] : [`${name}:[${list.map((each) => JSON.stringify(each)).join(' ')}]`],
  );
  return `{${texts.join(', ')}}`;
}
