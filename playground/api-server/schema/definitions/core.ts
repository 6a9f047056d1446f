/** The other kinds of the group without a name. The notation is `../notation.ts`'s. */
export const coreDefinitions: string = `
# io.k8s.api.core.v1
Service
  metadata ObjectMeta, spec ServiceSpec, status ServiceStatus
ServiceSpec
  allocateLoadBalancerNodePorts boolean, clusterIP string, clusterIPs [string],
  externalIPs [string], externalName string, externalTrafficPolicy Cluster|Local,
  healthCheckNodePort int32, internalTrafficPolicy Cluster|Local, ipFamilies [|IPv4|IPv6],
  ipFamilyPolicy PreferDualStack|RequireDualStack|SingleStack, loadBalancerClass string,
  loadBalancerIP string, loadBalancerSourceRanges [string],
  ports [ServicePort] map=port+protocol merge=port, publishNotReadyAddresses boolean,
  selector {string} atomic, sessionAffinity ClientIP|None,
  sessionAffinityConfig SessionAffinityConfig, trafficDistribution string,
  type ClusterIP|ExternalName|LoadBalancer|NodePort
ServicePort
  appProtocol string, name string, nodePort int32, port! int32, protocol SCTP|TCP|UDP default=TCP,
  targetPort intstr
SessionAffinityConfig
  clientIP ClientIPConfig
ClientIPConfig
  timeoutSeconds int32
ServiceStatus
  conditions [Condition] map=type merge=type, loadBalancer LoadBalancerStatus
LoadBalancerStatus
  ingress [LoadBalancerIngress]
LoadBalancerIngress
  hostname string, ip string, ipMode string, ports [PortStatus]
PortStatus
  error string, port! int32, protocol! SCTP|TCP|UDP
Endpoints
  metadata ObjectMeta, subsets [EndpointSubset]
EndpointSubset
  addresses [EndpointAddress], notReadyAddresses [EndpointAddress], ports [EndpointPort]
EndpointAddress atomic
  hostname string, ip! string, nodeName string, targetRef ObjectReference
ObjectReference atomic
  apiVersion string, fieldPath string, kind string, name string, namespace string,
  resourceVersion string, uid string
EndpointPort atomic
  appProtocol string, name string, port! int32, protocol SCTP|TCP|UDP
ConfigMap
  binaryData {bytes}, data {string}, immutable boolean, metadata ObjectMeta
Secret
  data {bytes}, immutable boolean, metadata ObjectMeta, stringData {string}, type string
ServiceAccount
  automountServiceAccountToken boolean, imagePullSecrets [LocalObjectReference],
  metadata ObjectMeta, secrets [ObjectReference] map=name merge=name
Namespace
  metadata ObjectMeta, spec NamespaceSpec, status NamespaceStatus
NamespaceSpec
  finalizers [string]
NamespaceStatus
  conditions [NamespaceCondition] map=type merge=type, phase Active|Terminating
NamespaceCondition
  lastTransitionTime time, message string, reason string, status! string, type! string
Node
  metadata ObjectMeta, spec NodeSpec, status NodeStatus
NodeSpec
  configSource NodeConfigSource, externalID string, podCIDR string, podCIDRs [string] set merge,
  providerID string, taints [Taint], unschedulable boolean
NodeConfigSource
  configMap ConfigMapNodeConfigSource
ConfigMapNodeConfigSource
  kubeletConfigKey! string, name! string, namespace! string, resourceVersion string, uid string
Taint
  effect! NoExecute|NoSchedule|PreferNoSchedule, key! string, timeAdded time, value string
NodeStatus
  addresses [NodeAddress] map=type merge=type, allocatable {quantity}, capacity {quantity},
  conditions [NodeCondition] map=type merge=type, config NodeConfigStatus,
  daemonEndpoints NodeDaemonEndpoints, declaredFeatures [string], features NodeFeatures,
  images [ContainerImage], nodeInfo NodeSystemInfo, phase Pending|Running|Terminated,
  runtimeHandlers [NodeRuntimeHandler], volumesAttached [AttachedVolume], volumesInUse [string]
NodeAddress
  address! string, type! string
NodeCondition
  lastHeartbeatTime time, lastTransitionTime time, message string, reason string, status! string,
  type! string
NodeConfigStatus
  active NodeConfigSource, assigned NodeConfigSource, error string,
  lastKnownGood NodeConfigSource
NodeDaemonEndpoints
  kubeletEndpoint DaemonEndpoint
DaemonEndpoint
  Port! int32
NodeFeatures
  supplementalGroupsPolicy boolean
ContainerImage
  names [string], sizeBytes int64
NodeSystemInfo
  architecture! string, bootID! string, containerRuntimeVersion! string, kernelVersion! string,
  kubeProxyVersion! string, kubeletVersion! string, machineID! string, operatingSystem! string,
  osImage! string, swap NodeSwapStatus, systemUUID! string
NodeSwapStatus
  capacity int32
NodeRuntimeHandler
  features NodeRuntimeHandlerFeatures, name string
NodeRuntimeHandlerFeatures
  recursiveReadOnlyMounts boolean, userNamespaces boolean
AttachedVolume
  devicePath! string, name! string
Event
  action string, count int32, eventTime microtime, firstTimestamp time,
  involvedObject! ObjectReference, lastTimestamp time, message string, metadata! ObjectMeta,
  reason string, related ObjectReference, reportingComponent string, reportingInstance string,
  series EventSeries, source EventSource, type string
EventSeries
  count int32, lastObservedTime microtime
EventSource
  component string, host string
PersistentVolumeClaim
  metadata ObjectMeta, spec PersistentVolumeClaimSpec, status PersistentVolumeClaimStatus
PersistentVolumeClaimStatus
  accessModes [ReadOnlyMany|ReadWriteMany|ReadWriteOnce|ReadWriteOncePod],
  allocatedResourceStatuses {ControllerResizeInProgress|ControllerResizeInfeasible|NodeResizeInProgress|NodeResizeInfeasible|NodeResizePending},
  allocatedResources {quantity}, capacity {quantity},
  conditions [PersistentVolumeClaimCondition] map=type merge=type,
  currentVolumeAttributesClassName string, modifyVolumeStatus ModifyVolumeStatus,
  phase Bound|Lost|Pending
PersistentVolumeClaimCondition
  lastProbeTime time, lastTransitionTime time, message string, reason string, status! string,
  type! string
ModifyVolumeStatus
  status! InProgress|Infeasible|Pending, targetVolumeAttributesClassName string
PersistentVolume
  metadata ObjectMeta, spec PersistentVolumeSpec, status PersistentVolumeStatus
PersistentVolumeSpec
  accessModes [ReadOnlyMany|ReadWriteMany|ReadWriteOnce|ReadWriteOncePod], capacity {quantity},
  claimRef ObjectReference, csi CSIPersistentVolumeSource, hostPath HostPathVolumeSource,
  local LocalVolumeSource, mountOptions [string], nfs NFSVolumeSource,
  nodeAffinity VolumeNodeAffinity, persistentVolumeReclaimPolicy Delete|Recycle|Retain,
  storageClassName string, volumeAttributesClassName string, volumeMode Block|Filesystem
CSIPersistentVolumeSource
  controllerExpandSecretRef SecretReference, controllerPublishSecretRef SecretReference,
  driver! string, fsType string, nodeExpandSecretRef SecretReference,
  nodePublishSecretRef SecretReference, nodeStageSecretRef SecretReference, readOnly boolean,
  volumeAttributes {string}, volumeHandle! string
SecretReference atomic
  name string, namespace string
LocalVolumeSource
  fsType string, path! string
VolumeNodeAffinity
  required NodeSelector
PersistentVolumeStatus
  lastPhaseTransitionTime time, message string, phase Available|Bound|Failed|Pending|Released,
  reason string
ResourceQuota
  metadata ObjectMeta, spec ResourceQuotaSpec, status ResourceQuotaStatus
ResourceQuotaSpec
  hard {quantity}, scopeSelector ScopeSelector,
  scopes [BestEffort|CrossNamespacePodAffinity|NotBestEffort|NotTerminating|PriorityClass|Terminating|VolumeAttributesClass]
ScopeSelector atomic
  matchExpressions [ScopedResourceSelectorRequirement]
ScopedResourceSelectorRequirement
  operator! DoesNotExist|Exists|In|NotIn,
  scopeName! BestEffort|CrossNamespacePodAffinity|NotBestEffort|NotTerminating|PriorityClass|Terminating|VolumeAttributesClass,
  values [string]
ResourceQuotaStatus
  hard {quantity}, used {quantity}
LimitRange
  metadata ObjectMeta, spec LimitRangeSpec
LimitRangeSpec
  limits! [LimitRangeItem]
LimitRangeItem
  default {quantity}, defaultRequest {quantity}, max {quantity}, maxLimitRequestRatio {quantity},
  min {quantity}, type! string
Binding
  metadata ObjectMeta, target! ObjectReference
`;
