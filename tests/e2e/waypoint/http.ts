import { expect } from 'chai';
import { it } from 'mocha';

import type { Stage } from './stage.ts';

const BODY = '/tmp/body';
const BODY_BYTES = 8_000_000;

/** What a peer tells of a request. */
interface Asked {
  readonly method: string;
  readonly url: string;
  readonly httpVersion: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
}

export function theHttp(on: () => Stage): void {
  /** Makes a file of bytes that nothing compresses, and tells its digest. */
  async function makeBody(): Promise<string> {
    const make = `head -c ${BODY_BYTES} /dev/urandom > ${BODY}; sha256sum < ${BODY}`;
    const { stdout } = await on().till.do('run', { command: ['sh', '-c', make] });
    return stdout.split(' ')[0] ?? '';
  }

  it('upload in chunks with curl, and wait for 100 Continue', async () => {
    const { till } = on();
    const digest = await makeBody();
    const chunked = ['-X', 'POST', '-T', BODY, '-H', 'Transfer-Encoding: chunked'];
    for (const url of ['http://peer/digest', 'http://peer:81/digest']) {
      const { stdout, stderr } = await till.tryCurl(
        '-v',
        ...chunked,
        '-H',
        'Expect: 100-continue',
        url,
      );
      expect(stdout.trim(), url).to.equal(`${BODY_BYTES} ${digest}`);
      expect(stderr, url).to.match(/^< HTTP\/1\.1 100 Continue/m);
    }
    const plain = await till.curl('-H', 'Expect:', ...chunked, 'http://peer/digest');
    expect(plain.trim()).to.equal(`${BODY_BYTES} ${digest}`);
  });

  it('send and get large bodies, by both versions on each side', async () => {
    const { till } = on();
    const digest = await makeBody();
    for (const [version, port] of [
      ['--http1.1', 80],
      ['--http1.1', 81],
      ['--http1.1', 83],
      ['--http2-prior-knowledge', 80],
      ['--http2-prior-knowledge', 81],
    ] as const) {
      const echo = `curl -sS -m 30 ${version} -H Expect: --data-binary @${BODY} http://peer:${port}/echo | sha256sum`;
      const { stdout } = await till.do('run', { command: ['sh', '-c', echo] });
      expect(stdout.split(' ')[0], `${version} to ${port}`).to.equal(digest);
    }
  });

  it('speak one version, and the server another', async () => {
    const { till } = on();
    const ask = async (version: string, port: number): Promise<Asked> => {
      const asked = await till.curl(version, '-d', 'a=b', `http://peer:${port}/asked?one#two`);
      return JSON.parse(asked) as Asked;
    };
    const seen = { method: 'POST', url: '/asked?one', body: 'a=b' };
    expect(await ask('--http1.1', 80)).to.include({ ...seen, httpVersion: '1.1' });
    expect(await ask('--http1.1', 81)).to.include({ ...seen, httpVersion: '2.0' });
    expect(await ask('--http2-prior-knowledge', 80)).to.include({ ...seen, httpVersion: '1.1' });
    expect(await ask('--http2-prior-knowledge', 81)).to.include({ ...seen, httpVersion: '2.0' });
    const { headers } = await ask('--http2-prior-knowledge', 80);
    expect(headers['host']).to.equal('peer');
    expect(headers['x-forwarded-proto']).to.equal('http');
  });

  it('keep their connections, also after HEAD', async () => {
    const { till } = on();
    const url = 'http://peer/bytes?count=1000';
    const told = ['-o', '/dev/null', '-w', '%{http_code} %{num_connects} %{size_download}\\n', url];
    const said = await till.curl('-I', ...told, '--next', '-sS', ...told, '--next', '-sS', ...told);
    expect(said.trim().split('\n')).to.deep.equal(['200 1 0', '200 0 1000', '200 0 1000']);
  });

  it('get trailers', async () => {
    const seen = await on().till.do('request', { url: 'http://peer/bytes?count=300000' });
    expect(seen).to.include({ status: 200, bytes: 300_000 });
    expect(seen.trailers['x-digest']).to.equal(seen.sha256);
  });

  it('speak HTTP/1.0: the answer ends with the connection', async () => {
    const { stdout, stderr, code } = await on().till.tryCurl(
      '-v',
      '--http1.0',
      '-d',
      'old',
      '-w',
      '\\n%{size_download}',
      'http://peer/echo',
    );
    expect(code, stderr).to.equal(0);
    expect(stdout).to.equal('old\n3');
    expect(stderr).to.not.match(/^< transfer-encoding/im);
    const bytes = ['-o', '/dev/null', '-w', '%{size_download}', 'http://peer/bytes?count=200000'];
    expect(await on().till.curl('--http1.0', ...bytes)).to.equal('200000');
  });

  it('ask thousands of times with h2load, and each answer is right', async () => {
    const { till } = on();
    for (const [version, port] of [
      ['--h1', 80],
      ['--h1', 81],
      ['-m10', 81],
      ['-m10', 80],
    ] as const) {
      const many = ['h2load', '-n1000', '-c8', version, `http://peer:${port}/asked`];
      const { stdout } = await till.do('run', { command: many });
      expect(stdout, many.join(' ')).to.include('1000 succeeded, 0 failed, 0 errored');
      expect(stdout, many.join(' ')).to.include('1000 2xx, 0 3xx, 0 4xx, 0 5xx');
    }
  });

  it('hear of server-sent events one by one, and of what they wait for', async () => {
    const { till } = on();
    const url = 'http://peer';
    const events = ['first', 'second', 'third'];
    const heard = await till.do('readEvents', { url, events });
    expect(heard).to.deep.equal(['welcome', ...events].map((event) => `data: ${event}`));
    expect(await till.do('poll', { url, event: 'at last' })).to.equal('at last');
  });

  it('talk through a WebSocket, whose large messages and close codes arrive', async () => {
    for (const port of [80, 83]) {
      const url = `ws://peer:${port}/socket`;
      const seen = await on().till.do('webSocket', { url, bytes: 1 << 20 });
      expect(seen).to.include({ text: 'hello', pong: 'knock', code: 4001, reason: 'as you wish' });
      expect(seen.heardSha256).to.equal(seen.sentSha256);
    }
  });
}
