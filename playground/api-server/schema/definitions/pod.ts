/** Pods: what runs, with what, where and how it is doing. The notation is `../notation.ts`'s. */
export const podDefinitions: string = `
# io.k8s.api.core.v1
Pod
  metadata ObjectMeta, spec PodSpec, status PodStatus
PodSpec
  activeDeadlineSeconds int64, affinity Affinity, automountServiceAccountToken boolean,
  containers! [Container] map=name merge=name, dnsConfig PodDNSConfig,
  dnsPolicy ClusterFirst|ClusterFirstWithHostNet|Default|None, enableServiceLinks boolean,
  ephemeralContainers [EphemeralContainer] map=name merge=name,
  hostAliases [HostAlias] map=ip merge=ip, hostIPC boolean, hostNetwork boolean, hostPID boolean,
  hostUsers boolean, hostname string, hostnameOverride string,
  imagePullSecrets [LocalObjectReference] map=name merge=name,
  initContainers [Container] map=name merge=name, nodeName string, nodeSelector {string} atomic,
  os PodOS, overhead {quantity}, preemptionPolicy Never|PreemptLowerPriority, priority int32,
  priorityClassName string, readinessGates [PodReadinessGate],
  resourceClaims [PodResourceClaim] map=name merge=name retainKeys,
  resources ResourceRequirements, restartPolicy Always|Never|OnFailure, runtimeClassName string,
  schedulerName string, schedulingGates [PodSchedulingGate] map=name merge=name,
  schedulingGroup PodSchedulingGroup, securityContext PodSecurityContext, serviceAccount string,
  serviceAccountName string, setHostnameAsFQDN boolean, shareProcessNamespace boolean,
  subdomain string, terminationGracePeriodSeconds int64, tolerations [Toleration],
  topologySpreadConstraints [TopologySpreadConstraint] map=topologyKey+whenUnsatisfiable merge=topologyKey,
  volumes [Volume] map=name merge=name retainKeys
Affinity
  nodeAffinity NodeAffinity, podAffinity PodAffinity, podAntiAffinity PodAntiAffinity
NodeAffinity
  preferredDuringSchedulingIgnoredDuringExecution [PreferredSchedulingTerm],
  requiredDuringSchedulingIgnoredDuringExecution NodeSelector
PreferredSchedulingTerm
  preference! NodeSelectorTerm, weight! int32
NodeSelectorTerm atomic
  matchExpressions [NodeSelectorRequirement], matchFields [NodeSelectorRequirement]
NodeSelectorRequirement
  key! string, operator! DoesNotExist|Exists|Gt|In|Lt|NotIn, values [string]
NodeSelector atomic
  nodeSelectorTerms! [NodeSelectorTerm]
PodAffinity
  preferredDuringSchedulingIgnoredDuringExecution [WeightedPodAffinityTerm],
  requiredDuringSchedulingIgnoredDuringExecution [PodAffinityTerm]
WeightedPodAffinityTerm
  podAffinityTerm! PodAffinityTerm, weight! int32
PodAffinityTerm
  labelSelector LabelSelector, matchLabelKeys [string], mismatchLabelKeys [string],
  namespaceSelector LabelSelector, namespaces [string], topologyKey! string
PodAntiAffinity
  preferredDuringSchedulingIgnoredDuringExecution [WeightedPodAffinityTerm],
  requiredDuringSchedulingIgnoredDuringExecution [PodAffinityTerm]
Container
  args [string], command [string], env [EnvVar] map=name merge=name, envFrom [EnvFromSource],
  image string, imagePullPolicy Always|IfNotPresent|Never, lifecycle Lifecycle,
  livenessProbe Probe, name! string,
  ports [ContainerPort] map=containerPort+protocol merge=containerPort, readinessProbe Probe,
  resizePolicy [ContainerResizePolicy], resources ResourceRequirements, restartPolicy string,
  restartPolicyRules [ContainerRestartRule], securityContext SecurityContext, startupProbe Probe,
  stdin boolean, stdinOnce boolean, terminationMessagePath string,
  terminationMessagePolicy FallbackToLogsOnError|File, tty boolean,
  volumeDevices [VolumeDevice] map=devicePath merge=devicePath,
  volumeMounts [VolumeMount] map=mountPath merge=mountPath, workingDir string
EnvVar
  name! string, value string, valueFrom EnvVarSource
EnvVarSource
  configMapKeyRef ConfigMapKeySelector, fieldRef ObjectFieldSelector, fileKeyRef FileKeySelector,
  resourceFieldRef ResourceFieldSelector, secretKeyRef SecretKeySelector
ConfigMapKeySelector atomic
  key! string, name string, optional boolean
ObjectFieldSelector atomic
  apiVersion string, fieldPath! string
FileKeySelector atomic
  key! string, optional boolean, path! string, volumeName! string
ResourceFieldSelector atomic
  containerName string, divisor quantity, resource! string
SecretKeySelector atomic
  key! string, name string, optional boolean
EnvFromSource
  configMapRef ConfigMapEnvSource, prefix string, secretRef SecretEnvSource
ConfigMapEnvSource
  name string, optional boolean
SecretEnvSource
  name string, optional boolean
Lifecycle
  postStart LifecycleHandler, preStop LifecycleHandler,
  stopSignal string
LifecycleHandler
  exec ExecAction, httpGet HTTPGetAction, sleep SleepAction, tcpSocket TCPSocketAction
ExecAction
  command [string]
HTTPGetAction
  host string, httpHeaders [HTTPHeader], path string, port! intstr, scheme HTTP|HTTPS
HTTPHeader
  name! string, value! string
SleepAction
  seconds! int32
TCPSocketAction
  host string, port! intstr
Probe
  exec ExecAction, failureThreshold int32, grpc GRPCAction, httpGet HTTPGetAction,
  initialDelaySeconds int32, periodSeconds int32, successThreshold int32,
  tcpSocket TCPSocketAction, terminationGracePeriodSeconds int64, timeoutSeconds int32
GRPCAction
  port! int32, service string
ContainerPort
  containerPort! int32, hostIP string, hostPort int32, name string,
  protocol SCTP|TCP|UDP default=TCP
ContainerResizePolicy
  resourceName! string, restartPolicy! string
ResourceRequirements
  claims [ResourceClaim] map=name, limits {quantity}, requests {quantity}
ResourceClaim
  name! string, request string
ContainerRestartRule
  action! string, exitCodes ContainerRestartRuleOnExitCodes
ContainerRestartRuleOnExitCodes
  operator! string, values [int32]
SecurityContext
  allowPrivilegeEscalation boolean, appArmorProfile AppArmorProfile, capabilities Capabilities,
  privileged boolean, procMount Default|Unmasked, readOnlyRootFilesystem boolean,
  runAsGroup int64, runAsNonRoot boolean, runAsUser int64, seLinuxOptions SELinuxOptions,
  seccompProfile SeccompProfile, windowsOptions WindowsSecurityContextOptions
AppArmorProfile
  localhostProfile string, type! Localhost|RuntimeDefault|Unconfined
Capabilities
  add [string], drop [string]
SELinuxOptions
  level string, role string, type string, user string
SeccompProfile
  localhostProfile string, type! Localhost|RuntimeDefault|Unconfined
WindowsSecurityContextOptions
  gmsaCredentialSpec string, gmsaCredentialSpecName string, hostProcess boolean,
  runAsUserName string
VolumeDevice
  devicePath! string, name! string
VolumeMount
  mountPath! string, mountPropagation Bidirectional|HostToContainer|None, name! string,
  readOnly boolean, recursiveReadOnly string, subPath string, subPathExpr string
PodDNSConfig
  nameservers [string], options [PodDNSConfigOption], searches [string]
PodDNSConfigOption
  name string, value string
EphemeralContainer
  args [string], command [string], env [EnvVar] map=name merge=name, envFrom [EnvFromSource],
  image string, imagePullPolicy Always|IfNotPresent|Never, lifecycle Lifecycle,
  livenessProbe Probe, name! string,
  ports [ContainerPort] map=containerPort+protocol merge=containerPort, readinessProbe Probe,
  resizePolicy [ContainerResizePolicy], resources ResourceRequirements, restartPolicy string,
  restartPolicyRules [ContainerRestartRule], securityContext SecurityContext, startupProbe Probe,
  stdin boolean, stdinOnce boolean, targetContainerName string, terminationMessagePath string,
  terminationMessagePolicy FallbackToLogsOnError|File, tty boolean,
  volumeDevices [VolumeDevice] map=devicePath merge=devicePath,
  volumeMounts [VolumeMount] map=mountPath merge=mountPath, workingDir string
HostAlias
  hostnames [string], ip! string
LocalObjectReference atomic
  name string
PodOS
  name! string
PodReadinessGate
  conditionType! string
PodResourceClaim
  name! string, resourceClaimName string, resourceClaimTemplateName string
PodSchedulingGate
  name! string
PodSchedulingGroup
  podGroupName string
PodSecurityContext
  appArmorProfile AppArmorProfile, fsGroup int64, fsGroupChangePolicy Always|OnRootMismatch,
  runAsGroup int64, runAsNonRoot boolean, runAsUser int64, seLinuxChangePolicy string,
  seLinuxOptions SELinuxOptions, seccompProfile SeccompProfile, supplementalGroups [int64],
  supplementalGroupsPolicy Merge|Strict, sysctls [Sysctl],
  windowsOptions WindowsSecurityContextOptions
Sysctl
  name! string, value! string
Toleration
  effect NoExecute|NoSchedule|PreferNoSchedule, key string, operator Equal|Exists|Gt|Lt,
  tolerationSeconds int64, value string
TopologySpreadConstraint
  labelSelector LabelSelector, matchLabelKeys [string], maxSkew! int32, minDomains int32,
  nodeAffinityPolicy Honor|Ignore, nodeTaintsPolicy Honor|Ignore, topologyKey! string,
  whenUnsatisfiable! DoNotSchedule|ScheduleAnyway
Volume
  configMap ConfigMapVolumeSource, csi CSIVolumeSource, downwardAPI DownwardAPIVolumeSource,
  emptyDir EmptyDirVolumeSource, ephemeral EphemeralVolumeSource, hostPath HostPathVolumeSource,
  image ImageVolumeSource, name! string, nfs NFSVolumeSource,
  persistentVolumeClaim PersistentVolumeClaimVolumeSource, projected ProjectedVolumeSource,
  secret SecretVolumeSource
ConfigMapVolumeSource
  defaultMode int32, items [KeyToPath], name string, optional boolean
KeyToPath
  key! string, mode int32, path! string
CSIVolumeSource
  driver! string, fsType string, nodePublishSecretRef LocalObjectReference, readOnly boolean,
  volumeAttributes {string}
DownwardAPIVolumeSource
  defaultMode int32, items [DownwardAPIVolumeFile]
DownwardAPIVolumeFile
  fieldRef ObjectFieldSelector, mode int32, path! string, resourceFieldRef ResourceFieldSelector
EmptyDirVolumeSource
  medium string, sizeLimit quantity
EphemeralVolumeSource
  volumeClaimTemplate PersistentVolumeClaimTemplate
PersistentVolumeClaimTemplate
  metadata ObjectMeta, spec! PersistentVolumeClaimSpec
PersistentVolumeClaimSpec
  accessModes [ReadOnlyMany|ReadWriteMany|ReadWriteOnce|ReadWriteOncePod],
  dataSource TypedLocalObjectReference, dataSourceRef TypedObjectReference,
  resources VolumeResourceRequirements, selector LabelSelector, storageClassName string,
  volumeAttributesClassName string, volumeMode Block|Filesystem, volumeName string
TypedLocalObjectReference atomic
  apiGroup string, kind! string, name! string
TypedObjectReference
  apiGroup string, kind! string, name! string, namespace string
VolumeResourceRequirements
  limits {quantity}, requests {quantity}
HostPathVolumeSource
  path! string, type |BlockDevice|CharDevice|Directory|DirectoryOrCreate|File|FileOrCreate|Socket
ImageVolumeSource
  pullPolicy Always|IfNotPresent|Never, reference string
NFSVolumeSource
  path! string, readOnly boolean, server! string
PersistentVolumeClaimVolumeSource
  claimName! string, readOnly boolean
ProjectedVolumeSource
  defaultMode int32, sources [VolumeProjection]
VolumeProjection
  clusterTrustBundle ClusterTrustBundleProjection, configMap ConfigMapProjection,
  downwardAPI DownwardAPIProjection, podCertificate PodCertificateProjection,
  secret SecretProjection, serviceAccountToken ServiceAccountTokenProjection
ClusterTrustBundleProjection
  labelSelector LabelSelector, name string, optional boolean, path! string, signerName string
ConfigMapProjection
  items [KeyToPath], name string, optional boolean
DownwardAPIProjection
  items [DownwardAPIVolumeFile]
PodCertificateProjection
  certificateChainPath string, credentialBundlePath string, keyPath string, keyType! string,
  maxExpirationSeconds int32, signerName! string, userAnnotations {string}
SecretProjection
  items [KeyToPath], name string, optional boolean
ServiceAccountTokenProjection
  audience string, expirationSeconds int32, path! string
SecretVolumeSource
  defaultMode int32, items [KeyToPath], optional boolean, secretName string
PodStatus
  allocatedResources {quantity}, conditions [PodCondition] map=type merge=type,
  containerStatuses [ContainerStatus], ephemeralContainerStatuses [ContainerStatus],
  extendedResourceClaimStatus PodExtendedResourceClaimStatus, hostIP string,
  hostIPs [HostIP] merge=ip, initContainerStatuses [ContainerStatus], message string,
  nodeAllocatableResourceClaimStatuses [NodeAllocatableResourceClaimStatus],
  nominatedNodeName string, observedGeneration int64,
  phase Failed|Pending|Running|Succeeded|Unknown, podIP string, podIPs [PodIP] map=ip merge=ip,
  qosClass BestEffort|Burstable|Guaranteed, reason string, resize string,
  resourceClaimStatuses [PodResourceClaimStatus] map=name merge=name retainKeys,
  resources ResourceRequirements, startTime time
PodCondition
  lastProbeTime time, lastTransitionTime time, message string, observedGeneration int64,
  reason string, status! string, type! string
ContainerStatus
  allocatedResources {quantity}, allocatedResourcesStatus [ResourceStatus] map=name merge=name,
  containerID string, image! string, imageID! string, lastState ContainerState, name! string,
  ready! boolean, resources ResourceRequirements, restartCount! int32, started boolean,
  state ContainerState,
  stopSignal string,
  user ContainerUser, volumeMounts [VolumeMountStatus] map=mountPath merge=mountPath
ResourceStatus
  name! string, resources [ResourceHealth]
ResourceHealth
  health string, message string, resourceID! string
ContainerState
  running ContainerStateRunning, terminated ContainerStateTerminated,
  waiting ContainerStateWaiting
ContainerStateRunning
  startedAt time
ContainerStateTerminated
  containerID string, exitCode! int32, finishedAt time, message string, reason string,
  signal int32, startedAt time
ContainerStateWaiting
  message string, reason string
ContainerUser
  linux LinuxContainerUser
LinuxContainerUser
  gid! int32, supplementalGroups [int64], uid! int32
VolumeMountStatus
  mountPath! string, name! string, readOnly boolean, recursiveReadOnly string,
  volumeStatus VolumeStatus
VolumeStatus
  image ImageVolumeStatus
ImageVolumeStatus
  imageRef! string
PodExtendedResourceClaimStatus
  requestMappings! [ContainerExtendedResourceRequest], resourceClaimName! string
ContainerExtendedResourceRequest
  containerName! string, requestName! string, resourceName! string
HostIP
  ip! string
NodeAllocatableResourceClaimStatus
  containers [string], resourceClaimName! string, resources! {quantity}
PodIP
  ip! string
PodResourceClaimStatus
  name! string, resourceClaimName string
PodTemplateSpec
  metadata ObjectMeta, spec PodSpec
`;
