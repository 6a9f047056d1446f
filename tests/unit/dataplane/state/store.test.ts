import { expect } from 'chai';
import { describe, it } from 'mocha';

import { EMPTY_SNAPSHOT } from '#dataplane/state/delta.ts';
import type { Service } from '#dataplane/state/service.ts';
import { MeshStore } from '#dataplane/state/store.ts';
import type { Workload } from '#dataplane/state/workload.ts';
import {
  cidr,
  delta,
  host,
  ip,
  key,
  policy,
  ports,
  service,
  serving,
  storeOf,
  uid,
  vip,
  workload,
} from '#tests/support/mesh.ts';

const web = service('web.example', '10.1.0.1');
const webKey = host('default', 'web.example');

function pod(name: string, more: Partial<Workload> = {}): Workload {
  return workload(name, '10.0.0.1', { uid: uid(`Kubernetes//Pod/default/${name}`), ...more });
}
function entry(name: string, more: Partial<Workload> = {}): Workload {
  return workload(name, '10.0.0.1', {
    uid: uid(`Kubernetes/group/Entry/default/${name}`),
    ...more,
  });
}

describe('MeshStore workloads', () => {
  it('finds one by uid, by address, and by hostname', () => {
    const one = pod('a', { hostname: 'a.example' });
    const store = storeOf({ workloads: [one] });
    expect(store.workload(one.uid)).to.equal(one);
    expect(store.workloadByIp('', ip('10.0.0.1'))).to.equal(one);
    expect(store.workloadByHostname(host('default', 'a.example'))).to.equal(one);
  });

  it('finds nothing under another network, address, uid or namespace', () => {
    const store = storeOf({ workloads: [pod('a', { hostname: 'a.example' })] });
    expect(store.workload(uid('b'))).to.equal(undefined);
    expect(store.workloadByIp('other', ip('10.0.0.1'))).to.equal(undefined);
    expect(store.workloadByIp('', ip('10.0.0.2'))).to.equal(undefined);
    expect(store.workloadByHostname(host('other', 'a.example'))).to.equal(undefined);
  });

  it('finds one by each of its addresses, and after a change only by those that are left', () => {
    const store = storeOf({ workloads: [pod('a', { ips: [ip('10.0.0.1'), ip('::1')] })] });
    const moved = pod('a', { ips: [ip('::1'), ip('10.0.0.2')] });
    store.apply(delta({ upsertWorkloads: [moved] }));
    expect(store.workloadByIp('', ip('10.0.0.1'))).to.equal(undefined);
    expect(store.workloadByIp('', ip('::1'))).to.equal(moved);
    expect(store.workloadByIp('', ip('10.0.0.2'))).to.equal(moved);
  });

  it('takes one without addresses', () => {
    const one = workload('a', '');
    expect(storeOf({ workloads: [one] }).workload(one.uid)).to.equal(one);
  });

  it('does not find a host-network workload by its address', () => {
    const one = pod('a', { networkMode: 'HostNetwork' });
    const store = storeOf({ workloads: [one] });
    expect(store.workloadByIp('', ip('10.0.0.1'))).to.equal(undefined);
    expect(store.workload(one.uid)).to.equal(one);
  });

  it('forgets a removed workload everywhere', () => {
    const one = serving(pod('a', { hostname: 'a.example' }), [web, ports({ 80: 1 })]);
    const store = storeOf({ workloads: [one], services: [web] });
    store.apply(delta({ removeWorkloads: [one.uid] }));
    expect(store.workload(one.uid)).to.equal(undefined);
    expect(store.workloadByIp('', ip('10.0.0.1'))).to.equal(undefined);
    expect(store.workloadByHostname(host('default', 'a.example'))).to.equal(undefined);
    expect(store.endpoints(webKey).size).to.equal(0);
    expect(
      store.localWorkload({ name: 'a', namespace: 'default', serviceAccount: 'default' }),
    ).to.equal(undefined);
    expect(store.snapshot().workloads).to.deep.equal([]);
  });

  describe('with one address', () => {
    const rows: readonly (readonly [string, readonly Workload[], string])[] = [
      ['the pod', [pod('pod'), entry('entry', { protocol: 'HBONE' })], 'pod'],
      ['the pod that came later', [entry('entry', { protocol: 'HBONE' }), pod('pod')], 'pod'],
      ['the tunnel', [entry('tunnel', { protocol: 'HBONE' }), entry('plain')], 'tunnel'],
      ['the pod with a tunnel', [pod('tunnel', { protocol: 'HBONE' }), pod('plain')], 'tunnel'],
      ['the latest of equals', [pod('old'), pod('new')], 'new'],
    ];
    for (const [name, workloads, want] of rows) {
      it(`prefers ${name}`, () => {
        const found = storeOf({ workloads }).workloadByIp('', ip('10.0.0.1'));
        expect(found?.name).to.equal(want);
      });
    }

    it('falls back to the other when the preferred one is removed', () => {
      const store = storeOf({ workloads: [entry('entry'), pod('pod')] });
      store.apply(delta({ removeWorkloads: [pod('pod').uid] }));
      expect(store.workloadByIp('', ip('10.0.0.1'))?.name).to.equal('entry');
    });

    it('keeps the preferred one when the other is removed', () => {
      const store = storeOf({ workloads: [pod('pod'), entry('entry')] });
      store.apply(delta({ removeWorkloads: [entry('entry').uid] }));
      expect(store.workloadByIp('', ip('10.0.0.1'))?.name).to.equal('pod');
    });

    it('keeps the new pod when the old one is heard of once more', () => {
      const store = storeOf({ workloads: [pod('old'), pod('new')] });
      store.apply(delta({ upsertWorkloads: [pod('old', { status: 'Unhealthy' })] }));
      expect(store.workloadByIp('', ip('10.0.0.1'))?.name).to.equal('new');
    });
  });
});

describe('MeshStore.localWorkload()', () => {
  const asked = { name: 'a', namespace: 'default', serviceAccount: 'till' };

  it('wants name, namespace and service account to be equal', () => {
    const one = pod('a', { serviceAccount: 'till' });
    const store = storeOf({ workloads: [one] });
    expect(store.localWorkload(asked)).to.equal(one);
    expect(store.localWorkload({ ...asked, name: 'b' })).to.equal(undefined);
    expect(store.localWorkload({ ...asked, namespace: 'b' })).to.equal(undefined);
    expect(store.localWorkload({ ...asked, serviceAccount: 'b' })).to.equal(undefined);
  });

  it('prefers the own cluster, then the own node, among pods of one name', () => {
    const far = pod('a', { uid: uid('far'), clusterId: 'far', node: 'n1', serviceAccount: 'till' });
    const own = pod('a', { uid: uid('own'), clusterId: 'own', node: 'n2', serviceAccount: 'till' });
    for (const workloads of [
      [far, own],
      [own, far],
    ]) {
      const store = storeOf({ workloads });
      expect(store.localWorkload({ ...asked, clusterId: 'own', node: 'n1' })).to.equal(own);
      expect(store.localWorkload({ ...asked, node: 'n1' })).to.equal(far);
    }
  });
});

function named(name: string, more: Partial<Service> = {}): Service {
  return service('web.example', '10.1.0.1', { name, namespace: name, ...more });
}

function block(name: string, text: string, more: Partial<Service> = {}): Service {
  return named(name, { vips: [], cidrVips: [{ network: '', cidr: cidr(text) }], ...more });
}

describe('MeshStore services by virtual address', () => {
  const address = ip('10.1.0.1');

  function found(services: readonly Service[], client: string | undefined): string | undefined {
    return storeOf({ services }).serviceByVip('', address, client)?.name;
  }
  it('keeps networks apart', () => {
    const here = named('here', { vips: [vip('one/10.1.0.1')] });
    const there = named('there', { vips: [vip('two/10.1.0.1')] });
    const store = storeOf({ services: [here, there] });
    expect(store.serviceByVip('one', address, undefined)).to.equal(here);
    expect(store.serviceByVip('two', address, undefined)).to.equal(there);
    expect(store.serviceByVip('', address, undefined)).to.equal(undefined);
  });

  it("prefers the client's namespace, then a canonical one, then the first", () => {
    const services = [named('a'), named('b', { canonical: true }), named('c')];
    expect(found(services, 'c')).to.equal('c');
    expect(found(services, 'other')).to.equal('b');
    expect(found(services, undefined)).to.equal('b');
    expect(found([named('a'), named('c')], 'other')).to.equal('a');
  });

  it('hides a service of restricted visibility from other namespaces and from the unknown', () => {
    const services = [named('a', { visibility: 'Namespace' })];
    expect(found(services, 'a')).to.equal('a');
    expect(found(services, 'b')).to.equal(undefined);
    expect(found(services, undefined)).to.equal(undefined);
  });

  it('falls to another one when the best is hidden', () => {
    const services = [named('a', { visibility: 'Namespace', canonical: true }), named('b')];
    expect(found(services, 'c')).to.equal('b');
  });

  it('finds a service by a block of addresses, in its network and family only', () => {
    const store = storeOf({ services: [block('a', '10.1.0.0/16')] });
    expect(store.serviceByVip('', ip('10.1.255.255'), undefined)?.name).to.equal('a');
    expect(store.serviceByVip('', ip('10.2.0.0'), undefined)).to.equal(undefined);
    expect(store.serviceByVip('other', ip('10.1.0.1'), undefined)).to.equal(undefined);
    expect(store.serviceByVip('', ip('2001:db8::1'), undefined)).to.equal(undefined);
    const six = storeOf({ services: [block('b', '2001:db8::/32')] });
    expect(six.serviceByVip('', ip('2001:db8::1'), undefined)?.name).to.equal('b');
  });

  it('takes an exact address before any block', () => {
    expect(found([block('own', '10.1.0.0/31'), named('exact')], 'own')).to.equal('exact');
  });

  it('takes a block when the exact address is hidden', () => {
    const services = [named('a', { visibility: 'Namespace' }), block('b', '10.0.0.0/8')];
    expect(found(services, 'c')).to.equal('b');
    expect(found(services, 'a')).to.equal('a');
  });

  it("prefers blocks of the client's namespace, then longer ones, then canonical ones", () => {
    const services = [
      block('wide', '10.0.0.0/8'),
      block('narrow', '10.1.0.0/16'),
      block('canonical', '10.1.0.0/16', { canonical: true }),
      block('shorter', '10.1.0.0/15', { canonical: true }),
    ];
    expect(found(services, 'wide')).to.equal('wide');
    expect(found(services, 'other')).to.equal('canonical');
    expect(found(services.slice(0, 2), 'other')).to.equal('narrow');
    expect(found([services[1]!, services[3]!], 'other')).to.equal('narrow');
  });

  it('gives all services with an address to who asks for all', () => {
    const hidden = named('a', { visibility: 'Namespace' });
    const store = storeOf({
      services: [hidden, block('b', '10.0.0.0/8'), block('c', '11.0.0.0/8')],
    });
    expect(store.servicesWithVip('', address).map(({ name }) => name)).to.deep.equal(['a', 'b']);
  });

  it('forgets addresses and blocks that an update leaves out, and all of a removed service', () => {
    const store = storeOf({
      services: [named('a', { cidrVips: [{ network: '', cidr: cidr('10.9.0.0/16') }] })],
    });
    store.apply(delta({ upsertServices: [named('a', { vips: [vip('/10.1.0.2')] })] }));
    expect(store.serviceByVip('', address, undefined)).to.equal(undefined);
    expect(store.serviceByVip('', ip('10.9.0.1'), undefined)).to.equal(undefined);
    expect(store.serviceByVip('', ip('10.1.0.2'), undefined)?.name).to.equal('a');
    store.apply(delta({ removeServices: [host('a', 'web.example')] }));
    expect(store.serviceByVip('', ip('10.1.0.2'), undefined)).to.equal(undefined);
    expect(store.serviceByHostname('web.example', 'a')).to.equal(undefined);
    expect(store.service(host('a', 'web.example'))).to.equal(undefined);
  });
});

describe('MeshStore.serviceByHostname()', () => {
  it("prefers the client's namespace, then a canonical one, then the first visible one", () => {
    const one = service('web.example', '', { namespace: 'a', visibility: 'Namespace' });
    const two = service('web.example', '', { namespace: 'b' });
    const three = service('web.example', '', { namespace: 'c', canonical: true });
    const store = storeOf({ services: [one, two, three] });
    expect(store.serviceByHostname('web.example', 'a')).to.equal(one);
    expect(store.serviceByHostname('web.example', 'b')).to.equal(two);
    expect(store.serviceByHostname('web.example', 'x')).to.equal(three);
    store.apply(delta({ removeServices: [host('c', 'web.example')] }));
    expect(store.serviceByHostname('web.example', 'x')).to.equal(two);
    expect(store.serviceByHostname('other.example', 'a')).to.equal(undefined);
  });
});

describe('MeshStore.addressee()', () => {
  it('takes a workload at the address before a service', () => {
    const one = workload('a', '10.1.0.1');
    const store = storeOf({ workloads: [one], services: [web] });
    expect(store.addressee('', ip('10.1.0.1'), undefined)).to.deep.equal({
      kind: 'workload',
      workload: one,
    });
    store.apply(delta({ removeWorkloads: [one.uid] }));
    expect(store.addressee('', ip('10.1.0.1'), undefined)).to.deep.equal({
      kind: 'service',
      service: web,
    });
    store.apply(delta({ removeServices: [webKey] }));
    expect(store.addressee('', ip('10.1.0.1'), undefined)).to.equal(undefined);
  });
});

describe('MeshStore endpoints', () => {
  const one = serving(workload('a', '10.0.0.1'), [web, ports({ 80: 1 })]);

  it('are the same whether the service or the workload comes first', () => {
    const serviceFirst = storeOf({ services: [web] });
    serviceFirst.apply(delta({ upsertWorkloads: [one] }));
    const workloadFirst = storeOf({ workloads: [one] });
    expect(workloadFirst.stagedServices()).to.deep.equal([webKey]);
    workloadFirst.apply(delta({ upsertServices: [web] }));
    expect(workloadFirst.stagedServices()).to.deep.equal([]);
    for (const store of [serviceFirst, workloadFirst]) {
      expect([...store.endpoints(webKey).values()]).to.deep.equal([
        { workload: one, ports: ports({ 80: 1 }) },
      ]);
    }
  });

  it('stay when their service is replaced, and when it goes and comes back', () => {
    const store = storeOf({ services: [web], workloads: [one] });
    store.apply(delta({ upsertServices: [{ ...web, canonical: true }] }));
    expect(store.endpoints(webKey).size).to.equal(1);
    store.apply(delta({ removeServices: [webKey] }));
    store.apply(delta({ upsertServices: [web] }));
    expect(store.endpoints(webKey).size).to.equal(1);
  });

  it('follow their workload: new ports, another service, gone', () => {
    const store = storeOf({ services: [web], workloads: [one] });
    store.apply(delta({ upsertWorkloads: [serving(one, [web, ports({ 80: 2 })])] }));
    expect(store.endpoints(webKey).get(one.uid)?.ports).to.deep.equal(ports({ 80: 2 }));
    const other = service('other.example', '');
    store.apply(delta({ upsertWorkloads: [serving(one, [other, ports({})])] }));
    expect(store.endpoints(webKey).size).to.equal(0);
    expect(store.endpoints(host('default', 'other.example')).size).to.equal(1);
    store.apply(delta({ removeWorkloads: [one.uid] }));
    expect(store.stagedServices()).to.deep.equal([]);
  });

  it('belong to one namespace, not to a hostname', () => {
    const store = storeOf({ workloads: [one] });
    expect(store.endpoints(host('other', 'web.example')).size).to.equal(0);
  });
});

function names(store: MeshStore, of: Workload): readonly string[] {
  return store
    .policiesFor(of)
    .policies.map(({ name }) => name)
    .toSorted();
}

describe('MeshStore.policiesFor()', () => {
  const all = policy('all', {}, { scope: 'Global', namespace: 'root' });
  const local = policy('local', {});
  const far = policy('far', {}, { namespace: 'far' });
  const picked = policy('picked', {}, { scope: 'WorkloadSelector' });
  const target = workload('a', '10.0.0.1', { authorizationPolicies: [key('default/picked')] });

  it('gives global ones, those of the namespace, and those that the workload names', () => {
    const store = storeOf({ policies: [all, local, far, picked] });
    expect(names(store, target)).to.deep.equal(['all', 'local', 'picked']);
    expect(names(store, workload('b', '10.0.0.2'))).to.deep.equal(['all', 'local']);
  });

  it('takes a global policy for global in any namespace, and a namespace called like nothing for a namespace', () => {
    const store = storeOf({ policies: [all, local] });
    expect(names(store, workload('b', '', { namespace: 'far' }))).to.deep.equal(['all']);
    expect(names(store, workload('b', '', { namespace: '' }))).to.deep.equal(['all']);
  });

  it('gives a policy once that applies twice', () => {
    const twice = workload('a', '', {
      authorizationPolicies: [key('default/local'), key('root/all')],
    });
    expect(names(storeOf({ policies: [all, local] }), twice)).to.deep.equal(['all', 'local']);
  });

  it('tells which named policies are missing, until they arrive', () => {
    const store = storeOf({ policies: [all] });
    expect(store.policiesFor(target).missing).to.deep.equal(['default/picked']);
    store.apply(delta({ upsertPolicies: [picked] }));
    expect(store.policiesFor(target).missing).to.deep.equal([]);
    expect(names(store, target)).to.deep.equal(['all', 'picked']);
    store.apply(delta({ removePolicies: [key('default/picked')] }));
    expect(store.policiesFor(target).missing).to.deep.equal(['default/picked']);
  });

  it('gives the current version of a policy', () => {
    const store = storeOf({ policies: [local] });
    store.policiesFor(target);
    const next = policy('local', { destinationPorts: [1] });
    store.apply(delta({ upsertPolicies: [next] }));
    expect(store.policiesFor(target).policies).to.deep.equal([next]);
  });

  it('moves a policy whose scope changes', () => {
    const store = storeOf({ policies: [local] });
    const elsewhere = workload('b', '', { namespace: 'far' });
    expect(names(store, elsewhere)).to.deep.equal([]);
    store.apply(delta({ upsertPolicies: [{ ...local, scope: 'Global' }] }));
    expect(names(store, elsewhere)).to.deep.equal(['local']);
    store.apply(delta({ upsertPolicies: [{ ...local, scope: 'WorkloadSelector' }] }));
    expect(names(store, elsewhere)).to.deep.equal([]);
    expect(names(store, workload('c', ''))).to.deep.equal([]);
  });

  it('forgets a removed policy', () => {
    const store = storeOf({ policies: [all, local, picked] });
    const keys = [key('root/all'), key('default/local'), key('default/picked')];
    store.apply(delta({ removePolicies: keys }));
    expect(names(store, target)).to.deep.equal([]);
    expect(store.snapshot()).to.deep.equal(EMPTY_SNAPSHOT);
  });
});

describe('MeshStore.apply()', () => {
  const one = workload('a', '10.0.0.1');

  it('applies removals before upserts, so a key in both stays', () => {
    const store = storeOf({ workloads: [one], services: [web], policies: [policy('p', {})] });
    store.apply(
      delta({
        removeWorkloads: [one.uid],
        upsertWorkloads: [one],
        removeServices: [webKey],
        upsertServices: [web],
        removePolicies: [key('default/p')],
        upsertPolicies: [policy('p', {})],
      }),
    );
    expect(store.workloadByIp('', ip('10.0.0.1'))).to.equal(one);
    expect(store.service(webKey)).to.equal(web);
    expect(store.policiesFor(one).policies).to.have.length(1);
  });

  it('says what changed', () => {
    const store = storeOf({ workloads: [one], services: [web] });
    expect(store.apply(delta({}))).to.deep.equal({
      policiesChanged: false,
      workloadsChanged: [],
      policyBindingsChanged: [],
      servicesChanged: [],
    });
    expect(
      store.apply(
        delta({
          upsertPolicies: [policy('p', {})],
          removeWorkloads: [one.uid, uid('unknown')],
          removeServices: [webKey, host('default', 'unknown')],
        }),
      ),
    ).to.deep.equal({
      policiesChanged: true,
      workloadsChanged: [one.uid],
      policyBindingsChanged: [],
      servicesChanged: [webKey],
    });
    expect(store.apply(delta({ removePolicies: [key('default/p')] })).policiesChanged).to.equal(
      true,
    );
  });

  it('tells apart which workloads are bound to other policies now', () => {
    const store = storeOf({ workloads: [one] });
    const healthy = { ...one, status: 'Unhealthy' } as const;
    expect(store.apply(delta({ upsertWorkloads: [healthy] })).policyBindingsChanged).to.deep.equal(
      [],
    );
    const bound = { ...one, authorizationPolicies: [key('default/p')] };
    expect(store.apply(delta({ upsertWorkloads: [bound] })).policyBindingsChanged).to.deep.equal([
      one.uid,
    ]);
    const moved = { ...bound, namespace: 'other' };
    expect(store.apply(delta({ upsertWorkloads: [moved] })).policyBindingsChanged).to.deep.equal([
      one.uid,
    ]);
    const added = workload('b', '');
    expect(store.apply(delta({ upsertWorkloads: [added] })).policyBindingsChanged).to.deep.equal([
      added.uid,
    ]);
  });
});
