import { ageText } from './age.ts';
import { evaluateJsonPath, parseJsonPath } from './json-path.ts';
import type { ApiObject } from './object.ts';
import {
  builtInColumns,
  type ColumnDefinition,
  type Columns,
  nameAndAge,
} from './table-columns.ts';
import { type Fields, plainText } from './table-fields.ts';

/** A column as a CustomResourceDefinition asks for it. */
export interface PrinterColumn {
  readonly name: string;
  readonly type: string;
  readonly format?: string;
  readonly description?: string;
  readonly priority?: number;
  readonly jsonPath: string;
}

export interface TableOptions {
  readonly version: 'v1' | 'v1beta1';
  /** What each row carries of its object. */
  readonly includeObject: 'None' | 'Metadata' | 'Object';
  /** Later tables of a watch leave out what the first has said. */
  readonly withDefinitions: boolean;
  readonly nowMs: number;
}

export interface TableKind {
  readonly group: string;
  readonly plural: string;
  readonly printerColumns?: readonly PrinterColumn[];
}

const META = 'meta.k8s.io';

/** The columns of a kind: its own, those of its definition, or name and age. */
export function columnsOf(kind: TableKind): Columns {
  const builtIn = builtInColumns(kind.group, kind.plural);
  if (builtIn !== undefined) return builtIn;
  const { printerColumns = [] } = kind;
  return printerColumns.length === 0 ? nameAndAge : customColumns(printerColumns);
}

/** A meta.k8s.io Table of some objects. `listMetadata` is that of the list, if there is one. */
export function tableOf(
  columns: Columns,
  objects: readonly ApiObject[],
  listMetadata: unknown,
  options: TableOptions,
): Record<string, unknown> {
  return {
    kind: 'Table',
    apiVersion: `${META}/${options.version}`,
    metadata: listMetadata ?? {},
    columnDefinitions: options.withDefinitions ? columns.definitions : [],
    rows: objects.map((object) => row(columns, object, options)),
  };
}

/** The metadata of an object under a kind of its own, for clients that want no more. */
export function partialObject(
  object: ApiObject,
  version: 'v1' | 'v1beta1',
): Record<string, unknown> {
  return {
    kind: 'PartialObjectMetadata',
    apiVersion: `${META}/${version}`,
    metadata: object.metadata,
  };
}

function row(columns: Columns, object: ApiObject, options: TableOptions): Record<string, unknown> {
  const cells = columns.cells(object, options.nowMs);
  switch (options.includeObject) {
    case 'None':
      return { cells };
    case 'Object':
      return { cells, object };
    case 'Metadata':
      return { cells, object: partialObject(object, options.version) };
  }
}

function customColumns(columns: readonly PrinterColumn[]): Columns {
  const [name] = nameAndAge.definitions;
  const definitions = columns.map((column): ColumnDefinition => {
    // A date is shown as an age: the client is given a text.
    const type = column.type === 'date' ? 'date' : column.type;
    const { format = '', description = '', priority = 0 } = column;
    return { name: column.name, type, format, description, priority };
  });
  const paths = columns.map((column) => parseJsonPath(column.jsonPath));
  const cells = (object: Fields, nowMs: number): readonly unknown[] => [
    (object['metadata'] as Fields | undefined)?.['name'] ?? '',
    ...paths.map((path, index) => {
      const values = path === undefined ? [] : evaluateJsonPath(path, object);
      return customCell(values, columns[index]?.type ?? 'string', nowMs);
    }),
  ];
  return { definitions: name === undefined ? definitions : [name, ...definitions], cells };
}

function customCell(values: readonly unknown[], type: string, nowMs: number): unknown {
  const [first] = values;
  if (first === undefined || first === null) return null;
  switch (type) {
    case 'integer':
      return typeof first === 'number' ? Math.trunc(first) : null;
    case 'number':
      return typeof first === 'number' ? first : null;
    case 'boolean':
      return typeof first === 'boolean' ? first : null;
    case 'date':
      return ageText(first, nowMs);
    default:
      return values.map(plainText).join(',');
  }
}
