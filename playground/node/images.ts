/** What an image stands for: a program of the machine. */
export interface ImageProgram {
  /** Program and first arguments; the container's own arguments follow. */
  readonly command: readonly string[];
  /** In the place of arguments when a container has none. */
  readonly defaultArguments?: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Somebody else's image: a `command` that the machine does not have is inside of it, and this program stands for it. */
  readonly standsIn: boolean;
}

/** Mapped image names; see {@link findImage} for how a name is looked for. */
export type ImageMap = ReadonlyMap<string, ImageProgram>;

export type ImageMappingResult =
  | { readonly kind: 'ok'; readonly name: string; readonly program: ImageProgram }
  | { readonly kind: 'refused'; readonly problem: string };

/** Reads `NAME=PROGRAM [ARGUMENT…]`. Arguments with spaces stand in single or double quotes. */
export function parseImageMapping(text: string): ImageMappingResult {
  const equals = text.indexOf('=');
  const name = text.slice(0, Math.max(0, equals)).trim();
  const words = splitWords(text.slice(equals + 1));
  if (equals <= 0 || name === '' || words === undefined || words.length === 0) {
    return {
      kind: 'refused',
      problem: `Cannot read the image mapping ${JSON.stringify(text)}: want NAME=PROGRAM, such as "docker.io/library/nginx=/usr/sbin/nginx -g 'daemon off;'"`,
    };
  }
  return { kind: 'ok', name, program: { command: words, environment: {}, standsIn: true } };
}

/**
 * The program of an image: first of exactly this name, then of the name without tag and digest. `docker.io/` and
 * `docker.io/library/` count as nothing on both sides.
 */
export function findImage(images: ImageMap, image: string): ImageProgram | undefined {
  const wanted = [shortName(image), shortName(withoutTag(image))];
  for (const name of wanted) {
    for (const [mapped, program] of images) if (shortName(mapped) === name) return program;
  }
  return undefined;
}

/**
 * What a container runs. An image's program takes the place of the image's own entry point: it gets the container's
 * arguments. A container's `command` is run as it stands; but one that the machine does not have was meant for a program
 * in the image, and the program that stands for it takes its place.
 */
export function containerCommand(
  program: ImageProgram,
  command: readonly string[],
  args: readonly string[],
  isOnMachine: (program: string) => boolean,
): readonly string[] {
  const [first, ...rest] = command;
  if (first === undefined) {
    return [...program.command, ...(args.length > 0 ? args : (program.defaultArguments ?? []))];
  }
  if (!program.standsIn || isOnMachine(first)) return [...command, ...args];
  return [...program.command, ...rest, ...args];
}

/** Why an unknown image can't be had, with what to do about it. */
export function unknownImageMessage(image: string): string {
  return `no program is mapped to the image ${JSON.stringify(image)}: nothing is pulled here; start the cluster with "ambit up --image ${withoutTag(image)}=PROGRAM" to run a program of this machine in its place`;
}

function shortName(image: string): string {
  return image.replace(/^(?:docker\.io\/)?(?:library\/)?/, '');
}

function withoutTag(image: string): string {
  return image.replace(/@.*$/, '').replace(/:[^/:]*$/, '');
}

/** Words as a shell would split them, without its other features; undefined when a quote is not closed. */
function splitWords(text: string): readonly string[] | undefined {
  const words: string[] = [];
  let rest = text.trim();
  while (rest !== '') {
    const match = /^(?:'([^']*)'|"([^"]*)"|([^\s'"]+))+/.exec(rest);
    if (match === null) return undefined;
    words.push(match[0].replaceAll(/'([^']*)'|"([^"]*)"/g, '$1$2'));
    rest = rest.slice(match[0].length).trimStart();
  }
  return words;
}
