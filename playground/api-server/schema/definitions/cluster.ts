/** Endpoints, leases, events, network and access rules, and the other small groups. The notation is `../notation.ts`'s. */
export const clusterDefinitions: string = `
# io.k8s.api.discovery.v1
EndpointSlice
  addressType! FQDN|IPv4|IPv6, endpoints [Endpoint], metadata ObjectMeta, ports [EndpointPort]
Endpoint
  addresses! [string], conditions EndpointConditions, deprecatedTopology {string},
  hints EndpointHints, hostname string, nodeName string, targetRef ObjectReference, zone string
EndpointConditions
  ready boolean, serving boolean, terminating boolean
EndpointHints
  forNodes [ForNode], forZones [ForZone]
ForNode
  name! string
ForZone
  name! string
EndpointPort atomic
  appProtocol string, name string, port int32, protocol SCTP|TCP|UDP

# io.k8s.api.coordination.v1
Lease
  metadata ObjectMeta, spec LeaseSpec
LeaseSpec
  acquireTime microtime, holderIdentity string, leaseDurationSeconds int32,
  leaseTransitions int32, preferredHolder string, renewTime microtime, strategy string

# io.k8s.api.events.v1
Event
  action string, deprecatedCount int32, deprecatedFirstTimestamp time,
  deprecatedLastTimestamp time, deprecatedSource EventSource, eventTime! microtime,
  metadata ObjectMeta, note string, reason string, regarding ObjectReference,
  related ObjectReference, reportingController string, reportingInstance string,
  series EventSeries, type string
EventSeries
  count! int32, lastObservedTime! microtime

# io.k8s.api.networking.v1
NetworkPolicy
  metadata ObjectMeta, spec NetworkPolicySpec
NetworkPolicySpec
  egress [NetworkPolicyEgressRule], ingress [NetworkPolicyIngressRule],
  podSelector LabelSelector, policyTypes [Egress|Ingress]
NetworkPolicyEgressRule
  ports [NetworkPolicyPort], to [NetworkPolicyPeer]
NetworkPolicyPort
  endPort int32, port intstr, protocol SCTP|TCP|UDP
NetworkPolicyPeer
  ipBlock IPBlock, namespaceSelector LabelSelector, podSelector LabelSelector
IPBlock
  cidr! string, except [string]
NetworkPolicyIngressRule
  from [NetworkPolicyPeer], ports [NetworkPolicyPort]
Ingress
  metadata ObjectMeta, spec IngressSpec, status IngressStatus
IngressSpec
  defaultBackend IngressBackend, ingressClassName string, rules [IngressRule], tls [IngressTLS]
IngressBackend
  resource TypedLocalObjectReference, service IngressServiceBackend
IngressServiceBackend
  name! string, port ServiceBackendPort
ServiceBackendPort atomic
  name string, number int32
IngressRule
  host string, http HTTPIngressRuleValue
HTTPIngressRuleValue
  paths! [HTTPIngressPath]
HTTPIngressPath
  backend! IngressBackend, path string, pathType! Exact|ImplementationSpecific|Prefix
IngressTLS
  hosts [string], secretName string
IngressStatus
  loadBalancer IngressLoadBalancerStatus
IngressLoadBalancerStatus
  ingress [IngressLoadBalancerIngress]
IngressLoadBalancerIngress
  hostname string, ip string, ports [IngressPortStatus]
IngressPortStatus
  error string, port! int32, protocol! SCTP|TCP|UDP
IngressClass
  metadata ObjectMeta, spec IngressClassSpec
IngressClassSpec
  controller string, parameters IngressClassParametersReference
IngressClassParametersReference
  apiGroup string, kind! string, name! string, namespace string, scope string

# io.k8s.api.scheduling.v1
PriorityClass
  description string, globalDefault boolean, metadata ObjectMeta,
  preemptionPolicy Never|PreemptLowerPriority, value int32

# io.k8s.api.storage.v1
StorageClass
  allowVolumeExpansion boolean, allowedTopologies [TopologySelectorTerm], metadata ObjectMeta,
  mountOptions [string], parameters {string}, provisioner! string,
  reclaimPolicy Delete|Recycle|Retain, volumeBindingMode Immediate|WaitForFirstConsumer

# io.k8s.api.core.v1
TopologySelectorTerm
  matchLabelExpressions [TopologySelectorLabelRequirement]
TopologySelectorLabelRequirement
  key! string, values! [string]

# io.k8s.api.rbac.v1
Role
  metadata ObjectMeta, rules [PolicyRule]
PolicyRule
  apiGroups [string], nonResourceURLs [string], resourceNames [string], resources [string],
  verbs! [string]
RoleBinding
  metadata ObjectMeta, roleRef! RoleRef, subjects [Subject]
RoleRef atomic
  apiGroup string, kind! string, name! string
Subject atomic
  apiGroup string, kind! string, name! string, namespace string
ClusterRole
  aggregationRule AggregationRule, metadata ObjectMeta, rules [PolicyRule]
AggregationRule
  clusterRoleSelectors [LabelSelector]
ClusterRoleBinding
  metadata ObjectMeta, roleRef! RoleRef, subjects [Subject]

# io.k8s.api.certificates.v1
CertificateSigningRequest
  metadata ObjectMeta, spec! CertificateSigningRequestSpec,
  status CertificateSigningRequestStatus
CertificateSigningRequestSpec
  expirationSeconds int32, extra {[string]}, groups [string], request! bytes, signerName! string,
  uid string,
  usages [string],
  username string
CertificateSigningRequestStatus
  certificate bytes, conditions [CertificateSigningRequestCondition] map=type
CertificateSigningRequestCondition
  lastTransitionTime time, lastUpdateTime time, message string, reason string, status! string,
  type! string
`;
