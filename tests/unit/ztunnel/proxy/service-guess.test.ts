import { expect } from 'chai';
import { describe, it } from 'mocha';

import { ports, service, serving, storeOf, workload } from '#tests/support/mesh.ts';
import { guessService } from '#ztunnel/proxy/service-guess.ts';

const one = service('one.example', '', { ports: ports({ 80: 0 }) });
const two = service('two.example', '', { ports: ports({ 80: 8080 }) });
const three = service('three.example', '', { ports: ports({ 90: 9090 }) });
const unknown = service('unknown.example', '');
const pod = serving(
  workload('pod', '10.0.0.1'),
  [unknown, ports({ 80: 8080 })],
  [one, ports({ 80: 7070 })],
  [two, ports({})],
  [three, ports({})],
);
const view = storeOf({ services: [one, two, three], workloads: [pod] });

describe('guessService()', () => {
  it('takes the service that the peer names, if the pod serves it', () => {
    expect(guessService(view, pod, { port: 8080, forwardedHost: 'three.example' })).to.equal(three);
  });

  it('does not take a name that the pod does not serve', () => {
    const stranger = service('stranger.example', '');
    const mesh = storeOf({ services: [one, two, three, stranger], workloads: [pod] });
    const hints = { port: 8080, forwardedHost: 'stranger.example' };
    expect(guessService(mesh, pod, hints)).to.equal(two);
  });

  it('takes the one that the request named before one that serves the port', () => {
    expect(guessService(view, pod, { port: 8080, requested: three })).to.equal(three);
    const hints = { port: 8080, requested: three, forwardedHost: 'one.example' };
    expect(guessService(view, pod, hints)).to.equal(one);
  });

  it('takes the first known one that serves the port, by the mapping of the pod or of the service', () => {
    expect(guessService(view, pod, { port: 7070 })).to.equal(one);
    expect(guessService(view, pod, { port: 8080 })).to.equal(two);
    expect(guessService(view, pod, { port: 1 })).to.equal(undefined);
  });
});
