import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  type Attributes,
  type BindingObject,
  forbiddenText,
  RbacPolicy,
  type RoleObject,
} from '#playground/api-server/authorization.ts';
import { defaultBindings, defaultRoles } from '#playground/api-server/default-roles.ts';

const bob = { username: 'bob', groups: ['dev', 'system:authenticated'], extra: {} };
const robot = {
  username: 'system:serviceaccount:shop:till',
  groups: ['system:serviceaccounts', 'system:serviceaccounts:shop', 'system:authenticated'],
  extra: {},
};

type Given =
  | readonly ['Role' | 'ClusterRole', RoleObject]
  | readonly ['RoleBinding' | 'ClusterRoleBinding', BindingObject];

function policyOf(...given: readonly Given[]): RbacPolicy {
  const policy = new RbacPolicy();
  for (const role of defaultRoles()) policy.set('ClusterRole', role);
  for (const binding of defaultBindings()) policy.set('ClusterRoleBinding', binding);
  for (const each of given) {
    if (isRole(each)) policy.set(...each);
    else policy.set(...each);
  }
  return policy;
}

function isRole(given: Given): given is readonly ['Role' | 'ClusterRole', RoleObject] {
  return given[0] === 'Role' || given[0] === 'ClusterRole';
}

function listPods(namespace: string): Omit<Attributes, 'user'> {
  return { verb: 'list', group: '', resource: 'pods', namespace };
}

const circle = (name: string, other: string) => ({
  metadata: { name, labels: { [name]: 'yes' } },
  aggregationRule: { clusterRoleSelectors: [{ matchLabels: { [other]: 'yes' } }] },
});

const viewOfShop = {
  metadata: { name: 'bob', namespace: 'shop' },
  roleRef: { kind: 'ClusterRole', name: 'view' },
  subjects: [{ kind: 'User', name: 'bob' }],
};

describe('RbacPolicy.authorize()', () => {
  it('allows the masters everything', () => {
    const user = { username: 'root', groups: ['system:masters'], extra: {} };
    expect(new RbacPolicy().authorize({ user, ...listPods('') }).allowed).to.equal(true);
  });

  it('allows nobody anything without a binding', () => {
    const decision = policyOf().authorize({ user: bob, ...listPods('shop') });
    expect(decision).to.deep.equal({ allowed: false, reason: '' });
  });

  it('allows in the namespace of a role binding, and nowhere else', () => {
    const policy = policyOf(['RoleBinding', viewOfShop]);
    const allowed = (namespace: string) =>
      policy.authorize({ user: bob, ...listPods(namespace) }).allowed;
    expect([allowed('shop'), allowed('office'), allowed('')]).to.deep.equal([true, false, false]);
  });

  it('gives view no secrets and no writing', () => {
    const policy = policyOf(['RoleBinding', viewOfShop]);
    const secrets = { verb: 'get', group: '', resource: 'secrets', name: 'x', namespace: 'shop' };
    expect(policy.authorize({ user: bob, ...secrets }).allowed).to.equal(false);
    const deletion = { ...listPods('shop'), verb: 'delete', name: 'x' };
    expect(policy.authorize({ user: bob, ...deletion }).allowed).to.equal(false);
  });

  it('counts a removal at once', () => {
    const policy = policyOf(['RoleBinding', viewOfShop]);
    policy.remove('RoleBinding', viewOfShop.metadata);
    expect(policy.authorize({ user: bob, ...listPods('shop') }).allowed).to.equal(false);
  });

  it('tells subresources, names and service accounts apart', () => {
    const role = {
      metadata: { name: 'r', namespace: 'shop' },
      rules: [
        { verbs: ['get'], apiGroups: [''], resources: ['pods/log'], resourceNames: ['one'] },
        { verbs: ['create'], apiGroups: [''], resources: ['serviceaccounts/token'] },
      ],
    };
    const binding = {
      metadata: { name: 'b', namespace: 'shop' },
      roleRef: { kind: 'Role', name: 'r' },
      subjects: [{ kind: 'ServiceAccount', name: 'till', namespace: 'shop' }],
    };
    const policy = policyOf(['Role', role], ['RoleBinding', binding]);
    const log = { verb: 'get', group: '', resource: 'pods', namespace: 'shop' };
    const may = (more: Partial<Attributes>, user = robot) =>
      policy.authorize({ user, ...log, ...more }).allowed;
    expect(may({ subresource: 'log', name: 'one' })).to.equal(true);
    expect(may({ subresource: 'log', name: 'two' })).to.equal(false);
    expect(may({ name: 'one' })).to.equal(false);
    expect(may({ subresource: 'log', name: 'one' }, bob)).to.equal(false);
  });

  it('lets a labelled role widen the built-in view', () => {
    const widened = {
      metadata: {
        name: 'crd-view',
        labels: { 'rbac.authorization.k8s.io/aggregate-to-view': 'true' },
      },
      rules: [{ verbs: ['list'], apiGroups: ['security.istio.io'], resources: ['*'] }],
    };
    const policy = policyOf(['ClusterRole', widened], ['RoleBinding', viewOfShop]);
    const attributes = {
      user: bob,
      verb: 'list',
      group: 'security.istio.io',
      resource: 'authorizationpolicies',
      namespace: 'shop',
    };
    expect(policy.authorize(attributes).allowed).to.equal(true);
  });

  it('ends when roles collect each other in a circle', () => {
    const policy = policyOf(
      ['ClusterRole', circle('a', 'b')],
      ['ClusterRole', circle('b', 'a')],
      [
        'ClusterRoleBinding',
        { ...viewOfShop, metadata: { name: 'x' }, roleRef: { kind: 'ClusterRole', name: 'a' } },
      ],
    );
    expect(policy.authorize({ user: bob, ...listPods('shop') }).allowed).to.equal(false);
  });

  it('says which role a binding names that is not there', () => {
    const dangling = { ...viewOfShop, roleRef: { kind: 'ClusterRole', name: 'gone' } };
    const policy = policyOf(['RoleBinding', dangling]);
    expect(policy.authorize({ user: bob, ...listPods('shop') }).reason).to.equal(
      'RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found',
    );
  });

  it('lets everybody see health and only users discover', () => {
    const policy = policyOf();
    const anonymous = {
      username: 'system:anonymous',
      groups: ['system:unauthenticated'],
      extra: {},
    };
    const may = (user: typeof bob, path: string) =>
      policy.authorize({ user, verb: 'get', path }).allowed;
    expect(may(anonymous, '/livez')).to.equal(true);
    expect(may(anonymous, '/apis')).to.equal(false);
    expect(may(bob, '/apis/apps/v1')).to.equal(true);
    expect(may(bob, '/secret')).to.equal(false);
  });
});

describe('forbiddenText()', () => {
  it('names user, verb, resource, group and place', () => {
    expect(forbiddenText({ user: bob, ...listPods('shop') }, '')).to.equal(
      'User "bob" cannot list resource "pods" in API group "" in the namespace "shop"',
    );
    expect(
      forbiddenText(
        { user: bob, verb: 'update', group: 'apps', resource: 'deployments', subresource: 'scale' },
        'why',
      ),
    ).to.equal(
      'User "bob" cannot update resource "deployments/scale" in API group "apps" at the cluster scope: why',
    );
    expect(forbiddenText({ user: bob, verb: 'get', path: '/x' }, '')).to.equal(
      'User "bob" cannot get path "/x"',
    );
  });
});
