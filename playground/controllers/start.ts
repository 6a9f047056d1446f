import { type Clock, systemClock } from '#common/clock.ts';
import type { Logger } from '#common/log/logger.ts';
import type { KubeClient } from '#kube/client.ts';
import { EventRecorder } from '#kube/event-recorder.ts';

import type { Controller, ControllerContext } from './controller.ts';
import { DaemonSetController } from './daemonset.ts';
import { DeploymentController } from './deployment.ts';
import { EndpointSliceController } from './endpoint-slice.ts';
import { GarbageCollector } from './garbage.ts';
import { NamespaceController } from './namespace.ts';
import { NodeLifecycleController } from './node-lifecycle.ts';
import { ReplicaSetController } from './replica-set.ts';
import { RootCaController } from './root-ca.ts';
import { Scheduler } from './scheduler.ts';
import { ServiceAccountController } from './service-account.ts';
import { watchAll } from './watched.ts';

export interface ControllersOptions {
  /** May do everything. Not closed by us. */
  readonly client: KubeClient;
  /** Who signs the API server's certificate. */
  readonly caPem: string;
  readonly log: Logger;
  readonly clock?: Clock;
}

export interface Controllers {
  /** Settles when all of them work; never, when they are stopped before. */
  readonly running: Promise<void>;
  stop(): void;
}

/** Starts everything that makes a cluster out of an API server, as clients of that server. */
export function startControllers(options: ControllersOptions): Controllers {
  const { log, clock = systemClock } = options;
  const client = options.client.as('kube-controller-manager');
  const watched = watchAll(client, clock, log);
  const controllers: Controller[] = [];
  let stopped = false;
  for (const informer of Object.values(watched)) informer.start();
  const start = async (): Promise<void> => {
    await Promise.all(Object.values(watched).map(({ synced }) => synced));
    if (stopped) return;
    const context = (component: string, as = client): ControllerContext => {
      const events = new EventRecorder({ client: as, source: { component }, log, clock });
      return { client: as, watched, events, clock, log };
    };
    // What every pod needs comes first.
    controllers.push(
      new ServiceAccountController(context('serviceaccounts-controller')),
      new RootCaController(context('root-ca-certificate-publisher'), options.caPem),
      new Scheduler(context('default-scheduler', options.client.as('kube-scheduler'))),
      new NodeLifecycleController(context('node-controller')),
      new DaemonSetController(context('daemonset-controller')),
      new ReplicaSetController(context('replicaset-controller')),
      new DeploymentController(context('deployment-controller')),
      new EndpointSliceController(context('endpoint-slice-controller')),
      new NamespaceController(context('namespace-controller')),
      new GarbageCollector(context('garbage-collector-controller')),
    );
  };
  return {
    running: start(),
    stop: () => {
      stopped = true;
      for (const controller of controllers) controller.stop();
      for (const informer of Object.values(watched)) informer.stop();
    },
  };
}
