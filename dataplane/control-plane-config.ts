import type { JsonObject, JsonValue } from '@bufbuild/protobuf';

import type { EnvReader } from '#common/env.ts';
import type { IpAddress } from '#common/net/address.ts';
import type { TextSource } from '#common/text-source.ts';
import type { TrustRootsSource } from '#common/tls/trust-roots.ts';

export interface CaConfig {
  /** `https://host:port` (or `http://`, which is plaintext). */
  readonly address: string;
  /** What signs the CA server's certificate: PEM, its file, or the system's trust store. */
  readonly root: TrustRootsSource;
  /** Another name that the CA server's certificate may carry. */
  readonly alternativeHostname: string | undefined;
  readonly certificateTtlMs: number;
  readonly token: TextSource;
  /** Further request headers, name in lower case → value. */
  readonly headers: ReadonlyMap<string, string>;
}

/** The control plane that the mesh is read from. */
export interface XdsConfig {
  readonly kind: 'xds';
  /** As with {@link CaConfig}. */
  readonly address: string;
  readonly root: TrustRootsSource;
  readonly alternativeHostname: string | undefined;
  readonly token: TextSource;
  readonly headers: ReadonlyMap<string, string>;
  /** Be told only what connections ask for, instead of the whole mesh. */
  readonly onDemand: boolean;
  /** Who we say we are. */
  readonly node: { readonly id: string; readonly metadata: JsonObject };
}

/** How a control plane tells the proxies apart. */
export type ProxyKind = 'ztunnel' | 'waypoint';

/** What the control plane is told about this process. */
interface Self {
  readonly network: string;
  readonly nodeName: string | undefined;
  readonly clusterId: string;
  readonly instanceIp: IpAddress | undefined;
  readonly podName: string | undefined;
  readonly podNamespace: string | undefined;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const IN_CLUSTER = 'https://istiod.istio-system.svc:15012';

export function readCa(reader: EnvReader): CaConfig {
  return {
    address: readAddress(reader, 'CA_ADDRESS', 'https://localhost:15012'),
    root: readRoot(reader, 'CA_ROOT_CA'),
    alternativeHostname: reader.text('ALT_CA_HOSTNAME'),
    certificateTtlMs: reader.durationMs('SECRET_TTL', {
      fallback: 24 * HOUR_MS,
      min: MINUTE_MS,
      max: 365 * 24 * HOUR_MS,
    }),
    token: readToken(reader),
    headers: readHeaders(reader, 'CA_HEADER_'),
  };
}

/** Whether there is a control plane: one is named, or this is a cluster and nothing says that there is none. */
export function isXdsWanted(reader: EnvReader): boolean {
  if (reader.text('XDS_ADDRESS') !== undefined) return true;
  return isInCluster(reader) && !reader.isEmpty('XDS_ADDRESS');
}

/** `kind`: which proxy asks. */
export function readXds(reader: EnvReader, self: Self, kind: ProxyKind): XdsConfig {
  const headers = new Map(readHeaders(reader, 'XDS_HEADER_'));
  headers.set('clusterid', self.clusterId);
  return {
    kind: 'xds',
    address: readAddress(reader, 'XDS_ADDRESS', IN_CLUSTER),
    root: readRoot(reader, 'XDS_ROOT_CA'),
    alternativeHostname: reader.text('ALT_XDS_HOSTNAME'),
    token: readToken(reader),
    headers,
    onDemand: reader.boolean('XDS_ON_DEMAND', false),
    node: readNode(reader, self, kind),
  };
}

/** Name, address and place, then what `ISTIO_META_<key>` (texts) and `ISTIO_METAJSON_<key>` (JSON) add. */
function readNode(reader: EnvReader, self: Self, kind: ProxyKind): XdsConfig['node'] {
  const { podName = '', podNamespace = '', instanceIp = '1.1.1.1', nodeName } = self;
  if (podName === '' || podNamespace === '')
    reader.refuse(
      'The control plane must be told who asks: set POD_NAME and POD_NAMESPACE (and NODE_NAME)',
    );
  const metadata: JsonObject = {
    NAME: podName,
    NAMESPACE: podNamespace,
    INSTANCE_IPS: instanceIp,
    CLUSTER_ID: self.clusterId,
  };
  if (nodeName !== undefined) metadata['NODE_NAME'] = nodeName;
  if (self.network !== '') metadata['NETWORK'] = self.network;
  for (const [name, value] of reader.withPrefix('ISTIO_META_')) metadata[name] = value;
  for (const [name, value] of reader.withPrefix('ISTIO_METAJSON_')) {
    const parsed = parseJson(value);
    if (parsed === undefined) reader.refuse(`Cannot read ISTIO_METAJSON_${name}: want JSON`);
    else metadata[name] = parsed;
  }
  const id = `${kind}~${instanceIp}~${podName}.${podNamespace}~${podNamespace}.svc.cluster.local`;
  return { id, metadata };
}

function readAddress(reader: EnvReader, name: string, elsewhere: string): string {
  const given = reader.text(name) ?? (isInCluster(reader) ? IN_CLUSTER : elsewhere);
  const address = /^[a-z]+:\/\//.test(given) ? given : `https://${given}`;
  if (!/^https?:\/\/[^\s/?#@]+\/?$/.test(address) || !URL.canParse(address)) {
    reader.refuse(
      `Cannot read ${name}=${JSON.stringify(given)}: want "https://host:port" or "host:port"`,
    );
  }
  return address.replace(/\/$/, '');
}

function readRoot(reader: EnvReader, name: string): TrustRootsSource {
  const root = reader.textOr(name, './var/run/secrets/istio/root-cert.pem');
  return root === 'SYSTEM' ? { kind: 'system' } : textOrFile(root, root.includes('-----BEGIN'));
}

function readToken(reader: EnvReader): TextSource {
  const token = reader.textOr('AUTH_TOKEN', './var/run/secrets/tokens/istio-token');
  return textOrFile(token, !token.includes('/'));
}

function textOrFile(value: string, isText: boolean): TextSource {
  return isText ? { kind: 'inline', text: value } : { kind: 'file', path: value };
}

function readHeaders(reader: EnvReader, prefix: string): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  for (const [name, value] of reader.withPrefix(prefix)) {
    // gRPC metadata: lower-case names; values of printable ASCII.
    if (/^[0-9A-Za-z_.-]+$/.test(name) && /^[ -~]+$/.test(value)) {
      headers.set(name.toLowerCase(), value);
    } else {
      reader.refuse(`Cannot use ${prefix}${name}: want a header name and printable ASCII`);
    }
  }
  return headers;
}

function isInCluster(reader: EnvReader): boolean {
  return reader.text('KUBERNETES_SERVICE_HOST') !== undefined;
}

function parseJson(text: string): JsonValue | undefined {
  try {
    return JSON.parse(text) as JsonValue;
  } catch {
    return undefined;
  }
}

const LEFT_OUT = '(left out)';

/** For a dump: what may be secret (an inline token, header values) is left out. */
export function withoutSecrets(config: CaConfig | XdsConfig): unknown {
  const { token, headers } = config;
  return {
    ...config,
    token: token.kind === 'file' ? token : { kind: 'inline', text: LEFT_OUT },
    headers: Object.fromEntries([...headers.keys()].map((name) => [name, LEFT_OUT])),
  };
}
