/** The kinds that extend the API itself. The notation is `../notation.ts`'s. */
export const extensionDefinitions: string = `
# io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1
CustomResourceDefinition
  metadata ObjectMeta, spec! CustomResourceDefinitionSpec, status CustomResourceDefinitionStatus
CustomResourceDefinitionSpec
  conversion CustomResourceConversion, group! string, names! CustomResourceDefinitionNames,
  preserveUnknownFields boolean, scope! string, versions! [CustomResourceDefinitionVersion]
CustomResourceConversion
  strategy! string, webhook WebhookConversion
WebhookConversion
  clientConfig WebhookClientConfig, conversionReviewVersions! [string]
WebhookClientConfig
  caBundle bytes, service ServiceReference, url string
ServiceReference
  name! string, namespace! string, path string, port int32
CustomResourceDefinitionNames
  categories [string], kind! string, listKind string, plural! string, shortNames [string],
  singular string
CustomResourceDefinitionVersion
  additionalPrinterColumns [CustomResourceColumnDefinition], deprecated boolean,
  deprecationWarning string, name! string, schema CustomResourceValidation,
  selectableFields [SelectableField], served! boolean, storage! boolean,
  subresources CustomResourceSubresources
CustomResourceColumnDefinition
  description string, format string, jsonPath! string, name! string, priority int32, type! string
CustomResourceValidation
  openAPIV3Schema JSONSchemaProps
JSONSchemaProps
  $ref string, $schema string, additionalItems any, additionalProperties any,
  allOf [JSONSchemaProps], anyOf [JSONSchemaProps], default any, definitions {JSONSchemaProps},
  dependencies {any}, description string, enum [any], example any, exclusiveMaximum boolean,
  exclusiveMinimum boolean, externalDocs ExternalDocumentation, format string, id string,
  items any, maxItems int64, maxLength int64, maxProperties int64, maximum number,
  minItems int64, minLength int64, minProperties int64, minimum number, multipleOf number,
  not JSONSchemaProps, nullable boolean, oneOf [JSONSchemaProps], pattern string,
  patternProperties {JSONSchemaProps}, properties {JSONSchemaProps}, required [string],
  title string, type string, uniqueItems boolean, x-kubernetes-embedded-resource boolean,
  x-kubernetes-int-or-string boolean, x-kubernetes-list-map-keys [string],
  x-kubernetes-list-type string, x-kubernetes-map-type string,
  x-kubernetes-preserve-unknown-fields boolean, x-kubernetes-validations [ValidationRule]
ExternalDocumentation
  description string, url string
ValidationRule
  fieldPath string, message string, messageExpression string, optionalOldSelf boolean,
  reason FieldValueDuplicate|FieldValueForbidden|FieldValueInvalid|FieldValueRequired,
  rule! string
SelectableField
  jsonPath! string
CustomResourceSubresources
  scale CustomResourceSubresourceScale, status CustomResourceSubresourceStatus
CustomResourceSubresourceScale
  labelSelectorPath string, specReplicasPath! string, statusReplicasPath! string
CustomResourceSubresourceStatus
CustomResourceDefinitionStatus
  acceptedNames CustomResourceDefinitionNames,
  conditions [CustomResourceDefinitionCondition] map=type, observedGeneration int64,
  storedVersions [string]
CustomResourceDefinitionCondition
  lastTransitionTime time, message string, observedGeneration int64, reason string,
  status! string, type! string

# io.k8s.api.admissionregistration.v1
ValidatingWebhookConfiguration
  metadata ObjectMeta, webhooks [ValidatingWebhook] map=name merge=name
ValidatingWebhook
  admissionReviewVersions! [string], clientConfig! WebhookClientConfig,
  failurePolicy Fail|Ignore, matchConditions [MatchCondition] map=name merge=name,
  matchPolicy Equivalent|Exact, name! string, namespaceSelector LabelSelector,
  objectSelector LabelSelector, rules [RuleWithOperations],
  sideEffects! None|NoneOnDryRun|Some|Unknown, timeoutSeconds int32
WebhookClientConfig
  caBundle bytes, service ServiceReference, url string
ServiceReference
  name! string, namespace! string, path string, port int32
MatchCondition
  expression! string, name! string
RuleWithOperations
  apiGroups [string], apiVersions [string], operations [*|CONNECT|CREATE|DELETE|UPDATE],
  resources [string], scope *|Cluster|Namespaced
MutatingWebhookConfiguration
  metadata ObjectMeta, webhooks [MutatingWebhook] map=name merge=name
MutatingWebhook
  admissionReviewVersions! [string], clientConfig! WebhookClientConfig,
  failurePolicy Fail|Ignore, matchConditions [MatchCondition] map=name merge=name,
  matchPolicy Equivalent|Exact, name! string, namespaceSelector LabelSelector,
  objectSelector LabelSelector, reinvocationPolicy IfNeeded|Never, rules [RuleWithOperations],
  sideEffects! None|NoneOnDryRun|Some|Unknown, timeoutSeconds int32

# io.k8s.kube-aggregator.pkg.apis.apiregistration.v1
APIService
  metadata ObjectMeta, spec APIServiceSpec, status APIServiceStatus
APIServiceSpec
  caBundle bytes, group string, groupPriorityMinimum! int32, insecureSkipTLSVerify boolean,
  service ServiceReference, version string, versionPriority! int32
ServiceReference
  name string, namespace string, port int32
APIServiceStatus
  conditions [APIServiceCondition] map=type merge=type
APIServiceCondition
  lastTransitionTime time, message string, reason string, status! string, type! string
`;
