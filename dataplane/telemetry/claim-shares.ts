/** Of a quarter of all series: whoever has one identity can't take the room of others that have theirs. */
const SHARE_OF_A_PEER = 0.1;

/**
 * How many series peers may have under names that they claim, all of them together and each of them: what a
 * peer writes can differ with every connection.
 */
export class ClaimShares {
  readonly #max: number;
  readonly #maxOfPeer: number;
  readonly #held = new Map<string, number>();
  #total = 0;

  constructor(max: number) {
    this.#max = max;
    this.#maxOfPeer = Math.ceil(max * SHARE_OF_A_PEER);
  }

  hasRoom(peer: string): boolean {
    return this.#total < this.#max && (this.#held.get(peer) ?? 0) < this.#maxOfPeer;
  }

  take(peer: string): void {
    this.#total++;
    this.#held.set(peer, (this.#held.get(peer) ?? 0) + 1);
  }

  giveBack(peer: string): void {
    this.#total--;
    const left = (this.#held.get(peer) ?? 0) - 1;
    if (left > 0) this.#held.set(peer, left);
    else this.#held.delete(peer);
  }
}
