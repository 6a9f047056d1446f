/** One field that is wrong, or one manager in conflict: metav1.StatusCause. */
export interface StatusCause {
  readonly reason: string;
  readonly message: string;
  readonly field?: string;
}

/** metav1.Status: the body of every answer that is not an object. */
export interface Status {
  readonly kind: 'Status';
  readonly apiVersion: 'v1';
  readonly metadata: { readonly continue?: string; readonly resourceVersion?: string };
  readonly status: 'Success' | 'Failure';
  readonly message?: string;
  readonly reason?: string;
  readonly details?: {
    readonly name?: string;
    readonly group?: string;
    readonly kind?: string;
    readonly uid?: string;
    readonly causes?: readonly StatusCause[];
    readonly retryAfterSeconds?: number;
  };
  readonly code?: number;
}

/** What the texts name of a kind. */
export interface NamedKind {
  readonly group: string;
  readonly plural: string;
  readonly kind: string;
}

/** A refused request. The texts below are the field's: clients and people match on them. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: Status;

  constructor(code: number, reason: string, message: string, more: StatusExtras = {}) {
    super(message);
    this.status = {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: more.metadata ?? {},
      status: 'Failure',
      message,
      ...(reason === '' ? {} : { reason }),
      ...(more.details === undefined ? {} : { details: more.details }),
      code,
    };
  }

  get code(): number {
    return this.status.code ?? 0;
  }

  get reason(): string {
    return this.status.reason ?? '';
  }
}

interface StatusExtras {
  readonly details?: Status['details'];
  readonly metadata?: Status['metadata'];
}

export function notFound(kind: NamedKind, name: string): ApiError {
  return new ApiError(404, 'NotFound', `${resource(kind)} "${name}" not found`, about(kind, name));
}

/** For a path that nothing is served at. */
export function noSuchPath(): ApiError {
  const message = 'the server could not find the requested resource';
  return new ApiError(404, 'NotFound', message, { details: {} });
}

export function alreadyExists(kind: NamedKind, name: string): ApiError {
  const message = `${resource(kind)} "${name}" already exists`;
  return new ApiError(409, 'AlreadyExists', message, about(kind, name));
}

/** Two writers met. Without a reason: the resourceVersion of the request is not the current one. */
export function conflict(
  kind: NamedKind,
  name: string,
  reason = 'the object has been modified; please apply your changes to the latest version and try again',
): ApiError {
  const message = `Operation cannot be fulfilled on ${resource(kind)} "${name}": ${reason}`;
  return new ApiError(409, 'Conflict', message, about(kind, name));
}

/** Server-side apply met fields that belong to others. */
export function applyConflict(message: string, causes: readonly StatusCause[]): ApiError {
  return new ApiError(409, 'Conflict', message, { details: { causes } });
}

export function invalid(
  kind: Pick<NamedKind, 'group' | 'kind'>,
  name: string,
  problems: readonly FieldProblem[],
): ApiError {
  const texts = [...new Set(problems.map((problem) => `${problem.field}: ${problem.message}`))];
  const list = texts.length === 1 ? texts[0] : `[${texts.join(', ')}]`;
  const message = `${kind.group === '' ? kind.kind : `${kind.kind}.${kind.group}`} "${name}" is invalid: ${list}`;
  return new ApiError(422, 'Invalid', message, {
    details: {
      ...(name === '' ? {} : { name }),
      ...(kind.group === '' ? {} : { group: kind.group }),
      ...(kind.kind === '' ? {} : { kind: kind.kind }),
      causes: problems.map(({ reason, message: text, field }) => ({
        reason,
        message: text,
        field,
      })),
    },
  });
}

export function badRequest(message: string): ApiError {
  return new ApiError(400, 'BadRequest', message);
}

export function unauthorized(): ApiError {
  return new ApiError(401, 'Unauthorized', 'Unauthorized');
}

export function forbidden(
  kind: NamedKind,
  name: string,
  reason: string,
  causes?: readonly StatusCause[],
): ApiError {
  const subject = name === '' ? resource(kind) : `${resource(kind)} "${name}"`;
  const { details } = about(kind, name);
  return new ApiError(403, 'Forbidden', `${subject} is forbidden: ${reason}`, {
    details: causes === undefined ? details : { ...details, causes },
  });
}

/** The version asked for is no longer remembered; `continueToken` goes on from the current one. */
export function gone(message: string, continueToken?: string): ApiError {
  const more = continueToken === undefined ? {} : { metadata: { continue: continueToken } };
  return new ApiError(410, 'Expired', message, more);
}

/** The watch or list asked for changes since a version that has been forgotten. */
export function tooOldResourceVersion(asked: number, oldest: number): ApiError {
  return gone(`too old resource version: ${asked} (${oldest})`);
}

/** The version asked for has not been reached. */
export function tooLargeResourceVersion(asked: number, current: number): ApiError {
  const message = `Timeout: Too large resource version: ${asked}, current: ${current}`;
  const cause = { reason: 'ResourceVersionTooLarge', message: 'Too large resource version' };
  return new ApiError(504, 'Timeout', message, {
    details: { causes: [cause], retryAfterSeconds: 1 },
  });
}

export function unsupportedMediaType(accepted: readonly string[]): ApiError {
  const message = `the body of the request was in an unknown format - accepted media types include: ${accepted.join(', ')}`;
  return new ApiError(415, 'UnsupportedMediaType', message);
}

export function notAcceptable(accepted: readonly string[]): ApiError {
  const message = `only the following media types are accepted: ${accepted.join(', ')}`;
  return new ApiError(406, 'NotAcceptable', message);
}

export function methodNotAllowed(): ApiError {
  const message = 'the server does not allow this method on the requested resource';
  return new ApiError(405, 'MethodNotAllowed', message, { details: {} });
}

/** The kind's definition is being deleted. */
export function createWhileTerminating(kind: NamedKind): ApiError {
  const message = 'create not allowed while custom resource definition is terminating';
  return new ApiError(405, 'MethodNotAllowed', message, about(kind, ''));
}

export function requestTooLarge(limitBytes: number): ApiError {
  const message = `Request entity too large: limit is ${limitBytes}`;
  return new ApiError(413, 'RequestEntityTooLarge', message);
}

export function tooManyRequests(
  message: string,
  retryAfterSeconds: number,
  causes?: readonly StatusCause[],
): ApiError {
  const details = causes === undefined ? { retryAfterSeconds } : { causes, retryAfterSeconds };
  return new ApiError(429, 'TooManyRequests', message, { details });
}

export function internalError(message: string): ApiError {
  return new ApiError(500, 'InternalError', `Internal error occurred: ${message}`, {
    details: { causes: [{ reason: '', message }] },
  });
}

/** "deployments.apps", or "pods" for the group without a name. */
export function resource(kind: Pick<NamedKind, 'group' | 'plural'>): string {
  return kind.group === '' ? kind.plural : `${kind.plural}.${kind.group}`;
}

function about(
  kind: NamedKind,
  name: string,
): { readonly details: NonNullable<Status['details']> } {
  return {
    details: {
      ...(name === '' ? {} : { name }),
      ...(kind.group === '' ? {} : { group: kind.group }),
      kind: kind.plural,
    },
  };
}

/** A field that is wrong: its path, the machine's word for what is wrong, and people's. */
export interface FieldProblem {
  readonly field: string;
  readonly reason: string;
  readonly message: string;
}

export function invalidValue(field: string, value: unknown, detail: string): FieldProblem {
  const message = `Invalid value: ${quoted(value)}: ${detail}`;
  return { field, reason: 'FieldValueInvalid', message };
}

/** The value is of another type than the field's. */
export function wrongType(field: string, value: unknown, detail: string): FieldProblem {
  const message = `Invalid value: ${quoted(value)}: ${detail}`;
  return { field, reason: 'FieldValueTypeInvalid', message };
}

export function requiredValue(field: string, detail = ''): FieldProblem {
  const message = detail === '' ? 'Required value' : `Required value: ${detail}`;
  return { field, reason: 'FieldValueRequired', message };
}

export function duplicateValue(field: string, value: unknown): FieldProblem {
  const message = `Duplicate value: ${quoted(value)}`;
  return { field, reason: 'FieldValueDuplicate', message };
}

export function unsupportedValue(
  field: string,
  value: unknown,
  supported: readonly unknown[],
): FieldProblem {
  const list = supported.map(quoted).join(', ');
  const message = `Unsupported value: ${quoted(value)}: supported values: ${list}`;
  return { field, reason: 'FieldValueNotSupported', message };
}

export function forbiddenField(field: string, detail: string): FieldProblem {
  return { field, reason: 'FieldValueForbidden', message: `Forbidden: ${detail}` };
}

export function missingReference(field: string, value: unknown): FieldProblem {
  return { field, reason: 'FieldValueNotFound', message: `Not found: ${quoted(value)}` };
}

export function tooLong(field: string, lengthMax: number): FieldProblem {
  const message = `Too long: may not be more than ${lengthMax} bytes`;
  return { field, reason: 'FieldValueTooLong', message };
}

export function tooMany(field: string, count: number, countMax: number): FieldProblem {
  const message = `Too many: ${count}: must have at most ${countMax} items`;
  return { field, reason: 'FieldValueTooMany', message };
}

/** A value as the texts show it: strings quoted, nothing as "null", the rest as JSON. */
function quoted(value: unknown): string {
  return value === null || value === undefined ? '"null"' : JSON.stringify(value);
}
