import type { ConfigMap, Container, EnvVar, Pod, Secret, Service } from '#kube/resources.ts';

import { fieldValue, type PodPlace, resourceValue } from './field-value.ts';

/** The objects that a pod refers to, as last seen. All are of the pod's namespace. */
export interface PodObjects {
  configMap(name: string): ConfigMap | undefined;
  secret(name: string): Secret | undefined;
}

export type EnvironmentResult =
  | { readonly kind: 'ok'; readonly environment: Map<string, string> }
  /** For the container's `CreateContainerConfigError`. */
  | { readonly kind: 'refused'; readonly problem: string };

/** What goes into a container's environment. */
export interface EnvironmentSource {
  readonly pod: Pod;
  readonly container: Container;
  readonly place: PodPlace;
  readonly objects: PodObjects;
  /** Variables that are there before anything of the pod: those of the image and of services. */
  readonly base: ReadonlyMap<string, string>;
}

class Missing extends Error {}

/** A container's environment: what is there, `envFrom`, `env`, each overriding the ones before; `$(NAME)` is expanded in `env`. */
export function containerEnvironment(source: EnvironmentSource): EnvironmentResult {
  const environment = new Map(source.base);
  try {
    addSources(source, environment);
    for (const variable of source.container.env ?? []) {
      const value = variableValue(source, variable, environment);
      if (value !== undefined) environment.set(variable.name, value);
    }
    return { kind: 'ok', environment };
  } catch (error) {
    if (error instanceof Missing) return { kind: 'refused', problem: error.message };
    throw error;
  }
}

/** Replaces `$(NAME)` by its value; `$$(NAME)` stands for itself, and so does a name that is not known. */
export function expandVariables(text: string, environment: ReadonlyMap<string, string>): string {
  return text.replace(/\$\$|\$\(([^)]*)\)/g, (all, name: string | undefined) =>
    name === undefined ? '$' : (environment.get(name) ?? all),
  );
}

/** The variables by which programs find services, in the way of Docker links. */
export function serviceVariables(
  services: readonly Service[],
  namespace: string,
  enableServiceLinks: boolean,
): Map<string, string> {
  const variables = new Map<string, string>();
  for (const service of services) {
    const { name, namespace: own } = service.metadata;
    const master = own === 'default' && name === 'kubernetes';
    if (!master && !(enableServiceLinks && own === namespace)) continue;
    const { clusterIP: ip = 'None', ports = [] } = service.spec;
    const [first] = ports;
    if (ip === 'None' || ip === '' || first === undefined) continue;
    const prefix = name.toUpperCase().replaceAll('-', '_');
    variables.set(`${prefix}_SERVICE_HOST`, ip);
    variables.set(`${prefix}_SERVICE_PORT`, String(first.port));
    for (const port of ports) {
      const protocol = (port.protocol ?? 'TCP').toLowerCase();
      if (port.name !== undefined) {
        const suffix = port.name.toUpperCase().replaceAll('-', '_');
        variables.set(`${prefix}_SERVICE_PORT_${suffix}`, String(port.port));
      }
      const url = `${protocol}://${ip}:${port.port}`;
      if (port === first) variables.set(`${prefix}_PORT`, url);
      const link = `${prefix}_PORT_${port.port}_${protocol.toUpperCase()}`;
      variables.set(link, url);
      variables.set(`${link}_PROTO`, protocol);
      variables.set(`${link}_PORT`, String(port.port));
      variables.set(`${link}_ADDR`, ip);
    }
  }
  return variables;
}

function addSources(source: EnvironmentSource, environment: Map<string, string>): void {
  for (const { prefix = '', configMapRef, secretRef } of source.container.envFrom ?? []) {
    const found =
      configMapRef === undefined
        ? secretData(source, secretRef?.name ?? '', secretRef?.optional)
        : configMapData(source, configMapRef.name ?? '', configMapRef.optional);
    for (const [key, value] of Object.entries(found ?? {})) environment.set(prefix + key, value);
  }
}

function variableValue(
  source: EnvironmentSource,
  { name, value, valueFrom }: EnvVar,
  environment: ReadonlyMap<string, string>,
): string | undefined {
  if (valueFrom === undefined) return expandVariables(value ?? '', environment);
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = valueFrom;
  const { pod, place, container } = source;
  if (fieldRef !== undefined) {
    const found = fieldValue(pod, place, fieldRef.fieldPath);
    if (found !== undefined) return found;
    throw new Missing(`unsupported fieldPath: ${fieldRef.fieldPath}`);
  }
  if (resourceFieldRef !== undefined) {
    const found = resourceValue(
      namedContainer(pod, container, resourceFieldRef),
      place,
      resourceFieldRef,
    );
    if (found !== undefined) return found;
    throw new Missing(`unsupported container resource : ${resourceFieldRef.resource}`);
  }
  if (configMapKeyRef !== undefined) {
    const { name: object = '', key, optional } = configMapKeyRef;
    return keyed(configMapData(source, object, optional), 'ConfigMap', source, {
      object,
      key,
      optional,
    });
  }
  if (secretKeyRef !== undefined) {
    const { name: object = '', key, optional } = secretKeyRef;
    return keyed(secretData(source, object, optional), 'Secret', source, { object, key, optional });
  }
  throw new Missing(`environment variable ${name} has a valueFrom without a source`);
}

function namedContainer(
  pod: Pod,
  container: Container,
  { containerName }: { readonly containerName?: string },
): Container {
  if (containerName === undefined || containerName === '') return container;
  return (
    [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].find(
      ({ name }) => name === containerName,
    ) ?? container
  );
}

function keyed(
  data: Readonly<Record<string, string>> | undefined,
  kind: string,
  { pod }: EnvironmentSource,
  wanted: { object: string; key: string; optional: boolean | undefined },
): string | undefined {
  const { object, key, optional } = wanted;
  if (data !== undefined && Object.hasOwn(data, key)) return data[key];
  if (optional === true) return undefined;
  throw new Missing(`couldn't find key ${key} in ${kind} ${pod.metadata.namespace}/${object}`);
}

function configMapData(
  { objects }: EnvironmentSource,
  name: string,
  optional: boolean | undefined,
): Readonly<Record<string, string>> | undefined {
  const found = objects.configMap(name);
  if (found !== undefined) return found.data ?? {};
  if (optional === true) return undefined;
  throw new Missing(`configmap ${JSON.stringify(name)} not found`);
}

function secretData(
  { objects }: EnvironmentSource,
  name: string,
  optional: boolean | undefined,
): Readonly<Record<string, string>> | undefined {
  const found = objects.secret(name);
  if (found !== undefined) {
    return Object.fromEntries(
      Object.entries(found.data ?? {}).map(([key, value]) => [
        key,
        Buffer.from(value, 'base64').toString(),
      ]),
    );
  }
  if (optional === true) return undefined;
  throw new Missing(`secret ${JSON.stringify(name)} not found`);
}
