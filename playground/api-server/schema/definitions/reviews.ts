/** The kinds that ask for something and are never kept. The notation is `../notation.ts`'s. */
export const reviewDefinitions: string = `
# io.k8s.api.authentication.v1
TokenReview
  metadata ObjectMeta, spec! TokenReviewSpec, status TokenReviewStatus
TokenReviewSpec
  audiences [string], token! string
TokenReviewStatus
  audiences [string], authenticated boolean, error string, user UserInfo
UserInfo
  extra {[string]}, groups [string], uid string, username string
TokenRequest
  metadata ObjectMeta, spec TokenRequestSpec, status TokenRequestStatus
TokenRequestSpec
  audiences [string], boundObjectRef BoundObjectReference, expirationSeconds int32
BoundObjectReference
  apiVersion string, kind string, name string, uid string
TokenRequestStatus
  expirationTimestamp time, token string
SelfSubjectReview
  metadata ObjectMeta, status SelfSubjectReviewStatus
SelfSubjectReviewStatus
  userInfo UserInfo

# io.k8s.api.authorization.v1
SubjectAccessReview
  metadata ObjectMeta, spec! SubjectAccessReviewSpec, status SubjectAccessReviewStatus
SubjectAccessReviewSpec
  extra {[string]}, groups [string], nonResourceAttributes NonResourceAttributes,
  resourceAttributes ResourceAttributes, uid string, user string
NonResourceAttributes
  path string, verb string
ResourceAttributes
  fieldSelector FieldSelectorAttributes, group string, labelSelector LabelSelectorAttributes,
  name string, namespace string, resource string, subresource string, verb string, version string
FieldSelectorAttributes
  rawSelector string, requirements [FieldSelectorRequirement]
LabelSelectorAttributes
  rawSelector string, requirements [LabelSelectorRequirement]
SubjectAccessReviewStatus
  allowed! boolean, denied boolean, evaluationError string, reason string
SelfSubjectAccessReview
  metadata ObjectMeta, spec! SelfSubjectAccessReviewSpec, status SubjectAccessReviewStatus
SelfSubjectAccessReviewSpec
  nonResourceAttributes NonResourceAttributes, resourceAttributes ResourceAttributes
LocalSubjectAccessReview
  metadata ObjectMeta, spec! SubjectAccessReviewSpec, status SubjectAccessReviewStatus
SelfSubjectRulesReview
  metadata ObjectMeta, spec! SelfSubjectRulesReviewSpec, status SubjectRulesReviewStatus
SelfSubjectRulesReviewSpec
  namespace string
SubjectRulesReviewStatus
  evaluationError string, incomplete! boolean, nonResourceRules! [NonResourceRule],
  resourceRules! [ResourceRule]
NonResourceRule
  nonResourceURLs [string], verbs! [string]
ResourceRule
  apiGroups [string], resourceNames [string], resources [string], verbs! [string]

# io.k8s.api.autoscaling.v1
Scale
  metadata ObjectMeta, spec ScaleSpec, status ScaleStatus
ScaleSpec
  replicas int32
ScaleStatus
  replicas! int32, selector string

# io.k8s.api.core.v1
Binding
  metadata ObjectMeta, target! ObjectReference

# io.k8s.api.policy.v1
Eviction
  deleteOptions DeleteOptions, metadata ObjectMeta

# io.k8s.apimachinery.pkg.apis.meta.v1
FieldSelectorRequirement
  key! string, operator! string, values [string]
`;
