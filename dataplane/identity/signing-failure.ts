import { status as Status } from '@grpc/grpc-js';

/** A failed call for a certificate, put into words. */
export interface SigningFailure {
  readonly reason: string;
  readonly retryable: boolean;
  /** The connection is not worth keeping. */
  readonly connectionLost: boolean;
}

export interface CallContext {
  readonly address: string;
  readonly identity: string;
  /** Cut out of whatever the other side says. */
  readonly secret: string;
}

/** The other side's own words go into a log line: a few hundred characters of them. */
const DETAILS_LENGTH_MAX = 400;

// What Node and OpenSSL say when they do not accept the server's certificate.
const DISTRUST = /certificate|altnames|issuer/i;

interface Words {
  readonly retryable: boolean;
  readonly connectionLost: boolean;
  readonly say: (at: string, identity: string, said: string) => string;
}

const WORDS = new Map<Status, Words>([
  [
    Status.UNAVAILABLE,
    {
      retryable: true,
      connectionLost: true,
      say: (at, _, said) =>
        DISTRUST.test(said)
          ? `${at} is not the one that we trust: ${said}. Check CA_ROOT_CA, and ALT_CA_HOSTNAME if it goes by another name`
          : `${at} cannot be reached: ${said}. Check that it runs and that CA_ADDRESS is right`,
    },
  ],
  [
    Status.DEADLINE_EXCEEDED,
    {
      retryable: true,
      connectionLost: true,
      say: (at, _, said) =>
        `${at} did not answer in time: ${said}. Check that it runs and that CA_ADDRESS is right`,
    },
  ],
  [
    // Also while the authority has not seen the pod yet, which passes.
    Status.UNAUTHENTICATED,
    {
      retryable: true,
      connectionLost: false,
      say: (at, identity, said) =>
        `${at} does not accept our request for "${identity}": ${said}. Check that the token (AUTH_TOKEN) is fresh and for its audience, that CA_TRUSTED_NODE_ACCOUNTS has our service account, and that a pod with this identity runs on this node`,
    },
  ],
  [
    Status.PERMISSION_DENIED,
    {
      retryable: false,
      connectionLost: false,
      say: (at, identity, said) =>
        `${at} does not let us have certificates for "${identity}": ${said}. Check that CA_TRUSTED_NODE_ACCOUNTS has our service account`,
    },
  ],
  [
    Status.UNIMPLEMENTED,
    {
      retryable: false,
      connectionLost: false,
      say: (at, _, said) =>
        `${at} has no certificate service: ${said}. Check that CA_ADDRESS is right`,
    },
  ],
  [
    Status.INVALID_ARGUMENT,
    {
      retryable: false,
      connectionLost: false,
      say: (at, identity, said) => `${at} refuses the request for "${identity}": ${said}`,
    },
  ],
]);

/** Says what failed, where, and what to look at. */
export function callFailure(
  call: { readonly status: Status; readonly details: string },
  context: CallContext,
): SigningFailure {
  const said = presentable(call.details, context.secret);
  const at = `The certificate authority at ${context.address}`;
  const words = WORDS.get(call.status);
  if (words === undefined)
    return {
      reason: `${at} failed to sign for "${context.identity}": ${Status[call.status]}: ${said}`,
      retryable: true,
      connectionLost: false,
    };
  const { retryable, connectionLost, say } = words;
  const isPlain = call.status === Status.UNAVAILABLE && context.address.startsWith('http://');
  const hint = isPlain
    ? '; "http://" speaks plain text, an authority with TLS wants "https://"'
    : '';
  return { reason: say(at, context.identity, said) + hint, retryable, connectionLost };
}

/** One bounded line without control characters and without the secret. */
function presentable(details: string, secret: string): string {
  const cut = details
    // gRPC wraps what went wrong into its own history.
    .replace(/^No connection established\. Last error: (?:Error: )?/, '')
    // A time of its own would make each attempt's reason another one.
    .replaceAll(/ \(\d{4}-\d\d-\d\dT[\d:.]+Z\)/g, '')
    .replace(/\. Resolution note:.*$/s, '')
    .replace(/; if the root CA is installed locally.*$/s, '')
    .replaceAll(secret, '[token]')
    .replaceAll(/[^\x20-\x7e]+/g, ' ')
    .trim();
  return cut.length > DETAILS_LENGTH_MAX ? `${cut.slice(0, DETAILS_LENGTH_MAX)}…` : cut;
}
