import type { IpAddress } from '#common/net/address.ts';
import { runCommand } from '#linux/command.ts';
import { applyNft } from '#linux/nft.ts';

import {
  NODE_TABLE,
  type ProbeSources,
  renderNodeProbes,
  renderNodeProbesRemoval,
} from '../rules/node-probes.ts';

/**
 * Keeps the node's rule for health probes as the pods are: every change loads the whole table, in one transaction. Changes
 * that come while one is being loaded are loaded together.
 */
export class ProbeRules {
  readonly #netnsFd: number;
  readonly #sources: ProbeSources;
  readonly #pods = new Map<string, readonly IpAddress[]>();
  /** What nft shows of the table as it should be. */
  #listing: string | undefined;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  /** `netnsFd`: the node's own network namespace. It stays the caller's. */
  constructor(netnsFd: number, sources: ProbeSources) {
    this.#netnsFd = netnsFd;
    this.#sources = sources;
  }

  /** Like {@link set}, without loading: for many pods at once. {@link load} follows. */
  put(uid: string, addresses: readonly IpAddress[]): void {
    // As the last one: it has the address now, whoever had it before.
    this.#pods.delete(uid);
    this.#pods.set(uid, addresses);
  }

  /** Has the probes of these addresses let through. Rejects when that cannot be loaded. */
  async set(uid: string, addresses: readonly IpAddress[]): Promise<void> {
    const known = this.#pods.get(uid);
    if (known !== undefined && known.join() === addresses.join() && this.#listing !== undefined) {
      return;
    }
    this.put(uid, addresses);
    await this.load();
  }

  async delete(uid: string): Promise<void> {
    if (this.#pods.delete(uid)) await this.load();
  }

  /** Loads what should be there; what is there already stays. */
  load(): Promise<void> {
    if (this.#running === undefined) return this.#start();
    // Whatever is told until the next one starts is in it.
    this.#next ??= this.#running.then(
      () => this.#start(),
      () => this.#start(),
    );
    return this.#next;
  }

  /** Whether the table is as it should be; undefined when that can't be told. */
  async isIntact(): Promise<boolean | undefined> {
    await this.#running?.catch(() => undefined);
    const expected = this.#listing;
    if (expected === undefined) return false;
    const listing = await this.#list();
    // Something was loaded meanwhile: ask again later.
    if (this.#listing !== expected || listing === undefined) return undefined;
    return listing === expected;
  }

  /** Takes the table away, for good. */
  async remove(): Promise<void> {
    await applyNft(this.#netnsFd, renderNodeProbesRemoval());
  }

  #start(): Promise<void> {
    this.#next = undefined;
    this.#running = this.#loadNow().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #loadNow(): Promise<void> {
    this.#listing = undefined;
    const loaded = await applyNft(this.#netnsFd, renderNodeProbes(this.#pods, this.#sources));
    if (loaded.kind !== 'applied') {
      throw new Error(`Cannot let the node's health probes through: ${loaded.message}`);
    }
    this.#listing = await this.#list();
  }

  async #list(): Promise<string | undefined> {
    const options = { netnsFd: this.#netnsFd };
    const args = ['--stateless', 'list', 'table', 'inet', NODE_TABLE];
    const listed = await runCommand('nft', args, options);
    return listed.kind === 'exited' ? listed.stdout : undefined;
  }
}
