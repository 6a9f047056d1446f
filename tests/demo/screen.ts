/** Where the story is told: a terminal, or a pipe, which gets no colour. */
export interface Screen {
  readonly write: (text: string) => void;
  readonly colour: boolean;
}

export type Style = 'strong' | 'quiet' | 'good' | 'bad';

// Select Graphic Rendition (ECMA-48, 8.3.117): bold, faint, green, red.
const codes: Readonly<Record<Style, number>> = { strong: 1, quiet: 2, good: 32, bad: 31 };

export function openScreen(stream: NodeJS.WriteStream, environment: NodeJS.ProcessEnv): Screen {
  // https://no-color.org: present and not empty
  const colour = stream.isTTY && (environment['NO_COLOR'] ?? '') === '';
  return { write: (text) => stream.write(text), colour };
}

export function styled(screen: Screen, style: Style, text: string): string {
  return screen.colour ? `\x1b[${codes[style]}m${text}\x1b[0m` : text;
}
