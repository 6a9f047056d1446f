/** One TCP port that haproxy listens on, and where its connections go. */
export interface Forward {
  readonly name: string;
  /** `address:port`. */
  readonly bind: string;
  /** `address:port`. */
  readonly server: string;
}

/** Which side of the path this haproxy is: the client's opens mutual TLS, the server's ends it. */
export type Side = 'client' | 'server';

/** Files of one side, PEM: its certificate with the key, and the authority that signed both sides'. */
export interface SideFiles {
  readonly certificate: string;
  readonly authority: string;
}

// As many threads as the node tunnel has workers: both may use the same two cores.
const THREADS = 2;
// More than any load here opens; the default would be cut short by the limit on descriptors.
const CONNECTIONS_MAX = 9000;
// Twice the default: a full TLS record fits, which is what its documentation advises for bulk data.
const BUFFER_BYTES = 32_768;

/**
 * The configuration of one haproxy as a TCP proxy with mutual TLS 1.3 towards the other one.
 * TLS session tickets and keep-alive are its defaults.
 */
export function renderHaproxyConfig(
  side: Side,
  files: SideFiles,
  forwards: readonly Forward[],
): string {
  const tls = `crt ${files.certificate} ca-file ${files.authority} verify required force-tlsv13`;
  const sections = forwards.map(({ name, bind, server }) => [
    `listen ${name}`,
    ` bind ${bind}${side === 'server' ? ` ssl ${tls}` : ''}`,
    ` server next ${server}${side === 'client' ? ` ssl ${tls}` : ''}`,
  ]);
  const lines = [
    'global',
    ` nbthread ${THREADS}`,
    ` maxconn ${CONNECTIONS_MAX}`,
    ` tune.bufsize ${BUFFER_BYTES}`,
    'defaults',
    ' mode tcp',
    ' timeout connect 5s',
    ' timeout client 600s',
    ' timeout server 600s',
    ...sections.flat(),
  ];
  return `${lines.join('\n')}\n`;
}
