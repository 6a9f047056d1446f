import { at, isObject, objectsAt, own, textAt } from './json.ts';
import type { PrinterColumn, ScalePaths, ServedKind } from './kinds.ts';
import type { ApiObject } from './object.ts';
import type { JsonSchema } from './schema/json-schema.ts';

/** Keeps a definition that is being deleted until its objects are gone. */
export const CLEANUP_FINALIZER = 'customresourcecleanup.apiextensions.k8s.io';

/**
 * The kinds that a CustomResourceDefinition asks for: one for each version that is served. Objects
 * are kept in the version that is marked for it; in the first one when that one is not served, as
 * versions differ in nothing but their schemas.
 */
export function customKinds(definition: ApiObject): readonly ServedKind[] {
  const served = objectsAt(definition, 'spec', 'versions').filter(
    (version) => own(version, 'served') === true,
  );
  const stored = served.find((version) => own(version, 'storage') === true) ?? served[0];
  return served.map((version) => customKind(definition, version, version === stored));
}

/** "shops.example.com": which objects a definition is about. It is its name, too. */
export function storageKeyOf(definition: ApiObject): string {
  return `${textAt(definition, 'spec', 'names', 'plural')}.${textAt(definition, 'spec', 'group')}`;
}

function customKind(definition: ApiObject, version: object, storage: boolean): ServedKind {
  const names = at(definition, 'spec', 'names');
  const kind = textAt(names, 'kind');
  const scale = at(version, 'subresources', 'scale');
  const hasStatus = isObject(at(version, 'subresources', 'status'));
  const subresources = [...(hasStatus ? ['status'] : []), ...(isObject(scale) ? ['scale'] : [])];
  const terminating = definition.metadata.deletionTimestamp !== undefined;
  return {
    group: textAt(definition, 'spec', 'group'),
    version: textAt(version, 'name'),
    plural: textAt(names, 'plural'),
    singular: textAt(names, 'singular') || kind.toLowerCase(),
    kind,
    listKind: textAt(names, 'listKind') || `${kind}List`,
    shortNames: textsAt(names, 'shortNames'),
    categories: textsAt(names, 'categories'),
    namespaced: textAt(definition, 'spec', 'scope') === 'Namespaced',
    subresources,
    storage,
    storageKey: storageKeyOf(definition),
    custom: true,
    ...(terminating ? { terminating } : {}),
    schema: schemaOf(version),
    printerColumns: objectsAt(version, 'additionalPrinterColumns').map(printerColumn),
    ...(isObject(scale) ? { scale: scalePaths(scale) } : {}),
    selectableFields: objectsAt(version, 'selectableFields').map((field) =>
      textAt(field, 'jsonPath').replace(/^\./u, ''),
    ),
  };
}

function schemaOf(version: object): JsonSchema {
  // Checked when the definition was written: see crd-problems.ts.
  return at(version, 'schema', 'openAPIV3Schema') ?? {};
}

function printerColumn(column: object): PrinterColumn {
  const priority = own(column, 'priority');
  const format = textAt(column, 'format');
  const description = textAt(column, 'description');
  return {
    name: textAt(column, 'name'),
    type: textAt(column, 'type'),
    jsonPath: textAt(column, 'jsonPath'),
    ...(typeof priority === 'number' ? { priority } : {}),
    ...(format === '' ? {} : { format }),
    ...(description === '' ? {} : { description }),
  };
}

function scalePaths(scale: object): ScalePaths {
  const labelSelectorPath = textAt(scale, 'labelSelectorPath');
  return {
    specReplicasPath: textAt(scale, 'specReplicasPath'),
    statusReplicasPath: textAt(scale, 'statusReplicasPath'),
    ...(labelSelectorPath === '' ? {} : { labelSelectorPath }),
  };
}

function textsAt(object: unknown, field: string): readonly string[] {
  const list = own(object, field);
  return Array.isArray(list) ? list.filter((item) => typeof item === 'string') : [];
}
