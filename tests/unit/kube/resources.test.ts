import { expect } from 'chai';
import { describe, it } from 'mocha';

import { collectionPath } from '#kube/paths.ts';
import * as kinds from '#kube/resources.ts';

describe('ResourceKind', () => {
  const paths: readonly (readonly [kinds.ResourceKind, string])[] = [
    [kinds.PODS, '/api/v1/namespaces/shop/pods'],
    [kinds.NAMESPACES, '/api/v1/namespaces'],
    [kinds.NODES, '/api/v1/nodes'],
    [kinds.SERVICES, '/api/v1/namespaces/shop/services'],
    [kinds.ENDPOINTS, '/api/v1/namespaces/shop/endpoints'],
    [kinds.CONFIG_MAPS, '/api/v1/namespaces/shop/configmaps'],
    [kinds.SECRETS, '/api/v1/namespaces/shop/secrets'],
    [kinds.SERVICE_ACCOUNTS, '/api/v1/namespaces/shop/serviceaccounts'],
    [kinds.EVENTS, '/api/v1/namespaces/shop/events'],
    [kinds.ENDPOINT_SLICES, '/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices'],
    [kinds.DEPLOYMENTS, '/apis/apps/v1/namespaces/shop/deployments'],
    [kinds.REPLICA_SETS, '/apis/apps/v1/namespaces/shop/replicasets'],
    [kinds.DAEMON_SETS, '/apis/apps/v1/namespaces/shop/daemonsets'],
    [kinds.LEASES, '/apis/coordination.k8s.io/v1/namespaces/shop/leases'],
    [kinds.TOKEN_REVIEWS, '/apis/authentication.k8s.io/v1/tokenreviews'],
    [kinds.CRDS, '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'],
    [
      kinds.AUTHORIZATION_POLICIES,
      '/apis/security.istio.io/v1/namespaces/shop/authorizationpolicies',
    ],
    [kinds.PEER_AUTHENTICATIONS, '/apis/security.istio.io/v1/namespaces/shop/peerauthentications'],
    [kinds.SERVICE_ENTRIES, '/apis/networking.istio.io/v1/namespaces/shop/serviceentries'],
    [kinds.WORKLOAD_ENTRIES, '/apis/networking.istio.io/v1/namespaces/shop/workloadentries'],
    [kinds.GATEWAYS, '/apis/gateway.networking.k8s.io/v1/namespaces/shop/gateways'],
    [kinds.GATEWAY_CLASSES, '/apis/gateway.networking.k8s.io/v1/gatewayclasses'],
    [kinds.HTTP_ROUTES, '/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes'],
    [kinds.GRPC_ROUTES, '/apis/gateway.networking.k8s.io/v1/namespaces/shop/grpcroutes'],
  ];

  for (const [kind, path] of paths) {
    it(`finds ${kind.kind} objects at ${path}`, () => {
      expect(collectionPath(kind, 'shop')).to.equal(path);
    });
  }
});

describe('apiVersionOf()', () => {
  it('leaves out the group of core objects', () => {
    expect(kinds.apiVersionOf(kinds.PODS)).to.equal('v1');
    expect(kinds.apiVersionOf(kinds.DEPLOYMENTS)).to.equal('apps/v1');
  });
});

describe('namespacedName()', () => {
  it('is the name alone for what belongs to no namespace', () => {
    expect(kinds.namespacedName({ name: 'one' })).to.equal('one');
    expect(kinds.namespacedName({ name: 'one', namespace: 'shop' })).to.equal('shop/one');
  });

  it('is undone by splitNamespacedName()', () => {
    expect(kinds.splitNamespacedName('one')).to.deep.equal({ namespace: undefined, name: 'one' });
    expect(kinds.splitNamespacedName('shop/one')).to.deep.equal({ namespace: 'shop', name: 'one' });
  });
});
