/** Where what a pod opens is captured. */
export const OUTBOUND_PORT = 15_001;
/** Where plaintext to a pod is captured. */
export const PLAINTEXT_PORT = 15_006;
/** Where the tunnel of a workload listens for HBONE. */
export const HBONE_PORT = 15_008;

/**
 * The tunnel's own listeners inside every pod: outbound, inbound plaintext, inbound HBONE, SOCKS. A
 * connection that would end at one of them comes back to us, so nothing is ever sent there.
 */
export function isOwnPort(port: number): boolean {
  return (
    port === OUTBOUND_PORT || port === PLAINTEXT_PORT || port === HBONE_PORT || port === 15_080
  );
}

/** The reason for refusing such a connection. */
export const SELF_CALL = 'attempted recursive call to ourselves';
