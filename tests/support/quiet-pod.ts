import { expect } from 'chai';

import { MeshStore } from '#dataplane/state/store.ts';
import type { LocalPod } from '#dataplane/state/view.ts';
import { inNetns } from '#linux/netns.ts';
import { openSocketPair } from '#linux/socket-pair.ts';
import type { Loop } from '#reactor/loop.ts';
import { allocateSlab } from '#reactor/memory.ts';
import { closeSocket, EAGAIN, receiveInto } from '#reactor/socket.ts';
import { openThreadLoop } from '#reactor/thread-loop.ts';
import type { ListenerFds } from '#ztunnel/worker/pod-listeners.ts';
import { PodProxy } from '#ztunnel/worker/pod-proxy.ts';
import {
  descriptorsOf,
  exportPod,
  freezePod,
  type PodState,
  releasePod,
  renameDescriptors,
  restorePod,
  thawPod,
} from '#ztunnel/worker/pod-state.ts';

import { openDescriptors } from './descriptors.ts';
import { type TestThread, threadContext } from './thread-context.ts';
import { passedDescriptor } from './tls-sockets.ts';

const byte = allocateSlab(1);

/**
 * A pod, `default/shop`, whose listeners nobody calls, on a loop that never turns: a test gives it connections
 * and says what time it is. Nobody knows the pod until `mesh` does.
 */
export class QuietPod implements Disposable {
  static readonly pod: LocalPod = { namespace: 'default', name: 'shop', serviceAccount: 'default' };
  readonly loop: Loop;
  readonly mesh: MeshStore = new MeshStore();
  readonly thread: TestThread;
  /** What the operator was told. */
  readonly reports: string[] = [];
  proxy: PodProxy;
  readonly #open = new Set<number>();
  readonly #opened: number;

  private constructor(loop: Loop, opened: number) {
    this.#opened = opened;
    this.loop = loop;
    const report = (line: string): void => {
      this.reports.push(line);
    };
    this.thread = threadContext(loop, this.mesh, { report });
    const [netnsFd] = this.#pair();
    this.proxy = new PodProxy(this.thread, 'uid', QuietPod.pod, netnsFd);
    const [outbound, plaintext, inbound] = [this.give(), this.give(), this.give()];
    const listeners = { outbound: outbound.fd, plaintext: plaintext.fd, inbound: inbound.fd };
    this.proxy.adoptListeners(listeners satisfies ListenerFds);
  }

  static async start(): Promise<QuietPod> {
    // A thread that has been to another namespace keeps the way back open.
    expect(() => inNetns(-1, () => undefined)).to.throw();
    const opened = openDescriptors().size;
    return new QuietPod(await openThreadLoop(), opened);
  }

  /** A connection for the pod to take over, and its other end. */
  give(): { readonly fd: number; readonly client: number } {
    const [client, fd] = this.#pair();
    this.#open.delete(fd);
    return { fd, client };
  }

  pass(ms: number): void {
    this.loop.nowMs += ms;
    this.loop.timers.advance(this.loop.nowMs, (_timer, error) => {
      throw error;
    });
  }

  isOpen(client: number): boolean {
    return receiveInto(client, byte, 0, 1) === -EAGAIN;
  }

  /** Access lines: event and error. */
  get lines(): readonly string[] {
    return this.thread.written.map(({ event, error }) => `${event}: ${error ?? ''}`);
  }

  /** Another process has it from now on, as far as anybody can tell. */
  moveToSuccessor(): void {
    const frozen = freezePod(this.proxy);
    const state: PodState = structuredClone(exportPod(frozen));
    const sent = new Map(descriptorsOf(state).map((fd) => [fd, passedDescriptor(fd)]));
    const received = renameDescriptors(state, (fd) => sent.get(fd) as number);
    this.#open.add(received.netnsFd);
    releasePod(frozen);
    if (this.loop.timers.size > 0) throw new Error('A timer was left behind');
    const restored = restorePod(this.thread, received);
    this.proxy = restored.proxy;
    thawPod(restored);
  }

  /** Throws when a descriptor was left open. */
  [Symbol.dispose](): void {
    this.proxy.close('the test is over');
    for (const fd of this.#open) closeSocket(fd);
    this.loop.stop();
    const left = openDescriptors().size - this.#opened;
    if (left !== 0) throw new Error(`${left} descriptors were left open`);
  }

  #pair(): readonly [number, number] {
    const pair = openSocketPair();
    for (const fd of pair) this.#open.add(fd);
    return pair;
  }
}
