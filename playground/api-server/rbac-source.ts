import { type BindingObject, type RbacKind, RbacPolicy, type RoleObject } from './authorization.ts';
import type { StoredObject } from './object.ts';
import type { Store } from './store.ts';

const RBAC_KINDS: Readonly<Record<RbacKind, string>> = {
  Role: 'roles',
  ClusterRole: 'clusterroles',
  RoleBinding: 'rolebindings',
  ClusterRoleBinding: 'clusterrolebindings',
};

/** A policy that follows the roles and bindings of a store: a change counts from the next request on. */
export function policyFromStore(store: Store): RbacPolicy {
  const policy = new RbacPolicy();
  for (const [kind, plural] of Object.entries(RBAC_KINDS) as [RbacKind, string][]) {
    const served = store.registry.find('rbac.authorization.k8s.io', 'v1', plural);
    if (served === undefined) continue;
    for (const object of store.list(served).items) setIn(policy, kind, object);
    store.observe(served, ({ type, object }) => {
      if (type === 'DELETED') policy.remove(kind, object.metadata);
      else setIn(policy, kind, object);
    });
  }
  return policy;
}

function setIn(policy: RbacPolicy, kind: RbacKind, object: StoredObject): void {
  if (kind === 'Role' || kind === 'ClusterRole') policy.set(kind, object as RoleObject);
  else policy.set(kind, object as unknown as BindingObject);
}
