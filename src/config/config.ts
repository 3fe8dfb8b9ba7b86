/**
 * The configuration: read from the environment once, checked as a whole, then frozen. Nothing else in the gateway reads its
 * environment variables.
 */
import { conflicts } from './conflicts.ts';
import { type Config, type Variable, variables } from './variables.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** The configuration is invalid. The message lists every problem on its own line, for the operator. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  /** Each names its variable, what is allowed, and the value. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`;
    super(`The configuration has ${count}:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
    this.problems = problems;
  }
}

/** Reads the environment. An empty variable counts as unset. Throws a `ConfigError` that lists all problems. */
export function parseConfig(environment: Environment): Config {
  const values: Record<string, unknown> = {};
  const problems: string[] = [];
  for (const [field, variable] of Object.entries<Variable<unknown>>(variables)) {
    try {
      values[field] = read(variable, environment[variable.name]);
    } catch (error) {
      problems.push(`${variable.name}: ${(error as Error).message}`);
    }
  }
  // Combinations are checked even if single variables are invalid, so that the operator sees all problems together.
  problems.push(...conflicts(values));
  if (problems.length > 0) throw new ConfigError(problems);
  return Object.freeze(values) as Config;
}

function read(variable: Variable<unknown>, value: string | undefined): unknown {
  const given = value?.trim() ?? '';
  if (given !== '') return variable.parse(given);
  const { presence } = variable;
  if (presence === 'optional') return undefined;
  if (presence === 'required') throw new Error(`required, but not set. ${variable.meaning}`);
  return variable.parse(presence.default);
}
