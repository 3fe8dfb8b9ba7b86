/**
 * Where a text stops being JSON. The message of `JSON.parse` quotes the text, which may contain secrets, and names no place for most
 * mistakes.
 */
import { Turn } from './turn.ts';

const whitespace = /[ \t\n\r]*/y;
const literal = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
// RFC 8259, section 7: control characters must be escaped.
const string = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;

/** Resolves to line and column, both from 1, of the first character that cannot be there, or to undefined for valid JSON. Works in turns. */
export async function jsonErrorPosition(
  text: string,
): Promise<{ readonly line: number; readonly column: number } | undefined> {
  const offset = await errorOffset(text);
  if (offset === undefined) return undefined;
  const before = text.slice(0, offset).split('\n');
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}

/** Without recursion, because the depth of the text is not bounded. */
async function errorOffset(text: string): Promise<number | undefined> {
  const turn = new Turn();
  let at = 0;
  const skip = (token: RegExp): boolean => {
    token.lastIndex = at;
    const matched = token.exec(text)?.[0];
    at += matched?.length ?? 0;
    return matched !== undefined;
  };
  const take = (character: string): boolean => {
    if (text[at] !== character) return false;
    at += 1;
    return true;
  };
  /** What closes each open array or object. */
  const open: (']' | '}')[] = [];
  const takeName = (): boolean => {
    skip(whitespace);
    if (!skip(string)) return false;
    skip(whitespace);
    return take(':');
  };
  for (;;) {
    if (turn.isOver()) await turn.next();
    // A value begins here.
    skip(whitespace);
    const isArray = take('[');
    if (isArray || take('{')) {
      const end = isArray ? ']' : '}';
      skip(whitespace);
      if (!take(end)) {
        open.push(end);
        if (!isArray && !takeName()) return at;
        continue;
      }
    } else if (!skip(string) && !skip(literal)) return at;
    // A value ended here.
    skip(whitespace);
    let end = open.at(-1);
    while (end !== undefined && take(end)) {
      open.pop();
      end = open.at(-1);
      skip(whitespace);
    }
    if (end === undefined) return at === text.length ? undefined : at;
    if (!take(',') || (end === '}' && !takeName())) return at;
  }
}
