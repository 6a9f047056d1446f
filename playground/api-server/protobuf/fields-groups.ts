/** All other groups. The notation is `fields.ts`'s. */
export const groupFields: string = `
# io.k8s.api.admissionregistration.v1
MatchCondition: name? expression?
MutatingWebhook: name? clientConfig rules failurePolicy? namespaceSelector sideEffects? timeoutSeconds?
  admissionReviewVersions matchPolicy? reinvocationPolicy? objectSelector matchConditions
MutatingWebhookConfiguration: metadata webhooks
Rule: apiGroups apiVersions resources scope?
RuleWithOperations: operations +Rule
ServiceReference: namespace? name? path? port?
ValidatingWebhook: name? clientConfig rules failurePolicy? namespaceSelector sideEffects? timeoutSeconds?
  admissionReviewVersions matchPolicy? objectSelector matchConditions
ValidatingWebhookConfiguration: metadata webhooks
WebhookClientConfig: service caBundle url?

# io.k8s.api.apps.v1
ControllerRevision: metadata data revision?
DaemonSet: metadata spec status
DaemonSetCondition: type? status? lastTransitionTime reason message
DaemonSetSpec: selector template updateStrategy minReadySeconds @6 revisionHistoryLimit?
DaemonSetStatus: currentNumberScheduled? numberMisscheduled? desiredNumberScheduled? numberReady?
  observedGeneration updatedNumberScheduled numberAvailable numberUnavailable collisionCount? conditions
DaemonSetUpdateStrategy: type rollingUpdate
Deployment: metadata spec status
DeploymentCondition: type? status? @4 reason message lastUpdateTime lastTransitionTime
DeploymentSpec: replicas? selector template strategy minReadySeconds revisionHistoryLimit? paused @9
  progressDeadlineSeconds?
DeploymentStatus: observedGeneration replicas updatedReplicas availableReplicas unavailableReplicas conditions
  readyReplicas collisionCount? terminatingReplicas?
DeploymentStrategy: type rollingUpdate
ReplicaSet: metadata spec status
ReplicaSetCondition: type? status? lastTransitionTime reason message
ReplicaSetSpec: replicas? selector template minReadySeconds
ReplicaSetStatus: replicas? fullyLabeledReplicas observedGeneration readyReplicas availableReplicas conditions
  terminatingReplicas?
RollingUpdateDaemonSet: maxUnavailable maxSurge
RollingUpdateDeployment: maxUnavailable maxSurge
RollingUpdateStatefulSetStrategy: partition? maxUnavailable
StatefulSet: metadata spec status
StatefulSetCondition: type? status? lastTransitionTime reason message
StatefulSetOrdinals: start?
StatefulSetPersistentVolumeClaimRetentionPolicy: whenDeleted whenScaled
StatefulSetSpec: replicas? selector template volumeClaimTemplates serviceName? podManagementPolicy
  updateStrategy revisionHistoryLimit? minReadySeconds persistentVolumeClaimRetentionPolicy ordinals
StatefulSetStatus: observedGeneration replicas? readyReplicas currentReplicas updatedReplicas currentRevision
  updateRevision @9 collisionCount? conditions availableReplicas?
StatefulSetUpdateStrategy: type rollingUpdate

# io.k8s.api.authentication.v1
BoundObjectReference: kind apiVersion name uid
SelfSubjectReview: metadata status
SelfSubjectReviewStatus: userInfo
TokenRequest: metadata spec status
TokenRequestSpec: audiences @3 boundObjectRef expirationSeconds?
TokenRequestStatus: token? expirationTimestamp
TokenReview: metadata spec status
TokenReviewSpec: token audiences
TokenReviewStatus: authenticated user error audiences
UserInfo: username uid groups extra

# io.k8s.api.authorization.v1
FieldSelectorAttributes: rawSelector requirements
LabelSelectorAttributes: rawSelector requirements
LocalSubjectAccessReview: metadata spec status
NonResourceAttributes: path verb
NonResourceRule: verbs nonResourceURLs
ResourceAttributes: namespace verb group version resource subresource name fieldSelector labelSelector
ResourceRule: verbs apiGroups resources resourceNames
SelfSubjectAccessReview: metadata spec status
SelfSubjectAccessReviewSpec: resourceAttributes nonResourceAttributes
SelfSubjectRulesReview: metadata spec status
SelfSubjectRulesReviewSpec: namespace
SubjectAccessReview: metadata spec status
SubjectAccessReviewSpec: resourceAttributes nonResourceAttributes user groups extra uid
SubjectAccessReviewStatus: allowed? reason evaluationError denied
SubjectRulesReviewStatus: resourceRules nonResourceRules incomplete? evaluationError

# io.k8s.api.autoscaling.v1
Scale: metadata spec status
ScaleSpec: replicas
ScaleStatus: replicas? selector

# io.k8s.api.autoscaling.v2
ContainerResourceMetricSource: name? target container?
ContainerResourceMetricStatus: name? current container?
CrossVersionObjectReference: kind? name? apiVersion
ExternalMetricSource: metric target
ExternalMetricStatus: metric current
HPAScalingPolicy: type? value? periodSeconds?
HPAScalingRules: selectPolicy? policies stabilizationWindowSeconds? tolerance
HorizontalPodAutoscaler: metadata spec status
HorizontalPodAutoscalerBehavior: scaleUp scaleDown
HorizontalPodAutoscalerCondition: type? status? lastTransitionTime reason message
HorizontalPodAutoscalerSpec: scaleTargetRef minReplicas? maxReplicas? metrics behavior
HorizontalPodAutoscalerStatus: observedGeneration? lastScaleTime currentReplicas desiredReplicas?
  currentMetrics conditions
MetricIdentifier: name? selector
MetricSpec: type? object pods resource external @7 containerResource
MetricStatus: type? object pods resource external @7 containerResource
MetricTarget: type? value averageValue averageUtilization?
MetricValueStatus: value averageValue averageUtilization?
ObjectMetricSource: describedObject target metric
ObjectMetricStatus: metric current describedObject
PodsMetricSource: metric target
PodsMetricStatus: metric current
ResourceMetricSource: name? target
ResourceMetricStatus: name? current

# io.k8s.api.batch.v1
CronJob: metadata spec status
CronJobSpec: schedule? startingDeadlineSeconds? concurrencyPolicy suspend? jobTemplate
  successfulJobsHistoryLimit? failedJobsHistoryLimit? timeZone?
CronJobStatus: active @4 lastScheduleTime lastSuccessfulTime
Job: metadata spec status
JobCondition: type? status? lastProbeTime lastTransitionTime reason message
JobSpec: parallelism? completions? activeDeadlineSeconds? selector manualSelector? template backoffLimit?
  ttlSecondsAfterFinished? completionMode? suspend? podFailurePolicy backoffLimitPerIndex? maxFailedIndexes?
  podReplacementPolicy? managedBy? successPolicy
JobStatus: conditions startTime completionTime active succeeded failed completedIndexes
  uncountedTerminatedPods ready? failedIndexes? terminating?
JobTemplateSpec: metadata spec
PodFailurePolicy: rules
PodFailurePolicyOnExitCodesRequirement: containerName? operator? values
PodFailurePolicyOnPodConditionsPattern: type? status?
PodFailurePolicyRule: action? onExitCodes onPodConditions
SuccessPolicy: rules
SuccessPolicyRule: succeededIndexes? succeededCount?
UncountedTerminatedPods: succeeded failed

# io.k8s.api.certificates.v1
CertificateSigningRequest: metadata spec status
CertificateSigningRequestCondition: type? reason message lastUpdateTime lastTransitionTime status?
CertificateSigningRequestSpec: request username uid groups usages extra signerName? expirationSeconds?
CertificateSigningRequestStatus: conditions certificate

# io.k8s.api.coordination.v1
Lease: metadata spec
LeaseSpec: holderIdentity? leaseDurationSeconds? acquireTime renewTime leaseTransitions? strategy?
  preferredHolder?

# io.k8s.api.discovery.v1
Endpoint: addresses conditions hostname? targetRef deprecatedTopology nodeName? zone? hints
EndpointConditions: ready? serving? terminating?
EndpointHints: forZones forNodes
EndpointPort: name? protocol? port? appProtocol?
EndpointSlice: metadata endpoints ports addressType?
ForNode: name?
ForZone: name?

# io.k8s.api.events.v1
Event: metadata eventTime series reportingController reportingInstance action reason regarding related note
  type deprecatedSource deprecatedFirstTimestamp deprecatedLastTimestamp deprecatedCount
EventSeries: count? lastObservedTime

# io.k8s.api.networking.v1
HTTPIngressPath: path backend pathType?
HTTPIngressRuleValue: paths
IPBlock: cidr? except
Ingress: metadata spec status
IngressBackend: @3 resource service
IngressClass: metadata spec
IngressClassParametersReference: apiGroup? kind? name? scope? namespace?
IngressClassSpec: controller parameters
IngressLoadBalancerIngress: ip hostname @4 ports
IngressLoadBalancerStatus: ingress
IngressPortStatus: port? protocol? error?
IngressRule: host +IngressRuleValue
IngressRuleValue: http
IngressServiceBackend: name? port
IngressSpec: defaultBackend tls rules ingressClassName?
IngressStatus: loadBalancer
IngressTLS: hosts secretName
NetworkPolicy: metadata spec
NetworkPolicyEgressRule: ports to
NetworkPolicyIngressRule: ports from
NetworkPolicyPeer: podSelector namespaceSelector ipBlock
NetworkPolicyPort: protocol? port endPort?
NetworkPolicySpec: podSelector ingress egress policyTypes
ServiceBackendPort: name number

# io.k8s.api.policy.v1
Eviction: metadata deleteOptions
PodDisruptionBudget: metadata spec status
PodDisruptionBudgetSpec: minAvailable selector maxUnavailable unhealthyPodEvictionPolicy?
PodDisruptionBudgetStatus: observedGeneration disruptedPods disruptionsAllowed? currentHealthy?
  desiredHealthy? expectedPods? conditions

# io.k8s.api.rbac.v1
AggregationRule: clusterRoleSelectors
ClusterRole: metadata rules aggregationRule
ClusterRoleBinding: metadata subjects roleRef
PolicyRule: verbs apiGroups resources resourceNames nonResourceURLs
Role: metadata rules
RoleBinding: metadata subjects roleRef
RoleRef: apiGroup? kind? name?
Subject: kind? apiGroup name? namespace

# io.k8s.api.scheduling.v1
PriorityClass: metadata value? globalDefault description preemptionPolicy?

# io.k8s.api.storage.v1
StorageClass: metadata provisioner? parameters reclaimPolicy? mountOptions allowVolumeExpansion?
  volumeBindingMode? allowedTopologies

# io.k8s.apimachinery.pkg.apis.meta.v1
Condition: type? status? observedGeneration lastTransitionTime reason? message?
DeleteOptions: gracePeriodSeconds? preconditions orphanDependents? propagationPolicy? dryRun
  ignoreStoreReadErrorWithClusterBreakingPotential?
FieldSelectorRequirement: key? operator? values
LabelSelector: matchLabels matchExpressions
LabelSelectorRequirement: key? operator? values
ManagedFieldsEntry: manager operation apiVersion time @6 fieldsType fieldsV1 subresource
ObjectMeta: name generateName namespace selfLink uid resourceVersion generation creationTimestamp
  deletionTimestamp deletionGracePeriodSeconds? labels annotations ownerReferences finalizers @17
  managedFields
OwnerReference: kind? @3 name? uid? apiVersion? controller? blockOwnerDeletion?
Preconditions: uid? resourceVersion?

# io.k8s.kube-aggregator.pkg.apis.apiregistration.v1
APIService: metadata spec status
APIServiceCondition: type? status? lastTransitionTime reason message
APIServiceSpec: service group version insecureSkipTLSVerify caBundle @7 groupPriorityMinimum? versionPriority?
APIServiceStatus: conditions
ServiceReference: namespace name port?
`;
