/**
 * The wildcards of LIST and NLST: `*`, `?`, `[a-z]`, `[!a-z]`, in the last segment of a pathname. Pure. Matching takes at most
 * pattern length times name length steps, whatever a client sends; it uses no regular expression.
 */

type Token =
  | { readonly kind: 'any-run' }
  | { readonly kind: 'any-one' }
  | { readonly kind: 'one-of'; readonly ranges: readonly Range[]; readonly negated: boolean }
  | { readonly kind: 'exactly'; readonly character: string };

type Range = { readonly from: string; readonly to: string };

/** Whether the text contains a wildcard. */
export function hasWildcard(text: string): boolean {
  return /[*?[]/.test(text);
}

/** Compiles a pattern to a predicate for names. */
export function compileGlob(pattern: string): (name: string) => boolean {
  const tokens = tokenize(Array.from(pattern));
  return (name) => matches(tokens, Array.from(name));
}

function tokenize(characters: readonly string[]): Token[] {
  const tokens: Token[] = [];
  for (let index = 0; index < characters.length; index += 1) {
    const character = characters[index] ?? '';
    if (character === '*') {
      if (tokens.at(-1)?.kind !== 'any-run') tokens.push({ kind: 'any-run' });
    } else if (character === '?') {
      tokens.push({ kind: 'any-one' });
    } else if (character === '[') {
      const { token, end } = readSet(characters, index);
      tokens.push(token);
      index = end;
    } else {
      tokens.push({ kind: 'exactly', character });
    }
  }
  return tokens;
}

// `[` begins a set that ends at the next `]` after its first member; without one, `[` is an ordinary character (POSIX 2.13.1).
function readSet(characters: readonly string[], start: number): { token: Token; end: number } {
  const negated = characters[start + 1] === '!' || characters[start + 1] === '^';
  const first = start + (negated ? 2 : 1);
  const end = characters.indexOf(']', first + 1);
  if (end === -1) return { token: { kind: 'exactly', character: '[' }, end: start };
  const ranges: Range[] = [];
  for (let index = first; index < end; index += 1) {
    const from = characters[index] ?? '';
    const isRange = characters[index + 1] === '-' && index + 2 < end;
    ranges.push({ from, to: isRange ? (characters[index + 2] ?? '') : from });
    if (isRange) index += 2;
  }
  return { token: { kind: 'one-of', ranges, negated }, end };
}

// Every `*` first matches nothing. If the rest fails, the last `*` matches one more character; earlier ones need no backtracking.
function matches(tokens: readonly Token[], name: readonly string[]): boolean {
  let token = 0;
  let position = 0;
  let lastRun = -1;
  let endOfRun = 0;
  while (position < name.length) {
    const current = tokens[token];
    if (current?.kind === 'any-run') {
      lastRun = token;
      endOfRun = position;
      token += 1;
    } else if (current !== undefined && accepts(current, name[position] ?? '')) {
      token += 1;
      position += 1;
    } else if (lastRun !== -1) {
      endOfRun += 1;
      position = endOfRun;
      token = lastRun + 1;
    } else {
      return false;
    }
  }
  return tokens.slice(token).every(({ kind }) => kind === 'any-run');
}

function accepts(token: Exclude<Token, { kind: 'any-run' }>, character: string): boolean {
  switch (token.kind) {
    case 'any-one':
      return true;
    case 'exactly':
      return token.character === character;
    case 'one-of':
      return token.ranges.some(({ from, to }) => from <= character && character <= to) !== token.negated;
  }
}
