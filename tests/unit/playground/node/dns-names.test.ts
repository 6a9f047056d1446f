import { expect } from 'chai';
import { describe, it } from 'mocha';

import type { Service } from '#kube/resources.ts';
import {
  NAME_ERROR,
  NO_ERROR,
  TYPE_A,
  TYPE_CNAME,
  TYPE_SRV,
} from '#playground/node/dns-message.ts';
import { answerQuestion, type DnsZone } from '#playground/node/dns-names.ts';

const services: Readonly<Record<string, Service['spec']>> = {
  web: { clusterIP: '10.96.0.9', ports: [{ name: 'http', port: 80 }] },
  inside: { type: 'ExternalName', externalName: 'web.shop.svc.cluster.local.' },
  outside: { type: 'ExternalName', externalName: 'example.com' },
  circle: { type: 'ExternalName', externalName: 'circle.shop.svc.cluster.local' },
};

const zone: DnsZone = {
  domain: 'cluster.local',
  service: (namespace, name) => {
    const spec = namespace === 'shop' ? services[name] : undefined;
    if (spec === undefined) return undefined;
    return { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace }, spec };
  },
  slices: () => [],
};

function ask(name: string, type: number): ReturnType<typeof answerQuestion> {
  return answerQuestion(zone, `${name}.shop.svc.cluster.local`, type);
}

describe('answerQuestion()', () => {
  it('knows the addresses of services, and their ports', () => {
    expect(ask('web', TYPE_A)).to.deep.equal({
      code: NO_ERROR,
      records: [{ type: TYPE_A, ip: '10.96.0.9' }],
    });
    expect(ask('_http._tcp.web', TYPE_SRV).records).to.deep.equal([
      { type: TYPE_SRV, port: 80, target: 'web.shop.svc.cluster.local' },
    ]);
    expect(ask('none', TYPE_A)).to.deep.equal({ code: NAME_ERROR, records: [] });
  });

  it('knows the other name of an ExternalName service, and its address when that is here', () => {
    const target = 'web.shop.svc.cluster.local';
    expect(ask('inside', TYPE_A)).to.deep.equal({
      code: NO_ERROR,
      records: [
        { type: TYPE_CNAME, target },
        { name: target, type: TYPE_A, ip: '10.96.0.9' },
      ],
    });
    expect(ask('outside', TYPE_A).records).to.deep.equal([
      { type: TYPE_CNAME, target: 'example.com' },
    ]);
    expect(ask('any.inside', TYPE_A).code).to.equal(NAME_ERROR);
  });

  it('does not follow an alias that leads in a circle', () => {
    const target = 'circle.shop.svc.cluster.local';
    expect(ask('circle', TYPE_A).records).to.deep.equal([{ type: TYPE_CNAME, target }]);
  });
});
