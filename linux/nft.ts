import { runCommand } from './command.ts';

export type NftResult =
  | { readonly kind: 'applied' }
  /** nft understood nothing of it, or the kernel refused it. Nothing of the batch is in force. */
  | { readonly kind: 'refused'; readonly message: string }
  /** nft could not be run. */
  | { readonly kind: 'failed'; readonly message: string };

/**
 * Applies a batch of nft commands in a network namespace, as one transaction: all of it or nothing. The
 * message of a refusal names each offending line of the batch.
 */
export async function applyNft(netnsFd: number, batch: string): Promise<NftResult> {
  const result = await runCommand('nft', ['-f', '-'], { netnsFd, input: batch });
  if (result.kind === 'failed') return result;
  if (result.code === 0) return { kind: 'applied' };
  return { kind: 'refused', message: describeRefusal(batch, result.stderr) };
}

/** What `nft -f -` printed about `batch`, with the lines that it means. */
export function describeRefusal(batch: string, stderr: string): string {
  const lines = batch.split('\n');
  // "/dev/stdin:3:5-10: Error: syntax error, unexpected string"
  const errors = [...stderr.matchAll(/^(?:\/dev\/stdin|-):(\d+):\S*\s+(?:Error:\s*)?(.*)$/gm)];
  if (errors.length === 0) return `nft refused the batch: ${stderr.trim() || 'it gave no reason'}`;
  return errors
    .map(([, number, reason]) => {
      const line = lines[Number(number) - 1]?.trim() ?? '';
      return `nft refused line ${number} (${JSON.stringify(line)}): ${reason}`;
    })
    .join('; ');
}
