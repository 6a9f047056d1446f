import type { PrinterColumn, ScalePaths, ServedKind } from './kinds.ts';
import { builtinSchema } from './schema/builtin.ts';

/** The kinds that are served from the start, each with the schema of its published API. */
export function builtinKinds(): readonly ServedKind[] {
  return rows.map(servedKind);
}

interface Row {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly short?: string;
  readonly singular?: string;
  readonly clusterWide?: true;
  readonly inAll?: true;
  readonly subresources?: string;
  readonly scale?: ScalePaths;
  readonly storageKey?: string;
  readonly fields?: string;
  readonly columns?: readonly PrinterColumn[];
}

const REPLICAS: ScalePaths = {
  specReplicasPath: '.spec.replicas',
  statusReplicasPath: '.status.replicas',
  labelSelectorPath: '.status.selector',
};

const core = { group: '', version: 'v1' };
const apps = { group: 'apps', version: 'v1' };
const rbac = { group: 'rbac.authorization.k8s.io', version: 'v1' };
const admission = {
  group: 'admissionregistration.k8s.io',
  version: 'v1',
  clusterWide: true,
} as const;

const EVENT_FIELDS =
  'involvedObject.kind involvedObject.namespace involvedObject.name involvedObject.uid ' +
  'involvedObject.apiVersion involvedObject.resourceVersion involvedObject.fieldPath ' +
  'reason reportingComponent source type';

const rows: readonly Row[] = [
  {
    ...core,
    plural: 'pods',
    kind: 'Pod',
    short: 'po',
    inAll: true,
    subresources: 'status log exec attach portforward binding eviction ephemeralcontainers proxy',
    fields:
      'spec.nodeName spec.restartPolicy spec.schedulerName spec.serviceAccountName ' +
      'spec.hostNetwork status.phase status.podIP status.podIPs status.nominatedNodeName',
  },
  {
    ...core,
    plural: 'services',
    kind: 'Service',
    short: 'svc',
    inAll: true,
    subresources: 'status proxy',
    fields: 'spec.clusterIP spec.type',
  },
  { ...core, plural: 'endpoints', singular: 'endpoints', kind: 'Endpoints', short: 'ep' },
  { ...core, plural: 'configmaps', kind: 'ConfigMap', short: 'cm' },
  { ...core, plural: 'secrets', kind: 'Secret', fields: 'type' },
  {
    ...core,
    plural: 'serviceaccounts',
    kind: 'ServiceAccount',
    short: 'sa',
    subresources: 'token',
  },
  {
    ...core,
    plural: 'namespaces',
    kind: 'Namespace',
    short: 'ns',
    clusterWide: true,
    subresources: 'status finalize',
    fields: 'status.phase',
  },
  {
    ...core,
    plural: 'nodes',
    kind: 'Node',
    short: 'no',
    clusterWide: true,
    subresources: 'status proxy',
    fields: 'spec.unschedulable',
  },
  { ...core, plural: 'events', kind: 'Event', short: 'ev', fields: EVENT_FIELDS },
  {
    ...core,
    plural: 'persistentvolumeclaims',
    kind: 'PersistentVolumeClaim',
    short: 'pvc',
    subresources: 'status',
  },
  {
    ...core,
    plural: 'persistentvolumes',
    kind: 'PersistentVolume',
    short: 'pv',
    clusterWide: true,
    subresources: 'status',
  },
  {
    ...core,
    plural: 'resourcequotas',
    kind: 'ResourceQuota',
    short: 'quota',
    subresources: 'status',
  },
  { ...core, plural: 'limitranges', kind: 'LimitRange', short: 'limits' },
  {
    group: 'events.k8s.io',
    version: 'v1',
    plural: 'events',
    kind: 'Event',
    short: 'ev',
    storageKey: 'events',
    fields:
      'reason type regarding.kind regarding.namespace regarding.name regarding.uid reportingController',
  },
  {
    ...apps,
    plural: 'deployments',
    kind: 'Deployment',
    short: 'deploy',
    inAll: true,
    subresources: 'status scale',
    scale: REPLICAS,
  },
  {
    ...apps,
    plural: 'replicasets',
    kind: 'ReplicaSet',
    short: 'rs',
    inAll: true,
    subresources: 'status scale',
    scale: REPLICAS,
    fields: 'status.replicas',
  },
  {
    ...apps,
    plural: 'statefulsets',
    kind: 'StatefulSet',
    short: 'sts',
    inAll: true,
    subresources: 'status scale',
    scale: REPLICAS,
  },
  {
    ...apps,
    plural: 'daemonsets',
    kind: 'DaemonSet',
    short: 'ds',
    inAll: true,
    subresources: 'status',
  },
  { ...apps, plural: 'controllerrevisions', kind: 'ControllerRevision' },
  {
    group: 'batch',
    version: 'v1',
    plural: 'jobs',
    kind: 'Job',
    inAll: true,
    subresources: 'status',
    fields: 'status.successful',
  },
  {
    group: 'batch',
    version: 'v1',
    plural: 'cronjobs',
    kind: 'CronJob',
    short: 'cj',
    inAll: true,
    subresources: 'status',
  },
  {
    group: 'autoscaling',
    version: 'v2',
    plural: 'horizontalpodautoscalers',
    kind: 'HorizontalPodAutoscaler',
    short: 'hpa',
    inAll: true,
    subresources: 'status',
  },
  {
    group: 'policy',
    version: 'v1',
    plural: 'poddisruptionbudgets',
    kind: 'PodDisruptionBudget',
    short: 'pdb',
    subresources: 'status',
  },
  { group: 'discovery.k8s.io', version: 'v1', plural: 'endpointslices', kind: 'EndpointSlice' },
  { group: 'coordination.k8s.io', version: 'v1', plural: 'leases', kind: 'Lease' },
  {
    group: 'networking.k8s.io',
    version: 'v1',
    plural: 'networkpolicies',
    kind: 'NetworkPolicy',
    short: 'netpol',
  },
  {
    group: 'networking.k8s.io',
    version: 'v1',
    plural: 'ingresses',
    kind: 'Ingress',
    short: 'ing',
    subresources: 'status',
  },
  {
    group: 'networking.k8s.io',
    version: 'v1',
    plural: 'ingressclasses',
    kind: 'IngressClass',
    clusterWide: true,
  },
  {
    group: 'scheduling.k8s.io',
    version: 'v1',
    plural: 'priorityclasses',
    kind: 'PriorityClass',
    short: 'pc',
    clusterWide: true,
  },
  {
    group: 'storage.k8s.io',
    version: 'v1',
    plural: 'storageclasses',
    kind: 'StorageClass',
    short: 'sc',
    clusterWide: true,
  },
  { ...rbac, plural: 'roles', kind: 'Role' },
  { ...rbac, plural: 'rolebindings', kind: 'RoleBinding' },
  { ...rbac, plural: 'clusterroles', kind: 'ClusterRole', clusterWide: true },
  { ...rbac, plural: 'clusterrolebindings', kind: 'ClusterRoleBinding', clusterWide: true },
  {
    ...admission,
    plural: 'validatingwebhookconfigurations',
    kind: 'ValidatingWebhookConfiguration',
  },
  { ...admission, plural: 'mutatingwebhookconfigurations', kind: 'MutatingWebhookConfiguration' },
  {
    group: 'certificates.k8s.io',
    version: 'v1',
    plural: 'certificatesigningrequests',
    kind: 'CertificateSigningRequest',
    short: 'csr',
    clusterWide: true,
    subresources: 'status approval',
    fields: 'spec.signerName',
  },
  {
    group: 'apiregistration.k8s.io',
    version: 'v1',
    plural: 'apiservices',
    kind: 'APIService',
    clusterWide: true,
    subresources: 'status',
  },
  {
    group: 'apiextensions.k8s.io',
    version: 'v1',
    plural: 'customresourcedefinitions',
    kind: 'CustomResourceDefinition',
    short: 'crd,crds',
    clusterWide: true,
    subresources: 'status',
  },
];

function servedKind(row: Row): ServedKind {
  const { group, version, plural, kind } = row;
  return {
    group,
    version,
    plural,
    singular: row.singular ?? kind.toLowerCase(),
    kind,
    listKind: `${kind}List`,
    shortNames: row.short?.split(',') ?? [],
    categories: categoriesOf(row),
    namespaced: row.clusterWide !== true,
    subresources: row.subresources?.split(' ') ?? [],
    storage: row.storageKey === undefined,
    storageKey: row.storageKey ?? (group === '' ? plural : `${plural}.${group}`),
    custom: false,
    // Read when it is first needed: most of a run's kinds are never written.
    get schema() {
      return builtinSchema(group, version, kind);
    },
    ...(row.scale === undefined ? {} : { scale: row.scale }),
    selectableFields: row.fields?.split(' ') ?? [],
  };
}

function categoriesOf(row: Row): readonly string[] {
  if (row.inAll === true) return ['all'];
  if (row.group === 'admissionregistration.k8s.io') return ['api-extensions'];
  return row.group.startsWith('api') && row.group.includes('.') ? ['api-extensions'] : [];
}
