import { MultiMap } from '#common/collections/multi-map.ts';
import type { IpAddress } from '#common/net/address.ts';
import { cidrContains, type IpWords, ipToWords } from '#common/net/cidr.ts';

import type { NamespacedHost } from './names.ts';
import type { Service } from './service.ts';

/** Services by key, hostname, virtual address and address block, and which of several is the best. */
export class ServiceIndex {
  readonly #services = new Map<NamespacedHost, Service>();
  readonly #byHostname = new MultiMap<string, NamespacedHost, Service>();
  readonly #byVip = new MultiMap<string, NamespacedHost, Service>();
  /** By network: the services that have any address block there. Few in practice, so they are tried one by one. */
  readonly #withBlocks = new MultiMap<string, NamespacedHost, Service>();

  get(key: NamespacedHost): Service | undefined {
    return this.#services.get(key);
  }

  all(): readonly Service[] {
    return [...this.#services.values()];
  }

  replace(key: NamespacedHost, next: Service | undefined): void {
    const before = this.#services.get(key);
    const put = (
      index: MultiMap<string, NamespacedHost, Service>,
      keys: (service: Service) => readonly string[],
    ): void => {
      const kept = next === undefined ? [] : keys(next);
      for (const old of before === undefined ? [] : keys(before)) {
        if (!kept.includes(old)) index.delete(old, key);
      }
      if (next !== undefined) for (const added of kept) index.set(added, key, next);
    };
    put(this.#byHostname, ({ hostname }) => [hostname]);
    put(this.#byVip, ({ vips }) => vips.map(({ network, ip }) => `${network}/${ip}`));
    put(this.#withBlocks, ({ cidrVips }) => cidrVips.map(({ network }) => network));
    if (next === undefined) this.#services.delete(key);
    else this.#services.set(key, next);
  }

  byHostname(hostname: string, clientNamespace: string | undefined): Service | undefined {
    const candidates = this.#byHostname.get(hostname).values();
    return best(candidates, clientNamespace, preference(clientNamespace));
  }

  byVip(network: string, ip: IpAddress, clientNamespace: string | undefined): Service | undefined {
    const exact = best(
      this.#byVip.get(`${network}/${ip}`).values(),
      clientNamespace,
      preference(clientNamespace),
    );
    if (exact !== undefined) return exact;
    const withBlocks = this.#withBlocks.get(network);
    if (withBlocks.size === 0) return undefined;
    const words = ipToWords(ip);
    return best(withBlocks.values(), clientNamespace, (service) => {
      const longest = longestBlock(service, network, words);
      if (longest === undefined) return undefined;
      const isOwn = service.namespace === clientNamespace;
      return (isOwn ? 1_000 : 0) + longest * 2 + (service.canonical ? 1 : 0);
    });
  }

  withVip(network: string, ip: IpAddress): readonly Service[] {
    const found = [...this.#byVip.get(`${network}/${ip}`).values()];
    const withBlocks = this.#withBlocks.get(network);
    if (withBlocks.size === 0) return found;
    const words = ipToWords(ip);
    for (const service of withBlocks.values()) {
      const holdsIt = longestBlock(service, network, words) !== undefined;
      if (holdsIt && !found.includes(service)) found.push(service);
    }
    return found;
  }
}

/** The visible candidate with the highest score, the first of equals; a candidate without a score is no candidate. */
function best(
  candidates: Iterable<Service>,
  clientNamespace: string | undefined,
  score: (service: Service) => number | undefined,
): Service | undefined {
  let chosen: Service | undefined;
  let highest = -1;
  for (const service of candidates) {
    if (service.visibility === 'Namespace' && service.namespace !== clientNamespace) continue;
    const points = score(service);
    if (points === undefined || points <= highest) continue;
    chosen = service;
    highest = points;
  }
  return chosen;
}

function preference(clientNamespace: string | undefined): (service: Service) => number {
  return (service) => (service.namespace === clientNamespace ? 2 : 0) + (service.canonical ? 1 : 0);
}

function longestBlock(service: Service, network: string, address: IpWords): number | undefined {
  let longest: number | undefined;
  for (const block of service.cidrVips) {
    if (block.network !== network || !cidrContains(block.cidr, address)) continue;
    longest = Math.max(longest ?? 0, block.cidr.prefixLength);
  }
  return longest;
}
