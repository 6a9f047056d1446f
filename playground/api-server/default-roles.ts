import type { BindingObject, PolicyRule, RoleObject } from './authorization.ts';

/** A role or binding as it is stored when the cluster starts. */
export interface DefaultObject {
  readonly apiVersion: 'rbac.authorization.k8s.io/v1';
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
}
export type DefaultRole = DefaultObject & RoleObject & { readonly kind: 'ClusterRole' };
export type DefaultBinding = DefaultObject &
  BindingObject & { readonly kind: 'ClusterRoleBinding' };

const API = 'rbac.authorization.k8s.io/v1';
const RBAC_GROUP = 'rbac.authorization.k8s.io';
const BOOTSTRAPPING = 'kubernetes.io/bootstrapping';
const AGGREGATE_TO = 'rbac.authorization.k8s.io/aggregate-to-';

const READ = ['get', 'list', 'watch'] as const;
const WRITE = ['create', 'delete', 'deletecollection', 'patch', 'update'] as const;
const ALL = ['*'] as const;

const viewed: readonly PolicyRule[] = [
  rule(
    READ,
    [''],
    [
      'configmaps',
      'endpoints',
      'persistentvolumeclaims',
      'persistentvolumeclaims/status',
      'pods',
      'replicationcontrollers',
      'replicationcontrollers/scale',
      'serviceaccounts',
      'services',
      'services/status',
      'bindings',
      'events',
      'limitranges',
      'namespaces/status',
      'pods/log',
      'pods/status',
      'replicationcontrollers/status',
      'resourcequotas',
      'resourcequotas/status',
      'namespaces',
    ],
  ),
  rule(READ, ['discovery.k8s.io'], ['endpointslices']),
  rule(
    READ,
    ['apps'],
    [
      'controllerrevisions',
      'daemonsets',
      'daemonsets/status',
      'deployments',
      'deployments/scale',
      'deployments/status',
      'replicasets',
      'replicasets/scale',
      'replicasets/status',
      'statefulsets',
      'statefulsets/scale',
      'statefulsets/status',
    ],
  ),
  rule(READ, ['autoscaling'], ['horizontalpodautoscalers', 'horizontalpodautoscalers/status']),
  rule(READ, ['batch'], ['cronjobs', 'cronjobs/status', 'jobs', 'jobs/status']),
  rule(READ, ['policy'], ['poddisruptionbudgets', 'poddisruptionbudgets/status']),
  rule(READ, ['networking.k8s.io'], ['ingresses', 'ingresses/status', 'networkpolicies']),
];

const edited: readonly PolicyRule[] = [
  rule(
    READ,
    [''],
    ['pods/attach', 'pods/exec', 'pods/portforward', 'pods/proxy', 'secrets', 'services/proxy'],
  ),
  rule(['impersonate'], [''], ['serviceaccounts']),
  rule(
    WRITE,
    [''],
    [
      'pods',
      'pods/attach',
      'pods/exec',
      'pods/portforward',
      'pods/proxy',
      'configmaps',
      'events',
      'persistentvolumeclaims',
      'replicationcontrollers',
      'endpoints',

      'replicationcontrollers/scale',
      'secrets',
      'serviceaccounts',
      'services',
      'services/proxy',
    ],
  ),
  rule(['create'], [''], ['pods/eviction', 'serviceaccounts/token']),
  rule(WRITE, ['discovery.k8s.io'], ['endpointslices']),
  rule(
    WRITE,
    ['apps'],
    [
      'daemonsets',
      'deployments',
      'deployments/rollback',
      'deployments/scale',
      'replicasets',
      'replicasets/scale',
      'statefulsets',
      'statefulsets/scale',
    ],
  ),
  rule(WRITE, ['autoscaling'], ['horizontalpodautoscalers']),
  rule(WRITE, ['batch'], ['cronjobs', 'jobs']),
  rule(WRITE, ['policy'], ['poddisruptionbudgets']),
  rule(WRITE, ['networking.k8s.io'], ['ingresses', 'networkpolicies']),
  rule([...READ, ...WRITE], ['coordination.k8s.io'], ['leases']),
];

const administered: readonly PolicyRule[] = [
  rule(['create'], ['authorization.k8s.io'], ['localsubjectaccessreviews']),
  rule([...READ, ...WRITE], [RBAC_GROUP], ['roles', 'rolebindings']),
];

/**
 * What a node agent may do. It sees more than in a cluster with the node authorizer, which looks at
 * which objects belong to the node's pods; what it may change is narrowed by admission.
 */
const ofNodes: readonly PolicyRule[] = [
  rule(['create'], ['authentication.k8s.io'], ['tokenreviews']),
  rule(['create'], ['authorization.k8s.io'], ['localsubjectaccessreviews', 'subjectaccessreviews']),
  rule(READ, [''], ['services', 'configmaps', 'secrets', 'serviceaccounts', 'namespaces']),
  rule(READ, [''], ['persistentvolumeclaims', 'persistentvolumes', 'endpoints']),
  rule([...READ, 'create', 'patch', 'update', 'delete'], [''], ['nodes']),
  rule(['patch', 'update'], [''], ['nodes/status', 'pods/status']),
  rule([...READ, 'create', 'delete'], [''], ['pods']),
  rule(['create', 'patch', 'update'], [''], ['events']),
  rule(['create'], [''], ['pods/eviction', 'serviceaccounts/token']),
  rule(['create', 'get', 'patch', 'update', 'delete'], ['coordination.k8s.io'], ['leases']),
  rule(['create', 'patch', 'update'], ['events.k8s.io'], ['events']),
  rule(READ, ['discovery.k8s.io'], ['endpointslices']),
  rule(READ, ['node.k8s.io'], ['runtimeclasses']),
];

const discoveryPaths = [
  '/api',
  '/api/*',
  '/apis',
  '/apis/*',
  '/healthz',
  '/livez',
  '/openapi',
  '/openapi/*',
  '/readyz',
  '/version',
  '/version/',
];

/** The cluster roles that every cluster has, as far as the people and programs of a mesh use them. */
export function defaultRoles(): readonly DefaultRole[] {
  return [
    role('cluster-admin', [rule(ALL, ALL, ALL), { verbs: ALL, nonResourceURLs: ALL }]),
    aggregated('admin', [...viewed, ...edited, ...administered]),
    aggregated('edit', [...viewed, ...edited], 'admin'),
    aggregated('view', viewed, 'edit'),
    role('system:discovery', [{ verbs: ['get'], nonResourceURLs: discoveryPaths }]),
    role('system:public-info-viewer', [
      {
        verbs: ['get'],
        nonResourceURLs: ['/healthz', '/livez', '/readyz', '/version', '/version/'],
      },
    ]),
    role('system:basic-user', [
      rule(
        ['create'],
        ['authorization.k8s.io'],
        ['selfsubjectaccessreviews', 'selfsubjectrulesreviews'],
      ),
      rule(['create'], ['authentication.k8s.io'], ['selfsubjectreviews']),
    ]),
    role('system:service-account-issuer-discovery', [
      {
        verbs: ['get'],
        nonResourceURLs: [
          '/.well-known/openid-configuration',
          '/openid/v1/jwks',
          '/openid/v1/jwks/',
        ],
      },
    ]),
    role('system:auth-delegator', [
      rule(['create'], ['authentication.k8s.io'], ['tokenreviews']),
      rule(['create'], ['authorization.k8s.io'], ['subjectaccessreviews']),
    ]),
    role('system:node', ofNodes),
    role('system:kubelet-api-admin', [
      rule([...READ, 'proxy'], [''], ['nodes']),
      rule(
        ALL,
        [''],
        [
          'nodes/log',
          'nodes/metrics',
          'nodes/proxy',
          'nodes/stats',
          'nodes/configz',
          'nodes/healthz',
          'nodes/pods',
        ],
      ),
    ]),
  ];
}

/** Who has the default roles. */
export function defaultBindings(): readonly DefaultBinding[] {
  return [
    binding('cluster-admin', 'cluster-admin', ['system:masters']),
    binding('system:discovery', 'system:discovery', ['system:authenticated']),
    binding('system:basic-user', 'system:basic-user', ['system:authenticated']),
    binding('system:public-info-viewer', 'system:public-info-viewer', [
      'system:authenticated',
      'system:unauthenticated',
    ]),
    binding('system:service-account-issuer-discovery', 'system:service-account-issuer-discovery', [
      'system:serviceaccounts',
    ]),
    binding('system:node', 'system:node', ['system:nodes']),
  ];
}

function rule(
  verbs: readonly string[],
  apiGroups: readonly string[],
  resources: readonly string[],
): PolicyRule {
  return { verbs, apiGroups, resources };
}

function role(name: string, rules: readonly PolicyRule[]): DefaultRole {
  return { apiVersion: API, kind: 'ClusterRole', metadata: metadata(name), rules };
}

/** A role that also has the rules of every role labelled for it, as CRD authors expect. */
function aggregated(name: string, rules: readonly PolicyRule[], into?: string): DefaultRole {
  const labels = into === undefined ? {} : { [`${AGGREGATE_TO}${into}`]: 'true' };
  return {
    ...role(name, rules),
    metadata: metadata(name, labels),
    aggregationRule: {
      clusterRoleSelectors: [{ matchLabels: { [`${AGGREGATE_TO}${name}`]: 'true' } }],
    },
  };
}

function binding(name: string, roleName: string, groups: readonly string[]): DefaultBinding {
  return {
    apiVersion: API,
    kind: 'ClusterRoleBinding',
    metadata: metadata(name),
    roleRef: { apiGroup: RBAC_GROUP, kind: 'ClusterRole', name: roleName },
    subjects: groups.map((group) => ({ apiGroup: RBAC_GROUP, kind: 'Group', name: group })),
  };
}

function metadata(
  name: string,
  labels: Readonly<Record<string, string>> = {},
): DefaultObject['metadata'] {
  return { name, labels: { [BOOTSTRAPPING]: 'rbac-defaults', ...labels } };
}
