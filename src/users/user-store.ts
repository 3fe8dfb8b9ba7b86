/** The current users, loaded from a file or a secret and reloaded while the gateway runs. */
import { isDeepStrictEqual } from 'node:util';
import { type DocumentSource, fileSource, secretSource, WatchedDocument } from '../util/watched-document.ts';
import { Turn } from '../util/turn.ts';
import type { Observe } from '../observability/event.ts';
import { PasswordHash } from './password.ts';
import type { Authenticate, Home } from './user.ts';
import { type Account, type DefaultHome, parseUsersDocument } from './users-document.ts';

/** Source of the users document. */
export type UsersSource =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'secretsmanager'; readonly arn: string };

export type UserStore = {
  find(name: string): Account | undefined;
  /** Whether the name is that of an invalid entry, whose user cannot log in. */
  isInvalid(name: string): boolean;
  /** The hash to verify the password of an unknown user against. It costs as much as a real one. */
  readonly decoy: PasswordHash;
  /** The homes of all users, one for each bucket. */
  readonly homes: readonly Home[];
  close(): void;
};

export type UserStoreOptions = {
  readonly source: UsersSource;
  readonly defaultHome: DefaultHome;
  /** Interval between two reads of a secret. */
  readonly refreshMs: number;
  /** @default secretSource */
  readonly openSecret?: (arn: string) => DocumentSource;
  readonly observe: Observe;
  /** Users who were removed, or whose password, home or permissions changed: the permissions of their sessions are out of date. */
  readonly revoked?: (names: ReadonlySet<string>) => void;
  /** A later version of the document is in use: `homes` may have changed. */
  readonly reloaded?: () => void;
};

/** Reading a local file is cheap. */
const fileIntervalMs = 1000;

/**
 * Loads the users. Rejects if the document cannot be read or parsed; later the last valid version stays in use. An invalid
 * entry disables only its own user, and is observed.
 */
export async function openUserStore(options: UserStoreOptions): Promise<UserStore> {
  const { source, defaultHome, openSecret = secretSource, observe } = options;
  let accounts: ReadonlyMap<string, Account> = new Map();
  let invalidNames: ReadonlySet<string> = new Set();
  let decoy = PasswordHash.decoy();
  let isReload = false;
  const document = await WatchedDocument.open({
    variable: 'USERS',
    source: source.kind === 'file' ? fileSource(source.path) : openSecret(source.arn),
    intervalMs: source.kind === 'file' ? Math.min(fileIntervalMs, options.refreshMs) : options.refreshMs,
    async load(text) {
      const file = await parseUsersDocument(text, defaultHome);
      const before = accounts;
      accounts = await keepUnchanged(file.accounts, before);
      invalidNames = file.invalidNames;
      // The cost of the first user's hash stands for all: `npm run hash-password` uses one cost.
      const [first] = accounts.values();
      decoy = first?.passwordHash.decoy() ?? PasswordHash.decoy();
      observe({ event: 'users-loaded', users: accounts.size, problems: file.problems });
      const revoked = new Set([...before.keys()].filter((name) => accounts.get(name) !== before.get(name)));
      if (revoked.size > 0) options.revoked?.(revoked);
      if (isReload) options.reloaded?.();
      isReload = true;
    },
    failed: ({ message }) => observe({ event: 'config-reload-failed', config: 'users', reason: message }),
  });
  return {
    find: (name) => accounts.get(name),
    isInvalid: (name) => invalidNames.has(name),
    get decoy() {
      return decoy;
    },
    get homes() {
      const homes = new Map<string, Home>();
      for (const { user } of accounts.values()) homes.set(user.home.bucket, user.home);
      return [...homes.values()];
    },
    close: () => document.close(),
  };
}

/**
 * An account whose entry did not change stays the same object, and an unchanged hash as well, because it remembers the verified
 * password: otherwise each change of the document would make all users be hashed again.
 */
async function keepUnchanged(
  loaded: ReadonlyMap<string, Account>,
  before: ReadonlyMap<string, Account>,
): Promise<ReadonlyMap<string, Account>> {
  const kept = new Map<string, Account>();
  const turn = new Turn();
  for (const [name, account] of loaded) {
    if (turn.isOver()) await turn.next();
    const old = before.get(name);
    if (old?.passwordHash.equals(account.passwordHash) !== true) kept.set(name, account);
    else if (isDeepStrictEqual(old.user, account.user)) kept.set(name, old);
    else kept.set(name, { ...account, passwordHash: old.passwordHash });
  }
  return kept;
}

/**
 * Checks logins against the users document, which `usersOf` returns. An unknown name costs as much time as a wrong password, so timing
 * does not reveal which names exist.
 */
export function passwordAuthenticator(usersOf: () => UserStore): Authenticate {
  const authenticate: Authenticate = async ({ username, password }) => {
    const users = usersOf();
    for (;;) {
      const account = users.find(username);
      const isRight = await (account?.passwordHash ?? users.decoy).verify(password);
      // The document may have changed meanwhile.
      if (users.find(username) !== account) continue;
      if (account !== undefined) return isRight ? account.user : 'LOGIN-PASSWORD';
      return users.isInvalid(username) ? 'LOGIN-ENTRY' : 'LOGIN-USER';
    }
  };
  const remembered: Authenticate['remembered'] = ({ username, password }) => {
    const account = usersOf().find(username);
    return account?.passwordHash.isRemembered(password) === true ? account.user : undefined;
  };
  return Object.assign(authenticate, { remembered });
}
