import { expect } from 'chai';
import { it } from 'mocha';

import { AUTHORIZATION_POLICIES, type AuthorizationPolicy, PODS } from '#kube/resources.ts';
import type { DialRequest } from '#tests/bed/sockets.ts';

import { type Home, NODES } from '../support/mesh-cluster.ts';
import { median, Pace } from '../support/pace.ts';
import { account, ECHO, echoPod, echoService, SERVICE_ECHO, SHOP, type Stage } from './stage.ts';

const POLICY_ROUNDS = 11;
const POD_ROUNDS = 3;
const REFUSED_MS = 50;
const CUT_MS = 100;
const REACHED_MS = 100;
const OWN_PORT = 7_100;
const LATE = 'late';
const FLOW_BYTES = 4_000;

export function theLatency(on: () => Stage): void {
  it('refuses what a new policy forbids within 50 ms; within 100 ms it has cut what is idle, flows or is stuck', async () => {
    const stage = on();
    const listener = stage.mesh.sockets.listen(stage.desk, { port: OWN_PORT });
    await using pace = await Pace.open();
    const rounds: PolicyRound[] = [];
    for (let round = 0; round < POLICY_ROUNDS; round++) {
      await pace.sample();
      rounds.push(await playPolicyRound(stage, listener));
    }
    const refused = median(rounds.map((round) => round.refusedMs));
    const cut = median(rounds.map((round) => round.cutMs));
    const told = JSON.stringify({ pace: pace.sampleMs, rounds });
    expect(refused, told).to.be.at.most(pace.allow(REFUSED_MS));
    expect(cut, told).to.be.at.most(pace.allow(CUT_MS));
  });

  it('reaches a new pod, also by its service, from all of the mesh within 100 ms after it is ready', async () => {
    const stage = on();
    const { mesh, till, guest, nook, desk, stranger } = stage;
    await mesh.apply(STRICT);
    await mesh.apply(JSON.stringify(account(LATE)));
    await mesh.apply(JSON.stringify(echoService(LATE)));
    const service = await mesh.serviceAddress(SHOP, LATE);
    await using pace = await Pace.open();
    const rounds: number[] = [];
    for (let round = 0; round < POD_ROUNDS; round++) {
      await pace.sample();
      const ip = await createPod(stage, NODES[round % 2] ?? '');
      const readyMs = performance.now();
      const pod = { ip, port: ECHO };
      const callers = [till, guest, nook, desk].flatMap((from) => [
        untilServed(stage, from, pod),
        untilServed(stage, from, { ip: service, port: SERVICE_ECHO }),
      ]);
      await Promise.all(callers);
      rounds.push(performance.now() - readyMs);
      // So it was a tunnel that brought the others there.
      expect(await mesh.knock(stranger, pod)).to.not.equal('served');
      await mesh.kubectl.must(['delete', 'pod', '-n', SHOP, LATE]);
    }
    const told = JSON.stringify({ pace: pace.sampleMs, rounds });
    expect(median(rounds), told).to.be.at.most(pace.allow(REACHED_MS));
    await mesh.kubectl.must(['delete', 'service/late', 'peerauthentication/strict', '-n', SHOP]);
  });
}

const STRICT = JSON.stringify({
  apiVersion: 'security.istio.io/v1',
  kind: 'PeerAuthentication',
  metadata: { name: 'strict', namespace: SHOP },
  spec: { mtls: { mode: 'STRICT' } },
});

const NO_GUEST: AuthorizationPolicy = {
  apiVersion: 'security.istio.io/v1',
  kind: 'AuthorizationPolicy',
  metadata: { name: 'no-guest', namespace: SHOP },
  spec: {
    selector: { matchLabels: { app: 'desk' } },
    action: 'DENY',
    rules: [{ from: [{ source: { principals: [`cluster.local/ns/${SHOP}/sa/guest`] } }] }],
  },
};

/** Since the request to the API server. */
interface PolicyRound {
  /** Until the API server had answered. */
  readonly answeredMs: number;
  readonly refusedMs: number;
  /** Until both ends of the last connection knew. */
  readonly cutMs: number;
  /** Until somebody was served again, since the request to delete the policy. */
  readonly servedMs: number;
}

async function playPolicyRound(stage: Stage, listener: number): Promise<PolicyRound> {
  const { mesh, guest, desk } = stage;
  const { sockets } = mesh;
  const own = { ip: desk.ip, port: OWN_PORT };
  const idle = await sockets.mustDial(guest, own);
  const idleServer = await sockets.accept(listener);
  await sockets.carry(idle, idleServer, 'here');
  const stuck = await sockets.mustDial(guest, own);
  const stuckServer = await sockets.accept(listener);
  await sockets.fill(stuck);
  const flowing = await mesh.open(guest, { ip: desk.ip, port: ECHO });
  const flow = flowUntilReset(stage, flowing);

  const beganMs = performance.now();
  const since = (): number => performance.now() - beganMs;
  const answered = mesh.client.create(AUTHORIZATION_POLICIES, NO_GUEST).then(since);
  const refused = knockUntil(stage, guest, { ip: desk.ip, port: ECHO }, isRefused).then(since);
  const resets = [idle, idleServer, stuck].map(async (fd) =>
    expect(await sockets.receive(fd)).to.equal('ECONNRESET'),
  );
  const cut = Promise.all([...resets, flow]).then(since);
  const round = { answeredMs: await answered, refusedMs: await refused, cutMs: await cut };
  const deletedMs = performance.now();
  await mesh.client.delete(AUTHORIZATION_POLICIES, 'no-guest', SHOP);
  await untilServed(stage, guest, { ip: desk.ip, port: ECHO });
  const servedMs = performance.now() - deletedMs;
  for (const fd of [idle, idleServer, stuck, stuckServer, flowing]) sockets.close(fd);
  return { ...round, servedMs };
}

/** Keeps a connection in the middle of a transfer. Whether it sends or receives when it is cut, it hears of a reset. */
async function flowUntilReset({ mesh: { sockets } }: Stage, fd: number): Promise<void> {
  let heard = '';
  do {
    heard = await sockets.sendBytes(fd, FLOW_BYTES).then(
      async () => sockets.receive(fd),
      (error: unknown) => String(error),
    );
    if (heard === '') throw new Error('What was cut looks as if it were complete');
  } while (!heard.includes('ECONNRESET'));
}

function isRefused(answer: string): boolean {
  return answer !== 'served';
}

function untilServed(stage: Stage, from: Home, to: DialRequest): Promise<void> {
  return knockUntil(stage, from, to, (answer) => answer === 'served');
}

async function knockUntil(
  { mesh }: Stage,
  from: Home,
  to: DialRequest,
  holds: (answer: string) => boolean,
): Promise<void> {
  while (!holds(await mesh.knock(from, to)));
}

/** Resolves with its address as soon as the API server says that it is ready. */
async function createPod({ mesh: { client } }: Stage, node: string): Promise<string> {
  const { resourceVersion = '' } = (
    await client.create(PODS, echoPod(LATE, node, { readiness: true }))
  ).metadata;
  const signal = AbortSignal.timeout(60_000);
  const selection = { namespace: SHOP, fieldSelector: `metadata.name=${LATE}` };
  for await (const event of client.watch(PODS, { ...selection, resourceVersion, signal })) {
    if (event.type !== 'MODIFIED') continue;
    const { status } = event.object;
    const ready = status?.conditions?.find(({ type }) => type === 'Ready');
    if (ready?.status === 'True') return status?.podIP ?? '';
  }
  throw new Error(`Pod ${LATE} is not ready`);
}
