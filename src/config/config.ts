/**
 * The configuration: read from the environment once, checked as a whole, then frozen. Nothing else in the gateway reads
 * an environment variable of ours.
 */
import { conflicts } from './conflicts.ts';
import { type Config, type Variable, variables } from './variables.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** The environment asks for something that cannot be; the message holds every problem, a line each, for the operator. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  /** Each names its variable, what is allowed, and what was got. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`;
    super(`The configuration has ${count}:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
    this.problems = problems;
  }
}

/** Reads the environment. An empty variable counts as unset. Throws a `ConfigError` that names all problems at once. */
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
  // Combinations are judged even where single variables are wrong: an operator wants to hear everything at once.
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
  return presence.default === '' ? '' : variable.parse(presence.default);
}
