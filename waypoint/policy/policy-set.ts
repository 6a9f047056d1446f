import type { ServiceRef } from '../routing/model.ts';
import type { Policy } from './model.ts';

/** The policies that are known, and which of them concern a service. */
export class PolicySet {
  readonly #policies = new Map<string, Policy>();
  /** By the service as the mesh has it now: worked out at its first request. */
  #concerning = new WeakMap<ServiceRef, readonly Policy[]>();
  #general: readonly Policy[] | undefined;

  /** Takes up changes. What is not named stays as it is. */
  apply(update: readonly Policy[], remove: readonly string[]): void {
    for (const key of remove) this.#policies.delete(key);
    for (const policy of update) this.#policies.set(policy.key, policy);
    this.#concerning = new WeakMap();
    this.#general = undefined;
  }

  has(key: string): boolean {
    return this.#policies.has(key);
  }

  /** All policies, for people. */
  policies(): Iterable<Policy> {
    return this.#policies.values();
  }

  /** Those that judge what is for `service`; undefined: for no service, but for an address. */
  concerning(service: ServiceRef | undefined): readonly Policy[] {
    if (service === undefined) {
      this.#general ??= this.#find(undefined);
      return this.#general;
    }
    let found = this.#concerning.get(service);
    if (found === undefined) {
      found = this.#find(service);
      this.#concerning.set(service, found);
    }
    return found;
  }

  #find(service: ServiceRef | undefined): readonly Policy[] {
    return [...this.#policies.values()].filter((policy) => concerns(policy, service));
  }
}

function concerns({ services }: Policy, asked: ServiceRef | undefined): boolean {
  if (services.length === 0) return true;
  return services.some(
    (one) => one.namespace === asked?.namespace && one.hostname === asked.hostname,
  );
}
