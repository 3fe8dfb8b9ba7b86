/** Users: their home in S3 and their permissions. */
import type { LoginRefusalCause } from '../observability/cause.ts';

/** The bucket and prefix that a user sees as `/`. */
export type Home = {
  readonly bucket: string;
  /** Empty, or ends in `/`. */
  readonly prefix: string;
  /** How S3 stores the uploads; the defaults of the bucket if absent. */
  readonly storage?: StorageOptions;
};

/** Describes what is wrong with the prefix of a home; undefined if it is valid. */
export function prefixProblem(prefix: string): string | undefined {
  if (prefix === '') return undefined;
  if (!prefix.endsWith('/')) {
    return `must end in "/": expected ${JSON.stringify(`${prefix}/`)}, got ${JSON.stringify(prefix)}`;
  }
  if (prefix.startsWith('/') || prefix.includes('//')) {
    return `must not begin with "/" or contain "//", got ${JSON.stringify(prefix)}`;
  }
  return prefix.includes('\0') ? 'must not contain NUL' : undefined;
}

/** Classes that an upload may name (Amazon S3 API Reference, PutObject, `x-amz-storage-class`). */
export const storageClasses = [
  'STANDARD',
  'STANDARD_IA',
  'ONEZONE_IA',
  'INTELLIGENT_TIERING',
  'GLACIER_IR',
  'GLACIER',
  'DEEP_ARCHIVE',
] as const;

export type StorageOptions = {
  /** SSE-S3, or SSE-KMS with the key of this id, ARN or alias (the account's `aws/s3` key if absent). */
  readonly encryption?:
    { readonly algorithm: 'AES256' } | { readonly algorithm: 'aws:kms'; readonly keyId?: string };
  readonly storageClass?: (typeof storageClasses)[number];
  /** Media type by extension (lower case, no dot). Takes precedence over the gateway's own table. */
  readonly contentTypes?: Readonly<Record<string, string>>;
  /** Put on every object; at most 10 (Amazon S3 User Guide, "Categorizing your objects using tags"). */
  readonly tags?: Readonly<Record<string, string>>;
};

/**
 * `write-only` is a drop box: the user can upload files and create directories, but not list, read, overwrite or delete.
 */
export const permissionSets = ['read-only', 'write-only', 'read-write'] as const;
export type PermissionSet = (typeof permissionSets)[number];

/** Permissions that a command can require. */
export type Permission =
  'list' | 'read' | 'create' | 'overwrite' | 'delete' | 'rename' | 'make-directory' | 'set-time';

const permissionsOfSet: Readonly<Record<PermissionSet, ReadonlySet<Permission>>> = {
  'read-only': new Set<Permission>(['list', 'read']),
  'write-only': new Set<Permission>(['create', 'make-directory']),
  'read-write': new Set<Permission>([
    'list',
    'read',
    'create',
    'overwrite',
    'delete',
    'rename',
    'make-directory',
    'set-time',
  ]),
};

export type User = {
  readonly name: string;
  readonly home: Home;
  readonly permissions: PermissionSet;
};

/** Whether the user has the permission. */
export function can(user: User, permission: Permission): boolean {
  return permissionsOfSet[user.permissions].has(permission);
}

export type Credentials = {
  readonly username: string;
  readonly password: string;
  /** The client's IPv4 or IPv6 address. */
  readonly clientAddress: string;
  /** Whether the control connection is TLS. */
  readonly secure: boolean;
};

/**
 * Checks a login. Resolves to the cause of a refusal, for an unknown name after the same time as for a wrong password. Rejects if
 * it cannot decide.
 */
export type Authenticate = {
  (credentials: Credentials, signal: AbortSignal): Promise<User | LoginRefusalCause>;
  /** The user, where the login is known to be right without the cost of a check. Such logins do not wait for others. */
  remembered?(credentials: Credentials): User | undefined;
};
