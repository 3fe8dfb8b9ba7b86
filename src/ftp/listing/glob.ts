/**
 * The wildcards of LIST and NLST: `*`, `?`, `[a-z]`, `[!a-z]`, in the last segment of a pathname. Pure. Clients choose the pattern and
 * the names, so matching takes time in proportion to the name alone: all positions of the pattern at once, one bit each
 * (Baeza-Yates and Gonnet, "A new approach to text searching", 1992).
 */

/** Whether a character is accepted at one position of the pattern. */
type Position =
  | { readonly kind: 'any' }
  | { readonly kind: 'one-of'; readonly ranges: readonly Range[]; readonly negated: boolean };

/** Code points, both inclusive. */
type Range = { readonly from: number; readonly to: number };

/** The longest pattern in characters: longer ones cost more per name, and file systems have no longer names. */
export const maxGlobCharacters = 256;

/** Characters whose bits a matcher remembers. */
const maxRememberedCharacters = 4096;

/** Whether the text contains a wildcard. */
export function hasWildcard(text: string): boolean {
  return /[*?[]/.test(text);
}

/** Compiles a pattern to a predicate for names. Undefined where it is longer than `maxGlobCharacters`. */
export function compileGlob(pattern: string): ((name: string) => boolean) | undefined {
  const characters = Array.from(pattern);
  if (characters.length > maxGlobCharacters) return undefined;
  const matcher = new Matcher(characters);
  return (name) => matcher.matches(name);
}

class Matcher {
  readonly #positions: Position[] = [];
  /** Bit n is set where a `*` follows the first n positions. */
  readonly #runs: Int32Array;
  /** Bit n is set where the first n positions have been matched. */
  readonly #state: Int32Array;
  /** By code point: bit n is set where position n, counted from 1, accepts it. */
  readonly #accepting = new Map<number, Int32Array>();

  constructor(pattern: readonly string[]) {
    const words = (pattern.length >> 5) + 1;
    this.#runs = new Int32Array(words);
    this.#state = new Int32Array(words);
    for (let index = 0; index < pattern.length; index++) {
      const character = pattern[index] ?? '';
      if (character === '*') setBit(this.#runs, this.#positions.length);
      else if (character === '?') this.#positions.push({ kind: 'any' });
      else if (character === '[') {
        const { position, end } = readSet(pattern, index);
        this.#positions.push(position);
        index = end;
      } else this.#positions.push(exactly(character));
    }
  }

  matches(name: string): boolean {
    const state = this.#state;
    const runs = this.#runs;
    state.fill(0);
    setBit(state, 0);
    for (let index = 0; index < name.length; index++) {
      const code = name.codePointAt(index) ?? 0;
      if (code > 0xffff) index++;
      const accepting = this.#acceptingBits(code);
      let carry = 0;
      let alive = 0;
      for (let word = 0; word < state.length; word++) {
        const bits = state[word] ?? 0;
        const next = (((bits << 1) | carry) & (accepting[word] ?? 0)) | (bits & (runs[word] ?? 0));
        carry = bits >>> 31;
        state[word] = next;
        alive |= next;
      }
      if (alive === 0) return false;
    }
    return hasBit(state, this.#positions.length);
  }

  #acceptingBits(code: number): Int32Array {
    const known = this.#accepting.get(code);
    if (known) return known;
    const bits = new Int32Array(this.#state.length);
    this.#positions.forEach((position, index) => {
      if (accepts(position, code)) setBit(bits, index + 1);
    });
    if (this.#accepting.size >= maxRememberedCharacters) this.#accepting.clear();
    this.#accepting.set(code, bits);
    return bits;
  }
}

// `[` begins a set that ends at the next `]` after its first member; without one, `[` is an ordinary character (POSIX 2.13.1).
function readSet(pattern: readonly string[], start: number): { position: Position; end: number } {
  const negated = pattern[start + 1] === '!' || pattern[start + 1] === '^';
  const first = start + (negated ? 2 : 1);
  const end = pattern.indexOf(']', first + 1);
  if (end === -1) return { position: exactly('['), end: start };
  const ranges: Range[] = [];
  for (let index = first; index < end; index++) {
    const from = codeOf(pattern[index]);
    const isRange = pattern[index + 1] === '-' && index + 2 < end;
    ranges.push({ from, to: isRange ? codeOf(pattern[index + 2]) : from });
    if (isRange) index += 2;
  }
  return { position: { kind: 'one-of', ranges, negated }, end };
}

function exactly(character: string): Position {
  const code = codeOf(character);
  return { kind: 'one-of', ranges: [{ from: code, to: code }], negated: false };
}

function accepts(position: Position, code: number): boolean {
  if (position.kind === 'any') return true;
  return position.ranges.some(({ from, to }) => from <= code && code <= to) !== position.negated;
}

function codeOf(character = ''): number {
  return character.codePointAt(0) ?? 0;
}

function setBit(bits: Int32Array, index: number): void {
  bits[index >> 5] = (bits[index >> 5] ?? 0) | (1 << (index & 31));
}

function hasBit(bits: Int32Array, index: number): boolean {
  return ((bits[index >> 5] ?? 0) & (1 << (index & 31))) !== 0;
}
