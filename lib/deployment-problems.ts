/** What is wrong with an environment, as text: one line a problem, each with where the value comes from. Pure. */
import { z } from 'zod';
import { nearestName } from './nearest-name.ts';

type Issue = z.core.$ZodIssue;

type Source = {
  /** Of cdk.json. */
  readonly environment: string;
  readonly commandLine: Readonly<Record<string, unknown>>;
};

/** Problems of the command line first, then those of cdk.json under one heading. */
export function describeProblems(
  schema: z.ZodObject,
  issues: readonly Issue[],
  { environment, commandLine }: Source,
): string {
  const inFile: string[] = [];
  const onCommandLine: string[] = [];
  for (const issue of issues.flatMap((issue) => ofUnion(issue, []))) {
    for (const [path, text] of texts(schema, issue)) {
      if (String(path[0]) in commandLine) onCommandLine.push(`-c ${path.join('.')}: ${text}`);
      else inFile.push(`  ${path.join('.')}: ${text}`);
    }
  }
  if (inFile.length > 0) inFile.unshift(`The environment "${environment}" in cdk.json is invalid:`);
  return [...onCommandLine, ...inFile].join('\n');
}

type Located = { readonly path: readonly PropertyKey[]; readonly issue: Issue };

/** Instead of "Invalid input" for a union: the problems of the alternative that is closest to the value. */
function ofUnion(issue: Issue, before: readonly PropertyKey[]): readonly Located[] {
  const path = [...before, ...issue.path];
  if (issue.code !== 'invalid_union' || issue.message !== 'Invalid input') return [{ path, issue }];
  const depth = (issues: readonly Issue[]) => Math.max(0, ...issues.map((inner) => inner.path.length));
  const [closest] = issue.errors.toSorted((one, other) => depth(other) - depth(one));
  if (closest === undefined || depth(closest) === 0) return [{ path, issue }];
  return closest.flatMap((inner) => ofUnion(inner, path));
}

function texts(
  schema: z.ZodObject,
  { path, issue }: Located,
): readonly (readonly [path: readonly PropertyKey[], text: string])[] {
  if (issue.code !== 'unrecognized_keys') return [[path, issue.message]];
  const known = knownNames(schema, path);
  return issue.keys.map((key) => [[...path, key], unknownName(key, known)] as const);
}

function unknownName(name: string, known: readonly string[]): string {
  const nearest = nearestName(name, known);
  if (nearest !== undefined) return `unknown setting; did you mean ${nearest}?`;
  return known.length > 0 ? `unknown setting; known settings: ${known.join(', ')}` : 'unknown setting';
}

/** The names that the object at the path may have. */
function knownNames(schema: z.core.$ZodType, path: readonly PropertyKey[]): readonly string[] {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault) {
    return knownNames(schema.unwrap(), path);
  }
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((option) => knownNames(option, path));
  const [first, ...rest] = path;
  if (schema instanceof z.ZodArray) return first === undefined ? [] : knownNames(schema.element, rest);
  if (!(schema instanceof z.ZodObject)) return [];
  if (first === undefined) return Object.keys(schema.shape);
  const inner = (schema.shape as Readonly<Record<PropertyKey, z.core.$ZodType | undefined>>)[first];
  return inner === undefined ? [] : knownNames(inner, rest);
}
