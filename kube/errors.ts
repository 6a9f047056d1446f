/** What the API server answers instead of an object (meta/v1 Status). */
export interface Status {
  readonly kind: 'Status';
  readonly apiVersion: 'v1';
  readonly status: 'Success' | 'Failure';
  readonly code: number;
  /** A word for programs, as `NotFound`. Empty when the server gave none. */
  readonly reason: string;
  /** A sentence for people. */
  readonly message: string;
  readonly details?: {
    readonly name?: string;
    readonly group?: string;
    readonly kind?: string;
    readonly uid?: string;
    readonly retryAfterSeconds?: number;
    readonly causes?: readonly {
      readonly reason?: string;
      readonly message?: string;
      readonly field?: string;
    }[];
  };
}

/** The API server has answered, and the answer is no. */
export class KubeError extends Error {
  override readonly name = 'KubeError';
  /** The HTTP status. */
  readonly code: number;
  /** `NotFound`, `AlreadyExists`, `Conflict`, `Invalid`, `Expired` …; empty when the server gave none. */
  readonly reason: string;
  readonly status: Status;

  constructor(status: Status) {
    super(status.message);
    this.code = status.code;
    this.reason = status.reason;
    this.status = status;
  }
}

/** No answer, or none that can be read: whether a request that changes something was carried out is unknown. */
export class KubeConnectionError extends Error {
  override readonly name = 'KubeConnectionError';
}

export function isNotFound(error: unknown): boolean {
  return error instanceof KubeError && error.code === 404;
}

/** Somebody else has changed the object in between; read it again. Not for a name that is taken. */
export function isConflict(error: unknown): boolean {
  return error instanceof KubeError && error.reason === 'Conflict';
}

export function isAlreadyExists(error: unknown): boolean {
  return error instanceof KubeError && error.reason === 'AlreadyExists';
}

/** Nothing new comes into a namespace that is being deleted. */
export function isNamespaceEnding(error: unknown): boolean {
  if (!(error instanceof KubeError)) return false;
  const causes = error.status.details?.causes ?? [];
  return causes.some((cause) => cause.reason === 'NamespaceTerminating');
}

/**
 * The server no longer has (or, after a restart without its past, does not yet have) the version to
 * start from: list again. As an answer or as an event of a watch.
 */
export function isExpired(error: unknown): boolean {
  if (!(error instanceof KubeError)) return false;
  if (error.code === 410 || error.reason === 'Expired' || error.reason === 'Gone') return true;
  return (error.status.details?.causes ?? []).some(
    (cause) => cause.reason === 'ResourceVersionTooLarge',
  );
}

// Enough to see which proxy or load balancer has answered instead of the API server.
const FOREIGN_ANSWER_CHARACTERS_MAX = 200;

/** Reads the body of an answer that is not 2xx; something else than a Status becomes one. */
export function statusFrom(code: number, body: string): Status {
  const found = parseStatus(body);
  if (found !== undefined) return completed(found, code);
  const text = body.slice(0, FOREIGN_ANSWER_CHARACTERS_MAX).trim();
  const message = `The API server answered ${code}${text === '' ? '' : `: ${text}`}`;
  return completed({ message }, code);
}

/** The status in an ERROR event. */
export function statusOfEvent(object: unknown): Status {
  const found = isRecord(object) ? (object as Partial<Status>) : {};
  return completed(found, typeof found.code === 'number' ? found.code : 500);
}

function completed(given: Partial<Status>, code: number): Status {
  return {
    ...given,
    kind: 'Status',
    apiVersion: 'v1',
    status: 'Failure',
    code,
    reason: typeof given.reason === 'string' ? given.reason : '',
    message:
      typeof given.message === 'string' && given.message !== ''
        ? given.message
        : `The API server answered ${code}`,
  };
}

function parseStatus(body: string): Partial<Status> | undefined {
  try {
    const value: unknown = JSON.parse(body);
    return isRecord(value) && value['kind'] === 'Status' ? value : undefined;
  } catch {
    // Not JSON: a proxy's page, for example. The caller shows its beginning.
    return undefined;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
