/** Environment variables that the gateway does not know and whose names differ from a known one by a typing error. Pure. */
import type { Environment } from './config.ts';
import { type Variable, variables } from './variables.ts';

export type MisspeltVariable = { readonly name: string; readonly meant: string };

const names: readonly string[] = Object.values<Variable<unknown>>(variables).map(({ name }) => name);

/** Shorter names are too similar to each other, and to variables of other programs such as `USER`. */
const minNameLength = 6;

/** In insertions, deletions, replacements and swaps of neighbours. */
const maxDistance = 2;

/** Those that are set while the variable that was probably meant is not. */
export function misspeltVariables(environment: Environment): MisspeltVariable[] {
  const isSet = (name: string): boolean => (environment[name] ?? '').trim() !== '';
  const candidates = names.filter((name) => !isSet(name));
  return Object.keys(environment)
    .filter((name) => isSet(name) && !names.includes(name) && name.length >= minNameLength)
    .flatMap((name) => {
      const meant = nearest(name.toUpperCase().replaceAll('-', '_'), candidates);
      return meant === undefined ? [] : [{ name, meant }];
    });
}

function nearest(name: string, candidates: readonly string[]): string | undefined {
  let best: { readonly candidate: string; readonly distance: number } | undefined;
  for (const candidate of candidates) {
    const allowed = Math.min(maxDistance, best === undefined ? maxDistance : best.distance - 1);
    if (Math.abs(candidate.length - name.length) > allowed) continue;
    const distance = editDistance(name, candidate);
    if (distance <= allowed) best = { candidate, distance };
  }
  return best?.candidate;
}

/** The number of typing errors between two words (optimal string alignment). */
function editDistance(one: string, other: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: other.length + 1 }, (_, column) => column);
  for (let row = 1; row <= one.length; row++) {
    const current = [row];
    for (let column = 1; column <= other.length; column++) {
      const isSame = one[row - 1] === other[column - 1];
      const isSwap =
        row > 1 && column > 1 && one[row - 1] === other[column - 2] && one[row - 2] === other[column - 1];
      current.push(
        Math.min(
          (last[column] ?? 0) + 1,
          (current[column - 1] ?? 0) + 1,
          (last[column - 1] ?? 0) + (isSame ? 0 : 1),
          isSwap ? (beforeLast[column - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY,
        ),
      );
    }
    [beforeLast, last] = [last, current];
  }
  return last[other.length] ?? 0;
}
