/** Who may log in, where their files are, and what they may do there. */

/** A home is where a user's `/` is in S3. */
export type Home = {
  readonly bucket: string;
  /** Empty, or ends in `/`. */
  readonly prefix: string;
  /** How S3 is to keep what is uploaded here; the bucket's own defaults where absent. */
  readonly storage?: StorageOptions;
};

/** What is wrong with a home's prefix, if anything. */
export function prefixProblem(prefix: string): string | undefined {
  if (prefix === '') return undefined;
  if (!prefix.endsWith('/')) {
    return `must end in "/": expected ${JSON.stringify(`${prefix}/`)}, got ${JSON.stringify(prefix)}`;
  }
  if (prefix.startsWith('/') || prefix.includes('//')) {
    return `must not begin with "/" or hold "//", got ${JSON.stringify(prefix)}`;
  }
  return prefix.includes('\0') ? 'must not hold NUL' : undefined;
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
  /** SSE-S3, or SSE-KMS with the key of this id, ARN or alias (the account's own `aws/s3` key where absent). */
  readonly encryption?:
    { readonly algorithm: 'AES256' } | { readonly algorithm: 'aws:kms'; readonly keyId?: string };
  readonly storageClass?: (typeof storageClasses)[number];
  /** Media type by extension (lower case, no dot), before the gateway's own table. */
  readonly contentTypes?: Readonly<Record<string, string>>;
  /** Put on every object; at most 10 (Amazon S3 User Guide, "Categorizing your objects using tags"). */
  readonly tags?: Readonly<Record<string, string>>;
};

/**
 * `write-only` is a drop box: files may be uploaded and directories made, but nothing listed, read, overwritten or deleted.
 */
export const permissionSets = ['read-only', 'write-only', 'read-write'] as const;
export type PermissionSet = (typeof permissionSets)[number];

/** What a command may need, one word a deed. */
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

/** Whether the user's permissions include the deed. */
export function can(user: User, capability: Permission): boolean {
  return permissionsOfSet[user.permissions].has(capability);
}

export type Credentials = {
  readonly username: string;
  readonly password: string;
  /** Where the client is, as text: IPv4 dotted, or IPv6. */
  readonly clientAddress: string;
  /** Whether the control connection is TLS. */
  readonly secure: boolean;
};

/** Checks a login. Resolves to undefined for a wrong name or password (alike, and as slowly); rejects when it cannot tell. */
export type Authenticate = (credentials: Credentials, signal: AbortSignal) => Promise<User | undefined>;
