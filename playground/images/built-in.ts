import { compiledCodeEnvironment } from '#common/compile-cache.ts';

import type { ImageProgram } from '../node/images.ts';
import { NODE_PROGRAM, PROJECT } from '../node/node-root.ts';

/** The images that every cluster knows: programs of this project, and programs that any machine has. */
export function builtInImages(): ReadonlyMap<string, ImageProgram> {
  return new Map<string, ImageProgram>([
    ['ambit/echo', own('playground/images/echo.ts')],
    // Any program of the machine. By default a shell that ends when it is told to; `sleep` as the first process
    // would not hear it.
    [
      'ambit/curl',
      { command: [], defaultArguments: ['sh', '-c', SLEEP], environment: {}, standsIn: false },
    ],
    ['ambit/bookinfo-productpage', shop('productpage')],
    ['ambit/bookinfo-details', shop('details')],
    ['ambit/bookinfo-reviews-v1', shop('reviews', 'v1')],
    ['ambit/bookinfo-reviews-v2', shop('reviews', 'v2')],
    ['ambit/bookinfo-reviews-v3', shop('reviews', 'v3')],
    ['ambit/bookinfo-ratings', shop('ratings')],
    ['ambit/bookinfo-inventory', own('playground/images/inventory.ts')],
    // The mesh itself, by the names that its manifests use.
    ['ambit/ztunnel', own('ztunnel/main.ts')],
    ['ambit/waypoint', own('waypoint/main.ts')],
    ['ambit/istiod', own('istiod/main.ts')],
    // Its plugin runs from what every node has, instead of a copy of it.
    [
      'ambit/cni',
      { ...own('cni/agent/main.ts'), environment: { ...COMPILED, ...CNI_HOST_PROGRAM } },
    ],
  ]);
}

const COMPILED = compiledCodeEnvironment(PROJECT);
const CNI_HOST_PROGRAM = { CNI_HOST_NODE: NODE_PROGRAM, CNI_HOST_PROJECT: PROJECT };

const SLEEP = 'trap "exit 0" TERM INT; sleep infinity & wait';

function own(path: string, ...args: string[]): ImageProgram {
  return {
    command: [NODE_PROGRAM, `${PROJECT}/${path}`, ...args],
    environment: COMPILED,
    standsIn: false,
  };
}

function shop(...args: string[]): ImageProgram {
  return own('playground/images/bookinfo.ts', ...args);
}
