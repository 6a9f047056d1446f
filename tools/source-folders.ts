/** Every top-level folder that holds TypeScript, in the order of the layers, lowest first. */
export const productFolders: readonly string[] = [
  'api',
  'common',
  'codec',
  'linux',
  'reactor',
  'hbone',
  'xds',
  'kube',
  'dataplane',
  'ztunnel',
  'waypoint',
  'istiod',
  'cni',
  'cli',
  'playground',
];

/** The same, and the folders that are not shipped. */
export const sourceFolders: readonly string[] = [...productFolders, 'tests', 'bench', 'tools'];
