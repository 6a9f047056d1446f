import { labelKeyProblem, labelValueProblem } from '#kube/selector.ts';

import type { FieldProblem } from './errors.ts';
import { invalidValue } from './errors.ts';
import type { ServedKind } from './kinds.ts';
import type { ObjectMeta } from './object.ts';

const LABEL_LENGTH_MAX = 63;
const SUBDOMAIN_LENGTH_MAX = 253;
const PORT_NAME_LENGTH_MAX = 15;
// The reference's bound on all annotations of an object together.
const ANNOTATIONS_BYTES_MAX = 256 * 1024;

// All others are named after a domain.
const STANDARD_FINALIZERS = new Set(['kubernetes', 'orphan', 'foregroundDeletion']);

const LABEL_TEXT = 'lower case alphanumeric characters or';
const DNS_LABEL = `a lowercase RFC 1123 label must consist of ${LABEL_TEXT} '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`;
const DNS_SUBDOMAIN =
  "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const DNS_LABEL_1035 = `a DNS-1035 label must consist of ${LABEL_TEXT} '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')`;

/** Why a text is no RFC 1123 label ("my-name"); undefined if it is one. */
export function dnsLabelProblem(text: string): string | undefined {
  if (text.length > LABEL_LENGTH_MAX) return `must be no more than ${LABEL_LENGTH_MAX} characters`;
  return /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/u.test(text) ? undefined : DNS_LABEL;
}

/** Why a text is no RFC 1123 subdomain ("my.name"); undefined if it is one. */
export function dnsSubdomainProblem(text: string): string | undefined {
  if (text.length > SUBDOMAIN_LENGTH_MAX) {
    return `must be no more than ${SUBDOMAIN_LENGTH_MAX} characters`;
  }
  const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/u;
  return subdomain.test(text) ? undefined : DNS_SUBDOMAIN;
}

/** Why a text is no RFC 1035 label (it starts with a letter); undefined if it is one. */
export function dnsLabel1035Problem(text: string): string | undefined {
  if (text.length > LABEL_LENGTH_MAX) return `must be no more than ${LABEL_LENGTH_MAX} characters`;
  return /^[a-z]([-a-z0-9]*[a-z0-9])?$/u.test(text) ? undefined : DNS_LABEL_1035;
}

/** What is wrong with the name of a port: an IANA service name. */
export function portNameProblems(field: string, name: string): readonly FieldProblem[] {
  const wrong = (detail: string): FieldProblem => invalidValue(field, name, detail);
  if (name.length > PORT_NAME_LENGTH_MAX) {
    return [wrong(`must be no more than ${PORT_NAME_LENGTH_MAX} characters`)];
  }
  const problems: FieldProblem[] = [];
  if (!/^[-a-z0-9]+$/u.test(name)) {
    const detail = 'must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)';
    problems.push(wrong(detail));
  }
  if (!/[a-z]/u.test(name)) problems.push(wrong('must contain at least one letter (a-z)'));
  if (name.includes('--')) problems.push(wrong('must not contain consecutive hyphens'));
  if (/^-|-$/u.test(name)) problems.push(wrong('must not begin or end with a hyphen'));
  return problems;
}

/** Roles and their bindings may be named almost anything that fits into a path. */
function pathSegmentProblem(text: string): string | undefined {
  if (text === '.' || text === '..') return `may not be '${text}'`;
  const wrong = ['/', '%'].find((character) => text.includes(character));
  return wrong === undefined ? undefined : `may not contain '${wrong}'`;
}

/** What is wrong with the names, labels and annotations of an object's metadata. */
export function metadataNameProblems(
  kind: ServedKind,
  metadata: ObjectMeta,
): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  const { name = '', labels = {}, annotations = {}, finalizers = [] } = metadata;
  const nameProblem = nameRule(kind)(name);
  if (nameProblem !== undefined) problems.push(invalidValue('metadata.name', name, nameProblem));
  problems.push(...labelProblems(labels, 'metadata.labels'));
  let annotationBytes = 0;
  for (const [key, value] of Object.entries(annotations)) {
    annotationBytes += key.length + value.length;
    const problem = labelKeyProblem(key.toLowerCase());
    if (problem !== undefined) problems.push(invalidValue('metadata.annotations', key, problem));
  }
  if (annotationBytes > ANNOTATIONS_BYTES_MAX) {
    problems.push({
      field: 'metadata.annotations',
      reason: 'FieldValueTooLong',
      message: `Too long: may not be more than ${ANNOTATIONS_BYTES_MAX} bytes`,
    });
  }
  for (const [index, finalizer] of finalizers.entries()) {
    const problem = labelKeyProblem(finalizer);
    const isShort = hasCoreRules(kind) && !finalizer.includes('/');
    if (problem !== undefined) {
      problems.push(invalidValue(`metadata.finalizers[${index}]`, finalizer, problem));
    } else if (isShort && !STANDARD_FINALIZERS.has(finalizer)) {
      const detail = 'name is neither a standard finalizer name nor is it fully qualified';
      problems.push(invalidValue(`metadata.finalizers[${index}]`, finalizer, detail));
    }
  }
  problems.push(...ownerProblems(metadata));
  return problems;
}

/** What is wrong with labels, wherever an object has some. */
export function labelProblems(
  labels: Readonly<Record<string, string>>,
  field: string,
): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  for (const [key, value] of Object.entries(labels)) {
    const keyProblem = labelKeyProblem(key);
    if (keyProblem !== undefined) problems.push(invalidValue(field, key, keyProblem));
    const valueProblem = labelValueProblem(value);
    if (valueProblem !== undefined) problems.push(invalidValue(field, value, valueProblem));
  }
  return problems;
}

/** Custom resources and their definitions have rules of their own. */
function hasCoreRules(kind: ServedKind): boolean {
  return !kind.custom && kind.group !== 'apiextensions.k8s.io';
}

function ownerProblems({ ownerReferences = [] }: ObjectMeta): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  const field = 'metadata.ownerReferences';
  for (const owner of ownerReferences) {
    if (!owner.apiVersion)
      problems.push(invalidValue(`${field}.apiVersion`, '', 'version must not be empty'));
    for (const part of ['kind', 'name', 'uid'] as const) {
      if (!owner[part]) problems.push(invalidValue(`${field}.${part}`, '', 'must not be empty'));
    }
  }
  const [first, second] = ownerReferences.filter(({ controller }) => controller === true);
  if (first !== undefined && second !== undefined) {
    const who = `${first.kind}/${first.name} and ${second.kind}/${second.name}`;
    const detail = `Only one reference can have Controller set to true. Found "true" in references for ${who}`;
    problems.push(invalidValue(field, ownerReferences, detail));
  }
  return problems;
}

function nameRule(kind: ServedKind): (text: string) => string | undefined {
  if (kind.group === 'rbac.authorization.k8s.io') return pathSegmentProblem;
  if (kind.storageKey === 'namespaces') return dnsLabelProblem;
  if (kind.storageKey === 'services') return dnsLabel1035Problem;
  return dnsSubdomainProblem;
}
