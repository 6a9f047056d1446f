import { ageText } from './age.ts';
import { at, type Fields, labelsText, listAt, NONE, plainText, textAt } from './table-fields.ts';

/** Type, Cluster-IP, External-IP, Port(s), Age, Selector. */
export function serviceCells(object: Fields, nowMs: number): readonly unknown[] {
  const external = textAt(object, 'spec', 'type') === 'ExternalName';
  return [
    textAt(object, 'spec', 'type'),
    external ? NONE : textAt(object, 'spec', 'clusterIP'),
    externalAddress(object),
    portsText(object),
    ageText(at(object, 'metadata', 'creationTimestamp'), nowMs),
    labelsText(at(object, 'spec', 'selector')),
  ];
}

function externalAddress(object: Fields): string {
  const type = at(object, 'spec', 'type');
  const given = (at(object, 'spec', 'externalIPs') ?? []) as readonly string[];
  if (type === 'ExternalName') return textAt(object, 'spec', 'externalName');
  if (type !== 'LoadBalancer') return given.length === 0 ? NONE : given.join(',');
  const assigned = listAt(object, 'status', 'loadBalancer', 'ingress').map((ingress) =>
    plainText(ingress['ip'] ?? ingress['hostname']),
  );
  const all = [...assigned, ...given].filter((address) => address !== '');
  return all.length === 0 ? '<pending>' : all.join(',');
}

function portsText(object: Fields): string {
  const ports = listAt(object, 'spec', 'ports').map((port) => {
    const nodePort =
      typeof port['nodePort'] === 'number' && port['nodePort'] > 0 ? `:${port['nodePort']}` : '';
    return `${plainText(port['port'])}${nodePort}/${plainText(port['protocol'] ?? 'TCP')}`;
  });
  return ports.length === 0 ? NONE : ports.join(',');
}
