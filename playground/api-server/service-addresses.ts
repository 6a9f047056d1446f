import type { FieldProblem } from './errors.ts';
import { invalidValue } from './errors.ts';
import type { JsonObject } from './json.ts';
import { at, ensureObject, isList, textAt } from './json.ts';
import type { ApiObject } from './object.ts';

// The range that kubeadm gives services; its first address is the API server's.
const RANGE = '10.96.0.0/16';
const FIRST = 0x0a_60_00_01;
const COUNT = 0xff_fe;

/** Gives services their cluster addresses, and remembers which are taken. */
export class ServiceAddresses {
  readonly #taken = new Map<string, string>();
  #next = 0;

  /** Chooses the address of a new service, or checks the one that it asks for. `service` is changed. */
  assign(service: ApiObject): FieldProblem | undefined {
    const spec = ensureObject(service, 'spec');
    if (textAt(spec, 'type') === 'ExternalName') return undefined;
    const asked = askedAddress(service);
    const family = familyOf(spec);
    if (asked === 'None') {
      Object.assign(spec, { clusterIP: 'None', clusterIPs: ['None'] }, family);
      return undefined;
    }
    const address = asked === '' ? this.#free() : asked;
    const problem = asked === '' ? undefined : this.#problemOf(asked);
    if (problem !== undefined) {
      const detail = `failed to allocate IP ${asked}: ${problem}`;
      return invalidValue('spec.clusterIPs', [asked], detail);
    }
    Object.assign(spec, { clusterIP: address, clusterIPs: [address] }, family);
    return undefined;
  }

  /** Follows the services that are stored: `after` is undefined for one that was removed. */
  track(key: string, after: ApiObject | undefined, before: ApiObject | undefined): void {
    const former = before === undefined ? '' : textAt(before, 'spec', 'clusterIP');
    if (this.#taken.get(former) === key) this.#taken.delete(former);
    const address = after === undefined ? '' : textAt(after, 'spec', 'clusterIP');
    if (address !== '' && address !== 'None') this.#taken.set(address, key);
  }

  #problemOf(address: string): string | undefined {
    if (!isInRange(address)) {
      return `the provided IP (${address}) is not in the valid range. The range of valid IPs is ${RANGE}`;
    }
    return this.#taken.has(address) ? 'provided IP is already allocated' : undefined;
  }

  /** Goes round, so that the address of a service that has gone is not at once another's. */
  #free(): string {
    for (let tries = 0; tries < COUNT; tries += 1) {
      // From the second address on; spread by a step that meets every address before it repeats.
      this.#next = (this.#next + STEP) % COUNT;
      const address = formatAddress(FIRST + this.#next);
      if (this.#next !== 0 && !this.#taken.has(address)) return address;
    }
    throw new Error(`All addresses of ${RANGE} are taken`);
  }
}

// Prime, and no divisor of COUNT.
const STEP = 7_919;

/** There is IPv4 only; who asks for one family or more has asked, who asks for two is refused later. */
function familyOf(spec: JsonObject): JsonObject {
  const asked = textAt(spec, 'ipFamilyPolicy');
  return { ipFamilies: ['IPv4'], ipFamilyPolicy: asked === '' ? 'SingleStack' : asked };
}

function askedAddress(service: ApiObject): string {
  const first = textAt(service, 'spec', 'clusterIP');
  const list = at(service, 'spec', 'clusterIPs');
  if (first !== '' || !isList(list)) return first;
  return typeof list[0] === 'string' ? list[0] : '';
}

function isInRange(address: string): boolean {
  const parts = address.split('.').map(Number);
  if (
    parts.length !== 4 ||
    parts.some((part) => !Number.isInteger(part) || part < 0 || part > 255)
  ) {
    return false;
  }
  const [a, b, c, d] = parts;
  return a === 10 && b === 96 && !(c === 0 && d === 0) && !(c === 255 && d === 255);
}

function formatAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff).join('.');
}
