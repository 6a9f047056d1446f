import { formatLabelSelector } from '#kube/selector.ts';

import { ageText } from './age.ts';
import {
  at,
  type Cells,
  type Fields,
  labelsText,
  listAt,
  NONE,
  numberAt,
  plainText,
  textAt,
} from './table-fields.ts';
import { podCells } from './table-pod.ts';
import { serviceCells } from './table-service.ts';

/** metav1.TableColumnDefinition. Priority 0 is always shown, higher ones with `-o wide`. */
export interface ColumnDefinition {
  readonly name: string;
  readonly type: string;
  readonly format: string;
  readonly description: string;
  readonly priority: number;
}

export interface Columns {
  readonly definitions: readonly ColumnDefinition[];
  readonly cells: Cells;
}

/** The columns of built-in kinds, by `group/plural`. */
export function builtInColumns(group: string, plural: string): Columns | undefined {
  return byResource.get(`${group}/${plural}`);
}

/** For kinds that say nothing of their own. */
export const nameAndAge: Columns = columns('Age', (object, nowMs) => [age(object, nowMs)]);

const byResource = new Map<string, Columns>([
  [
    '/pods',
    columns('Ready Status Restarts Age IP+ Node+ Nominated_Node+ Readiness_Gates+', podCells),
  ],
  ['/services', columns('Type Cluster-IP External-IP Port(s) Age Selector+', serviceCells)],
  [
    '/nodes',
    columns(
      'Status Roles Age Version Internal-IP+ External-IP+ OS-Image+ Kernel-Version+ Container-Runtime+',
      nodeCells,
    ),
  ],
  [
    '/namespaces',
    columns('Status Age', (object, nowMs) => [
      textAt(object, 'status', 'phase'),
      age(object, nowMs),
    ]),
  ],
  [
    '/configmaps',
    columns('Data:integer Age', (object, nowMs) => [
      count(object, 'data') + count(object, 'binaryData'),
      age(object, nowMs),
    ]),
  ],
  [
    '/secrets',
    columns('Type Data:integer Age', (object, nowMs) => [
      textAt(object, 'type'),
      count(object, 'data'),
      age(object, nowMs),
    ]),
  ],
  [
    '/serviceaccounts',
    columns('Secrets:integer Age', (object, nowMs) => [
      listAt(object, 'secrets').length,
      age(object, nowMs),
    ]),
  ],
  [
    '/endpoints',
    columns('Endpoints Age', (object, nowMs) => [endpointsText(object), age(object, nowMs)]),
  ],
  [
    '/events',
    columns(
      'Last_Seen Type Reason Object Subobject+ Source+ Message First_Seen+ Count+:integer',
      eventCells,
      { nameLast: true },
    ),
  ],
  [
    'discovery.k8s.io/endpointslices',
    columns('AddressType Ports Endpoints Age', endpointSliceCells),
  ],
  [
    'coordination.k8s.io/leases',
    columns('Holder Age', (object, nowMs) => [
      at(object, 'spec', 'holderIdentity') ?? '',
      age(object, nowMs),
    ]),
  ],
  [
    'apps/deployments',
    columns(
      'Ready Up-to-date:integer Available:integer Age Containers+ Images+ Selector+',
      (object, nowMs) => [
        readyOf(object),
        numberAt(object, 'status', 'updatedReplicas'),
        numberAt(object, 'status', 'availableReplicas'),
        age(object, nowMs),
        ...templateCells(object),
      ],
    ),
  ],
  [
    'apps/replicasets',
    columns(
      'Desired:integer Current:integer Ready:integer Age Containers+ Images+ Selector+',
      (object, nowMs) => [
        numberAt(object, 'spec', 'replicas'),
        numberAt(object, 'status', 'replicas'),
        numberAt(object, 'status', 'readyReplicas'),
        age(object, nowMs),
        ...templateCells(object),
      ],
    ),
  ],
  [
    'apps/statefulsets',
    columns('Ready Age Containers+ Images+', (object, nowMs) => [
      readyOf(object),
      age(object, nowMs),
      ...templateCells(object).slice(0, 2),
    ]),
  ],
  [
    'apps/daemonsets',
    columns(
      'Desired:integer Current:integer Ready:integer Up-to-date:integer Available:integer Node_Selector Age Containers+ Images+ Selector+',
      (object, nowMs) => [
        numberAt(object, 'status', 'desiredNumberScheduled'),
        numberAt(object, 'status', 'currentNumberScheduled'),
        numberAt(object, 'status', 'numberReady'),
        numberAt(object, 'status', 'updatedNumberScheduled'),
        numberAt(object, 'status', 'numberAvailable'),
        labelsText(at(object, 'spec', 'template', 'spec', 'nodeSelector')),
        age(object, nowMs),
        ...templateCells(object),
      ],
    ),
  ],
  ['rbac.authorization.k8s.io/roles', columns('Created_At', createdCells)],
  ['rbac.authorization.k8s.io/clusterroles', columns('Created_At', createdCells)],
  [
    'rbac.authorization.k8s.io/rolebindings',
    columns('Role Age Users+ Groups+ ServiceAccounts+', bindingCells),
  ],
  [
    'rbac.authorization.k8s.io/clusterrolebindings',
    columns('Role Age Users+ Groups+ ServiceAccounts+', bindingCells),
  ],
  ['apiextensions.k8s.io/customresourcedefinitions', columns('Created_At', createdCells)],
  [
    'admissionregistration.k8s.io/validatingwebhookconfigurations',
    columns('Webhooks:integer Age', webhookCells),
  ],
  [
    'admissionregistration.k8s.io/mutatingwebhookconfigurations',
    columns('Webhooks:integer Age', webhookCells),
  ],
]);

/**
 * `Ready Age IP+ Count:integer` as definitions: `_` is a space, `+` is only shown wide, and the name
 * comes first.
 */
function columns(words: string, cells: Cells, options: { nameLast?: boolean } = {}): Columns {
  const own = words.split(' ').map((word) => {
    const [title = '', type = 'string'] = word.split(':');
    const wide = title.endsWith('+');
    return definition(title.replace('+', '').replaceAll('_', ' '), type, wide ? 1 : 0);
  });
  const name: ColumnDefinition = {
    ...definition('Name', 'string', options.nameLast === true ? 1 : 0),
    format: 'name',
  };
  if (options.nameLast === true)
    return {
      definitions: [...own, name],
      cells: (object, nowMs) => [...cells(object, nowMs), nameOf(object)],
    };
  return {
    definitions: [name, ...own],
    cells: (object, nowMs) => [nameOf(object), ...cells(object, nowMs)],
  };
}

function definition(name: string, type: string, priority: number): ColumnDefinition {
  return { name, type, format: '', description: '', priority };
}

function nameOf(object: Fields): unknown {
  return at(object, 'metadata', 'name') ?? '';
}

function age(object: Fields, nowMs: number): string {
  return ageText(at(object, 'metadata', 'creationTimestamp'), nowMs);
}

function count(object: Fields, field: string): number {
  return Object.keys((object[field] as Fields | undefined) ?? {}).length;
}

function createdCells(object: Fields): readonly unknown[] {
  return [at(object, 'metadata', 'creationTimestamp') ?? '<unknown>'];
}

function webhookCells(object: Fields, nowMs: number): readonly unknown[] {
  return [listAt(object, 'webhooks').length, age(object, nowMs)];
}

function readyOf(object: Fields): string {
  return `${numberAt(object, 'status', 'readyReplicas')}/${numberAt(object, 'spec', 'replicas')}`;
}

function templateCells(object: Fields): readonly string[] {
  const containers = listAt(object, 'spec', 'template', 'spec', 'containers');
  return [
    containers.map((container) => textAt(container, 'name')).join(','),
    containers.map((container) => textAt(container, 'image')).join(','),
    selectorText(at(object, 'spec', 'selector')),
  ];
}

function selectorText(selector: unknown): string {
  const text = formatLabelSelector(selector ?? {});
  return text === '' ? NONE : text;
}

function nodeCells(object: Fields, nowMs: number): readonly unknown[] {
  const info = at(object, 'status', 'nodeInfo');
  const addresses = listAt(object, 'status', 'addresses');
  const addressOf = (type: string) =>
    textAt(
      addresses.find((address) => address['type'] === type),
      'address',
    );
  return [
    nodeStatus(object),
    nodeRoles(object),
    age(object, nowMs),
    at(info, 'kubeletVersion') ?? '',
    addressOf('InternalIP'),
    addressOf('ExternalIP'),
    at(info, 'osImage') ?? '<unknown>',
    at(info, 'kernelVersion') ?? '<unknown>',
    at(info, 'containerRuntimeVersion') ?? '<unknown>',
  ];
}

function nodeStatus(object: Fields): string {
  const ready = listAt(object, 'status', 'conditions').find((each) => each['type'] === 'Ready');
  const words = [
    ready === undefined ? 'Unknown' : ready['status'] === 'True' ? 'Ready' : 'NotReady',
  ];
  if (at(object, 'spec', 'unschedulable') === true) words.push('SchedulingDisabled');
  return words.join(',');
}

function nodeRoles(object: Fields): string {
  const prefix = 'node-role.kubernetes.io/';
  const labels = (at(object, 'metadata', 'labels') ?? {}) as Record<string, string>;
  const roles = Object.entries(labels).flatMap(([key, value]) => {
    if (key.startsWith(prefix) && key !== prefix) return [key.slice(prefix.length)];
    return key === 'kubernetes.io/role' && value !== '' ? [value] : [];
  });
  return roles.length === 0 ? NONE : [...new Set(roles)].toSorted().join(',');
}

/** More endpoints than these are counted, not written. */
const ENDPOINTS_SHOWN = 3;

function endpointsText(object: Fields): string {
  const all = listAt(object, 'subsets').flatMap((subset) => {
    const ports = listAt(subset, 'ports');
    const addresses = listAt(subset, 'addresses').map((address) => textAt(address, 'ip'));
    if (ports.length === 0) return addresses;
    return ports.flatMap((port) =>
      addresses.map((address) => `${address}:${numberAt(port, 'port')}`),
    );
  });
  return shortList(all, NONE);
}

function endpointSliceCells(object: Fields, nowMs: number): readonly unknown[] {
  const ports = listAt(object, 'ports').map((port) => plainText(at(port, 'port') ?? '*'));
  const addresses = listAt(object, 'endpoints').flatMap(
    (endpoint) => (at(endpoint, 'addresses') ?? []) as string[],
  );
  return [
    textAt(object, 'addressType'),
    shortList(ports, '<unset>'),
    shortList(addresses, '<unset>'),
    age(object, nowMs),
  ];
}

function shortList(all: readonly string[], none: string): string {
  if (all.length === 0) return none;
  const more = all.length - ENDPOINTS_SHOWN;
  const shown = all.slice(0, ENDPOINTS_SHOWN).join(',');
  return more > 0 ? `${shown} + ${more} more...` : shown;
}

function eventCells(object: Fields, nowMs: number): readonly unknown[] {
  const seen =
    at(object, 'series', 'lastObservedTime') ?? object['lastTimestamp'] ?? object['eventTime'];
  const first = object['firstTimestamp'] ?? object['eventTime'];
  const involved = object['involvedObject'];
  const source = [
    at(object, 'source', 'component') ?? object['reportingComponent'],
    at(object, 'source', 'host'),
  ];
  return [
    ageText(seen, nowMs),
    at(object, 'type') ?? '',
    at(object, 'reason') ?? '',
    `${plainText(at(involved, 'kind')).toLowerCase()}/${plainText(at(involved, 'name'))}`,
    at(involved, 'fieldPath') ?? '',
    source.filter((word) => typeof word === 'string' && word !== '').join(', '),
    plainText(object['message']).trim(),
    ageText(first, nowMs),
    at(object, 'series', 'count') ?? object['count'] ?? 1,
  ];
}

function bindingCells(object: Fields, nowMs: number): readonly unknown[] {
  const subjects = listAt(object, 'subjects');
  const named = (kind: string) =>
    subjects
      .filter((subject) => subject['kind'] === kind)
      .map((subject) => textAt(subject, 'name'));
  const accounts = subjects
    .filter((subject) => subject['kind'] === 'ServiceAccount')
    .map((subject) => `${plainText(subject['namespace'])}/${textAt(subject, 'name')}`);
  return [
    `${textAt(object, 'roleRef', 'kind')}/${textAt(object, 'roleRef', 'name')}`,
    age(object, nowMs),
    named('User').join(', '),
    named('Group').join(', '),
    accounts.join(', '),
  ];
}
