import type { Fetch, Index } from '../krt/core.ts';
import { objectKey } from '../model/metadata.ts';
import type { AuthorizationPolicyRecord, PolicyTarget } from '../model/policy.ts';
import type { ServiceRecord } from '../model/service.ts';
import type { GatewayRecord } from '../model/waypoint.ts';
import { fetchBinding, type Surroundings } from './derive-surroundings.ts';
import {
  fetchIsWaypointClass,
  fetchServices,
  GATEWAY_GROUP,
  type ReferenceInputs,
} from './references.ts';

/** What a targetRef of a policy turns out to be. Waypoints are `namespace/name`. */
export type FoundTarget =
  /** All that goes through some waypoints; `name`: what they are called together. */
  | { readonly kind: 'waypoints'; readonly name: string; readonly waypoints: readonly string[] }
  /** Services behind a waypoint: one, or those of an entry's hosts. */
  | {
      readonly kind: 'services';
      readonly waypoint: string;
      readonly namespace: string;
      readonly hostnames: readonly string[];
    }
  /** Nobody enforces the policy for it. */
  | {
      readonly kind: 'refused';
      readonly reason: 'AncestorNotBound' | 'TargetNotFound' | 'Invalid';
      readonly message: string;
    };

/** Finds what targetRefs stand for, and what keeps one from standing for anything. */
export class PolicyTargets {
  readonly #around: Surroundings;
  readonly #inputs: ReferenceInputs;
  readonly #byClass: Index<GatewayRecord>;

  constructor(around: Surroundings, inputs: ReferenceInputs) {
    this.#around = around;
    this.#inputs = inputs;
    this.#byClass = inputs.gateways.indexBy('class', ({ className }) => [className]);
  }

  /** What each of a policy's targets is, in their order. */
  fetch(policy: AuthorizationPolicyRecord, fetch: Fetch): readonly FoundTarget[] {
    return policy.targets.map((target) => this.#find(target, policy.namespace, fetch));
  }

  #find(target: PolicyTarget, home: string, fetch: Fetch): FoundTarget {
    const { group, kind, name, namespace = home } = target;
    const said = `${kind} ${namespace}/${name}`;
    if (namespace !== home) {
      return refused('Invalid', `${said} is not in the namespace of the policy`);
    }
    const services = fetchServices(fetch, this.#inputs, { group, kind, key: `${home}/${name}` });
    if (services !== undefined) return this.#services(services, { said, home }, fetch);
    switch (`${group}/${kind}`) {
      case `${GATEWAY_GROUP}/Gateway`:
        return this.#gateway(`${home}/${name}`, fetch);
      case `${GATEWAY_GROUP}/GatewayClass`:
        return this.#class(name, home, fetch);
      default:
        return refused('Invalid', `${said}: kind ${JSON.stringify(kind)} can not be a target`);
    }
  }

  #services(
    services: readonly ServiceRecord[],
    { said, home }: { readonly said: string; readonly home: string },
    fetch: Fetch,
  ): FoundTarget {
    const [first] = services;
    if (first === undefined) return refused('TargetNotFound', `${said} was not found`);
    const { labels } = first;
    const found = fetchBinding(fetch, this.#around, {
      namespace: home,
      labels,
      traffic: 'service',
    });
    if (found?.binding.kind !== 'bound') {
      return refused('AncestorNotBound', `${said} is not bound to a waypoint`);
    }
    const hostnames = services.map(({ hostname }) => hostname);
    const waypoint = objectKey(found.binding.waypoint);
    return { kind: 'services', waypoint, namespace: home, hostnames };
  }

  #gateway(key: string, fetch: Fetch): FoundTarget {
    const gateway = fetch.one(this.#inputs.gateways, key);
    if (gateway === undefined) return refused('TargetNotFound', `Gateway ${key} was not found`);
    if (!fetchIsWaypointClass(fetch, this.#inputs, gateway.className)) {
      const why = `it is of class ${JSON.stringify(gateway.className)}`;
      return refused('Invalid', `Gateway ${key} is not a waypoint: ${why}`);
    }
    return { kind: 'waypoints', name: key, waypoints: [key] };
  }

  #class(name: string, home: string, fetch: Fetch): FoundTarget {
    const { rootNamespace } = this.#around.mesh;
    if (home !== rootNamespace) {
      const why = `only a policy in namespace ${rootNamespace} can have a class as target`;
      return refused('Invalid', `GatewayClass ${name}: ${why}`);
    }
    if (!fetchIsWaypointClass(fetch, this.#inputs, name)) {
      return fetch.one(this.#inputs.gatewayClasses, name) === undefined
        ? refused('TargetNotFound', `GatewayClass ${name} was not found`)
        : refused('Invalid', `GatewayClass ${name} is not one of waypoints`);
    }
    const waypoints = fetch.all(this.#inputs.gateways, { within: this.#byClass.at(name) });
    return {
      kind: 'waypoints',
      name: `all waypoints of class ${name}`,
      waypoints: waypoints.map(objectKey),
    };
  }
}

function refused(
  reason: (FoundTarget & { kind: 'refused' })['reason'],
  message: string,
): FoundTarget {
  return { kind: 'refused', reason, message };
}
