/** The kinds that make pods, scale them and disrupt them. The notation is `../notation.ts`'s. */
export const workloadDefinitions: string = `
# io.k8s.api.apps.v1
Deployment
  metadata ObjectMeta, spec DeploymentSpec, status DeploymentStatus
DeploymentSpec
  minReadySeconds int32, paused boolean, progressDeadlineSeconds int32, replicas int32,
  revisionHistoryLimit int32, selector! LabelSelector, strategy DeploymentStrategy retainKeys,
  template! PodTemplateSpec
DeploymentStrategy
  rollingUpdate RollingUpdateDeployment, type Recreate|RollingUpdate
RollingUpdateDeployment
  maxSurge intstr, maxUnavailable intstr
DeploymentStatus
  availableReplicas int32, collisionCount int32,
  conditions [DeploymentCondition] map=type merge=type, observedGeneration int64,
  readyReplicas int32, replicas int32, terminatingReplicas int32, unavailableReplicas int32,
  updatedReplicas int32
DeploymentCondition
  lastTransitionTime time, lastUpdateTime time, message string, reason string, status! string,
  type! string
ReplicaSet
  metadata ObjectMeta, spec ReplicaSetSpec, status ReplicaSetStatus
ReplicaSetSpec
  minReadySeconds int32, replicas int32, selector! LabelSelector, template PodTemplateSpec
ReplicaSetStatus
  availableReplicas int32, conditions [ReplicaSetCondition] map=type merge=type,
  fullyLabeledReplicas int32, observedGeneration int64, readyReplicas int32, replicas! int32,
  terminatingReplicas int32
ReplicaSetCondition
  lastTransitionTime time, message string, reason string, status! string, type! string
StatefulSet
  metadata ObjectMeta, spec StatefulSetSpec, status StatefulSetStatus
StatefulSetSpec
  minReadySeconds int32, ordinals StatefulSetOrdinals,
  persistentVolumeClaimRetentionPolicy StatefulSetPersistentVolumeClaimRetentionPolicy,
  podManagementPolicy OrderedReady|Parallel, replicas int32, revisionHistoryLimit int32,
  selector! LabelSelector, serviceName string, template! PodTemplateSpec,
  updateStrategy StatefulSetUpdateStrategy, volumeClaimTemplates [PersistentVolumeClaim]
StatefulSetOrdinals
  start int32
StatefulSetPersistentVolumeClaimRetentionPolicy
  whenDeleted string, whenScaled string
StatefulSetUpdateStrategy
  rollingUpdate RollingUpdateStatefulSetStrategy, type OnDelete|RollingUpdate
RollingUpdateStatefulSetStrategy
  maxUnavailable intstr, partition int32
StatefulSetStatus
  availableReplicas int32, collisionCount int32,
  conditions [StatefulSetCondition] map=type merge=type, currentReplicas int32,
  currentRevision string, observedGeneration int64, readyReplicas int32, replicas! int32,
  updateRevision string, updatedReplicas int32
StatefulSetCondition
  lastTransitionTime time, message string, reason string, status! string, type! string
DaemonSet
  metadata ObjectMeta, spec DaemonSetSpec, status DaemonSetStatus
DaemonSetSpec
  minReadySeconds int32, revisionHistoryLimit int32, selector! LabelSelector,
  template! PodTemplateSpec, updateStrategy DaemonSetUpdateStrategy
DaemonSetUpdateStrategy
  rollingUpdate RollingUpdateDaemonSet, type OnDelete|RollingUpdate
RollingUpdateDaemonSet
  maxSurge intstr, maxUnavailable intstr
DaemonSetStatus
  collisionCount int32, conditions [DaemonSetCondition] map=type merge=type,
  currentNumberScheduled! int32, desiredNumberScheduled! int32, numberAvailable int32,
  numberMisscheduled! int32, numberReady! int32, numberUnavailable int32,
  observedGeneration int64, updatedNumberScheduled int32
DaemonSetCondition
  lastTransitionTime time, message string, reason string, status! string, type! string
ControllerRevision
  data any, metadata ObjectMeta, revision! int64

# io.k8s.api.batch.v1
Job
  metadata ObjectMeta, spec JobSpec, status JobStatus
JobSpec
  activeDeadlineSeconds int64, backoffLimit int32, backoffLimitPerIndex int32,
  completionMode Indexed|NonIndexed, completions int32, managedBy string, manualSelector boolean,
  maxFailedIndexes int32, parallelism int32, podFailurePolicy PodFailurePolicy,
  podReplacementPolicy Failed|TerminatingOrFailed, selector LabelSelector,
  successPolicy SuccessPolicy, suspend boolean, template! PodTemplateSpec,
  ttlSecondsAfterFinished int32
PodFailurePolicy
  rules! [PodFailurePolicyRule]
PodFailurePolicyRule
  action! Count|FailIndex|FailJob|Ignore, onExitCodes PodFailurePolicyOnExitCodesRequirement,
  onPodConditions [PodFailurePolicyOnPodConditionsPattern]
PodFailurePolicyOnExitCodesRequirement
  containerName string, operator! In|NotIn, values! [int32]
PodFailurePolicyOnPodConditionsPattern
  status string, type! string
SuccessPolicy
  rules! [SuccessPolicyRule]
SuccessPolicyRule
  succeededCount int32, succeededIndexes string
JobStatus
  active int32, completedIndexes string, completionTime time,
  conditions [JobCondition] merge=type, failed int32, failedIndexes string, ready int32,
  startTime time, succeeded int32, terminating int32,
  uncountedTerminatedPods UncountedTerminatedPods
JobCondition
  lastProbeTime time, lastTransitionTime time, message string, reason string, status! string,
  type! string
UncountedTerminatedPods
  failed [string], succeeded [string]
CronJob
  metadata ObjectMeta, spec! CronJobSpec, status CronJobStatus
CronJobSpec
  concurrencyPolicy Allow|Forbid|Replace, failedJobsHistoryLimit int32,
  jobTemplate! JobTemplateSpec, schedule! string, startingDeadlineSeconds int32,
  successfulJobsHistoryLimit int32, suspend boolean, timeZone string
JobTemplateSpec
  metadata ObjectMeta, spec JobSpec
CronJobStatus
  active [ObjectReference], lastScheduleTime time, lastSuccessfulTime time

# io.k8s.api.autoscaling.v2
HorizontalPodAutoscaler
  metadata ObjectMeta, spec! HorizontalPodAutoscalerSpec, status HorizontalPodAutoscalerStatus
HorizontalPodAutoscalerSpec
  behavior HorizontalPodAutoscalerBehavior, maxReplicas! int32, metrics [MetricSpec],
  minReplicas int32, scaleTargetRef! CrossVersionObjectReference
HorizontalPodAutoscalerBehavior
  scaleDown HPAScalingRules, scaleUp HPAScalingRules
HPAScalingRules
  policies [HPAScalingPolicy], selectPolicy string, stabilizationWindowSeconds int32,
  tolerance quantity
HPAScalingPolicy
  periodSeconds! int32, type! string, value! int32
MetricSpec
  containerResource ContainerResourceMetricSource, external ExternalMetricSource,
  object ObjectMetricSource, pods PodsMetricSource, resource ResourceMetricSource, type! string
ContainerResourceMetricSource
  container! string, name! string, target! MetricTarget
MetricTarget
  averageUtilization int32, averageValue quantity, type! string, value quantity
ExternalMetricSource
  metric! MetricIdentifier, target! MetricTarget
MetricIdentifier
  name! string, selector LabelSelector
ObjectMetricSource
  describedObject! CrossVersionObjectReference, metric! MetricIdentifier, target! MetricTarget
CrossVersionObjectReference
  apiVersion string, kind! string, name! string
PodsMetricSource
  metric! MetricIdentifier, target! MetricTarget
ResourceMetricSource
  name! string, target! MetricTarget
HorizontalPodAutoscalerStatus
  conditions [HorizontalPodAutoscalerCondition] map=type merge=type,
  currentMetrics [MetricStatus], currentReplicas int32, desiredReplicas! int32,
  lastScaleTime time, observedGeneration int64
HorizontalPodAutoscalerCondition
  lastTransitionTime time, message string, reason string, status! string, type! string
MetricStatus
  containerResource ContainerResourceMetricStatus, external ExternalMetricStatus,
  object ObjectMetricStatus, pods PodsMetricStatus, resource ResourceMetricStatus, type! string
ContainerResourceMetricStatus
  container! string, current! MetricValueStatus, name! string
MetricValueStatus
  averageUtilization int32, averageValue quantity, value quantity
ExternalMetricStatus
  current! MetricValueStatus, metric! MetricIdentifier
ObjectMetricStatus
  current! MetricValueStatus, describedObject! CrossVersionObjectReference,
  metric! MetricIdentifier
PodsMetricStatus
  current! MetricValueStatus, metric! MetricIdentifier
ResourceMetricStatus
  current! MetricValueStatus, name! string

# io.k8s.api.autoscaling.v1
Scale
  metadata ObjectMeta, spec ScaleSpec, status ScaleStatus
ScaleSpec
  replicas int32
ScaleStatus
  replicas! int32, selector string

# io.k8s.api.policy.v1
PodDisruptionBudget
  metadata ObjectMeta, spec PodDisruptionBudgetSpec, status PodDisruptionBudgetStatus
PodDisruptionBudgetSpec
  maxUnavailable intstr, minAvailable intstr, selector LabelSelector,
  unhealthyPodEvictionPolicy AlwaysAllow|IfHealthyBudget
PodDisruptionBudgetStatus
  conditions [Condition] map=type merge=type, currentHealthy int32, desiredHealthy int32,
  disruptedPods {time}, disruptionsAllowed int32, expectedPods int32, observedGeneration int64
Eviction
  deleteOptions DeleteOptions, metadata ObjectMeta
`;
