import type { Certificate } from '#common/tls/certificate.ts';
import { readCertificates } from '#common/tls/certificate.ts';
import type { Dump } from '#dataplane/state/dump.ts';
import { dumpEndpoints, dumpPolicy, dumpService, dumpWorkload } from '#dataplane/state/dump.ts';
import { serviceKey } from '#dataplane/state/service.ts';
import type { MeshStore } from '#dataplane/state/store.ts';

/** A connection that is open, for one to look at. Addresses are `ip:port`. */
export interface OpenConnection {
  readonly direction: 'inbound' | 'outbound';
  readonly source: string;
  /** Where the client wanted to go; inbound: the host it named, if it did. */
  readonly originalDestination: string | undefined;
  readonly actualDestination: string;
  readonly protocol: 'TCP' | 'HBONE' | 'DOUBLEHBONE';
}

/** One pod of this node. */
export interface PodDump {
  readonly uid: string;
  readonly state: 'Pending' | 'Up';
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly connections: readonly OpenConnection[];
}

/** What is held for one identity. Keys are not part of it. */
export interface CertificateDump {
  readonly identity: string;
  readonly state:
    | { readonly kind: 'initializing' }
    | { readonly kind: 'unavailable'; readonly error: string }
    | {
        readonly kind: 'available';
        /** Leaf first. */
        readonly chainPem: readonly string[];
        /** One or more certificates. */
        readonly rootsPem: string;
      };
}

export interface BuildInfo {
  readonly version: string;
  readonly gitRevision: string;
}

/** Where each part of a dump comes from. Everything is asked anew for each dump. */
export interface ConfigDumpParts {
  readonly mesh: () => MeshDump;
  /** The local configuration file, when there is one. */
  readonly staticConfig: () => Dump | null;
  readonly build: BuildInfo;
  /** Settings, with secrets left out by whoever gives them. */
  readonly config: () => unknown;
  readonly certificates: () => readonly CertificateDump[];
  /** Asks the workers, so it takes a moment. */
  readonly pods: () => Promise<readonly PodDump[]>;
  /** What only this kind of proxy knows. */
  readonly more?: () => Readonly<Record<string, unknown>>;
}

/** What is known about the mesh. */
export interface MeshDump {
  readonly workloads: readonly Dump[];
  readonly services: readonly Dump[];
  readonly policies: readonly Dump[];
  /** Endpoints of services that are not known (yet), by the service. */
  readonly stagedServices: Dump;
}

export function dumpMesh(store: MeshStore): MeshDump {
  const { workloads, services, policies } = store.snapshot();
  const staged = store.stagedServices().map((key) => {
    return [key, dumpEndpoints(store.endpoints(key).values())] as const;
  });
  return {
    workloads: workloads.map(dumpWorkload),
    services: services.map((service) =>
      dumpService(service, store.endpoints(serviceKey(service)).values()),
    ),
    policies: policies.map(dumpPolicy),
    stagedServices: Object.fromEntries(staged),
  };
}

/** The answer to `/config_dump`, in the shape that the command line's tools read, as JSON text. */
export async function dumpConfig(parts: ConfigDumpParts): Promise<string> {
  const pods = await parts.pods();
  return JSON.stringify(
    {
      ...parts.mesh(),
      ...parts.more?.(),
      staticConfig: parts.staticConfig(),
      version: dumpVersion(parts.build),
      config: parts.config(),
      certificates: parts.certificates().map(dumpCertificate),
      workloadState: Object.fromEntries(pods.map((pod) => [pod.uid, dumpPod(pod)])),
    },
    undefined,
    2,
  );
}

/** The names are those of the tools; what they call the Rust version is our runtime's. */
function dumpVersion({ version, gitRevision }: BuildInfo): Dump {
  return {
    version,
    gitRevision,
    rustVersion: `node ${process.version}`,
    buildProfile: 'release',
    buildStatus: '',
    istioVersion: version,
    cryptoProvider: `openssl ${process.versions.openssl}`,
  };
}

function dumpCertificate({ identity, state }: CertificateDump): Dump {
  switch (state.kind) {
    case 'initializing':
      return { identity, state: 'Initializing', certChain: [], rootCerts: [] };
    case 'unavailable':
      return { identity, state: `Unavailable: ${state.error}`, certChain: [], rootCerts: [] };
    case 'available':
      return {
        identity,
        state: 'Available',
        certChain: state.chainPem.flatMap(dumpPem),
        rootCerts: dumpPem(state.rootsPem),
      };
  }
}

function dumpPem(pem: string): readonly Dump[] {
  const read = readCertificates(pem);
  // What is held was checked when it came; what can't be read any more is left out of a mere view.
  return read.kind === 'certificates' ? read.certificates.map(dumpOne) : [];
}

function dumpOne(certificate: Certificate): Dump {
  return {
    pem: Buffer.from(certificate.pem).toString('base64'),
    serialNumber: certificate.serialDecimal,
    validFrom: wholeSeconds(certificate.notBeforeMs),
    expirationTime: wholeSeconds(certificate.notAfterMs),
  };
}

/** `2026-01-31T12:00:00Z` */
function wholeSeconds(timeMs: number): string {
  return `${new Date(timeMs).toISOString().slice(0, 19)}Z`;
}

function dumpPod({ state, name, namespace, serviceAccount, connections }: PodDump): unknown {
  return {
    state,
    connections: {
      inbound: connections.filter((each) => each.direction === 'inbound').map(dumpConnection),
      outbound: connections.filter((each) => each.direction === 'outbound').map(dumpConnection),
    },
    info: { name, namespace, serviceAccount },
  };
}

function dumpConnection(connection: OpenConnection): unknown {
  return {
    src: connection.source,
    originalDst: connection.originalDestination ?? null,
    actualDst: connection.actualDestination,
    protocol: connection.protocol,
  };
}
