import type { RequestHead } from '../request/head.ts';
import type { Route, RouteParent, ServiceRef } from './model.ts';
import { RuleIndex, type TakenRule } from './rule-index.ts';

/** What the routes of a service say about a request. */
export type RouteChoice =
  /** There are none: it goes to the service itself. */
  | { readonly kind: 'none' }
  /** There are some, and it meets no rule. */
  | { readonly kind: 'no-match' }
  | TakenRule;

const NO_ROUTES: RouteChoice = { kind: 'none' };
const NO_MATCH: RouteChoice = { kind: 'no-match' };

/** The routes that are known, by the service and port that they are attached to. */
export class RouteTable {
  readonly #routes = new Map<string, Route>();
  /** By hostname, then by namespace: names that are there already, so that nothing is put together for a request. */
  readonly #services = new Map<string, Map<string, ServiceRoutes>>();

  /** Takes up changes. What is not named stays as it is. */
  apply(update: readonly Route[], remove: readonly string[]): void {
    for (const key of remove) this.#replace(key, undefined);
    for (const route of update) this.#replace(route.key, route);
  }

  /** All routes, for people. */
  routes(): Iterable<Route> {
    return this.#routes.values();
  }

  choose({ hostname, namespace }: ServiceRef, port: number, head: RequestHead): RouteChoice {
    const routes = this.#services.get(hostname)?.get(namespace);
    if (routes === undefined) return NO_ROUTES;
    const index = routes.indexFor(port);
    return index === undefined ? NO_ROUTES : (index.find(head) ?? NO_MATCH);
  }

  #replace(key: string, route: Route | undefined): void {
    for (const parent of this.#routes.get(key)?.parents ?? []) this.#detach(parent, key);
    if (route === undefined) this.#routes.delete(key);
    else {
      this.#routes.set(key, route);
      for (const parent of route.parents) this.#routesOf(parent).attach(route);
    }
  }

  #routesOf({ hostname, namespace }: ServiceRef): ServiceRoutes {
    const namespaces = this.#services.get(hostname) ?? new Map<string, ServiceRoutes>();
    this.#services.set(hostname, namespaces);
    const routes = namespaces.get(namespace) ?? new ServiceRoutes({ hostname, namespace });
    namespaces.set(namespace, routes);
    return routes;
  }

  #detach({ hostname, namespace }: ServiceRef, key: string): void {
    const namespaces = this.#services.get(hostname);
    const routes = namespaces?.get(namespace);
    if (routes?.detach(key) !== true) return;
    namespaces?.delete(namespace);
    if (namespaces?.size === 0) this.#services.delete(hostname);
  }
}

/** The routes of one service, and what is worked out of them when it is needed first. */
class ServiceRoutes {
  readonly #service: ServiceRef;
  readonly #routes = new Map<string, Route>();
  /** Ports that a route names; all others have the same routes. Undefined: none. */
  #indexes: Map<number | 'others', RuleIndex | undefined> | undefined;

  constructor(service: ServiceRef) {
    this.#service = service;
  }

  attach(route: Route): void {
    this.#routes.set(route.key, route);
    this.#indexes = undefined;
  }

  /** True: that was the last one. */
  detach(key: string): boolean {
    this.#routes.delete(key);
    this.#indexes = undefined;
    return this.#routes.size === 0;
  }

  indexFor(port: number): RuleIndex | undefined {
    this.#indexes ??= this.#build();
    return this.#indexes.get(this.#indexes.has(port) ? port : 'others');
  }

  #build(): Map<number | 'others', RuleIndex | undefined> {
    const routes = [...this.#routes.values()];
    const ports = new Set<number | 'others'>(['others']);
    for (const route of routes) {
      for (const { port } of this.#parentsIn(route)) if (port !== undefined) ports.add(port);
    }
    const indexFor = (wanted: number | 'others'): RuleIndex | undefined => {
      const attached = routes.filter((route) =>
        this.#parentsIn(route).some(({ port }) => port === undefined || port === wanted),
      );
      return attached.length === 0 ? undefined : new RuleIndex(attached);
    };
    return new Map(Array.from(ports, (port) => [port, indexFor(port)]));
  }

  #parentsIn({ parents }: Route): readonly RouteParent[] {
    const { hostname, namespace } = this.#service;
    return parents.filter(
      (parent) => parent.hostname === hostname && parent.namespace === namespace,
    );
  }
}
