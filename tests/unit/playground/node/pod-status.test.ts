import { expect } from 'chai';
import { describe, it } from 'mocha';

import type { Condition, Container, ContainerState, Pod, PodStatus } from '#kube/resources.ts';
import {
  type ContainerRecord,
  type PodRecord,
  podPhase,
  podStatus,
  qosClass,
} from '#playground/node/pod-status.ts';

const RUNNING: ContainerState = { running: { startedAt: '2026-01-01T00:00:00Z' } };
const WAITING: ContainerState = { waiting: { reason: 'ContainerCreating' } };
const ended = (exitCode: number): ContainerState => ({ terminated: { exitCode } });

function container(state: ContainerState, more: Partial<ContainerRecord> = {}): ContainerRecord {
  return {
    container: { name: 'main', image: 'ambit/echo' },
    init: false,
    state,
    lastState: {},
    restartCount: 0,
    containerId: undefined,
    started: false,
    ready: false,
    ...more,
  };
}

function record(
  containers: readonly ContainerRecord[],
  spec: Partial<Pod['spec']> = {},
): PodRecord {
  const pod: Pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'a', namespace: 'default' },
    spec: { containers: containers.map((each) => each.container), ...spec },
  };
  const startTime = '2026-01-01T00:00:00Z';
  return {
    pod,
    hostIp: '172.18.0.2',
    podIp: '10.244.0.2',
    startTime,
    containers,
    ephemeral: [],
    failure: undefined,
  };
}

function both(first: number, second: number): PodRecord {
  return record([container(ended(first)), container(ended(second))], { restartPolicy: 'Never' });
}

function condition(status: PodStatus, type: string): Condition | undefined {
  return status.conditions?.find((each) => each.type === type);
}

function withResources(resources: Container['resources']): Pod {
  const only = { name: 'main', image: 'ambit/echo', ...(resources ? { resources } : {}) };
  return record([container(RUNNING, { container: only })]).pod;
}

describe('podPhase()', () => {
  it('is Pending as long as a container has never run', () => {
    expect(podPhase(record([container(WAITING)]))).to.equal('Pending');
    expect(podPhase(record([container(RUNNING), container(WAITING)]))).to.equal('Pending');
    expect(podPhase(record([container(RUNNING), container(RUNNING)]))).to.equal('Running');
  });

  it('is Pending as long as an init container has not succeeded, Failed when it never will', () => {
    const init = (state: ContainerState): ContainerRecord => container(state, { init: true });
    const main = container(WAITING);
    expect(podPhase(record([init(RUNNING), main]))).to.equal('Pending');
    expect(podPhase(record([init(ended(1)), main]))).to.equal('Pending');
    expect(podPhase(record([init(ended(1)), main], { restartPolicy: 'Never' }))).to.equal('Failed');
    expect(podPhase(record([init(ended(0)), container(RUNNING)]))).to.equal('Running');
  });

  it('stays Running while ended containers are to be started again', () => {
    const backOff = container({ waiting: { reason: 'CrashLoopBackOff' } }, { lastState: ended(1) });
    expect(podPhase(record([backOff]))).to.equal('Running');
    expect(podPhase(record([container(ended(0))]))).to.equal('Running');
    expect(podPhase(record([container(ended(1))], { restartPolicy: 'OnFailure' }))).to.equal(
      'Running',
    );
  });

  it('is Succeeded or Failed when all have ended for good', () => {
    expect(podPhase(both(0, 0))).to.equal('Succeeded');
    expect(podPhase(both(0, 3))).to.equal('Failed');
  });
});

describe('podStatus()', () => {
  it('is ready when all containers are, and says which are not', () => {
    const unready = podStatus(record([container(RUNNING, { started: true })]), undefined, 'now');
    expect(condition(unready, 'Ready')).to.deep.include({
      status: 'False',
      reason: 'ContainersNotReady',
      message: 'containers with unready status: [main]',
    });
    const all = record([container(RUNNING, { started: true, ready: true })]);
    expect(condition(podStatus(all, undefined, 'now'), 'Ready')?.status).to.equal('True');
  });

  it('is not ready before its readiness gates are', () => {
    const gates = { readinessGates: [{ conditionType: 'example.com/gate' }] };
    const all = record([container(RUNNING, { started: true, ready: true })], gates);
    const status = podStatus(all, undefined, 'now');
    expect(condition(status, 'Ready')?.reason).to.equal('ReadinessGatesNotReady');
    expect(condition(status, 'ContainersReady')?.status).to.equal('True');
  });

  it('keeps the time of a condition that has not changed, and conditions of others', () => {
    const foreign = { type: 'example.com/gate', status: 'True' };
    const running = record([container(RUNNING, { started: true })]);
    const before = podStatus(running, { conditions: [foreign] }, 'first');
    const ready = record([container(RUNNING, { started: true, ready: true })]);
    const after = podStatus(ready, before, 'second');
    expect(condition(after, 'Initialized')?.lastTransitionTime).to.equal('first');
    expect(condition(after, 'Ready')?.lastTransitionTime).to.equal('second');
    expect(condition(after, 'example.com/gate')).to.deep.equal(foreign);
  });
});

describe('qosClass()', () => {
  it('follows from requests and limits', () => {
    expect(qosClass(withResources(undefined))).to.equal('BestEffort');
    expect(qosClass(withResources({ requests: { cpu: '100m' } }))).to.equal('Burstable');
    const limits = { cpu: '1', memory: '1Gi' };
    expect(qosClass(withResources({ limits }))).to.equal('Guaranteed');
    const requests = { cpu: '1000m', memory: '1024Mi' };
    expect(qosClass(withResources({ limits, requests }))).to.equal('Guaranteed');
    expect(qosClass(withResources({ limits: { cpu: '1' } }))).to.equal('Burstable');
  });
});
