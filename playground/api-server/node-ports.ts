import type { FieldProblem } from './errors.ts';
import { forbiddenField, invalidValue } from './errors.ts';
import type { JsonObject } from './json.ts';
import { at, objectsAt, own, textAt } from './json.ts';
import type { ApiObject } from './object.ts';

// The API's default.
const FIRST = 30_000;
const LAST = 32_767;

/** Gives services the ports at which every node has them, and remembers which are taken. */
export class NodePorts {
  /** By protocol and number: whose it is. */
  readonly #taken = new Map<string, string>();
  #next = 0;

  /**
   * Chooses the ports that a service does not name, or checks those that it asks for. `service` is changed; what it
   * leaves out stays as it is in `current`.
   */
  assign(service: ApiObject, current: ApiObject | undefined): readonly FieldProblem[] {
    const spec = at(service, 'spec');
    const before = objectsAt(at(current, 'spec'), 'ports');
    const former = new Set(before.map(keyOf));
    const problems: FieldProblem[] = [];
    const chosen = new Set<string>();
    for (const [index, port] of objectsAt(spec, 'ports').entries()) {
      const earlier = before.find((each) => isSamePort(each, port));
      if (!hasNodePorts(spec)) {
        if (own(port, 'nodePort') !== own(earlier ?? {}, 'nodePort')) {
          problems.push(...forbidden(port, index, textAt(spec, 'type')));
        } else delete port['nodePort'];
        continue;
      }
      if (numberOf(port) === 0 && earlier !== undefined) port['nodePort'] = numberOf(earlier);
      if (numberOf(port) === 0) port['nodePort'] = this.#free(port, chosen);
      const key = keyOf(port);
      const problem = former.has(key) ? undefined : this.#problemOf(port, chosen);
      chosen.add(key);
      if (problem === undefined) continue;
      problems.push(invalidValue(`spec.ports[${index}].nodePort`, numberOf(port), problem));
    }
    return problems;
  }

  /** Follows the services that are stored: `after` is undefined for one that was removed. */
  track(key: string, after: ApiObject | undefined, before: ApiObject | undefined): void {
    for (const port of objectsAt(at(before, 'spec'), 'ports')) {
      if (this.#taken.get(keyOf(port)) === key) this.#taken.delete(keyOf(port));
    }
    for (const port of objectsAt(at(after, 'spec'), 'ports')) {
      if (numberOf(port) !== 0) this.#taken.set(keyOf(port), key);
    }
  }

  #problemOf(port: JsonObject, chosen: ReadonlySet<string>): string | undefined {
    const number = numberOf(port);
    if (number < FIRST || number > LAST) {
      return `provided port is not in the valid range. The range of valid ports is ${FIRST}-${LAST}`;
    }
    const isTaken = this.#taken.has(keyOf(port)) || chosen.has(keyOf(port));
    return isTaken ? 'provided port is already allocated' : undefined;
  }

  /** Goes round, so that the port of a service that has gone is not at once another's. */
  #free(port: JsonObject, chosen: ReadonlySet<string>): number {
    const count = LAST - FIRST + 1;
    for (let tries = 0; tries < count; tries += 1) {
      this.#next = (this.#next + STEP) % count;
      const key = keyOf({ ...port, nodePort: FIRST + this.#next });
      if (!this.#taken.has(key) && !chosen.has(key)) return FIRST + this.#next;
    }
    throw new Error(`All ports of ${FIRST}-${LAST} are taken`);
  }
}

// Prime, and no divisor of their count: it meets every port before it repeats.
const STEP = 701;

function hasNodePorts(spec: unknown): boolean {
  const type = textAt(spec, 'type');
  if (type === 'NodePort') return true;
  return type === 'LoadBalancer' && at(spec, 'allocateLoadBalancerNodePorts') !== false;
}

function forbidden(port: JsonObject, index: number, type: string): readonly FieldProblem[] {
  if (numberOf(port) === 0 || type === 'LoadBalancer') return [];
  const why = `may not be used when \`type\` is '${type || 'ClusterIP'}'`;
  return [forbiddenField(`spec.ports[${index}].nodePort`, why)];
}

function isSamePort(one: JsonObject, other: JsonObject): boolean {
  return own(one, 'port') === own(other, 'port') && protocolOf(one) === protocolOf(other);
}

function keyOf(port: JsonObject): string {
  return `${protocolOf(port)} ${numberOf(port)}`;
}

function protocolOf(port: JsonObject): string {
  return textAt(port, 'protocol') || 'TCP';
}

function numberOf(port: JsonObject): number {
  const number = own(port, 'nodePort');
  return typeof number === 'number' ? number : 0;
}
