import type { Port, GatewayAddress as WireGateway } from '#api/gen/workload_pb.ts';
import { type IpAddress, ipFromBytes } from '#common/net/address.ts';

import type { GatewayAddress, PortMap } from './workload.ts';

/** What is wrong with one resource. Reading goes on after a problem; what was read then does not count. */
export class WireProblems {
  readonly #texts: string[] = [];

  add(problem: string): void {
    if (this.#texts.length < PROBLEMS_MAX) this.#texts.push(problem);
  }

  /** Undefined: there is nothing wrong. */
  get text(): string | undefined {
    return this.#texts.length === 0 ? undefined : this.#texts.join(', ');
  }
}

/** Enough to see what is wrong; a refusal has to fit into a message. */
const PROBLEMS_MAX = 5;
/** A DNS name in text form has at most 253 characters (RFC 1035 section 3.1), and no name in a cluster more. */
const NAME_LENGTH_MAX = 253;
const PORT_MAX = 65_535;

/** A name that becomes part of a key or an identity: not empty, no slash, nothing unprintable. */
export function wireName(field: string, name: string, problems: WireProblems): string {
  if (name === '') problems.add(`${field} is empty`);
  return wireOptionalName(field, name, problems);
}

/** The same, for a name that may be left out. */
export function wireOptionalName(field: string, name: string, problems: WireProblems): string {
  if (/[^\x21-\x7e]|\//.test(name) || name.length > NAME_LENGTH_MAX)
    problems.add(`${field} is no name: ${JSON.stringify(name.slice(0, NAME_LENGTH_MAX))}`);
  return name;
}

/** A value of an enumeration. One that is not known asks for something that we do not have. */
export function wireEnum<T>(
  field: string,
  value: number,
  names: ReadonlyMap<number, T>,
  problems: WireProblems,
): T | undefined {
  if (!names.has(value)) problems.add(`${field} ${value} is not known`);
  return names.get(value);
}

/** 4 or 16 bytes. */
export function wireIp(
  field: string,
  bytes: Uint8Array,
  problems: WireProblems,
): readonly IpAddress[] {
  const ip = ipFromBytes(bytes);
  if (ip === undefined) problems.add(`${field} has ${bytes.length} bytes: want 4 or 16`);
  return ip === undefined ? [] : [ip];
}

export function wirePort(field: string, port: number, problems: WireProblems): number {
  if (port < 1 || port > PORT_MAX) problems.add(`${field} ${port}: want 1 to ${PORT_MAX}`);
  return port;
}

/** A target of 0 is a named port, which each endpoint resolves by itself. */
export function wirePorts(ports: readonly Port[], problems: WireProblems): PortMap {
  return new Map(
    ports.map(({ servicePort, targetPort }) => {
      const target = targetPort === 0 ? 0 : wirePort('target port', targetPort, problems);
      return [wirePort('service port', servicePort, problems), target] as const;
    }),
  );
}

export function wireGateway(
  field: string,
  gateway: WireGateway | undefined,
  problems: WireProblems,
): GatewayAddress | undefined {
  if (gateway === undefined) return undefined;
  const hboneMtlsPort = wirePort(`port of ${field}`, gateway.hboneMtlsPort, problems);
  const { destination } = gateway;
  if (destination.case === 'hostname') {
    const namespace = wireName(`namespace of ${field}`, destination.value.namespace, problems);
    const written = wireName(`hostname of ${field}`, destination.value.hostname, problems);
    const hostname = written.toLowerCase();
    return { destination: { kind: 'hostname', namespace, hostname }, hboneMtlsPort };
  }
  if (destination.case === 'address') {
    const { network, address } = destination.value;
    const [ip] = wireIp(`address of ${field}`, address, problems);
    if (ip === undefined) return undefined;
    return { destination: { kind: 'address', network, ip }, hboneMtlsPort };
  }
  problems.add(`${field} has no destination`);
  return undefined;
}
