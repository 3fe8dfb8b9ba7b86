/**
 * Parses the users document: names, password hashes, homes and permissions. An invalid entry disables only its own user, and
 * is reported by user and field.
 */
import { z } from 'zod';
import { jsonErrorPosition } from '../util/json-error.ts';
import { Turn } from '../util/turn.ts';
import { PasswordHash } from './password.ts';
import { type Home, permissionSets, prefixProblem, storageClasses, type User } from './user.ts';

/** A user and the password hash to verify a login with. */
export type Account = { readonly user: User; readonly passwordHash: PasswordHash };

export type UsersDocument = {
  /** By name. */
  readonly accounts: ReadonlyMap<string, Account>;
  /** Names of entries that are invalid, or that two entries have. */
  readonly invalidNames: ReadonlySet<string>;
  /** One sentence for each problem, such as `users[2] "alice": home.prefix must end in "/"`. No sentence quotes a password or a hash. */
  readonly problems: readonly string[];
};

/** The home of users whose entry names none, and the bucket of homes that name none. */
export type DefaultHome = { readonly bucket: string | undefined; readonly prefix: string };

const prefix = z.string().superRefine((value, context) => {
  const problem = prefixProblem(value);
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
});

/** Characters that S3 allows in a tag (Amazon S3 User Guide, "Categorizing your objects using tags"). */
const tagText = z
  .string()
  .regex(/^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u, 'must be letters, digits, spaces and _ . : / = + - @');

const storage = z.strictObject({
  encryption: z
    .discriminatedUnion('algorithm', [
      z.strictObject({ algorithm: z.literal('AES256') }),
      z.strictObject({ algorithm: z.literal('aws:kms'), keyId: z.string().min(1).exactOptional() }),
    ])
    .exactOptional(),
  storageClass: z.enum(storageClasses).exactOptional(),
  contentTypes: z
    .record(z.string().regex(/^[^.A-Z]+$/), z.string().regex(/^[\w.+-]+\/[\w.+-]+(?:; ?[\w-]+=[\w.-]+)*$/))
    .exactOptional(),
  tags: z
    .record(tagText.min(1).max(128), tagText.max(256))
    .refine((tags) => Object.keys(tags).length <= 10, 'must be at most 10: S3 allows no more')
    .exactOptional(),
});

const entrySchema = z.strictObject({
  name: z
    .string()
    .regex(
      /^[^\0-\x20\x7f](?:[^\0-\x1f\x7f]{0,254}[^\0-\x20\x7f])?$/u,
      'must be 1 to 256 printable characters',
    ),
  password: z.string().transform((text, context) => {
    const hash = PasswordHash.parse(text);
    if (hash !== undefined) return hash;
    context.addIssue({ code: 'custom', message: 'must be what "npm run hash-password" prints' });
    return z.NEVER;
  }),
  home: z
    .strictObject({ bucket: z.string().min(3).exactOptional(), prefix, storage: storage.exactOptional() })
    .exactOptional(),
  permissions: z.enum(permissionSets),
});

const documentSchema = z.strictObject({ users: z.array(z.unknown()) });

/**
 * Parses the JSON text, and checks its entries in turns: 10,000 take over 100 ms. Rejects with an Error that says why if it is not a
 * users document at all.
 */
export async function parseUsersDocument(text: string, defaultHome: DefaultHome): Promise<UsersDocument> {
  const document = documentSchema.safeParse(await parseJson(text), { reportInput: true });
  if (!document.success) throw new Error(document.error.issues.map(describe).join('; '));
  const problems: string[] = [];
  const accounts = new Map<string, Account>();
  const firstIndexes = new Map<string, number>();
  const turn = new Turn();
  for (const [index, entry] of document.data.users.entries()) {
    if (turn.isOver()) await turn.next();
    const name = nameOf(entry);
    const label = `users[${index}]${name === undefined ? '' : ` ${JSON.stringify(name)}`}`;
    const account = parseEntry(entry, defaultHome);
    if (Array.isArray(account)) problems.push(...account.map((problem) => `${label}: ${problem}`));
    if (name === undefined) continue;
    const first = firstIndexes.get(name);
    firstIndexes.set(name, first ?? index);
    if (first !== undefined) {
      // Which of the two is meant cannot be guessed.
      problems.push(`${label}: the name is taken by users[${first}]; neither can log in`);
      accounts.delete(name);
    } else if (!Array.isArray(account)) accounts.set(name, account);
  }
  const invalidNames = new Set([...firstIndexes.keys()].filter((name) => !accounts.has(name)));
  return { accounts, invalidNames, problems };
}

function parseEntry(entry: unknown, defaultHome: DefaultHome): Account | string[] {
  const parsed = entrySchema.safeParse(entry, { reportInput: true });
  if (!parsed.success) return parsed.error.issues.flatMap(describeFields);
  const { name, password, home, permissions } = parsed.data;
  const bucket = home?.bucket ?? defaultHome.bucket;
  if (bucket === undefined) return ['home.bucket is missing, and S3_BUCKET names no default'];
  const resolved: Home = {
    bucket,
    prefix: home?.prefix ?? defaultHome.prefix,
    ...(home?.storage !== undefined && { storage: home.storage }),
  };
  return { user: { name, home: resolved, permissions }, passwordHash: password };
}

async function parseJson(text: string): Promise<unknown> {
  try {
    return JSON.parse(text);
  } catch {
    const { line, column } = (await jsonErrorPosition(text)) ?? { line: 1, column: 1 };
    throw new Error(`it is not JSON: the mistake is in line ${line}, column ${column}`);
  }
}

function nameOf(entry: unknown): string | undefined {
  const isNamed = typeof entry === 'object' && entry !== null && 'name' in entry;
  return isNamed && typeof entry.name === 'string' ? entry.name : undefined;
}

type Issue = z.core.$ZodIssue;

function describeFields(issue: Issue): string[] {
  if (issue.code !== 'unrecognized_keys') return [describe(issue)];
  return issue.keys.map((key) => `unknown field ${JSON.stringify([...issue.path, key].join('.'))}`);
}

function describe(issue: Issue): string {
  const field = issue.path.join('.') || 'it';
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined && field !== 'it'
        ? `${field} is missing or not ${withArticle(issue.expected)}`
        : `${field} must be ${withArticle(issue.expected)}`;
    case 'invalid_value':
      return `${field} must be ${issue.values.map((value) => JSON.stringify(value)).join(' or ')}`;
    case 'unrecognized_keys':
      return describeFields(issue).join('; ');
    case 'custom':
    case 'invalid_format':
      return `${field} ${issue.message}`;
    case 'too_small':
    case 'too_big':
    case 'not_multiple_of':
    case 'invalid_union':
    case 'invalid_key':
    case 'invalid_element':
      return `${field}: ${issue.message}`;
  }
}

function withArticle(type: string): string {
  return /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`;
}
