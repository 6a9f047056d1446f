import type { Container, Deployment, EnvVar, KubeObject, Service } from '#kube/resources.ts';

import type { Labels } from '../krt/filter.ts';
import type { MeshSettings } from '../model/mesh.ts';
import type { GatewayRecord } from '../model/waypoint.ts';
import { MANAGED } from './waypoints.ts';

/** On everything that belongs to a gateway, and what selects its pods. */
export const GATEWAY_NAME = 'gateway.networking.k8s.io/gateway-name';
/** What {@link MANAGED} says of waypoints. */
export const MANAGED_WAYPOINT = 'istio.io-mesh-controller';
const GATEWAY_CLASS_NAME = 'gateway.networking.k8s.io/gateway-class-name';
const NETWORK_LABEL = 'topology.istio.io/network';
/** Says something about the gateway itself. */
const RESERVED_PREFIX = 'gateway.networking.k8s.io/';
const OWN_ANNOTATIONS: readonly string[] = [
  'kubectl.kubernetes.io/last-applied-configuration',
  'gateway.istio.io/controller-version',
  'gateway.istio.io/name-override',
  'gateway.istio.io/service-account',
];
/** Of a Service's ports. */
const PORT_NAME_LENGTH_MAX = 63;
const STATUS_PORT = 15_021;
const STATUS_PORT_NAME = 'status-port';
const TUNNEL_PORT_NAME = 'mesh';
const METRICS_PORT = 15_020;
const UNPRIVILEGED = 1337;
const TERMINATION_GRACE_SECONDS = 30;
const TOKEN_SECONDS = 43_200;

export interface WaypointRendering {
  readonly mesh: MeshSettings;
  /** Empty: the cluster has no network of its own. */
  readonly network: string;
}

/**
 * The objects that make a waypoint, in the order in which they are needed: they are named as the gateway and
 * belong to it, so that they go when it goes. The Deployment says nothing of replicas: they are the user's.
 */
export function waypointObjects(
  gateway: GatewayRecord,
  rendering: WaypointRendering,
): readonly KubeObject[] {
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: metadataOf(gateway, rendering) },
    deployment(gateway, rendering),
    service(gateway, rendering),
  ];
}

function deployment(gateway: GatewayRecord, rendering: WaypointRendering): Deployment {
  const { name } = gateway;
  const metadata = metadataOf(gateway, rendering);
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata,
    spec: {
      selector: { matchLabels: { [GATEWAY_NAME]: name } },
      template: {
        metadata: {
          labels: {
            ...metadata.labels,
            'istio.io/dataplane-mode': 'none',
            'sidecar.istio.io/inject': 'false',
            'service.istio.io/canonical-name': name,
            'service.istio.io/canonical-revision': 'latest',
          },
          annotations: {
            ...metadata.annotations,
            'istio.io/rev': rendering.mesh.revision,
            'prometheus.io/path': '/stats/prometheus',
            'prometheus.io/port': String(METRICS_PORT),
            'prometheus.io/scrape': 'true',
          },
        },
        spec: {
          serviceAccountName: name,
          // It asks nothing of the API server.
          automountServiceAccountToken: false,
          terminationGracePeriodSeconds: TERMINATION_GRACE_SECONDS,
          containers: [container(gateway, rendering)],
          volumes: [
            {
              name: 'istio-token',
              projected: {
                sources: [
                  {
                    serviceAccountToken: {
                      path: 'istio-token',
                      audience: 'istio-ca',
                      expirationSeconds: TOKEN_SECONDS,
                    },
                  },
                ],
              },
            },
            { name: 'istiod-ca-cert', configMap: { name: 'istio-ca-root-cert' } },
            { name: 'tmp', emptyDir: {} },
          ],
        },
      },
    },
  };
}

function container(gateway: GatewayRecord, rendering: WaypointRendering): Container {
  const probe = { path: '/healthz/ready', port: STATUS_PORT, scheme: 'HTTP' };
  return {
    name: 'istio-proxy',
    image: rendering.mesh.waypointImage,
    env: environment(gateway, rendering),
    ports: [
      { name: 'metrics', containerPort: METRICS_PORT, protocol: 'TCP' },
      { name: STATUS_PORT_NAME, containerPort: STATUS_PORT, protocol: 'TCP' },
    ],
    startupProbe: {
      httpGet: probe,
      initialDelaySeconds: 1,
      periodSeconds: 1,
      failureThreshold: 30,
    },
    readinessProbe: { httpGet: probe, periodSeconds: 3, failureThreshold: 4 },
    resources: {
      requests: { cpu: '100m', memory: '128Mi' },
      limits: { cpu: '2', memory: '1Gi' },
    },
    securityContext: {
      privileged: false,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      runAsNonRoot: true,
      runAsUser: UNPRIVILEGED,
      runAsGroup: UNPRIVILEGED,
      capabilities: { drop: ['ALL'] },
    },
    volumeMounts: [
      { name: 'istiod-ca-cert', mountPath: '/var/run/secrets/istio' },
      { name: 'istio-token', mountPath: '/var/run/secrets/tokens' },
      { name: 'tmp', mountPath: '/tmp' },
    ],
  };
}

function environment(
  { namespace, name }: GatewayRecord,
  { mesh, network }: WaypointRendering,
): readonly EnvVar[] {
  const { revision, systemNamespace } = mesh;
  const host = revision === 'default' ? 'istiod' : `istiod-${revision}`;
  const istiod = `${host}.${systemNamespace}.svc:15012`;
  const root = '/var/run/secrets/istio/root-cert.pem';
  const values: Readonly<Record<string, string>> = {
    CA_ADDRESS: istiod,
    XDS_ADDRESS: istiod,
    CA_ROOT_CA: root,
    XDS_ROOT_CA: root,
    AUTH_TOKEN: '/var/run/secrets/tokens/istio-token',
    TRUST_DOMAIN: mesh.trustDomain,
    DOMAIN_SUFFIX: mesh.domain,
    ISTIO_META_CLUSTER_ID: mesh.clusterId,
    ...(network === '' ? {} : { NETWORK: network }),
    ISTIO_META_WORKLOAD_NAME: name,
    ISTIO_META_OWNER: `kubernetes://apis/apps/v1/namespaces/${namespace}/deployments/${name}`,
    GATEWAY_NAME: name,
    TERMINATION_GRACE_PERIOD_SECONDS: String(TERMINATION_GRACE_SECONDS),
  };
  const fields: Readonly<Record<string, string>> = {
    POD_NAME: 'metadata.name',
    POD_NAMESPACE: 'metadata.namespace',
    INSTANCE_IP: 'status.podIP',
    HOST_IP: 'status.hostIP',
    NODE_NAME: 'spec.nodeName',
    SERVICE_ACCOUNT: 'spec.serviceAccountName',
  };
  return [
    ...Object.entries(values).map(([key, value]) => ({ name: key, value })),
    ...Object.entries(fields).map(([key, fieldPath]) => ({
      name: key,
      valueFrom: { fieldRef: { fieldPath } },
    })),
  ];
}

function service(gateway: GatewayRecord, rendering: WaypointRendering): Service {
  const metadata = metadataOf(gateway, rendering);
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      ...metadata,
      annotations: {
        ...metadata.annotations,
        'networking.istio.io/traffic-distribution': 'PreferClose',
      },
    },
    spec: {
      type: 'ClusterIP',
      ipFamilyPolicy: 'PreferDualStack',
      selector: { [GATEWAY_NAME]: gateway.name },
      ports: [
        { name: STATUS_PORT_NAME, port: STATUS_PORT, protocol: 'TCP', appProtocol: 'tcp' },
        ...gateway.listeners.map(({ name, port, protocol }) => ({
          name: portName(name),
          port,
          protocol: 'TCP',
          appProtocol: protocol.toLowerCase(),
        })),
      ],
    },
  };
}

/** Listeners may have longer names than ports, and dots in them. */
function portName(listener: string): string {
  const short = listener.replaceAll('.', '-').slice(0, PORT_NAME_LENGTH_MAX).replace(/-+$/, '');
  return short === STATUS_PORT_NAME ? TUNNEL_PORT_NAME : short;
}

function metadataOf(gateway: GatewayRecord, { network }: WaypointRendering) {
  const { namespace, name, uid, className, infrastructure } = gateway;
  // Who names labels or annotations of the infrastructure names all of them.
  const isNamed = infrastructure.labels !== undefined || infrastructure.annotations !== undefined;
  const labels = isNamed ? withoutReserved(infrastructure.labels ?? {}) : gateway.labels;
  const annotations = isNamed
    ? withoutReserved(infrastructure.annotations ?? {})
    : Object.fromEntries(
        Object.entries(gateway.annotations).filter(([key]) => !OWN_ANNOTATIONS.includes(key)),
      );
  return {
    namespace,
    name,
    labels: {
      ...labels,
      [GATEWAY_NAME]: name,
      [GATEWAY_CLASS_NAME]: className,
      [MANAGED]: MANAGED_WAYPOINT,
      ...(network === '' ? {} : { [NETWORK_LABEL]: network }),
    },
    annotations,
    ownerReferences: [{ apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway', name, uid }],
  };
}

function withoutReserved(named: Labels): Labels {
  return Object.fromEntries(
    Object.entries(named).filter(([key]) => !key.startsWith(RESERVED_PREFIX)),
  );
}
