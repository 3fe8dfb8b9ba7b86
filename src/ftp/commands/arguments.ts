/**
 * How the text behind a verb is read, by the `argument` of its row in the command table. Applied once, when the table is
 * made, so that no handler has to do it. Pure.
 */
import type { ArgumentKind, Command, OpenCommand } from './command.ts';

/**
 * What a backslash in a pathname is. `literal`: a character of the name, as RFC 959 and S3 have it. `separator`: the same
 * as `/`, for devices that send Windows pathnames.
 */
export type BackslashMeaning = 'literal' | 'separator';

export type ArgumentOptions = { readonly pathnameBackslash: BackslashMeaning };

/** The command, whose handler gets its argument as `readArgument` returns it. */
export function withReadArgument(command: Command, options: ArgumentOptions): Command {
  const read = (argument: string): string => readArgument(command.argument, argument, options);
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

/** The argument as handlers expect it; `text` is everything behind the verb and one space (RFC 959 5.3.1). */
export function readArgument(kind: ArgumentKind, text: string, options: ArgumentOptions): string {
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

// Clients that always append a space and an optional pathname send this for "no pathname". `./ ` still names such a file.
function isBlank(text: string): boolean {
  return /^ *$/.test(text);
}
