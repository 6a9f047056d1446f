/** What all objects have in common: metadata, selectors, conditions, options, statuses. The notation is `../notation.ts`'s. */
export const metaDefinitions: string = `
# io.k8s.apimachinery.pkg.apis.meta.v1
ObjectMeta
  annotations {string}, creationTimestamp time, deletionGracePeriodSeconds int64,
  deletionTimestamp time, finalizers [string] set merge, generateName string, generation int64,
  labels {string}, managedFields [ManagedFieldsEntry], name string, namespace string,
  ownerReferences [OwnerReference] map=uid merge=uid, resourceVersion string, selfLink string,
  uid string
ManagedFieldsEntry
  apiVersion string, fieldsType string, fieldsV1 any, manager string, operation string,
  subresource string, time time
OwnerReference atomic
  apiVersion! string, blockOwnerDeletion boolean, controller boolean, kind! string, name! string,
  uid! string
LabelSelector atomic
  matchExpressions [LabelSelectorRequirement], matchLabels {string}
LabelSelectorRequirement
  key! string, operator! string, values [string]
Condition
  lastTransitionTime! time, message! string, observedGeneration int64, reason! string,
  status! string, type! string
DeleteOptions
  apiVersion string, dryRun [string], gracePeriodSeconds int64,
  ignoreStoreReadErrorWithClusterBreakingPotential boolean, kind string,
  orphanDependents boolean, preconditions Preconditions, propagationPolicy string
Preconditions
  resourceVersion string, uid string
ListMeta
  continue string, remainingItemCount int32, resourceVersion string, selfLink string,
  shardInfo ShardInfo
ShardInfo
  selector! string
Status
  code int32, details StatusDetails, message string, metadata ListMeta, reason string,
  status string
StatusDetails
  causes [StatusCause], group string, kind string, name string, retryAfterSeconds int32,
  uid string
StatusCause
  field string, message string, reason string
`;
