import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import { expect } from 'chai';
import { afterEach, beforeEach, describe, it } from 'mocha';

import { addEvent, tellAgent } from '#cni/plugin/agent-client.ts';

const pod = { namespace: 'shop', name: 'till-0' };

describe('addEvent()', () => {
  it("has the agent's names, with masks as bytes", () => {
    const ips = [
      { address: '10.2.3.4/24', gateway: '10.2.3.1', interface: 0 },
      { address: '10.9.9.9/31' },
      { address: 'fd00::4/64' },
    ];
    expect(addEvent(pod, '/var/run/netns/a', ips)).to.deep.equal({
      Netns: '/var/run/netns/a',
      PodName: 'till-0',
      PodNamespace: 'shop',
      IPs: [
        { Interface: 0, Address: { IP: '10.2.3.4', Mask: '////AA==' }, Gateway: '10.2.3.1' },
        { Interface: null, Address: { IP: '10.9.9.9', Mask: '/////g==' }, Gateway: '' },
        {
          Interface: null,
          Address: { IP: 'fd00::4', Mask: '//////////8AAAAAAAAAAA==' },
          Gateway: '',
        },
      ],
      AgentDecides: true,
    });
  });

  it('has the uid when the runtime says it', () => {
    const event = addEvent({ ...pod, uid: 'u1' }, '/x', undefined);
    expect(event.PodUID).to.equal('u1');
    expect(addEvent(pod, '/x', undefined)).to.not.have.property('PodUID');
  });

  it('has null for no earlier result', () => {
    expect(addEvent(pod, '/x', undefined).IPs).to.equal(null);
  });
});

describe('tellAgent()', () => {
  let directory: string;
  let path: string;
  let agent: Server | undefined;

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'agent-client-'));
    path = join(directory, 'pluginevent.sock');
  });

  afterEach(async () => {
    if (agent !== undefined) {
      agent.closeAllConnections();
      agent.close();
      await once(agent, 'close');
      agent = undefined;
    }
    rmSync(directory, { recursive: true });
  });

  async function serve(
    answer: (request: IncomingMessage, response: ServerResponse) => void,
  ): Promise<void> {
    agent = createServer(answer);
    agent.listen(path);
    await once(agent, 'listening');
  }

  const event = addEvent(pod, '/x', undefined);

  it('posts the event and is accepted', async () => {
    let seen: unknown;
    await serve((request, response) => {
      const read = async (): Promise<void> => {
        const { method, url, headers } = request;
        seen = [method, url, headers['content-type'], JSON.parse(await text(request))];
        response.end();
      };
      void read();
    });
    expect(await tellAgent(path, event)).to.deep.equal({ kind: 'accepted' });
    expect(seen).to.deep.equal(['POST', '/cmdadd', 'application/json', event]);
  });

  it("brings the agent's reason", async () => {
    await serve((_, response) => response.writeHead(500).end('no ztunnel\n'));
    expect(await tellAgent(path, event)).to.deep.equal({ kind: 'refused', reason: 'no ztunnel' });
  });

  it('says that nobody is there', async () => {
    expect(await tellAgent(path, event)).to.deep.equal({
      kind: 'unreachable',
      reason: `${path}: ENOENT`,
    });
  });

  it('gives up on an agent that says nothing, or cuts its answer short', async () => {
    await serve(() => undefined);
    const silent = await tellAgent(path, event, 50);
    expect(silent).to.deep.equal({
      kind: 'unreachable',
      reason: `no answer on ${path} within 50 ms`,
    });
    agent?.removeAllListeners('request').on('request', (_, response: ServerResponse) => {
      response.writeHead(200, { 'content-length': '10' });
      response.write('x', () => response.destroy());
    });
    expect((await tellAgent(path, event)).kind).to.equal('unreachable');
  });
});
