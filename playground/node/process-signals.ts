/**
 * Whether a signal would reach a program: it catches it, or it holds it back until it asks for it.
 *
 * @param status the text of `/proc/PID/status`
 */
export function hasUseFor(status: string, signal: number): boolean {
  const bit = 1n << BigInt(signal - 1);
  return ['SigCgt', 'SigBlk'].some((name) => {
    const [, mask = '0'] = new RegExp(`^${name}:\\t([0-9a-f]+)$`, 'm').exec(status) ?? [];
    return (BigInt(`0x${mask}`) & bit) !== 0n;
  });
}
