/** The argument of LIST and NLST: options of `ls`, which clients send although no RFC has them, and a pathname. Pure. */

export type ListArgument = {
  /** `-R`: list all directories below, too. */
  readonly recursive: boolean;
  /** As the client wrote it; may be empty, have wildcards, or begin with a dash. */
  readonly pathname: string;
};

// The one-letter options of POSIX ls and the common ones of GNU ls. Any other word that begins with a dash is a name.
// Spaces before an option are ignored; exactly one space ends it (RFC 959 5.3.1), and further ones begin the pathname.
const optionWord = /^ *(--|-[1aAbcCdfFgGhiklLmnopqrRsStuUvxX]+)(?: |$)/;

/** Removes options from the front; `--` ends them. The rest is the pathname, leading and trailing spaces included. */
export function parseListArgument(argument: string): ListArgument {
  let rest = argument;
  let recursive = false;
  for (;;) {
    const [taken, word] = optionWord.exec(rest) ?? [];
    if (taken === undefined) break;
    rest = rest.slice(taken.length);
    if (word === '--') break;
    if (word?.includes('R') === true) recursive = true;
  }
  return { recursive, pathname: /^ *$/.test(rest) ? '' : rest };
}
