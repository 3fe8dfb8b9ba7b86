/**
 * Parses the text after a verb, according to `argument` in the command's row. Applied once, when the table is built, so that no
 * handler has to do it. Pure.
 */
import type { ArgumentKind, Command, OpenCommand } from './command.ts';

/**
 * The meaning of a backslash in a pathname. `literal`: a character of the name, as in RFC 959 and S3. `separator`: the same as
 * `/`, for devices that send Windows pathnames.
 */
export type BackslashMeaning = 'literal' | 'separator';

export type ArgumentOptions = { readonly pathnameBackslash: BackslashMeaning };

/** The command with a handler that gets its argument parsed by `readArgument`. */
export function withParsedArgument(command: Command, options: ArgumentOptions): Command {
  const read = (argument: string): string => parseArgument(command.argument, argument, options);
  if (command.access === 'anyone') {
    const open: OpenCommand = {
      ...command,
      handle: (session, argument) => command.handle(session, read(argument)),
    };
    return open;
  }
  return {
    ...command,
    handle: (session, login, argument) => command.handle(session, login, read(argument)),
  };
}

/** The argument as handlers expect it. @param text everything after the verb and one space (RFC 959 5.3.1). */
export function parseArgument(kind: ArgumentKind, text: string, options: ArgumentOptions): string {
  switch (kind) {
    case 'words':
      return text.split(' ').filter(isNotEmpty).join(' ');
    case 'pathname':
      if (isBlank(text)) return '';
      return options.pathnameBackslash === 'separator' ? text.replaceAll('\\', '/') : text;
    case 'verbatim':
      return text;
  }
}

function isNotEmpty(word: string): boolean {
  return word !== '';
}

// Clients that always append a space and an optional pathname send blank text for "no pathname". `./ ` still names a file whose
// name is a space.
function isBlank(text: string): boolean {
  return /^ *$/.test(text);
}
