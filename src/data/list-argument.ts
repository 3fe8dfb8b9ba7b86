/** What LIST and NLST are given: options as of `ls`, which clients send though no RFC has them, and a pathname. Pure. */

export type ListArgument = {
  /** `-R`: all directories below, too. */
  readonly recursive: boolean;
  /** As the client wrote it; may be empty, have wildcards, or begin with a dash. */
  readonly pathname: string;
};

// The one-letter options of POSIX ls and the common ones of GNU ls. Any other word that begins with a dash is a name.
const optionWord = /^-[1aAbcCdfFgGhiklLmnopqrRsStuUvxX]+$/;

/** Takes options off the front; `--` ends them. Anything behind the first word that is no option is the pathname. */
export function parseListArgument(argument: string): ListArgument {
  let rest = argument.trimStart();
  let recursive = false;
  for (;;) {
    const space = rest.indexOf(' ');
    const word = space === -1 ? rest : rest.slice(0, space);
    const isEnd = word === '--';
    if (!isEnd && !optionWord.test(word)) return { recursive, pathname: rest };
    if (word.includes('R')) recursive = true;
    rest = space === -1 ? '' : rest.slice(space + 1).trimStart();
    if (isEnd) return { recursive, pathname: rest };
  }
}
