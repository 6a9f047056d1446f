import { expect } from 'chai';
import { describe, it } from 'mocha';

import { renderHaproxyConfig } from '#bench/haproxy-config.ts';

const files = { certificate: '/c/side.pem', authority: '/c/ca.pem' };
const forwards = [
  { name: 'web', bind: '10.0.0.1:9080', server: '10.0.0.2:9443' },
  { name: 'stream', bind: '10.0.0.1:9201', server: '10.0.0.2:9444' },
];
const TLS = 'ssl crt /c/side.pem ca-file /c/ca.pem verify required force-tlsv13';

describe('renderHaproxyConfig()', () => {
  it('lets the client side take plain connections and open TLS with a certificate of its own', () => {
    const config = renderHaproxyConfig('client', files, forwards);
    expect(config).to.include(
      'listen web\n bind 10.0.0.1:9080\n server next 10.0.0.2:9443 ssl crt',
    );
    expect(config).to.include(` server next 10.0.0.2:9444 ${TLS}\n`);
    expect(config).to.not.match(/bind .* ssl/);
  });

  it('lets the server side want a certificate and forward in the clear', () => {
    const config = renderHaproxyConfig('server', files, forwards);
    expect(config).to.include(` bind 10.0.0.1:9080 ${TLS}\n server next 10.0.0.2:9443\n`);
    expect(config).to.not.match(/server .* ssl/);
  });

  it('is a TCP proxy on two threads', () => {
    const config = renderHaproxyConfig('client', files, forwards);
    expect(config).to.include(' nbthread 2\n').and.include(' mode tcp\n');
  });
});
